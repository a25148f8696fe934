"""What a node does without being asked: ticks of its own, and background jobs that one node does for all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from voxcube.server.core.clock import Clock
from voxcube.server.storage import presence
from voxcube.server.storage.database import Tx
from voxcube.server.storage.writer import Writer

log = logging.getLogger(__name__)

LEASE_SECONDS = 30


class Jobs:
    """Runs functions at intervals. One that fails is run again at its next turn."""

    def __init__(self, writer: Writer, clock: Clock, node: str) -> None:
        self._writer = writer
        self._clock = clock
        self._node = node
        self._tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, run: Callable[[], Awaitable[object]]) -> None:
        """Runs `run` on this node every `seconds`."""
        self._tasks.append(asyncio.create_task(self._repeat(seconds, run)))

    def one_node(self, name: str, seconds: float, run: Callable[[], Awaitable[object]]) -> None:
        """Runs `run` every `seconds` on exactly one of the nodes: the one that holds the job's lease."""

        async def leased() -> None:
            now = self._clock.now()
            until = now + int(seconds * 2) + LEASE_SECONDS

            async def take(tx: Tx) -> bool:
                return await presence.take_job(tx, name, self._node, now, until)

            if await self._writer.run(take):
                await run()

        self.every(seconds, leased)

    async def _repeat(self, seconds: float, run: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await run()
            except Exception as error:
                log.warning("a background job failed: %s: %s", type(error).__name__, error)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
