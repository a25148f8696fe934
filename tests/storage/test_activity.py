"""When users were last here, through restarts and crashes of nodes, on both databases."""

from __future__ import annotations

import asyncio

from tests.delivery.support import Fake
from tests.storage.support import Store, opened
from tests.storage.test_presence import Node
from voxcube.server.core.clock import ManualClock
from voxcube.server.features.presence.service import LEASE_SECONDS
from voxcube.server.storage import activity


async def last(store: Store, *users: int) -> dict[int, int]:
    return await activity.last_of(store.database, users)


async def test_coming_and_going_are_noted(database_url: str) -> None:
    async with opened(database_url) as store:
        clock = ManualClock()
        node = Node(store, clock, "one")
        written: list[set[int]] = []
        node.table.on_written = lambda users: written.append(set(users))
        await node.table.start()
        assert await last(store, 7, 8) == {}
        came = clock.now()
        first, second = Fake(7, resource="a"), Fake(7, resource="b")
        for session in (first, second, Fake(8)):
            node.sessions.add(session)
        clock.advance(5)  # what happened counts, not when it is written
        await node.table.flush(of=[9])
        assert await last(store, 7, 8) == {}
        await node.table.flush(of=[8])
        assert await last(store, 7, 8, 9) == {7: came, 8: came}
        node.sessions.remove(first)
        await node.table.flush()
        clock.advance(5)
        node.sessions.remove(second)
        left = clock.now()
        await node.table.flush()
        assert await last(store, 7) == {7: left}
        assert written == [{7, 8}, {7}]  # who came to the node, and who left it


async def test_a_node_that_dies_has_seen_its_users_until_its_lease_ran_out(database_url: str) -> None:
    async with opened(database_url) as store:
        clock = ManualClock()
        one, two = Node(store, clock, "one"), Node(store, clock, "two")
        for number, node in enumerate((one, two)):
            await node.table.start()
            node.sessions.add(Fake(7 + number))
            node.sessions.add(Fake(9))
            await node.table.flush()
        lease = clock.now() + LEASE_SECONDS
        clock.advance(1000)
        await one.table.renew()
        written: list[set[int]] = []
        one.table.on_written = lambda users: written.append(set(users))
        assert await one.table.forget_dead() == 2
        assert written == [{8, 9}]
        assert await last(store, 8, 9) == {8: lease, 9: lease}
        assert (await last(store, 7))[7] < lease  # still here
        clock.advance(10)
        restarted = Node(store, clock, "one")  # at once, before its lease has run out
        await restarted.table.start()
        assert await last(store, 7, 9) == {7: clock.now(), 9: clock.now()}
        restarted.sessions.add(Fake(7))
        await restarted.table.flush()
        clock.advance(3)
        await restarted.table.stop()
        assert await last(store, 7) == {7: clock.now()}


async def test_who_asks_waits_for_what_is_being_written(database_url: str) -> None:
    async with opened(database_url) as store:
        clock = ManualClock()
        node = Node(store, clock, "one")
        await node.table.start()
        node.sessions.add(Fake(7))
        writing = asyncio.create_task(node.table.flush())
        await asyncio.sleep(0)
        await node.table.flush(of=[7])
        assert await last(store, 7) == {7: clock.now()}
        await writing
