"""Who has joined which room, on three nodes whose bus loses, delays and reorders words, and that die and come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery.support import Fake, Node, World
from tests.support import virtual_time
from tests.support.bus import TestBus, Weather
from voxcube.server.features.rooms.joined import AGAIN, SILENCE, Joined, Occupant

ROOMS = ("65a1b2c3d4e5f60718293a4b", "65a1b2c3d4e5f60718293a4c")
USERS = (1, 2, 3, 4)
WHO = (st.integers(0, 2), st.sampled_from(ROOMS), st.sampled_from(USERS))
ACTS = st.one_of(
    st.tuples(st.just("enter"), *WHO),
    st.tuples(st.just("enter"), *WHO),
    st.tuples(st.just("leave"), *WHO),
    st.tuples(st.just("remove"), *WHO),
    st.tuples(st.just("wait"), st.sampled_from((0.005, 0.05, 1.0, SILENCE + 2))),
    st.tuples(st.just("cut")),
    st.tuples(st.just("restore")),
)


class Place:
    """A node, and what it was told of its rooms."""

    def __init__(self, node: Node, name: str) -> None:
        self.node = node
        self.shown: dict[str, set[int]] = {room: set() for room in ROOMS}
        self.joined: Joined[Fake] = Joined(node.router, name=name, came=self._came, left=self._left)
        self.seats = {(room, user): Fake(user, resource=name) for room in ROOMS for user in USERS}
        self._forget_all = node.router._forget_all
        node.router._forget_all = self._doubt

    def _doubt(self) -> None:
        self._forget_all()
        self.joined.doubt()

    def _came(self, room: str, occupant: Occupant) -> None:
        assert occupant.user_id not in self.shown[room], "told twice"
        self.shown[room].add(occupant.user_id)

    def _left(self, room: str, user: int) -> None:
        assert user in self.shown[room], "left without having come"
        self.shown[room].discard(user)

    def enter(self, room: str, user: int) -> None:
        if not self.joined.is_open(room):
            self.shown[room].clear()  # nobody here was shown anything
        self.joined.enter(room, self.seats[room, user], user)

    def leave(self, room: str, user: int) -> None:
        self.joined.leave(room, self.seats[room, user])

    def remove(self, room: str, user: int) -> None:
        joined = self.joined.has_joined(room, self.seats[room, user])
        assert self.joined.remove(room, user) == ([self.seats[room, user]] if joined else [])

    def inside(self, room: str) -> set[int]:
        return {user for user in USERS if self.joined.has_joined(room, self.seats[room, user])}

    async def beat(self) -> None:
        while True:
            await self.node.router.beat()
            await self.joined.look()
            await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def places(
    weather: Weather, count: int = 3
) -> AsyncIterator[tuple[TestBus, list[Place], list[asyncio.Task[None]]]]:
    wire = TestBus(weather)
    found = []
    for number in range(count):
        bus = wire.join()
        node = Node(World(), bus, f"n{number}")
        await bus.start(node.router)
        found.append(Place(node, f"n{number}"))
    beats = [asyncio.create_task(place.beat()) for place in found]
    try:
        yield wire, found, beats
    finally:
        for beat in beats:
            beat.cancel()
        await asyncio.gather(*beats, return_exceptions=True)
        for place in found:
            await place.joined.close()
            await place.node.router.close()


async def agree(wire: TestBus, found: list[Place]) -> None:
    """The weather clears up: soon everybody knows and was shown who is there, each once."""
    wire.weather.drop = 0.0
    if wire.cut:
        wire.restore()
    await asyncio.sleep(sum(AGAIN) + 3)
    for room in ROOMS:
        everybody = set[int]().union(*(place.inside(room) for place in found))
        for place in found:
            if place.joined.is_open(room):
                assert {occupant.user_id for occupant in place.joined.occupants(room)} == everybody
                assert place.shown[room] == everybody
                assert all(occupant.standing == occupant.user_id for occupant in place.joined.occupants(room))


@settings(max_examples=100, deadline=None)
@given(st.lists(ACTS, min_size=4, max_size=50), st.sampled_from((0.0, 0.03, 0.3)), st.sampled_from((0.0, 0.4)))
def test_any_story(acts: list[tuple[Any, ...]], delay: float, drop: float) -> None:
    async def story() -> None:
        async with places(Weather(delay, drop)) as (wire, found, _):
            for kind, *rest in acts:
                if kind == "wait":
                    await asyncio.sleep(rest[0])
                elif kind == "cut":
                    wire.interrupt()
                elif kind == "restore":
                    if wire.cut:
                        wire.restore()
                else:
                    place, room, user = rest
                    getattr(found[place], kind)(room, user)
            await agree(wire, found)
            for place in found:
                for room in ROOMS:
                    for user in USERS:
                        place.leave(room, user)
            await asyncio.sleep(sum(AGAIN) + 1)
            for place in found:
                assert not place.node.router._listening._slots
                assert not place.joined._timers

    virtual_time.run(story())


def test_a_node_that_dies_and_one_that_was_only_silent() -> None:
    async def story() -> None:
        async with places(Weather(), 2) as (wire, (one, other), beats):
            one.enter(ROOMS[0], 1)
            other.enter(ROOMS[0], 2)
            await asyncio.sleep(0.1)
            assert one.shown[ROOMS[0]] == other.shown[ROOMS[0]] == {1, 2}
            wire.nodes[1].listener, listener = None, wire.nodes[1].listener  # it hears nothing, and is not heard
            wire.cut = True
            await asyncio.sleep(SILENCE + 2)
            assert one.shown[ROOMS[0]] == {1}
            assert other.shown[ROOMS[0]] == {2}
            wire.nodes[1].listener = listener
            wire.cut = False
            await asyncio.sleep(2)
            assert one.shown[ROOMS[0]] == other.shown[ROOMS[0]] == {1, 2}
            beats[1].cancel()
            await asyncio.sleep(sum(AGAIN) + SILENCE + 2)
            assert one.shown[ROOMS[0]] == {1}

    virtual_time.run(story())


def test_a_crowd_is_few_words() -> None:
    """A thousand users join on one node at once: the other one hears of them in a few words."""

    async def story() -> None:
        async with places(Weather(), 2) as (wire, (one, other), _):
            other.enter(ROOMS[0], 2)
            await asyncio.sleep(10)
            before = wire.words
            for user in range(1000, 2000):
                one.joined.enter(ROOMS[0], Fake(user), 0)
            await asyncio.sleep(10)
            assert other.joined.count(ROOMS[0]) == 1001
            assert wire.words - before < 40  # 20 of them are beats

    virtual_time.run(story())
