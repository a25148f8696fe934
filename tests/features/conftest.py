"""Fixtures of the feature tests."""

from collections.abc import AsyncIterator

import pytest

from tests.features.world import World, opened


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Two applications on a fresh database, on each kind of database."""
    async with opened(database_url) as opened_world:
        yield opened_world
