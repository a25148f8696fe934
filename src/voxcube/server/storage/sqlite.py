"""SQLite: one thread that writes, one reader on the event loop, and a few threads for pages and searches.

Only the standard library's copy of SQLite may be in the process: POSIX locks of one copy are dropped by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from voxcube.server.storage import outages
from voxcube.server.storage.database import (
    Contention,
    Database,
    DatabaseError,
    DataError,
    Row,
    Tx,
    UniqueViolation,
    Unreachable,
    drive,
)
from voxcube.server.storage.outages import Kind
from voxcube.server.storage.scans import AT_ONCE, ScanLane, too_long
from voxcube.server.storage.sql import Bulk, Query

T = TypeVar("T")

OLDEST = (3, 38)  # the operator ->> of JSON
READERS = 2
SCAN_STEPS = 10_000  # instructions between two looks at the clock
BUSY_SECONDS = 10.0
CHECKPOINT_SECONDS = 1.0
LOG_PAGES = 16384  # of 4 KiB
CHUNKS = (64, 16, 4, 1)  # rows in one set-wise change: few texts, so that all stay prepared


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun and ended by name only. Raises DatabaseError."""
    if sqlite3.sqlite_version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise DatabaseError(f"SQLite {wanted} or later is needed, but this Python has {sqlite3.sqlite_version}")
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS, cached_statements=512
    )
    connection.create_function("unicode_lower", 1, _lower, deterministic=True)
    connection.execute("PRAGMA journal_mode = WAL")
    # Acknowledged means on disk: each commit is fsynced.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -16384")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def translated(error: sqlite3.Error) -> DatabaseError:
    """The driver's error in the words of `database.py`."""
    if isinstance(error, sqlite3.DataError | sqlite3.InterfaceError):
        return DataError(str(error))  # the module's own, for a value that it cannot bind
    match outages.of_result_code(getattr(error, "sqlite_errorcode", None)):
        case Kind.UNIQUE:
            return UniqueViolation(str(error))
        case Kind.AGAIN:
            return Contention(str(error))
        case Kind.DATA:
            return DataError(str(error))
        case Kind.OUTAGE:
            return Unreachable(str(error))


class SqliteTx:
    """Statements on one connection; every method returns without suspending."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        text, arrange = query.compiled("sqlite")
        return self._connection.execute(text, arrange(args)).fetchall()

    async def fetch_until(self, full: Callable[[Row], bool], query: Query, *args: Any) -> list[Row]:
        text, arrange = query.compiled("sqlite")
        found: list[Row] = []
        with contextlib.closing(self._connection.execute(text, arrange(args))) as cursor:
            for row in cursor:
                found.append(row)
                if full(row):
                    break
        return found

    async def row(self, query: Query, *args: Any) -> Row | None:
        found = await self.fetch(query, *args)
        return found[0] if found else None

    async def value(self, query: Query, *args: Any) -> Any:
        found = await self.row(query, *args)
        return None if found is None else found[0]

    async def execute(self, query: Query, *args: Any) -> int:
        text, arrange = query.compiled("sqlite")
        return self._connection.execute(text, arrange(args)).rowcount

    async def nested(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        """Runs `fn` so that an error undoes its own work only; the rest of the transaction goes on."""
        self._connection.execute("SAVEPOINT item")
        try:
            with errors():
                result = await fn(self)
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO item")
                self._connection.execute("RELEASE item")
            raise
        self._connection.execute("RELEASE item")
        return result

    async def many(self, bulk: Bulk, rows: Sequence[Row]) -> None:
        done = 0
        for size in CHUNKS:
            text = ""
            while len(rows) - done >= size:
                text = text or bulk.sqlite(size)
                self._connection.execute(text, list(itertools.chain.from_iterable(rows[done : done + size])))
                done += size

    async def pick(self, bulk: Bulk, keys: Sequence[Row]) -> list[Row]:
        return self._connection.execute(bulk.sqlite(), (json.dumps(keys),)).fetchall() if keys else []


class _WriteThread(threading.Thread):
    """The one thread that writes. An executor would do, but its two futures and locks cost a message that comes alone
    a sixth of its time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(name="sqlite-writer", daemon=True)
        self._connection = connection
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")
        self.commits = 0
        self.checkpoint_due = False  # the log has grown too long
        # (function, future of the event loop); None ends the thread.
        self.jobs: queue.SimpleQueue[tuple[Callable[[Tx], Coroutine[Any, Any, Any]], asyncio.Future[Any]] | None]
        self.jobs = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while (job := self.jobs.get()) is not None:
            fn, done = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = write(self._connection, fn)
            except BaseException as raised:
                error = raised
            self.commits += 1
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                done.get_loop().call_soon_threadsafe(_settle, done, result, error)
            if self.checkpoint_due:
                self.checkpoint_due = False
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA wal_checkpoint(RESTART)")
            del job, fn, done, result, error  # nothing is kept alive while the thread waits


