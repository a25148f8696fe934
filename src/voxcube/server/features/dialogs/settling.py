"""Keeping users' lists of dialogs sorted, once what happened in a dialog is over (storage/inbox.py)."""

from __future__ import annotations

from voxcube.server.core.clock import Clock
from voxcube.server.features.apps.service import Transactions
from voxcube.server.storage import inbox
from voxcube.server.storage.database import Database

SETTLE_SECONDS = 2.0


class Settling:
    """Writes the copies that lists are sorted by, for dialogs that have become quiet."""

    def __init__(self, *, database: Database, transactions: Transactions, clock: Clock) -> None:
        self._database = database
        self._transactions = transactions
        self._clock = clock

    async def turn(self) -> None:
        """Everything that is to be done now; called every SETTLE_SECONDS. Several nodes may do it at once."""
        while True:
            now_ms = self._clock.now_ms()
            ids = await self._database.read(lambda tx: inbox.quiet(tx, now_ms))  # noqa: B023 - run at once
            if ids:
                await self._transactions.run(lambda tx: inbox.settle(tx, ids, now_ms))  # noqa: B023
            if len(ids) < inbox.BATCH:
                return
