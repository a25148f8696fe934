"""PostgreSQL's own ways: transactions it undoes in silence, connections that are no good any more, texts that tell."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import bindparam, insert, select

from tests.support.postgres import PostgresServer
from voxcube.server.storage import migrate
from voxcube.server.storage.database import Ambiguous, Database, DatabaseError, DataError
from voxcube.server.storage.postgres import PostgresDatabase
from voxcube.server.storage.schema import counters
from voxcube.server.storage.sql import Query

ADD = Query(insert(counters).values(name=bindparam("name"), value=bindparam("value")), "name", "value")
READ = Query(select(counters.c.value).where(counters.c.name == bindparam("name")), "name")


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[PostgresDatabase]:
    opened = await migrate.open_database(postgres_server.create_database())
    assert isinstance(opened, PostgresDatabase)
    yield opened
    await opened.close()


async def test_a_transaction_that_was_undone_is_never_taken_for_committed(database: PostgresDatabase) -> None:
    async def careless(tx: Any) -> None:
        await tx.execute(ADD, "kept", 1)
        try:
            await tx.execute(ADD, "kept", 1)
        except asyncpg.UniqueViolationError:
            pass

    with pytest.raises(DataError):
        await database.transaction(careless)
    assert await database.value(READ, "kept") is None
    await database.transaction(lambda tx: tx.execute(ADD, "kept", 2))
    assert await database.value(READ, "kept") == 2


class Broken:
    """A connection on which one statement fails without the connection being closed."""

    def __init__(self, connection: Any, statement: str) -> None:
        self._connection = connection
        self._statement = statement

    async def execute(self, text: str, *args: Any) -> Any:
        if text == self._statement:
            raise asyncpg.InterfaceError("cannot perform operation")
        return await self._connection.execute(text, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def fails(tx: Any) -> None:
    raise KeyError


async def adds(tx: Any) -> None:
    await tx.execute(ADD, "lost", 1)


@pytest.mark.parametrize(("statement", "expected"), [("ROLLBACK", KeyError), ("COMMIT", Ambiguous)])
async def test_a_connection_left_inside_a_transaction_is_not_used_again(
    database: PostgresDatabase, statement: str, expected: type[Exception]
) -> None:
    await database.transaction(lambda tx: tx.execute(ADD, "first", 1))
    database._lanes[0] = Broken(database._lanes[0], statement)
    with pytest.raises(expected):
        await database.transaction(fails if statement == "ROLLBACK" else adds)
    await database.transaction(lambda tx: tx.execute(ADD, "second", 1))
    other = await PostgresDatabase.open(database._url)
    try:
        assert [await other.value(READ, name) for name in ("first", "lost", "second")] == [1, None, 1]
    finally:
        await other.close()


async def told(database: Database, name: Any, value: Any) -> str:
    with pytest.raises(DatabaseError) as caught:
        await database.transaction(lambda tx: tx.execute(ADD, name, value))
    return "".join(traceback.format_exception(caught.value))


async def test_errors_do_not_quote_what_people_wrote(database: PostgresDatabase) -> None:
    await database.transaction(lambda tx: tx.execute(ADD, "a secret", 1))
    assert "a secret" not in await told(database, "a secret", 1)
    assert "a secret" not in await told(database, "a secret\0", 1)
    assert "a secret" not in await told(database, "a secret\ud800", 1)
    assert "98765432109876543210" not in await told(database, "big", 98765432109876543210)
