"""The writer on both databases: order, resends, conflicts, poison, group commit, functions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import bindparam, select

from tests.storage.support import ADD_DIALOG, opened
from tests.support.postgres import PostgresServer
from voxcube.server.core.errors import Conflict, Forbidden, NotFound
from voxcube.server.storage.schema import dialogs, members, messages
from voxcube.server.storage.sql import Query

DIALOG, OTHER = "d" * 24, "e" * 24
SEQS = Query(
    select(messages.c.seq, messages.c.id).where(messages.c.dialog_id == bindparam("d")).order_by(messages.c.seq), "d"
)
HEAD = Query(select(dialogs.c.seq, dialogs.c.live).where(dialogs.c.id == bindparam("d")), "d")
UPDATED = Query(select(dialogs.c.updated_at).where(dialogs.c.id == bindparam("d")), "d")
SETTLED = Query(select(members.c.settled).where(members.c.dialog_id == bindparam("d"), members.c.user_id == 1), "d")


def mid(number: int) -> str:
    return f"{number:024x}"


async def test_sends_are_numbered_in_the_order_they_were_put(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1, 2)
        sends = await asyncio.gather(*(store.put_send(DIALOG, 1 + n % 2, mid(n)) for n in range(600)))
        assert [send.seq for send in sends] == list(range(1, 601))
        assert all(send.fresh and send.error is None for send in sends)
        rows = await store.database.fetch(SEQS, DIALOG)
        assert [tuple(row) for row in rows] == [(n + 1, mid(n)) for n in range(600)]
        assert tuple(await store.database.row(HEAD, DIALOG) or ()) == (600, 600)
        assert await store.database.value(SETTLED, DIALOG) == 300


async def test_a_resend_is_recognised_and_burns_no_number(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1, 2)
        first, again = await asyncio.gather(store.put_send(DIALOG, 1, mid(7)), store.put_send(DIALOG, 1, mid(7)))
        later = await store.send(DIALOG, 1, mid(7))
        following = await store.send(DIALOG, 1, mid(8))
        assert (first.seq, first.fresh) == (1, True)
        assert (again.seq, again.fresh) == (later.seq, later.fresh) == (1, False)
        assert following.seq == 2


async def test_an_id_of_another_sender_or_dialog_conflicts_alone(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1, 2)
        await store.dialog(OTHER, 1, 2)
        await store.send(DIALOG, 1, mid(7))
        sends = await asyncio.gather(
            store.put_send(DIALOG, 2, mid(7)),
            store.put_send(OTHER, 1, mid(7)),
            store.put_send(DIALOG, 1, mid(9)),
            store.put_send(OTHER, 1, mid(7), app_id=2),
        )
        assert [type(send.error) for send in sends] == [Conflict, Conflict, type(None), type(None)]


async def test_a_message_to_a_dialog_that_is_gone_gets_its_error_alone(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1)
        lost, kept = await asyncio.gather(store.put_send(OTHER, 1, mid(1)), store.put_send(DIALOG, 1, mid(2)))
        assert isinstance(lost.error, NotFound)
        assert kept.error is None
        assert kept.seq == 1


@pytest.mark.parametrize("poison", ["a\0b", "\ud800"])
async def test_a_poison_message_does_not_take_its_batch_with_it(database_url: str, poison: str) -> None:
    # Both doors refuse NUL and lone surrogates; should one come through, the writer must survive it.
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1)
        futures = [store.put_send(DIALOG, 1, mid(n), body=poison if n == 5 else "fine") for n in range(10)]
        sends = await asyncio.gather(*futures)
        good = [send for n, send in enumerate(sends) if n != 5]
        assert all(send.error is None for send in good)
        rows = await store.database.fetch(SEQS, DIALOG)
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        if sends[5].error is None:  # SQLite keeps a NUL
            assert len(rows) == 10
        else:
            assert len(rows) == 9


async def test_a_function_that_raises_undoes_its_own_work_only(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1)

        async def bad(tx: Any) -> Any:
            await tx.execute(ADD_DIALOG, OTHER)
            raise Forbidden

        async def good(tx: Any) -> Any:
            return await tx.value(HEAD, DIALOG)

        results = await asyncio.gather(
            store.writer.run(bad), store.writer.run(good), store.send(DIALOG, 1, mid(1)), return_exceptions=True
        )
        assert isinstance(results[0], Forbidden)
        assert results[1] in (0, 1)
        assert await store.database.row(HEAD, OTHER) is None
        assert tuple(await store.database.row(HEAD, DIALOG) or ()) == (1, 1)


async def test_a_function_sees_the_messages_queued_before_it(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1)
        for n in range(50):
            store.put_send(DIALOG, 1, mid(n))

        async def count(tx: Any) -> Any:
            return await tx.value(HEAD, DIALOG)

        assert await store.writer.run(count, dialog=DIALOG) == 50


async def test_close_commits_what_was_queued(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1)
        futures = [store.put_send(DIALOG, 1, mid(n)) for n in range(1000)]
    assert all(future.result().error is None for future in futures)


async def test_full_and_room_follow_the_queue(database_url: str) -> None:
    async with opened(database_url, capacity=10) as store:
        await store.dialog(DIALOG, 1)
        futures = [store.put_send(DIALOG, 1, mid(n)) for n in range(10)]
        assert store.writer.full
        await store.writer.room()
        assert store.writer.depth < 10
        await asyncio.gather(*futures)


async def test_two_writers_meeting_in_opposite_order_finish(postgres_server: PostgresServer) -> None:
    database_url = postgres_server.create_database()
    async with opened(database_url) as one, opened(database_url) as two:
        await one.dialog(DIALOG, 1, 2)
        await one.dialog(OTHER, 1, 2)
        both = []
        for n in range(300):
            both.append(one.put_send(DIALOG if n % 2 else OTHER, 1, mid(n)))
            both.append(two.put_send(OTHER if n % 2 else DIALOG, 2, mid(10_000 - n)))
        sends = await asyncio.gather(*both)
        assert all(send.error is None for send in sends)
        for dialog in (DIALOG, OTHER):
            rows = await one.database.fetch(SEQS, dialog)
            assert [row[0] for row in rows] == list(range(1, 301))


async def test_a_clock_that_goes_back_does_not_take_a_dialog_back(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1, 2)
        await store.send(DIALOG, 1, mid(1), created_at=200_000)
        await store.send(DIALOG, 2, mid(2), created_at=199_000)  # from a node whose clock is behind
        assert await store.database.value(UPDATED, DIALOG) == 200_000
        await asyncio.gather(
            store.put_send(DIALOG, 1, mid(3), created_at=202_000), store.put_send(DIALOG, 2, mid(4), created_at=201_000)
        )
        assert await store.database.value(UPDATED, DIALOG) == 202_000
