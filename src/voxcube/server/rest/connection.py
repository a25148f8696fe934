"""One HTTP connection: uvicorn's, with a deadline for everything that the peer has to do."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import h11
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from voxcube.server.net.places import Place
from voxcube.server.rest.budget import Budget

SLOWEST = 1_000  # bytes per second of a request body and of a response, counted over each `request_seconds`
LINGER_SECONDS = 2.0  # for a peer to read why its connection is closed

_REASONS = {400: b"Bad Request", 408: b"Request Timeout"}

# Requests that are no HTTP, and asked-for upgrades, are no events of ours: only errors are logged.
_log = logging.getLogger("uvicorn.error.connection")
_log.setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """How long a peer may take, and what unread responses may hold."""

    request_seconds: float = 20.0  # for the TLS handshake and a request head; a body or response must go on in each
    keep_alive_seconds: float = 75.0  # more than the usual 60 s of proxies, which then never meet a closed connection
    close_seconds: float = 30.0  # for the end of TLS
    unread_bytes: int = 256 * 1024 * 1024  # of all responses that the peers have not read
    unread_of_address: int = 64 * 1024 * 1024


class HttpConnection(H11Protocol):
    """Ends a connection whose peer is too slow: with its head, its body, or reading the response."""

    def __init__(self, config: Config, state: ServerState, place: Place, limits: HttpLimits, unread: Budget) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.logger = _log
        self._place = place
        self._limits = limits
        self._unread = unread
        self._charged = 0  # bytes in `unread`
        self._deadline = 0.0  # of the request; 0: there is none
        self._timer: asyncio.TimerHandle | None = None
        self._body_due = False  # whether a body is awaited
        self._body_bytes = 0  # of it since the deadline was set
        self._unwritten = 0  # of the response, when it was looked at last
        self._write_timer: asyncio.TimerHandle | None = None

    # -- the protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            self.client = (self._place.address, self.client[1])  # IPv4 mapped into IPv6 as itself
        self._due(self.loop.time() + self._limits.request_seconds)
        self._place.idle(self._evict)

    def data_received(self, data: bytes) -> None:
        self._place.idle(None)
        self._body_bytes += len(data)
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.close()
        self._release()
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._write_timer = None
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    @property
    def _cycle(self) -> Any:
        """The last request, None before the first one."""
        return self.cycle

    def _follow(self) -> None:
        """Set the deadline of what the peer has to do next."""
        theirs = self.conn.their_state
        if theirs is h11.SEND_BODY:
            if not self._body_due:
                self._body_due, self._body_bytes = True, 0
                self._due(self.loop.time() + self._limits.request_seconds)
            return
        self._body_due = False
        if theirs is not h11.IDLE:
            self._deadline = 0.0  # the response is ours to make
        elif self.conn.trailing_data[0]:
            if not self._deadline:  # the first bytes of a request head
                self._due(self.loop.time() + self._limits.request_seconds)
        elif self._cycle is not None and not self.transport.is_closing():
            self._deadline = 0.0  # kept alive: uvicorn's timer runs
            if not self.flow.write_paused:
                self._place.idle(self._evict)

    # -- a slow request --------------------------------------------------------------------------------------------

    def _due(self, deadline: float) -> None:
        self._deadline = deadline
        if self._timer is None:
            self._timer = self.loop.call_at(deadline, self._look)

    def _look(self) -> None:
        """The timer runs to the deadline that there was when it was set."""
        self._timer = None
        if not self._deadline or self.transport.is_closing():
            return
        if self.loop.time() < self._deadline - 0.001:
            self._timer = self.loop.call_at(self._deadline, self._look)
        elif self._body_due and self._body_bytes >= SLOWEST * self._limits.request_seconds:
            self._body_bytes = 0
            self._due(self._deadline + self._limits.request_seconds)
        else:
            self._end(408, "The request did not arrive in time")

    def _end(self, status: int, reason: str) -> None:
        """Say why, when nothing was answered yet, and close."""
        cycle = self._cycle
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not (cycle and cycle.response_started):
            body = msgspec.json.encode({"errors": {"base": [reason]}})
            self.transport.write(
                b"HTTP/1.1 %d %b\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n"
                b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
                % (status, _REASONS[status], len(body))
                + body
            )
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """The peer speaks no HTTP."""
        self._end(400, msg)

    def _evict(self) -> None:
        """The place is needed for another connection."""
        self.transport.abort()

    # -- a slow reader ---------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._place.idle(None)
        size = self.transport.get_write_buffer_size()
        self._release()
        if not self._unread.fits(self._place.address, size):
            self.transport.abort()
            return
        self._unread.add(self._place.address, size)
        self._charged = self._unwritten = size
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._limits.request_seconds, self._is_read)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._release()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        self._follow()

    def _is_read(self) -> None:
        """Look whether the peer has read enough of the response since the last look."""
        self._write_timer = None
        size = self.transport.get_write_buffer_size()
        if self._unwritten - size < SLOWEST * self._limits.request_seconds:
            self.transport.abort()
            return
        self._unwritten = size
        self._write_timer = self.loop.call_later(self._limits.request_seconds, self._is_read)

    def _release(self) -> None:
        if self._charged:
            self._unread.add(self._place.address, -self._charged)
            self._charged = 0

    def timeout_keep_alive_handler(self) -> None:
        if self.flow.write_paused:  # the response is still on its way, and has a deadline of its own
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()


def connection_maker(config: Config, state: ServerState, limits: HttpLimits) -> Any:
    """Returns what makes the protocol of a connection from its place."""
    unread = Budget(limits.unread_bytes, limits.unread_of_address)
    return lambda place: HttpConnection(config, state, place, limits, unread)