class _Checkpoints(threading.Thread):
    """Moves what was committed from the log (WAL) into the database file, beside the writer.

    Left to SQLite, every so many commits would do it themselves, with two more fsyncs and many pages to write, and all
    who wait for that commit would wait for it (p99 at 100 messages/s on a busy disk: 6–8 ms instead of 6–45). A
    passive checkpoint never makes the writer wait, but while it never rests the log only grows: beyond a size the
    writer does it after all.
    """

    def __init__(self, path: Path, writer: _WriteThread) -> None:
        super().__init__(name="sqlite-checkpoints", daemon=True)
        self._path = path
        self._writer = writer
        self._end = threading.Event()
        self.start()

    def close(self) -> None:
        self._end.set()
        self.join()

    def run(self) -> None:
        connection = connect(self._path, read_only=False)
        try:
            seen = 0
            while not self._end.wait(CHECKPOINT_SECONDS):
                if self._writer.commits == seen:
                    continue
                seen = self._writer.commits
                with contextlib.suppress(sqlite3.Error):  # say, a full disk: the writer will hear of it
                    _, logged, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    if logged > LOG_PAGES:
                        self._writer.checkpoint_due = True
        finally:
            connection.close()


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if not done.done():
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)


class SqliteDatabase(Database):
    """A database file, used by one server process (the CLI may write beside it)."""

    backend = "sqlite"
    lanes = 1

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = connect(path, read_only=False)
        self._points = SqliteTx(connect(path, read_only=True))
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = [self._writer, self._points._connection]
        self._write_thread = _WriteThread(self._writer)
        self._checkpoints = _Checkpoints(path, self._write_thread)
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._scan_threads = ThreadPoolExecutor(AT_ONCE["sqlite"], thread_name_prefix="sqlite-scanner")
        self.scans = ScanLane(AT_ONCE["sqlite"])

    async def row(self, query: Query, *args: Any) -> Row | None:
        with errors():
            return await self._points.row(query, *args)

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        with errors():
            return await self._points.fetch(query, *args)

    async def read(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, self._read, fn)

    async def scan(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, user: int) -> T:
        async with self.scans.turn(user):
            loop = asyncio.get_running_loop()
            give_up = [time.monotonic() + self.scans.seconds]
            scan = loop.run_in_executor(self._scan_threads, self._scan, fn, give_up)
            try:
                return await asyncio.shield(scan)
            except asyncio.CancelledError:
                give_up[0] = 0.0
                await asyncio.wait([scan])  # its thread is taken until it has noticed
                raise

    def _scan(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], give_up: list[float]) -> T:
        connection = self._own()
        connection.set_progress_handler(lambda: time.monotonic() > give_up[0], SCAN_STEPS)
        try:
            return self._read(fn)
        except DatabaseError:
            if time.monotonic() > give_up[0]:
                raise too_long() from None
            raise
        finally:
            connection.set_progress_handler(None, 0)

    def _own(self) -> sqlite3.Connection:
        """The connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path, read_only=True)
            self._opened.append(connection)
        return connection

    def _read(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        connection = self._own()
        with errors():
            # One snapshot for the statements of a page; it never stays open (it would hold back the WAL).
            connection.execute("BEGIN")
            try:
                return drive(fn(SqliteTx(connection)))
            finally:
                connection.execute("ROLLBACK")

    async def transaction(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, lane: int = 0) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._write_thread.jobs.put((fn, done))
        return await done

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._checkpoints.close)
        self._write_thread.jobs.put(None)
        await loop.run_in_executor(None, self._write_thread.join)
        await loop.run_in_executor(None, self._read_threads.shutdown)
        await loop.run_in_executor(None, self._scan_threads.shutdown)
        for connection in self._opened:
            connection.close()


def write(connection: sqlite3.Connection, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
    """Runs `fn` in a write transaction on `connection`; also the way of the command line tools."""
    with errors():
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = drive(fn(SqliteTx(connection)))
            connection.execute("COMMIT")
        except BaseException:
            # SQLite undoes the transaction itself on some errors (disk full); then there is nothing to roll back.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result


@contextlib.contextmanager
def errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error) from error
