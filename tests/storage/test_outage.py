"""The writer while its database is away: every change is committed exactly once or refused, in the order it came."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.storage.support import Store, opened
from tests.storage.test_writer import DIALOG, HEAD, OTHER, SEQS, mid
from tests.support.postgres import PostgresServer
from voxcube.server.core.errors import Unavailable
from voxcube.server.storage.database import Contention, Tx, Unreachable
from voxcube.server.storage.messages import Send
from voxcube.server.storage.postgres import translated

THIRD = "f" * 24
DIALOGS = (DIALOG, OTHER, THIRD)
Fn = Callable[[Tx], Coroutine[Any, Any, Any]]


async def stored(store: Store, dialog_id: str) -> list[str]:
    """The ids of a dialog's messages by number; the numbers have no gap and agree with the dialog's own."""
    rows = await store.database.fetch(SEQS, dialog_id)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert tuple(await store.database.row(HEAD, dialog_id) or ()) == (len(rows), len(rows))
    return [row[1] for row in rows]


async def put_all(store: Store, sends: dict[str, str], *, seconds: float = 0.0) -> dict[str, Send]:
    """Puts messages (id → dialog) in this order, spread over some time; returns them with their fate."""
    futures = []
    for message_id, dialog_id in sends.items():
        futures.append(store.put_send(dialog_id, 1, message_id))
        if seconds:
            await asyncio.sleep(seconds / len(sends))
    return {send.message_id: send for send in await asyncio.gather(*futures)}


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "crashed"])
async def test_postgres_restarted_in_mid_batch(own_postgres: PostgresServer, crash: bool) -> None:
    dice = random.Random(7)
    async with opened(own_postgres.create_database(), batch=40) as store:
        for dialog_id in DIALOGS:
            await store.dialog(dialog_id, 1, 2)
        wanted = {mid(n): DIALOGS[dice.randrange(3)] for n in range(3000)}
        putting = asyncio.create_task(put_all(store, wanted, seconds=2.5))
        for _ in range(2):
            await asyncio.sleep(dice.uniform(0.3, 0.6))
            await asyncio.to_thread(own_postgres.restart, crash=crash)
        sends = await putting
        assert [repr(send.error) for send in sends.values() if send.error is not None] == []
        # Each was sent once: one whose commit was uncertain is new to everybody all the same.
        assert [send.message_id for send in sends.values() if not send.fresh] == []
        for dialog_id in DIALOGS:
            assert await stored(store, dialog_id) == [id_ for id_, where in wanted.items() if where == dialog_id]


def test_a_driver_that_is_out_of_step_is_an_outage() -> None:
    # What asyncpg raises now and then when the server ends in the middle of an answer.
    error = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")
    assert isinstance(translated(error), Unreachable)


async def test_what_was_refused_and_is_sent_again_keeps_its_order(own_postgres: PostgresServer) -> None:
    async with opened(own_postgres.create_database(), batch=10, patience=0.4) as store:
        for dialog_id in DIALOGS:
            await store.dialog(dialog_id, 1, 2)
        wanted = {mid(n): DIALOGS[n % 3] for n in range(600)}
        await asyncio.to_thread(own_postgres.stop, crash=True)
        try:
            putting = asyncio.create_task(put_all(store, wanted))
            await asyncio.sleep(0.7)
        finally:
            await asyncio.to_thread(own_postgres.start)
        sends = await putting
        refused = {id_: wanted[id_] for id_, send in sends.items() if send.error is not None}
        assert all(isinstance(sends[id_].error, Unavailable) for id_ in refused)
        assert refused
        # The clients send again what was not acknowledged, in the old order, as soon as they are told.
        again = await put_all(store, refused)
        assert [send.error for send in again.values() if send.error is not None] == []
        for dialog_id in DIALOGS:
            assert await stored(store, dialog_id) == [id_ for id_, where in wanted.items() if where == dialog_id]


class Cutter:
    """A way to PostgreSQL that breaks at a COMMIT: before it arrives, or before its answer comes back."""

    def __init__(self, port: int) -> None:
        self.arm = ""  # "before" or "after": the next COMMIT is cut
        self.cuts = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._target = port

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        answers = asyncio.create_task(self._copy(back, writer))
        while data := await reader.read(65536):
            if self.arm and b"COMMIT" in data:
                way, self.arm = self.arm, ""
                self.cuts += 1
                answers.cancel()
                await asyncio.wait([answers])
                if way == "after":
                    forth.write(data)
                    await back.read(1)  # it is committed; nobody is told
                break
            forth.write(data)
        writer.transport.abort()
        forth.transport.abort()
        await asyncio.gather(answers, forth.wait_closed(), writer.wait_closed(), return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


@asynccontextmanager
async def cutter(between: Cutter) -> AsyncIterator[int]:
    """Runs it; gives its port."""
    server = await asyncio.start_server(between.connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait(between.tasks, timeout=5)
        await server.wait_closed()


@pytest.mark.parametrize("way", ["before", "after"])
async def test_a_connection_lost_at_commit(own_postgres: PostgresServer, way: str) -> None:
    url = own_postgres.create_database()
    between = Cutter(own_postgres.port)
    async with cutter(between) as port, opened(url.replace(f":{own_postgres.port}/", f":{port}/")) as store:
        await store.dialog(DIALOG, 1, 2)
        for n in range(0, 60, 20):
            between.arm = way
            sends = await put_all(store, {mid(i): DIALOG for i in range(n, n + 20)})
            assert [(send.error, send.fresh) for send in sends.values()] == [(None, True)] * 20
        assert between.cuts == 3
        assert await stored(store, DIALOG) == [mid(n) for n in range(60)]


async def fails(store: Store, fail: Callable[[int], Exception | None]) -> None:
    """From now on each transaction asks `fail(its number)` for an error to raise instead of running."""
    transaction = store.database.transaction
    numbers = iter(range(1_000_000))

    async def failing(fn: Fn, *, lane: int = 0) -> Any:
        error = fail(next(numbers))
        if error is not None:
            raise error
        return await transaction(fn, lane=lane)

    store.database.transaction = failing  # type: ignore[method-assign]


async def test_one_patience_for_all_that_waits(database_url: str) -> None:
    """What came while the database was away does not wait its own patience behind what came before it."""
    async with opened(database_url, batch=5, patience=0.3) as store:
        await store.dialog(DIALOG, 1)
        away = True
        await fails(store, lambda _: Unreachable("away") if away else None)
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def function(tx: Any) -> Any:
            return await tx.value(HEAD, DIALOG)

        jobs = [asyncio.create_task(store.writer.run(function)) for _ in range(8)]
        sends = await put_all(store, {mid(n): DIALOG for n in range(50)})
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert {type(send.error) for send in sends.values()} == {Unavailable}
        assert {type(result) for result in results} == {Unavailable}
        assert loop.time() - began < 2.5
        # Later ones are tried once each, and taken as soon as it is back.
        began = loop.time()
        assert isinstance((await store.send(DIALOG, 1, mid(99))).error, Unavailable)
        assert loop.time() - began < 0.3
        away = False
        assert (await store.send(DIALOG, 1, mid(99))).error is None
        assert await store.writer.run(function) == 1


@pytest.mark.parametrize("reason", [Contention, Unreachable])
async def test_nothing_overtakes_a_message_that_is_refused_for_an_outage(
    database_url: str, reason: type[Exception]
) -> None:
    """A poison message makes its batch run item by item; the database goes away in the middle of that."""
    async with opened(database_url, patience=0.1) as store:
        await store.dialog(DIALOG, 1)
        loop = asyncio.get_running_loop()
        away_until = 0.0

        def fail(number: int) -> Exception | None:
            """The batch is poisoned; three of its messages are committed, then the database goes away for a moment."""
            nonlocal away_until
            if number == 0:
                return ValueError("poison")
            if number == 4:
                away_until = loop.time() + 0.3
            return reason("away") if loop.time() < away_until else None

        await fails(store, fail)
        wanted = {mid(n): DIALOG for n in range(30)}
        sends = await put_all(store, wanted)
        refused = {id_: DIALOG for id_, send in sends.items() if send.error is not None}
        assert list(refused) == [mid(n) for n in range(3, 30)]
        while loop.time() < away_until:
            await asyncio.sleep(0.05)
        await put_all(store, refused)
        assert await stored(store, DIALOG) == list(wanted)


async def test_a_full_queue_says_so_until_the_database_is_back(database_url: str) -> None:
    async with opened(database_url, capacity=20, batch=5) as store:
        await store.dialog(DIALOG, 1)
        away = True
        await fails(store, lambda _: Unreachable("away") if away else None)
        putting = asyncio.create_task(put_all(store, {mid(n): DIALOG for n in range(25)}))
        await asyncio.sleep(0.05)
        assert store.writer.full
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.writer.room(), 0.2)
        away = False
        await asyncio.wait_for(store.writer.room(), 30)
        assert [send.error for send in (await putting).values() if send.error is not None] == []
        assert await stored(store, DIALOG) == [mid(n) for n in range(25)]
