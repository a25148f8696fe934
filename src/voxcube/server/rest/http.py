"""Serves the ASGI application with uvicorn inside our own event loop; signals and shutdown stay with `app.py`."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from voxcube.server.net.acceptor import Acceptor, TlsSettings
from voxcube.server.net.places import HTTP, Places
from voxcube.server.rest.connection import HttpLimits, connection_maker
from voxcube.server.rest.peer import Peer

CUT_SECONDS = 0.25  # how long a client may take to answer the end of its TLS connection when the server stops


class HttpServer(uvicorn.Server):
    """One HTTP door."""

    def __init__(
        self,
        app: ASGIApp,
        tls: ssl.SSLContext | None,
        *,
        trusted_proxies: Sequence[str] = (),
        limits: HttpLimits | None = None,
        places: Places | None = None,
    ) -> None:
        """Who connects from `trusted_proxies` (addresses, networks) is believed to do so for its X-Forwarded-For.

        `places` counts the connections of all listeners of the node.
        """
        self._limits = limits or HttpLimits()
        super().__init__(
            uvicorn.Config(
                Peer(app, [ipaddress.ip_network(network) for network in trusted_proxies]),
                http="h11",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=self._limits.keep_alive_seconds,  # type: ignore[arg-type]  # any number will do
                proxy_headers=False,  # one rule for all listeners: core/peers.py
                ws="none",
            )
        )
        self._places = places or Places()
        self._acceptors: list[Acceptor] = []
        self.config.load()
        self._tls = tls
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are not this server's business."""
        yield

    async def open(self, listeners: Sequence[socket.socket]) -> None:
        """Start to serve."""
        self._task = asyncio.create_task(self.serve())
        while not self.started and not self._task.done():  # noqa: ASYNC110 - uvicorn tells by a flag
            await asyncio.sleep(0.005)
        if self._task.done():
            await self._task
            raise OSError("the HTTP server did not start")
        tls = None
        if self._tls is not None:
            limits = self._limits
            tls = TlsSettings(
                context=self._tls, handshake_seconds=limits.request_seconds, close_seconds=limits.close_seconds
            )
        make = connection_maker(self.config, self.server_state, self._limits)
        self._acceptors = [Acceptor(one, make, group=HTTP, places=self._places, tls=tls) for one in listeners]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Connections are accepted by `Acceptor`, not by uvicorn."""
        self.servers = []
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it: what is idle is closed at once, the rest when it is answered.

        But a client that keeps an idle TLS connection does not read, and would not hear for long that it is over.
        """
        for acceptor in self._acceptors:
            acceptor.close()
        cutting = asyncio.create_task(self._cut_closing())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_closing(self) -> None:
        """Ends the connections that are closed and have nothing left to be sent, but were not answered."""
        looks: dict[Any, int] = {}
        # What TLS has encrypted may still be on its way to whom was just answered: such a client gets longer.
        connections: set[Any] = set(self.server_state.connections)
        idle = {one.transport for one in connections if one.cycle is None or one.cycle.response_complete}
        while True:
            transports = [connection.transport for connection in self.server_state.connections]
            closing = [one for one in transports if one.is_closing() and not one.get_write_buffer_size()]
            looks = {one: looks.get(one, 0) + 1 for one in closing}
            for transport, seen in looks.items():
                if seen > (1 if transport in idle else 8):
                    transport.abort()
            await asyncio.sleep(CUT_SECONDS)

    async def close(self) -> None:
        """Finishes the requests under way, then stops."""
        self.should_exit = True
        if self._task is not None:
            await self._task
