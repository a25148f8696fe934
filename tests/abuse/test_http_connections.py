"""HTTP connections that do nothing, or everything slowly: what they hold, and whether others get in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.abuse.support import PASSWORD, bystanders, memory_mib, report, scaled
from tests.support.server_process import SOURCE, ServerProcess
from tests.support.xmpp_peer import Peer

OLD = Path(__file__).parents[2] / "src" != SOURCE  # an older server does not know the newer options
BODY = 1024 * 1024 - 1


def server_with(data: Path, descriptors: int = 0, **options: Any) -> ServerProcess:
    known = {"unlimited": options["unlimited"]} if OLD and "unlimited" in options else {}
    known = known if OLD else {"request_seconds": 2, **options}
    return ServerProcess(data, descriptors=descriptors, **known)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connections(
    address: tuple[str, int], number: int, data: bytes, sources: int = 1, *, narrow: bool = False
) -> AsyncIterator[list[Streams]]:
    """So many connections that have sent `data`, from loopback addresses in turn."""
    opened: list[Streams] = []
    try:
        for index in range(number):
            plug = socket.socket()
            plug.setblocking(False)
            if narrow:  # hardly anything fits between the server and this client
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plug.bind((f"127.0.1.{1 + index % sources}", 0))
            try:
                async with asyncio.timeout(10):
                    await asyncio.get_running_loop().sock_connect(plug, address)
            except (OSError, TimeoutError):
                plug.close()
                break
            reader, writer = await asyncio.open_connection(sock=plug)
            opened.append((reader, writer))
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                async with asyncio.timeout(0.5):
                    await writer.drain()
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()
        await asyncio.sleep(0)


async def ended(opened: list[Streams], seconds: float) -> int:
    """How many of the connections the server has ended within so many seconds."""

    async def end(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass

    tasks = [asyncio.create_task(end(reader)) for reader, _ in opened]
    done, waiting = await asyncio.wait(tasks, timeout=seconds)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return len(done)


async def login_seconds(server: ServerProcess, app: dict[str, Any], user_id: int, listener: str = "xmpps") -> float:
    """How long a chat login takes; 60 when it does not succeed."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(15):
            peer = await Peer.connect(server.addresses[listener], tls=True, websocket=listener == "wss")
            await peer.login(f"{user_id}-{app['app_id']}", PASSWORD)
            await peer.close()
    except (OSError, TimeoutError, AssertionError):
        return 60.0
    return time.monotonic() - begun


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with server_with(tmp_path / "node") as server:
        yield server


async def test_withheld_bodies(server: ServerProcess) -> None:
    app = server.create_app()
    number = scaled(400)
    head = b"POST /session HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    data = head % BODY + b" " * (BODY - 10)
    before = memory_mib(server)
    async with (
        bystanders(server, app["app_id"]) as latency,
        connections(server.addresses["http"], number, data) as opened,
    ):
        await asyncio.sleep(1)
        peak = memory_mib(server) - before
        over = await ended(opened, 8)
    report("A2 withheld bodies", connections=len(opened), held_mib=round(peak), ended=over, **latency.figures())
    assert peak < 120
    assert over == len(opened)


@pytest.mark.parametrize("sources", [1, 200])
async def test_idle_sockets_lock_nobody_out(tmp_path: Path, sources: int) -> None:
    number = scaled(1100)
    with server_with(tmp_path / "node", 1024, request_seconds=30) as server:
        app = server.create_app()
        user_id = server.create_user(app["app_id"], "ann", PASSWORD)
        async with connections(server.addresses["http"], number, b"", sources) as opened:
            logins = [await login_seconds(server, app, user_id, listener) for listener in ("xmpps", "wss")]
            async with httpx.AsyncClient() as http:
                try:
                    status = (await http.get(f"{server.api_url}/health", timeout=10)).status_code
                except httpx.HTTPError:
                    status = 0
        report("A2 idle sockets", sources=sources, opened=len(opened), xmpps_s=round(logins[0], 2), http=status)
        assert max(logins) < 15
        assert status == 200


async def test_running_out_of_descriptors_is_logged_and_passes(tmp_path: Path) -> None:
    """Chat connections without a cap fill what is left: one line in the log, and the server goes on."""
    with server_with(tmp_path / "node", 140, request_seconds=30, http_connections=0, max_half_open=0) as server:
        app = server.create_app()
        user_id = server.create_user(app["app_id"], "ann", PASSWORD)
        # Files that the server opens behind the accounting: here it has fewer descriptors than it believes.
        server.limit_descriptors(40)
        async with connections(server.addresses["xmpp"], 60, b""):
            async with asyncio.timeout(10):
                while "no connection can be accepted" not in server.log():
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1.5)
            lines = server.log().count("no connection can be accepted")
        server.limit_descriptors(140)
        assert await login_seconds(server, app, user_id) < 15
        assert lines == 1


@pytest.mark.parametrize(
    ("listener", "data", "answer"),
    [
        ("http", b"", b"408"),
        ("http", b"GET /health HTTP/1.1\r\nX-Slow: ", b"408"),
        ("https", b"", b""),  # before TLS
        ("http", b"POST /session HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{", b"408"),
        ("http", b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{", b"200"),
    ],
)
async def test_slow_requests_end(server: ServerProcess, listener: str, data: bytes, answer: bytes) -> None:
    """Also those that go on sending a byte now and then."""
    async with connections(server.addresses[listener], 1, data) as [(reader, writer)]:
        begun, got = time.monotonic(), b""

        async def drip() -> None:
            while True:
                await asyncio.sleep(0.2)
                if data:
                    writer.write(b"x")

        dripping = asyncio.create_task(drip())
        try:
            async with asyncio.timeout(12):
                while piece := await reader.read(4096):
                    got += piece
        except ConnectionError:
            pass
        finally:
            dripping.cancel()
        report("A2 slow request", listener=listener, seconds=round(time.monotonic() - begun, 1))
        assert got[9:12] == answer
        assert time.monotonic() - begun > 1.5


async def test_keep_alive(tmp_path: Path) -> None:
    with server_with(tmp_path / "node", keep_alive_seconds=4) as server:
        request = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
        async with connections(server.addresses["http"], 1, request) as [(reader, writer)]:
            for _ in range(2):  # longer than a request may take, shorter than the connection is kept
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                await reader.readuntil(b"}")
                await asyncio.sleep(2.5)
                writer.write(request)
            assert await ended([(reader, writer)], 10) == 1


def open_sockets(server: ServerProcess) -> int:
    found = 0
    for entry in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(entry).startswith("socket:")
    return found


async def test_slow_readers(tmp_path: Path) -> None:
    """Responses that nobody reads are given up."""
    number = scaled(20)
    request = b"GET /docs/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 400
    with server_with(tmp_path / "node", unlimited=True) as server:
        before, sockets = memory_mib(server), open_sockets(server)
        async with connections(server.addresses["http"], number, request, narrow=True) as opened:
            for _, writer in opened:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
            held, deadline = 0.0, time.monotonic() + 40
            while open_sockets(server) > sockets and time.monotonic() < deadline:
                await asyncio.sleep(0.5)
                held = max(held, memory_mib(server) - before)
            left = max(0, open_sockets(server) - sockets)
        report("A2 slow readers", connections=number, held_mib=round(held), left=left)
    assert held < 150
    assert left == 0
