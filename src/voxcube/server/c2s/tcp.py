"""XMPP over TCP: an asyncio protocol around a session (RFC 6120 §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from voxcube.server.c2s.session import Session, Wire

# Makes the session of a new connection: (wire, peer address).
SessionMaker = Callable[[Wire, str], Session]


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
        self._session = self._make(self, peer_address(transport))
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
        transport = self._transport
        if transport.is_closing():
            return
        asyncio.get_running_loop().call_later(self._session.hub.limits.close_seconds, transport.abort)
        if transport.can_write_eof():
            # What the peer has still under way is read and thrown away: a socket closed with unread bytes in it is
            # reset, and our last words with it. The peer's own end closes it.
            transport.write_eof()
            transport.resume_reading()
        else:
            transport.close()  # TLS: as the peer answers close_notify

    def abort(self) -> None:
        self._transport.abort()

    def unwritten(self) -> int:
        size: int = self._transport.get_write_buffer_size()
        return size

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


def peer_address(transport: asyncio.BaseTransport) -> str:
    """The IP address of the other end, "" when it has gone already."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if name else ""
