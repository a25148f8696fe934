"""The kinds of socket under a chat connection: what differs between them is here and in ``websocket.py``."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from typing import Protocol, cast

from voxcube.client.endpoint import Endpoint
from voxcube.client.errors import TransportError


class Wire(Protocol):
    """An open socket as the connection writes to it."""

    def write(self, payloads: list[bytes]) -> None:
        """Sends complete top-level elements, in order."""

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Goes on encrypted, with a peer whose certificate is for ``name``. Raises OSError."""

    def abort(self) -> None:
        """Drops the socket at once."""


class Receiver(Protocol):
    """What a socket tells the connection; the names are those of asyncio's protocols where the meaning is the same."""

    def connected(self, wire: Wire) -> None:
        """The socket is open. It comes first, and once."""

    def data_received(self, data: bytes) -> None:
        """Some bytes, or the payload of one WebSocket frame."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and with it the wire."""

    def pause_writing(self) -> None:
        """The peer takes nothing for now."""

    def resume_writing(self) -> None:
        """It takes more again."""


class StreamWire(asyncio.Protocol):
    """TCP, in TLS from the first byte, later, or not."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self.data_received = receiver.data_received  # type: ignore[method-assign]  # a call less for each segment
        self.pause_writing = receiver.pause_writing  # type: ignore[method-assign]
        self.resume_writing = receiver.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._receiver.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.connection_lost(exc)

    def write(self, payloads: list[bytes]) -> None:
        assert self._transport is not None
        self._transport.write(payloads[0] if len(payloads) == 1 else b"".join(payloads))

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        secure = await loop.start_tls(self._transport, self, context, server_hostname=name)
        if secure is None:  # it was closed meanwhile
            raise ConnectionResetError("the connection ended during the TLS handshake")
        self._transport = secure

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()


def require_websocket() -> None:
    """Raises ImportError with the way out when the WebSocket library is not installed."""
    if importlib.util.find_spec("picows") is None:
        raise ImportError("transport=\"ws\" needs a WebSocket library: pip install 'voxcube[ws]'")


async def dial(endpoint: Endpoint, receiver: Receiver) -> None:
    """Opens a socket to the endpoint; when it returns, ``receiver.connected`` has been called.

    Raises TransportError.
    """
    try:
        if endpoint.transport == "ws":
            from voxcube.client import websocket  # an optional dependency

            await websocket.dial(endpoint, receiver)
        else:
            direct = endpoint.tls if endpoint.transport == "tls" else None
            await asyncio.get_running_loop().create_connection(
                lambda: StreamWire(receiver),
                endpoint.address,
                endpoint.port,
                ssl=direct,
                server_hostname=endpoint.tls_name if direct else None,
            )
    except (OSError, UnicodeError) as error:  # the latter for a host name that is none
        raise TransportError(
            f"cannot connect to {endpoint.where}: {error}", host=endpoint.address, port=endpoint.port
        ) from error
