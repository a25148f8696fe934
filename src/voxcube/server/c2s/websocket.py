"""XMPP over WebSocket: a picows listener around a session (RFC 7395)."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from voxcube.server.c2s.session import Session
from voxcube.server.c2s.tcp import SessionMaker, peer_address

SUBPROTOCOL = "xmpp"  # RFC 7395 §3.1
MAX_FRAME = 262_144 + 1024  # bytes; the stream's own limit answers before this one
MAX_BEFORE_LOGIN = 16_384  # of unfinished messages, which the stream has not counted yet


class WebSocketConnection(WSListener):
    """Frames in; the frames out are made by the session and written together."""

    def __init__(self, make: SessionMaker, forwarded: str) -> None:
        super().__init__()
        self._make = make
        self._forwarded = forwarded
        self._transport: Any = None
        self._socket: Any = None
        self._session: Session | None = None
        self._message: bytearray | None = None  # the fragments of an unfinished message

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._socket = transport.underlying_transport
        self._session = self._make(self, peer_address(self._socket), self._forwarded)
        self._session.begin()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        session = self._session
        assert session is not None
        kind = frame.msg_type
        if kind is WSMsgType.TEXT and frame.fin and self._message is None:
            session.receive(frame.get_payload_as_bytes())
        elif kind is WSMsgType.TEXT or kind is WSMsgType.CONTINUATION:
            self._fragment(session, frame, begins=kind is WSMsgType.TEXT)
        elif kind is WSMsgType.CLOSE:
            # RFC 7395 §3.6: without a <close/> before it, the session can still be resumed.
            session.half_closed()
            if not session.ended:
                return
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif kind is WSMsgType.BINARY:
            session.fail("not-well-formed", "frames must be text")  # RFC 7395 §3.2
        else:  # PING, which picows has answered, and PONG
            session.heard()

    def _fragment(self, session: Session, frame: WSFrame, *, begins: bool) -> None:
        """A part of a message (RFC 6455 §5.4)."""
        if begins is (self._message is not None):
            session.fail("not-well-formed", "fragments out of order")
            return
        if self._message is None:
            self._message = bytearray()
        self._message += frame.get_payload_as_bytes()
        if len(self._message) > (MAX_FRAME if session.user_id else MAX_BEFORE_LOGIN):
            session.fail("policy-violation", "stanza too big")
        elif frame.fin:
            payload, self._message = bytes(self._message), None
            session.receive(payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._session is not None:
            self._session.lost(self)

    def pause_writing(self) -> None:
        if self._session is not None:
            self._session.pause_writing()

    def resume_writing(self) -> None:
        if self._session is not None:
            self._session.resume_writing()

    # -- the session's wire ----------------------------------------------------------------------------------------

    def serve(self, session: Session) -> None:
        self._session = session

    def write(self, data: bytes) -> None:
        self._socket.write(data)

    def close(self) -> None:
        session = self._session
        if session is not None and not self._transport.is_close_frame_sent:
            self._transport.send_close(WSCloseCode.OK)
            asyncio.get_running_loop().call_later(session.hub.limits.close_seconds, self.abort)
            self.resume_reading()  # for the peer's close frame

    def abort(self) -> None:
        self._transport.disconnect(False)

    def unwritten(self) -> int:
        size: int = self._socket.get_write_buffer_size()
        return size

    def pause_reading(self) -> None:
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        if not self._socket.is_closing():
            self._socket.resume_reading()


async def listen(
    make: SessionMaker, host: str, port: int, tls: ssl.SSLContext | None, *, upgrade_seconds: float, **more: Any
) -> asyncio.Server:
    """Opens a WebSocket door on any path; `more` goes to `create_server`. Raises OSError when the port is taken."""

    def accept(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        chosen = {"Sec-WebSocket-Protocol": SUBPROTOCOL} if SUBPROTOCOL in offered.replace(",", " ").split() else None
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", []))
        connection = WebSocketConnection(make, forwarded)
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), connection)

    # A small first buffer and no second event loop underneath: memory per idle connection.
    return await ws_create_server(
        accept,
        host,
        port,
        ssl=tls,
        max_frame_size=MAX_FRAME,
        read_buffer_init_size=2048,
        use_aiofastnet=False,
        websocket_handshake_timeout=upgrade_seconds,
        **more,
    )
