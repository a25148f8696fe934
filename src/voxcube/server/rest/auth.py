"""Who is calling: the session behind ``CB-Token``, and the expiry header that Flutter needs (rest §1.3, quirks A1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voxcube.server.core.models import Session
from voxcube.server.rest.errors import Failures
from voxcube.server.rest.route import Carried

#: Where the request's `Carried` stands in the ASGI scope.
CARRIED = "voxcube.carried"
EXPIRATION = "CB-Token-ExpirationDate"
ADMIN_KEY = "CB-Administration-API-Key"


class Authenticator(Protocol):
    """What this door needs of the sessions service."""

    async def authenticate(self, token: str) -> Session | None:
        """The live session of ``token``, with its life extended; None when there is none."""

    async def administered(self, key: str) -> int | None:
        """The application that an administration key stands for, or None."""


class Authenticate:
    """Middleware: finds the session of every request, whatever its path, and tells its expiry in every response."""

    def __init__(self, app: ASGIApp, sessions: Authenticator, failures: Failures) -> None:
        self._app = app
        self._sessions = sessions
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Flutter sends the header empty when it has no session (rest §1.2).
        headers = Headers(scope=scope)
        carried = Carried(token=headers.get("CB-Token", "").strip())
        scope[CARRIED] = carried

        async def send_with_expiry(message: Message) -> None:
            if message["type"] == "http.response.start" and carried.session is not None:
                MutableHeaders(scope=message)[EXPIRATION] = expiration(carried.session.expires_at)
            await send(message)

        try:
            if carried.sent:
                carried.session = await self._sessions.authenticate(carried.token)
            if key := headers.get(ADMIN_KEY, "").strip():
                carried.administered = await self._sessions.administered(key)
        except Exception as error:
            await self._failures.response(error, scope)(scope, receive, send)
            return
        await self._app(scope, receive, send_with_expiry)


def expiration(seconds: int) -> str:
    """Unix seconds as ``yyyy-MM-dd HH:mm:ss UTC``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
