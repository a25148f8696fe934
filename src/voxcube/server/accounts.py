"""Applications and users for the command line: the services on the database itself, with a server running or not."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from voxcube.server.config import Config
from voxcube.server.core.clock import SystemClock
from voxcube.server.features.apps.service import AppService
from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.migrate import open_database

T = TypeVar("T")


class Accounts:
    """The services that the commands use, over one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.apps = AppService(self, SystemClock())

    @classmethod
    @asynccontextmanager
    async def open(cls, config: Config) -> AsyncIterator[Self]:
        """Opens the configured database, creating or upgrading its tables. Raises DatabaseError."""
        database = await open_database(config.database_url)
        try:
            yield cls(database)
        finally:
            await database.close()

    async def run(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], /, *, dialog: str | None = None) -> T:
        """One transaction; takes the place of the server's writer (SQLite: BEGIN IMMEDIATE with a busy timeout)."""
        return await self._database.transaction(fn)
