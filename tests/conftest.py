"""Fixtures for all tests: databases of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.components import missing
from tests.support.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One throw-away PostgreSQL for the whole run; `create_database()` gives a fresh database in it."""
    binaries = PostgresServer.find()
    if binaries is None:
        missing("PostgreSQL is not installed")
    with PostgresServer(binaries) as server:
        yield server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for the tests that crash it: small, because recovery syncs every file of every database."""
    binaries = PostgresServer.find()
    if binaries is None:
        missing("PostgreSQL is not installed")
    with PostgresServer(binaries) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh empty database; each test that asks for it runs once per kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'voxcube.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database()
