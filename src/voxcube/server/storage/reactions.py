"""Reactions to messages: statements. A change holds the message's row, so that a delete takes all of them with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, select

from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.schema import dialogs, hidden_messages, members, message_ids, messages, reactions
from voxcube.server.storage.sql import Query, absent, bulk_delete

_OF_DIALOG = reactions.c.dialog_id == bindparam("dialog")
_OF_MESSAGE = (_OF_DIALOG, reactions.c.seq == bindparam("seq"))
_ONE = (*_OF_MESSAGE, reactions.c.reaction == bindparam("reaction"), reactions.c.user_id == bindparam("user"))

# Look-ups, not joins: of joins PostgreSQL may read all messages of the dialog.
_THERE = (
    select(messages.c.seq)
    .where(messages.c.dialog_id == message_ids.c.dialog_id, messages.c.seq == message_ids.c.seq)
    .scalar_subquery()
)
_CLEARED = select(dialogs.c.cleared).where(dialogs.c.id == message_ids.c.dialog_id).scalar_subquery()
_HIDDEN_BEFORE = (
    select(members.c.hidden_before)
    .where(members.c.dialog_id == message_ids.c.dialog_id, members.c.user_id == bindparam("viewer"))
    .scalar_subquery()
)
# Where a message is, as far as the viewer has not deleted or cleared it.
_FIND = Query(
    select(message_ids.c.dialog_id, message_ids.c.seq).where(
        message_ids.c.app_id == bindparam("app"),
        message_ids.c.id == bindparam("id"),
        _THERE > _CLEARED,
        func.coalesce(_HIDDEN_BEFORE, 0) < _THERE,
        absent(
            select(hidden_messages.c.seq).where(
                hidden_messages.c.dialog_id == message_ids.c.dialog_id,
                hidden_messages.c.user_id == bindparam("viewer"),
                hidden_messages.c.seq == message_ids.c.seq,
            )
        ),
    ),
    *("viewer", "app", "id"),
)
_LOCK_DIALOG = Query(select(dialogs.c.id).where(dialogs.c.id == bindparam("dialog")).with_for_update(), "dialog")
_LOCK_MESSAGE = Query(
    select(messages.c.seq)
    .where(messages.c.dialog_id == bindparam("dialog"), messages.c.seq == bindparam("seq"))
    .with_for_update(),
    *("dialog", "seq"),
)
_OF = Query(
    select(reactions.c.reaction, reactions.c.user_id)
    .where(*_OF_MESSAGE)
    .order_by(reactions.c.created_at, reactions.c.reaction, reactions.c.user_id),
    *("dialog", "seq"),
)
_KINDS = Query(select(reactions.c.reaction).where(*_OF_MESSAGE).distinct(), "dialog", "seq")
_HAS = Query(select(reactions.c.user_id).where(*_ONE), "dialog", "seq", "reaction", "user")
_NAMES = ("dialog_id", "seq", "reaction", "user_id", "created_at")
_ADD = Query(insert(reactions).values({name: bindparam(name) for name in _NAMES}), *_NAMES)
_REMOVE = Query(delete(reactions).where(*_ONE), "dialog", "seq", "reaction", "user")
_REMOVE_ALL = bulk_delete(reactions, "dialog_id", "seq")
_FORGET_USER = Query(delete(reactions).where(reactions.c.user_id == bindparam("user")), "user")


@dataclass(frozen=True, slots=True)
class Reacted:
    """What a change of reactions came to: whether each half changed anything, and how many kinds there are now."""

    added: bool
    removed: bool
    kinds: int


# -- for those who delete, inside their transactions ------------------------------------------------------------------


async def removed(tx: Tx, dialog_id: str, seqs: Sequence[int]) -> None:
    """These messages are deleted for everyone. To be called after the rows of the messages were deleted or locked."""
    await tx.many(_REMOVE_ALL, [(dialog_id, seq) for seq in seqs])


async def forget_user(tx: Tx, user_id: int) -> None:
    """Everything that a user has reacted with, where a deleted user's traces are erased."""
    await tx.execute(_FORGET_USER, user_id)


# -- for the service --------------------------------------------------------------------------------------------------


async def change(
    tx: Tx, dialog_id: str, seq: int, user_id: int, *, add: str | None, remove: str | None, now_ms: int
) -> Reacted | None:
    """Removes one reaction of the user's and adds one; None when the message is gone. It locks the dialog."""
    await tx.row(_LOCK_DIALOG, dialog_id)
    if await tx.row(_LOCK_MESSAGE, dialog_id, seq) is None:
        return None
    removed = remove is not None and await tx.execute(_REMOVE, dialog_id, seq, remove, user_id) > 0
    added = add is not None and await tx.row(_HAS, dialog_id, seq, add, user_id) is None
    if added:
        await tx.execute(_ADD, dialog_id, seq, add, user_id, now_ms)
    return Reacted(added, removed, len(await tx.fetch(_KINDS, dialog_id, seq)) if added else 0)


class ReactionStore:
    """Reads reactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, app_id: int, viewer: int, message_id: str) -> tuple[str, int] | None:
        """Dialog and seq of a message that is there for the viewer; whether it may read the dialog is not decided."""
        row = await self._database.row(_FIND, viewer, app_id, message_id)
        return None if row is None else (row[0], row[1])

    async def of(self, dialog_id: str, seq: int) -> dict[str, list[int]]:
        """Who has reacted with what, in the order in which it came."""
        found: dict[str, list[int]] = {}
        for reaction, user_id in await self._database.read(lambda tx: tx.fetch(_OF, dialog_id, seq)):
            found.setdefault(reaction, []).append(user_id)
        return found
