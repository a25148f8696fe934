"""Which dialogs a user's list shows: the conditions, the order, one page and how many there are (rest §6.1).

A list starts at the ids of candidates where that is possible: those that the conditions name, or by the copies in the
member rows (`inbox.py`) those that are near the top in an order by time, or that changed lately. All other questions
go through everything in the user's list, and cost as much as the user has dialogs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    and_,
    bindparam,
    case,
    cast,
    func,
    not_,
    or_,
    select,
    union_all,
)

from voxcube.server.core.listing import Condition, Listing, Order
from voxcube.server.core.models import DialogType
from voxcube.server.storage.database import Tx
from voxcube.server.storage.inbox import ACTIVITY, ARRIVAL, VIEWER, shown
from voxcube.server.storage.listing import Comparable, OwnClause, Shape, memoised, paged, shape, values, where
from voxcube.server.storage.scans import FAR
from voxcube.server.storage.schema import dialogs, members, users
from voxcube.server.storage.sql import Query, among, by_code_point, folded, in_list, json_text

_INTEGER = BigInteger()
_END = 2**62  # of all times
MANY = 500  # changed dialogs, of which only the first are looked at
_BROADCAST = int(DialogType.BROADCAST)
# The sum hides `app_id` from its index: a list starts at the user's memberships, not at all dialogs of the application.
_SAME_APP = dialogs.c.app_id + 0 == bindparam("app", type_=_INTEGER)

_own = members.alias("own")
_other = members.alias("other")
_opponent = users.alias("opponent")


def _of_opponent(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return (
        select(column)
        .select_from(_other)
        .join(_opponent, _opponent.c.id == _other.c.user_id)
        .where(_other.c.dialog_id == dialogs.c.id, _other.c.user_id != VIEWER)
        .scalar_subquery()
    )


# A private dialog is called like the opponent (rest §5).
_OPPONENTS_NAME = _of_opponent(func.coalesce(func.nullif(_opponent.c.full_name, ""), _opponent.c.login))
NAME = case((dialogs.c.type == int(DialogType.PRIVATE), _OPPONENTS_NAME), else_=dialogs.c.name)

#: What dialogs can be filtered by, whoever looks.
FILTERS: dict[str, Comparable] = {
    "_id": dialogs.c.id,
    "type": cast(dialogs.c.type, BigInteger),
    "name": by_code_point(dialogs.c.name),
    "user_id": dialogs.c.owner_id,
    "last_message_date_sent": dialogs.c.last_date_sent,
    "created_at": dialogs.c.created_at,
    "updated_at": dialogs.c.updated_at,
    "extensions": lambda key: json_text(dialogs.c.extensions, key),
    "data": lambda key: json_text(dialogs.c.data, key),
}
_OF_VIEWER: dict[str, Comparable] = {**FILTERS, "name": by_code_point(NAME)}


def _with_occupants(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Only where everybody sees who they are: not the subscribers of public dialogs (rest §5)."""
    found = select(_other.c.user_id).where(_other.c.dialog_id == dialogs.c.id, _other.c.active, condition).exists()
    return and_(or_(dialogs.c.type == int(DialogType.GROUP), dialogs.c.type == int(DialogType.PRIVATE)), found)


def _has(text: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    return folded(text).like(bindparam(name), escape="\\")


#: Conditions that are not on a column.
OWN: dict[tuple[str, str], OwnClause] = {
    ("_id", "ctn"): lambda name: _has(dialogs.c.id, name),
    ("name", "ctn"): lambda name: _has(dialogs.c.name, name),
    ("extensions", "ctn"): lambda name: _has(json_text(dialogs.c.extensions, f"{name}k"), name),
    ("data", "ctn"): lambda name: _has(json_text(dialogs.c.data, f"{name}k"), name),
    ("occupants_ids", "eq"): lambda name: _with_occupants(_other.c.user_id == bindparam(name, type_=_INTEGER)),
    ("occupants_ids", "in"): lambda name: _with_occupants(in_list(_other.c.user_id, name)),
    ("occupants_ids", "nin"): lambda name: not_(_with_occupants(in_list(_other.c.user_id, name))),
}
_OWN_OF_VIEWER: dict[tuple[str, str], OwnClause] = {**OWN, ("name", "ctn"): lambda name: _has(NAME, name)}
_ORDERS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "_id": (),
    "created_at": (dialogs.c.created_at,),
    "updated_at": (dialogs.c.updated_at,),
    "name": (func.coalesce(by_code_point(folded(NAME)), ""),),
    # A dialog without messages stands where it was made, in both of these orders.
    "last_message_date_sent": (ACTIVITY, ARRIVAL),
    "activity": (ACTIVITY, ARRIVAL),
}
#: The copies that an order goes by.
_COPIES: dict[str, tuple[ColumnElement[Any], ...]] = {
    "updated_at": (members.c.listed_at,),
    "last_message_date_sent": (members.c.activity, members.c.arrival),
    "activity": (members.c.activity, members.c.arrival),
}


