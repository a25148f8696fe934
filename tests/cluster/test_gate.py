"""The sequence gate: whatever comes, everything stored leaves once, in order, and nothing waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import virtual_time
from voxcube.server.cluster.gate import PATIENCE, Gate, Stream

S: Stream = ("65a1b2c3d4e5f60718293a4b", 0)
OTHER: Stream = ("65a1b2c3d4e5f60718293a4b", 7)


class Desk:
    """A gate with a store behind it."""

    def __init__(self, **options: Any) -> None:
        self.out: list[int] = []
        self.stored: set[int] = set()
        self.reads: list[tuple[int, int]] = []
        self.fail = 0  # reads that fail
        self.slow = 0.0
        self.gate: Gate[int] = Gate(self.out.append, self.read, **options)

    async def read(self, stream: Stream, low: int, high: int) -> dict[int, int]:
        self.reads.append((low, high))
        await asyncio.sleep(self.slow)
        if self.fail:
            self.fail -= 1
            raise ConnectionError
        return {seq: seq for seq in self.stored if low <= seq <= high}

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self.gate._gaps


async def test_in_order_nothing_waits() -> None:
    desk = Desk()
    desk.gate.start(S, 4)
    for seq in (5, 6, 7):
        desk.gate.offer(S, seq, seq)
    assert desk.out == [5, 6, 7]
    assert desk.empty


async def test_older_ones_and_repetitions_are_dropped() -> None:
    desk = Desk()
    desk.gate.start(S, 4)
    for seq in (4, 3, 5, 5, 4):
        desk.gate.offer(S, seq, seq)
    assert desk.out == [5]


async def test_what_has_no_number_comes_behind_the_one_that_it_is_about() -> None:
    desk = Desk()
    desk.gate.start(S, 4)
    for seq, parcel in ((4, 104), (6, 106), (5, 105)):
        desk.gate.follow(S, seq, parcel)
    assert desk.out == [104]
    desk.gate.offer(S, 6, 6)
    assert desk.out == [104]
    desk.gate.offer(S, 5, 5)
    assert desk.out == [104, 5, 6, 106, 105]
    assert desk.empty
    desk.gate.follow(OTHER, 9, 109)  # nobody listens: there is nothing to wait for
    assert desk.out[-1] == 109


async def test_what_is_waited_for_may_be_gone_already() -> None:
    desk = Desk(patience=0.0)
    desk.gate.start(S, 4)
    desk.gate.follow(S, 6, 106)
    while not desk.empty:
        await asyncio.sleep(0)
    assert desk.out == [106]
    assert desk.reads == [(5, 6)]


async def test_streams_nobody_listens_to_take_no_memory() -> None:
    desk = Desk()
    desk.gate.offer(S, 1, 1)
    desk.gate.hint(S, 9)
    assert desk.out == []
    assert desk.empty
    assert not desk.gate.knows(S)


async def test_starting_again_changes_nothing() -> None:
    desk = Desk()
    desk.gate.start(S, 0)
    desk.gate.offer(S, 1, 1)
    desk.gate.start(S, 0)
    desk.gate.offer(S, 1, 1)
    assert desk.out == [1]


def test_a_gap_that_closes_by_itself_is_not_read() -> None:
    async def story() -> None:
        desk = Desk()
        desk.gate.start(S, 0)
        for seq in (3, 2):
            desk.gate.offer(S, seq, seq)
        await asyncio.sleep(PATIENCE * 0.9)
        assert desk.out == []
        desk.gate.offer(S, 1, 1)
        assert desk.out == [1, 2, 3]
        await asyncio.sleep(PATIENCE * 5)
        assert desk.reads == []
        assert desk.empty

    virtual_time.run(story())


def test_a_gap_is_read_after_its_patience_and_what_is_gone_is_passed_over() -> None:
    async def story() -> None:
        desk = Desk()
        desk.stored = {1, 3, 4}  # 2 was deleted
        desk.gate.start(S, 0)
        desk.gate.offer(S, 4, 4)
        await asyncio.sleep(PATIENCE * 1.01)
        assert desk.out == [1, 3, 4]
        assert desk.empty
        desk.gate.offer(S, 2, 2)
        desk.gate.offer(S, 5, 5)
        assert desk.out == [1, 3, 4, 5]

    virtual_time.run(story())


def test_a_hint_finds_a_lost_tail() -> None:
    async def story() -> None:
        desk = Desk()
        desk.stored = {1, 2, 3}
        desk.gate.start(S, 0)
        desk.gate.offer(S, 1, 1)
        desk.gate.hint(S, 3)
        desk.gate.hint(S, 2)
        await asyncio.sleep(1)
        assert desk.out == [1, 2, 3]
        assert desk.reads == [(2, 3)]
        assert desk.empty

    virtual_time.run(story())


def test_what_comes_while_storage_is_read_waits_for_it() -> None:
    async def story() -> None:
        desk = Desk()
        desk.stored = {1, 2}
        desk.slow = 1.0
        desk.gate.start(S, 0)
        desk.gate.offer(S, 2, 2)
        await asyncio.sleep(0.5)
        for seq in (3, 1, 5, 4):
            desk.gate.offer(S, seq, seq)
        assert desk.out == []
        await asyncio.sleep(1)
        assert desk.out == [1, 2, 3, 4, 5]
        assert desk.empty

    virtual_time.run(story())


def test_a_storage_that_is_away_is_asked_again() -> None:
    async def story() -> None:
        desk = Desk()
        desk.stored = {1, 2}
        desk.fail = 3
        desk.gate.start(S, 0)
        desk.gate.offer(S, 2, 2)
        await asyncio.sleep(10)
        assert desk.out == [1, 2]
        assert len(desk.reads) == 4
        assert desk.empty

    virtual_time.run(story())


def test_a_large_gap_is_read_page_by_page_and_little_is_kept() -> None:
    async def story() -> None:
        desk = Desk(page=10, waiting=5)
        desk.stored = set(range(1, 101))
        desk.gate.start(S, 0)
        for seq in range(40, 101):
            desk.gate.offer(S, seq, seq)
        assert len(desk.gate._gaps[S].waiting) == 5
        await asyncio.sleep(1)
        assert desk.out == list(range(1, 101))
        assert all(high - low < 10 for low, high in desk.reads)
        assert desk.empty

    virtual_time.run(story())


def test_stopping_ends_what_waits_and_what_is_read() -> None:
    async def story() -> None:
        desk = Desk()
        desk.stored = {1, 2, 3}
        desk.slow = 1.0
        desk.gate.start(S, 0)
        desk.gate.start(OTHER, 0)
        desk.gate.offer(S, 3, 3)
        desk.gate.offer(OTHER, 3, 3)
        await asyncio.sleep(0.5)  # both are being read
        desk.gate.stop(S)
        assert not desk.gate.knows(S)
        desk.gate.start(S, 2)
        desk.gate.offer(S, 3, 103)
        await asyncio.sleep(2)
        assert desk.out == [103, 1, 2, 3]
        desk.gate.offer(OTHER, 5, 5)
        await asyncio.sleep(0.5)
        await desk.gate.close()
        assert desk.empty

    virtual_time.run(story())


async def test_a_receiver_that_fails_does_not_hold_up_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    out: list[int] = []

    def deliver(seq: int) -> None:
        if seq == 2:
            raise ValueError
        out.append(seq)

    async def read(stream: Stream, low: int, high: int) -> dict[int, int]:
        return {}

    gate = Gate(deliver, read)
    gate.start(S, 0)
    for seq in (3, 2, 1):
        gate.offer(S, seq, seq)
    assert out == [1, 3]
    assert "could not be delivered" in caplog.text
    await gate.close()


@st.composite
def stories(draw: st.DrawFn) -> tuple[int, int, list[tuple[str, int, float]], set[int], int]:
    """(first, last, acts, numbers gone from storage, failing reads); the acts are in any order, some never happen."""
    first = draw(st.integers(0, 5))
    last = first + draw(st.integers(1, 12))
    numbers = st.integers(first + 1, last)
    pauses = st.sampled_from((0.0, 0.0, 0.01, PATIENCE, 0.2))
    kinds = st.sampled_from(("offer", "offer", "offer", "hint"))
    acts = draw(st.lists(st.tuples(kinds, numbers, pauses), max_size=40))
    return first, last, acts, draw(st.sets(numbers, max_size=4)), draw(st.integers(0, 3))


@settings(max_examples=300, deadline=None)
@given(stories(), st.sampled_from((0.0, 0.03, 0.3)), st.integers(1, 4), st.integers(1, 4))
def test_any_interleaving(
    story: tuple[int, int, list[tuple[str, int, float]], set[int], int], slow: float, page: int, waiting: int
) -> None:
    """Offers, repetitions, losses, hints, slow and failing reads: all that is stored leaves once and in order."""
    first, last, acts, gone, fail = story

    async def run() -> None:
        desk = Desk(page=page, waiting=waiting)
        desk.slow, desk.fail = slow, fail
        desk.stored = set(range(first + 1, last + 1)) - gone
        desk.gate.start(S, first)
        for kind, seq, pause in acts:
            if kind == "offer":
                desk.gate.offer(S, seq, seq)
            else:
                desk.gate.hint(S, seq)
            gap = desk.gate._gaps.get(S)
            assert gap is None or len(gap.waiting) <= waiting + 1
            await asyncio.sleep(pause)
        await asyncio.sleep(60)
        assert desk.empty
        reached = max((seq for _, seq, _ in acts), default=first)
        offered = {seq for kind, seq, _ in acts if kind == "offer"}
        # What is gone from storage may still have come by the bus.
        assert desk.out == sorted(set(desk.out))
        assert set(desk.out) >= {seq for seq in desk.stored if seq <= reached}
        assert set(desk.out) <= desk.stored | offered
        desk.gate.offer(S, reached + 1, reached + 1)
        assert desk.out[-1] == reached + 1

    virtual_time.run(run())
