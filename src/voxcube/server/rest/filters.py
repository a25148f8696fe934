"""Filters of a list, ``field=value`` or ``field[operator]=value``, as conditions (rest §4.3, §6.1)."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from voxcube.server.core.errors import Invalid
from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.core.listing import OPERATORS, Condition
from voxcube.server.rest.normalise import Tree
from voxcube.server.rest.shape import as_list

_ALIASES = {"ge": "gte", "le": "lte", "or": "in"}


class Kind(Enum):
    """What the values of a field are."""

    TEXT = "text"
    INTEGER = "integer"
    SECONDS = "seconds"  # a date, kept in seconds
    MILLISECONDS = "milliseconds"  # a date, kept in milliseconds and shown in seconds


def conditions(
    tree: Tree,
    fields: Mapping[str, Kind],
    *,
    aliases: Mapping[str, str] | None = None,
    operators: Collection[str] = OPERATORS,
) -> list[Condition]:
    """The conditions in a request; parameters that name none of ``fields`` are not filters.

    Raises Invalid, by field, for an operator that the field has not, or a value of the wrong kind.
    """
    found: list[Condition] = []
    for name, value in tree.items():
        field = (aliases or {}).get(name, name)
        kind = fields.get(field)
        if kind is None:
            continue
        given = value if isinstance(value, dict) else {"eq": value}
        for operator, operand in given.items():
            operator = _ALIASES.get(operator, operator)
            if operator == "between":
                found.extend(_between(field, kind, operand))
            elif operator not in operators:
                raise Invalid({field: [f"has no operator {operator}"]})
            elif kind is not Kind.TEXT and operator == "start_with":
                raise Invalid({field: ["has no operator start_with"]})
            else:
                found.extend(_condition(field, kind, operator, operand))
    return found


def _condition(field: str, kind: Kind, operator: str, operand: Any) -> list[Condition]:
    # A list given to plain equality means "in"; so does JS's comma list of ids and numbers (rest §6.1).
    if operator == "eq" and (isinstance(operand, list) or (kind is Kind.INTEGER and "," in str(operand))):
        operator = "in"
    if operator == "eq" and field == "_id" and "," in str(operand):
        operator = "in"
    if operator in ("in", "nin"):
        return [Condition(field, operator, [_value(field, kind, item) for item in as_list(operand)])]
    if isinstance(operand, (list, dict)) or operand is None:
        raise Invalid({field: ["must be a single value"]})
    value = _value(field, kind, operand)
    if kind is Kind.MILLISECONDS and operator == "eq" and value % 1000 == 0:
        # Shown in seconds: equal to a second is anywhere in it.
        return [Condition(field, "gte", value), Condition(field, "lt", value + 1000)]
    return [Condition(field, operator, value)]


def _between(field: str, kind: Kind, operand: Any) -> list[Condition]:
    bounds = as_list(operand)
    if len(bounds) != 2:
        raise Invalid({field: ["between needs two values"]})
    return [
        Condition(field, "gte", _value(field, kind, bounds[0])),
        Condition(field, "lte", _value(field, kind, bounds[1])),
    ]


def _value(field: str, kind: Kind, given: Any) -> Any:
    try:
        return _READERS[kind](given)
    except (ValueError, OverflowError):
        raise Invalid({field: [_WRONG[kind]]}) from None


def _text(given: Any) -> str:
    if isinstance(given, (dict, list)) or given is None:
        raise ValueError
    return given if isinstance(given, str) else str(given)


def _integer(given: Any) -> int:
    if isinstance(given, (dict, list, bool)) or given is None:
        raise ValueError
    number = int(given.strip()) if isinstance(given, str) and len(given) <= 20 else int(given)
    if abs(number) > MAX_INTEGER_ID:
        raise ValueError
    return number


def milliseconds(given: Any) -> int:
    """A date as clients write one: Unix seconds, milliseconds (above 10^11) or ISO 8601 (rest §1.7)."""
    if isinstance(given, str) and re.match(r"\s*\d{4}-\d\d-\d\d", given):
        moment = datetime.fromisoformat(given.strip().replace(" UTC", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return calendar.timegm(moment.utctimetuple()) * 1000 + moment.microsecond // 1000
    if isinstance(given, str) and len(given) > 20:
        raise ValueError
    number = float(given) if isinstance(given, str) and "." in given else _integer(given)
    result = int(number if abs(number) > 10**11 else number * 1000)
    if abs(result) > MAX_INTEGER_ID:
        raise ValueError
    return result


_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.SECONDS: lambda given: milliseconds(given) // 1000,
    Kind.MILLISECONDS: milliseconds,
}
_WRONG = {
    Kind.TEXT: "must be a string",
    Kind.INTEGER: "must be an integer",
    Kind.SECONDS: "must be a date",
    Kind.MILLISECONDS: "must be a date",
}
