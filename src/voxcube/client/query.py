"""Turns Python filters into query parameters: ``updated_at__gt=5`` becomes ``updated_at[gt]=5``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from voxcube.client.values import unix_seconds

OPERATORS = frozenset(("lt", "lte", "gt", "gte", "ne", "in", "nin", "all", "or", "ctn", "start_with"))

Params = list[tuple[str, str]]


def filters(given: Mapping[str, Any], *, id_name: str = "id") -> Params:
    """The parameters for ``field=value`` and ``field__operator=value``; the field ``id`` is sent as ``id_name``.

    Raises ValueError for an unknown operator, an empty list, and None.
    """
    params: Params = []
    for key, value in given.items():
        field, mark, operator = key.rpartition("__")
        if mark and operator not in OPERATORS:
            raise ValueError(f"{key}: there is no operator {operator!r}; known are {', '.join(sorted(OPERATORS))}")
        name = field if mark else key
        if name == "id":
            name = id_name
        params += _pairs(f"{name}[{operator}]" if mark else name, value, key)
    return params


def page(limit: int, skip: int, sort: str | None, *, skip_name: str = "skip") -> Params:
    """The parameters of one page; ``sort`` is a field, descending with a leading ``-``."""
    if limit < 1:
        raise ValueError("limit must be at least 1")
    if skip < 0:
        raise ValueError("skip cannot be negative")
    params = [("limit", str(limit)), (skip_name, str(skip))]
    if sort:
        params.append(("sort_desc", sort[1:]) if sort.startswith("-") else ("sort_asc", sort))
    return params


def forced(force: bool) -> Params:
    """The parameter that makes deleting one for everyone."""
    return [("force", "1")] if force else []


def raw(given: Mapping[str, Any] | None) -> Params:
    """Parameters under exactly the names given."""
    return [pair for name, value in (given or {}).items() for pair in _pairs(name, value, name)]


def _pairs(name: str, value: Any, key: str) -> Params:
    if value is None:
        raise ValueError(f"{key} is None")
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        pairs = [(f"{name}[]", _text(item)) for item in value]
        if not pairs:
            # The server would read an empty list as no filter at all.
            raise ValueError(f"{key} is empty")
        return pairs
    return [(name, _text(value))]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return str(unix_seconds(value))
    return str(int(value)) if isinstance(value, int) else str(value)
