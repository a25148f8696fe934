"""The life of the chat connection: its states, one attempt shared by all who ask for it, and coming back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from voxcube.client.connection import Connection
from voxcube.client.endpoint import Endpoint
from voxcube.client.errors import (
    AuthenticationFailed,
    ChatTimeout,
    ClientClosed,
    CubeError,
    NotConnected,
    RateLimited,
    ServerError,
    SessionReplaced,
    StanzaError,
    TransportError,
)
from voxcube.client.events import ConnectionState, ConnectionStateChange
from voxcube.client.receipts import Receipt
from voxcube.client.reconnect import Reconnect
from voxcube.client.stream_session import StreamSession
from voxcube.client.streams import Feed, Line
from voxcube.xmpp import ns
from voxcube.xmpp.jid import Jid
from voxcube.xmpp.xml import Element

log = logging.getLogger("voxcube.client")

State = ConnectionState

# What a server answers to a session token that has ended (RFC 6120 §6.5)
_ENDED = frozenset(("not-authorized", "credentials-expired"))

Renewal = Callable[[Connection], Awaitable[None]]
"""Brings back what a session of its own had and the server has forgotten; what it raises is as for a request."""


async def _no_renewal(_: str | None) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects. ``password`` is asked for each time: a session token may have been renewed meanwhile.

    ``renew(None)`` makes a new session when the end of the current one has passed, ``renew(token)`` when that token was
    refused; it returns whether there is another token now.
    """

    user_id: int
    app_id: int
    password: Callable[[], str]
    resource: str | None = None
    renew: Callable[[str | None], Awaitable[bool]] = _no_renewal

    def __repr__(self) -> str:
        return f"Login({self.user_id}-{self.app_id})"


