"""Fixtures of the stories that are told with our own SDK: a server on each kind of database, and who comes to it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.scenarios.support_people import Meeting, World
from tests.support.postgres import PostgresServer
from tests.support.server_process import ServerProcess


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    url = None
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        url = postgres.create_database()
    data: Path = tmp_path_factory.mktemp(f"python-{request.param}")
    with ServerProcess(data, database=url, unlimited=True) as server:
        yield World(server)
        assert server.stop() == 0


@pytest.fixture
async def meeting(world: World) -> AsyncIterator[Meeting]:
    async with AsyncExitStack() as stack:
        yield Meeting(world, stack)
