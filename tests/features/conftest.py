"""Fixtures of the feature tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.features.world import World, opened
from tests.support.node import Node, running


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Two applications on a fresh database, on each kind of database."""
    async with opened(database_url) as opened_world:
        yield opened_world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A whole server with ann, bob and cyd, for the stories of one module."""
    async with running(tmp_path_factory.mktemp("stories") / "node", "ann", "bob", "cyd") as node:
        yield node


@pytest_asyncio.fixture(loop_scope="module")
async def stage(node: Node) -> AsyncIterator[Node]:
    """That server, with all connections ended after the test."""
    yield node
    await node.hang_up()
