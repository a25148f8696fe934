"""Any story of two nodes: messages, sessions that come and go, new groups, lost words, interruptions, slow storage."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery.support import Fake, Node, World, two
from tests.support import virtual_time
from tests.support.bus import TestBus, Weather
from voxcube.server.cluster.gate import Stream

USERS = (1, 2, 3)
NODES = st.integers(0, 1)
ACTS = st.one_of(
    st.tuples(st.just("group"), NODES),
    st.tuples(st.just("group message"), NODES, st.integers(0, 9)),
    st.tuples(st.just("group message"), NODES, st.integers(0, 9)),
    st.tuples(st.just("private"), NODES, st.sampled_from(USERS), st.integers(0, 1)),
    st.tuples(st.just("come"), NODES, st.sampled_from(USERS)),
    st.tuples(st.just("go"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.sampled_from((0.01, 0.1, 1.0))),
    st.tuples(st.just("cut")),
    st.tuples(st.just("restore")),
    st.tuples(st.just("fail"), st.integers(1, 2)),
)


class Seat(Fake):
    """A session that knows what it must be given."""

    def __init__(self, node: Node, user_id: int, number: int) -> None:
        super().__init__(user_id, resource=str(number))
        self.node = node
        self.since: dict[Stream, int] = {}  # how far each of the user's streams was when it came

    def streams(self) -> dict[Stream, list[int]]:
        found: dict[Stream, list[int]] = defaultdict(list)
        for text in self.got:
            dialog_id, user_id, seq = text.decode().split()
            found[dialog_id, int(user_id)].append(int(seq))
        return found


class Story:
    """Plays acts and checks what everybody was given."""

    def __init__(self, world: World, nodes: tuple[Node, Node], wire: TestBus) -> None:
        self.world = world
        self.nodes = nodes
        self.wire = wire
        self.groups: list[str] = []
        self.seats: list[Seat] = []
        self.came = 0
        self.told = True  # every node has heard of all groups

    async def play(self, act: tuple[Any, ...]) -> None:
        kind, *rest = act
        await getattr(self, kind.replace(" ", "_"))(*rest)

    async def group(self, node: int) -> None:
        dialog_id = f"{len(self.groups):024x}"
        self.groups.append(dialog_id)
        self.told = self.told and not self.wire.cut and not self.wire.weather.drop
        self.world.group(dialog_id, *USERS)
        self.nodes[node].router.tell_forgotten((("dialog", dialog_id), *(("member", dialog_id, u, 0) for u in USERS)))

    async def group_message(self, node: int, which: int) -> None:
        if self.groups:
            self._store(node, self.groups[which % len(self.groups)], 0)

    async def private(self, node: int, user_id: int, which: int) -> None:
        self._store(node, f"{0xA0 + which:024x}", user_id)

    def _store(self, node: int, dialog_id: str, to: int) -> None:
        seq = self.last((dialog_id, to)) + 1
        # Whoever writes to a group has a session at that node or none at all (REST).
        self.nodes[node].store(f"{dialog_id} {to} {seq}", to=to, dialog_id=dialog_id, sender=99)

    async def come(self, node: int, user_id: int) -> None:
        if not self.told:
            # Where the word of a group was lost, who comes next makes the node listen to it from there on, for those
            # as well who were there before: what they missed is in the history, and is not looked for here.
            await self.clear_up(3)
        self.came += 1
        seat = Seat(self.nodes[node], user_id, self.came)
        try:
            await self.nodes[node].come(seat)
        except ConnectionError:
            return
        seat.since = {stream: self.last(stream) for stream in self.world.stored}
        self.seats.append(seat)

    async def go(self, which: int) -> None:
        if self.seats:
            seat = self.seats.pop(which % len(self.seats))
            self.check(seat)
            seat.node.go(seat)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def cut(self) -> None:
        self.wire.interrupt()

    async def restore(self) -> None:
        if self.wire.cut:
            self.wire.restore()

    async def fail(self, times: int) -> None:
        self.world.fail += times

    async def clear_up(self, seconds: int) -> None:
        """For so long every word arrives."""
        drop, self.wire.weather.drop = self.wire.weather.drop, 0.0
        await self.restore()
        for _ in range(seconds):
            for node in self.nodes:
                await node.router.beat()
            await asyncio.sleep(1)
        self.wire.weather.drop = drop
        self.told = True

    def last(self, stream: Stream) -> int:
        return max(self.world.stored.get(stream, {0: None}))

    def check(self, seat: Seat) -> None:
        """Nothing twice, nothing out of order, nothing left out on the way."""
        for stream, got in seat.streams().items():
            assert got == sorted(set(got)), (stream, got)
            since = seat.since.get(stream, 0)  # what was under way when it came, it may be given as well
            due = [seq for seq in got if seq > since]
            assert due == list(range(since + 1, since + 1 + len(due))), (stream, got)

    async def end(self) -> None:
        """The weather clears up, everybody is quiet: now all is there."""
        self.world.fail = 0
        await self.clear_up(15)
        for seat in self.seats:
            self.check(seat)
            streams = seat.streams()
            for stream in self.world.stored:
                if stream[1] in (0, seat.user_id) and self.last(stream) > seat.since.get(stream, 0):
                    assert streams[stream][-1] == self.last(stream), (stream, streams[stream])
        for seat in self.seats:
            seat.node.go(seat)
        await asyncio.sleep(1)
        for node in self.nodes:
            router = node.router
            assert not router._gate._last
            assert not router._gate._gaps
            assert not router._again._bursts
            assert not router._listening._slots
            assert not router._listening._groups


@settings(max_examples=120, deadline=None)
@given(
    st.lists(ACTS, min_size=4, max_size=60),
    st.sampled_from((0.0, 0.03, 0.3)),
    st.sampled_from((0.0, 0.3)),
    st.sampled_from((0.0, 0.05)),
)
def test_any_story(acts: list[tuple[Any, ...]], delay: float, drop: float, seconds: float) -> None:
    async def story() -> None:
        world = World(seconds=seconds)
        async with two(world, Weather(delay, drop)) as (one, other, wire):
            told = Story(world, (one, other), wire)
            for act in acts:
                await told.play(act)
            await told.end()

    virtual_time.run(story())
