"""Transactions of two nodes that touch the same rows in every order: none waits for another in a circle."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg
from sqlalchemy import bindparam, select

from tests.storage.support import Store, opened
from tests.support.postgres import PostgresServer
from voxcube.server.core.errors import Conflict
from voxcube.server.storage import changes, erasing, membership
from voxcube.server.storage.database import Tx
from voxcube.server.storage.receipts import READ, HandOver
from voxcube.server.storage.schema import members
from voxcube.server.storage.sql import Query

DIALOGS = tuple(letter * 24 for letter in "abcdef")
HANDED = Query(
    select(members.c.handed).where(members.c.dialog_id == bindparam("dialog"), members.c.user_id == 1), "dialog"
)


def mid(number: int) -> str:
    return f"{number:024x}"


def hand_over(store: Store, dialog_id: str, user_id: int, seq: int) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    store.writer.put(HandOver(dialog_id, user_id, seq, future.set_result), dialog_id)
    return future


async def deadlocks(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        # Counted by each backend, and told to the statistics with a delay: those of the writers have ended by now.
        found = await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(found)
    finally:
        await connection.close()


async def test_no_deadlock_among_sends_markers_and_hand_overs_of_two_nodes(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    dice = random.Random(3)
    async with opened(url) as one, opened(url) as two:
        for dialog_id in DIALOGS:
            await one.dialog(dialog_id, 1, 2)
        # Few changes in a batch: many would meet at the dialogs' locks already.
        for turn in range(300):
            waiting: list[Any] = []
            for node, store in enumerate((one, two)):
                first, second = dice.sample(DIALOGS, 2)
                sender, show = dice.choice((1, 2)), dice.random() < 0.5
                number = mid(turn * 2 + node)
                waiting.append(store.put_send(first, sender, number, recipient_id=3 - sender, show_again=show))
                waiting.append(hand_over(store, second, dice.choice((1, 2)), turn + 1))
                waiting.append(store.mark(second, 1, READ, mid(dice.randrange(turn + 1))))
            done = await asyncio.gather(*waiting)
            assert all(item.error is None for item in done)
    assert await deadlocks(url) == 0


async def test_a_marker_of_a_stranger_locks_the_dialog_first(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    async with opened(url) as one, opened(url) as two:
        await one.dialog(DIALOGS[0], 1, 2)
        for number in range(100):
            send = await one.send(DIALOGS[0], 2, mid(number))
            gone = two.writer.run(lambda tx, seq=send.seq: changes.remove(tx, DIALOGS[0], [seq], 1))  # type: ignore[misc]
            await asyncio.gather(gone, *(one.mark(DIALOGS[0], user_id, READ, mid(number)) for user_id in (1, 9)))
    assert await deadlocks(url) == 0


async def test_the_same_ids_in_opposite_order_from_two_nodes(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    async with opened(url) as one, opened(url) as two:
        for dialog_id in DIALOGS[:2]:
            await one.dialog(dialog_id, 1, 2)
        here = [one.put_send(DIALOGS[0], 1, mid(n)) for n in range(400)]
        there = [two.put_send(DIALOGS[1], 2, mid(n)) for n in reversed(range(400))]
        sends = await asyncio.gather(*here, *there)
        # Each id belongs to exactly one of them.
        assert {type(send.error) for send in sends if send.error is not None} <= {Conflict}
        assert sorted(send.message_id for send in sends if send.error is None) == [mid(n) for n in range(400)]
    assert await deadlocks(url) == 0


async def test_what_was_handed_over_only_rises(database_url: str) -> None:
    async with opened(database_url) as store:
        await store.dialog(DIALOGS[0], 1, 2)
        for n in range(5):
            await store.send(DIALOGS[0], 2, mid(n))
        for given, kept in ((3, 3), (2, 3), (5, 5)):
            await hand_over(store, DIALOGS[0], 1, given)
            assert await store.database.value(HANDED, DIALOGS[0]) == kept
        # With the user's own message in the same batch.
        own, handed = store.put_send(DIALOGS[0], 1, mid(9)), hand_over(store, DIALOGS[0], 1, 4)
        await asyncio.gather(own, handed)
        assert await store.database.value(HANDED, DIALOGS[0]) == 6
        # Somebody who is no member has no row to write.
        assert (await hand_over(store, DIALOGS[0], 9, 1)).error is None


async def test_clearing_and_deleting_for_everyone_lock_all_members_in_one_order(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    async with opened(url) as one, opened(url) as two:
        for number in range(100):
            dialog_id = f"{number:024x}"
            await one.dialog(dialog_id, *range(1, 7))

            async def clear(tx: Tx, dialog_id: str = dialog_id) -> None:
                locked = await membership.lock(tx, 1, dialog_id, {6}, everybody=True)
                assert locked is not None
                await erasing.clear(tx, locked)
                await membership.save(tx, locked, 1)

            async def drop(tx: Tx, dialog_id: str = dialog_id) -> None:
                locked = await membership.lock(tx, 1, dialog_id, {6}, everybody=True)
                assert locked is not None
                await erasing.drop(tx, locked.dialog)

            for step in (clear, drop):
                away = [hand_over(two, dialog_id, user_id, number) for user_id in (2, 6)]
                await asyncio.gather(one.writer.run(step), *away)
    assert await deadlocks(url) == 0
