"""Receipts and unread counts by arithmetic: intervals of seq per member, and counters instead of rows per reader.

`live` of a dialog counts its messages not deleted for everyone. `settled` of a member counts those of them that are
its own, read, deleted for it, or not after its base. Unread = live - settled. Own messages are never written into
intervals; they are implied, and bridged where they alone fill a gap, so that a member's reads are nearly always one
row. Every step decides under the member row's lock and is idempotent.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, null, select, update

from voxcube.server.core.errors import NotFound
from voxcube.server.core.models import DELIVERED as DELIVERED
from voxcube.server.core.models import READ as READ
from voxcube.server.storage import offline
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import dialogs, hidden_messages, members, messages, receipts
from voxcube.server.storage.sql import Bulk, Query, bulk_insert, bulk_query, bulk_select, bulk_update
from voxcube.server.storage.writer import Change

Interval = list[int]  # [low, high], both included
# A member's row while it is locked: active, settled, base, hidden_before, handed (and True once it was changed).
MemberRow = list[Any]

# (dialog, seq, destroy_after) of the messages that are still there. The sum hides `seq` from the index for `cleared`: a
# message is looked up by its number, not among all that are not cleared.
LIVE = bulk_query(
    "SELECT m.dialog_id, m.seq, m.destroy_after FROM {source} CROSS JOIN messages AS m JOIN dialogs AS d"
    " ON d.id = m.dialog_id WHERE m.dialog_id = {0} AND m.seq = {1} AND m.seq + 0 > d.cleared",
    *(messages.c.dialog_id, messages.c.seq),
)
SENDERS = bulk_select(messages, ["dialog_id", "seq"], "seq", "sender_id")
HIDDEN = bulk_select(hidden_messages, ["dialog_id", "user_id", "seq"], "dialog_id", "user_id", "seq")
# The interval at or before a seq, and the one after it: all that adding this seq can touch. PostgreSQL would evaluate
# both subselects of the first form for every interval of the member (57,520 index entries for 32 markers at 1,280
# gaps); each half of the lateral join reads one row of the primary key.
NEIGHBOURS = bulk_query(
    "SELECT r.dialog_id, r.user_id, r.kind, r.low, r.high FROM {source} CROSS JOIN receipts AS r"
    " WHERE r.dialog_id = {0} AND r.user_id = {1} AND r.kind = {2} AND r.low IN ("
    " (SELECT max(p.low) FROM receipts AS p"
    "  WHERE p.dialog_id = {0} AND p.user_id = {1} AND p.kind = {2} AND p.low <= {3}),"
    " (SELECT min(n.low) FROM receipts AS n"
    "  WHERE n.dialog_id = {0} AND n.user_id = {1} AND n.kind = {2} AND n.low > {3}))",
    *(receipts.c.dialog_id, receipts.c.user_id, receipts.c.kind, receipts.c.low),
    postgresql="SELECT {0}, {1}, {2}, r.low, r.high FROM {source} CROSS JOIN LATERAL ("
    "(SELECT p.low, p.high FROM receipts AS p WHERE p.dialog_id = {0} AND p.user_id = {1} AND p.kind = {2}"
    " AND p.low <= {3} ORDER BY p.low DESC LIMIT 1) UNION ALL"
    " (SELECT n.low, n.high FROM receipts AS n WHERE n.dialog_id = {0} AND n.user_id = {1} AND n.kind = {2}"
    " AND n.low > {3} ORDER BY n.low LIMIT 1)) AS r",
)
# Gaps (dialog, user, after, before) in which there is nothing but the user's own messages.
BRIDGES = bulk_query(
    "SELECT {0}, {1}, {2}, {3} FROM {source} WHERE NOT EXISTS (SELECT 1 FROM messages AS m"
    " WHERE m.dialog_id = {0} AND m.seq > {2} AND m.seq < {3} AND m.sender_id <> {1})",
    *(receipts.c.dialog_id, receipts.c.user_id, receipts.c.low, receipts.c.high),
)
DROP = Bulk(
    "DELETE FROM receipts WHERE (dialog_id, user_id, kind, low) IN (SELECT r.dialog_id, r.user_id, r.kind, r.low"
    " FROM (VALUES {rows}) AS u CROSS JOIN receipts AS r ON r.dialog_id = u.column1 AND r.user_id = u.column2"
    " AND r.kind = u.column3 AND r.low BETWEEN u.column4 AND u.column5)",
    "DELETE FROM receipts AS t USING unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])"
    " AS u(d, u, k, a, b) WHERE t.dialog_id = u.d AND t.user_id = u.u AND t.kind = u.k AND t.low BETWEEN u.a AND u.b",
    (receipts.c.dialog_id, receipts.c.user_id, receipts.c.kind, receipts.c.low, receipts.c.high),
)
ADD = bulk_insert(receipts, "dialog_id", "user_id", "kind", "low", "high")
ADD_HIDDEN = bulk_insert(hidden_messages, "dialog_id", "user_id", "seq")
# Shown for the first time: from now on its time runs, which a job turns into a date (`retention.py`).
SHOWN = bulk_update(messages, ["dialog_id", "seq"], "expires_at", "destroy_after")


class Mark(Change):
    """A delivered or read marker by message id. Set by the batch: `dialog_id`, `seq`, `sender_id` (0 = never stored),
    `changed` (whether it told anything new)."""

    __slots__ = ("app_id", "changed", "context", "dialog_id", "kind", "message_id", "sender_id", "seq", "user_id")

    def __init__(
        self, *, app_id: int, user_id: int, kind: int, message_id: str, done: Callable[[Any], None], context: Any = None
    ) -> None:
        """`kind` is DELIVERED or READ; `context` is the caller's own."""
        self.done = done
        self.error = None
        self.app_id = app_id
        self.user_id = user_id
        self.kind = kind
        self.message_id = message_id
        self.context = context
        self.dialog_id = ""
        self.seq = 0
        self.sender_id = 0
        self.changed = False


