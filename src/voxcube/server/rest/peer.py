"""Who is at the other end of an HTTP request, and whether its way here can be read by others."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from voxcube.server.core.errors import Forbidden
from voxcube.server.core.peers import Network, client_behind, is_in, is_loopback
from voxcube.server.rest.errors import Failures

#: In the ASGI scope: whether passwords and tokens may travel this way.
CONFIDENTIAL = "voxcube.confidential"
#: Paths that carry no password, token or key.
PUBLIC = frozenset({"/", "/health", "/metrics", "/favicon.ico"})
PUBLIC_FOLDERS = ("/docs",)

CLEAR = (
    "Passwords and tokens are not accepted over unencrypted HTTP from another host: use https:// (https_port), or a "
    "TLS proxy whose address is in trusted_proxies. On a network that you trust, insecure_http_credentials permits it."
)


class Peer:
    """Middleware: finds the client behind trusted proxies, and judges the connection (design: safe logins).

    TLS, this machine, and trusted proxies are confidential, unless such a proxy says that its own client came in clear.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[Network] = ()) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope.get("client") or ("", 0)
            peer = str(client[0])
            confidential = scope["scheme"] == "https" or is_loopback(peer)
            if self._trusted and is_in(peer, self._trusted):
                confidential = True
                forwarded = ",".join(_values(scope, b"x-forwarded-for"))
                behind = client_behind(peer, forwarded, self._trusted)
                scope["client"] = (behind, 0 if behind != peer else client[1])
                protocol = ",".join(_values(scope, b"x-forwarded-proto")).rpartition(",")[2].strip().lower()
                if protocol in ("http", "https"):
                    scope["scheme"] = protocol
                    confidential = protocol == "https" or is_loopback(behind)
            scope[CONFIDENTIAL] = confidential
        await self._app(scope, receive, send)


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


class Confidential:
    """Middleware: refuses what carries a password, token or key in clear from another host."""

    def __init__(self, app: ASGIApp, failures: Failures, *, insecure: bool = False) -> None:
        self._app = app
        self._failures = failures
        self._insecure = insecure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = scope["type"] == "http" and not self._insecure and not scope.get(CONFIDENTIAL, True)
        if refused and not is_public(scope["path"], PUBLIC_FOLDERS) and scope["method"] != "OPTIONS":
            await self._failures.response(Forbidden(CLEAR), scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_public(path: str, folders: Collection[str]) -> bool:
    """Whether the path carries no password, token or key."""
    return path in PUBLIC or any(path == folder or path.startswith(folder + "/") for folder in folders)
