"""`/docs`: the page and the document behind it, which load nothing from anywhere."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import validate

from tests.features.world import opened
from voxcube.server.rest.app import create_app
from voxcube.server.rest.docs import pages
from voxcube.server.rest.openapi import describe


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(f"sqlite:///{tmp_path / 'voxcube.db'}") as world:
        app = create_app(world.routes, sessions=world.sessions, more=pages(describe(world.routes, version="1.0")))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
            yield client


async def test_the_document_is_served(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs/openapi.json")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    validate(answer.json())


async def test_the_page_loads_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    page = answer.text
    assert not re.search(r"<(script|img|link|iframe|form)|\son\w+=|url\(|@import|\sstyle=", page)
    assert set(re.findall(r'(?:href|src)="([^#][^"]*)"', page)) == {"/docs/openapi.json"}
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    allowed = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in style]
    policy = answer.headers["Content-Security-Policy"]
    assert f"default-src 'none'; style-src 'sha256-{allowed[0]}';" in policy
    assert "unsafe" not in policy


async def test_the_page_is_complete_and_its_links_lead_somewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    document = (await client.get("/docs/openapi.json")).json()
    places = re.findall(r' id="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)
    for operations in document["paths"].values():
        assert {operation["operationId"] for operation in operations.values()} <= set(places)
    assert set(document["components"]["schemas"]) <= set(places)
