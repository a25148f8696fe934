"""Removes accounts with all that hangs on them (rest §4.2), and guests when their day is over (rest §3.4)."""

from __future__ import annotations

import contextlib

from voxcube.server.core.clock import Clock
from voxcube.server.core.contacts import forgotten
from voxcube.server.core.errors import Forbidden, NotFound
from voxcube.server.features.apps.service import Transactions
from voxcube.server.storage import contacts
from voxcube.server.storage.cache import Cache, Key
from voxcube.server.storage.database import Contention, Tx
from voxcube.server.storage.leaving import forget_user, is_somewhere, leave_dialogs, pairs_of
from voxcube.server.storage.retention import erase_user
from voxcube.server.storage.tokens import TokenStore
from voxcube.server.storage.users import UserStore

GUEST_SECONDS = 24 * 3600  # how long a guest lives
KEYS_AT_ONCE = 1000  # told to other nodes in one word
GUESTS_AT_ONCE = 200  # removed in one run of the job


class Removal:
    """Sessions end, dialogs are left; messages remain unless the application erases them."""

    def __init__(
        self, *, users: UserStore, tokens: TokenStore, cache: Cache, transactions: Transactions, clock: Clock
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._cache = cache
        self._transactions = transactions
        self._clock = clock

    async def remove(self, app_id: int, user_id: int) -> None:
        """Removes an account; its chat sessions end on all nodes. Raises NotFound."""
        keys = await self._remove(app_id, user_id)
        for start in range(0, len(keys), KEYS_AT_ONCE):
            self._cache.forget(*keys[start : start + KEYS_AT_ONCE])

    async def remove_own(self, app_id: int, caller: int, user_id: int) -> None:
        """Removes the caller's account. Raises Forbidden for anybody else's."""
        if user_id != caller:
            raise Forbidden
        await self.remove(app_id, user_id)

    async def remove_ended_guests(self) -> int:
        """Removes guests whose day is over; returns how many. For a job that runs on one node."""
        guests = await self._users.ended_guests(self._clock.now() - GUEST_SECONDS, GUESTS_AT_ONCE)
        for app_id, user_id in guests:
            with contextlib.suppress(NotFound):  # it has just removed itself
                await self.remove(app_id, user_id)
        return len(guests)

    async def _remove(self, app_id: int, user_id: int) -> list[Key]:
        now_ms = self._clock.now_ms()
        app = await self._cache.app(app_id)

        async def run(tx: Tx) -> list[Key]:
            # Dialogs before anything else, as in every transaction. A session that is being opened waits at
            # the account's row, and then finds that it is gone.
            left = [locked.dialog.id for locked in await leave_dialogs(tx, app_id, user_id, now_ms)]
            if not await self._users.delete(tx, app_id, user_id):
                raise NotFound("User does not exist")
            if await is_somewhere(tx, app_id, user_id):
                raise Contention("somebody has just put the user into a dialog")  # then all of this is done again
            await self._tokens.delete_all(tx, app_id=app_id, user_id=user_id)
            await forget_user(tx, user_id)
            concerned = await contacts.forget_user(tx, user_id)
            if app is not None and app.settings.erase_messages:
                await erase_user(tx, app_id, user_id)
            # Without the pairs a next message to the user finds that there is no such user.
            pairs = await pairs_of(tx, app_id, user_id)
            return [
                *(("user", app_id, user_id), ("gone", user_id), ("privacy", app_id, user_id)),
                *(("dialog", dialog_id) for dialog_id in left),
                *(("pair", app_id, low, high) for low, high in pairs),
                *forgotten(app_id, {(other_id, user_id) for other_id in concerned}),
            ]

        return await self._transactions.run(run)
