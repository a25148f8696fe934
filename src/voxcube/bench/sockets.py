"""Sockets of the load generator: TCP, TLS, STARTTLS and WebSocket, each feeding one Connection."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from typing import Any

import picows

from voxcube.bench.connection import Connection, LoadError
from voxcube.bench.options import Options
from voxcube.xmpp.framing import TcpFraming

_TLS = "urn:ietf:params:xml:ns:xmpp-tls"  # RFC 6120 §5
HANDSHAKE_SECONDS = 30.0


class _Tcp(asyncio.Protocol):
    """A byte stream, encrypted or not."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport: Any = None
        self.data_received = connection.receive  # type: ignore[method-assign]  # a call less

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connection.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost()

    def write(self, stanzas: list[bytes]) -> None:
        self._transport.write(stanzas[0] if len(stanzas) == 1 else b"".join(stanzas))

    def close(self) -> None:
        self._transport.close()


class _Frames(picows.WSListener):
    """A WebSocket: one element per text frame (RFC 7395 §3.1)."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._transport: Any = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        self._connection.connected(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT:
            self._connection.receive(frame.get_payload_as_bytes())
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._connection.lost()

    def write(self, stanzas: list[bytes]) -> None:
        for stanza in stanzas:
            self._transport.send(picows.WSMsgType.TEXT, stanza)

    def close(self) -> None:
        self._transport.disconnect()


class _Upgrade(asyncio.Protocol):
    """Asks for TLS on a stream in clear (RFC 6120 §5.4); what is before it is thrown away."""

    def __init__(self, domain: str) -> None:
        self.proceed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._domain = domain
        self._seen = b""
        self._asked = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(TcpFraming().open(to=self._domain))

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if not self._asked and re.search(rb"</(?:stream:)?features>", self._seen):
            self._asked = True
            if b"<starttls" not in self._seen:
                self._end("the server does not offer STARTTLS")
                return
            self._transport.write(f'<starttls xmlns="{_TLS}"/>'.encode())
        elif self._asked and b"<proceed" in self._seen and not self.proceed.done():
            self.proceed.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the server closed the connection before TLS")

    def _end(self, why: str) -> None:
        if not self.proceed.done():
            self.proceed.set_exception(LoadError(why))


def tls_context(options: Options) -> ssl.SSLContext:
    """Checks certificates, except on loopback without `ca_file`: throw-away servers sign their own."""
    context = ssl.create_default_context(cafile=None if options.ca_file is None else str(options.ca_file))
    if options.ca_file is None and _is_loopback(options.host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def connect(connection: Connection, options: Options, context: ssl.SSLContext | None) -> None:
    """Opens the socket of a connection. Raises OSError, LoadError."""
    loop = asyncio.get_running_loop()
    host, port = options.address
    if options.websocket:
        bracketed = f"[{host}]" if ":" in host else host
        try:
            await picows.ws_connect(
                lambda: _Frames(connection),
                f"{options.transport}://{bracketed}:{port}/",
                ssl_context=context,
                websocket_handshake_timeout=HANDSHAKE_SECONDS,
                extra_headers={"Sec-WebSocket-Protocol": "xmpp"},
            )
        except picows.WSError as error:
            raise LoadError(str(error)) from None
    elif options.transport == "starttls":
        assert context is not None
        transport, upgrade = await loop.create_connection(lambda: _Upgrade(options.domain), host, port)
        try:
            await asyncio.wait_for(upgrade.proceed, HANDSHAKE_SECONDS)
            tcp = _Tcp(connection)
            secure = await loop.start_tls(transport, tcp, context, server_hostname=options.domain)
        except BaseException:
            transport.close()
            raise
        assert secure is not None
        tcp.connection_made(secure)
    else:
        name = options.domain if context is not None else None
        await loop.create_connection(lambda: _Tcp(connection), host, port, ssl=context, server_hostname=name)
