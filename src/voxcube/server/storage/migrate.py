"""Brings a database to this version's schema, and refuses one that a newer version made."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from voxcube.server.storage.database import Database, NewerDatabase, Unreachable
from voxcube.server.storage.sqlite import SqliteDatabase

_LOCK = 7_206_215  # advisory lock: of several nodes that start at once one migrates, the others wait


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def head() -> str:
    """The newest revision this version knows."""
    found = _script().get_current_head()
    assert found is not None
    return found


def _revision(connection: Connection) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in {script.revision for script in _script().walk_revisions()}:
        raise NewerDatabase(f"the database has revision {found}, made by a newer Voxcube than this one")
    return found


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    if _revision(connection) == head():
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_sqlite(url: str) -> bool:
    """Whether `url` names a SQLite file (sqlite:///path) rather than a PostgreSQL database (postgresql://…)."""
    return url.startswith("sqlite:")


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///relative/path` or `sqlite:////absolute/path`."""
    return Path(url.removeprefix("sqlite:///"))


async def upgrade(url: str) -> None:
    """Creates or upgrades the schema. Raises NewerDatabase, Unreachable."""
    if is_sqlite(url):
        path = sqlite_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        try:
            with engine.begin() as connection:
                _upgrade(connection)
        finally:
            engine.dispose()
        return
    remote = create_async_engine(_async_url(url), poolclass=NullPool)
    try:
        async with remote.begin() as connection:
            await connection.run_sync(_upgrade)
    except OSError as error:
        raise Unreachable(f"no database answers: {error}") from error
    finally:
        await remote.dispose()


async def check(url: str) -> tuple[str | None, str]:
    """(revision of the database or None when empty, newest revision). Raises NewerDatabase, Unreachable."""
    if is_sqlite(url):
        if not sqlite_path(url).exists():
            return None, head()
        engine = create_engine(f"sqlite:///{sqlite_path(url)}", poolclass=NullPool)
        try:
            with engine.connect() as connection:
                return _revision(connection), head()
        finally:
            engine.dispose()
    remote = create_async_engine(_async_url(url), poolclass=NullPool)
    try:
        async with remote.connect() as connection:
            return await connection.run_sync(_revision), head()
    except OSError as error:
        raise Unreachable(f"no database answers: {error}") from error
    finally:
        await remote.dispose()


def _async_url(url: str) -> str:
    return "postgresql+asyncpg://" + url.split("://", 1)[1]


async def open_database(url: str) -> Database:
    """Upgrades the schema where it is older, then opens the database.

    `url`: sqlite:///path, or postgresql://user:password@host:port/name. Raises NewerDatabase, Unreachable.
    """
    await upgrade(url)
    if is_sqlite(url):
        return SqliteDatabase(sqlite_path(url))
    # Only here, so that an installation without the extra `postgres` works.
    from voxcube.server.storage.postgres import PostgresDatabase

    return await PostgresDatabase.open(url)
