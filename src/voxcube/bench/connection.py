"""One user's connection: the handshake by ClientStream, from then on messages as bytes and answers by searching."""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from time import monotonic, time
from typing import Protocol
from xml.sax.saxutils import quoteattr

from voxcube.bench import wire
from voxcube.bench.options import Options
from voxcube.bench.tally import Tally
from voxcube.xmpp import ns
from voxcube.xmpp.client import AuthFailed, Bound, ClientStream, Closed, StreamFailed
from voxcube.xmpp.framing import TcpFraming, WebSocketFraming

_R = f'<r xmlns="{ns.SM}"/>'.encode()


class LoadError(Exception):
    """The load could not be put on the server; the text says why in one line."""


class Wire(Protocol):
    """What a connection needs of its socket."""

    def write(self, stanzas: list[bytes]) -> None: ...
    def close(self) -> None: ...


class Connection:
    """A user. `index` counts from 0 within the run."""

    __slots__ = (
        *("_carry", "_expected", "_h_in", "_h_out", "_loop", "_occupant", "_options", "_out", "_phase", "_sm"),
        *("_stream", "_tally", "_template", "_unacked", "_waiter", "_wire", "_xmlns", "begun", "closed", "due", "gone"),
        *("in_flight", "index", "name", "receivers", "releases"),
    )

    def __init__(self, index: int, options: Options, tally: Tally) -> None:
        number = str(options.first + index)
        self.index = index
        self.name = options.user.replace("{}", number)
        self.begun = 0.0
        self.closed = False
        self.gone = True  # the socket; there is none yet
        self.due = array("d")  # when each message was due (without a rate: when it was sent)
        self.in_flight = 0
        self.receivers = 0
        self.releases: Connection = self  # whose window moves on with what arrives here
        self._options = options
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._out: list[bytes] = []
        self._carry = b""
        self._expected: dict[int, int] = {}
        self._template = b""
        self._sm = False
        self._h_in = self._h_out = 0
        self._unacked: deque[tuple[int, float]] = deque()
        self._occupant = b""
        self._phase = "handshake"
        self._xmlns = f' xmlns="{ns.CLIENT}"' if options.websocket else ""  # RFC 7395 §3.3.3
        self._waiter: asyncio.Future[None] = self._loop.create_future()
        self._stream: ClientStream | None = ClientStream(
            WebSocketFraming() if options.websocket else TcpFraming(),
            options.domain,
            jid_local=self.name,
            password=options.password.replace("{}", number),
            resource=options.resource,
        )

    # -- the socket's side -----------------------------------------------------------------------------------------

    def connected(self, to: Wire) -> None:
        """The socket is there; the handshake begins."""
        self._wire = to
        self.gone = False
        self._write_stream()

    def receive(self, data: bytes) -> None:
        """Bytes (a frame's payload on a WebSocket) have come."""
        if self._stream is not None:
            self._handshake(data)
        else:
            self._search(data)

    def lost(self) -> None:
        """The socket is gone."""
        self.gone = True
        if not self.closed:
            self._failed("the server closed the connection")

    # -- the handshake ---------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Waits until the server has handled the user's presence. Raises LoadError."""
        await self._waiter

    def _handshake(self, data: bytes) -> None:
        assert self._stream is not None
        bound = False
        for event in self._stream.receive(data):
            kind = type(event)
            if isinstance(event, AuthFailed | StreamFailed):
                self._failed(f"{event.condition} {event.text}".strip())
                return
            if kind is Closed:
                self._failed("the server closed the stream")
                return
            bound = bound or kind is Bound
        self._write_stream()
        if bound:
            self._stream = None  # and its parser: what follows is searched
            if self._options.session:
                self._phase = "session"
                text = f'<iq{self._xmlns} type="set" id="session-1"><session xmlns="{ns.SESSION}"/></iq>'
                self._push(text.encode())
            else:
                self._bound()

    def _bound(self) -> None:
        if self._options.sm:
            self._phase = "enable"
            self._push(f'<enable xmlns="{ns.SM}"/>'.encode())
        else:
            self._announce()

    def _announce(self) -> None:
        self._phase = "announce"
        for stanza in wire.announce(self._options.domain, xmlns=self._xmlns):
            self._push_counted(stanza)

    def _progress(self, data: bytes) -> None:
        """What is awaited before the load begins."""
        if self._phase == "enable":
            if b"<enabled" in data:
                self._sm = True
                self._h_in = -wire.stanzas(data)  # nothing before it counts (XEP-0198 §3)
                self._announce()
            elif b"<failed" in data:
                self._failed("the server has no stream management")
        elif self._phase == "join":
            self._joined(data)
        else:
            for tag in wire.iqs(data):
                answered = wire.attribute(tag, b"id")
                if self._phase == "announce" and answered == b"ready-1":
                    self._phase = "ready"
                    self._tally.logins.add(monotonic() - self.begun)
                    self._done()
                elif self._phase == "session" and answered == b"session-1":
                    self._bound()

    async def join(self, room: str, nick: str) -> None:
        """Enters a room, and makes it usable when it is new. Raises LoadError."""
        self._phase = "join"
        self._waiter = self._loop.create_future()
        self._occupant = f"{room}/{nick}".encode()
        self._push_counted(wire.join_room(f"{room}/{nick}", xmlns=self._xmlns))
        await self._waiter

    def _joined(self, data: bytes) -> None:
        room = self._occupant.partition(b"/")[0].lower()
        for tag in wire.presences(data):
            origin = wire.attribute(tag, b"from").lower()
            if wire.attribute(tag, b"type") == b"error" and origin.partition(b"/")[0] == room:
                self._failed(f"{self._occupant.decode()} may not be joined")
            elif origin == self._occupant.lower():
                if b"'201'" in data or b'"201"' in data:  # XEP-0045 §10.1.1
                    self._push_counted(wire.accept_room(room.decode(), xmlns=self._xmlns))
                self._phase = "ready"
                self._done()

    def _done(self) -> None:
        if not self._waiter.done():
            self._waiter.set_result(None)

    def _failed(self, why: str) -> None:
        self.close()
        if self._waiter.done():
            self._tally.disconnected(f"{self.name}: {why}")
        else:
            self._waiter.set_exception(LoadError(f"{self.name}: {why}"))

    # -- messages out ----------------------------------------------------------------------------------------------

    def prepare(self, to: str, kind: str, receivers: int) -> None:
        """Lays out this user's messages; each is expected to arrive at `receivers` connections."""
        options = self._options
        self.receivers = receivers
        self._template = wire.template(
            run=self._tally.run, to=to, kind=kind, saved=options.stored, size=options.size, xmlns=self._xmlns
        )

    def refill(self) -> None:
        """Sends until the window is full."""
        tally = self._tally
        room = self._options.window - self.in_flight
        if room > 0 and tally.windows_open and not self.closed:
            now = monotonic()
            for _ in range(room):
                self.send(now)

    def send(self, due: float) -> None:
        """Sends one message; its latency counts from `due`."""
        if self.closed:
            return
        tally = self._tally
        number = len(self.due)
        self.due.append(due)
        self.in_flight += 1
        tally.sent += 1
        tally.expected += self.receivers
        if tally.start <= due < tally.end:
            tally.sent_measured += 1
        self._push(wire.fill(self._template, self.index * wire.LARGEST + number, int(time())))
        if self._sm:
            self._h_out += 1
            self._unacked.append((self._h_out, due))
            self._push(_R)

    def _push(self, stanza: bytes) -> None:
        if not self._out:
            self._tally.filled(self)
        self._out.append(stanza)

    def _push_counted(self, stanza: bytes) -> None:
        if self._sm:
            self._h_out += 1
        self._push(stanza)

    def flush(self) -> None:
        """Writes what has gathered in this turn of the event loop."""
        out, self._out = self._out, []
        if self._wire is not None and not self.closed:
            self._wire.write(out)

    def _write_stream(self) -> None:
        assert self._stream is not None
        if self._wire is not None and (payloads := self._stream.payloads_to_send()):
            self._wire.write(payloads)

    # -- bytes in: the hot path ------------------------------------------------------------------------------------

    def _search(self, data: bytes) -> None:
        now = monotonic()
        if self._carry:
            data = self._carry + data
        end = wire.whole(data)
        if end < len(data):
            self._carry = data[end:]
            data = data[:end]
        else:
            self._carry = b""
        if b"error" in data:
            numbers, refused = self._tally.finder.delivered(data)
            self._on_errors(data, refused)
        else:
            numbers = self._tally.finder.numbers(data)
        if numbers:
            self._on_messages(numbers, now)
        if self._sm:
            self._on_management(data, now)
        if self._phase != "ready":
            self._progress(data)
        elif b"<iq" in data:
            self._on_iq(data)

    def _on_messages(self, numbers: list[bytes], now: float) -> None:
        tally = self._tally
        start, end = tally.start, tally.end
        tally.delivered += len(numbers)
        if start <= now < end:
            tally.delivered_measured += len(numbers)
        connections, expected, releases, add = tally.connections, self._expected, self.releases, tally.latencies.add
        released = 0
        for digits in numbers:
            index, number = divmod(int(digits), wire.LARGEST)
            sender = connections[index]
            if expected.get(index, 0) != number:
                tally.disorder += 1
            expected[index] = number + 1
            due = sender.due[number]
            if start <= due < end:
                add(now - due)
            if sender is releases:
                released += 1
        if released:
            releases.in_flight -= released
            releases.refill()

    def _on_errors(self, data: bytes, refused: list[bytes]) -> None:
        if refused:
            self._tally.refused(len(refused), data)
            self.in_flight -= len(refused)
            self.refill()
        if b"<stream:error" in data:
            self._failed(data[data.index(b"<stream:error") :][:300].decode(errors="replace"))

    def _on_management(self, data: bytes, now: float) -> None:
        self._h_in += wire.stanzas(data)
        if b"<r" in data and wire.requests(data):
            self._push(f'<a xmlns="{ns.SM}" h="{self._h_in}"/>'.encode())
        h = wire.acknowledged(data) if b"<a" in data else None
        if h is None:
            return
        tally, unacked = self._tally, self._unacked
        start, end = tally.start, tally.end
        while unacked and unacked[0][0] <= h:
            due = unacked.popleft()[1]
            tally.acked += 1
            if start <= due < end:
                tally.acks.add(now - due)

    def _on_iq(self, data: bytes) -> None:
        """Answers the server's pings (XEP-0199); everything it may ask for gets an empty result."""
        for tag in wire.iqs(data):
            if wire.attribute(tag, b"type") == b"get":
                id_, to = (wire.attribute(tag, name).decode() for name in (b"id", b"from"))
                address = f" to={quoteattr(to)}" if to else ""
                self._push_counted(f'<iq{self._xmlns} type="result" id={quoteattr(id_)}{address}/>'.encode())

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the stream; what the server still says is not waited for."""
        if self.closed:
            return
        self.flush()
        self.closed = True
        if self._wire is not None:
            end = f'<close xmlns="{ns.FRAMING}"/>' if self._options.websocket else "</stream:stream>"
            self._wire.write([end.encode()])
            self._wire.close()
