"""Reading messages: pages, counts, and single ones. Writing them is `messages.py`; who has had them `audience.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, func, not_, select, text, union_all

from voxcube.server.core.listing import Condition, Listing, Order
from voxcube.server.core.models import Message, StoredMessage
from voxcube.server.core.pages import ID_BYTES, PageBudget, text_bytes, within
from voxcube.server.storage.audience import add_audience
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.listing import Comparable, OwnClause, Shape, memoised, paged, shape, values, where
from voxcube.server.storage.scans import FAR
from voxcube.server.storage.schema import hidden_messages, message_ids, messages
from voxcube.server.storage.sql import Query, absent, among, any_item, bulk_select, folded, in_list, json_text

_NAMES = (
    *("id", "app_id", "dialog_id", "seq", "sender_id", "recipient_id", "body", "date_sent"),
    *("created_at", "updated_at", "edited_at", "attachments", "properties"),
)
_COLUMNS = tuple(messages.c[name] for name in _NAMES)
FEW = 20  # messages that are read at once, whatever their size
NEAR = 2000  # so many of the newest messages are rather sorted than looked for along the dates

#: What a page can be filtered by; `properties` by key.
FILTERS: Mapping[str, Comparable] = {
    "_id": messages.c.id,
    "message": messages.c.body,
    "date_sent": messages.c.date_sent,
    "sender_id": messages.c.sender_id,
    "recipient_id": messages.c.recipient_id,
    "created_at": messages.c.created_at,
    "updated_at": messages.c.updated_at,
    "properties": lambda key: json_text(messages.c.properties, key),
}

_DIALOG = messages.c.dialog_id == bindparam("dialog")
_AFTER: Any = bindparam("after", type_=BigInteger())
_HIDDEN_FROM_VIEWER = and_(
    hidden_messages.c.dialog_id == messages.c.dialog_id,
    hidden_messages.c.user_id == bindparam("viewer"),
    hidden_messages.c.seq == messages.c.seq,
)
_VISIBLE = (
    _DIALOG,
    messages.c.app_id == bindparam("app"),
    absent(select(hidden_messages.c.seq).where(_HIDDEN_FROM_VIEWER)),
)
_SCOPE = ("dialog", "app", "after", "viewer")
# The sum hides `seq` from the primary key: pages shall walk the index on dates, which needs no sorting.
_FAR = messages.c.seq + 0 > _AFTER
# Changed since it came, as the condition of the index `messages_changed` has it.
_CHANGED = messages.c.updated_at != messages.c.created_at
# The newest messages, and all that were changed after a time: what is asked for with `updated_at[gt]`.
_NEWS = union_all(
    select(messages.c.seq).where(_DIALOG, messages.c.seq > bindparam("newest", type_=BigInteger())),
    select(messages.c.seq).where(_DIALOG, _CHANGED, messages.c.updated_at >= bindparam("since")),
)
# The narrow table of ids knows where a message is; without it a look-up would walk the whole dialog.
_OF_IDS = select(message_ids.c.seq).where(
    message_ids.c.app_id == bindparam("app"), message_ids.c.dialog_id == bindparam("dialog")
)
_OWN: dict[tuple[str, str], OwnClause] = {
    ("_id", "eq"): lambda name: among(messages.c.seq, _OF_IDS.where(message_ids.c.id == bindparam(name))),
    ("_id", "in"): lambda name: among(messages.c.seq, _OF_IDS.where(in_list(message_ids.c.id, name))),
    ("message", "ctn"): lambda name: folded(messages.c.body).like(bindparam(name), escape="\\"),
    ("properties", "ctn"): lambda name: folded(json_text(messages.c.properties, f"{name}k")).like(
        bindparam(name), escape="\\"
    ),
    ("attachments.type", "in"): lambda name: any_item(messages.c.attachments, "type", name),
    ("attachments.type", "nin"): lambda name: not_(any_item(messages.c.attachments, "type", name)),
}
_ORDERS: Mapping[str, ColumnElement[Any]] = {
    "_id": messages.c.id,
    "date_sent": messages.c.date_sent,
    "created_at": messages.c.seq,  # messages are numbered in that order
}
_TIMES = ("created_at", "updated_at")
_LISTS = {"eq": "in", "ne": "nin"}
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
# The highest sequence number whose message came not after a time. They are numbered in the order of `created_at`, so
# that halving steps find it. `step` begins with a power of two above half of `last`.
_UP_TO = Query(
    text(
        "WITH RECURSIVE h(low, step) AS (SELECT CAST(0 AS BIGINT), CAST(:step AS BIGINT) UNION ALL SELECT"
        " CASE WHEN low + step <= CAST(:last AS BIGINT) AND coalesce((SELECT m.created_at FROM messages AS m"
        " WHERE m.dialog_id = :dialog AND m.seq <= low + step ORDER BY m.seq DESC LIMIT 1), 0) <= CAST(:time AS BIGINT)"
        " THEN low + step ELSE low END, step / 2 FROM h WHERE step > 0) SELECT low FROM h WHERE step = 0"
    ),
    *("step", "last", "dialog", "time"),
)
_AT = (_NAMES.index("dialog_id"), _NAMES.index("seq"))
_STORED = bulk_select(messages, ["dialog_id", "seq"], *_NAMES)


class HistoryStore:
    """Pages of messages. Every query carries the application."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, *, app_id: int, dialog_id: str, viewer: int, after: int, last: int, listing: Listing
    ) -> tuple[list[StoredMessage], bool]:
        """Messages of a dialog that the viewer has not deleted, with a seq above ``after``; ``last`` is the newest's.

        Sorted by ``date_sent`` unless ordered otherwise; ties by order of arrival (rest §7.2). Also whether the page
        was cut because these messages fill it (`core.pages`).
        """
        order = listing.order or Order("date_sent")
        wanted = _prepared(listing.conditions)
        reach = await self._reach(dialog_id, after, last, wanted)

        async def read(tx: Tx) -> tuple[list[StoredMessage], bool]:
            query = _page(shape(wanted), order.field, order.descending, reach.form)
            scope = (dialog_id, app_id, reach.after, viewer, *reach.more)
            asked = (*scope, *values(wanted), listing.limit, listing.skip)
            budget = PageBudget()
            if listing.limit <= FEW:
                rows = await tx.fetch(query, *asked)
            else:
                rows = await tx.fetch_until(budget.full, query, *asked)
            found = [_stored(row) for row in rows]
            await add_audience(tx, viewer, found)
            if listing.limit <= FEW:
                return found, False
            fitting = [stored for _, stored in within(list(zip(rows, found, strict=True)), _bytes_on_page)]
            full = budget.is_full or len(fitting) < len(found)
            return fitting, full and len(fitting) < listing.limit

        return await self._database.look(read, scanning=_scans(wanted, order, listing.skip, reach), user=viewer)

    async def _reach(self, dialog_id: str, after: int, last: int, wanted: Sequence[Condition]) -> _Reach:
        if not any(one.field in _TIMES and one.operator in ("gt", "gte") for one in wanted):
            return _Reach(after, "far")
        return await self._database.read(lambda tx: _reach(tx, dialog_id, after, last, wanted))

    async def count(
        self,
        *,
        app_id: int,
        dialog_id: str,
        viewer: int,
        after: int,
        cleared: int,
        last: int,
        live: int,
        listing: Listing,
    ) -> int:
        """How many messages ``page`` would find without limits; where that is all ``live`` ones (above ``cleared``) and
        nothing is filtered it is arithmetic."""
        wanted = _prepared(listing.conditions)
        reach = await self._reach(dialog_id, after, last, wanted)

        async def read(tx: Tx) -> int:
            if not wanted and after <= cleared:
                hidden: int = await tx.value(_HIDDEN_COUNT, dialog_id, viewer, after)
                return max(0, live - hidden)
            scope = (dialog_id, app_id, reach.after, viewer, *reach.more)
            total: int = await tx.value(_count(shape(wanted), reach.form), *scope, *values(wanted))
            return total

        arithmetic = not wanted and after <= cleared
        few = reach.form != "far" or any(_names_ids(one) for one in wanted)
        return await self._database.look(read, scanning=not (arithmetic or few), user=viewer)

    async def stored(
        self, viewer: int, places: Sequence[tuple[str, int]], budget: PageBudget
    ) -> dict[tuple[str, int], StoredMessage]:
        """Messages by dialog and seq, as far as they are still there, up to the one that fills the page."""

        async def read(tx: Tx) -> dict[tuple[str, int], StoredMessage]:
            found: list[StoredMessage] = []
            for start in range(0, len(places), FEW):
                piece = places[start : start + FEW]
                rows = {(row[_AT[0]], row[_AT[1]]): row for row in await tx.pick(_STORED, sorted(piece))}
                for place in piece:
                    if place in rows and not budget.is_full:
                        budget.full(rows[place])
                        found.append(_stored(rows[place]))
                if budget.is_full:
                    break
            by_dialog: dict[str, list[StoredMessage]] = {}
            for stored in found:
                by_dialog.setdefault(stored.message.dialog_id, []).append(stored)
            for group in by_dialog.values():
                await add_audience(tx, viewer, group)
            return {(stored.message.dialog_id, stored.message.seq): stored for stored in found}

        return await self._database.read(read)


