"""Serves the ASGI application with uvicorn inside our own event loop; signals and shutdown stay with `app.py`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp

CUT_SECONDS = 0.25  # how long a client may take to answer the end of its TLS connection when the server stops


class HttpServer(uvicorn.Server):
    """One HTTP door."""

    def __init__(self, app: ASGIApp, tls: ssl.SSLContext | None, *, trusted_proxies: Sequence[str] = ()) -> None:
        """Who connects from `trusted_proxies` (addresses, networks) is believed to do so for its X-Forwarded-For."""
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
                ws="none",
            )
        )
        self.config.load()
        self.config.ssl = tls
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are not this server's business."""
        yield

    async def open(self, host: str, port: int) -> None:
        """Starts to serve. Raises OSError when the port is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        self._task = asyncio.create_task(self.serve(sockets=[listener]))
        while not self.started and not self._task.done():  # noqa: ASYNC110 - uvicorn tells by a flag
            await asyncio.sleep(0.005)
        if self._task.done():
            await self._task
            raise OSError("the HTTP server did not start")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it: what is idle is closed at once, the rest when it is answered.

        But a client that keeps an idle TLS connection does not read, and would not hear for long that it is over.
        """
        cutting = asyncio.create_task(self._cut_closing())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_closing(self) -> None:
        """Ends the connections that are closed and have nothing left to be sent, but were not answered."""
        before: set[Any] = set()
        while True:
            transports = [connection.transport for connection in self.server_state.connections]
            closing = {one for one in transports if one.is_closing() and not one.get_write_buffer_size()}
            for transport in closing & before:
                transport.abort()
            before = closing
            await asyncio.sleep(CUT_SECONDS)

    async def close(self) -> None:
        """Finishes the requests under way, then stops."""
        self.should_exit = True
        if self._task is not None:
            await self._task
