"""One HTTP request of the REST API: session token, expiry, errors, and renewing a session that has ended."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from voxcube.client.errors import ApiError, ClientClosed, SessionExpired, TransportError, api_error
from voxcube.client.models import Session
from voxcube.client.query import Params

T = TypeVar("T")

SessionRestorer = Callable[[], Awaitable[Session | None]]

log = logging.getLogger("voxcube.client")

# Set inside the application's restorer: its own requests must not wait for the restoring they are part of.
_restoring: ContextVar[bool] = ContextVar("voxcube_restoring", default=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply: its status and decoded JSON body."""

    status: int
    data: Any
    expires_at: datetime | None = None
    """When the session ends, as far as the server said."""
    method: str = ""
    url: str = ""
    """Without its query."""

    def read(self, reader: Callable[[Any], T]) -> T:
        """What ``reader`` makes of the body. Raises ApiError when the body is not of the expected form."""
        try:
            return reader(self.data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"the reply has an unexpected form: {type(error).__name__} {error}"
            refused = ApiError(self.status, {"base": [reason]}, self.data)
            refused.method, refused.url = self.method, self.url
            raise refused from error


class Http:
    """The REST side of one client: an httpx client, the current session, and when it ends."""

    def __init__(
        self,
        api_url: str,
        auth_key: str,
        *,
        verify: ssl.SSLContext | bool = True,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        on_session_expired: SessionRestorer | None = None,
    ) -> None:
        self.session: Session | None = None
        self.expires_at: datetime | None = None
        self._closed = False
        self._auth_key = auth_key
        self._date: tuple[datetime, float, float] | None = None  # and when it was said, on both clocks of this machine
        self._restorer = on_session_expired
        self._restore_task: asyncio.Task[bool] | None = None
        self._http = httpx.AsyncClient(
            base_url=api_url,
            timeout=timeout,
            verify=verify,
            transport=transport,
            headers={"CB-SDK": "Python voxcube", "Accept": "application/json"},
        )

    @property
    def user_id(self) -> int:
        """The user of the current session; 0 without one."""
        return self.session.user_id if self.session else 0

    def set_session(self, session: Session | None, expires_at: datetime | None = None) -> None:
        """Makes this the current session. Without ``expires_at`` the same token keeps its known expiry."""
        same = session is not None and self.session is not None and session.token == self.session.token
        if expires_at is not None or not same:
            self.expires_at = expires_at
        self.session = session

    async def close(self) -> None:
        """Closes idle connections; the client cannot be used afterwards."""
        self._closed = True
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        token: str | None = None,
        anonymous: bool = False,
        restore: bool = True,
    ) -> Reply:
        """Makes one request with the session's token, or ``token``, or none when ``anonymous``.

        When the session has ended and the application gave a restorer, that is asked once for a new session and the
        request is made once more.

        Raises:
            ApiError: the server refused; see its subclasses.
            TransportError: the network failed or the server took too long.
            ClientClosed: the client was closed.
        """
        try:
            return await self._request(method, path, params, json, token, anonymous=anonymous, restore=restore)
        except ApiError as error:
            if not error.url:
                error.method, error.url = method, self._address(path)
            raise

    async def _request(
        self,
        method: str,
        path: str,
        params: Params | None,
        json: Any,
        token: str | None,
        *,
        anonymous: bool,
        restore: bool,
    ) -> Reply:
        if anonymous or token is not None:
            return await self._send(method, path, params, json, token)
        restore = restore and self._restorer is not None and not _restoring.get()
        if restore and self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            restore = False
            await self._restore(self.session)
        used = self.session
        try:
            return await self._send(method, path, params, json, used.token if used else None)
        except SessionExpired:
            if not restore or not await self._restore(used):
                raise
        return await self._send(method, path, params, json, self.session.token if self.session else None)

    async def _send(self, method: str, path: str, params: Params | None, json: Any, token: str | None) -> Reply:
        if self._closed:
            raise ClientClosed
        headers = {"CB-Token": token} if token else {"CB-AuthKey": self._auth_key}
        query = httpx.QueryParams(tuple(params)) if params else None
        try:
            response = await self._http.request(method, path, params=query, json=json, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            url = self._http.base_url
            reason = f"{method} {self._address(path)}: {str(error) or type(error).__name__}"
            port = url.port or (443 if url.scheme == "https" else 80)
            raise TransportError(reason, host=url.host, port=port, url=self._address(path)) from error
        self._note_date(response)
        body = _body(response)
        if not response.is_success:
            raise api_error(response.status_code, body, _retry_after(response))
        expires_at = _expiry(response)
        if expires_at is not None and self.session is not None and token == self.session.token:
            self.expires_at = expires_at  # every use prolongs the token
        return Reply(response.status_code, body, expires_at, method, self._address(path))

    def _address(self, path: str) -> str:
        """Where a request goes, for messages: without query and without credentials."""
        base = self._http.base_url.copy_with(username=None, password=None, query=None, fragment=None)
        return f"{str(base).rstrip('/')}/{path}"

    def server_time(self) -> datetime | None:
        """The server's clock, by the second, from its last reply.

        None when there was none, or when this machine has slept or its clock was set since.
        """
        if self._date is None:
            return None
        date, monotonic, wall = self._date
        passed = time.monotonic() - monotonic
        return date + timedelta(seconds=passed) if abs(time.time() - wall - passed) < 1 else None

    def _note_date(self, response: httpx.Response) -> None:
        try:
            date = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return
        self._date = (date, time.monotonic(), time.time())

    async def renew(self, refused: str | None = None) -> bool:
        """Makes a new session by ``on_session_expired`` for a login with the session's token.

        ``refused`` is the token that was not accepted; without it a session is made only when there is none, or the
        known end of the current one has passed. Returns whether there is another token now. Raises what the
        application's function raises.
        """
        if self._restorer is None or _restoring.get():
            return self._has_other(refused)
        if refused is None and self.session is not None:
            if self.expires_at is None or self.expires_at > datetime.now(UTC):
                return False
        elif self._has_other(refused):
            return True
        return await self._restore(self.session) and self.session is not None

    def _has_other(self, refused: str | None) -> bool:
        """Whether the session was renewed since that token was read."""
        return refused is not None and self.session is not None and self.session.token != refused

    async def _restore(self, ended: Session | None) -> bool:
        """Renews the session unless another request has done so; many requests share one call of the restorer."""
        if self.session is not None and ended is not None and self.session.token != ended.token:
            return True
        if self._restore_task is None:
            self._restore_task = asyncio.create_task(self._call_restorer())
            self._restore_task.add_done_callback(self._restored)
        # A request that is cancelled must not take the new session away from the others.
        return await asyncio.shield(self._restore_task)

    async def _call_restorer(self) -> bool:
        _restoring.set(True)  # in the context of this task, and of those it starts
        assert self._restorer is not None
        session = await self._restorer()
        if session is None:
            return False
        self.set_session(session)
        return True

    def _restored(self, task: asyncio.Task[bool]) -> None:
        self._restore_task = None
        if not task.cancelled():
            task.exception()  # every request that waited has raised it


def _body(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        return response.text


def _expiry(response: httpx.Response) -> datetime | None:
    """Reads ``CB-Token-ExpirationDate: 2026-01-31 10:15:00 UTC``."""
    header = response.headers.get("CB-Token-ExpirationDate")
    if not header:
        return None
    try:
        return datetime.strptime(header.strip(), "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        log.warning("the server sent an expiry date of unknown form: %.40r", header)
        return None


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
