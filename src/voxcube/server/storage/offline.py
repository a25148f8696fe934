"""1-1 messages that are not kept in the history, while their receiver has no session (realtime §7.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, insert, select

from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.schema import offline_messages as queue
from voxcube.server.storage.sql import Query

_USER = queue.c.user_id == bindparam("user")
_KNOWN = Query(select(queue.c.seq).where(_USER, queue.c.message_id == bindparam("message")), "user", "message")
_FROM = Query(
    select(queue.c.seq, queue.c.head).where(_USER, queue.c.message_id == bindparam("message")), "user", "message"
)
_DROP = Query(delete(queue).where(_USER, queue.c.seq == bindparam("number")), "user", "number")
_LAST = Query(select(func.max(queue.c.seq)).where(_USER), "user")
_NAMES = ("user_id", "seq", "message_id", "app_id", "head", "tail", "created_at")
_ADD = Query(insert(queue).values({name: bindparam(name) for name in _NAMES}), *_NAMES)
_OVER = Query(
    select(queue.c.seq).where(_USER).order_by(queue.c.seq.desc()).limit(1).offset(bindparam("kept")), "user", "kept"
)
_FORGET = Query(delete(queue).where(_USER, queue.c.seq <= bindparam("seq")), "user", "seq")
_ALL = Query(
    select(queue.c.seq, queue.c.head, queue.c.tail, queue.c.created_at)
    .where(_USER, queue.c.app_id == bindparam("app"), queue.c.created_at >= bindparam("since"))
    .order_by(queue.c.seq),
    *("user", "app", "since"),
)


@dataclass(frozen=True, slots=True)
class OfflineMessage:
    """A stanza without its receiver's address. `created_at` in milliseconds."""

    seq: int
    head: bytes
    tail: bytes
    created_at: int


async def add(
    tx: Tx, *, app_id: int, user_id: int, message_id: str, head: bytes, tail: bytes, now_ms: int, kept: int
) -> None:
    """Queues a stanza; one with a known message id is there already; of too many the oldest goes."""
    if await tx.row(_KNOWN, user_id, message_id) is not None:
        return
    # Never a number that was used before, even when the queue was empty in between.
    seq = max(now_ms, (await tx.value(_LAST, user_id) or 0) + 1)
    await tx.execute(_ADD, user_id, seq, message_id, app_id, head.decode(), tail.decode(), now_ms)
    over = await tx.value(_OVER, user_id, kept)
    if over is not None:
        await tx.execute(_FORGET, user_id, over)


async def withdraw(tx: Tx, user_id: int, message_id: str, sender: str) -> None:
    """Its sender has deleted a stanza that waits; `sender` is how the address begins that it came from."""
    row = await tx.row(_FROM, user_id, message_id)
    if row is not None and f' from="{sender}' in row[1]:
        await tx.execute(_DROP, user_id, row[0])


async def forget(tx: Tx, handed: Sequence[tuple[int, int]]) -> None:
    """Removes, for each (user, seq), what was handed over."""
    for user_id, seq in handed:
        await tx.execute(_FORGET, user_id, seq)


async def waiting(database: Database, app_id: int, user_id: int, since: int) -> list[OfflineMessage]:
    """What waits for a user, oldest first; `since` in milliseconds."""
    rows = await database.fetch(_ALL, user_id, app_id, since)
    return [OfflineMessage(row[0], row[1].encode(), row[2].encode(), row[3]) for row in rows]
