"""Brings a database to this version's schema, and refuses one that a newer version made."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from voxcube.server.storage.database import Database, NewerDatabase, Unreachable, WrongEncoding
from voxcube.server.storage.sqlite import SqliteDatabase, connect, translated

T = TypeVar("T")

_LOCK = 7_206_215  # advisory lock: of several nodes that start at once one migrates, the others wait


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


@functools.cache
def head() -> str:
    """The newest revision this version knows."""
    found = _script().get_current_head()
    assert found is not None
    return found


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in _script().walk_revisions())


def _revision(connection: Connection) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in _known():
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
    """Creates or upgrades the schema, wholly or not at all. Raises NewerDatabase, WrongEncoding, DatabaseError."""
    if not is_sqlite(url):
        await _on_postgres(url, _upgrade)
        return
    path = sqlite_path(url)
    if not path.parent.is_dir():  # a mistyped path must not leave folders behind
        raise Unreachable(f"there is no directory {path.parent.absolute()} for the database {path.name}")
    # Only who has something to change waits for its turn to write.
    if _on_sqlite(path, _revision) != head():
        _on_sqlite(path, _upgrade, begin="BEGIN IMMEDIATE")


async def check(url: str) -> tuple[str | None, str]:
    """(revision of the database or None when empty, newest revision). Raises NewerDatabase, DatabaseError."""
    if not is_sqlite(url):
        return await _on_postgres(url, _revision), head()
    path = sqlite_path(url)
    return _on_sqlite(path, _revision) if path.exists() else None, head()


def _on_sqlite(path: Path, work: Callable[[Connection], T], *, begin: str = "BEGIN") -> T:
    # Transactions are begun by us: the driver would end one before each change of the schema, and a start that is
    # interrupted would leave half of it behind.
    engine = create_engine("sqlite://", creator=lambda: connect(path, read_only=False), poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    try:
        with engine.begin() as connection:
            return work(connection)
    except (sqlite3.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        kind = type(translated(cause)) if isinstance(cause, sqlite3.Error) else Unreachable
        raise kind(f"cannot use the database {path}: {cause}") from None
    finally:
        engine.dispose()


async def _on_postgres(url: str, work: Callable[[Connection], T]) -> T:
    # Only here, so that an installation without the extra `postgres` works.
    import asyncpg
    from sqlalchemy.ext.asyncio import create_async_engine

    from voxcube.server.storage.connecting import connect

    async def creator() -> Any:
        # The URL as the server itself uses it: SQLAlchemy would not know all of its parameters (sslmode).
        return await connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            encoding = (await connection.exec_driver_sql("SHOW server_encoding")).scalar_one()
            if encoding != "UTF8":
                raise WrongEncoding(
                    f"the PostgreSQL database has the encoding {encoding}, and UTF8 is needed: create it with"
                    " createdb --template=template0 --encoding=UTF8 (option database)"
                )
            return await connection.run_sync(work)
    except (OSError, ValueError, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        text = str(cause).rpartition("Error'>: ")[2] or type(cause).__name__  # SQLAlchemy puts the class before it
        raise Unreachable(f"cannot create or upgrade the tables: {text} (option database)") from None
    finally:
        await engine.dispose()


async def open_database(url: str) -> Database:
    """Upgrades the schema where it is older, then opens the database.

    `url`: sqlite:///path, or postgresql://user:password@host:port/name. Raises NewerDatabase, DatabaseError.
    """
    await upgrade(url)
    if is_sqlite(url):
        return SqliteDatabase(sqlite_path(url))
    from voxcube.server.storage.postgres import PostgresDatabase

    return await PostgresDatabase.open(url)
