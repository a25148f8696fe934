"""What is gone for everyone: a dialog, or all its messages. At once for whoever looks, from the disk in small steps.

A dialog may hold a million messages, and while they are removed nobody else could write. So the dialog's row goes (or
says up to where it was cleared), a row of `erasing` remembers what is left, and a background job takes that away.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import bindparam, delete, select, update

from voxcube.server.core.models import Dialog
from voxcube.server.storage import reactions, search
from voxcube.server.storage.changes import FORGET_IDS
from voxcube.server.storage.database import Tx
from voxcube.server.storage.membership import Locked
from voxcube.server.storage.schema import dialogs, erasing, hidden_messages, members, message_ids, messages, receipts
from voxcube.server.storage.sql import Query, bulk_update, bulk_upsert

BATCH = 500  # messages in one transaction: some ten milliseconds of the writer's time

_D = bindparam("dialog", type_=dialogs.c.id.type)
_UPTO = bindparam("upto", type_=erasing.c.upto.type)
_DROP = [
    Query(delete(dialogs).where(dialogs.c.id == _D), "dialog"),
    Query(delete(members).where(members.c.dialog_id == _D), "dialog"),
]
_LATER = bulk_upsert(erasing, "dialog_id", "app_id", "upto")
_CLEAR_MEMBERS = Query(
    update(members).where(members.c.dialog_id == _D).values(settled=0, base=_UPTO, hidden_before=_UPTO),
    *("dialog", "upto"),
)
_NEXT = Query(select(erasing.c.dialog_id, erasing.c.app_id, erasing.c.upto).order_by(erasing.c.dialog_id).limit(1))
_SOME = Query(
    select(messages.c.seq, messages.c.id)
    .where(messages.c.dialog_id == _D, messages.c.seq <= _UPTO)
    .order_by(messages.c.seq)
    .limit(bindparam("limit")),
    *("dialog", "upto", "limit"),
)
_EXISTS = Query(select(dialogs.c.id).where(dialogs.c.id == _D), "dialog")
# Of a dialog that is still there they stay for a while: a late resend must not bring a message back.
_REMOVED_IDS = bulk_update(message_ids, ["app_id", "id"], "removed_at")
_ERASE_MESSAGES = Query(
    delete(messages).where(messages.c.dialog_id == _D, messages.c.seq <= _UPTO), *("dialog", "upto")
)
_ERASE_REST = [
    Query(delete(receipts).where(receipts.c.dialog_id == _D, receipts.c.high <= _UPTO), *("dialog", "upto")),
    Query(
        delete(hidden_messages).where(hidden_messages.c.dialog_id == _D, hidden_messages.c.seq <= _UPTO),
        *("dialog", "upto"),
    ),
    Query(delete(erasing).where(erasing.c.dialog_id == _D, erasing.c.upto == _UPTO), *("dialog", "upto")),
]


async def drop(tx: Tx, dialog: Dialog) -> None:
    """The dialog is gone, with everybody's place in it; it is locked, with everybody."""
    for removal in _DROP:
        await tx.execute(removal, dialog.id)
    await tx.many(_LATER, [(dialog.id, dialog.app_id, dialog.seq)])


async def clear(tx: Tx, locked: Locked) -> None:
    """All messages so far are gone for everyone. The dialog is locked, with everybody; the caller saves it."""
    dialog = locked.dialog
    await tx.execute(_CLEAR_MEMBERS, dialog.id, dialog.seq)
    for user_id, row in locked.members.items():
        locked.members[user_id] = replace(row, settled=0, base=dialog.seq, hidden_before=dialog.seq)
    locked.set(live=0, last_seq=0, last_date_sent=None, pinned=(), cleared=dialog.seq)
    await tx.many(_LATER, [(dialog.id, dialog.app_id, dialog.seq)])


async def erase_some(tx: Tx, now: int) -> bool:
    """One step of the background job; False when nothing is left to do."""
    found = await tx.row(_NEXT)
    if found is None:
        return False
    dialog_id, app_id, upto = found
    rows = await tx.fetch(_SOME, dialog_id, upto, BATCH)
    if rows:
        if await tx.row(_EXISTS, dialog_id) is None:
            await tx.many(FORGET_IDS, sorted((app_id, row[1]) for row in rows))
        else:
            await tx.many(_REMOVED_IDS, [(now, app_id, row[1]) for row in sorted(rows, key=lambda row: row[1])])
        await tx.execute(_ERASE_MESSAGES, dialog_id, rows[-1][0])
        seqs = [row[0] for row in rows]
        await reactions.removed(tx, dialog_id, seqs)
        await search.removed(tx, dialog_id, seqs)
    if len(rows) < BATCH:
        if await tx.row(_EXISTS, dialog_id) is None:
            await search.forgotten(tx, dialog_id)
        for removal in _ERASE_REST:
            await tx.execute(removal, dialog_id, upto)
    return True
