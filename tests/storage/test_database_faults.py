"""A database that cannot write now is an outage, whatever the reason: never the client's fault, and it ends."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.storage.support import Store, opened
from tests.storage.test_writer import DIALOG, SEQS, mid
from tests.support.postgres import PostgresServer
from voxcube.server.core.errors import Unavailable
from voxcube.server.storage import outages, postgres, sqlite
from voxcube.server.storage.database import (
    Contention,
    DatabaseError,
    DataError,
    UniqueViolation,
    Unreachable,
)
from voxcube.server.storage.outages import Kind
from voxcube.server.storage.receipts import READ, mark_all

SECONDS = 20.0  # for the database to be found well again


def test_every_class_of_sqlstate_is_known() -> None:
    """asyncpg's own list of states is PostgreSQL's."""
    kinds: list[Any] = [kind for kind in vars(asyncpg.exceptions).values() if isinstance(kind, type)]
    states = {str(kind.sqlstate) for kind in kinds if issubclass(kind, asyncpg.PostgresError) and kind.sqlstate}
    classes = {state[:2] for state in states} - {"00", "01", "02"}  # success, warnings, no data
    assert classes <= outages.SQLSTATE_CLASSES.keys()
    for state in states:
        error = asyncpg.PostgresError.new({"C": state, "M": "text", "n": "name"})
        assert isinstance(postgres.translated(error), DatabaseError)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("25006", Kind.OUTAGE), ("57014", Kind.OUTAGE), ("53100", Kind.OUTAGE), ("42501", Kind.OUTAGE),
        ("53300", Kind.OUTAGE), ("25P03", Kind.OUTAGE), ("57P01", Kind.OUTAGE), ("42P01", Kind.OUTAGE),
        ("58030", Kind.OUTAGE), ("XX001", Kind.OUTAGE), ("3D000", Kind.OUTAGE), ("28P01", Kind.OUTAGE),
        ("55P03", Kind.AGAIN), ("40P01", Kind.AGAIN), ("40001", Kind.AGAIN), ("23505", Kind.UNIQUE),
        ("23514", Kind.DATA), ("22001", Kind.DATA), ("22021", Kind.DATA), ("54000", Kind.DATA), ("42601", Kind.DATA),
        ("ZZ123", Kind.OUTAGE), (None, Kind.OUTAGE),
    ],
)  # fmt: skip
def test_what_a_sqlstate_means(state: str | None, kind: Kind) -> None:
    assert outages.of_sqlstate(state) is kind


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *((name, Unreachable) for name in (
            "FULL", "IOERR", "IOERR_WRITE", "IOERR_FSYNC", "READONLY", "READONLY_DBMOVED", "CORRUPT", "CORRUPT_INDEX",
            "CANTOPEN", "NOMEM", "INTERRUPT", "PERM", "AUTH", "PROTOCOL", "NOTADB", "ABORT", "INTERNAL", "MISUSE",
        )),
        *((name, Contention) for name in ("BUSY", "BUSY_SNAPSHOT", "LOCKED", "SCHEMA")),
        *((name, DataError) for name in ("CONSTRAINT_NOTNULL", "TOOBIG", "MISMATCH", "ERROR")),
        *((name, UniqueViolation) for name in ("CONSTRAINT_UNIQUE", "CONSTRAINT_PRIMARYKEY")),
    ],
)  # fmt: skip
def test_what_a_result_code_means(name: str, wanted: type[DatabaseError]) -> None:
    error = sqlite3.OperationalError("text")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{name}")
    assert type(sqlite.translated(error)) is wanted


@pytest.fixture
async def app_url(own_postgres: PostgresServer) -> str:
    """A database that belongs to an ordinary role of the same name."""
    url = own_postgres.create_database()
    role = name_of(url)
    await administer(
        url,
        f"CREATE ROLE {role} LOGIN",
        f"ALTER DATABASE {role} OWNER TO {role}",
        f"GRANT ALL ON SCHEMA public TO {role}",
    )
    return url.replace("//voxcube@", f"//{role}@")


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


async def superuser(url: str) -> Any:
    settings = {"default_transaction_read_only": "off", "statement_timeout": "0", "lock_timeout": "0"}
    return await asyncpg.connect(url.replace(f"//{name_of(url)}@", "//voxcube@"), server_settings=settings)


async def administer(url: str, *statements: str) -> None:
    """As the superuser."""
    connection = await superuser(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def cut(url: str) -> None:
    """Ends the role's connections, so that the next ones have the new settings."""
    await administer(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name_of(url)}'")


