"""The background job that erases what is gone for everyone, step by step (`storage.erasing`)."""

from __future__ import annotations

import asyncio
import time

from voxcube.server.core.clock import Clock
from voxcube.server.features.apps.service import Transactions
from voxcube.server.storage.erasing import erase_some


class Eraser:
    """Runs on one node."""

    def __init__(self, *, transactions: Transactions, clock: Clock) -> None:
        self._transactions = transactions
        self._clock = clock

    async def run(self) -> None:
        """Erases until nothing is left, at no more than half of the writer's time."""
        while True:
            started = time.perf_counter()
            if not await self._transactions.run(lambda tx: erase_some(tx, self._clock.now())):
                return
            await asyncio.sleep(time.perf_counter() - started)
