"""Fixtures for all tests: databases of both kinds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.components import missing
from tests.support.postgres import PostgresServer
from tests.support.templates import make_schema


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One throw-away PostgreSQL for the whole run; `create_database()` gives a fresh database in it."""
    binaries = PostgresServer.find()
    if binaries is None:
        missing("PostgreSQL is not installed")
    with PostgresServer(binaries, template=True) as server:
        yield server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for the tests that crash it: small, because recovery syncs every file of every database."""
    binaries = PostgresServer.find()
    if binaries is None:
        missing("PostgreSQL is not installed")
    with PostgresServer(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema and no rows; migrating it once per worker instead of once per test."""
    path = tmp_path_factory.mktemp("template") / "voxcube.db"
    make_schema(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh database without rows; each test that asks for it runs once per kind of database."""
    if request.param == "sqlite":
        path = tmp_path / "voxcube.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, for tests of the migrations."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'voxcube.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_empty_database()
