"""One chat connection: a socket, the stream machine on it, and the counters of stream management."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from voxcube.client import wire
from voxcube.client.endpoint import Endpoint
from voxcube.client.errors import AuthenticationFailed, ChatTimeout, NotConnected, SessionReplaced, TransportError
from voxcube.client.receipts import Receipt
from voxcube.client.sockets import Wire, dial
from voxcube.client.stream_session import StreamSession
from voxcube.xmpp import ns, sm, stanza
from voxcube.xmpp.client import (
    Authenticated,
    AuthFailed,
    Bound,
    ClientStream,
    Closed,
    Resumed,
    ResumeFailed,
    StartTls,
    StreamFailed,
)
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.framing import Framing, TcpFraming, WebSocketFraming
from voxcube.xmpp.jid import Jid
from voxcube.xmpp.xml import Element, serialize

log = logging.getLogger("voxcube.client")

GOODBYE = 2.0
KEEP_ALIVE = 60.0
KEEP_ALIVE_TIMEOUT = 10.0
# Stanzas that nobody waits for are acknowledged now and then all the same, so that their queue stays short.
UNREQUESTED = 100
# Seconds after which the server is told, unasked, that listeners have messages it was not told about before.
ACKNOWLEDGE_AFTER = 1.0
# What gathers in one turn of the loop beyond this is written at once, so that the socket can say that it is full.
GATHER = 65536

_STANZAS = frozenset(("message", "presence", "iq"))


class Connection:
    """Made by ``open``, which returns it when a resource is bound or an earlier session resumed.

    What is written in one turn of the event loop goes out in one piece, followed by one request for acknowledgement if
    anybody waits for it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stream: ClientStream,
        *,
        stream_management: bool,
        session: StreamSession | None,
        on_authenticated: Callable[[], None],
        on_unresumed: Callable[[], None],
        on_stanza: Callable[[Element, Receipt], None],
        on_confirmed: Callable[[str], None],
        on_lost: Callable[[Exception], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._stream = stream
        self._stream_management = stream_management
        self._on_authenticated = on_authenticated
        self._on_unresumed = on_unresumed
        self._on_stanza = on_stanza
        self._on_confirmed = on_confirmed
        self._on_lost = on_lost
        self.session = session
        self.resumed = False
        self.replaced: SessionReplaced | None = None
        """Set when another connection under the same resource has ended this one."""
        self._wire: Wire | None = None
        self._upgrade: asyncio.Task[None] | None = None
        self._bound: asyncio.Future[Jid] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._over = False
        # Writing
        self._out: list[bytes] = []
        self._out_size = 0
        self._writable: asyncio.Future[None] | None = None
        # Requests (RFC 6120 §8.2.3)
        self._answers: dict[str, asyncio.Future[Element]] = {}
        self._id_prefix = secrets.token_hex(4)
        self._ids = 0
        self._ask = False  # for an acknowledgement, at the end of this turn of the loop
        self._acknowledging: asyncio.TimerHandle | None = None
        # Keep-alive
        self._heard = self._loop.time()
        self._heard_at = time.time()  # while the machine sleeps only this clock goes on
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        local: str,
        password: str,
        resource: str | None,
        *,
        stream_management: bool,
        session: StreamSession | None,
        on_authenticated: Callable[[], None],
        on_unresumed: Callable[[], None],
        on_stanza: Callable[[Element, Receipt], None],
        on_confirmed: Callable[[str], None],
        on_lost: Callable[[Exception], None],
    ) -> Connection:
        """Connects, logs in, and resumes ``session`` or binds.

        ``on_unresumed`` is called when the session is over for good, before anything of the new one; ``on_lost`` once
        if the connection ends by itself after it was made.

        Raises AuthenticationFailed and TransportError.
        """
        framing: Framing = WebSocketFraming() if endpoint.transport == "ws" else TcpFraming()
        stream = ClientStream(
            framing,
            endpoint.domain,
            jid_local=local,
            password=password,
            resource=resource,
            resume=session.resume if session is not None else None,
            starttls=endpoint.transport == "starttls",
        )
        connection = cls(
            endpoint,
            stream,
            stream_management=stream_management,
            session=session,
            on_authenticated=on_authenticated,
            on_unresumed=on_unresumed,
            on_stanza=on_stanza,
            on_confirmed=on_confirmed,
            on_lost=on_lost,
        )
        try:
            await dial(endpoint, connection)
            await connection._bound
        except AuthenticationFailed:
            await connection.close()  # the server leaves it open for another try
            raise
        except BaseException:
            connection.abort()
            raise
        connection._keeper = asyncio.create_task(connection._keep_alive())
        return connection

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return not self._over

    @property
    def silence(self) -> float:
        """Seconds since the server was last heard."""
        return max(self._loop.time() - self._heard, time.time() - self._heard_at)

    @property
    def acknowledges(self) -> bool:
        """Whether the server confirms what it has handled."""
        return self.session is not None and self.session.asked

    # Writing

    def write(self, element: Element | bytes, *, confirms: str | None = None) -> None:
        """Sends one stanza. ``confirms``: report this message id when the server has counted the stanza."""
        if self._over:
            return
        data = element if isinstance(element, bytes) else serialize(element)
        if self.session is not None and self.session.asked:
            waiting = self.session.sent(data, confirms)
            self._ask = self._ask or confirms is not None or waiting % UNREQUESTED == 0
        self._queue(data)

    async def writable(self) -> None:
        """Waits while the peer takes nothing more. Raises NotConnected when the connection ends."""
        while self._writable is not None:
            await asyncio.shield(self._writable)
        if self._over:
            raise NotConnected("the connection has ended")

    def request(self, iq: Element, timeout: float) -> asyncio.Future[Element]:
        """Sends an iq under a new id. The future has its result, or raises StanzaError, ChatTimeout, NotConnected.

        Raises ValueError for what cannot be sent, as `wire.encode`.
        """
        self._ids += 1
        iq_id = f"{self._id_prefix}-{self._ids}"
        answer: asyncio.Future[Element] = self._loop.create_future()
        if self._over:
            answer.set_exception(NotConnected("the connection has ended"))
            return answer
        iq.attrs["id"] = iq_id
        data = wire.encode(iq)
        self._answers[iq_id] = answer
        timer = self._loop.call_later(timeout, self._unanswered, iq_id, timeout)

        def forget(_: asyncio.Future[Element]) -> None:
            timer.cancel()
            self._answers.pop(iq_id, None)

        answer.add_done_callback(forget)
        self.write(data)
        return answer

    async def ping(self, timeout: float) -> None:
        """One request and its answer (XEP-0199). Raises ChatTimeout and NotConnected."""
        await self.request(stanza.iq("get", "", Element("ping", {"xmlns": ns.PING})), timeout)

    def _unanswered(self, iq_id: str, timeout: float) -> None:
        answer = self._answers.get(iq_id)
        if answer is not None and not answer.done():
            answer.set_exception(ChatTimeout(f"the server did not answer in {timeout:g} s"))

    def _queue(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size > GATHER:
            self._flush()

    def _flush(self) -> None:
        if self._over or self._wire is None:
            return
        if self._ask:
            self._ask = False
            self._out.append(serialize(sm.request()))
        payloads = self._stream.payloads_to_send() + self._out
        self._out = []
        self._out_size = 0
        if payloads:
            self._wire.write(payloads)

    # Ending

    async def close(self) -> None:
        """Ends the stream, then the socket (RFC 6120 §4.4); waits for the server at most two seconds."""
        if not self._over:
            if self.session is not None and self.session.has_news:
                # Else the server would deliver these messages again to the next session.
                self._queue(serialize(self.session.ack()))
            self._flush()
            self._stream.close()
            self._flush()
        self._finish(NotConnected("the connection was closed"))
        if self._wire is not None:
            await asyncio.wait([self._gone], timeout=GOODBYE)
            self._wire.abort()
            await asyncio.wait([self._gone], timeout=GOODBYE)

    def abort(self) -> None:
        """Drops the socket at once."""
        self._finish(NotConnected("the connection was dropped"))
        if self._wire is not None:
            self._wire.abort()

    def _lose(self, error: Exception) -> None:
        """The connection ended by itself."""
        if self._over:
            return
        was_bound = self._bound.done()
        self._finish(error)
        if self._wire is not None:
            self._wire.abort()
        if was_bound:
            self._on_lost(error)

    def _finish(self, error: Exception) -> None:
        if self._over:
            return
        self._over = True
        if self._keeper is not None and self._keeper is not asyncio.current_task():
            self._keeper.cancel()
        if self._acknowledging is not None:
            self._acknowledging.cancel()
        if self._upgrade is not None and self._upgrade is not asyncio.current_task():
            self._upgrade.cancel()
        if not self._bound.done():
            self._bound.set_exception(error)
            self._bound.exception()  # seen, even if nobody waits any more
        for answer in tuple(self._answers.values()):
            if not answer.done():
                answer.set_exception(NotConnected(f"the connection ended before the answer: {error}"))
                answer.exception()
        self.resume_writing()

    # What the socket tells

    def connected(self, wire: Wire) -> None:
        self._wire = wire
        if self._over:
            wire.abort()
        else:
            self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._heard_at = time.time()
        for event in self._stream.receive(data):
            if self._over:
                return
            if isinstance(event, Element):
                self._element(event)
            elif isinstance(event, StartTls):
                self._upgrade = asyncio.create_task(self._secure())
            elif isinstance(event, Authenticated):
                self._on_authenticated()
            elif isinstance(event, AuthFailed):
                self._bound.set_exception(AuthenticationFailed(event.condition, event.text))
                return
            elif isinstance(event, Bound):
                self._enter(Jid.parse(event.jid))
            elif isinstance(event, Resumed):
                self._resume(event.h)
            elif isinstance(event, ResumeFailed):
                self._give_up_session(event.h)
            elif isinstance(event, StreamFailed):
                if event.condition == "conflict" and self._bound.done():
                    self.replaced = SessionReplaced(event.text)
                if self.session is not None and not self._bound.done():
                    self._give_up_session(None)  # asking for it again would fail again
                said = f"{event.condition}: {event.text}" if event.text else event.condition
                self._flush()
                self._lose(self.replaced or self._failure(f"the chat stream failed: {said}"))
            elif isinstance(event, Closed):
                self._flush()
                self._lose(self._failure("the server closed the chat stream"))
        self._flush()

    async def _secure(self) -> None:
        """The server is ready for TLS (RFC 6120 §5.4.3)."""
        assert self._wire is not None
        assert self._endpoint.tls is not None
        try:
            await self._wire.start_tls(self._endpoint.tls, self._endpoint.tls_name)
        except OSError as error:
            self._lose(self._failure(f"no TLS: {error}"))
            return
        self._stream.secured()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
        self._lose(self._failure(f"the chat connection was lost: {exc or 'closed by the other side'}"))

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # What the server says

    def _enter(self, jid: Jid) -> None:
        session = self.session = StreamSession(jid)
        if self._stream_management and self._stream.sm_offered:
            # XEP-0198 §4: both sides count from here on.
            self._queue(serialize(sm.enable(resume=True)))
            session.asked = True
        if not self._bound.done():
            self._bound.set_result(jid)

    def _resume(self, h: int) -> None:
        """The session goes on (XEP-0198 §5): what the server does not have of it is sent again."""
        session = self.session
        assert session is not None
        try:
            self._confirm(session.acked(h))
        except RemoteProtocolError as error:
            self._give_up_session(None)
            self._break(error)
            return
        self.resumed = True
        session.resumed()
        for data in session.unacked():
            self._queue(data)
            self._ask = True
        if not self._bound.done():
            self._bound.set_result(session.jid)

    def _give_up_session(self, h: int | None) -> None:
        """The session is over; the server may remember how far it got."""
        assert self.session is not None
        if h is not None:
            try:
                self._confirm(self.session.acked(h))
            except RemoteProtocolError as error:
                log.warning("the server has handled what was never sent: %s", error)
        self.session = None
        self._on_unresumed()

    def _break(self, error: RemoteProtocolError) -> None:
        self._stream.fail(error.condition, error.text)
        self._flush()
        self._lose(self._failure(f"the server broke stream management: {error}"))

    def _failure(self, reason: str) -> TransportError:
        return TransportError(reason, host=self._endpoint.address, port=self._endpoint.port)

    def _element(self, element: Element) -> None:
        if element.name in _STANZAS:
            session = self.session
            if session is not None and session.is_repeated(element):
                return
            receipt = Receipt()
            try:
                self._stanza(element, receipt)
            except Exception:
                # One stanza that we cannot read must not end the connection.
                log.exception("a <%s/> from the server could not be handled", element.name)
            if session is not None:
                session.received(element, receipt)
                if receipt.is_open:
                    receipt.then(self._acknowledge_later)
        elif element.xmlns == ns.SM:
            try:
                self._manage(element)
            except RemoteProtocolError as error:
                self._break(error)

    def _acknowledge_later(self, _: bool) -> None:
        """A listener has a message that arrived before: the server may be waiting to be told."""
        if self._acknowledging is None and not self._over:
            self._acknowledging = self._loop.call_later(ACKNOWLEDGE_AFTER, self._acknowledge)

    def _acknowledge(self, asked: bool = False) -> None:
        if not asked:
            self._acknowledging = None
        if not self._over and self.session is not None and (asked or self.session.has_news):
            self._queue(serialize(self.session.ack()))

    def _manage(self, element: Element) -> None:
        session = self.session
        if session is None:
            return
        if element.name == "r":
            # Readers that were just woken take what came with the request first.
            self._loop.call_soon(self._acknowledge, True)
        elif element.name == "a":
            self._confirm(session.acked(sm.read_h(element)))
        elif element.name == "enabled":
            session.enabled(element)
        elif element.name == "failed" and session.asked:
            log.warning("the server refused stream management; messages are not confirmed")
            self._confirm(session.refused())

    def _confirm(self, message_ids: list[str]) -> None:
        for message_id in message_ids:
            self._on_confirmed(message_id)

    def _stanza(self, element: Element, receipt: Receipt) -> None:
        if element.name != "iq":
            self._on_stanza(element, receipt)
            return
        kind = element.get("type")
        if kind in ("result", "error"):
            iq_id = element.get("id") or ""
            answer = self._answers.get(iq_id)
            if answer is None and kind == "result" and not iq_id.startswith(self._id_prefix):
                self._on_stanza(
                    element, receipt
                )  # last activities come as results that nobody has asked for (realtime §12.1)
            elif answer is not None and not answer.done():
                if kind == "result":
                    answer.set_result(element)
                else:
                    answer.set_exception(wire.stanza_error(element))
        elif kind == "get" and element.find("ping", ns.PING) is not None:
            self.write(stanza.iq_result(element))
        elif kind == "set" and element.find("query", ns.ROSTER) is not None and self._is_own(element.get("from")):
            self._on_stanza(element, receipt)
            self.write(stanza.iq_result(element))
        elif kind in ("get", "set"):
            self.write(stanza.error_reply(element, "service-unavailable"))  # RFC 6120 §8.4

    def _is_own(self, address: str | None) -> bool:
        """Whether a request is the account's own (RFC 6121 §2.1.6: nobody else may push contacts)."""
        return not address or (self.session is not None and address == self.session.jid.bare)

    async def _keep_alive(self) -> None:
        """Notices a dead connection: a ping after a minute of silence, unanswered for ten seconds."""
        while not self._over:
            silent = self.silence
            if silent < KEEP_ALIVE:
                await asyncio.sleep(KEEP_ALIVE - silent)
                continue
            try:
                await self.ping(KEEP_ALIVE_TIMEOUT)
            except ChatTimeout:
                if self.silence >= KEEP_ALIVE_TIMEOUT:  # else the answer is behind much that comes slowly
                    self._lose(self._failure("the chat server does not answer any more"))
            except NotConnected:
                return
            except Exception:
                pass  # an error is an answer too
