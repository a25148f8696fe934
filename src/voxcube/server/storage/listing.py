"""Conditions and pages as SQL. A statement is built and compiled once per shape (fields and operators), then reused."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Numeric, Select, Text, bindparam, cast, func, not_, or_

from voxcube.server.core.listing import Condition
from voxcube.server.storage.sql import Query, in_list, number_in

_INTEGER = BigInteger()

Shape = tuple[tuple[str, str], ...]
OwnClause = Callable[[str], Any]  # the name of the parameter → the clause
#: A column; or for a field that is an object: the name of the parameter with the key → the text under it.
Comparable = ColumnElement[Any] | Callable[[str], ColumnElement[Any]]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_BY_SECOND = "_second"  # ends an operator that compares the whole second of milliseconds
_AS_NUMBER = "_number"  # ends an operator that compares what is under a key as numbers


def shape(conditions: Sequence[Condition]) -> Shape:
    """What decides the text of a statement; the values do not."""
    return tuple((condition.field, _operator(condition)) for condition in conditions)


def _operator(condition: Condition) -> str:
    """Under a key there are texts; greater and less than a number are the numbers among them."""
    if condition.by_second:
        return condition.operator + _BY_SECOND
    ordered = condition.key is not None and condition.operator in ("lt", "lte", "gt", "gte")
    return condition.operator + _AS_NUMBER if ordered and _NUMBER.fullmatch(condition.value) else condition.operator


def values(conditions: Sequence[Condition]) -> list[Any]:
    """The values that belong to the parameters of ``where``, in their order."""
    found: list[Any] = []
    for condition in conditions:
        if condition.key is not None:
            found.append(condition.key)
        value = condition.value
        if condition.operator == "start_with":
            found.append(len(value))
        elif condition.operator == "ctn":
            value = "%" + re.sub(r"([\\%_])", r"\\\1", value) + "%"
        found.append(list(value) if condition.operator in ("in", "nin") else value)
    return found


def where(
    columns: Mapping[str, Comparable], wanted: Shape, own: Mapping[tuple[str, str], OwnClause] | None = None
) -> tuple[list[Any], list[str]]:
    """The SQL conditions for a shape, and the names of their parameters.

    ``own`` makes the clause for a field and operator that has a better way than comparing the column; for start_with
    the parameter's length comes as a parameter of the same name with an "n", for a key with a "k".
    """
    clauses: list[Any] = []
    names: list[str] = []
    for number, (field, operation) in enumerate(wanted):
        column, name = columns.get(field), f"w{number}"
        if column is not None and not isinstance(column, ColumnElement):
            names.append(f"{name}k")
            column = column(f"{name}k")
        if operation == "start_with":
            names.append(f"{name}n")
        names.append(name)
        if own is not None and (field, operation) in own:
            clauses.append(own[field, operation](name))
        else:
            assert column is not None
            clauses.append(_clause(column, operation, name))
    return clauses, names


def _clause(column: ColumnElement[Any], operation: str, name: str) -> Any:
    if operation.endswith(_BY_SECOND):
        return _clause(column // 1000, operation.removesuffix(_BY_SECOND), name)
    if operation == "start_with":
        return starts_with(column, name)
    if operation == "ctn":  # only for columns whose case is folded: LIKE's folding differs as well
        return column.like(bindparam(name), escape="\\")
    if operation == "in":
        return in_list(column, name)
    if operation == "nin":
        return or_(column.is_(None), not_(in_list(column, name)))
    if operation == "ne":
        return or_(column.is_(None), column != bindparam(name))
    if operation.endswith(_AS_NUMBER):
        compare = _COMPARE[operation.removesuffix(_AS_NUMBER)]
        return compare(number_in(column), cast(bindparam(name, type_=Text()), Numeric()))
    return _COMPARE[operation](column, bindparam(name, type_=column.type))


def starts_with(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether ``column`` begins with parameter ``name``, whose length is parameter ``name`` + "n".

    Not LIKE: its case folding is not the same on the two databases.
    """
    return func.substr(column, 1, bindparam(f"{name}n", type_=Integer())) == bindparam(name)


def paged(statement: Select[Any], *names: str) -> Query:
    """``statement`` with its own parameters ``names``, followed by ``limit`` and ``skip``."""
    return Query(
        statement.limit(bindparam("limit", type_=_INTEGER)).offset(bindparam("skip", type_=_INTEGER)),
        *names,
        "limit",
        "skip",
    )


memoised = functools.lru_cache(maxsize=512)
