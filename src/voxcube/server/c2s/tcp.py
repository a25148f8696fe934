"""XMPP over TCP: an asyncio protocol around a session (RFC 6120 §3)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any

from voxcube.server.c2s.session import Session
from voxcube.server.c2s.wire import Wire
from voxcube.server.net.places import Place

# Makes the session of a new connection: (wire, its place, the peer's X-Forwarded-For or "").
SessionMaker = Callable[[Wire, Place, str], Session]

log = logging.getLogger(__name__)


class TcpConnection(asyncio.Protocol):
    """Bytes in, bytes out."""

    __slots__ = ("_is_gone", "_make", "_place", "_session", "_starttls", "_transport", "_upgrade", "write")

    def __init__(self, make: SessionMaker, place: Place, starttls: ssl.SSLContext | None = None) -> None:
        """`starttls` is what TLS is made with when the stream asks for it."""
        self._make = make
        self._place = place
        self._starttls = starttls
        self._upgrade: asyncio.Task[None] | None = None  # while TLS is negotiated
        self._is_gone = False
        self._transport: Any = None
        self._session: Any = None
        self.write: Callable[[bytes], None] = lambda data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.write = transport.write  # type: ignore[attr-defined]
        self._session = self._make(self, self._place, "")
        self._session.begin()

    def data_received(self, data: bytes) -> None:
        self._session.receive(data)
        if self._starttls is not None and self._session.upgrading and self._upgrade is None:
            self._begin_tls(self._starttls)

    def eof_received(self) -> bool:
        # A half-closed stream is of no use to anybody: the peer could not answer any more.
        self._session.half_closed()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._place.close()
            self._session.lost(self)

    def pause_writing(self) -> None:
        self._session.pause_writing()

    def resume_writing(self) -> None:
        self._session.resume_writing()

    # -- STARTTLS --------------------------------------------------------------------------------------------------

    def _begin_tls(self, context: ssl.SSLContext) -> None:
        """The stream has said `<proceed/>`: that is written, and the next byte to be read belongs to TLS."""
        self._transport.pause_reading()
        self._session.flush()
        self.write = lambda data: None  # whatever ends the session now has no words that the client could read
        self._upgrade = asyncio.ensure_future(self._negotiate(context))

    async def _negotiate(self, context: ssl.SSLContext) -> None:
        raw, session = self._transport, self._session
        secure: Any = None
        try:
            secure = await asyncio.get_running_loop().start_tls(
                raw,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=session.hub.limits.auth_seconds,
                ssl_shutdown_timeout=session.hub.limits.close_seconds,
            )
        except (OSError, RuntimeError) as error:  # RuntimeError: the socket was closed meanwhile
            log.debug("no TLS after STARTTLS: %s", type(error).__name__)
        self._upgrade = None
        self._starttls = None
        if secure is None or session.ended:
            raw.abort()
            self.connection_lost(None)  # nobody else says so when the handshake was not finished
            return
        self._transport = secure
        self.write = secure.write
        session.secured()

    # -- the session's wire ----------------------------------------------------------------------------------------

    def serve(self, session: Session) -> None:
        self._session = session

    def close(self) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        if self._upgrade is not None:
            transport.abort()
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
