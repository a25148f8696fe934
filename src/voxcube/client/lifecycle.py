"""The life of the chat connection: its states, who is connected, and one attempt shared by all who ask for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from voxcube.client.connection import Connection
from voxcube.client.endpoint import Endpoint
from voxcube.client.errors import AuthenticationFailed, ChatTimeout, NotConnected, StanzaError, TransportError
from voxcube.client.events import ConnectionState, ConnectionStateChange
from voxcube.client.streams import Feed
from voxcube.xmpp import ns
from voxcube.xmpp.jid import Jid
from voxcube.xmpp.xml import Element

log = logging.getLogger("voxcube.client")

State = ConnectionState


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects. The password is kept out of the repr."""

    user_id: int
    app_id: int
    password: str
    resource: str | None = None

    def __repr__(self) -> str:
        return f"Login({self.user_id}-{self.app_id})"


class Lifecycle:
    """Owns the current connection.

    ``on_stanza`` gets what the server sends, ``on_confirmed`` the ids of messages it has counted (XEP-0198), and
    ``on_end`` is called when a connection is over, whatever the reason.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        stream_management: bool,
        on_stanza: Callable[[Element], None],
        on_confirmed: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        self.states: Feed[ConnectionStateChange] = Feed()
        self.state = State.IDLE
        self.user_id: int | None = None
        self._endpoint = endpoint
        self._stream_management = stream_management
        self._on_stanza = on_stanza
        self._on_confirmed = on_confirmed
        self._on_end = on_end
        self._connection: Connection | None = None
        self._login: Login | None = None
        self._attempt: asyncio.Task[Jid] | None = None
        self._waiting = 0
        self._closing = asyncio.Lock()

    @property
    def connection(self) -> Connection:
        """The ready connection. Raises NotConnected when there is none."""
        if self.state is not State.READY or self._connection is None:
            raise NotConnected(f"the chat is {self.state.value}, not ready; call chat.connect() first")
        return self._connection

    @property
    def link(self) -> Connection | None:
        """The connection, ready or about to be."""
        return self._connection

    async def connect(self, login: Login) -> Jid:
        """Connects, or joins the attempt that is under way for the same user."""
        if self.state is State.READY:
            raise RuntimeError("the chat is connected already; disconnect first")
        if self.state is State.CLOSING:
            raise RuntimeError("the chat is disconnecting")
        if self._attempt is None:
            self._login = login
            self.user_id = login.user_id
            self._attempt = asyncio.create_task(self._connect(login))
            self._attempt.add_done_callback(self._attempted)
        elif self._login is None or self._login.user_id != login.user_id:
            raise RuntimeError("the chat is connecting as another user")
        attempt = self._attempt
        self._waiting += 1
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if attempt.cancelled() and not (task is not None and task.cancelling()):
                raise NotConnected("the chat was disconnected while it was connecting") from None
            if self._waiting == 1:  # nobody else wants it
                attempt.cancel()
                await asyncio.wait([attempt])
            raise
        finally:
            self._waiting -= 1

    async def disconnect(self) -> None:
        """Ends the connection, or the attempt to get one. A second call waits for the first."""
        async with self._closing:
            if self._attempt is not None:
                attempt = self._attempt
                attempt.cancel()
                await asyncio.wait([attempt])
            connection = self._connection
            if connection is None or self.state is not State.READY:
                return
            self._set(State.CLOSING)
            try:
                connection.write(Element("presence", {"type": "unavailable"}))
                await connection.close()
            finally:
                self._end(State.CLOSED)

    async def destroy(self) -> None:
        """Disconnects and forgets the user; the state streams end with the news of it."""
        await self.disconnect()
        self.user_id = self._login = None
        self._set(State.IDLE)
        self.states.close()

    async def _connect(self, login: Login) -> Jid:
        self._set(State.CONNECTING)
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                connection = await Connection.open(
                    self._endpoint,
                    f"{login.user_id}-{login.app_id}",
                    login.password,
                    login.resource,
                    stream_management=self._stream_management,
                    on_authenticated=lambda: self._set(State.AUTHENTICATED),
                    on_stanza=self._on_stanza,
                    on_confirmed=self._on_confirmed,
                    on_lost=self._lost,
                )
                self._connection = connection
                await self._announce(connection)
            if not connection.is_open:
                raise NotConnected("the connection ended as soon as it was made")
            self._set(State.READY)
        except AuthenticationFailed as error:
            self._set(State.AUTHENTICATION_FAILURE, error)
            self._end(State.CLOSED, error)
            raise
        except TransportError as error:
            self._fail(error)
            raise
        except (TimeoutError, NotConnected, ChatTimeout) as cause:
            failure = TransportError(str(cause) or f"the chat did not answer in {self._endpoint.timeout:g} s")
            self._fail(failure)
            raise failure from cause
        except BaseException:
            self._end(State.CLOSED)
            raise
        finally:
            self._attempt = None
        assert connection.jid is not None
        return connection.jid

    def _attempted(self, attempt: asyncio.Task[Jid]) -> None:
        if self._attempt is attempt:  # cancelled before its first step
            self._attempt = None

    async def _announce(self, connection: Connection) -> None:
        """Makes a bound stream usable: confirmations, copies of what other devices send, presence."""
        carbons = Element("iq", {"type": "set"}, [Element("enable", {"xmlns": ns.CARBONS})])
        answer = connection.request(carbons, self._endpoint.timeout)
        connection.write(Element("presence"))
        try:
            await answer
        except StanzaError as error:
            log.warning("the server sends no copies of what other devices send: %s", error)

    def _lost(self, error: Exception) -> None:
        """The connection ended by itself."""
        if self.state is State.READY:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._set(State.FORCE_CLOSED, error)
        self._end(State.CLOSED, error)

    def _end(self, state: State, error: Exception | None = None) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self._on_end()
        self._set(state, error)

    def _set(self, new: State, error: Exception | None = None) -> None:
        old, self.state = self.state, new
        if old is not new:
            self.states.emit(ConnectionStateChange(old, new, error))
