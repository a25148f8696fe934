"""PostgreSQL through asyncpg: a pool for reads, and one connection per write lane, reopened when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import asyncpg

from voxcube.server.storage import outages
from voxcube.server.storage.database import (
    Ambiguous,
    Contention,
    Database,
    DatabaseError,
    DataError,
    Row,
    Tx,
    UniqueViolation,
    Unreachable,
)
from voxcube.server.storage.outages import Kind
from voxcube.server.storage.scans import AT_ONCE, SECONDS, ScanLane, too_long
from voxcube.server.storage.sql import Bulk, Query

T = TypeVar("T")

LANES = 4
READERS = 8
PIECE = 50  # rows of a long page read at once: 13 MB where each has the largest text
CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 60.0  # a network that swallows packets is an outage too

# How statements that start at keys are planned. The planner would weigh reading a whole table against so many look-ups
# by what its statistics say, which may be missing or old, and keeps a plan made while the table was small: such a plan
# is cheap until it stalls the writer. All statements are written for nested loops over indexes; so these alone are
# left, and one plan serves all values (a plan for each set of values costs more than most statements).
#
# `SCANNER` is for what scans on purpose (searches, filters without an index): the index of trigrams is read by bitmaps,
# and a pattern decides whether it helps.
PLANNER = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",  # reads all rows of a dialog before it sorts the few of a page
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
SCANNER = {**PLANNER, "enable_bitmapscan": "on", "plan_cache_mode": "force_custom_plan"}

# Everything that asyncpg raises. An InterfaceError may also be a driver out of step with the server, which ended in the
# middle of an answer.
_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def translated(error: Exception) -> DatabaseError:
    """The driver's error in the words of `database.py`.

    Raise it `from None`: the driver's own text may quote values, and what people wrote never reaches a log.
    """
    name = type(error).__name__
    if isinstance(error, asyncpg.DataError) and not isinstance(error, asyncpg.PostgresError):
        return DataError(name)  # the driver's own, for a value that it cannot encode
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Contention(name)  # another node has upgraded the schema
    if not isinstance(error, asyncpg.PostgresError):
        return Unreachable(str(error) or name)
    match outages.of_sqlstate(error.sqlstate):
        case Kind.UNIQUE:
            return UniqueViolation(f"{name} {error.constraint_name}")
        case Kind.AGAIN:
            return Contention(name)
        case Kind.DATA:
            return DataError(name)
        case Kind.OUTAGE:
            # The text names no values in these classes: it says which right, table, file or time is missing.
            return Unreachable(f"{error.args[0] if error.args else name} (SQLSTATE {error.sqlstate})")


class PostgresTx:
    """Statements on one connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        text, arrange = query.compiled("postgresql")
        found: list[Row] = await self._connection.fetch(text, *arrange(args))
        return found

    async def fetch_until(self, full: Callable[[Row], bool], query: Query, *args: Any) -> list[Row]:
        text, arrange = query.compiled("postgresql")
        found: list[Row] = []
        async with self._connection.transaction():  # a cursor lives in one
            cursor = await self._connection.cursor(text, *arrange(args))
            while piece := await cursor.fetch(PIECE):
                for row in piece:
                    found.append(row)
                    if full(row):
                        return found
                if len(piece) < PIECE:
                    break
        return found

    async def row(self, query: Query, *args: Any) -> Row | None:
        text, arrange = query.compiled("postgresql")
        found: Row | None = await self._connection.fetchrow(text, *arrange(args))
        return found

    async def value(self, query: Query, *args: Any) -> Any:
        found = await self.row(query, *args)
        return None if found is None else found[0]

    async def execute(self, query: Query, *args: Any) -> int:
        text, arrange = query.compiled("postgresql")
        status: str = await self._connection.execute(text, *arrange(args))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def nested(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        async with self._connection.transaction():
            return await fn(self)

    async def many(self, bulk: Bulk, rows: Sequence[Row]) -> None:
        if rows:
            await self._connection.execute(bulk.postgresql, *map(list, zip(*rows, strict=True)))

    async def pick(self, bulk: Bulk, keys: Sequence[Row]) -> list[Row]:
        if not keys:
            return []
        found: list[Row] = await self._connection.fetch(bulk.postgresql, *map(list, zip(*keys, strict=True)))
        return found


class PostgresDatabase(Database):
    """A PostgreSQL database, shared by any number of nodes."""

    backend = "postgresql"
    lanes = LANES

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._scan_pool: Any = None
        self.scans = ScanLane(AT_ONCE["postgresql"])
        self._lanes: list[Any] = [None] * LANES

    @classmethod
    async def open(cls, url: str) -> PostgresDatabase:
        """Raises Unreachable when there is no server at `url` (postgresql://user:password@host:port/name)."""
        self = cls(url)
        try:
            self._pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=READERS,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                server_settings=PLANNER,
            )
            # Apart, so that scans cannot take all connections; opened when the first one comes.
            self._scan_pool = asyncpg.create_pool(
                url,
                min_size=0,
                max_size=AT_ONCE["postgresql"],
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                server_settings={**SCANNER, "statement_timeout": str(int(SECONDS * 1000))},
            )
            await self._scan_pool
        except _ERRORS as error:
            raise translated(error) from None
        return self

    async def row(self, query: Query, *args: Any) -> Row | None:
        return await self.read(lambda tx: tx.row(query, *args))

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        return await self.read(lambda tx: tx.fetch(query, *args))

    async def read(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        try:
            async with self._pool.acquire() as connection:
                return await fn(PostgresTx(connection))
        except _ERRORS as error:
            raise translated(error) from None

    async def scan(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, user: int) -> T:
        async with self.scans.turn(user):
            late = asyncio.timeout(self.scans.seconds)
            try:
                async with late, self._scan_pool.acquire() as connection:
                    return await fn(PostgresTx(connection))  # asyncpg cancels the statement when time is over
            except asyncpg.QueryCanceledError:
                raise too_long() from None
            except _ERRORS as error:
                raise too_long() if late.expired() else translated(error) from None

    async def transaction(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, lane: int = 0) -> T:
        try:
            connection = self._lanes[lane]
            if connection is None or connection.is_closed():
                connection = self._lanes[lane] = await asyncpg.connect(
                    self._url,
                    timeout=CONNECT_SECONDS,
                    command_timeout=STATEMENT_SECONDS,
                    server_settings={"synchronous_commit": "on", **PLANNER},
                )
            await connection.execute("BEGIN")
            try:
                result = await fn(PostgresTx(connection))
            except BaseException:
                await _undo(connection)
                raise
        except _ERRORS as error:
            reason = translated(error)
            if isinstance(reason, Unreachable) and (connection := self._lanes[lane]) is not None:
                # The next run connects anew: this connection may keep a setting, or a server, that is no good.
                connection.terminate()
            raise reason from None
        try:
            status = await connection.execute("COMMIT")
        except _ERRORS as error:
            reason = translated(error)
            if connection.is_closed() or isinstance(reason, Unreachable):
                connection.terminate()  # it must not carry a half-ended transaction into the next one
                raise Ambiguous(type(error).__name__) from None
            raise reason from None
        if status != "COMMIT":  # a statement failed, `fn` went on all the same: PostgreSQL has undone everything
            raise DataError("the transaction was undone by a failed statement")
        return result

    async def close(self) -> None:
        for connection in self._lanes:
            if connection is not None and not connection.is_closed():
                await connection.close()
        await self._pool.close()
        await self._scan_pool.close()


async def _undo(connection: Any) -> None:
    """Ends a transaction that failed; a connection that cannot even do that is given up."""
    try:
        if not connection.is_closed():
            await asyncio.shield(connection.execute("ROLLBACK"))
    except _ERRORS:
        connection.terminate()
