"""Accepts the connections of one listening socket."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from voxcube.server.core import peers
from voxcube.server.net.places import Place, Places

AT_ONCE = 64  # connections accepted in one turn of the event loop
PAUSE_SECONDS = 0.5  # without accepting, when descriptors or memory run out
LOG_SECONDS = 10.0  # between two log lines about that
_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

log = logging.getLogger(__name__)
_last_logged = -LOG_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS from the first byte, and how long it may take to begin and to end, in seconds."""

    context: ssl.SSLContext
    handshake_seconds: float
    close_seconds: float


def peer_address(name: tuple[str, int]) -> str:
    """The IP address in a socket's name; one of IPv4 mapped into IPv6 as itself."""
    return str(peers.address(name[0]) or name[0])


class Acceptor:
    """One listening socket. Each accepted connection has its place before anything is read from it."""

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[Place], asyncio.Protocol],
        *,
        group: str,
        places: Places,
        tls: TlsSettings | None = None,
    ) -> None:
        """`make` makes the protocol of a connection, which closes the place when the connection is lost."""
        self._listener = listener
        self._make = make
        self._group = group
        self._places = places
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        self._listen()

    @property
    def address(self) -> tuple[str, int]:
        """The IP address and port."""
        name = self._listener.getsockname()
        return str(name[0]), int(name[1])

    def close(self) -> None:
        """Stop listening. TLS handshakes under way are given up; open connections go on."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        if self._resume is not None:
            self._resume.cancel()
        self._listener.close()
        for task in self._tasks:
            task.cancel()

    def _listen(self) -> None:
        self._resume = None
        self._loop.add_reader(self._listener.fileno(), self._ready)

    def _ready(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):  # the client was gone before
                return
            except OSError as error:
                self._pause(error)
                return
            place = self._places.enter(self._group, peer_address(address))
            if place is None:
                connection.close()
                continue
            connection.setblocking(False)
            task = self._loop.create_task(self._serve(connection, place))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, place: Place) -> None:
        tls = self._tls
        try:
            if tls is None:
                await self._loop.connect_accepted_socket(lambda: self._make(place), connection)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: self._make(place),
                    connection,
                    ssl=tls.context,
                    ssl_handshake_timeout=tls.handshake_seconds,
                    ssl_shutdown_timeout=tls.close_seconds,
                )
        except OSError as error:  # ssl.SSLError is one
            place.close()
            log.debug("a connection failed before its first byte: %s", type(error).__name__)
        except BaseException:
            place.close()
            raise

    def _pause(self, error: OSError) -> None:
        """Connections wait in the backlog meanwhile."""
        global _last_logged
        self._loop.remove_reader(self._listener.fileno())
        self._resume = self._loop.call_later(PAUSE_SECONDS, self._listen)
        now = time.monotonic()
        if now - _last_logged < LOG_SECONDS:
            return
        _last_logged = now
        if error.errno in _SHORT:
            log.error(
                "no connection can be accepted: %s (limit of open files: %s, connections: %s); "
                "raise the limit (LimitNOFILE= of systemd, ulimit -n)",
                error.strerror,
                resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                self._places.held,
            )
        else:
            log.error("no connection can be accepted: %s", error)
