"""Background jobs that delete messages: after the days an application keeps them, after their own time, with their
author. Each runs on one node, at no more than half of the writer's time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from voxcube.server.core.clock import Clock
from voxcube.server.features.apps.service import Transactions
from voxcube.server.storage import apps, retention
from voxcube.server.storage.database import Database, Tx

T = TypeVar("T")

DAY_MS = 86_400_000


class Retention:
    """Deletes what is not to be kept."""

    def __init__(self, *, database: Database, transactions: Transactions, clock: Clock) -> None:
        self._database = database
        self._transactions = transactions
        self._clock = clock

    async def remove_old(self) -> None:
        """Deletes the messages that are older than their application keeps them, and old ids of deleted ones."""
        while await self._step(lambda tx: retention.forget_ids(tx, self._clock.now())):
            pass
        for app in await self._database.read(apps.every):
            if app.settings.message_days:
                await self._remove_old(app.id, self._clock.now_ms() - app.settings.message_days * DAY_MS)

    async def _remove_old(self, app_id: int, before_ms: int) -> None:
        after = ""
        while found := await self._old(app_id, before_ms, after):
            for dialog_id in found:
                while await self._remove_from(dialog_id, before_ms):
                    pass
            after = found[-1]

    async def _old(self, app_id: int, before_ms: int, after: str) -> list[str]:
        return await self._database.read(lambda tx: retention.with_old(tx, app_id, before_ms, after))

    async def _remove_from(self, dialog_id: str, before_ms: int) -> bool:
        return await self._step(lambda tx: retention.remove_old(tx, dialog_id, before_ms, self._clock.now_ms()))

    async def remove_expired(self) -> None:
        """Deletes the self-destroying messages whose time is over."""
        await self._step(lambda tx: retention.start_expiry(tx, self._clock.now()))
        while await self._step(lambda tx: retention.remove_expired(tx, self._clock.now_ms())):
            pass

    async def remove_erased(self) -> None:
        """Deletes the messages of deleted users, in applications that do not keep them."""
        while (found := await self._database.read(retention.erased_user)) is not None:
            await self._erase(found[1])

    async def _erase(self, user_id: int) -> None:
        dialog_id = ""
        while (following := await self._next_dialog(user_id, dialog_id)) is not None:
            dialog_id, after = following, 0
            while seqs := await self._sent(dialog_id, user_id, after):
                await self._remove_sent(dialog_id, seqs)
                after = seqs[-1]
        await self._step(lambda tx: retention.erased(tx, user_id))

    async def _next_dialog(self, user_id: int, after: str) -> str | None:
        return await self._database.read(lambda tx: retention.dialog_of(tx, user_id, after))

    async def _sent(self, dialog_id: str, user_id: int, after: int) -> list[int]:
        return await self._database.read(lambda tx: retention.sent(tx, dialog_id, user_id, after))

    async def _remove_sent(self, dialog_id: str, seqs: Sequence[int]) -> None:
        await self._step(lambda tx: retention.remove_sent(tx, dialog_id, seqs, self._clock.now_ms()))

    async def _step(self, run: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        started = time.perf_counter()
        result = await self._transactions.run(run)
        await asyncio.sleep(time.perf_counter() - started)
        return result