class HandOver(Change):
    """The highest seq of a dialog handed to one of a user's sessions; without a dialog: of its offline queue."""

    __slots__ = ("dialog_id", "seq", "user_id")

    def __init__(self, dialog_id: str, user_id: int, seq: int, done: Callable[[Any], None]) -> None:
        self.done = done
        self.error = None
        self.dialog_id = dialog_id
        self.user_id = user_id
        self.seq = seq


async def apply_handed(tx: Tx, handed: Sequence[HandOver], member_rows: dict[tuple[str, int], MemberRow]) -> None:
    """Raises `handed` of the (locked) member rows; what has no dialog leaves the offline queue."""
    offline_until: dict[int, int] = {}
    for item in handed:
        if not item.dialog_id:
            offline_until[item.user_id] = max(item.seq, offline_until.get(item.user_id, 0))
            continue
        member = member_rows.get((item.dialog_id, item.user_id))
        if member is not None and item.seq > member[4]:
            member[4] = item.seq
            if len(member) == 5:
                member.append(True)  # changed
    await offline.forget(tx, sorted(offline_until.items()))


async def apply_marks(
    tx: Tx, found: Sequence[tuple[Mark, str, int, int]], member_rows: dict[tuple[str, int], MemberRow]
) -> None:
    """Adds markers to the intervals of their (locked) members. A marker of somebody else's dialog changes nothing."""
    wanted: dict[tuple[str, int, int], set[int]] = defaultdict(set)
    for mark, dialog_id, seq, _ in found:
        member = member_rows.get((dialog_id, mark.user_id))
        if member is None or not member[0]:
            mark.dialog_id, mark.seq, mark.sender_id = "", 0, 0
            continue
        wanted[dialog_id, mark.user_id, mark.kind].add(seq)
    added = await add_seqs(tx, wanted, member_rows)
    for mark, dialog_id, seq, _ in found:
        mark.changed = (dialog_id, mark.user_id, mark.kind, seq) in added


