"""The OpenAPI document: valid, complete, the same for the same routes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.features.world import World, opened
from voxcube.server.rest.openapi import describe
from voxcube.server.rest.route import Caller


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(f"sqlite:///{tmp_path / 'voxcube.db'}") as world:
        yield world


@pytest.fixture
def document(world: World) -> dict[str, Any]:
    return describe(world.routes, version="1.0")


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


async def test_the_document_is_valid_and_stable(world: World, document: dict[str, Any]) -> None:
    validate(document)
    assert document == describe(world.routes, version="1.0")


async def test_every_route_is_described_once(world: World, document: dict[str, Any]) -> None:
    found = operations(document)
    assert len(found) == len(world.routes) + 1  # and /health
    assert len({operation["operationId"] for operation in found}) == len(found)
    for route in world.routes:
        assert route.summary, f"{route.method} {route.path} has no summary"


async def test_who_may_call(world: World, document: dict[str, Any]) -> None:
    paths = document["paths"]
    assert paths["/users"]["post"]["security"] == [{"AuthKey": []}, {"Token": []}]
    assert paths["/session"]["post"]["security"] == [{}]
    for route in world.routes:
        if route.caller is Caller.USER:
            path = route.path.replace(":int}", "}")
            operation = paths[path][route.method.lower()]
            assert operation["security"] == [{"Token": []}]
            assert {"401", "403", "404"} <= set(operation["responses"])


async def test_parameters(document: dict[str, Any]) -> None:
    paths, schemas = document["paths"], document["components"]["schemas"]
    parameters = {parameter["name"]: parameter for parameter in paths["/chat/Message"]["get"]["parameters"]}
    assert parameters["limit"]["schema"] == {"type": "integer"}
    assert "date_sent[operator]" in parameters["date_sent"]["description"]
    assert paths["/users/{id}"]["get"]["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
    ]
    body = paths["/users"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}
    assert schemas["UserFields"]["properties"]["login"] == {"type": ["string", "null"]}


async def test_what_may_have_more_keys_says_so(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["MessageBody"]["additionalProperties"] is True
    assert "additionalProperties" not in schemas["DialogBody"]


async def test_unions_are_alternatives(document: dict[str, Any]) -> None:
    answer = document["paths"]["/chat/Dialog"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {
        "anyOf": [{"$ref": "#/components/schemas/DialogsAnswer"}, {"$ref": "#/components/schemas/CountAnswer"}]
    }
