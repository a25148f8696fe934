"""XMPP over WebSocket: an asyncio protocol around a session (RFC 6455, RFC 7395)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any

from voxcube.server.c2s.session import Session
from voxcube.server.c2s.tcp import SessionMaker
from voxcube.server.net.places import Place
from voxcube.xmpp.websocket_frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TOO_BIG,
    Control,
    FrameReader,
    Violation,
    close_frame,
    control_frame,
)
from voxcube.xmpp.websocket_handshake import Refused, head_size, read_upgrade

MAX_FRAME = 262_144 + 1024  # bytes; the stream's own limit answers before this one
MAX_BEFORE_LOGIN = 16_384  # bytes of unfinished messages and of control frames, which the stream has not counted

log = logging.getLogger(__name__)


class WebSocketConnection(asyncio.Protocol):
    """The handshake, then frames in; the frames out are made by the session and written together."""

    __slots__ = (
        *("_answering", "_code", "_controls", "_deadline", "_frames", "_head", "_make", "_origins"),
        *("_paused", "_place", "_pong", "_seconds", "_sent_close", "_session", "_transport", "write"),
    )

    def __init__(
        self, make: SessionMaker, place: Place, *, origins: Collection[str] = ("*",), upgrade_seconds: float = 30.0
    ) -> None:
        """`origins`: web pages that may connect. `upgrade_seconds`: for the whole opening handshake."""
        self._make = make
        self._place = place
        self._origins = origins
        self._seconds = upgrade_seconds
        self._transport: Any = None
        self._session: Session | None = None
        self._head: bytearray | None = bytearray()  # the request, until it is complete
        self._frames: FrameReader | None = None
        self._deadline: asyncio.TimerHandle | None = None  # of the handshake, later of the closing handshake
        self._code = 1000  # with which our close frame answers the peer's
        self._controls = 0  # bytes of control frames before the login
        self._sent_close = False
        self._answering = False  # the peer's close frame, which has its answer before the socket is closed
        self._paused = False
        self._pong: bytes | None = None  # the answer to the last ping, while the socket takes nothing
        self.write: Any = lambda data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.write = transport.write  # type: ignore[attr-defined]
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, transport.abort)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        frames = self._frames
        if frames is None:
            self._shake_hands(data)
            return
        session = self._session
        assert session is not None
        for item in frames.feed(data):
            if type(item) is bytes:
                if not session.ended:
                    session.receive(item)
            elif type(item) is Control:
                self._control(session, item)
            elif type(item) is Violation:
                self._violated(session, item)
        if not session.user_id and frames.unfinished > MAX_BEFORE_LOGIN and not session.ended:
            session.fail("policy-violation", "stanza too big")

    # -- the opening handshake -------------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        head = self._head
        if head is None:
            return  # refused: what else comes is thrown away
        head += data
        try:
            size = head_size(head)
            if not size:
                return
            upgrade = read_upgrade(bytes(head[:size]), origins=self._origins)
        except Refused as refused:
            self._refuse(refused)
            return
        self._head = None
        self._stop_timer()
        self._frames = FrameReader(MAX_FRAME)
        self.write(upgrade.response)
        self._session = self._make(self, self._place, upgrade.forwarded)
        self._session.begin()
        if len(head) > size:
            self.data_received(bytes(head[size:]))

    def _refuse(self, refused: Refused) -> None:
        log.debug("a WebSocket is refused: %s", refused.reason)
        self._head = None
        self.write(refused.response())
        if self._transport.can_write_eof():
            self._transport.write_eof()  # a socket closed with unread bytes in it is reset, and the answer lost
            asyncio.get_running_loop().call_later(2.0, self._transport.abort)
        else:
            self._transport.close()

    # -- control frames --------------------------------------------------------------------------------------------

    def _control(self, session: Session, frame: Control) -> None:
        if frame.opcode == CLOSE:
            self._closed_by_peer(session, frame.code)
        elif frame.opcode == BINARY:
            session.fail("not-well-formed", "frames must be text")  # RFC 7395 §3.2
        else:
            session.heard(len(frame.payload) + 6)
            if not session.user_id:
                self._controls += len(frame.payload) + 6
                if self._controls > MAX_BEFORE_LOGIN:
                    session.fail("policy-violation", "too many pings before the login")
                    return
            if frame.opcode == PING and not self._sent_close:
                if self._paused:
                    self._pong = frame.payload  # only the last ping needs an answer (RFC 6455 §5.5.3)
                else:
                    self.write(control_frame(PONG, frame.payload))

    def _closed_by_peer(self, session: Session, code: int) -> None:
        """RFC 6455 §5.5.1; without a `<close/>` before it the session can still be resumed (RFC 7395 §3.6)."""
        self._code, self._answering = code, True
        session.half_closed()
        self._answering = False
        self._send_close(code)
        self._end()

    def _violated(self, session: Session, violation: Violation) -> None:
        log.debug("a WebSocket is closed: %s", violation.reason)
        self._code = violation.code
        if violation.code == TOO_BIG:
            session.fail("policy-violation", "stanza too big")
        else:
            session.fail("not-well-formed", violation.reason)
        self._send_close(violation.code)
        self._end()

    def _send_close(self, code: int) -> None:
        if not self._sent_close:
            self._sent_close = True
            self.write(close_frame(code))

    def _end(self) -> None:
        """Close TCP, as is the server's part when the closing handshake is complete (RFC 6455 §7.1.1)."""
        transport = self._transport
        if not transport.is_closing():
            self._stop_timer()
            self._deadline = asyncio.get_running_loop().call_later(self._close_seconds, transport.abort)
            transport.close()

    @property
    def _close_seconds(self) -> float:
        return self._session.hub.limits.close_seconds if self._session is not None else 5.0

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def eof_received(self) -> bool:
        return False  # the transport closes

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._place.close()
        if self._session is not None:
            self._session.lost(self)

    def pause_writing(self) -> None:
        self._paused = True
        if self._session is not None:
            self._session.pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        if self._session is not None:
            self._session.resume_writing()
        if self._pong is not None and not self._sent_close:
            self.write(control_frame(PONG, self._pong))
        self._pong = None

    # -- the session's wire ----------------------------------------------------------------------------------------

    def serve(self, session: Session) -> None:
        self._session = session

    def close(self) -> None:
        if self._transport.is_closing():
            return
        self._send_close(self._code)
        self._stop_timer()
        self._deadline = asyncio.get_running_loop().call_later(self._close_seconds, self._transport.abort)
        self.resume_reading()  # for the peer's close frame

    def abort(self) -> None:
        if not self._answering:
            self._transport.abort()

    def unwritten(self) -> int:
        size: int = self._transport.get_write_buffer_size()
        return size

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
