"""How many requests a user, and an address, may make: once it is known who asks, before the body is read."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from voxcube.server.core.errors import TooManyRequests
from voxcube.server.core.peers import counted_as
from voxcube.server.core.rates import Rate
from voxcube.server.rest.auth import CARRIED
from voxcube.server.rest.errors import Failures
from voxcube.server.rest.route import Carried

_FREE = frozenset({"/health", "/metrics"})


class Throttle:
    """Middleware: answers 429 with `Retry-After` to who asks too often."""

    def __init__(self, app: ASGIApp, users: Rate, addresses: Rate, failures: Failures) -> None:
        self._app = app
        self._users = users
        self._addresses = addresses
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _FREE and scope["method"] != "OPTIONS":
            try:
                self._check(scope)
            except TooManyRequests as error:
                await self._failures.response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        carried: Carried = scope[CARRIED]
        if carried.session is not None and carried.session.user_id is not None:
            self._users.check((carried.session.app_id, carried.session.user_id))
        self._addresses.check(counted_as(address_of(scope)))


def address_of(scope: Scope) -> str:
    """The client's address, "" where there is none."""
    client = scope.get("client")
    return str(client[0]) if client else ""