def _bytes_on_page(read: tuple[Row, StoredMessage]) -> int:
    """About how many bytes a message takes on a page: its texts, and the lists of its readers."""
    row, stored = read
    return text_bytes(row) + ID_BYTES * (len(stored.read_ids) + len(stored.delivered_ids))


def _scans(wanted: Sequence[Condition], order: Order, skip: int, reach: _Reach) -> bool:
    """Whether a page may read more than a little beyond what it shows.

    It does not where the conditions leave few messages, or where each is one on the key that the page is sorted by.
    """
    if any(_names_ids(one) for one in wanted):
        return False
    if skip > FAR or order.field not in ("date_sent", "created_at", "updated_at"):
        return True
    if reach.form != "far":
        return any(one.field not in _TIMES for one in wanted)
    if reach.after > FAR and not order.descending:  # all that the viewer has cleared lies before the first one
        return True
    ranges = ("eq", "gt", "gte", "lt", "lte")
    return any(one.field != "date_sent" or order.field != "date_sent" or one.operator not in ranges for one in wanted)


def _names_ids(one: Condition) -> bool:
    return one.field == "_id" and one.operator in ("eq", "in")


class _Reach(NamedTuple):
    """Where to look: messages above `after`, in the "far" form of the statement, in the "near" one where they are few,
    or in that for "news", which takes `more` values."""

    after: int
    form: str
    more: tuple[int, ...] = ()


