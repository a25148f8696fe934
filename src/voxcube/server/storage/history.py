"""Reading messages: statements and row → model. Writing them is `messages.py`."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, select

from voxcube.server.core.listing import Listing, Order
from voxcube.server.core.models import Message, StoredMessage
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.listing import OwnClause, Shape, memoised, paged, shape, values, where
from voxcube.server.storage.receipts import READ
from voxcube.server.storage.schema import hidden_messages, message_ids, messages, receipts
from voxcube.server.storage.sql import Query, in_list

_NAMES = (
    *("id", "app_id", "dialog_id", "seq", "sender_id", "recipient_id", "body", "date_sent"),
    *("created_at", "updated_at", "edited_at", "attachments", "properties"),
)
_COLUMNS = tuple(messages.c[name] for name in _NAMES)

#: What a page can be filtered and sorted by.
FILTERS = {
    "_id": messages.c.id,
    "message": messages.c.body,
    "date_sent": messages.c.date_sent,
    "sender_id": messages.c.sender_id,
    "recipient_id": messages.c.recipient_id,
    "created_at": messages.c.created_at,
    "updated_at": messages.c.updated_at,
}

_HIDDEN_FROM_VIEWER = and_(
    hidden_messages.c.dialog_id == messages.c.dialog_id,
    hidden_messages.c.user_id == bindparam("viewer"),
    hidden_messages.c.seq == messages.c.seq,
)
_VISIBLE = (
    messages.c.dialog_id == bindparam("dialog"),
    messages.c.app_id == bindparam("app"),
    # The sum hides `seq` from the primary key: pages shall walk the index on dates, which needs no sorting.
    messages.c.seq + 0 > bindparam("after", type_=messages.c.seq.type),
    ~select(hidden_messages.c.seq).where(_HIDDEN_FROM_VIEWER).exists(),
)
_SCOPE = ("dialog", "app", "after", "viewer")
# The narrow table of ids knows where a message is; without it a look-up would walk the whole dialog.
_OF_IDS = select(message_ids.c.seq).where(
    message_ids.c.app_id == bindparam("app"), message_ids.c.dialog_id == bindparam("dialog")
)
_OWN: dict[tuple[str, str], OwnClause] = {
    ("_id", "eq"): lambda name: messages.c.seq.in_(_OF_IDS.where(message_ids.c.id == bindparam(name))),
    ("_id", "in"): lambda name: messages.c.seq.in_(_OF_IDS.where(in_list(message_ids.c.id, name))),
}
_HIDDEN_COUNT = Query(
    select(func.count())
    .select_from(hidden_messages)
    .where(
        hidden_messages.c.dialog_id == bindparam("dialog"),
        hidden_messages.c.user_id == bindparam("viewer"),
        hidden_messages.c.seq > bindparam("after"),
    ),
    *("dialog", "viewer", "after"),
)
_INTERVALS = Query(
    select(receipts.c.user_id, receipts.c.kind, receipts.c.low, receipts.c.high)
    .where(
        receipts.c.dialog_id == bindparam("dialog"),
        receipts.c.high >= bindparam("first"),
        receipts.c.low <= bindparam("last"),
    )
    .order_by(receipts.c.user_id),
    *("dialog", "first", "last"),
)


class HistoryStore:
    """Pages of messages. Every query carries the application."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, *, app_id: int, dialog_id: str, viewer: int, after: int, listing: Listing
    ) -> list[StoredMessage]:
        """Messages of a dialog that the viewer has not deleted, with a seq above ``after``; fields are FILTERS.

        Sorted by ``date_sent`` unless ordered otherwise; ties by order of arrival (rest §7.2).
        """
        order = listing.order or Order("date_sent")
        query = _page(shape(listing.conditions), order.field, order.descending)
        given = values(listing.conditions)

        async def read(tx: Tx) -> list[StoredMessage]:
            rows = await tx.fetch(query, dialog_id, app_id, after, viewer, *given, listing.limit, listing.skip)
            found = [_stored(row) for row in rows]
            if found:
                await _add_receipts(tx, dialog_id, found)
            return found

        return await self._database.read(read)

    async def count(self, *, app_id: int, dialog_id: str, viewer: int, after: int, live: int, listing: Listing) -> int:
        """How many messages ``page`` would find without limits. Without conditions it is arithmetic on ``live``."""
        given = values(listing.conditions)

        async def read(tx: Tx) -> int:
            if not listing.conditions and after == 0:
                hidden: int = await tx.value(_HIDDEN_COUNT, dialog_id, viewer, after)
                return max(0, live - hidden)
            total: int = await tx.value(_count(shape(listing.conditions)), dialog_id, app_id, after, viewer, *given)
            return total

        return await self._database.read(read)


@memoised
def _page(wanted: Shape, order: str, descending: bool) -> Query:
    clauses, names = where(FILTERS, wanted, _OWN)
    column: ColumnElement[Any] = FILTERS[order]
    if order == "date_sent" and any(condition in _OWN for condition in wanted):
        column = column + 0  # few messages, found by their ids: sorting them is cheaper than walking the dates
    keys = (column.desc(), messages.c.seq.desc()) if descending else (column, messages.c.seq)
    return paged(select(*_COLUMNS).where(*_VISIBLE, *clauses).order_by(*keys), *_SCOPE, *names)


@memoised
def _count(wanted: Shape) -> Query:
    clauses, names = where(FILTERS, wanted, _OWN)
    return Query(select(func.count()).select_from(messages).where(*_VISIBLE, *clauses), *_SCOPE, *names)


async def _add_receipts(tx: Tx, dialog_id: str, found: Sequence[StoredMessage]) -> None:
    arrived = sorted(found, key=lambda stored: stored.message.seq)
    seqs = [stored.message.seq for stored in arrived]
    for stored in found:
        stored.read_ids[stored.message.sender_id] = stored.delivered_ids[stored.message.sender_id] = None
    for user_id, kind, low, high in await tx.fetch(_INTERVALS, dialog_id, seqs[0], seqs[-1]):
        for stored in arrived[bisect_left(seqs, low) : bisect_right(seqs, high)]:
            stored.delivered_ids[user_id] = None  # what is read was delivered
            if kind == READ:
                stored.read_ids[user_id] = None


def _stored(row: Row) -> StoredMessage:
    stored = dict(zip(_NAMES, row, strict=True))
    stored["created_at_ms"] = stored.pop("created_at")
    stored["updated_at_ms"] = stored.pop("updated_at")
    stored["attachments"] = tuple(json.loads(stored["attachments"])) if stored["attachments"] else ()
    stored["properties"] = json.loads(stored["properties"]) if stored["properties"] else {}
    return StoredMessage(Message(**stored))
