"""Fitting a tree into a struct: what a string means depends on the field it is for."""

from typing import Any

import msgspec
import pytest

from voxcube.server.core.errors import Invalid
from voxcube.server.rest.filters import Kind, conditions, milliseconds
from voxcube.server.rest.paging import Paged, listing
from voxcube.server.rest.shape import as_list, fit


class Inner(msgspec.Struct):
    id: int | None = None
    name: str | None = None


class Request(msgspec.Struct):
    number: int | None = None
    text: str | None = None
    flag: bool = False
    ids: list[int] | None = None
    names: list[str] | None = None
    inner: Inner | None = None
    many: list[Inner] | None = None
    free: dict[str, Any] | None = None
    id: str | None = msgspec.field(default=None, name="_id")


class Needs(msgspec.Struct):
    type: int


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, Request()),
        ({"unknown": {"x": 1}}, Request()),
        ({"number": "5"}, Request(number=5)),
        ({"number": " 5 "}, Request(number=5)),
        ({"number": ""}, Request()),
        ({"number": None}, Request()),
        ({"number": 5.0}, Request(number=5)),
        ({"text": 5}, Request(text="5")),
        ({"text": True}, Request(text="true")),
        ({"text": ""}, Request(text="")),
        ({"flag": "1"}, Request(flag=True)),
        ({"flag": "True"}, Request(flag=True)),
        ({"flag": 0}, Request(flag=False)),
        ({"flag": None}, Request()),
        ({"ids": "1, 2,,3 "}, Request(ids=[1, 2, 3])),
        ({"ids": ["1", 2, "3,4"]}, Request(ids=[1, 2, 3, 4])),
        ({"ids": {"1": "b2", "0": 1} | {"1": 2}}, Request(ids=[1, 2])),
        ({"ids": 7}, Request(ids=[7])),
        ({"ids": ""}, Request(ids=[])),
        ({"names": "a, b"}, Request(names=["a", "b"])),
        ({"names": ["a, b", 5]}, Request(names=["a, b", "5"])),
        ({"inner": {"id": "5", "name": 6, "x": 1}}, Request(inner=Inner(5, "6"))),
        ({"many": {"10": {"id": 3}, "2": {"id": 2}}}, Request(many=[Inner(2), Inner(3)])),
        ({"free": {"a": [1]}}, Request(free={"a": [1]})),
        ({"_id": 5}, Request(id="5")),
    ],
)
def test_fit(tree: dict[str, Any], expected: Request) -> None:
    assert fit(Request, tree) == expected


@pytest.mark.parametrize(
    ("tree", "errors"),
    [
        ({"number": "x"}, {"number": ["must be an integer"]}),
        ({"number": True}, {"number": ["must be an integer"]}),
        ({"number": [1]}, {"number": ["must be an integer"]}),
        ({"text": ["x"]}, {"text": ["must be a string"]}),
        ({"text": {"a": "x"}}, {"text": ["must be a string"]}),
        ({"flag": "yes"}, {"flag": ["must be 0 or 1"]}),
        ({"ids": "1,x"}, {"ids": ["must be an integer"]}),
        ({"ids": [None]}, {"ids": ["must be an integer"]}),
        ({"inner": "x"}, {"inner": ["must be an object"]}),
        ({"inner": {"id": "x"}}, {"id": ["must be an integer"]}),
        ({"many": "x"}, {"many": ["must be a list"]}),
        ({"many": ["x"]}, {"many": ["must be an object"]}),
        ({"free": [1]}, {"free": ["must be an object"]}),
    ],
)
def test_what_does_not_fit_is_told_by_field(tree: dict[str, Any], errors: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as raised:
        fit(Request, tree)
    assert raised.value.errors == errors


@pytest.mark.parametrize("tree", [{}, {"type": None}])
def test_required(tree: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as raised:
        fit(Needs, tree)
    assert list(raised.value.errors) == ["type"]


def test_as_list() -> None:
    assert as_list(None) == []
    assert as_list({"10": "c", "9": "b"}) == ["b", "c"]
    assert as_list({"a": "c"}) == [{"a": "c"}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1767225600", 1767225600000),
        (1767225600, 1767225600000),
        ("1767225600123", 1767225600123),
        ("1767225600.5", 1767225600500),
        ("2026-01-01T00:00:00Z", 1767225600000),
        ("2026-01-01T02:00:00+02:00", 1767225600000),
        ("2026-01-01 00:00:00 UTC", 1767225600000),
        ("2026-01-01", 1767225600000),
        (0, 0),
    ],
)
def test_dates(given: Any, expected: int) -> None:
    assert milliseconds(given) == expected


@pytest.mark.parametrize("given", ["", "soon", "9" * 30, "1e5", "2026-13-01", "nan", None, True, [1], 10**30, "1.5.5"])
def test_no_dates(given: Any) -> None:
    with pytest.raises(Invalid):
        conditions({"at": {"gt": given}}, {"at": Kind.SECONDS})


def test_conditions() -> None:
    fields = {"_id": Kind.TEXT, "n": Kind.INTEGER, "at": Kind.SECONDS, "ms": Kind.MILLISECONDS}

    def found(tree: dict[str, Any]) -> list[tuple[str, str, Any]]:
        return [(c.field, c.operator, c.value) for c in conditions(tree, fields, aliases={"id": "_id"})]

    assert found({"other": 1}) == []
    assert found({"id": "a"}) == [("_id", "eq", "a")]
    assert found({"_id": "a,b"}) == [("_id", "in", ["a", "b"])]
    assert found({"n": ["1", 2]}) == [("n", "in", [1, 2])]
    assert found({"n": {"or": "1,2", "ge": "0", "le": 9}}) == [("n", "in", [1, 2]), ("n", "gte", 0), ("n", "lte", 9)]
    assert found({"n": {"between": "1,5"}}) == [("n", "gte", 1), ("n", "lte", 5)]
    assert found({"at": {"gt": 1767225600999}}) == [("at", "gt", 1767225600)]
    assert found({"ms": "5"}) == [("ms", "gte", 5000), ("ms", "lt", 6000)]
    for wrong in ({"n": {"between": "1"}}, {"n": {"ctn": "1"}}, {"n": {"start_with": "1"}}, {"_id": {"gt": ["a"]}}):
        with pytest.raises(Invalid):
            found(wrong)


def test_listing_bounds() -> None:
    asked = listing(Paged(limit=500, skip=3, sort_desc="date"), [], sortable=("created",), aliases={"date": "created"})
    assert (asked.limit, asked.skip, asked.order and (asked.order.field, asked.order.descending)) == (
        100,
        3,
        ("created", True),
    )
    assert listing(Paged(sort_asc="unknown", limit=0), [], sortable=("created",)).order is None
    for wrong in (Paged(limit=-1), Paged(skip=-1), Paged(offset=100_001)):
        with pytest.raises(Invalid):
            listing(wrong, [], sortable=())


def test_a_list_keyed_by_very_long_numbers() -> None:
    # int() refuses more than 4,300 digits; the order is by value all the same.
    assert as_list({"9" * 5000: 3, "2": 1, "010": 2}) == [1, 2, 3]