class Lifecycle:
    """Owns the current connection, and gets a new one when it is lost.

    ``on_stanza`` gets what the server sends, ``on_confirmed`` the ids of messages it has counted (XEP-0198).
    ``on_broken(silence)`` is called when a connection is over, whatever the reason, with how long nothing was heard
    from the server; ``on_over`` when what was not confirmed never will be; ``on_login`` when a new session begins,
    before anything is said in it; ``on_ready`` whenever the chat can be used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        stream_management: bool,
        policy: Reconnect,
        line: Line,
        on_stanza: Callable[[Element, Receipt], None],
        on_confirmed: Callable[[str], None],
        on_broken: Callable[[float], None],
        on_over: Callable[[], None],
        on_login: Callable[[], None],
        on_ready: Callable[[], None],
    ) -> None:
        self.line = line
        self.states: Feed[ConnectionStateChange] = Feed()  # on no line: it is what reports the end
        self.state = State.IDLE
        self.user_id: int | None = None
        self.policy = policy
        self.renewals: list[Renewal] = []
        self._endpoint = endpoint
        self._stream_management = stream_management
        self._on_stanza = on_stanza
        self._on_confirmed = on_confirmed
        self._on_broken = on_broken
        self._on_over = on_over
        self._on_login = on_login
        self._on_ready = on_ready
        self._connection: Connection | None = None
        self._session: StreamSession | None = None  # to be resumed
        self._login: Login | None = None
        self._attempt: asyncio.Task[Jid] | None = None
        self._waiting = 0  # callers of connect() and reconnect()
        self._recovery: asyncio.Task[None] | None = None  # while the connection is being got back
        self._hurry: asyncio.Future[asyncio.Task[Jid]] | None = None  # an attempt that is made before it is due
        self._closing = asyncio.Lock()
        self._was_ready = False  # since connect() was called
        self._closed: asyncio.Future[Exception | None] | None = None  # whoever waits in closed()
        self._closed_by: Exception | None = None

    @property
    def connection(self) -> Connection:
        """The ready connection. Raises NotConnected when there is none."""
        if self.line.client_closed:
            raise ClientClosed
        if self.state is not State.READY or self._connection is None:
            raise NotConnected(f"the chat is {self.state.value}, not ready; call chat.connect() first")
        return self._connection

    @property
    def link(self) -> Connection | None:
        """The connection, ready or about to be."""
        return self._connection

    async def connect(self, login: Login) -> Jid:
        """Connects, or joins the attempt that is under way for the same user."""
        self.line.check()
        if self.state is State.READY:
            raise RuntimeError("the chat is connected already; disconnect first")
        if self.state is State.CLOSING:
            raise RuntimeError("the chat is disconnecting")
        busy = self._attempt is not None or self._recovery is not None
        if busy and (self._login is None or self._login.user_id != login.user_id):
            raise RuntimeError("the chat is connecting as another user")
        self._login = login
        self.user_id = login.user_id
        self._was_ready = self._was_ready and busy
        self.line.revive()
        return await self._now()

    async def reconnect(self) -> Jid:
        """Gets a new connection now, whatever became of the last one."""
        self.line.check()
        if self._login is None:
            raise RuntimeError("the chat was never connected")
        if self.state is State.CLOSING:
            raise RuntimeError("the chat is disconnecting")
        self.line.revive()
        if self.state is State.READY and self._connection is not None:
            reason = NotConnected("the connection was dropped to get another one")
            self._broken(reason)
            self._begin_recovery(reason)
        return await self._now()

    async def _now(self) -> Jid:
        """Joins the attempt under way, or begins one."""
        attempt = self._attempt
        if attempt is None:
            attempt = self._begin(self._connect() if self._recovery is None else self._dial())
            if self._hurry is not None and not self._hurry.done():
                self._hurry.set_result(attempt)
        self._waiting += 1
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if attempt.cancelled() and not (task is not None and task.cancelling()):
                raise NotConnected("the chat was disconnected while it was connecting") from None
            if self._waiting == 1 and self._recovery is None:  # nobody else wants it
                attempt.cancel()
                await asyncio.wait([attempt])
            raise
        finally:
            self._waiting -= 1

    async def closed(self) -> Exception | None:
        """Waits until the chat is closed and does not connect again by itself; returns why, None when it was asked."""
        if self.state is State.CLOSED or self.line.client_closed:
            return self._closed_by
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._closed)

    async def disconnect(self) -> None:
        """Ends the connection, or the attempts to get one. A second call waits for the first."""
        async with self._closing:
            await self._disconnect()
            if self.state is State.CLOSED:
                self.line.end(None)

    async def _disconnect(self) -> None:
        tasks = [task for task in (self._recovery, self._attempt) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        connection = self._connection
        if connection is None or self.state is not State.READY:
            return
        self._set(State.CLOSING)
        try:
            connection.write(Element("presence", {"type": "unavailable"}))
            await connection.close()
        finally:
            self._close()

    async def destroy(self) -> None:
        """Disconnects and forgets the user; the state streams end with the news of it."""
        await self.disconnect()
        self.user_id = self._login = None
        self._closed_by = None
        self._set(State.IDLE)
        self.line.revive()
        self.states.close()
        self._tell_closed()

    # One attempt

    def _begin(self, attempt: Coroutine[Any, Any, Jid]) -> asyncio.Task[Jid]:
        self._attempt = asyncio.create_task(attempt)
        self._attempt.add_done_callback(self._attempted)
        return self._attempt

    def _attempted(self, attempt: asyncio.Task[Jid]) -> None:
        if self._attempt is attempt:
            self._attempt = None
        if not attempt.cancelled():
            attempt.exception()  # whoever waits for it has it

    async def _connect(self) -> Jid:
        """An attempt that somebody asked for: when it fails, that is the end of it."""
        try:
            return await self._dial()
        except BaseException as error:
            self._close(error if isinstance(error, Exception) else None)
            raise

    async def _dial(self) -> Jid:
        """One attempt; leaves the state FORCE_CLOSED or AUTHENTICATION_FAILURE when it fails."""
        login = self._login
        assert login is not None
        self._set(State.CONNECTING)
        log.info("connecting to %s as user %d", self._endpoint.where, login.user_id)
        try:
            connection = await self._log_in(login)
        except AuthenticationFailed as error:
            self._set(State.FORCE_CLOSED if error.is_temporary else State.AUTHENTICATION_FAILURE, error)
            raise
        except (TransportError, SessionReplaced, ServerError, RateLimited) as error:
            self._set(State.FORCE_CLOSED, error)
            raise
        assert connection.session is not None
        if connection.resumed:
            self._set(State.RESUMED)
        how = "the session goes on" if connection.resumed else "a new session"
        log.info("connected to %s as %s: %s", self._endpoint.where, connection.session.jid, how)
        self._was_ready = True
        self._set(State.READY)
        self._on_ready()
        return connection.session.jid

    async def _log_in(self, login: Login) -> Connection:
        """Connects with the password, or with the session token; a token that has ended is renewed once."""
        await login.renew(None)
        secret = login.password()
        try:
            return await self._open(login, secret)
        except AuthenticationFailed as refused:
            if refused.condition not in _ENDED or not await login.renew(secret):
                raise
            log.info("the session token was refused (%s); trying again with that of a new session", refused.condition)
        return await self._open(login, login.password())

    async def _open(self, login: Login, secret: str) -> Connection:
        """A connection that is ready to be used."""
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                connection = await Connection.open(
                    self._endpoint,
                    f"{login.user_id}-{login.app_id}",
                    secret,
                    login.resource,
                    stream_management=self._stream_management,
                    session=self._session,
                    on_authenticated=lambda: self._set(State.AUTHENTICATED),
                    on_unresumed=self._over,
                    on_stanza=self._on_stanza,
                    on_confirmed=self._on_confirmed,
                    on_lost=self._lost,
                )
                self._connection = connection
                self._session = connection.session
                if connection.resumed:
                    with contextlib.suppress(StanzaError):
                        # Any answer comes behind all that the server has kept: only then nothing is missing.
                        await connection.ping(self._endpoint.timeout)
                else:
                    self._on_login()
                    await self._announce(connection)
            if not connection.is_open:
                raise NotConnected("the connection ended as soon as it was made")
            return connection
        except (TransportError, TimeoutError, NotConnected, ChatTimeout) as cause:
            replaced = self._connection.replaced if self._connection is not None else None
            self._drop()
            if isinstance(cause, TransportError) and replaced is None:
                raise
            raise replaced or self._failure(cause) from cause
        except BaseException:
            self._drop()
            raise

    def _failure(self, cause: BaseException) -> TransportError:
        reason = str(cause) or f"the chat did not answer in {self._endpoint.timeout:g} s"
        return TransportError(reason, host=self._endpoint.address, port=self._endpoint.port)

    async def _announce(self, connection: Connection) -> None:
        """Makes a bound stream usable: copies of what other devices send, presence, and what the last session had."""
        carbons = Element("iq", {"type": "set"}, [Element("enable", {"xmlns": ns.CARBONS})])
        answer = connection.request(carbons, self._endpoint.timeout)
        connection.write(Element("presence"))
        try:
            await answer
        except StanzaError as error:
            log.warning("the server sends no copies of what other devices send: %s", error)
        for renew in self.renewals:
            try:
                await renew(connection)
            except StanzaError as error:
                log.warning("something of the last session did not come back: %s", error)

    # The connection is lost

    def _lost(self, error: Exception) -> None:
        """The connection ended by itself."""
        if self.state is State.READY and self._connection is not None:
            replaced = self._connection.replaced
            log.warning("the connection to %s is lost: %s", self._endpoint.where, error)
            self._broken(error)
            if replaced is not None:
                log.error("not connecting again: %s", replaced)
                self._close(replaced)
            elif not self._begin_recovery(error):
                log.error("not connecting again: the reconnect policy does not try")
                self._close(error)

    def _broken(self, error: Exception) -> None:
        self._drop()
        if self._session is not None and self._session.resume is None:
            self._over()
        self._set(State.FORCE_CLOSED, error)

    def _begin_recovery(self, error: Exception) -> bool:
        """Returns whether the policy lets it."""
        delay = self.policy.next_delay(1)
        if delay is None:
            return False
        self._recovery = asyncio.create_task(self._recover(delay, error))
        return True

    async def _recover(self, delay: float | None, error: Exception) -> None:
        """Tries again until there is a connection, the policy gives up, or trying again cannot help."""
        failed: Exception | None = error
        try:
            for number in itertools.count(1):
                if delay is None:
                    log.error("giving up after %d attempts: %s", number - 1, failed)
                    break
                log.info("attempt %d to connect to %s in %.1f s", number, self._endpoint.where, delay)
                try:
                    await self._due(delay)
                    failed = None
                    break
                except (TransportError, ServerError, RateLimited) as failure:
                    failed = failure
                except AuthenticationFailed as failure:
                    if not failure.is_temporary:
                        raise
                    failed = failure
                log.warning("attempt %d failed: %s", number, failed)
                delay = self.policy.next_delay(number + 1)
        except (CubeError, ValueError) as failure:
            log.error("not connecting again: %s", failure)
            failed = failure
        except asyncio.CancelledError:
            failed = NotConnected("the chat was disconnected")
            raise
        except Exception as failure:
            log.exception("not connecting again")
            failed = failure
        finally:
            if self._recovery is asyncio.current_task():  # else the new connection is lost already
                self._recovery = None
            if failed is not None:
                self._close(failed)

    async def _due(self, delay: float) -> None:
        """One attempt after the delay, or sooner when somebody asks for it."""
        self._set(State.RECONNECTING)
        attempt = self._attempt
        if attempt is None or attempt.done():
            hurry = self._hurry = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait([hurry], timeout=delay)
                attempt = hurry.result() if hurry.done() else self._begin(self._dial())
            finally:
                self._hurry = None
        await asyncio.shield(attempt)

    def _drop(self) -> None:
        """The connection is over; its session may go on."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._on_broken(connection.silence)
            connection.abort()

    def _over(self) -> None:
        """The session is over as well."""
        self._session = None
        self._on_over()

    def _close(self, error: Exception | None = None) -> None:
        self._drop()
        self._over()
        # NotConnected is what disconnect() leaves behind where it ends attempts.
        self._closed_by = None if isinstance(error, NotConnected) else error
        self._set(State.CLOSED, error)
        if self._closed_by is not None and self._was_ready:
            self.line.end(self._closed_by)
        self._tell_closed()

    def _tell_closed(self) -> None:
        waiting, self._closed = self._closed, None
        if waiting is not None and not waiting.done():
            waiting.set_result(self._closed_by)

    def _set(self, new: State, error: Exception | None = None) -> None:
        old, self.state = self.state, new
        if old is not new:
            self.states.emit(ConnectionStateChange(old, new, error))
