"""One session and its connection: the login, the stanzas that come in, stream management, and the end.

Everything here runs on the event loop. Stanzas are handled one after the other; a handler that must wait (a fact that
is not in memory) makes the stanzas behind it wait, and the socket is not read meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from typing import Any
from xml.sax.saxutils import escape

from voxcube.server.c2s.errors import is_outage
from voxcube.server.c2s.forged import strip_forged
from voxcube.server.c2s.hub import Hub
from voxcube.server.c2s.keepalive import MISSED
from voxcube.server.c2s.outgoing import REQUEST, Outgoing
from voxcube.server.c2s.pace import Pace
from voxcube.server.c2s.wire import NO_WIRE, Wire
from voxcube.server.core.errors import TooManyRequests
from voxcube.server.core.precis import comparison_key
from voxcube.server.net.places import Place
from voxcube.xmpp import sm
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.framing import WS_PING
from voxcube.xmpp.jid import parse_user_local, user_jid
from voxcube.xmpp.server import AuthRequest, BindRequest, Closed, Event, ResumeRequest, ServerStream, StreamState
from voxcube.xmpp.sm import CountTooHigh, InboundAcks, OutboundQueue, Ticket
from voxcube.xmpp.xml import Element, serialize

log = logging.getLogger(__name__)

INBOX_LIMIT = 64  # stanzas that wait behind one before the socket is not read any more
MAX_RESOURCE = 1023  # bytes, RFC 7622 §3.1
FLUTTER = "flutter_"  # how the resources of the Flutter SDK begin (realtime §2.4)

# What belongs to a connection, and changes hands when another one takes over the session.
_CONNECTION = (*("stream", "peer", "door", "_wire", "_websocket"), *("_out", "_out_bytes", "_paused", "_reading"))


class _Settled:
    """An event behind all that was received: when it is handled, everything is."""


_SETTLED = _Settled()


class Session(Outgoing):
    """A client's session and its connection; `delivery.sessions.Target` once it is available.

    With stream management a client may ask that the session outlives the connection: when that breaks, the session is
    `detached`, keeps what it has to say, and goes on with the next connection of its client (`adopt`).
    """

    __slots__ = (
        *("_acks", "_busy", "_inbox", "_looked_away", "_reading", "_resume_seconds", "_settling", "_silent"),
        *("_place", "_slowed", "_task", "_timer", "_unread"),
        *("app_id", "archives", "available", "bare", "carbons", "door"),
        *("flutter", "full", "js", "password_version", "peer", "pending", "presence", "rooms", "token_hash"),
        "turn",
    )

    def __init__(self, hub: Hub, stream: ServerStream, wire: Wire, *, peer: str, place: Place, websocket: bool) -> None:
        """`peer` is the client's IP address. Call `begin` as soon as the wire works."""
        super().__init__(hub, stream, wire, websocket=websocket)
        self.peer = peer
        self.door = ""  # by which it came, as the options name it
        self.app_id = 0
        self.token_hash: str | None = None  # of the session token that it logged in with
        self.password_version = 0  # of the password that it logged in with instead
        self.bare = self.full = ""
        self.available = self.carbons = self.js = self.flutter = False
        self.presence: Element | None = None
        self._looked_away = False
        self.archives = False  # the client reads the archive, so that what it sends belongs there too
        self.rooms: set[str] = set()  # dialogs whose room was joined
        self.pending: dict[str, Any] = {}  # dialog → last message of this session to it that is not committed
        self._acks: InboundAcks | None = None
        self._resume_seconds = 0  # for which it waits for its client without a connection
        self._settling: asyncio.Future[None] | None = None
        self.turn = hub.next_turn()
        self._silent = 0  # rounds of the keep-alive without a sign of life
        self._unread = 0  # bytes that the socket had not taken at the last of them
        self._slowed: asyncio.TimerHandle | None = None  # until it may be read again, as it has sent too fast
        self._reading = True
        self._busy = False
        self._inbox: deque[Any] = deque()
        self._task: asyncio.Task[None] | None = None
        self._place = place  # among the connections of its address that have not logged in
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(
            hub.limits.auth_seconds, self._too_late
        )
        hub.connected.add(self)

    def begin(self) -> None:
        """The wire works. An address that holds too many connections without a login gets no further ones."""
        if self._place.over > 1:
            self.abort()
        elif self._place.over > 0:
            self.fail("policy-violation", "too many connections from your address that have not logged in")

    @property
    def official_sdk(self) -> bool:
        """Whether the client is an official SDK, as far as it can be recognised (realtime §2.4, §2.5)."""
        return self.js or self.flutter

    # -- bytes in --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Bytes (one frame's payload on a WebSocket) have come."""
        self._silent = 0
        events = self.stream.receive(data)
        if self.hub.pace is not None and self.user_id:
            framing = self.stream.framing
            self._keep_pace(self.hub.pace, len(events), len(data) + framing.grown)
            framing.grown = 0
        if self._busy:  # what the stream has to say to it waits as well
            self._inbox.extend(events)
            if len(self._inbox) > INBOX_LIMIT:
                self._read(False)
            return
        for index, event in enumerate(events):
            self._handle(event)
            if self._inbox or self.ended or self._busy:
                self._inbox.extend(events[index + 1 :])
                self._drain()
                break
        if not self._busy:
            self.write_stream()

    def _keep_pace(self, pace: Pace, stanzas: int, size: int) -> None:
        """Stops reading for as long as the user, or the address, sends too fast.

        `size`: bytes received, and what they grow by when they are written again.
        """
        seconds = pace.wait(self.app_id, self.user_id, self.peer, stanzas, size)
        if seconds is None:
            self.fail("policy-violation", "too many stanzas")
        elif seconds and self._slowed is None and not self.ended:
            self._read(False)
            self._slowed = asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._slowed = None
        if not self._busy:
            self._read(True)

    @property
    def upgrading(self) -> bool:
        """Whether TLS is to be negotiated before anything else is read."""
        return self.stream.state is StreamState.UPGRADING

    def secured(self) -> None:
        """TLS is there."""
        self.stream.secured()

    def _drain(self) -> None:
        while self._inbox and not self._busy and not self.ended:
            self._handle(self._inbox.popleft())

    def _handle(self, event: Any) -> None:
        kind = type(event)
        if kind is Element:
            self._stanza(event)
        elif kind is AuthRequest:
            self._wait(self._authenticate(event))
        elif kind is BindRequest:
            self._bind(event)
        elif kind is ResumeRequest:
            self._wait(self._resume(event))
        elif kind is _Settled:
            assert self._acks is not None, "only sessions with stream management are waited for"
            self._acks.when_handled(self._is_settled)
        elif kind is Closed:
            if event.error:
                self.hub.counts.ended.add(event.error)
            self._close_wire()  # with what the stream has said last

    def _wait(self, work: Awaitable[None]) -> None:
        """Runs `work` before the next event is handled."""
        self._busy = True
        self._task = asyncio.ensure_future(self._work(work))

    async def _work(self, work: Awaitable[None]) -> None:
        try:
            await work
            self._busy = False
            self._drain()
            if not self._busy:  # else a new wait has begun, whose task goes on with what is left
                self.write_stream()
                self._read(True)
        except Exception:
            log.exception("a session failed")
            self.fail("internal-server-error")

    def _read(self, on: bool) -> None:
        if on is not self._reading and not self.ended and not (on and (self.hub.stopping or self._slowed is not None)):
            self._reading = on
            if on:
                self._wire.resume_reading()
            else:
                self._wire.pause_reading()

    # -- login -----------------------------------------------------------------------------------------------------

    async def _authenticate(self, request: AuthRequest) -> None:
        self._set_timer(None)  # from here on it is we who take the time
        who = parse_user_local(comparison_key(request.username))
        condition, text = "not-authorized", "Password not verified"
        admission = None
        try:
            if who is not None:
                admission = await self.hub.authenticate(who[1], who[0], request.password, self.peer)
        except TooManyRequests as error:
            condition, text = "temporary-auth-failure", error.text
        except Exception as error:
            if not is_outage(error):
                raise
            condition, text = "temporary-auth-failure", "Try again later"
        if self.ended or self.stream.state is StreamState.CLOSED:  # the client could not wait
            return
        if admission is not None and who is not None:
            self.user_id, self.app_id = who
            self.token_hash = admission.token_hash
            self.password_version = admission.password_version
            self._place.leave()
            self.hub.came(self)
            self.hub.user_sessions.enter(self)
            self._set_timer(self.hub.limits.auth_seconds)  # to bind
            self._follow(self.stream.auth_success())
        else:
            self._set_timer(self.hub.limits.failed_seconds)
            self._follow(self.stream.auth_failure(condition, text))

    def _follow(self, events: list[Event]) -> None:
        """What the client sent without waiting for our answer is handled after it, and before all that came later."""
        self.write_stream()
        self._inbox.extendleft(reversed(events))

    def _bind(self, request: BindRequest) -> None:
        resource = (request.resource or "").strip()
        if len(resource.encode()) > MAX_RESOURCE or not resource.isprintable():
            self._follow(self.stream.bind_error("bad-request"))
            return
        if not resource:
            # Long, random and with letters: JS drops messages whose `from` contains its own resource (quirks A11).
            resource = f"srv-{self.hub.ids.object_id()}-{self.hub.ids.token()[:8]}"
        self.bare = user_jid(self.user_id, self.app_id, self.hub.domain)
        self.full = f"{self.bare}/{resource}"
        self.address = escape(self.full, {'"': "&quot;"}).encode()
        self.flutter = resource.startswith(FLUTTER)
        older = self.hub.bound.get(self.full)
        if older is not None:
            older.fail("conflict")
        self.hub.bound[self.full] = self
        self.hub.user_sessions.bound(self)
        self._set_timer(None)
        self._follow(self.stream.bind(self.full))

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        self._timer = None
        self.fail("connection-timeout")

    # -- stanzas ---------------------------------------------------------------------------------------------------

    def _stanza(self, stanza: Element) -> None:
        name = stanza.name
        if name == "message":
            stanza.attrs["from"] = self.full  # whatever the client claims (realtime §6)
            strip_forged(stanza, self.bare, self.hub.domain)
            ticket = None if self._acks is None else self._acks.received(not self.js or has_content(stanza))
            work = self.hub.dispatch.message(self, stanza, ticket)
        elif name == "iq":
            stanza.attrs["from"] = self.full
            if not self.js and stanza.attrs.get("id", "").endswith(":enableCarbons"):
                self.js = True  # realtime §2.5
            ticket = None if self._acks is None else self._acks.received(not self.js)
            work = self.hub.dispatch.iq(self, stanza, ticket)
        elif name == "presence":
            stanza.attrs["from"] = self.full
            strip_forged(stanza, self.bare, self.hub.domain)
            ticket = None if self._acks is None else self._acks.received(not self.js)
            work = self.hub.dispatch.presence(self, stanza, ticket)
        else:
            self._manage(stanza)
            return
        if work is not None:
            self._wait(work)
        elif self.hub.pressure.full:
            self._wait(self.hub.pressure.room())

    def handled(self, ticket: Ticket | None) -> None:
        """A stanza is handled, durably where it is stored: it may be counted (realtime §5)."""
        if ticket is not None and self._acks is not None:
            for h in self._acks.done(ticket):
                self.send_raw(b'<a xmlns="urn:xmpp:sm:3" h="%d"/>' % h)

    def refused(self, ticket: Ticket | None) -> None:
        """A stanza could not be handled because the server cannot work: it is never counted, the stream ends."""
        if ticket is not None and self._acks is not None:
            self._acks.failed(ticket)
        self.fail("internal-server-error")

    def _manage(self, element: Element) -> None:
        """Stream management (XEP-0198) and client state; the stream lets no other elements through."""
        name = element.name
        if name == "r":
            if self._acks is not None:
                for h in self._acks.request():
                    self.send_raw(b'<a xmlns="urn:xmpp:sm:3" h="%d"/>' % h)
        elif name == "a":
            self._acknowledged(element)
        elif name in ("active", "inactive"):  # XEP-0352
            self.set_inactive(name == "inactive")
        elif name == "enable":
            if self._acks is not None or not self.full:
                self.send_raw(serialize(sm.failed("unexpected-request")))
                return
            self._acks = InboundAcks()
            self._sent = OutboundQueue()
            seconds = self.hub.resumption.seconds
            if seconds and sm.wants_resumption(element):
                wish = sm.read_max(element)
                self._resume_seconds = min(wish, seconds) if wish else seconds
                self.resume_id = self.hub.resumption.admit(self)
                self.send_raw(serialize(sm.enabled(id_=self.resume_id, max_seconds=self._resume_seconds)))
            else:
                self.send_raw(serialize(sm.enabled()))
        elif name == "resume":  # only in place of bind (XEP-0198 §5)
            self.send_raw(serialize(sm.failed("unexpected-request")))

    def _acknowledged(self, element: Element) -> None:
        if self._sent is None:
            return
        try:
            self._settle(sm.read_h(element))
        except RemoteProtocolError as error:
            self.fail(error.condition, error.text, error.detail if isinstance(error, CountTooHigh) else None)

    @property
    def handled_count(self) -> int:
        """How many of the client's stanzas are handled (XEP-0198 `h`)."""
        return 0 if self._acks is None else self._acks.h

    # -- resumption (XEP-0198 §5) ----------------------------------------------------------------------------------

    @property
    def detached(self) -> bool:
        """Whether the session waits for its client's next connection. It is available all the same."""
        return self._wire is NO_WIRE and not self.ended

    def _detach(self) -> None:
        """The connection is broken. What is under way is handled all the same; what is delivered is kept."""
        wire, self._wire = self._wire, NO_WIRE
        wire.abort()
        self._drop_output()
        self._paused = True
        self.hub.connected.discard(self)
        self.hub.resumption.detached(self, self._resume_seconds)
        self._attention_changed()

    def keep_no_more(self) -> None:
        """It is too much: the session cannot be resumed any more.

        A living connection goes on, or a user to whom much was written while away could never come back.
        """
        if self._wire is NO_WIRE:
            self.end()
        else:
            self.hub.resumption.ended(self)
            self.resume_id = ""

    async def _resume(self, request: ResumeRequest) -> None:
        """This connection's client wants to go on with an earlier session."""
        earlier = self.hub.resumption.find(request.previd, self)
        if earlier is not None:
            # What is under way would be sent again by the client, unless it is counted in the answer.
            await earlier.settled()
        if self.ended or self.stream.state is StreamState.CLOSED:  # the client could not wait
            pass
        elif earlier is None or not earlier.resume_id or earlier.ended:
            known = self.hub.resumption.handled(request.previd, self)
            self._follow(self.stream.resume_failed("item-not-found", known))
        else:
            try:
                earlier.adopt(self, request)
            except CountTooHigh as error:
                self.fail(error.condition, error.text, error.detail)
        if earlier is not None:
            earlier._read(True)  # on its own connection, or the new one

    def settled(self) -> asyncio.Future[None]:
        """Done when everything received so far is handled, or the session has ended."""
        settling = self._settling
        if settling is None:
            self._read(False)  # whatever the client says now, it says on its new connection
            settling = self._settling = asyncio.get_running_loop().create_future()
            self._inbox.append(_SETTLED)
            self._drain()
        return asyncio.shield(settling)

    def _is_settled(self) -> None:
        settling, self._settling = self._settling, None
        if settling is not None and not settling.done():
            settling.set_result(None)

    def adopt(self, new: Session, request: ResumeRequest) -> None:
        """Goes on with the connection of `new`, which gets the old one, if there is one, to close it.

        Raises CountTooHigh, and nothing has changed.
        """
        self._settle(request.h)
        assert self._acks is not None
        assert self._sent is not None
        new.flush()  # else nobody knows that these bytes wait to be written
        for name in _CONNECTION:
            mine, its = getattr(self, name), getattr(new, name)
            setattr(self, name, its)
            setattr(new, name, mine)
        self._wire.serve(self)
        new._wire.serve(new)
        self.token_hash = new.token_hash
        self.password_version = new.password_version
        self._silent = 0
        self.hub.resumption.attached(self)
        self.hub.connected.add(self)
        self._attention_changed()
        new._drop_output()
        if new._wire is NO_WIRE:
            self.hub.connected.discard(new)
            new.end()
        else:
            new.fail("conflict", "resumed on another connection")
        events = self.stream.resumed(self.full, self.resume_id, self._acks.h)
        self.write_stream()
        for item in self._sent.unacked():
            assert item is not None
            assert len(item) == 4, "a resumable session keeps its stanzas"
            self.send_raw(item[2] if item[3] is None else item[2] + self.address + item[3])
        self.ask()
        self._inbox.extend(events)
        self._drain()

    # -- keep-alive (realtime §13) ---------------------------------------------------------------------------------

    def heard(self, size: int = 0) -> None:
        """The peer has given a sign of life that is no data: `size` bytes, which count for its rate."""
        self._silent = 0
        if size and self.hub.pace is not None and self.user_id:
            self._keep_pace(self.hub.pace, 0, size)

    def look(self) -> None:
        """A round of the keep-alive (`keepalive.Listener`)."""
        if not self.full or self.ended or not self._reading:
            return  # a login has timers of its own, and who is not read cannot be heard
        unread = self._wire.unwritten()
        # Who reads what was written before is slow, but alive: the ping is behind all of it.
        self._silent = 0 if unread < self._unread else self._silent + 1
        self._unread = unread
        if self._silent > 1 + MISSED:
            log.info("a peer does not answer any more")
            if self.resume_id:
                self.hub.counts.ended.add("connection-timeout")
                self._detach()
            else:
                self.fail("connection-timeout")
        elif self._silent > 1:
            self._ping()

    def _ping(self) -> None:
        """Anything that even a client without features answers."""
        if self._websocket:
            self.send_raw(WS_PING, framed=True)
        elif self._sent is not None:
            self._asked = True
            self.send_raw(REQUEST)
        else:
            # Without a `from` Flutter crashes (quirks A26).
            self.send(
                f'<iq xmlns="jabber:client" type="get" id="ping-{self._silent}" from="{self.hub.domain}" to="'.encode()
                + self.address
                + b'"><ping xmlns="urn:xmpp:ping"/></iq>'
            )

    def set_inactive(self, inactive: bool) -> None:
        """The user looks away from it, or at it again: it gets everything, but counts for pushes (realtime §14)."""
        if inactive is not self._looked_away:
            self._looked_away = inactive
            self._attention_changed()

    @property
    def inactive(self) -> bool:
        """Whether nobody looks at it (`delivery.sessions.Target`)."""
        return self._looked_away or self._wire is NO_WIRE

    def _attention_changed(self) -> None:
        if self.available:
            self.hub.sessions.on_change(self.user_id)

    # -- the end ---------------------------------------------------------------------------------------------------

    def fail(self, condition: str, text: str = "", detail: Element | None = None) -> None:
        """Ends session and connection with a stream error (RFC 6120 §4.9)."""
        if not self.ended:
            self.hub.counts.ended.add(condition)
            self.stream.fail(condition, text, detail)
            self._close_wire()

    def close(self) -> None:
        """Ends session and connection in good order."""
        if not self.ended:
            self.stream.close()
            self._close_wire()

    def half_closed(self) -> None:
        """The client says nothing more, and has not ended its stream."""
        if self.resume_id and not self.ended:
            self._detach()
        else:
            self.close()

    def _close_wire(self) -> None:
        self.write_stream()
        self.flush()
        self.end()
        self._wire.close()

    def stop_reading(self) -> None:
        """The server is about to stop."""
        self._read(False)

    def abort(self) -> None:
        """Ends the connection without another word."""
        self._wire.abort()

    @property
    def written(self) -> bool:
        """Whether the socket has taken everything."""
        return not self._wire.unwritten()

    def lost(self, wire: Wire) -> None:
        """The socket is gone; called once. A stanza whose handling has begun is handled all the same."""
        if wire is not self._wire:
            return  # the session has left it before
        if self.resume_id and not self.ended:
            self._detach()
            return
        self.end()
        self.hub.connected.discard(self)

    def end(self) -> None:
        """From now on nothing is read from the client, and nothing delivered to it."""
        if self.ended:
            return
        self.ended = True
        self._set_timer(None)
        self._inbox.clear()
        self._drop_output()
        if self.hub.bound.get(self.full) is self:
            del self.hub.bound[self.full]
        self._is_settled()
        self.hub.user_sessions.leave(self)
        self.hub.gone(self)
        if self.resume_id:
            self.hub.resumption.ended(self)
        if kept := self.kept:
            self.hub.resumption.undelivered(self, kept)
            self._sent = OutboundQueue()


def has_content(stanza: Element) -> bool:
    """Whether a message is one that JS counts: chat or groupchat, with body or attachment (realtime §5)."""
    if stanza.attrs.get("type") not in ("chat", "groupchat"):
        return False
    if stanza.find("replace") is not None:  # an edit: JS does not wait for its acknowledgement
        return False
    extra = stanza.find("extraParams")
    return stanza.find("body") is not None or (extra is not None and extra.find("attachment") is not None)
