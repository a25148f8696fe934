"""The search index: texts of stored messages are copied into it in the background, and leave it with their messages.

A dialog's messages are in the index up to `upto` of its row in `search_dialogs`; what came later is looked at
directly by a search (`finding.py`), which is exact at any time. That row's lock orders copying against edits and
deletes: whoever has it sees what the others committed. A dialog's row is made under the dialog's lock, which edits
and deletes hold, so that none of them misses it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, func, insert, select, update

from voxcube.server.storage.counters import next_value
from voxcube.server.storage.database import Row, Tx
from voxcube.server.storage.schema import dialogs, message_texts, messages, search_dialogs
from voxcube.server.storage.sql import Query, bulk_delete, bulk_insert

SHORTEST = 4  # characters of a text that can be searched for (rest §7.9); shorter messages are left out
STEP = 64  # a dialog is indexed when so many of its messages are not: most dialogs never are
COUNTER = "search"  # hands out the numbers of dialogs
ROWS = 256  # messages in one step
CHARACTERS = 50_000  # and how long they may be together (one longer message is a step alone)

_PLACE = Query(
    select(search_dialogs.c.number, search_dialogs.c.upto)
    .where(search_dialogs.c.dialog_id == bindparam("dialog"))
    .with_for_update(),
    "dialog",
)
_LOCK_DIALOG = Query(
    select(dialogs.c.cleared).where(dialogs.c.id == bindparam("dialog")).with_for_update(),
    "dialog",
)
_CLEARED = Query(select(dialogs.c.cleared).where(dialogs.c.id == bindparam("dialog")), "dialog")
_BEGIN = Query(
    insert(search_dialogs).values({name: bindparam(name) for name in ("dialog_id", "number", "upto")}),
    *("dialog_id", "number", "upto"),
)
_NEXT = Query(
    select(messages.c.seq, messages.c.body)
    .where(messages.c.dialog_id == bindparam("dialog"), messages.c.seq > bindparam("after"))
    .order_by(messages.c.seq)
    .limit(bindparam("rows")),
    *("dialog", "after", "rows"),
)
_MOVE = Query(
    update(search_dialogs).where(search_dialogs.c.dialog_id == bindparam("dialog")).values(upto=bindparam("seq")),
    *("seq", "dialog"),
)
_PAGE = select(dialogs.c.id, dialogs.c.seq, dialogs.c.cleared).where(dialogs.c.id > bindparam("after"))
_SOME = _PAGE.order_by(dialogs.c.id).limit(bindparam("rows")).subquery()
_BEHIND = Query(
    select(_SOME.c.id, _SOME.c.seq - func.coalesce(search_dialogs.c.upto, _SOME.c.cleared))
    .select_from(_SOME)
    .outerjoin(search_dialogs, search_dialogs.c.dialog_id == _SOME.c.id)
    .order_by(_SOME.c.id),
    *("after", "rows"),
)
_FORGET = Query(delete(search_dialogs).where(search_dialogs.c.dialog_id == bindparam("dialog")), "dialog")
_ADD = bulk_insert(message_texts, "rowid", "body")
_REMOVE = bulk_delete(message_texts, "rowid")


def place(number: int, seq: int) -> int:
    """Where the text of a message is: the row of `message_texts`."""
    return (number << 32) + seq


# -- for those who change messages: inside their transactions, with the dialog's row locked ---------------------------


async def edited(tx: Tx, dialog_id: str, seq: int, body: str) -> None:
    """The message has a new text: from the commit on it is found by this one only."""
    row = await tx.row(_PLACE, dialog_id)
    if row is not None and seq <= row[1]:
        await tx.many(_REMOVE, [(place(row[0], seq),)])
        if len(body) >= SHORTEST:
            await tx.many(_ADD, [(place(row[0], seq), body)])


async def removed(tx: Tx, dialog_id: str, seqs: Sequence[int]) -> None:
    """These messages are deleted for everyone. A deleted or cleared dialog's go the same way, in steps."""
    row = await tx.row(_PLACE, dialog_id)
    if row is not None:
        await tx.many(_REMOVE, [(place(row[0], seq),) for seq in sorted(seqs) if seq <= row[1]])


async def forgotten(tx: Tx, dialog_id: str) -> None:
    """The dialog itself is gone, and all of its messages were `removed`."""
    await tx.execute(_FORGET, dialog_id)


# -- for the background job -------------------------------------------------------------------------------------------


async def index_some(tx: Tx, dialog_id: str) -> bool:
    """One step through the messages of a dialog that are not in the index; False when it has come to their end."""
    row = await tx.row(_PLACE, dialog_id)
    if row is None:
        return await _begin(tx, dialog_id)
    number, indexed = row
    cleared = await tx.value(_CLEARED, dialog_id)
    if cleared is None:
        return False
    found = _shortened(await tx.fetch(_NEXT, dialog_id, max(indexed, cleared), ROWS))
    if not found:
        return False
    await tx.many(_ADD, [(place(number, seq), body) for seq, body in found if len(body) >= SHORTEST])
    await tx.execute(_MOVE, found[-1][0], dialog_id)
    return True


async def _begin(tx: Tx, dialog_id: str) -> bool:
    cleared = await tx.value(_LOCK_DIALOG, dialog_id)
    if cleared is None:
        return False
    if await tx.row(_PLACE, dialog_id) is None:  # no other node was faster
        await tx.execute(_BEGIN, dialog_id, await next_value(tx, COUNTER), cleared)
    return True


def _shortened(rows: Sequence[Row]) -> Sequence[Row]:
    total = 0
    for number, row in enumerate(rows):
        total += len(row[1])
        if total > CHARACTERS and number:
            return rows[:number]
    return rows


async def behind(tx: Tx, after: str, rows: int) -> tuple[list[str], str]:
    """Of the next `rows` dialogs with ids behind `after`: those that are due, and the last id ("" at the end)."""
    found = await tx.fetch(_BEHIND, after, rows)
    return [row[0] for row in found if row[1] >= STEP], found[-1][0] if len(found) == rows else ""
