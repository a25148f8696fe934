"""The demo as the README tells it: its people stay the same, and the two example programs meet."""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.components import missing
from tests.support.js_user import DIRECTORY as JS_DIRECTORY
from tests.support.ports import free_port
from tests.support.server_process import SOURCE

EXAMPLES = SOURCE.parent / "examples"
DOORS = ("http", "https", "xmpp", "xmpps", "ws", "wss")


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    """Reads the program's output up to the line that contains `text`."""
    assert process.stdout is not None
    seen = b""
    async with asyncio.timeout(30):
        async for line in process.stdout:
            seen += line
            if text in line.decode():
                return seen.decode()
    raise AssertionError(f"no {text!r} in {seen.decode()!r}")


@asynccontextmanager
async def program(*command: str, cwd: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOXCUBE_")}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**environ, "PYTHONPATH": str(SOURCE)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def demo(data: Path, ports: dict[str, int]) -> tuple[str, ...]:
    flags = [part for door, port in ports.items() for part in (f"--{door}-port", str(port))]
    return (sys.executable, "-m", "voxcube.server.cli", "demo", "--data", str(data), *flags)


async def test_the_demo_keeps_its_people_and_the_examples_meet(tmp_path: Path) -> None:
    ports = {door: free_port() for door in DOORS}
    data = tmp_path / "data"
    async with program(*demo(data, ports), cwd=tmp_path) as server:
        card = await line_with(server, "ready ")
        facts: dict[str, Any] = json.loads((data / "demo.json").read_text())
        assert (data / "demo.json").stat().st_mode & 0o777 == 0o600
        for user in facts["users"]:
            assert re.search(rf"{user['login']} +{user['id']} +{user['password']}", card)
        assert facts["auth_key"] in card
        assert f"http://127.0.0.1:{ports['http']}" in card
        server.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await server.wait() == 0

    async with program(*demo(data, ports), cwd=tmp_path) as server:
        await line_with(server, "ready ")
        assert json.loads((data / "demo.json").read_text()) == facts
        await _tour(tmp_path, data / "demo.json")
        await _examples_meet(tmp_path, data / "demo.json")
        server.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await server.wait() == 0


async def _tour(directory: Path, facts: Path) -> None:
    async with program(sys.executable, str(EXAMPLES / "group_tour.py"), str(facts), cwd=directory) as tour:
        output = await line_with(tour, "bob's history")
        async with asyncio.timeout(30):
            assert await tour.wait() == 0
    for line in ("bob reads instead: Lunch at noon?", "alice sees 👍", "bob finds: Lunch at noon?"):
        assert line in output


async def _examples_meet(directory: Path, facts: Path) -> None:
    node = shutil.which("node")
    if node is None or not (JS_DIRECTORY / "node_modules").exists():
        missing("Node or the JavaScript SDK is not installed")
    # Node looks for packages beside the program, so it runs where the tests' packages can be linked.
    (directory / "node_modules").symlink_to(JS_DIRECTORY / "node_modules")
    shutil.copy(EXAMPLES / "first_chat.mjs", directory)
    python = program(sys.executable, str(EXAMPLES / "first_chat.py"), str(facts), cwd=directory)
    async with python as alice:
        await line_with(alice, "the server has it")  # bob is not there yet: the message waits for him
        async with program(node, "first_chat.mjs", str(facts), cwd=directory) as bob:
            await line_with(bob, "Hello from Python")
            await line_with(alice, "Hello from JavaScript")
