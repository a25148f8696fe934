"""What the stores and the writer see of a database: reads, and write transactions on numbered lanes.

Two backends stand behind it (`sqlite.py`, `postgres.py`). On SQLite nothing inside a transaction ever suspends, so the
same coroutines that await asyncpg on PostgreSQL are driven to their end by `drive` in the writer thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from voxcube.server.storage.scans import ScanLane
from voxcube.server.storage.sql import Backend, Bulk, Query

T = TypeVar("T")
Row = tuple[Any, ...]


class DatabaseError(Exception):
    """Root of what a backend raises, whatever driver stands below."""


class Unreachable(DatabaseError):
    """The database is away, or the disk full: nothing was changed; trying again later may work."""


class Ambiguous(DatabaseError):
    """The connection broke while COMMIT was under way: the changes are there wholly or not at all."""


class Contention(DatabaseError):
    """Deadlock, serialisation failure or a busy database: the transaction was undone and may be run again."""


class DataError(DatabaseError):
    """The database refuses these values; running them again will fail again."""


class UniqueViolation(DataError):
    """A unique key is taken."""


class WrongEncoding(DatabaseError):
    """The database keeps texts in another encoding than UTF-8: it has no place for most characters."""


class NewerDatabase(DatabaseError):
    """The database was made by a newer Voxcube; this one must not touch it."""


class DatabaseInUse(DatabaseError):
    """Another server uses the database, and cannot share it with this one."""


class Tx(Protocol):
    """Statements inside one transaction (or one read)."""

    async def fetch(self, query: Query, *args: Any) -> list[Row]: ...

    async def fetch_until(self, full: Callable[[Row], bool], query: Query, *args: Any) -> list[Row]:
        """Rows up to and with the first one of which `full(row)` is true; little more than these is read."""
        ...

    async def row(self, query: Query, *args: Any) -> Row | None: ...

    async def value(self, query: Query, *args: Any) -> Any: ...

    async def execute(self, query: Query, *args: Any) -> int:
        """Runs a change; returns the number of rows it touched."""
        ...

    async def nested(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        """Runs `fn` in a savepoint: an error undoes its work only."""
        ...

    async def many(self, bulk: Bulk, rows: Sequence[Row]) -> None:
        """Runs a set-wise change over `rows`."""
        ...

    async def pick(self, bulk: Bulk, keys: Sequence[Row]) -> list[Row]:
        """Runs a set-wise select (`bulk_select`) over `keys`."""
        ...


class Database(ABC):
    """An open database."""

    backend: Backend
    scans: ScanLane
    lanes: int  # how many write transactions may be under way at once

    @abstractmethod
    async def row(self, query: Query, *args: Any) -> Row | None:
        """Point read of one row."""

    @abstractmethod
    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        """Point read of a few rows by key."""

    async def value(self, query: Query, *args: Any) -> Any:
        """First column of the row of a point read, or None."""
        found = await self.row(query, *args)
        return None if found is None else found[0]

    @abstractmethod
    async def read(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        """A page: several statements that start at indexes and read little more than they return, away from the event
        loop. Whatever may read more than that is a `scan`; `tests/storage/test_scans.py` lists which is which."""

    @abstractmethod
    async def scan(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, user: int) -> T:
        """A read that may scan, asked for by a user: apart from other reads, one at a time for each user (`scans.py`).

        Raises TooManyRequests when too many wait, TooLong when its time is over.
        """

    async def look(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, scanning: bool, user: int) -> T:
        """A `scan` if it is one, otherwise a `read`."""
        return await (self.scan(fn, user=user) if scanning else self.read(fn))

    @abstractmethod
    async def transaction(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, lane: int = 0) -> T:
        """Runs `fn` in a write transaction and commits. One at a time per lane; the writer is its only caller.

        Raises: Unreachable, Ambiguous, Contention, DataError, or what `fn` raised (then nothing was changed).
        """

    @abstractmethod
    async def close(self) -> None: ...


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never suspends (SQLite) to its end, in any thread."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a SQLite transaction must not wait for anything")