@asynccontextmanager
async def setting(url: str, text: str) -> AsyncIterator[None]:
    await administer(url, f"ALTER DATABASE {name_of(url)} SET {text}")
    await cut(url)
    yield
    await administer(url, f"ALTER DATABASE {name_of(url)} RESET ALL")
    # No cut: what is wrong with a connection must not outlive the fault.


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    connection = await superuser(url)
    try:
        await connection.execute("BEGIN")
        await connection.execute("LOCK TABLE dialogs IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        await connection.close()


@asynccontextmanager
async def read_only(url: str) -> AsyncIterator[None]:
    """Also what a failover to a replica looks like: SQLSTATE 25006."""
    async with setting(url, "default_transaction_read_only = on"):
        yield


@asynccontextmanager
async def statement_timeout(url: str) -> AsyncIterator[None]:
    async with setting(url, "statement_timeout = '150ms'"), locked(url):
        yield


@asynccontextmanager
async def lock_timeout(url: str) -> AsyncIterator[None]:
    async with setting(url, "lock_timeout = '100ms'"), locked(url):
        yield


@asynccontextmanager
async def revoked(url: str) -> AsyncIterator[None]:
    await administer(url, f"REVOKE ALL ON messages, members FROM {name_of(url)}")
    yield
    await administer(url, f"GRANT ALL ON messages, members TO {name_of(url)}")


@asynccontextmanager
async def renamed(url: str) -> AsyncIterator[None]:
    await administer(url, "ALTER TABLE messages RENAME TO elsewhere")
    yield
    await administer(url, "ALTER TABLE elsewhere RENAME TO messages")


@asynccontextmanager
async def no_connections(url: str) -> AsyncIterator[None]:
    await administer(url, f"ALTER ROLE {name_of(url)} CONNECTION LIMIT 0")
    await cut(url)
    yield
    await administer(url, f"ALTER ROLE {name_of(url)} CONNECTION LIMIT -1")


@asynccontextmanager
async def disk_full(url: str) -> AsyncIterator[None]:
    """As the server reports it: a trigger raises the state of a full disk."""
    await administer(
        url,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$",
        "CREATE TRIGGER full_disk BEFORE INSERT ON messages EXECUTE FUNCTION full_disk()",
        "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON members EXECUTE FUNCTION full_disk()",
    )
    yield
    await administer(url, "DROP FUNCTION full_disk CASCADE")


FAULTS: list[Callable[[str], Any]] = [
    read_only, statement_timeout, lock_timeout, revoked, renamed, no_connections, disk_full,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_fault_of_postgresql_is_an_outage(app_url: str, fault: Callable[[str], Any]) -> None:
    async with opened(app_url, patience=0.3) as store:
        await store.dialog(DIALOG, 1, 2)
        assert (await store.send(DIALOG, 1, mid(0))).error is None
        async with fault(app_url):
            await refused(store)
        await well_again(store)
        rows = await store.database.fetch(SEQS, DIALOG)
        assert [row[1] for row in rows] == [mid(0), mid(1)]


async def test_a_transaction_that_idles_for_too_long_is_an_outage(app_url: str) -> None:
    async with opened(app_url, patience=0.3) as store:
        await store.dialog(DIALOG, 1, 2)
        async with setting(app_url, "idle_in_transaction_session_timeout = '100ms'"):

            async def idle(tx: Any) -> None:
                await asyncio.sleep(0.3)
                await tx.value(SEQS, DIALOG)

            with pytest.raises(Unavailable):
                await store.writer.run(idle)
        await well_again(store)


async def test_a_full_sqlite_file_is_an_outage(tmp_path: Any) -> None:
    async with opened(f"sqlite:///{tmp_path / 'voxcube.db'}", patience=0.3) as store:
        await store.dialog(DIALOG, 1, 2)
        assert (await store.send(DIALOG, 1, mid(0))).error is None
        connection = store.database._writer  # type: ignore[attr-defined]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        large = await store.send(DIALOG, 1, mid(1), body="x" * 200_000)
        assert isinstance(large.error, Unavailable)
        connection.execute("PRAGMA max_page_count = 1000000")
        assert (await store.send(DIALOG, 1, mid(1))).error is None


async def test_a_sqlite_database_that_may_not_be_written_is_an_outage(tmp_path: Any) -> None:
    async with opened(f"sqlite:///{tmp_path / 'voxcube.db'}", patience=0.3) as store:
        await store.dialog(DIALOG, 1, 2)
        connection = store.database._writer  # type: ignore[attr-defined]
        connection.execute("PRAGMA query_only = ON")
        await refused(store)
        connection.execute("PRAGMA query_only = OFF")
        await well_again(store)


async def refused(store: Store) -> None:
    """A message, a marker and a function are refused for the outage, not for what they say."""
    sends = [await store.send(DIALOG, 1, mid(1))]
    marks = [await store.mark(DIALOG, 2, READ, mid(0))]
    # Contention: what waited for a lock is refused as an outage too, after some more runs.
    assert all(isinstance(change.error, Unavailable | Contention) for change in (*sends, *marks))
    with pytest.raises((Unavailable, Contention, Unreachable)):
        await wait(lambda: store.writer.run(marking))


async def marking(tx: Any) -> None:
    await mark_all(tx, DIALOG, 2, READ)


async def wait(make: Callable[[], Awaitable[Any]]) -> Any:
    return await asyncio.wait_for(make(), SECONDS)


async def well_again(store: Store) -> None:
    """The message is taken before long."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while (send := await store.send(DIALOG, 1, mid(1))).error is not None:
        assert isinstance(send.error, Unavailable | Contention)
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)
