"""Everybody comes back at once when the server is there again.

`STORM_CLIENTS=2000` makes it a crowd; what it costs the server goes to the log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.server_process import ServerProcess
from voxcube.client import Client, ConnectionState, ReconnectPolicy

log = logging.getLogger(__name__)

CLIENTS = int(os.environ.get("STORM_CLIENTS", "150"))
WITH_PASSWORD = 10  # of them; the others are guests, who log in by token
PASSWORD = "long enough for all"
SECONDS = 30 + CLIENTS * 0.05  # for all to be back
TICKS = os.sysconf("SC_CLK_TCK")

pytestmark = pytest.mark.timeout(120 + CLIENTS * 0.2)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


# How long the server's event loop lets a request wait, again and again. A process of its own: in this one the crowd
# itself would be what it waits for.
WATCH = """
import http.client, sys, time

connection = http.client.HTTPConnection(sys.argv[1])
while True:
    began = time.perf_counter()
    connection.request("GET", "/health")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    print(time.perf_counter() - began, flush=True)
    time.sleep(0.02)
"""


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[list[float]]:
    """Yields a list that has the seconds which other requests waited, when it is over."""
    waits: list[float] = []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WATCH, urlsplit(url).netloc), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield waits
    finally:
        process.kill()
        output, _ = await process.communicate()
        waits += [float(line) for line in output.decode().splitlines()]


async def test_a_crowd_comes_back(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "node", plaintext=True, unlimited=True) as server:
        app = server.create_app()
        host, port = server.addresses["xmpp"]
        crowd: list[Client] = []

        async def come(number: int) -> None:
            cube = Client(
                app_id=app["app_id"],
                auth_key=app["auth_key"],
                api_url=server.api_url,
                chat_host="localhost",
                chat_address=host,
                chat_port=port,
                transport="tcp",
                timeout=SECONDS,
                reconnect=ReconnectPolicy(max_attempts=10_000, delay=0.5, jitter=1.0),
            )
            crowd.append(cube)
            if number < WITH_PASSWORD:
                await cube.auth.create_session()
                user = await cube.users.signup(login=f"user{number}", password=PASSWORD)
                await cube.chat.connect(user.id, PASSWORD)
            else:
                session = await cube.auth.create_session(guest=True, full_name=f"Guest {number}")
                await cube.chat.connect(session.user_id)

        try:
            for start in range(0, CLIENTS, 50):
                await asyncio.gather(*(come(number) for number in range(start, min(start + 50, CLIENTS))))
            await asyncio.to_thread(server.kill)
            async with asyncio.timeout(SECONDS):
                while any(cube.chat.is_ready for cube in crowd):
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(server.start)
            cpu, memory = cpu_seconds(server.pid), memory_mib(server.pid, "VmRSS")
            began = time.perf_counter()
            async with watching(server.api_url) as waits, asyncio.timeout(SECONDS):
                while not all(cube.chat.is_ready for cube in crowd):
                    await asyncio.sleep(0.01)
                lasted = time.perf_counter() - began
            assert waits
            await asyncio.gather(*(cube.chat.ping(timeout=SECONDS) for cube in crowd))
            log.info(
                "%d clients are back after %.1f s: %.0f µs of server CPU each, memory %.0f MiB before, %.0f at most; "
                "another request waited %.0f ms at most",
                len(crowd),
                lasted,
                (cpu_seconds(server.pid) - cpu) / len(crowd) * 1e6,
                memory,
                memory_mib(server.pid, "VmHWM"),
                max(waits) * 1000,
            )
            assert not any(cube.chat.state is ConnectionState.CLOSED for cube in crowd)
            one, other = crowd[0], crowd[-1]
            assert other.chat.user_id is not None
            stream = other.chat.messages()
            sent = await one.chat.send(to_user=other.chat.user_id, body="We are all here")
            assert (await asyncio.wait_for(anext(stream), SECONDS)).id == sent.id
        finally:
            await asyncio.gather(*(cube.close() for cube in crowd))
