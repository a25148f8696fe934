"""Messages that go by themselves: too old, self-destroyed, of users whose messages are erased. In small steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from voxcube.server.storage import changes, reactions
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import dialogs, erased_users, members, message_ids, messages, receipts
from voxcube.server.storage.sql import Query, bulk_insert

BATCH = 500  # messages in one transaction
DIALOGS = 100  # looked at in one read
REMEMBERED = 30 * 86_400  # seconds for which the id of a deleted message is known

_D: Any = bindparam("dialog")
_OLDEST = (
    select(messages.c.created_at)
    .where(messages.c.dialog_id == dialogs.c.id, messages.c.seq > dialogs.c.cleared)
    .order_by(messages.c.seq)
    .limit(1)
    .scalar_subquery()
)
_WITH_OLD = Query(
    select(dialogs.c.id)
    .where(
        dialogs.c.id > bindparam("after"),
        dialogs.c.app_id == bindparam("app"),
        dialogs.c.live > 0,
        bindparam("before") > _OLDEST,
    )
    .order_by(dialogs.c.id)
    .limit(DIALOGS),
    *("after", "app", "before"),
)
_FIRST = Query(
    select(messages.c.seq, messages.c.created_at)
    .join(dialogs, dialogs.c.id == messages.c.dialog_id)
    .where(messages.c.dialog_id == _D, messages.c.seq > dialogs.c.cleared)
    .order_by(messages.c.seq)
    .limit(BATCH),
    "dialog",
)
# Nothing that an interval says is asked for any more below the oldest message.
_FORGET_RECEIPTS = Query(
    delete(receipts).where(
        receipts.c.dialog_id == _D,
        receipts.c.high
        < select(
            func.coalesce(
                select(func.min(messages.c.seq)).where(messages.c.dialog_id == dialogs.c.id).scalar_subquery(),
                dialogs.c.seq + 1,
            )
        )
        .where(dialogs.c.id == _D)
        .scalar_subquery(),
    ),
    "dialog",
)
_START = Query(
    update(messages)
    .where(messages.c.expires_at.is_not(None), messages.c.expires_at < 0)
    .values(expires_at=bindparam("now") - messages.c.expires_at),
    "now",
)
_EXPIRED = Query(
    select(messages.c.dialog_id, messages.c.seq)
    .join(dialogs, dialogs.c.id == messages.c.dialog_id)
    .where(
        messages.c.expires_at.is_not(None),
        messages.c.expires_at >= 0,
        messages.c.expires_at <= bindparam("now"),
        messages.c.seq > dialogs.c.cleared,
    )
    .limit(BATCH),
    "now",
)
_REMOVED_IDS = Query(
    select(message_ids.c.app_id, message_ids.c.id)
    .where(message_ids.c.removed_at.is_not(None), message_ids.c.removed_at < bindparam("before"))
    .limit(BATCH),
    "before",
)
_ERASE = bulk_insert(erased_users, "app_id", "user_id", ignore_existing=True)
_ERASED = Query(select(erased_users.c.app_id, erased_users.c.user_id).order_by(erased_users.c.user_id).limit(1))
_DIALOG_OF = Query(
    select(members.c.dialog_id)
    .where(members.c.user_id == bindparam("user"), members.c.dialog_id > bindparam("after"))
    .order_by(members.c.dialog_id)
    .limit(1),
    *("user", "after"),
)
_SENT = Query(
    select(messages.c.seq)
    .join(dialogs, dialogs.c.id == messages.c.dialog_id)
    .where(
        messages.c.dialog_id == _D,
        messages.c.sender_id == bindparam("user"),
        messages.c.seq > dialogs.c.cleared,
        messages.c.seq > bindparam("after"),
    )
    .order_by(messages.c.seq)
    .limit(BATCH),
    *("dialog", "user", "after"),
)
_DONE = Query(delete(erased_users).where(erased_users.c.user_id == bindparam("user")), "user")


async def with_old(tx: Tx, app_id: int, before_ms: int, after: str) -> list[str]:
    """Dialogs of an application, with an id above `after`, whose oldest message is older."""
    return [row[0] for row in await tx.fetch(_WITH_OLD, after, app_id, before_ms)]


async def remove_old(tx: Tx, dialog_id: str, before_ms: int, now_ms: int) -> bool:
    """Deletes some of the messages that are older; whether there may be more of them.

    Nobody sends them again, so that their ids go as well.
    """
    old = []
    rows = await tx.fetch(_FIRST, dialog_id)
    for seq, created_at in rows:
        if created_at >= before_ms:
            break
        old.append(seq)
    await changes.remove(tx, dialog_id, old, now_ms, keep_ids=False)
    more = len(old) == BATCH
    if not more:
        await tx.execute(_FORGET_RECEIPTS, dialog_id)
    return more


async def start_expiry(tx: Tx, now: int) -> None:
    """From now on the time runs of self-destroying messages that were shown for the first time.

    In a transaction of its own: their rows come before those of their dialogs.
    """
    await tx.execute(_START, now)


async def remove_expired(tx: Tx, now_ms: int) -> bool:
    """Deletes some of the self-destroying messages whose time is over; whether there may be more (realtime §9.4)."""
    rows = await tx.fetch(_EXPIRED, now_ms // 1000)
    by_dialog: dict[str, list[int]] = defaultdict(list)
    for dialog_id, seq in rows:
        by_dialog[dialog_id].append(seq)
    # One dialog in one transaction: its locks come before those of any other.
    for dialog_id in sorted(by_dialog)[:1]:
        await changes.remove(tx, dialog_id, by_dialog[dialog_id], now_ms)
    return len(by_dialog) > 1 or len(rows) == BATCH


async def forget_ids(tx: Tx, now: int) -> bool:
    """Forgets some of the ids of messages that were deleted long ago; whether there may be more of them."""
    rows = await tx.fetch(_REMOVED_IDS, now - REMEMBERED)
    await tx.many(changes.FORGET_IDS, sorted((row[0], row[1]) for row in rows))
    return len(rows) == BATCH


async def erase_user(tx: Tx, app_id: int, user_id: int) -> None:
    """The (deleted) user's messages are to be erased, by `remove_erased`."""
    await tx.many(_ERASE, [(app_id, user_id)])


async def erased_user(tx: Tx) -> tuple[int, int] | None:
    """(application, user) whose messages are to be erased next."""
    row = await tx.row(_ERASED)
    return None if row is None else (row[0], row[1])


async def dialog_of(tx: Tx, user_id: int, after: str) -> str | None:
    """The next dialog, in the order of ids, that the user is or was in."""
    found: str | None = await tx.value(_DIALOG_OF, user_id, after)
    return found


async def sent(tx: Tx, dialog_id: str, user_id: int, after: int) -> list[int]:
    """The numbers, above `after`, of some of the messages that a user has sent to a dialog.

    Nothing but the dialog's own order finds them: a large one is looked through once, beside the writer.
    """
    return [row[0] for row in await tx.fetch(_SENT, dialog_id, user_id, after)]


async def remove_sent(tx: Tx, dialog_id: str, seqs: Sequence[int], now_ms: int) -> None:
    """Deletes what `sent` has found."""
    await changes.remove(tx, dialog_id, seqs, now_ms, keep_ids=False)


async def erased(tx: Tx, user_id: int) -> None:
    """Nothing is left of the user's messages; nor shall be of its reactions."""
    await reactions.forget_user(tx, user_id)
    await tx.execute(_DONE, user_id)
