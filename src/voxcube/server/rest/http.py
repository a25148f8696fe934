"""Serves the ASGI application with uvicorn inside our own event loop; signals and shutdown stay with `app.py`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp


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

    async def close(self) -> None:
        """Finishes the requests under way, then stops."""
        self.should_exit = True
        if self._task is not None:
            await self._task