async def add_seqs(
    tx: Tx, wanted: dict[tuple[str, int, int], set[int]], member_rows: dict[tuple[str, int], MemberRow]
) -> set[tuple[str, int, int, int]]:
    """Adds seqs of other people's messages to intervals; returns those (dialog, user, kind, seq) that were new.

    The member rows must be locked; a newly read message raises `settled` of its row in `member_rows`, which the caller
    writes back.
    """
    points = [(*key, seq) for key, seqs in wanted.items() for seq in seqs]
    live = {(row[0], row[1]): row[2] for row in await tx.pick(LIVE, list({(p[0], p[3]) for p in points}))}
    points = [p for p in points if (p[0], p[3]) in live]
    if not points:
        return set()
    intervals: dict[tuple[str, int, int], list[Interval]] = {p[:3]: [] for p in points}
    for row in await tx.pick(NEIGHBOURS, points):
        known = intervals[row[0], row[1], row[2]]
        if [row[3], row[4]] not in known:
            known.append([row[3], row[4]])
    fresh = [p for p in points if not any(low <= p[3] <= high for low, high in intervals[p[:3]])]
    if not fresh:
        return set()
    fresh.sort()
    await _write_intervals(tx, fresh, intervals)
    reads = [p for p in fresh if p[2] == READ]
    shown = sorted({(p[0], p[3]) for p in reads if live[p[0], p[3]] is not None})
    await tx.many(SHOWN, [(-live[key], None, *key) for key in shown])
    hidden = {tuple(row) for row in await tx.pick(HIDDEN, [(p[0], p[1], p[3]) for p in reads])}
    for dialog_id, user_id, _, seq in reads:
        member = member_rows[dialog_id, user_id]
        if seq > member[2] and seq > member[3] and (dialog_id, user_id, seq) not in hidden:
            member[1] += 1
            if len(member) == 5:
                member.append(True)  # changed
    return set(fresh)


async def _write_intervals(
    tx: Tx, fresh: Iterable[tuple[str, int, int, int]], intervals: dict[tuple[str, int, int], list[Interval]]
) -> None:
    touched: dict[tuple[str, int, int], list[Interval]] = defaultdict(list)
    for dialog_id, user_id, kind, seq in fresh:
        touched[dialog_id, user_id, kind].append([seq, seq])
    gaps: set[tuple[str, int, int, int]] = set()
    merged: dict[tuple[str, int, int], list[Interval]] = {}
    for key, new in touched.items():
        merged[key] = line = sorted(intervals[key] + new)
        for left, right in itertools.pairwise(line):
            if right[0] > left[1] + 1:
                gaps.add((key[0], key[1], left[1], right[0]))
    bridged = {tuple(row) for row in await tx.pick(BRIDGES, sorted(gaps))}
    drops: list[tuple[str, int, int, int, int]] = []
    adds: list[tuple[str, int, int, int, int]] = []
    for key, line in merged.items():
        old = {(low, high) for low, high in intervals[key]}
        joined: list[Interval] = []
        for low, high in line:
            if joined and (low <= joined[-1][1] + 1 or (key[0], key[1], joined[-1][1], low) in bridged):
                joined[-1][1] = max(high, joined[-1][1])
            else:
                joined.append([low, high])
        for low, high in joined:
            if (low, high) not in old:
                drops.append((*key, low, high))
                adds.append((*key, low, high))
    await tx.many(DROP, drops)
    await tx.many(ADD, adds)


# -- whole-dialog steps: functions for the writer ---------------------------------------------------------------------

_D: Any = bindparam("dialog_id")
_U: Any = bindparam("user_id")
_S: Any = bindparam("seq")
_MEMBER = and_(members.c.dialog_id == _D, members.c.user_id == _U)
LOCK_DIALOG = Query(select(dialogs.c.seq, dialogs.c.live).where(dialogs.c.id == _D).with_for_update(), "dialog_id")
LOCK_MEMBER = Query(
    select(members.c.active, members.c.settled, members.c.base, members.c.hidden_before, members.c.handed)
    .where(_MEMBER)
    .with_for_update(),
    *("dialog_id", "user_id"),
)
SET_SETTLED = Query(
    update(members).where(_MEMBER).values(settled=bindparam("settled")), "settled", "dialog_id", "user_id"
)
CLEAR = Query(
    update(members).where(_MEMBER).values(settled=bindparam("settled"), hidden_before=_S),
    *("settled", "seq", "dialog_id", "user_id"),
)
FORGET_KIND = Query(
    delete(receipts).where(receipts.c.dialog_id == _D, receipts.c.user_id == _U, receipts.c.kind == bindparam("kind")),
    *("dialog_id", "user_id", "kind"),
)
ADD_INTERVAL = Query(
    insert(receipts).values(dialog_id=_D, user_id=_U, kind=bindparam("kind"), low=1, high=bindparam("high")),
    *("dialog_id", "user_id", "kind", "high"),
)
FORGET_HIDDEN = Query(
    delete(hidden_messages).where(hidden_messages.c.dialog_id == _D, hidden_messages.c.user_id == _U),
    *("dialog_id", "user_id"),
)
LOCK_ALL_MEMBERS = Query(
    select(members.c.user_id).where(members.c.dialog_id == _D).order_by(members.c.user_id).with_for_update(),
    "dialog_id",
)
ALL_SHOWN = Query(
    update(messages)
    .where(messages.c.dialog_id == _D, messages.c.destroy_after.is_not(None), messages.c.sender_id != _U)
    .values(expires_at=-messages.c.destroy_after, destroy_after=null()),
    *("dialog_id", "user_id"),
)


