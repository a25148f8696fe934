"""The contract that all REST tests are held against: what it lets through, and what it does not."""

from typing import Any

import httpx
import msgspec
import pytest

from tests.rest.contract import Contract, Undocumented
from voxcube.server.rest.route import Call, Caller, Open, Route

JSON = httpx.Headers({"Content-Type": "application/json; charset=utf-8"})


class Thing(msgspec.Struct):
    id: int
    name: str | None


class Loose(Open):
    id: int


async def handler(call: Call[Any]) -> Any:
    raise NotImplementedError


CONTRACT = Contract(
    [
        Route(method="GET", path="/thing/{id:int}", handler=handler, caller=Caller.USER, response=Thing),
        Route(method="GET", path="/thing/loose", handler=handler, caller=Caller.USER, response=Loose | list[Loose]),
        Route(method="POST", path="/thing", handler=handler, caller=Caller.NOBODY, response=dict[str, int], status=201),
    ]
)


def check(method: str, path: str, status: int, body: Any, headers: httpx.Headers = JSON) -> None:
    CONTRACT.check(method, path, status, headers, msgspec.json.encode(body))


ERRORS = {"errors": {"base": ["no"]}}


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/thing/1", 200, {"id": 1, "name": None}),
        ("GET", "/thing/1.json", 200, {"id": 1, "name": "a"}),
        ("GET", "/thing/1", 404, ERRORS),
        ("GET", "/thing/loose", 200, {"id": 1, "more": 2}),
        ("GET", "/thing/loose", 200, [{"id": 1}]),
        ("POST", "/thing", 201, {"a": 1}),
        ("PUT", "/nowhere", 404, ERRORS),
        ("GET", "/docs", 200, "a page is no API call"),
        ("OPTIONS", "/thing", 200, "OK"),
    ],
)
def test_what_is_declared_passes(method: str, path: str, status: int, body: Any) -> None:
    check(method, path, status, body)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/thing/1", 200, {"id": 1}),  # a key is missing
        ("GET", "/thing/1", 200, {"id": "1", "name": None}),
        ("GET", "/thing/1", 200, {"id": 1, "name": None, "more": 2}),
        ("GET", "/thing/1", 201, {"id": 1, "name": None}),
        ("GET", "/thing/1", 405, ERRORS),
        ("GET", "/thing/1", 404, {"error": "no"}),
        ("POST", "/thing", 403, ERRORS),  # nobody is refused where everybody may call
        ("POST", "/thing", 201, {"a": "1"}),
        ("PUT", "/nowhere", 404, {}),
    ],
)
def test_what_is_not_declared_fails(method: str, path: str, status: int, body: Any) -> None:
    with pytest.raises(Undocumented):
        check(method, path, status, body)


def test_an_answer_is_json() -> None:
    with pytest.raises(Undocumented):
        check("GET", "/thing/1", 404, ERRORS, httpx.Headers({"Content-Type": "text/plain"}))
