"""Making and upgrading databases: by several at once, wholly or not at all, and with a clear word when it cannot be."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import MetaData, create_engine

from tests.support.postgres import PostgresServer
from voxcube.server.storage import apps, migrate
from voxcube.server.storage.database import DatabaseError, NewerDatabase
from voxcube.server.storage.schema import metadata

MAKE = "import asyncio, sys; from voxcube.server.storage import migrate; asyncio.run(migrate.upgrade(sys.argv[1]))"


async def test_several_processes_make_one_database(empty_database_url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MAKE, empty_database_url], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    told = [await asyncio.to_thread(process.communicate) for process in processes]
    assert [(process.returncode, errors) for process, (_, errors) in zip(processes, told, strict=True)] == [(0, "")] * 4
    assert await migrate.check(empty_database_url) == (migrate.head(), migrate.head())


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = command.upgrade

    def interrupted(*args: Any) -> None:
        real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await migrate.upgrade(empty_database_url)
    monkeypatch.undo()
    assert await migrate.check(empty_database_url) == (None, migrate.head())
    await migrate.upgrade(empty_database_url)
    assert await migrate.check(empty_database_url) == (migrate.head(), migrate.head())


async def test_the_migrations_make_the_schema_that_the_statements_use(tmp_path: Path) -> None:
    await migrate.upgrade(f"sqlite:///{tmp_path / 'voxcube.db'}")
    found = MetaData()
    engine = create_engine(f"sqlite:///{tmp_path / 'voxcube.db'}")
    found.reflect(engine)
    engine.dispose()
    made = {name: {column.name for column in table.columns} for name, table in found.tables.items()}
    made.pop("alembic_version")
    texts = {name: made.pop(name) for name in list(made) if name.startswith("message_texts")}
    assert texts["message_texts"] == {"body"}  # FTS5's; the others with this name are its own
    assert made == {name: {column.name for column in table.columns} for name, table in metadata.tables.items()}
    indexes = {index.name for table in found.tables.values() for index in table.indexes}
    assert {index.name for table in metadata.tables.values() for index in table.indexes} <= indexes


async def test_a_newer_database_is_refused(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url)
    database = await migrate.open_database(empty_database_url)
    await database.close()
    if empty_database_url.startswith("sqlite"):
        with sqlite3.connect(migrate.sqlite_path(empty_database_url)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
    else:
        asyncpg = pytest.importorskip("asyncpg")
        connection = await asyncpg.connect(empty_database_url)
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        await connection.close()
    for attempt in (migrate.upgrade, migrate.check, migrate.open_database):
        with pytest.raises(NewerDatabase):
            await attempt(empty_database_url)


async def test_what_is_no_database_is_said_in_one_line(tmp_path: Path, postgres_server: PostgresServer) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to have a header " * 10)
    (tmp_path / "file").touch()
    good = postgres_server.create_empty_database()
    for url in (
        f"sqlite:///{tmp_path / 'text'}",
        f"sqlite:///{tmp_path}",
        f"sqlite:///{tmp_path / 'file' / 'below' / 'voxcube.db'}",
        good + "nothere",
        re.sub(r":\d+/", ":1/", good),
        re.sub(r":\d+/", ":1x/", good),
        re.sub(r"//\w+@", "//stranger@", good),
        good + "?sslmode=require",
    ):
        with pytest.raises(DatabaseError) as caught:
            await migrate.open_database(url)
        assert "\n" not in str(caught.value), url
        assert type(caught.value).__module__.startswith("voxcube.")


async def test_a_sqlite_that_is_too_old_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    with pytest.raises(DatabaseError, match=r"SQLite 3\.38 or later is needed"):
        await migrate.open_database(f"sqlite:///{tmp_path / 'voxcube.db'}")


async def test_a_url_may_say_how_to_connect(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_empty_database() + "?sslmode=disable&application_name=voxcube"
    database = await migrate.open_database(url)
    await database.close()


async def test_administration_keys_are_hashed_in_place(empty_database_url: str) -> None:
    key = "5e884898da28047151d0e56f8dc62927"
    insert = f"INSERT INTO apps VALUES (1, 'App', 'auth', 'secret', '{key}', '{{}}', 0)"
    real = command.upgrade
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, target: real(config, "0009"))
        await migrate.upgrade(empty_database_url)
    if empty_database_url.startswith("sqlite"):
        with sqlite3.connect(migrate.sqlite_path(empty_database_url)) as connection:
            connection.execute(insert)
        connection.close()
    else:
        asyncpg = pytest.importorskip("asyncpg")
        connection = await asyncpg.connect(empty_database_url)
        await connection.execute(insert)
        await connection.close()
    await migrate.upgrade(empty_database_url)
    database = await migrate.open_database(empty_database_url)
    try:
        app = await database.read(lambda tx: apps.by_admin_key(tx, apps.key_hash(key)))
        assert app is not None
        assert (app.id, app.auth_secret) == (1, "secret")
    finally:
        await database.close()
    if empty_database_url.startswith("sqlite"):
        path = migrate.sqlite_path(empty_database_url)
        assert not [found.name for found in path.parent.glob(path.name + "*") if key.encode() in found.read_bytes()]