async def _reach(tx: Tx, dialog_id: str, after: int, last: int, wanted: Sequence[Condition]) -> _Reach:
    """Lower bounds on server times are turned into sequence numbers, which the primary key finds."""
    bounds = {"created_at": 0, "updated_at": 0}
    for condition in wanted:
        if condition.field in bounds and condition.operator in ("gt", "gte"):
            since = condition.value + (condition.operator == "gt")
            bounds[condition.field] = max(since, bounds[condition.field])
    if since := bounds["created_at"]:
        after = max(after, await up_to(tx, dialog_id, last, since - 1))
        if last - after <= NEAR:
            return _Reach(after, "near")
    if since := bounds["updated_at"]:
        newest = await up_to(tx, dialog_id, last, since - 1)
        if last - newest <= NEAR:
            return _Reach(after, "news", (newest, since))
    return _Reach(after, "far")


async def up_to(tx: Tx, dialog_id: str, last: int, time_ms: int) -> int:
    """The highest sequence number, among those to ``last``, whose message came not after a time; 0: there is none."""
    found: int = await tx.value(_UP_TO, 1 << last.bit_length() >> 1, last, dialog_id, time_ms)
    return found


@memoised
def _page(wanted: Shape, order: str, descending: bool, form: str) -> Query:
    clauses, names = _where(wanted, form)
    if order == "updated_at":
        return _by_change(clauses, names, descending)
    wanted_ids = {("_id", "eq"), ("_id", "in")}
    column = _ORDERS[order]
    if order == "date_sent" and (form != "far" or not wanted_ids.isdisjoint(wanted)):
        column = column + 0  # few messages, found by other means: sorting them is cheaper than walking the dates
    columns = [column] if order == "created_at" else [column, messages.c.seq]
    return paged(select(*_COLUMNS).where(*clauses).order_by(*_keys(columns, descending)), *names)


def _by_change(clauses: Sequence[Any], names: Sequence[str], descending: bool) -> Query:
    """Sorted by `updated_at`: what never changed is in the order of its numbers, what did is found by its own index."""
    reach: Any = bindparam("limit", type_=BigInteger()) + bindparam("skip", type_=BigInteger())
    parts = []
    for columns, condition in (
        ([messages.c.seq], ~_CHANGED),
        ([messages.c.updated_at, messages.c.seq], _CHANGED),
    ):
        part = select(*_COLUMNS).where(*clauses, condition).order_by(*_keys(columns, descending)).limit(reach)
        parts.append(select(part.subquery()))
    both = union_all(*parts).subquery()
    return paged(select(*both.c).order_by(*_keys([both.c.updated_at, both.c.seq], descending)), *names)


def _keys(columns: Sequence[ColumnElement[Any]], descending: bool) -> list[ColumnElement[Any]]:
    return [column.desc() if descending else column for column in columns]


@memoised
def _count(wanted: Shape, form: str) -> Query:
    clauses, names = _where(wanted, form)
    return Query(select(func.count()).select_from(messages).where(*clauses), *names)


def _where(wanted: Shape, form: str) -> tuple[list[Any], list[str]]:
    clauses, names = where(FILTERS, wanted, _OWN)
    reach = {"far": [_FAR], "near": [messages.c.seq > _AFTER], "news": [_FAR, among(messages.c.seq, _NEWS)]}[form]
    more = ["newest", "since"] if form == "news" else []
    return [*_VISIBLE, *reach, *clauses], [*_SCOPE, *more, *names]


def _prepared(conditions: Sequence[Condition]) -> list[Condition]:
    """Types of attachments are compared with lists, and `ctn` in lower case."""
    return [_as_list(one) if one.field == "attachments.type" else _without_case(one) for one in conditions]


def _as_list(one: Condition) -> Condition:
    if one.operator not in _LISTS:
        return one
    return replace(one, operator=_LISTS[one.operator], value=[one.value])


def _without_case(one: Condition) -> Condition:
    return replace(one, value=one.value.lower()) if one.operator == "ctn" else one


def _stored(row: Row) -> StoredMessage:
    stored = dict(zip(_NAMES, row, strict=True))
    stored["created_at_ms"] = stored.pop("created_at")
    stored["updated_at_ms"] = stored.pop("updated_at")
    stored["attachments"] = tuple(json.loads(stored["attachments"])) if stored["attachments"] else ()
    stored["properties"] = json.loads(stored["properties"]) if stored["properties"] else {}
    return StoredMessage(Message(**stored))
