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
from voxcube.server.c2s.tcp import CLOSE_SECONDS, SessionMaker, peer_address

SUBPROTOCOL = "xmpp"  # RFC 7395 §3.1
MAX_FRAME = 262_144 + 1024  # bytes; the stream's own limit answers before this one


class WebSocketConnection(WSListener):
    """Frames in; the frames out are made by the session and written together."""

    def __init__(self, make: SessionMaker) -> None:
        super().__init__()
        self._make = make
        self._transport: Any = None
        self._socket: Any = None
        self._session: Session | None = None
        self._parts: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._socket = transport.underlying_transport
        self._session = self._make(self, peer_address(self._socket), True)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        session = self._session
        assert session is not None
        kind = frame.msg_type
        if kind is WSMsgType.TEXT or kind is WSMsgType.CONTINUATION:
            payload = frame.get_payload_as_bytes()
            if frame.fin and not self._parts:
                session.receive(payload)
                return
            self._parts.append(payload)
            if sum(map(len, self._parts)) > MAX_FRAME:
                session.fail("policy-violation")
            elif frame.fin:
                payload, self._parts = b"".join(self._parts), []
                session.receive(payload)
        elif kind is WSMsgType.CLOSE:
            session.close()
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif kind is WSMsgType.BINARY:
            session.fail("not-well-formed", "frames must be text")  # RFC 7395 §3.2

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._session is not None:
            self._session.lost()

    def pause_writing(self) -> None:
        if self._session is not None:
            self._session.pause_writing()

    def resume_writing(self) -> None:
        if self._session is not None:
            self._session.resume_writing()

    # -- the session's wire ----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self._socket.write(data)

    def close(self) -> None:
        if not self._transport.is_close_frame_sent:
            self._transport.send_close(WSCloseCode.OK)
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self.abort)

    def abort(self) -> None:
        if self._session is not None and not self._session.ended:
            self._transport.disconnect(False)

    def pause_reading(self) -> None:
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        if not self._socket.is_closing():
            self._socket.resume_reading()


async def listen(make: SessionMaker, host: str, port: int, tls: ssl.SSLContext | None) -> asyncio.Server:
    """Opens a WebSocket door on any path. Raises OSError when the port is taken."""

    def accept(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        chosen = {"Sec-WebSocket-Protocol": SUBPROTOCOL} if SUBPROTOCOL in offered.replace(",", " ").split() else None
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), WebSocketConnection(make))

    # A small first buffer and no second event loop underneath: memory per idle connection (design §8).
    return await ws_create_server(
        accept,
        host,
        port,
        ssl=tls,
        max_frame_size=MAX_FRAME,
        read_buffer_init_size=2048,
        use_aiofastnet=False,
        websocket_handshake_timeout=10,
    )
