"""XMPP over TCP: an asyncio protocol around a session (RFC 6120 §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from voxcube.server.c2s.session import Session, Wire

CLOSE_SECONDS = 5.0  # how long a peer may take to read our last words

# Makes the session of a new connection: (wire, peer address, websocket).
SessionMaker = Callable[[Wire, str, bool], Session]


class TcpConnection(asyncio.Protocol):
    """Bytes in, bytes out."""

    __slots__ = ("_make", "_session", "_transport", "write")

    def __init__(self, make: SessionMaker) -> None:
        self._make = make
        self._transport: Any = None
        self._session: Any = None
        self.write: Callable[[bytes], None] = lambda data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._session = self._make(self, peer_address(transport), False)
        self.write = transport.write  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._session.receive(data)

    def eof_received(self) -> bool:
        # A half-closed stream is of no use to anybody: the peer could not answer any more.
        self._session.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.lost()

    def pause_writing(self) -> None:
        self._session.pause_writing()

    def resume_writing(self) -> None:
        self._session.resume_writing()

    # -- the session's wire ----------------------------------------------------------------------------------------

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.close()
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self.abort)

    def abort(self) -> None:
        if not self._session.ended:
            self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


def peer_address(transport: asyncio.BaseTransport) -> str:
    """The IP address of the other end, "" when it has gone already."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if name else ""
