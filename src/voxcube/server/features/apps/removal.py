"""Deletes an application with everything in it, in transactions of bounded size beside a running server.

First its keys are replaced by ones that nobody knows, so that nobody signs up or logs in any more. A deletion that was
interrupted is finished by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import NotFound
from voxcube.server.features.apps.service import AppService, Transactions
from voxcube.server.features.dialogs.ending import DialogEndings
from voxcube.server.features.users.removal import Removal
from voxcube.server.storage import app_rows, counters, presence
from voxcube.server.storage.database import Tx
from voxcube.server.storage.erasing import erase_some

#: The job of the servers that erases messages of deleted dialogs (`features.dialogs.erasing`); one program at a time.
ERASER_JOB = "erased dialogs"
LEASE_SECONDS = 5
WAIT_SECONDS = 0.2  # while a running server erases


class AppRemoval:
    """The deletion of applications, for the command line."""

    def __init__(
        self, *, apps: AppService, users: Removal, dialogs: DialogEndings, transactions: Transactions, clock: Clock
    ) -> None:
        self._apps = apps
        self._users = users
        self._dialogs = dialogs
        self._transactions = transactions
        self._clock = clock

    async def remove(self, app_id: int) -> None:
        """Delete the application, its users, dialogs and messages. Raises NotFound."""
        await self._apps.lock_out(app_id)
        while True:
            await self._remove_users(app_id)
            await self._remove_dialogs(app_id)
            while await self._transactions.run(lambda tx: app_rows.remove_left(tx, app_id)):
                pass
            if await self._transactions.run(lambda tx: self._finish(tx, app_id)):
                return

    async def _remove_users(self, app_id: int) -> None:
        while found := await self._transactions.run(lambda tx: app_rows.some_users(tx, app_id)):
            for user_id in found:
                with contextlib.suppress(NotFound):  # it has just deleted itself
                    await self._users.remove(app_id, user_id)

    async def _remove_dialogs(self, app_id: int) -> None:
        while found := await self._transactions.run(lambda tx: app_rows.some_dialogs(tx, app_id)):
            for dialog_id in found:
                with contextlib.suppress(NotFound):
                    await self._dialogs.administer(app_id, dialog_id)
        while await self._transactions.run(lambda tx: app_rows.is_erasing(tx, app_id)):
            if not await self._transactions.run(self._erase):
                await asyncio.sleep(WAIT_SECONDS)

    async def _erase(self, tx: Tx) -> bool:
        now = self._clock.now()
        if not await presence.take_job(tx, ERASER_JOB, "voxcube app delete", now, now + LEASE_SECONDS):
            return False
        return await erase_some(tx, now)

    async def _finish(self, tx: Tx, app_id: int) -> bool:
        if not await app_rows.remove(tx, app_id):
            return False
        await counters.raise_generation(tx)
        return True
