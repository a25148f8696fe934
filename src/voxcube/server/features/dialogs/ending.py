"""Deleting dialogs and clearing their history, for oneself or for everyone (rest §6.4, §6.5)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Forbidden, Invalid, NotFound
from voxcube.server.core.ids import is_object_id
from voxcube.server.core.models import DialogType
from voxcube.server.features.apps.service import Transactions
from voxcube.server.features.dialogs.effects import Effects, locked_for
from voxcube.server.features.dialogs.roles import check, role_of
from voxcube.server.storage import erasing, leaving, membership
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.database import Tx
from voxcube.server.storage.membership import Locked

IDS_MAX = 100  # dialogs in one request


@dataclass(slots=True)
class Outcome:
    """What became of each of several dialogs; ids in the order they were given."""

    deleted: list[str] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)


class DialogEndings:
    """Deletes dialogs and history for their users."""

    def __init__(self, *, cache: Cache, transactions: Transactions, clock: Clock) -> None:
        self._cache = cache
        self._transactions = transactions
        self._clock = clock

    async def delete_many(self, app_id: int, user_id: int, ids: Sequence[str], *, force: bool) -> Outcome:
        """Deletes each dialog as `delete` does, and says what became of it. Raises Invalid when there are too many."""
        ids = list(dict.fromkeys(ids))
        if len(ids) > IDS_MAX:
            raise Invalid(f"Too many dialogs (maximum is {IDS_MAX})")
        outcome = Outcome()
        for dialog_id in ids:
            try:
                await self.delete(app_id, user_id, dialog_id, force=force)
            except NotFound:
                outcome.not_found.append(dialog_id)
            except Forbidden:
                outcome.forbidden.append(dialog_id)
            else:
                outcome.deleted.append(dialog_id)
        return outcome

    async def delete(self, app_id: int, user_id: int, dialog_id: str, *, force: bool) -> None:
        """Deletes a dialog for the user: leaves a group, unsubscribes, hides. With ``force``, for everyone.

        Raises NotFound, Forbidden.
        """
        if not is_object_id(dialog_id):
            raise NotFound("Dialog does not exist")

        async def run(tx: Tx) -> Effects:
            locked = await locked_for(tx, app_id, dialog_id, {user_id}, everybody=force)
            dialog = locked.dialog
            role = role_of(dialog, user_id, locked.members.get(user_id))
            check("delete" if force else "put away", dialog.type, role)
            effects = Effects(dialog, user_id)
            if force:
                await _drop(tx, effects)
            elif dialog.type in (DialogType.GROUP, DialogType.PUBLIC):
                effects.left |= {user_id} if locked.active(user_id) else set()
                locked.leave(user_id)
                effects.gone = not await leaving.save(tx, locked, effects.left, self._clock.now_ms())
            else:
                await _hide(tx, locked, user_id)
                effects.shown.add(user_id)
            return effects

        await self._run(run, dialog_id)

    async def administer(self, app_id: int, dialog_id: str) -> None:
        """Deletes a dialog for everyone, whoever owns it. Raises NotFound."""

        async def run(tx: Tx) -> Effects:
            locked = await locked_for(tx, app_id, dialog_id, (), everybody=True)
            effects = Effects(locked.dialog, None)
            await _drop(tx, effects)
            return effects

        await self._run(run, dialog_id)

    async def clear(self, app_id: int, user_id: int, dialog_id: str, *, force: bool) -> None:
        """Deletes all messages so far for the user, or with ``force`` for everyone. Raises NotFound, Forbidden."""

        async def run(tx: Tx) -> Effects:
            locked = await locked_for(tx, app_id, dialog_id, {user_id}, everybody=force)
            role = role_of(locked.dialog, user_id, locked.members.get(user_id))
            check("clear for all" if force else "clear", locked.dialog.type, role)
            if force:
                await erasing.clear(tx, locked)
                await membership.save(tx, locked, self._clock.now_ms())
            else:
                await membership.clear_for(tx, locked, user_id)
                await membership.save(tx, locked)
            return Effects(locked.dialog, user_id)

        await self._run(run, dialog_id)

    async def _run(self, run: Callable[[Tx], Coroutine[Any, Any, Effects]], dialog_id: str) -> None:
        effects = await self._transactions.run(run, dialog=dialog_id)
        self._cache.forget(*effects.keys)


async def _drop(tx: Tx, effects: Effects) -> None:
    effects.left |= set(await membership.occupants(tx, effects.dialog.id))
    effects.gone = True
    await erasing.drop(tx, effects.dialog)


async def _hide(tx: Tx, locked: Locked, user_id: int) -> None:
    """Out of the user's list. What a private dialog held is not seen again when its next message brings it back."""
    if locked.dialog.type is DialogType.PRIVATE:
        await membership.clear_for(tx, locked, user_id)
    locked.hide(user_id, True)
    await membership.save(tx, locked)
