"""XMPP over WebSocket from the client's side (RFC 7395): one element in each text frame."""

from __future__ import annotations

import ssl
from typing import Any

import picows

from voxcube.client.endpoint import Endpoint
from voxcube.client.errors import TransportError
from voxcube.client.sockets import Receiver
from voxcube.xmpp import ns

MAX_FRAME = (1 << 20) + 1024  # bytes; the stream's own limit answers before this one

_STANZAS = (b"<message", b"<presence", b"<iq")
_XMLNS = f' xmlns="{ns.CLIENT}"'.encode()


class WebSocketWire(picows.WSListener):
    """A WebSocket below a connection."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self._receiver = receiver
        self._transport: Any = None
        self._parts: list[bytes] = []  # of an unfinished message

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        self._receiver.connected(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind is picows.WSMsgType.TEXT or kind is picows.WSMsgType.CONTINUATION:
            payload = frame.get_payload_as_bytes()
            if not frame.fin or self._parts:
                self._parts.append(payload)
                if sum(map(len, self._parts)) > MAX_FRAME:
                    transport.disconnect(False)
                    return
                payload = b"".join(self._parts)
            if frame.fin:
                self._parts.clear()
                self._receiver.data_received(payload)
        elif kind is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())  # RFC 6455 §5.5.1
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._receiver.connection_lost(None)

    def pause_writing(self) -> None:
        self._receiver.pause_writing()

    def resume_writing(self) -> None:
        self._receiver.resume_writing()

    def write(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            self._transport.send(picows.WSMsgType.TEXT, with_namespace(payload))

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        raise OSError("a WebSocket is not upgraded")  # RFC 7395 §3.8: it is encrypted from the start

    def abort(self) -> None:
        self._transport.disconnect(False)


def with_namespace(payload: bytes) -> bytes:
    """The element with its own namespace: no stream header around it declares one (RFC 7395 §3.3.3)."""
    if not payload.startswith(_STANZAS):
        return payload
    end = payload.index(b">")  # attributes hold none: it is escaped
    if b' xmlns="' in payload[:end]:
        return payload
    if payload[end - 1 : end] == b"/":
        end -= 1
    return payload[:end] + _XMLNS + payload[end:]


async def dial(endpoint: Endpoint, receiver: Receiver) -> None:
    """Opens a WebSocket. Raises OSError, TransportError."""
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    more: dict[str, Any] = {"server_hostname": endpoint.tls_name} if endpoint.tls is not None else {}
    try:
        await picows.ws_connect(
            lambda: WebSocketWire(receiver),
            f"{'wss' if endpoint.tls is not None else 'ws'}://{address}:{endpoint.port}{endpoint.resource}",
            ssl_context=endpoint.tls,
            websocket_handshake_timeout=endpoint.timeout,
            extra_headers={"Sec-WebSocket-Protocol": "xmpp"},  # RFC 7395 §3.1
            max_frame_size=MAX_FRAME,
            max_redirects=0,  # one could lead to an unencrypted address
            use_aiofastnet=False,  # a second event loop underneath has errors of its own
            **more,
        )
    except (picows.WSError, TimeoutError) as error:
        reason = f"no WebSocket at {address}:{endpoint.port}{endpoint.resource}: {str(error) or 'no answer in time'}"
        raise TransportError(reason, host=endpoint.address, port=endpoint.port) from error
