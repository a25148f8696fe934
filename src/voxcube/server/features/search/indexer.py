"""Brings messages into the search index, in the background and in small steps: nobody waits for it.

A dialog is due when so many of its messages are not in the index; each node brings in what it has stored itself. What a
node that died left behind is found by a walk through all dialogs, which one of the nodes does, slowly and for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from voxcube.server.features.apps.service import Transactions
from voxcube.server.storage import search
from voxcube.server.storage.database import Database, Tx

SECONDS = 1.0  # between two runs
SWEEP_SECONDS = 10.0
SWEEP_DIALOGS = 5000  # looked at in one step of the walk
BUSY = 300  # messages a second: beyond them the index waits, one step per run excepted


class Indexer:
    """The background job of one node."""

    def __init__(self, database: Database, transactions: Transactions, stored: Callable[[], int]) -> None:
        """`stored()`: how many messages this node has stored so far."""
        self._database = database
        self._transactions = transactions
        self._stored = stored
        self._seen = stored()
        self._due: dict[str, None] = {}
        self._walked = ""  # the last dialog that the walk has looked at

    def after_commit(self, dialog_id: str, seq: int) -> None:
        """A message was stored here. On the hot path."""
        if not seq % search.STEP:
            self._due[dialog_id] = None

    async def run(self) -> None:
        """Indexes what is due; called every SECONDS."""
        count = self._stored()
        busy, self._seen = count - self._seen > BUSY * SECONDS, count
        for dialog_id in list(self._due):
            while await self._step(dialog_id):
                if busy:
                    return
            del self._due[dialog_id]

    async def sweep(self) -> None:
        """One step of the walk; called every SWEEP_SECONDS on one node."""
        after = self._walked
        due, self._walked = await self._database.read(lambda tx: search.behind(tx, after, SWEEP_DIALOGS))
        self._due.update(dict.fromkeys(due))

    async def _step(self, dialog_id: str) -> bool:
        async def step(tx: Tx) -> bool:
            return await search.index_some(tx, dialog_id)

        return await self._transactions.run(step)
