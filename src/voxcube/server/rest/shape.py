"""Fits a normalised request into the struct that a route declares.

The struct says what each string is meant to be, so this is where ``"1, 2"`` becomes a list, ``5`` a text and ``"1"`` a
number or a flag (rest §1.4); msgspec then checks and converts.
"""

from __future__ import annotations

import functools
import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from voxcube.server.core.errors import Invalid
from voxcube.server.rest.normalise import Tree, in_number_order

S = TypeVar("S", bound=msgspec.Struct)

_SCALARS = (inspect.StrType, inspect.IntType, inspect.BoolType, inspect.FloatType)


def fit(kind: type[S], tree: Tree) -> S:
    """``tree`` as an instance of ``kind``; unknown parameters are ignored. Raises ``Invalid`` with the field's name."""
    prepared = _prepare(_info(kind), tree)
    try:
        return msgspec.convert(prepared, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(_explain(str(error))) from None


def as_list(value: Any) -> list[Any]:
    """Every accepted spelling of a list (rest §1.4): array, object keyed "0", "1", …, ``"1, 2"``, a single scalar."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part for part in (part.strip() for part in value.split(",")) if part]
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and all(key.isascii() and key.isdigit() for key in value):
        return [value[key] for key in in_number_order(value)]
    return [value]


@functools.cache
def _info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _prepare(kind: inspect.Type, value: Any) -> Any:
    nullable = False
    if isinstance(kind, inspect.UnionType):
        nullable = kind.includes_none
        if value is None and nullable:
            return None
        kind = next(member for member in kind.types if not isinstance(member, inspect.NoneType))
    if isinstance(kind, inspect.StructType):
        if not isinstance(value, dict):
            return value
        return {
            field.encode_name: _prepare(field.type, value[field.encode_name])
            for field in kind.fields
            if field.encode_name in value and not _absent(field, value[field.encode_name])
        }
    if isinstance(kind, inspect.ListType):
        items = as_list(value)
        if isinstance(kind.item_type, inspect.IntType):
            items = [part for item in items for part in (as_list(item) if isinstance(item, str) else [item])]
        elif isinstance(value, str) and not isinstance(kind.item_type, _SCALARS):
            return value  # a text where objects belong
        return [_prepare(kind.item_type, item) for item in items]
    if isinstance(kind, inspect.StrType):
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, (int, float)) else value
    if isinstance(kind, _SCALARS) and isinstance(value, str):
        value = value.strip()
        return None if value == "" and nullable else value.lower() if isinstance(kind, inspect.BoolType) else value
    return value


def _absent(field: inspect.Field, value: Any) -> bool:
    """``null`` for a field that cannot be null means "not given"."""
    if value is not None or field.required:
        return False
    kind = field.type
    return not (isinstance(kind, inspect.AnyType) or (isinstance(kind, inspect.UnionType) and kind.includes_none))


_WANTED = re.compile(r"Expected `([^`]*)`(?: (<=|>=|<|>) ([\d.-]+))?")
_KINDS = {"int": "must be an integer", "str": "must be a string", "bool": "must be 0 or 1", "float": "must be a number"}
_KINDS |= {"array": "must be a list", "object": "must be an object"}
_BOUNDS = {"<=": "must be at most", ">=": "must be at least", "<": "must be less than", ">": "must be greater than"}


def _explain(text: str) -> dict[str, list[str]]:
    """msgspec's message by field: "Expected `int`, got `str` - at `$.user.id`" → {"id": ["must be an integer"]}."""
    reason, _, path = text.partition(" - at `")
    missing = re.fullmatch(r"Object missing required field `(.*)`", reason)
    if missing:
        return {missing[1]: ["is required"]}
    names = re.findall(r"[^.$\[\]`]+", re.sub(r"\[[^\]]*\]", "", path.replace("key in ", "")))
    field = names[-1] if names else "base"
    wanted = _WANTED.match(reason)
    if wanted is None:
        return {field: ["is invalid"]}
    if wanted[2]:
        return {field: [f"{_BOUNDS[wanted[2]]} {wanted[3]}"]}
    kinds = [_KINDS.get(name.strip(), "is invalid") for name in wanted[1].split("|") if name.strip() != "null"]
    return {field: [kinds[0] if kinds else "is invalid"]}
