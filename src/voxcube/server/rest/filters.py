"""Filters of a list, ``field=value`` or ``field[operator]=value``, as conditions (rest §4.3, §6.1).

A filter works or is refused: one that was ignored would answer with everything, and on some lists mark it as read.
"""

from __future__ import annotations

import calendar
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec

from voxcube.server.core.errors import Invalid
from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.core.listing import OPERATORS, Condition
from voxcube.server.rest.normalise import Numbered, Tree
from voxcube.server.rest.shape import as_list

_ALIASES = {"ge": "gte", "le": "lte", "or": "in"}
_KEY_MAX = 64
_CONDITIONS_MAX = 50  # each one is a piece of the statement
_NAMED_MAX = 10  # unknown names that an error lists
_PART_MAX = 1000  # characters that a text may be asked to contain: SQLite refuses long patterns


class Kind(Enum):
    """What the values of a field are."""

    TEXT = "text"
    INTEGER = "integer"
    INTEGERS = "integers"  # a list of integers: which ones are in it can be asked
    SECONDS = "seconds"  # a date, kept in seconds
    MILLISECONDS = "milliseconds"  # a date, kept in milliseconds and shown in seconds
    OBJECT = "object"  # texts by key: ``extensions[city]``


_EQUALITY = ("eq", "ne", "in", "nin")
_OF_TEXTS = ("start_with", "ctn")
_MADE_OF = {"all": {"eq"}, "between": {"gte", "lte"}}  # several conditions each


#: Parameters of every list that are not filters: ``_`` is what jQuery adds to keep an answer from a cache.
_NO_FILTERS = frozenset(("_",))


def conditions(
    tree: Tree,
    fields: Mapping[str, Kind],
    *,
    parameters: type[msgspec.Struct] | None = None,
    aliases: Mapping[str, str] | None = None,
    operators: Mapping[str, Collection[str]] | None = None,
) -> list[Condition]:
    """Return the conditions of a request.

    ``parameters`` is the struct of the list's other parameters; a name that is neither one of them nor a filter is
    refused. ``operators`` restricts the operators of a field, by its name; a field that is not in it has all.

    Raises Invalid: too many conditions; by field: no such filter, no such operator of the field, a wrong value.
    """
    if parameters is not None:
        refuse_unknown(tree, parameters, *fields, *(aliases or ()))
    found = list(itertools.islice(_all(tree, fields, aliases or {}, operators or {}), _CONDITIONS_MAX + 1))
    if len(found) > _CONDITIONS_MAX:
        raise Invalid(f"Too many conditions (maximum is {_CONDITIONS_MAX})")
    return found


def refuse_unknown(tree: Tree, parameters: type[msgspec.Struct], *filters: str) -> None:
    """Raise Invalid for a name that is neither a field of ``parameters`` nor one of ``filters``."""
    known = _NO_FILTERS.union(parameters.__struct_encode_fields__, filters)
    if unknown := [name for name in tree if name not in known]:
        raise Invalid({name[:_KEY_MAX]: ["is not a parameter or filter of this list"] for name in unknown[:_NAMED_MAX]})


def _all(
    tree: Tree, fields: Mapping[str, Kind], aliases: Mapping[str, str], operators: Mapping[str, Collection[str]]
) -> Iterator[Condition]:
    for name, given in tree.items():
        field = aliases.get(name, name)
        kind, allowed = fields.get(field), operators.get(field, OPERATORS)
        if kind is Kind.OBJECT:
            for key, value in _by_key(field, given).items():
                yield from (replace(one, key=key) for one in _of_field(field, kind, value, allowed))
        elif kind is not None:
            yield from _of_field(field, kind, given, allowed)


def _by_key(field: str, given: Any) -> Tree:
    if isinstance(given, Numbered):
        given = dict(zip(given.names, given, strict=True))
    if not isinstance(given, dict) or not given:
        raise Invalid({field: ["must name a key: " + field + "[key]"]})
    for key in given:
        if not key or len(key) > _KEY_MAX or '"' in key or "\\" in key:
            raise Invalid({field: ["has no such key"]})
    return given


def _of_field(field: str, kind: Kind, value: Any, operators: Collection[str]) -> Iterator[Condition]:
    if value == {}:
        raise Invalid({field: ["must have a value"]})
    for operator, operand in (value if isinstance(value, dict) else {"eq": value}).items():
        operator = _ALIASES.get(operator, operator)
        if not _MADE_OF.get(operator, {operator}) <= _possible(kind, operators):
            raise Invalid({field: [f"has no operator {operator}"]})
        if operator == "all":
            items = as_list(operand)
            if not items:
                raise Invalid({field: ["all needs at least one value"]})
            for item in items:
                yield from _condition(field, kind, "eq", item)
        elif operator == "between":
            yield from _between(field, kind, operand)
        else:
            yield from _condition(field, kind, operator, operand)


def _possible(kind: Kind, operators: Collection[str]) -> set[str]:
    if kind is Kind.INTEGERS:
        return set(operators).intersection(_EQUALITY)
    return set(operators).difference(() if kind in (Kind.TEXT, Kind.OBJECT) else _OF_TEXTS)


def _condition(field: str, kind: Kind, operator: str, operand: Any) -> list[Condition]:
    # A list given to plain equality means "in"; so does JS's comma list of ids and numbers (rest §6.1).
    numbers = kind in (Kind.INTEGER, Kind.INTEGERS)
    if operator == "eq" and (isinstance(operand, list) or ((numbers or field == "_id") and "," in str(operand))):
        operator = "in"
    if operator == "ne" and kind is Kind.INTEGERS:
        operator = "nin"
    if operator in ("in", "nin"):
        values = [_value(field, kind, item) for item in as_list(operand)]
        if _are_shown(kind, values):
            return [Condition(field, operator, [value // 1000 for value in values], by_second=True)]
        return [Condition(field, operator, values)]
    if isinstance(operand, (list, dict)) or operand is None:
        raise Invalid({field: ["must be a single value"]})
    value = _value(field, kind, operand)
    if operator == "ctn" and len(value) > _PART_MAX:
        raise Invalid({field: [f"is too long (maximum is {_PART_MAX} characters)"]})
    if operator == "eq" and _are_shown(kind, [value]):
        return [Condition(field, "gte", value), Condition(field, "lt", value + 1000)]
    if operator == "ne" and _are_shown(kind, [value]):
        return [Condition(field, operator, value // 1000, by_second=True)]
    return [Condition(field, operator, value)]


def _are_shown(kind: Kind, values: Sequence[Any]) -> bool:
    """Whether these are dates as they are shown, in seconds: equal to one is what is anywhere in that second."""
    return kind is Kind.MILLISECONDS and all(value % 1000 == 0 for value in values)


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
    return given if isinstance(given, str) else json.dumps(given)


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
    Kind.INTEGERS: _integer,
    Kind.OBJECT: _text,
    Kind.SECONDS: lambda given: milliseconds(given) // 1000,
    Kind.MILLISECONDS: milliseconds,
}
_WRONG = {
    Kind.TEXT: "must be a string",
    Kind.INTEGER: "must be an integer",
    Kind.INTEGERS: "must be integers",
    Kind.OBJECT: "must be a string",
    Kind.SECONDS: "must be a date",
    Kind.MILLISECONDS: "must be a date",
}
