"""Changing and deleting stored messages, with all that hangs on them: counters, receipts, pins, the last message."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, update

from voxcube.server.core.errors import Invalid
from voxcube.server.core.models import NO_TURN, Turn
from voxcube.server.core.sizes import message_size
from voxcube.server.storage import inbox, reactions, search
from voxcube.server.storage.database import Tx
from voxcube.server.storage.receipts import READ
from voxcube.server.storage.schema import dialogs, hidden_messages, members, message_ids, messages, receipts
from voxcube.server.storage.sql import Query, bulk_delete, bulk_select, bulk_update, in_list

LARGEST = 256 * 1024  # bytes of a message, as XML, with all that edits have added to it

_D: Any = bindparam("dialog")

_FIND = Query(
    select(message_ids.c.id, message_ids.c.dialog_id, message_ids.c.seq, message_ids.c.sender_id, messages.c.seq)
    .select_from(message_ids)
    .outerjoin(dialogs, dialogs.c.id == message_ids.c.dialog_id)
    .outerjoin(
        messages,
        (messages.c.dialog_id == message_ids.c.dialog_id)
        & (messages.c.seq == message_ids.c.seq)
        & (messages.c.seq + 0 > dialogs.c.cleared),  # hidden from the index, which is for the number itself
    )
    .where(message_ids.c.app_id == bindparam("app"), in_list(message_ids.c.id, "ids")),
    *("app", "ids"),
)
_LOCK = Query(
    select(dialogs.c.last_seq, dialogs.c.pinned, dialogs.c.cleared, dialogs.c.updated_at)
    .where(dialogs.c.id == _D)
    .with_for_update(),
    "dialog",
)
_TEXT = Query(
    select(messages.c.properties, messages.c.attachments, messages.c.updated_at, messages.c.extras).where(
        messages.c.dialog_id == _D, messages.c.seq == bindparam("seq")
    ),
    *("dialog", "seq"),
)
_EDIT = Query(
    update(messages)
    .where(messages.c.dialog_id == _D, messages.c.seq == bindparam("number"))
    .values({name: bindparam(name) for name in ("body", "properties", "attachments", "edited_at", "updated_at")}),
    *("body", "properties", "attachments", "edited_at", "updated_at", "dialog", "number"),
)
_TOUCH = Query(update(dialogs).where(dialogs.c.id == _D).values(updated_at=bindparam("now")), "now", "dialog")

_THERE = bulk_select(messages, ["dialog_id", "seq"], "seq", "sender_id", "id", "app_id")
_MEMBERS = Query(
    select(members.c.user_id, members.c.settled, members.c.base, members.c.hidden_before)
    .where(members.c.dialog_id == _D)
    .order_by(members.c.user_id)
    .with_for_update(),
    "dialog",
)
_READS = Query(
    select(receipts.c.user_id, receipts.c.low, receipts.c.high).where(
        receipts.c.dialog_id == _D,
        receipts.c.kind == READ,
        receipts.c.high >= bindparam("first"),
        receipts.c.low <= bindparam("last"),
    ),
    *("dialog", "first", "last"),
)
# By pairs, not by a list of numbers: PostgreSQL may compare all rows of the dialog with a list.
_HIDDEN = bulk_select(hidden_messages, ["dialog_id", "seq"], "user_id", "seq")
_SETTLE = bulk_update(members, ["dialog_id", "user_id"], "settled")
_REMOVE = [bulk_delete(table, "dialog_id", "seq") for table in (hidden_messages, messages)]
_BURY_IDS = bulk_update(message_ids, ["app_id", "id"], "removed_at")
FORGET_IDS = bulk_delete(message_ids, "app_id", "id")
_NEWEST = Query(
    select(messages.c.seq, messages.c.date_sent, messages.c.created_at)
    .where(messages.c.dialog_id == _D, messages.c.seq > bindparam("cleared"))
    .order_by(messages.c.seq.desc())
    .limit(1),
    *("dialog", "cleared"),
)
_SHRINK = Query(
    update(dialogs).where(dialogs.c.id == _D).values(live=dialogs.c.live - bindparam("gone")), "gone", "dialog"
)
_SET_LAST = Query(
    update(dialogs)
    .where(dialogs.c.id == _D)
    .values({name: bindparam(name) for name in ("last_seq", "last_date_sent", "last_arrival", "updated_at")}),
    *("last_seq", "last_date_sent", "last_arrival", "updated_at", "dialog"),
)
_SET_PINNED = Query(
    update(dialogs).where(dialogs.c.id == _D).values(pinned=bindparam("pinned"), updated_at=bindparam("now")),
    *("pinned", "now", "dialog"),
)
_NUMBER = Query(
    update(dialogs)
    .where(dialogs.c.id == _D)
    .values(changes=dialogs.c.changes + bindparam("more", type_=dialogs.c.changes.type))
    .returning(dialogs.c.changes, dialogs.c.members_version),
    *("more", "dialog"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a message is; `there` is False for one that was deleted for everyone."""

    id: str
    dialog_id: str
    seq: int
    sender_id: int
    there: bool


async def find(tx: Tx, app_id: int, ids: Sequence[str]) -> dict[str, Found]:
    """The stored messages of an application with these ids, also those deleted not long ago."""
    rows = await tx.fetch(_FIND, app_id, list(ids))
    return {row[0]: Found(row[0], row[1], row[2], row[3], row[4] is not None) for row in rows}


