"""Who is online where, leases of nodes, and leases of jobs, on both databases."""

from __future__ import annotations

import asyncio

import pytest

from tests.delivery.support import Fake
from tests.storage.support import Store, opened
from voxcube.server.core.clock import ManualClock
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.features.presence.service import LEASE_SECONDS, OnlineTable
from voxcube.server.jobs import Jobs
from voxcube.server.storage import presence
from voxcube.server.storage.database import Tx


async def online(store: Store, user_id: int, clock: ManualClock) -> int:
    return await presence.sessions_of(store.database, user_id, clock.now())


class Node:
    """A node's sessions and its part of the table."""

    def __init__(self, store: Store, clock: ManualClock, name: str) -> None:
        self.sessions = Sessions()
        self.table = OnlineTable(self.sessions, store.writer, clock, name)
        self.sessions.on_change = self.table.changed


async def test_sessions_on_two_nodes_are_added_up(database_url: str) -> None:
    async with opened(database_url) as store:
        clock = ManualClock()
        one, two = Node(store, clock, "one"), Node(store, clock, "two")
        await one.table.start()
        await two.table.start()
        phone, laptop, other = Fake(7, resource="a"), Fake(7, resource="b"), Fake(8)
        for session in (phone, laptop, other):
            one.sessions.add(session)
        two.sessions.add(Fake(7, resource="c"))
        assert await online(store, 7, clock) == 0  # not written yet
        await one.table.flush()
        await two.table.flush()
        assert await online(store, 7, clock) == 3
        assert await online(store, 8, clock) == 1
        assert await online(store, 9, clock) == 0
        one.sessions.remove(phone)
        one.sessions.remove(other)
        await one.table.flush()
        assert await online(store, 7, clock) == 2
        assert await online(store, 8, clock) == 0
        await two.table.stop()
        assert await online(store, 7, clock) == 1


async def test_a_dead_node_counts_no_more_and_is_cleaned_away(database_url: str) -> None:
    async with opened(database_url) as store:
        clock = ManualClock()
        one, two = Node(store, clock, "one"), Node(store, clock, "two")
        for node in (one, two):
            await node.table.start()
            node.sessions.add(Fake(7))
            await node.table.flush()
        clock.advance(LEASE_SECONDS)
        await one.table.renew()
        assert await online(store, 7, clock) == 2  # to the last second of the lease
        clock.advance(1)
        assert await online(store, 7, clock) == 1
        assert await one.table.forget_dead() == 1
        assert await one.table.forget_dead() == 0
        # It comes back under its name: what it left at its end is gone, its lease is new.
        await two.table.start()
        assert await online(store, 7, clock) == 1
        await two.table.stop()
        await one.table.stop()
        assert await online(store, 7, clock) == 0


async def test_a_restarted_node_begins_with_nobody(database_url: str) -> None:
    async with opened(database_url) as store:
        clock = ManualClock()
        before = Node(store, clock, "one")
        await before.table.start()
        before.sessions.add(Fake(7))
        await before.table.flush()
        await Node(store, clock, "one").table.start()
        assert await online(store, 7, clock) == 0


async def test_what_could_not_be_written_is_written_later(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(database_url) as store:
        clock = ManualClock()
        node = Node(store, clock, "one")
        await node.table.start()
        node.sessions.add(Fake(7))

        async def away(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(presence, "show", away)
            with pytest.raises(ZeroDivisionError):
                await node.table.flush()
        await node.table.flush()
        assert await online(store, 7, clock) == 1


async def test_one_node_has_the_lease_of_a_job(database_url: str) -> None:
    async with opened(database_url) as store:

        async def take(node: str, now: int, until: int, job: str = "clean") -> bool:
            return await store.writer.run(lambda tx: presence.take_job(tx, job, node, now, until))

        assert await take("one", 100, 130)
        assert not await take("two", 100, 130)
        assert await take("two", 100, 130, "sweep")  # each job by itself
        assert await take("one", 120, 150)  # renewed
        assert not await take("two", 150, 180)  # to its last second
        assert await take("two", 151, 181)
        assert not await take("one", 160, 190)


async def test_nodes_that_reach_for_a_job_at_once(database_url: str) -> None:
    """Each with its own connections: at any moment one of them gets it."""
    async with opened(database_url) as one, opened(database_url) as two:

        async def take(store: Store, node: str, now: int) -> bool:
            async def work(tx: Tx) -> bool:
                return await presence.take_job(tx, "clean", node, now, now + 10)

            return await store.writer.run(work)

        for now in (100, 200, 300):
            got = await asyncio.gather(
                *(take(store, f"{store is one}{n}", now) for n in range(5) for store in (one, two))
            )
            assert sum(got) == 1


async def test_a_job_is_run_by_one_node_and_goes_on_when_that_one_ends(database_url: str) -> None:
    async with opened(database_url) as store:
        clock = ManualClock()
        runs: list[str] = []
        nodes = {name: Jobs(store.writer, clock, name) for name in ("one", "two")}

        async def work(name: str) -> None:
            runs.append(name)
            raise ValueError  # a failed run is no reason to stop

        for name, jobs in nodes.items():
            jobs.one_node("clean", 0.01, lambda name=name: work(name))  # type: ignore[misc]
        while len(runs) < 5:
            await asyncio.sleep(0.01)
        assert len(set(runs)) == 1
        first = runs[0]
        await nodes[first].close()
        runs.clear()
        await asyncio.sleep(0.1)
        assert runs == []  # its lease has not run out
        clock.advance(60)
        while len(runs) < 3:
            await asyncio.sleep(0.01)
        assert set(runs) == nodes.keys() - {first}
        for jobs in nodes.values():
            await jobs.close()
