"""What every list has in common: conditions, an order and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Operators of conditions. ``in`` and ``nin`` take lists; ``between`` and ``all`` are several conditions by the time
#: they are here. ``ctn`` (contains) is without case. Of a field that is a list itself, ``eq`` means that it has the
#: value, ``in`` any of them.
OPERATORS = ("eq", "ne", "in", "nin", "lt", "lte", "gt", "gte", "start_with", "ctn")

MAX_SKIP = 100_000  # a skip costs its depth


@dataclass(frozen=True, slots=True)
class Condition:
    """``field`` compared with ``value`` by one of OPERATORS; several conditions are ANDed.

    ``key`` says which one, where the field is an object: ``extensions[city]``. With ``by_second`` a field that is kept
    in milliseconds is compared by its whole second, and so are the values in seconds.
    """

    field: str
    operator: str
    value: Any
    key: str | None = None
    by_second: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """Sorted by ``field``."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a list. ``order`` None = the list's own order.

    ``asker`` is the user who asks: pages that scan are made one at a time for each.
    """

    conditions: Sequence[Condition] = ()
    order: Order | None = None
    limit: int = 100
    skip: int = 0
    asker: int = 0