def _hidden(dialog: FromClause) -> ColumnElement[bool]:
    return (
        select(_own.c.user_id)
        .where(_own.c.dialog_id == dialog.c.id, _own.c.user_id == VIEWER, _own.c.hidden)
        .correlate(dialog)
        .exists()
    )


_sent = dialogs.alias("sent")
_BROADCASTS = select(_sent.c.id).where(
    _sent.c.app_id == bindparam("app"), _sent.c.type == _BROADCAST, not_(_hidden(_sent))
)
_BROADCAST_COUNT = Query(select(func.count()).select_from(_BROADCASTS.subquery()), "app", "viewer")
_NOT_COPIED = select(members.c.dialog_id).where(*shown(), not_(members.c.copied))
_ALL = union_all(select(members.c.dialog_id).where(*shown()), _BROADCASTS)
_REST = Query(union_all(_NOT_COPIED, _BROADCASTS), "app", "viewer")


def _changed(at: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
    """The viewer's rows with copies, by ``at``, which is their `listed_at`."""
    low, high = bindparam("low", type_=_INTEGER), bindparam("high", type_=_INTEGER)
    return *shown(), members.c.copied, at >= low, at <= high


_CHANGED = Query(select(members.c.dialog_id).where(*_changed(members.c.listed_at)), "viewer", "low", "high")
_CHANGED_COUNT = Query(
    select(func.count()).select_from(members).where(*_changed(members.c.listed_at)), "viewer", "low", "high"
)
_IS_LISTED = case(
    (dialogs.c.type == _BROADCAST, not_(_hidden(dialogs))),
    else_=select(_own.c.user_id).where(*shown(_own), _own.c.dialog_id == dialogs.c.id).correlate(dialogs).exists(),
)


def scans(listing: Listing, *, counting: bool = False) -> bool:
    """Whether a page, or with ``counting`` its number of dialogs, goes through everything in the user's list."""
    if _named(listing.conditions) is not None:
        return False
    if listing.conditions and not _only_span(listing.conditions):
        return True
    if listing.conditions and _span(listing.conditions) is None:
        return True
    order = listing.order or Order("activity", True)
    return not counting and (listing.skip > FAR or order.field not in _COPIES)


async def page(tx: Tx, app_id: int, viewer: int, listing: Listing, own: int) -> tuple[int, list[str]]:
    """How many dialogs of the user's list meet the conditions, and the ids of one page of them.

    ``own`` is the fact LISTED: how many dialogs, broadcasts apart, the list has without conditions.
    """
    conditions = _folded(listing.conditions)
    order = listing.order or Order("activity", True)
    total = await count(tx, app_id, viewer, listing, own)
    if total <= listing.skip or not listing.limit:
        return total, []
    ids = await _candidates(tx, app_id, viewer, conditions, order, listing.skip + listing.limit, total)
    query = _page(ids is not None, shape(conditions), order.field, order.descending)
    given = [app_id, viewer, *([] if ids is None else [ids]), *values(conditions)]
    return total, [row[0] for row in await tx.fetch(query, *given, listing.limit, listing.skip)]


async def count(tx: Tx, app_id: int, viewer: int, listing: Listing, own: int) -> int:
    """How many dialogs of the user's list meet the conditions; ``own`` as of ``page``."""
    conditions = _folded(listing.conditions)
    if not conditions:
        broadcasts: int = await tx.value(_BROADCAST_COUNT, app_id, viewer)
        return own + broadcasts
    ids, copied = _named(conditions), 0
    if ids is None and (span := _span(conditions)) is not None:
        ids = [row[0] for row in await tx.fetch(_REST, app_id, viewer)]
        if _only_span(conditions):
            copied = await tx.value(_CHANGED_COUNT, viewer, *span)
        else:
            ids += [row[0] for row in await tx.fetch(_CHANGED, viewer, *span)]
    query = _total(ids is not None, shape(conditions))
    total: int = await tx.value(query, app_id, viewer, *([] if ids is None else [ids]), *values(conditions))
    return copied + total


async def _candidates(
    tx: Tx, app_id: int, viewer: int, conditions: Sequence[Condition], order: Order, first: int, total: int
) -> list[str] | None:
    """Ids among which the first ones are that meet the conditions; None where there is no such shortcut."""
    if (named := _named(conditions)) is not None:
        return named
    span = _span(conditions)
    if conditions and span is None:
        return None
    rest = [row[0] for row in await tx.fetch(_REST, app_id, viewer)]
    if span is None:
        if order.field not in _COPIES:
            return None
        found = await tx.fetch(_first(order.field, order.descending, False), viewer, first)
    elif _only_span(conditions) and order.field in _COPIES and total > MANY:
        found = await tx.fetch(_first(order.field, order.descending, True), viewer, *span, first)
    else:
        found = await tx.fetch(_CHANGED, viewer, *span)
    return rest + [row[0] for row in found]


def _named(conditions: Sequence[Condition]) -> list[str] | None:
    for one in conditions:
        if one.field == "_id" and one.operator in ("eq", "in"):
            return list(one.value) if one.operator == "in" else [one.value]
    return None


def _span(conditions: Sequence[Condition]) -> tuple[int, int] | None:
    """From when to when dialogs must have changed, if there is a beginning."""
    low, high = [], [_END]
    for one in conditions:
        if one.field == "updated_at" and one.operator in ("gt", "gte"):
            low.append(one.value + (one.operator == "gt"))
        elif one.field == "updated_at" and one.operator in ("lt", "lte"):
            high.append(one.value - (one.operator == "lt"))
    return (max(low), min(high)) if low else None


def _only_span(conditions: Sequence[Condition]) -> bool:
    return all(one.field == "updated_at" and one.operator in ("gt", "gte", "lt", "lte") for one in conditions)


def _folded(conditions: Sequence[Condition]) -> list[Condition]:
    """Whether a text contains another one is asked without case."""
    return [replace(one, value=one.value.lower()) if one.operator == "ctn" else one for one in conditions]


@memoised
def _first(order: str, descending: bool, changed: bool) -> Query:
    """The first ids in this order by copies, of all or of those that have changed; ``first`` says how many."""
    id_ = members.c.dialog_id
    # Many have changed: the sum keeps the databases from collecting them all before they are sorted.
    at = members.c.listed_at if order == "updated_at" else members.c.listed_at + 0
    wanted = _changed(at) if changed else (*shown(), members.c.copied)
    keys = _sorted((*_COPIES[order], id_), descending)
    statement = select(id_).where(*wanted).order_by(*keys).limit(bindparam("first", type_=_INTEGER))
    return Query(statement, "viewer", *(("low", "high") if changed else ()), "first")


@memoised
def _page(among_ids: bool, wanted: Shape, order: str, descending: bool) -> Query:
    start, own_names = _start(among_ids)
    clauses, names = where(_OF_VIEWER, wanted, _OWN_OF_VIEWER)
    keys = _sorted((*_ORDERS[order], dialogs.c.id), descending)
    return paged(select(dialogs.c.id).where(*start, *clauses).order_by(*keys), *own_names, *names)


def _sorted(keys: Sequence[ColumnElement[Any]], descending: bool) -> list[ColumnElement[Any]]:
    return [key.desc() for key in keys] if descending else list(keys)


@memoised
def _total(among_ids: bool, wanted: Shape) -> Query:
    start, own_names = _start(among_ids)
    clauses, names = where(_OF_VIEWER, wanted, _OWN_OF_VIEWER)
    return Query(select(func.count()).select_from(dialogs).where(*start, *clauses), *own_names, *names)


def _start(among_ids: bool) -> tuple[list[ColumnElement[bool]], tuple[str, ...]]:
    if among_ids:
        return [_SAME_APP, in_list(dialogs.c.id, "ids"), _IS_LISTED], ("app", "viewer", "ids")
    return [_SAME_APP, among(dialogs.c.id, _ALL)], ("app", "viewer")
