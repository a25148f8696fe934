"""What goes out to a client: gathered and written once per turn of the loop, and kept until it is acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from voxcube.server.c2s.hub import Hub
from voxcube.server.c2s.resumption import Kept
from voxcube.server.c2s.wire import NO_WIRE, Wire
from voxcube.server.delivery.sessions import Screen
from voxcube.xmpp.framing import ws_frame
from voxcube.xmpp.server import ServerStream
from voxcube.xmpp.sm import OutboundQueue

log = logging.getLogger(__name__)

ASK_EVERY = 16  # stanzas sent before the client is asked for an acknowledgement
ASK_BYTES = 65_536  # the same of what is kept
NOTE_BYTES = 64  # of memory for a stanza that is only counted
REQUEST = b'<r xmlns="urn:xmpp:sm:3"/>'


class Outgoing:
    """The half of a session that writes. A slow reader, and one that never acknowledges, has an end."""

    __slots__ = (
        *("_asked", "_handing", "_kept_bytes", "_out", "_out_bytes", "_paused", "_sent", "_websocket", "_wire"),
        *("_written_seq", "address", "ended", "held", "hub", "resume_id", "screen", "stream", "user_id"),
    )

    def __init__(self, hub: Hub, stream: ServerStream, wire: Wire, *, websocket: bool) -> None:
        self.hub = hub
        self.stream = stream
        self._wire = wire
        self._websocket = websocket
        self.user_id = 0
        self.address = b""
        self.ended = False
        self.screen: Screen | None = None  # what keeps stanzas back
        self.held: list[tuple[bytes, bytes, str, int]] | None = None  # what came while late messages are read
        self._written_seq: dict[str, int] | None = None  # private dialog → highest seq written, or left to the history
        # Not acknowledged: what handing it over means, and with a resume_id the stanza itself.
        self._sent: OutboundQueue[tuple[str, int] | Kept | None] | None = None
        self._asked = False
        self.resume_id = ""  # by which the session can be resumed
        self._kept_bytes = 0
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._handing: list[tuple[str, int]] = []
        self._paused = False

    def end(self) -> None:
        """From now on nothing is delivered."""
        raise NotImplementedError

    @property
    def kept(self) -> list[Kept]:
        """What the client may not have, as far as it is kept."""
        unacked = () if self._sent is None else self._sent.unacked()
        return [item for item in unacked if item is not None and len(item) == 4]

    def keep_no_more(self) -> None:
        """It is too much: the session cannot be resumed any more."""
        raise NotImplementedError

    def deliver(self, head: bytes, tail: bytes, dialog_id: str, seq: int) -> None:
        """Writes a stanza addressed to this session (`delivery.sessions.Target`)."""
        if self.held is not None:  # also what has no number: an edit comes behind its message
            self.held.append((head, tail, dialog_id, seq))
            return
        if seq:
            if self._written_seq is None:
                self._written_seq = {}
            elif seq <= self._written_seq.get(dialog_id, 0):
                return
        if self.screen is not None and not self.screen.passes(head):
            # None of the user's sessions will be shown it; but what is before it may not have arrived yet.
            if seq and not self.screen.active and not self._handing and not self._sent:
                self.hub.handed.note(dialog_id, self.user_id, seq)
            return
        if seq:
            self._written_seq[dialog_id] = seq  # type: ignore[index]
        self.hub.counts.delivered += 1
        data = head + self.address + tail
        self.send_raw(ws_frame(data) if self._websocket else data, framed=True)
        if self._sent is None:
            if seq:
                self._handing.append((dialog_id, seq))
        elif self.resume_id:
            self._keep((dialog_id, seq, head, tail))
        elif self._sent.sent((dialog_id, seq) if seq else None) >= ASK_EVERY:
            self.ask()

    def caught_up(self, upto: Mapping[str, int]) -> None:
        """What was stored up to these numbers (dialog → seq) was written, or is left to the history."""
        written = self._written_seq = self._written_seq or {}
        for dialog_id, seq in upto.items():
            written[dialog_id] = max(seq, written.get(dialog_id, 0))

    def send(self, stanza: bytes) -> None:
        """Writes a stanza that is complete already (a reply)."""
        self.send_raw(stanza)
        if self._sent is not None:
            if self.resume_id:
                self._keep(("", 0, stanza, None))
            elif self._sent.sent(None) >= ASK_EVERY:
                self.ask()

    def _keep(self, item: Kept) -> None:
        """What a session that can be resumed was sent is kept until the client has it, or it is too much."""
        assert self._sent is not None
        self._kept_bytes += _size(item)
        if self._sent.sent(item) >= ASK_EVERY or self._kept_bytes >= ASK_BYTES:
            self.ask()
            if self._kept_bytes >= ASK_BYTES:
                self.hub.user_sessions.check_soon(self.user_id)
        if self._kept_bytes > self.hub.limits.unacknowledged_bytes and not self.ended:
            self.keep_no_more()

    def ask(self) -> None:
        """Asks for an acknowledgement, unless one is asked for or nothing is open."""
        if self._sent is None or not len(self._sent):
            return
        if not self._asked:
            self._asked = True
            self.send_raw(REQUEST)
            return
        if len(self._sent) * NOTE_BYTES > ASK_BYTES:
            self.hub.user_sessions.check_soon(self.user_id)
        if len(self._sent) > self.hub.limits.unacknowledged and not self.ended:
            self.too_slow()

    def send_raw(self, data: bytes, *, framed: bool = False) -> None:
        """Puts bytes into the outbox; they are written at the end of this turn of the event loop."""
        if self._websocket and not framed:
            data = ws_frame(data)
        if not self._out:
            self.hub.outboxes.filled(self)
        self._out.append(data)
        if self._paused:
            if self._wire is NO_WIRE:
                self._out.clear()
                return
            self._out_bytes += len(data)
            if self._out_bytes > ASK_BYTES:
                self.hub.user_sessions.check_soon(self.user_id)
            if self._out_bytes > self.hub.limits.outbox_bytes and not self.ended:
                self.too_slow()

    @property
    def waiting_bytes(self) -> int:
        """What is not written, not read or not acknowledged by the client, in memory."""
        unwritten = self._wire.unwritten() if self._paused else 0
        notes = 0 if self._sent is None else len(self._sent) * NOTE_BYTES
        return self._out_bytes + self._kept_bytes + unwritten + notes

    def too_slow(self) -> None:
        """What a slow reader misses comes to it from storage when it is back."""
        log.info("a slow reader is disconnected")
        self.end()
        self._wire.abort()

    def write_stream(self) -> None:
        """Moves what the stream machine has queued into the outbox."""
        data = self.stream.data_to_send()
        if data:
            self.send_raw(data, framed=True)

    def flush(self) -> None:
        """Writes the outbox, unless the socket is full."""
        if self._paused or self.ended or not self._out:
            return
        out = self._out
        self._wire.write(out[0] if len(out) == 1 else b"".join(out))
        self._out = []
        self._out_bytes = 0
        if self._handing:
            note, user_id = self.hub.handed.note, self.user_id
            for dialog_id, seq in self._handing:
                note(dialog_id, user_id, seq)
            self._handing.clear()

    def pause_writing(self) -> None:
        self._paused = True
        self._out_bytes = 0

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    def _settle(self, h: int) -> None:
        """The client has got `h` stanzas. Raises CountTooHigh."""
        assert self._sent is not None
        settled = self._sent.acked(h)
        self._asked = False
        for item in settled:
            if item is None:
                continue
            if item[1]:
                self.hub.handed.note(item[0], self.user_id, item[1])
            if len(item) == 4:
                self._kept_bytes -= _size(item)

    def _drop_output(self) -> None:
        self._out = []
        self._out_bytes = 0
        self._handing.clear()


def _size(item: Kept) -> int:
    return len(item[2]) + (0 if item[3] is None else len(item[3]))
