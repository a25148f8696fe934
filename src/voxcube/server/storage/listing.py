"""Conditions and pages as SQL. A statement is built and compiled once per shape (fields and operators), then reused."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, bindparam, func, not_, or_

from voxcube.server.core.listing import Condition
from voxcube.server.storage.sql import Query, in_list

_INTEGER = BigInteger()

Shape = tuple[tuple[str, str], ...]
OwnClause = Callable[[str], Any]  # the name of the parameter → the clause

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def shape(conditions: Sequence[Condition]) -> Shape:
    """What decides the text of a statement; the values do not."""
    return tuple((condition.field, condition.operator) for condition in conditions)


def values(conditions: Sequence[Condition]) -> list[Any]:
    """The values that belong to the parameters of ``where``, in their order."""
    found: list[Any] = []
    for condition in conditions:
        found.append(list(condition.value) if condition.operator in ("in", "nin") else condition.value)
        if condition.operator == "start_with":
            found[-1:] = [len(condition.value), condition.value]
        elif condition.operator == "ctn":
            found[-1] = "%" + re.sub(r"([\\%_])", r"\\\1", condition.value) + "%"
    return found


def where(
    columns: Mapping[str, ColumnElement[Any]], wanted: Shape, own: Mapping[tuple[str, str], OwnClause] | None = None
) -> tuple[list[Any], list[str]]:
    """The SQL conditions for a shape, and the names of their parameters.

    ``own`` makes the clause for a field and operator that has a better way than comparing the column; for start_with
    the parameter's length comes as a parameter of the same name with an "n".
    """
    clauses: list[Any] = []
    names: list[str] = []
    for number, (field, operation) in enumerate(wanted):
        column, name = columns[field], f"w{number}"
        if operation == "start_with":
            names.append(f"{name}n")
        if own is not None and (field, operation) in own:
            clauses.append(own[field, operation](name))
        elif operation == "start_with":
            clauses.append(starts_with(column, name))
        elif operation == "ctn":  # only for columns whose case is folded: LIKE's folding differs as well
            clauses.append(column.like(bindparam(name), escape="\\"))
        elif operation == "in":
            clauses.append(in_list(column, name))
        elif operation == "nin":
            clauses.append(or_(column.is_(None), not_(in_list(column, name))))
        elif operation == "ne":
            clauses.append(or_(column.is_(None), column != bindparam(name)))
        else:
            clauses.append(_COMPARE[operation](column, bindparam(name)))
        names.append(name)
    return clauses, names


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
