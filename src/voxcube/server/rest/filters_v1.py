"""Filters and order of version 1 lists: ``filter[]=number id in 1,2`` and ``order=asc string login`` (rest §4.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from voxcube.server.core.errors import Invalid
from voxcube.server.core.listing import Condition, Order
from voxcube.server.rest.filters import Kind, conditions
from voxcube.server.rest.normalise import Tree

_TYPES = ("number", "string", "date", "integer")
_OPERATORS = {name: name for name in ("gt", "lt", "eq", "ne", "between", "in")} | {"ge": "gte", "le": "lte"}
# A plus sign that was encoded stands for a space as well; in the value it may be that of a phone number.
_FILTER = re.compile(r"\s*(\w+)([ +])(\w+)[ +](\w+)[ +](.*)", re.DOTALL)
# JS joins several filters with commas; a comma that does not begin a filter belongs to a value.
_NEXT = re.compile(rf",(?=(?:{'|'.join(_TYPES)})[ +]\w+[ +](?:{'|'.join(_OPERATORS)})[ +])")
_ORDER = re.compile(r"\s*(\w+)[ +](\w+)[ +](\w+)\s*")


def conditions_v1(tree: Tree, fields: Mapping[str, Kind]) -> list[Condition]:
    """The conditions in ``filter``, whatever its bracket key. Raises Invalid."""
    found: list[Condition] = []
    given = tree.get("filter")
    if given is not None and not any(_texts(given)):
        raise Invalid({"filter": ["must be written as: type field operator value"]})
    for text in _texts(given):
        parts = _FILTER.fullmatch(text)
        if parts is None:
            raise Invalid({"filter": ["must be written as: type field operator value"]})
        kind, separator, field, operator, value = parts.groups()
        if kind not in _TYPES:
            raise Invalid({"filter": [f"has no type {kind}"]})
        if field not in fields:
            raise Invalid({"filter": [f"has no field {field}"]})
        if operator not in _OPERATORS:
            raise Invalid({"filter": [f"has no operator {operator}"]})
        if separator == "+":
            value = value.replace("+", " ")
        found += conditions({field: {_OPERATORS[operator]: value}}, fields)
    return found


def order_v1(given: str | None, fields: Mapping[str, Kind]) -> Order | None:
    """The order in ``order``; None when none is given. Raises Invalid."""
    if not given:
        return None
    parts = _ORDER.fullmatch(given)
    if parts is None or parts[1].lower() not in ("asc", "desc") or parts[2] not in _TYPES:
        raise Invalid({"order": ["must be written as: asc or desc, type, field"]})
    if parts[3] not in fields:
        raise Invalid({"order": [f"has no field {parts[3]}"]})
    return Order(parts[3], parts[1].lower() == "desc")


def _texts(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield from _NEXT.split(given)
    elif isinstance(given, dict):
        for inner in given.values():
            yield from _texts(inner)
    elif isinstance(given, list):
        for inner in given:
            yield from _texts(inner)
    elif given is not None:
        raise Invalid({"filter": ["must be written as: type field operator value"]})
