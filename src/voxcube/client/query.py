"""Turns Python filters into query parameters: ``updated_at__gt=5`` becomes ``updated_at[gt]=5``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from voxcube.client.values import unix_seconds

OPERATORS = frozenset(("lt", "lte", "gt", "gte", "ne", "in", "nin", "all", "or", "ctn", "start_with"))

Params = list[tuple[str, str]]


_NAMES = {"attachments_type": "attachments.type"}


def filters(given: Mapping[str, object], known: type[Any] | None = None, *, id_name: str = "id") -> Params:
    """The parameters for ``field=value`` and ``field__operator=value``; the field ``id`` is sent as ``id_name``.

    Raises ValueError for an unknown operator, an empty list, None, and for a name that is none of ``known``, a
    ``TypedDict``.
    """
    params: Params = []
    for key, value in given.items():
        field, mark, operator = key.rpartition("__")
        if mark and operator not in OPERATORS:
            raise ValueError(f"{key}: there is no operator {operator!r}; known are {', '.join(sorted(OPERATORS))}")
        name = field if mark else key
        if known is not None and key not in known.__annotations__:
            fields = sorted({each.partition("__")[0] for each in known.__annotations__})
            what = f"{name} has no operator {operator!r}" if name in fields else f"there is no filter {name!r}"
            raise ValueError(f"{key}: {what}; filters are {', '.join(fields)}")
        name = id_name if name == "id" else _NAMES.get(name, name)
        params += _pairs(f"{name}[{operator}]" if mark else name, value, key)
    return params


def page(
    limit: int,
    skip: int,
    sort: str | None,
    *,
    most: int = 100,
    sorts: Collection[str] = (),
    skip_name: str = "skip",
) -> Params:
    """The parameters of one page; ``sort`` is one of the fields ``sorts``, descending with a leading ``-``.

    Raises ValueError for what a server would silently replace: a limit above ``most``, and another sort.
    """
    check_limit(limit, most)
    if skip < 0:
        raise ValueError("skip cannot be negative")
    params = [("limit", str(limit)), (skip_name, str(skip))]
    if sort is not None:
        if sort.removeprefix("-") not in sorts:
            raise ValueError(f"cannot sort by {sort!r}; possible are {', '.join(sorts)}, descending with a leading '-'")
        params.append(("sort_desc", sort[1:]) if sort.startswith("-") else ("sort_asc", sort))
    return params


def check_limit(limit: int, most: int, name: str = "limit") -> None:
    """Raises ValueError for a limit that the server would refuse or silently replace."""
    if limit < 1:
        raise ValueError(f"{name} must be at least 1")
    if limit > most:
        raise ValueError(f"{name} must be at most {most}; use iterate() or skip for more")


def forced(force: bool) -> Params:
    """The parameter that makes deleting one for everyone."""
    return [("force", "1")] if force else []


def raw(given: Mapping[str, Any] | None, taken: Sequence[tuple[str, str]] = ()) -> Params:
    """Parameters under exactly the names given.

    Raises ValueError for a name that an argument has set: the server would use only one of the two.
    """
    twice = {name for name, _ in taken}.intersection(given or ())
    if twice:
        raise ValueError(f"params sets {', '.join(sorted(twice))} a second time: use the arguments")
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
