"""The router: who gets which kind of parcel, alone and between nodes whose bus loses words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.delivery.support import Fake
from tests.support import virtual_time
from tests.support.bus import TestBus, Weather
from voxcube.server.cluster.bus import Bus
from voxcube.server.cluster.gate import Stream
from voxcube.server.cluster.local import LocalBus
from voxcube.server.delivery.listening import Position
from voxcube.server.delivery.router import (
    CHAT,
    COPY,
    DIGEST_SECONDS,
    GROUP,
    GROUP_OTHERS,
    OWN,
    Parcel,
    Router,
)
from voxcube.server.delivery.sessions import Sessions

GROUP_ID = "65a1b2c3d4e5f60718293a4b"
PRIVATE_ID = "65a1b2c3d4e5f60718293a4c"
MISSING = object()


@dataclass(frozen=True)
class Facts:
    """As `storage.cache.DialogFacts`."""

    type: int
    members: frozenset[int]


@dataclass
class World:
    """What the database holds: facts of dialogs, and parcels by stream and number."""

    facts: dict[str, Facts] = field(default_factory=dict)
    stored: dict[Stream, dict[int, Parcel]] = field(default_factory=dict)
    seconds: float = 0.0  # a read takes so long
    fail: int = 0  # reads that fail

    def group(self, dialog_id: str, *members: int, kind: int = 2) -> None:
        self.facts[dialog_id] = Facts(kind, frozenset(members))

    async def read(self) -> None:
        await asyncio.sleep(self.seconds)
        if self.fail:
            self.fail -= 1
            raise ConnectionError

    async def positions(self, users: Sequence[int]) -> Iterable[Position]:
        await self.read()
        rows = [
            Position(user, dialog_id, facts.type, max(self.stored.get((dialog_id, 0), {0: 0})), 0)
            for dialog_id, facts in self.facts.items()
            for user in users
            if user in facts.members and facts.type != 1
        ]
        private = [
            Position(user, dialog_id, 3, max(parcels), 0)
            for (dialog_id, user), parcels in self.stored.items()
            if user in users
        ]
        return rows + private


class Node:
    """A router with its sessions."""

    def __init__(self, world: World, bus: Bus, name: str = "n") -> None:
        self.world = world
        self.cached = dict(world.facts)
        self.cleared = 0
        self.sessions = Sessions()
        self.reads = 0
        self.router = Router(
            self.sessions,
            bus,
            name=name,
            members=lambda dialog_id: self.cached.get(dialog_id, MISSING),
            load_members=self._load,
            recover=self._recover,
            positions=world.positions,
            now_ms=lambda: 0,
            forgotten=self._forget,
            forget_all=self._clear,
        )

    async def come(self, *people: Fake) -> None:
        for person in people:
            await self.router.user_came(person.app_id, person.user_id)
            self.sessions.add(person)

    def go(self, person: Fake) -> None:
        self.sessions.remove(person)
        if not self.sessions.of(person.user_id):
            self.router.user_went(person.user_id)

    def store(self, text: str, to: int = 0, dialog_id: str = GROUP_ID, sender: int = 1) -> Parcel:
        """Stores a message and sends it: to a group, or to a user."""
        stream = (dialog_id, to)
        parcels = self.world.stored.setdefault(stream, {0: Parcel(CHAT, 1, 0, "", 0, b"", b"")})
        seq = max(parcels) + 1
        parcel = Parcel(CHAT if to else GROUP, 1, to or sender, dialog_id, seq, text.encode(), b"")
        parcels[seq] = parcel
        self.router.send(parcel)
        return parcel

    async def _load(self, app_id: int, dialog_id: str) -> Facts | None:
        await self.world.read()
        facts = self.cached[dialog_id] = self.world.facts[dialog_id]
        return facts

    async def _recover(self, stream: Stream, low: int, high: int) -> dict[int, Parcel]:
        self.reads += 1
        await self.world.read()
        return {seq: parcel for seq, parcel in self.world.stored[stream].items() if low <= seq <= high}

    def _forget(self, keys: tuple[Any, ...]) -> None:
        for key in keys:
            self.cached.pop(key[1], None)

    def _clear(self) -> None:
        self.cached.clear()
        self.cleared += 1


@contextlib.asynccontextmanager
async def two(world: World, weather: Weather | None = None) -> AsyncIterator[tuple[Node, Node, TestBus]]:
    wire = TestBus(weather)
    nodes = []
    for name in ("one", "two"):
        bus = wire.join()
        node = Node(world, bus, name)
        await bus.start(node.router)
        nodes.append(node)
    try:
        yield nodes[0], nodes[1], wire
    finally:
        for node in nodes:
            await node.router.close()


def parcel(kind: int, to: int, text: str, *, origin: bytes = b"", app_id: int = 1, dialog_id: str = "") -> Parcel:
    return Parcel(kind, app_id, to, dialog_id, 0, text.encode(), b"", origin)


# -- one node ----------------------------------------------------------------------------------------------------------


async def test_who_gets_what() -> None:
    world = World()
    world.group(GROUP_ID, 1, 2, 3)
    node = Node(world, LocalBus())
    phone, laptop = Fake(1, resource="a"), Fake(1, resource="b", carbons=True)
    bob, carol, dave = Fake(2), Fake(3), Fake(4)
    everybody = (phone, laptop, bob, carol, dave)
    await node.come(*everybody)

    def given(parcel: Parcel) -> list[Fake]:
        node.router.send(parcel)
        found = [person for person in everybody if person.got]
        for person in found:
            assert person.got == [parcel.head]
            person.got.clear()
        return found

    assert given(parcel(CHAT, 1, "chat")) == [phone, laptop]
    assert given(parcel(CHAT, 1, "another application's", app_id=2)) == []
    assert given(parcel(CHAT, 99, "nobody")) == []
    assert given(parcel(COPY, 1, "carbon", origin=phone.address)) == [laptop]
    assert given(parcel(COPY, 1, "carbon", origin=laptop.address)) == []
    assert given(parcel(OWN, 1, "own", origin=laptop.address)) == [phone]
    assert given(parcel(GROUP, 1, "group", dialog_id=GROUP_ID)) == [phone, laptop, bob, carol]
    assert given(parcel(GROUP_OTHERS, 1, "typing", dialog_id=GROUP_ID)) == [bob, carol]
    world.group(GROUP_ID, 1, kind=1)
    node.cached.clear()
    node.router.send(parcel(GROUP, 1, "broadcast", dialog_id=GROUP_ID))
    await asyncio.sleep(0.01)  # the facts had to be read
    assert [person for person in everybody if person.got] == list(everybody)
    assert phone.handing == []
    node.store("stored", to=2, dialog_id=PRIVATE_ID)
    assert bob.handing == [(PRIVATE_ID, 1)]
    await node.router.close()


async def test_a_node_that_is_alone_pays_nothing_for_others() -> None:
    world = World()
    world.group(GROUP_ID, 1)
    world.fail = 9  # nothing is read
    node = Node(world, LocalBus())
    alice = Fake(1)
    await node.come(alice)
    for number in range(3):
        node.store(str(number))
    node.router.remind(GROUP_ID, 0, 9)
    node.router.tell_forgotten((("dialog", GROUP_ID),))
    await node.router.beat()
    node.go(alice)
    assert alice.got == [b"0", b"1", b"2"]
    assert not node.router._bursts
    assert not node.router._gate._last
    assert not node.router._listening._users


async def test_parcels_wait_in_order_for_members_that_are_read() -> None:
    world = World(seconds=0.02)
    world.group(GROUP_ID, 1)
    node = Node(world, LocalBus())
    node.cached.clear()
    alice = Fake(1)
    await node.come(alice)
    for number in range(3):
        node.store(str(number))
        await asyncio.sleep(0.009)
    await asyncio.sleep(0.05)
    assert alice.got == [b"0", b"1", b"2"]
    node.cached.clear()
    world.fail = 1
    node.store("lost to the live stream")
    await asyncio.sleep(0.05)
    node.store("3")
    await asyncio.sleep(0.05)
    assert alice.got == [b"0", b"1", b"2", b"3"]
    assert not node.router._held
    await node.router.close()


# -- two nodes ---------------------------------------------------------------------------------------------------------


def test_a_lost_end_is_found_though_its_first_digests_are_lost_as_well() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            one.store("a")
            await asyncio.sleep(0.01)
            wire.cut = True
            for text in ("b", "c"):
                one.store(text)
            one.store("private", to=2, dialog_id=PRIVATE_ID)
            await asyncio.sleep(sum(DIGEST_SECONDS[:-1]) + 0.1)
            assert bob.got == [b"a"]
            wire.cut = False
            await asyncio.sleep(DIGEST_SECONDS[-1] + 0.1)
            assert sorted(bob.got) == [b"a", b"b", b"c", b"private"]
            assert bob.handing == [(PRIVATE_ID, 1)]
            assert alice.got == [b"a", b"b", b"c"]
            assert not one.router._bursts

    virtual_time.run(story())


def test_both_write_and_everybody_sees_one_order() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2, 3)
        async with two(world, Weather(delay=0.2, drop=0.2)) as (one, other, wire):
            people = [Fake(1), Fake(2), Fake(3), Fake(2, resource="b")]
            await one.come(people[0], people[3])
            await other.come(people[1], people[2])
            for number in range(300):
                node = (one, other)[number * 7 % 3 % 2]
                node.store(str(number), sender=1 if node is one else 2)
                await asyncio.sleep(0.003)
            wire.weather.drop = 0
            await asyncio.sleep(10)
            for person in people:
                assert person.got == [str(number).encode() for number in range(300)]
            assert wire.dropped > 20

    virtual_time.run(story())


def test_a_broadcast_reaches_the_whole_application_everywhere() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, kind=1)
        async with two(world) as (one, other, _):
            alice, bob, stranger = Fake(1), Fake(2), Fake(3, app_id=2)
            await one.come(alice)
            await other.come(bob, stranger)
            for text in ("a", "b"):
                one.store(text)
            await asyncio.sleep(1)
            assert alice.got == bob.got == [b"a", b"b"]
            other.go(bob)
            one.store("c")
            await asyncio.sleep(1)
            await other.come(bob)
            one.store("d")
            await asyncio.sleep(10)
            assert bob.got == [b"a", b"b", b"d"]  # what came meanwhile is in the history
            assert stranger.got == []

    virtual_time.run(story())


def test_a_lost_word_of_a_changed_fact_is_noticed() -> None:
    async def story() -> None:
        world = World()
        async with two(world) as (one, other, wire):
            bob = Fake(2)
            await other.come(bob)
            wire.cut = True
            world.group(GROUP_ID, 1, 2)
            one.router.tell_forgotten((("dialog", GROUP_ID), ("member", GROUP_ID, 1, 0), ("member", GROUP_ID, 2, 0)))
            one.store("nobody hears of this group")
            wire.cut = False
            await one.router.beat()
            await asyncio.sleep(2)
            assert other.cleared == 1
            one.store("now it is heard")
            await asyncio.sleep(1)
            assert bob.got == [b"nobody hears of this group", b"now it is heard"]
            await one.router.beat()
            await asyncio.sleep(2)
            assert other.cleared == 1

    virtual_time.run(story())


def test_what_was_published_before_the_new_member_s_node_listened_is_read() -> None:
    async def story() -> None:
        world = World()
        async with two(world, Weather(delay=0.1)) as (one, other, _):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            for start in (0, 3):  # a new group, and the same with an older one
                dialog_id = GROUP_ID if not start else PRIVATE_ID
                world.stored[(dialog_id, 0)] = {
                    seq: Parcel(GROUP, 1, 1, dialog_id, seq, b"old", b"") for seq in range(start + 1)
                }
                world.group(dialog_id, 1, 2)
                keys = (("dialog", dialog_id), ("member", dialog_id, 1, start), ("member", dialog_id, 2, start))
                one._forget(keys)
                one.router.tell_forgotten(keys)
                for text in ("a", "b"):
                    one.store(text, dialog_id=dialog_id)
                await asyncio.sleep(3)
                assert alice.got == bob.got == [b"a", b"b"]
                alice.got.clear()
                bob.got.clear()

    virtual_time.run(story())


def test_an_interruption_is_made_good_from_storage() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            one.store("known", to=2, dialog_id=PRIVATE_ID)
            await asyncio.sleep(1)
            wire.interrupt()
            for text in ("a", "b"):
                one.store(text)
                one.store(text, to=2, dialog_id=PRIVATE_ID)
            one.store("first", to=2, dialog_id="65a1b2c3d4e5f60718293a4d")
            one.router._bursts.clear()
            world.fail = 3  # and the database has not come back either
            wire.restore()
            await asyncio.sleep(10)
            assert sorted(bob.got) == [b"a", b"a", b"b", b"b", b"first", b"known"]
            assert [item for item in bob.handing if item[0] == PRIVATE_ID] == [(PRIVATE_ID, n) for n in (1, 2, 3)]

    virtual_time.run(story())


def test_a_word_for_somebody_else_in_the_same_slot_costs_no_read() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1)
        async with two(world) as (one, other, wire):
            await one.come(Fake(1))
            await other.come(Fake(2))
            other_bus = wire.nodes[1]
            other_bus.slots.update(range(4096))
            other.cached.clear()
            for text in ("a", "b", "c"):
                one.store(text)
                one.store(text, to=5, dialog_id=PRIVATE_ID)
                one.router.send(parcel(GROUP_OTHERS, 1, "typing", dialog_id=GROUP_ID))
            await asyncio.sleep(10)
            assert other.reads == 0
            assert other.cached == {}
            assert other.router._gate._last == {}

    virtual_time.run(story())


def test_words_of_a_large_group_are_small_and_words_not_understood_do_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        world = World()
        async with two(world) as (one, other, wire):
            bob = Fake(5000)
            await other.come(bob)
            world.group(GROUP_ID, *range(1, 5001))
            one.router.tell_forgotten((("dialog", GROUP_ID), *(("member", GROUP_ID, n, 0) for n in range(1, 5001))))
            assert wire.words == 6
            for payload in (b"", b"p", b"d\xff", b"k\x01", b"b", b"?"):
                other.router.published(payload)
                other.router.told(payload)
            one.store("hello")
            await asyncio.sleep(2)
            assert bob.got == [b"hello"]
            assert other.cleared == 0

    virtual_time.run(story())
    assert "not understood" in caplog.text


# -- who is here -------------------------------------------------------------------------------------------------------


def test_sessions_that_come_and_go_at_the_same_time() -> None:
    async def story() -> None:
        world = World(seconds=1.0)
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            bob, second = Fake(2), Fake(2, resource="b")
            coming = asyncio.create_task(other.come(bob))
            await asyncio.sleep(0.5)
            also = asyncio.create_task(other.come(second))
            await asyncio.sleep(0.1)
            coming.cancel()  # the first connection broke before it was ready
            other.router.user_went(2)
            await also
            one.store("for the second")
            await asyncio.sleep(5)
            assert second.got == [b"for the second"]
            assert bob.got == []
            other.go(second)
            await asyncio.sleep(5)
            assert wire.nodes[1].slots == set()
            assert other.router._gate._last == {}
            assert not other.router._listening._slots

    virtual_time.run(story())


def test_a_session_whose_positions_cannot_be_read_is_told_so() -> None:
    async def story() -> None:
        world = World(fail=1)
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            bob = Fake(2)
            with pytest.raises(ConnectionError):
                await other.come(bob)
            await asyncio.sleep(1)
            assert wire.nodes[1].slots == set()
            await other.come(bob)
            one.store("now")
            await asyncio.sleep(1)
            assert bob.got == [b"now"]

    virtual_time.run(story())
