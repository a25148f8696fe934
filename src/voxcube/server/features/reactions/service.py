"""The rules of reactions: who may react, what a reaction is, and whom a change is told (rest §7.8)."""

from __future__ import annotations

import unicodedata
from typing import Protocol

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Forbidden, Invalid, NotFound
from voxcube.server.core.models import NO_TURN, Dialog, Turn
from voxcube.server.features.apps.service import Transactions
from voxcube.server.features.dialogs.service import DialogService
from voxcube.server.storage.changes import take_turns
from voxcube.server.storage.database import Tx
from voxcube.server.storage.reactions import Reacted, ReactionStore, change

LONGEST = 32  # code points
KINDS = 100  # different reactions to one message


class Notices(Protocol):
    """Tells everybody in the dialog (`features.reactions.encode`)."""

    def tell(
        self, dialog: Dialog, user_id: int, message_id: str, turn: Turn, *, added: str | None, removed: str | None
    ) -> None: ...


class ReactionService:
    """Reactions to messages."""

    def __init__(
        self,
        *,
        dialogs: DialogService,
        store: ReactionStore,
        transactions: Transactions,
        notices: Notices,
        clock: Clock,
    ) -> None:
        self._dialogs = dialogs
        self._store = store
        self._transactions = transactions
        self._notices = notices
        self._clock = clock

    async def change(
        self, app_id: int, user_id: int, message_id: str, *, add: str | None = None, remove: str | None = None
    ) -> None:
        """Adds one reaction of the user's and removes another; adding one that is there, or removing one that is not,
        changes nothing and is told to nobody. Raises NotFound, Forbidden, Invalid."""
        _check(add, remove)
        dialog_id, seq = await self._find(app_id, user_id, message_id)
        dialog, _ = await self._dialogs.readable(app_id, user_id, dialog_id)
        now_ms = self._clock.now_ms()

        async def run(tx: Tx) -> tuple[Reacted, Turn]:
            changed = await change(tx, dialog_id, seq, user_id, add=add, remove=remove, now_ms=now_ms)
            if changed is None:
                raise NotFound("Message does not exist")
            if changed.kinds > KINDS:
                raise Invalid({"add": [f"is one reaction too many (maximum is {KINDS} different ones)"]})
            if not (changed.added or changed.removed):
                return changed, NO_TURN
            [turn] = await take_turns(tx, dialog_id, [seq])
            return changed, turn

        changed, turn = await self._transactions.run(run, dialog=dialog_id)
        added, removed = add if changed.added else None, remove if changed.removed else None
        if added is not None or removed is not None:
            self._notices.tell(dialog, user_id, message_id, turn, added=added, removed=removed)

    async def of(self, app_id: int, user_id: int, message_id: str) -> dict[str, list[int]]:
        """Who has reacted with what; for strangers too where a preview is allowed. Raises NotFound, Forbidden."""
        dialog_id, seq = await self._find(app_id, user_id, message_id)
        try:
            await self._dialogs.readable(app_id, user_id, dialog_id)
        except Forbidden:
            await self._dialogs.readable(app_id, user_id, dialog_id, preview=True)
        return await self._store.of(dialog_id, seq)

    async def _find(self, app_id: int, user_id: int, message_id: str) -> tuple[str, int]:
        found = await self._store.find(app_id, user_id, message_id)
        if found is None:
            raise NotFound("Message does not exist")
        return found


def _check(add: str | None, remove: str | None) -> None:
    if add is None and remove is None:
        raise Invalid("add or remove is required")
    wrong = {}
    for name, reaction in (("add", add), ("remove", remove)):
        if reaction is None:
            continue
        if not reaction.strip():
            wrong[name] = ["can't be blank"]
        elif len(reaction) > LONGEST:
            wrong[name] = [f"is too long (maximum is {LONGEST} characters)"]
        elif any(unicodedata.category(char) in ("Cc", "Cs") or char in "\ufffe\uffff" for char in reaction):
            wrong[name] = ["has characters that no message can carry"]
    if add == remove:
        wrong["remove"] = ["must be another one than add"]
    if wrong:
        raise Invalid(wrong)
