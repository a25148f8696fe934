"""Whether the database can be written now, for `/health`: known from the last commits, else found out by writing."""

from __future__ import annotations

import asyncio

from sqlalchemy.dialects.postgresql import insert  # SQLite's compiler renders its ON CONFLICT as well

from voxcube.server.core.errors import Unavailable
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import counters
from voxcube.server.storage.sql import Query
from voxcube.server.storage.writer import Writer

FRESH_SECONDS = 5.0  # a commit or a failure that is younger answers for all
ANSWER_SECONDS = 3.0  # for one write
_NEW = insert(counters).values(name="health", value=1)
_WRITE = Query(_NEW.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1}))


class WriteProbe:
    """Writes at most once at a time, however many ask."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._writing: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Raises Unavailable when nothing can be written."""
        if self._writer.failed_within(FRESH_SECONDS):
            raise Unavailable("The database cannot be written")
        if self._writer.committed_within(FRESH_SECONDS):
            return
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
            self._writing.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.wait_for(asyncio.shield(self._writing), ANSWER_SECONDS)
        except TimeoutError:
            raise Unavailable("The database does not answer in time") from None

    async def _write(self) -> None:
        async def write(tx: Tx) -> None:
            await tx.execute(_WRITE)

        await self._writer.run(write)