async def take_turns(tx: Tx, dialog_id: str, seqs: Sequence[int]) -> list[Turn]:
    """The turns of changes of these messages, which are told in this order after the commit. It locks the dialog."""
    if not seqs:
        return []
    row = await tx.row(_NUMBER, len(seqs), dialog_id)
    if row is None:  # the dialog has gone, with all that there was to tell
        return [NO_TURN for _ in seqs]
    first = row[0] - len(seqs) + 1
    return [Turn(number, seq, row[1]) for number, seq in enumerate(seqs, first)]


async def edit(
    tx: Tx,
    found: Found,
    *,
    body: str,
    now_ms: int,
    properties: Mapping[str, Any] | None = None,
    attachments: Sequence[Mapping[str, str]] | None = None,
) -> bool | None:
    """Replaces the body, the attachments where there are any, and of the custom parameters those that are given.

    Whether it is the dialog's last message; None when it is there no more. The dialog's `updated_at` moves with its
    last message (rest §6.1). Raises Invalid when nothing would be left of it, or too much.
    """
    dialog_id, seq = found.dialog_id, found.seq
    dialog = await tx.row(_LOCK, dialog_id)
    row = None if dialog is None or seq <= dialog[2] else await tx.row(_TEXT, dialog_id, seq)
    if dialog is None or row is None:
        return None
    kept = json.loads(row[0]) if row[0] else {}
    merged = _to_json({**kept, **properties}) if properties else row[0]
    files = _to_json(list(attachments)) if attachments else row[1]
    if not (body or merged or files):
        raise Invalid({"message": ["can't be blank"]})
    if message_size(body, merged, files, row[3]) > LARGEST:
        raise Invalid(f"The message is too large (maximum is {LARGEST} bytes)")
    await tx.execute(_EDIT, body, merged, files, now_ms // 1000, max(now_ms, row[2] + 1), dialog_id, seq)
    await search.edited(tx, dialog_id, seq, body)
    last: bool = seq == dialog[0]
    if last:
        await tx.execute(_TOUCH, max(now_ms, dialog[3] + 1), dialog_id)
        await inbox.refresh(tx, dialog_id)
    return last


async def remove(tx: Tx, dialog_id: str, seqs: Sequence[int], now_ms: int, *, keep_ids: bool = True) -> list[str]:
    """Deletes messages for everyone; returns the ids of those that were still there.

    Each member's counter gives back what it had settled of them, so that the cost grows with the members, and not with
    members times messages. With `keep_ids` a late resend is still known for a while.
    """
    dialog = await tx.row(_LOCK, dialog_id)
    if dialog is None:
        return []
    last_seq, pinned, cleared, updated_at = dialog
    wanted = sorted({seq for seq in seqs if seq > cleared})
    people = await tx.fetch(_MEMBERS, dialog_id)
    rows = sorted(await tx.pick(_THERE, [(dialog_id, seq) for seq in wanted]), key=lambda row: row[0])
    if not rows:
        return []
    gone = [row[0] for row in rows]
    await _unsettle(tx, dialog_id, people, rows)
    for removal in _REMOVE:
        await tx.many(removal, [(dialog_id, seq) for seq in gone])
    await reactions.removed(tx, dialog_id, gone)
    await search.removed(tx, dialog_id, gone)
    ids = sorted((row[3], row[2]) for row in rows)
    if keep_ids:
        await tx.many(_BURY_IDS, [(now_ms // 1000, *key) for key in ids])
    else:
        await tx.many(FORGET_IDS, ids)
    await tx.execute(_SHRINK, len(gone), dialog_id)
    now_ms = max(now_ms, updated_at + 1)
    if last_seq == gone[-1]:
        seq, date_sent, created_at = await tx.row(_NEWEST, dialog_id, cleared) or (0, None, 0)
        await tx.execute(_SET_LAST, seq, date_sent, created_at * 1000, now_ms, dialog_id)
    removed = [row[2] for row in rows]
    pins = json.loads(pinned) if pinned else []
    left = [pin for pin in pins if pin not in set(removed)]
    if len(left) < len(pins):
        await tx.execute(_SET_PINNED, _to_json(left) if left else None, now_ms, dialog_id)
    await inbox.refresh(tx, dialog_id)
    return removed


async def _unsettle(tx: Tx, dialog_id: str, people: Sequence[Any], rows: Sequence[Any]) -> None:
    """Takes what each member had settled of these messages (seq, sender, …) from its counter."""
    gone = [row[0] for row in rows]
    own: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        own[row[1]].append(row[0])
    hidden: dict[int, list[int]] = defaultdict(list)
    for user_id, seq in await tx.pick(_HIDDEN, [(dialog_id, seq) for seq in gone]):
        hidden[user_id].append(seq)
    reads: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user_id, low, high in await tx.fetch(_READS, dialog_id, gone[0], gone[-1]):
        reads[user_id].append((low, high))
    changed = []
    for user_id, settled, base, hidden_before in people:
        start = max(base, hidden_before)
        count = bisect_right(gone, start)
        covered = [(max(low, start + 1), high) for low, high in reads[user_id] if high > start]
        count += sum(bisect_right(gone, high) - bisect_left(gone, low) for low, high in covered)
        count += sum(
            seq > start and not any(low <= seq <= high for low, high in covered)
            for seq in {*own[user_id], *hidden[user_id]}
        )
        if count:
            changed.append((settled - count, dialog_id, user_id))
    await tx.many(_SETTLE, changed)


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
