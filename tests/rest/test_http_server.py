"""The HTTP door's end: requests under way are answered, and idle connections hold nothing up."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.support.ports import free_port
from voxcube.server import tls
from voxcube.server.config import Config
from voxcube.server.net.addresses import listen
from voxcube.server.rest.http import HttpServer

BODY = b"x" * 3_000_000  # more than the buffers of a connection take


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


class Slow:
    """An application that answers `/slow` when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b"ok"
        if scope["path"] == "/slow":
            self.asked.set()
            await self.go.wait()
            body = BODY
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def ask(port: int, context: ssl.SSLContext | None, path: str) -> tuple[asyncio.StreamReader, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


@pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_a_stop_answers_what_is_asked_and_waits_for_nobody_else(tmp_path: Path, secure: bool) -> None:
    server_context = client_context = None
    if secure:
        server_context = tls.server_context(tls.certificate(Config(data=tmp_path)))
        client_context = ssl.create_default_context()
        client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    application, port = Slow(), free_port()
    server = HttpServer(application, server_context)
    await server.open(listen(["127.0.0.1"], port))
    idle, idle_writer = await ask(port, client_context, "/")
    await idle.readuntil(b"ok")
    idle_writer.transport.pause_reading()  # a client that keeps a connection and does not look at it
    busy, busy_writer = await ask(port, client_context, "/slow")
    await application.asked.wait()
    started = time.monotonic()
    closing = asyncio.create_task(server.close())
    await asyncio.sleep(0.7)
    assert not closing.done()
    application.go.set()
    await busy.readuntil(b"\r\n\r\n")
    for _ in range(len(BODY) // 500_000):  # slower than it is written
        await asyncio.sleep(0.05)
        assert len(await busy.readexactly(500_000)) == 500_000
    await closing
    assert time.monotonic() - started < 3
    for writer in (idle_writer, busy_writer):
        writer.transport.abort()
