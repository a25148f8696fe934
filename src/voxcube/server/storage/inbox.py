"""A user's list of dialogs, at a cost that does not depend on how many there are.

A list is sorted by what happens in the dialogs, and a message moves its dialog in the list of every member. Sorting
when somebody looks would cost as much as the user has dialogs; keeping every member's list sorted would cost every
message as much as the dialog has members. So each member row carries copies of its dialog's `updated_at` (`listed_at`)
and of its activity (`activity`: `last_date_sent`, else `created_at`), with an index on each, and the copies may lag:

    copy <= original <= copy + LAG        (never ahead, never further behind)

`dialogs` remembers what its copies say (`listed_at`, `listed_activity`). Who stores a message holds the dialog's row,
sees there whether the copies would leave the window, and only then writes them all: once in LAG for a lively dialog.

Reading stays exact. Take the n-th copy of a user's rows in descending order, b: those n dialogs have originals >= b, so
whatever is among the first n by originals has an original >= b, and a copy >= b - LAG. These few candidates are
compared by their originals. Ascending: the n have originals <= b + LAG, so copies <= b + LAG are candidates. In the
same way `updated_at > t` is looked for among `listed_at > t - LAG`.

Dialogs with more than LARGE member rows, ever, have no copies (`copied` is false in the dialog and in its rows; a row
that somebody adds without a word is such a row until `refresh`): a user has few of them, and they are candidates every
time. So are the broadcasts of the application, of which a user need not have rows.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import BigInteger, ColumnElement, FromClause, bindparam, exists, func, literal_column, not_, select

from voxcube.server.core.models import DialogType
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import dialogs, members
from voxcube.server.storage.sql import Query, bulk_update, in_list

LAG = 5  # seconds
LAG_MS = LAG * 1000
LARGE = 100  # member rows

#: The first part of the hot fact ("listed", user): how many dialogs, broadcasts apart, are in a user's list. Who makes,
#: shows or hides a member row, or changes whether it is active, forgets it after the commit for each such user.
LISTED = "listed"

VIEWER = bindparam("viewer", type_=BigInteger())


def shown(rows: FromClause = members) -> tuple[ColumnElement[bool], ...]:
    """The viewer's own rows of dialogs that are in its list, broadcasts apart; written as the indexes are."""
    broadcast: ColumnElement[int] = literal_column(str(int(DialogType.BROADCAST)))
    return rows.c.user_id == VIEWER, rows.c.active, not_(rows.c.hidden), rows.c.type != broadcast


ACTIVITY = func.coalesce(dialogs.c.last_date_sent, dialogs.c.created_at // 1000)

_ROWS_OF = select(func.count()).select_from(members).where(members.c.dialog_id == dialogs.c.id).scalar_subquery()
_HAS_NEW = exists().where(members.c.dialog_id == dialogs.c.id, not_(members.c.copied))
_STATE = Query(
    select(
        *(dialogs.c.id, dialogs.c.updated_at, ACTIVITY, dialogs.c.listed_at, dialogs.c.listed_activity),
        *(_ROWS_OF, _HAS_NEW),
    ).where(in_list(dialogs.c.id, "dialogs"), dialogs.c.copied),
    "dialogs",
)
_COPIED_ROWS = Query(
    select(members.c.dialog_id, members.c.user_id).where(in_list(members.c.dialog_id, "dialogs"), members.c.copied),
    "dialogs",
)
_LOCK_ROWS = Query(
    select(members.c.user_id)
    .where(in_list(members.c.dialog_id, "dialogs"))
    .order_by(members.c.dialog_id, members.c.user_id)
    .with_for_update(),
    "dialogs",
)
_COUNT = Query(select(func.count()).select_from(members).where(*shown()), "viewer")
WRITE_COPIES = bulk_update(members, ["dialog_id"], "copied", "listed_at", "activity")
REMEMBER_COPIES = bulk_update(dialogs, ["id"], "copied", "listed_at", "listed_activity")


def is_due(listed_at: int, listed_activity: int, updated_at: int, activity: int) -> bool:
    """Whether copies leave the window when the dialog's `updated_at` (ms) and activity (s) become these."""
    return not (0 <= updated_at - listed_at <= LAG_MS and 0 <= activity - listed_activity <= LAG)


async def copied_rows(tx: Tx, dialog_ids: Collection[str]) -> list[tuple[str, int]]:
    """The member rows, (dialog, user), that writing the copies of these (locked) dialogs will touch.

    Who locks single member rows of such a dialog locks these together with them, in one order.
    """
    if not dialog_ids:
        return []
    return [(row[0], row[1]) for row in await tx.fetch(_COPIED_ROWS, sorted(dialog_ids))]


async def refresh(tx: Tx, *dialog_ids: str) -> None:
    """Puts the copies of (locked) dialogs right, whatever has been changed.

    To be called at the end of every transaction, outside the storing of messages, that adds member rows or moves
    `updated_at` or `last_date_sent` of a dialog; where it locked member rows, it did as `copied_rows` says. Leaving,
    hiding and coming back need no refresh: the copies of those who are away are kept up too. Large dialogs cost
    nothing.
    """
    rows = []
    for row in await tx.fetch(_STATE, sorted(dialog_ids)):
        dialog_id, updated_at, activity, listed_at, listed_activity, row_count, has_new = row
        if row_count > LARGE:
            rows.append((False, 0, 0, dialog_id))
        elif has_new or is_due(listed_at, listed_activity, updated_at, activity):
            rows.append((True, updated_at, activity, dialog_id))
    if rows:
        await tx.fetch(_LOCK_ROWS, [row[3] for row in rows])
        await tx.many(REMEMBER_COPIES, rows)
        await tx.many(WRITE_COPIES, rows)


async def count(tx: Tx, user_id: int) -> int:
    """How many dialogs, broadcasts apart, are in the user's list: the fact under LISTED."""
    found: int = await tx.value(_COUNT, user_id)
    return found