async def mark_seqs(tx: Tx, dialog_id: str, user_id: int, kind: int, seqs: Iterable[int]) -> set[int]:
    """Marks a page of messages; the user's own among `seqs` are passed over. Returns those that were new."""
    member = await tx.row(LOCK_MEMBER, dialog_id, user_id)
    if member is None:
        return set()
    row = list(member)
    senders = await tx.pick(SENDERS, [(dialog_id, seq) for seq in set(seqs)])
    foreign = {seq for seq, sender_id in senders if sender_id != user_id}
    added = await add_seqs(tx, {(dialog_id, user_id, kind): foreign}, {(dialog_id, user_id): row})
    if len(row) > 5:
        await tx.execute(SET_SETTLED, row[1], dialog_id, user_id)
    return {seq for _, _, _, seq in added}


async def mark_all(tx: Tx, dialog_id: str, user_id: int, kind: int) -> None:
    """Everything in the dialog becomes delivered to or read by the member. Raises NotFound without dialog or member."""
    seq, live, _ = await _lock_both(tx, dialog_id, user_id)
    await tx.execute(FORGET_KIND, dialog_id, user_id, kind)
    if seq:
        await tx.execute(ADD_INTERVAL, dialog_id, user_id, kind, seq)
    if kind == READ:
        await tx.execute(SET_SETTLED, live, dialog_id, user_id)
        await tx.execute(ALL_SHOWN, dialog_id, user_id)


async def clear_for(tx: Tx, dialog_id: str, user_id: int) -> None:
    """Hides everything so far from the member. Raises NotFound without dialog or member."""
    seq, live, _ = await _lock_both(tx, dialog_id, user_id)
    await tx.execute(FORGET_HIDDEN, dialog_id, user_id)
    await tx.execute(CLEAR, live, seq, dialog_id, user_id)


async def hide_for(tx: Tx, dialog_id: str, user_id: int, seqs: Iterable[int]) -> set[int]:
    """Deletes messages for the member only; returns those that were still there for it."""
    _, _, member = await _lock_both(tx, dialog_id, user_id)
    _, settled, base, hidden_before, _ = member
    points = [(dialog_id, seq) for seq in set(seqs) if seq > hidden_before]
    live = {row[1] for row in await tx.pick(LIVE, points)}
    gone = {row[2] for row in await tx.pick(HIDDEN, [(dialog_id, user_id, seq) for seq in live])}
    senders = {row[0]: row[1] for row in await tx.pick(SENDERS, [(dialog_id, seq) for seq in sorted(live - gone)])}
    read: set[int] = set()
    for _, _, _, low, high in await tx.pick(NEIGHBOURS, [(dialog_id, user_id, READ, seq) for seq in senders]):
        read.update(seq for seq in senders if low <= seq <= high)
    await tx.many(ADD_HIDDEN, [(dialog_id, user_id, seq) for seq in sorted(senders)])
    fresh = sum(sender_id != user_id and seq > base and seq not in read for seq, sender_id in senders.items())
    if fresh:
        await tx.execute(SET_SETTLED, settled + fresh, dialog_id, user_id)
    return set(senders)


async def _lock_both(tx: Tx, dialog_id: str, user_id: int) -> tuple[int, int, Any]:
    dialog = await tx.row(LOCK_DIALOG, dialog_id)
    member = None if dialog is None else await tx.row(LOCK_MEMBER, dialog_id, user_id)
    if dialog is None or member is None:
        raise NotFound("The dialog does not exist")
    return dialog[0], dialog[1], member
