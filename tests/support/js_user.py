"""A user of the official JavaScript SDK: a Node process (tests/js/driver.mjs) that takes calls and reports events."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.support.components import missing

DIRECTORY = Path(__file__).parents[1] / "js"
ANSWER_SECONDS = 60.0
LINE_LIMIT = 4 * 1024 * 1024

Config = dict[str, Any]


class JsError(Exception):
    """What the SDK rejected a call with: a text, or an object such as {"code": 401, "info": {…}}."""

    def __init__(self, reason: Any) -> None:
        super().__init__(json.dumps(reason))
        self.reason = reason


class JsUser:
    """One SDK instance (the SDK keeps its state in globals, so one process each).

    `call("chat.dialog.create", {…})` calls a method of the SDK by its path; `event("message")` waits for the next
    event of a kind, whether it came already or not.
    """

    def __init__(self, app_id: int, auth_key: str, config: Config, *, trust: Path | None = None) -> None:
        """`config` as for the SDK's `init`; `trust`: a certificate that Node is to accept."""
        self._start = json.dumps({"appId": app_id, "authKey": auth_key, "config": config})
        self._trust = trust
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._events: list[tuple[str, list[Any]]] = []
        self._arrived = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.version = ""

    async def __aenter__(self) -> Self:
        node = shutil.which("node")
        if node is None:
            missing("Node is not installed")
        if not (DIRECTORY / "node_modules" / "connectycube").exists():
            missing("the JavaScript SDK is not installed: make tests/js/node_modules/.installed")
        environ = {**os.environ, **({"NODE_EXTRA_CA_CERTS": str(self._trust)} if self._trust else {})}
        self._process = await asyncio.create_subprocess_exec(
            node,
            "driver.mjs",
            self._start,
            cwd=DIRECTORY,
            env=environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
        )
        self._reader = asyncio.create_task(self._read())
        (self.version,) = await self.event("ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        process, reader = self._process, self._reader
        assert process is not None
        assert process.stdin is not None
        assert reader is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reader

    async def call(self, path: str, *args: Any) -> Any:
        """Calls a method of the SDK and returns what its promise gives. Raises JsError, TimeoutError."""
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": number, "call": path, "args": args}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            return await future

    async def event(
        self, name: str, where: Callable[..., bool] = lambda *_: True, *, timeout: float = ANSWER_SECONDS
    ) -> list[Any]:
        """Takes the oldest event of this name whose arguments satisfy `where`; waits for it when there is none."""

        def take() -> list[Any] | None:
            for position, (found, args) in enumerate(self._events):
                if found == name and where(*args):
                    del self._events[position]
                    return args
            return None

        try:
            async with asyncio.timeout(timeout), self._arrived:
                while (args := take()) is None:
                    await self._arrived.wait()
                return args
        except TimeoutError:
            raise AssertionError(f"no {name!r} event within {timeout} s; there are {self._events}") from None

    def waiting(self, name: str) -> list[list[Any]]:
        """The arguments of the events of this name that nobody took."""
        return [args for found, args in self._events if found == name]

    async def settle(self) -> None:
        """A ping round trip: what the server sent to this connection before has arrived."""
        await self.call("chat.ping")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "event" in said:
                async with self._arrived:
                    self._events.append((said["event"], said["args"]))
                    self._arrived.notify_all()
            else:
                future = self._answers.pop(said["id"])
                if future.done():
                    continue
                if "error" in said:
                    future.set_exception(JsError(said["error"]))
                else:
                    future.set_result(said["result"])
        for future in self._answers.values():
            if not future.done():
                future.set_exception(JsError("the Node process ended"))
