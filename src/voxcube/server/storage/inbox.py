"""A user's list of dialogs, at a cost that does not depend on how many there are.

A list is sorted by what happens in the dialogs, and a message moves its dialog in the list of every member. Sorting
when somebody looks would cost as much as the user has dialogs; keeping every member's list sorted would cost every
message as much as the dialog has members. So a dialog is in one of three states:

copied    nothing has happened lately: the member rows carry copies of `updated_at` (`listed_at`) and of the activity
          (`activity`: `last_date_sent`, else `created_at`; within one second `arrival`), with an index on each
dropped   something happens: the first change or message has marked the rows as not `copied`, all that follow cost
          nothing more, and once the dialog is QUIET the copies are written again (`settle`, by a job)
large     (neither) it had more than LARGE member rows once: there are never copies

Reading is exact: the first n of a list are among the first n copies and the dialogs without copies, and these few (what
is going on at the moment, and the large ones; and the broadcasts of the application) are compared by the dialogs
themselves. A row that is not `copied` is always right, only slower.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import BigInteger, ColumnElement, FromClause, bindparam, case, func, literal_column, not_, select

from voxcube.server.core.models import DialogType
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import dialogs, members
from voxcube.server.storage.sql import Query, bulk_update, in_list

QUIET_MS = 5000  # without a message, after which copies are worth their writing
LARGE = 100  # member rows
BATCH = 100  # dialogs whose copies are written in one transaction

#: The first part of the hot fact ("listed", user): how many dialogs, broadcasts apart, are in a user's list. Who makes,
#: shows or hides a member row, or changes whether it is active, forgets it after the commit for each such user.
LISTED = "listed"

VIEWER = bindparam("viewer", type_=BigInteger())


def shown(rows: FromClause = members) -> tuple[ColumnElement[bool], ...]:
    """The viewer's own rows of dialogs that are in its list, broadcasts apart; written as the indexes are."""
    broadcast: ColumnElement[int] = literal_column(str(int(DialogType.BROADCAST)))
    return rows.c.user_id == VIEWER, rows.c.active, not_(rows.c.hidden), rows.c.type != broadcast


ACTIVITY = func.coalesce(dialogs.c.last_date_sent, dialogs.c.created_at // 1000)
#: Of dialogs with the same activity the later one (µs): when the newest message arrived, else when the dialog was made.
ARRIVAL = case((dialogs.c.last_date_sent.is_(None), dialogs.c.created_at * 1000), else_=dialogs.c.last_arrival)

_ROWS_OF = select(func.count()).select_from(members).where(members.c.dialog_id == dialogs.c.id).scalar_subquery()
_QUIET = (dialogs.c.dropped, dialogs.c.updated_at <= bindparam("before"))
_FIND_QUIET = Query(
    select(dialogs.c.id).where(*_QUIET).order_by(dialogs.c.id).limit(bindparam("limit", type_=BigInteger())),
    *("before", "limit"),
)
_LOCK_QUIET = Query(
    select(dialogs.c.id, dialogs.c.updated_at, ACTIVITY, ARRIVAL, _ROWS_OF)
    .where(*_QUIET, in_list(dialogs.c.id, "dialogs"))
    .order_by(dialogs.c.id)
    .with_for_update(),
    *("before", "dialogs"),
)
_COPIED = Query(select(dialogs.c.id).where(in_list(dialogs.c.id, "dialogs"), dialogs.c.copied), "dialogs")
_ROWS = (
    select(members.c.dialog_id, members.c.user_id)
    .where(in_list(members.c.dialog_id, "dialogs"))
    .order_by(members.c.dialog_id, members.c.user_id)
)
_COPIED_ROWS = Query(_ROWS.where(members.c.copied), "dialogs")
_LOCK_ROWS = Query(_ROWS.with_for_update(), "dialogs")
_COUNT = Query(select(func.count()).select_from(members).where(*shown()), "viewer")
_SET_STATE = bulk_update(dialogs, ["id"], "copied", "dropped")
_MARK_ROWS = bulk_update(members, ["dialog_id"], "copied")
_WRITE_COPIES = bulk_update(members, ["dialog_id"], "copied", "listed_at", "activity", "arrival")


async def copied_rows(tx: Tx, dialog_ids: Collection[str]) -> list[tuple[str, int]]:
    """The member rows, (dialog, user), that dropping the copies of these (locked) dialogs will touch.

    Who locks single member rows of such a dialog locks these together with them, in one order.
    """
    if not dialog_ids:
        return []
    return [(row[0], row[1]) for row in await tx.fetch(_COPIED_ROWS, sorted(dialog_ids))]


async def drop(tx: Tx, dialog_ids: Collection[str]) -> None:
    """Marks these (locked) dialogs, which are copied, as dropped; the rows of `copied_rows` are locked as well."""
    rows = sorted(dialog_ids)
    await tx.many(_SET_STATE, [(False, True, dialog_id) for dialog_id in rows])
    await tx.many(_MARK_ROWS, [(False, dialog_id) for dialog_id in rows])


async def refresh(tx: Tx, *dialog_ids: str) -> None:
    """Says that (locked) dialogs were changed, in whatever way.

    To be called at the end of every transaction, outside the storing of messages, that adds member rows or moves
    `updated_at` or `last_date_sent` of a dialog; where it locked member rows, it did as `copied_rows` says. Leaving,
    hiding and coming back need no refresh: those who are away have copies too.
    """
    copied = [row[0] for row in await tx.fetch(_COPIED, sorted(dialog_ids))]
    if copied:
        await tx.fetch(_LOCK_ROWS, copied)
        await drop(tx, copied)


async def quiet(tx: Tx, now_ms: int) -> list[str]:
    """Some dialogs that `settle` has something to do for."""
    return [row[0] for row in await tx.fetch(_FIND_QUIET, now_ms - QUIET_MS, BATCH)]


async def settle(tx: Tx, dialog_ids: Collection[str], now_ms: int) -> None:
    """Writes the copies of those of the dialogs that are dropped and still quiet."""
    found = await tx.fetch(_LOCK_QUIET, now_ms - QUIET_MS, sorted(dialog_ids))
    if not found:
        return
    await tx.fetch(_LOCK_ROWS, [row[0] for row in found])
    await tx.many(_SET_STATE, [(count <= LARGE, False, dialog_id) for dialog_id, *_, count in found])
    copies = [(True, *keys, dialog_id) for dialog_id, *keys, count in found if count <= LARGE]
    await tx.many(_WRITE_COPIES, copies)


async def count(tx: Tx, user_id: int) -> int:
    """How many dialogs, broadcasts apart, are in the user's list: the fact under LISTED."""
    found: int = await tx.value(_COUNT, user_id)
    return found
