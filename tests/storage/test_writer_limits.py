"""The writer when many wait for it, when a callback fails, and when it closes: nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import pytest

from voxcube.server.core.errors import Unavailable
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.sql import Query
from voxcube.server.storage.writer import Change, Writer

T = TypeVar("T")


class Stub(Database):
    """A database without tables: transactions succeed, and wait for `gate`."""

    backend = "sqlite"

    def __init__(self, *, lanes: int) -> None:
        self.lanes = lanes
        self.gate = asyncio.Event()
        self.gate.set()

    async def row(self, query: Query, *args: Any) -> Row | None:
        raise NotImplementedError

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        raise NotImplementedError

    async def read(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        raise NotImplementedError

    async def scan(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, user: int) -> T:
        raise NotImplementedError

    async def transaction(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, lane: int = 0) -> T:
        await self.gate.wait()
        tx: Any = None
        return await fn(tx)

    async def close(self) -> None: ...


async def apply(tx: Tx, changes: Sequence[Any]) -> None:
    await asyncio.sleep(0)


async def job(tx: Tx) -> str:
    return "done"


def put(writer: Writer, dialog_id: str) -> asyncio.Future[Change]:
    future: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
    writer.put(Change(future.set_result), dialog_id)
    return future


def started(database: Stub, **options: Any) -> Writer:
    writer = Writer(database, apply, **options)
    writer.start()
    return writer


async def test_any_number_may_wait_for_what_is_queued() -> None:
    database = Stub(lanes=4)
    database.gate.clear()
    writer = started(database)
    change = put(writer, "d")
    waiting = [asyncio.create_task(writer.settled("d")) for _ in range(3000)]
    await asyncio.sleep(0.01)
    database.gate.set()
    assert (await asyncio.wait_for(change, 30)).error is None
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    await writer.close()


async def test_a_callback_that_fails_leaves_nobody_waiting() -> None:
    database = Stub(lanes=4)
    database.gate.clear()
    writer = started(database)

    def broken(change: Any) -> None:
        raise RuntimeError("a defect")

    writer.put(Change(broken), "d")
    waiting = asyncio.create_task(writer.settled("d"))
    await asyncio.sleep(0)
    database.gate.set()
    await asyncio.wait_for(waiting, 30)
    await writer.close()


async def test_what_comes_after_the_end_is_refused() -> None:
    database = Stub(lanes=4)
    database.gate.clear()
    writer = started(database)
    change = put(writer, "d")
    # It waits for the dialog's messages first, and meanwhile the lanes of functions come to their end.
    late_job = asyncio.create_task(writer.run(job, dialog="d"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0.01)
    database.gate.set()
    assert (await change).error is None
    with pytest.raises(Unavailable):
        await asyncio.wait_for(late_job, 30)
    await closing
    late = await asyncio.wait_for(put(writer, "d"), 30)
    assert isinstance(late.error, Unavailable)
    with pytest.raises(Unavailable):
        await writer.run(job)
