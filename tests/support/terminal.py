"""A program in a terminal (tmux): tests type into it and read its screen."""

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import Self

from tests.support.components import missing

SECONDS = 60.0
LOOK_SECONDS = 0.05


class Terminal:
    """`command` on a screen of 120 columns and 40 rows, with `home` as its home directory and nothing else of ours."""

    def __init__(self, home: Path, *command: str) -> None:
        self._home = home
        self._command = command
        self._socket = home / "tmux.sock"

    async def __aenter__(self) -> Self:
        for program in ("tmux", self._command[0]):
            if shutil.which(program) is None:
                missing(f"{program} is not installed")
        self._home.mkdir(parents=True, exist_ok=True)
        await self._tmux("-f", os.devnull, "new-session", "-d", "-x", "120", "-y", "40", *self._command)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tmux("kill-server", must=False)

    async def type(self, line: str) -> None:
        """Types a line and the return key."""
        await self._tmux("send-keys", "-l", line)
        await self._tmux("send-keys", "Enter")

    async def screen(self) -> str:
        """What is on the screen now."""
        return await self._tmux("capture-pane", "-p", "-J")

    async def until(self, text: str) -> str:
        """The screen, as soon as `text` is on it."""
        deadline = time.monotonic() + SECONDS
        while text not in (screen := await self.screen()):
            assert time.monotonic() < deadline, f"{text!r} did not appear on the screen:\n{screen}"
            await asyncio.sleep(LOOK_SECONDS)  # a terminal tells nobody that it has changed
        return screen

    async def _tmux(self, *words: str, must: bool = True) -> str:
        process = await asyncio.create_subprocess_exec(
            *("tmux", "-S", str(self._socket), *words),
            env={"HOME": str(self._home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert not must or process.returncode == 0, err.decode()
        return out.decode()
