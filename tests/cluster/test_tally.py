"""The tally: a lost word that was told to everybody is noticed, a late one is not taken for lost."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import virtual_time
from voxcube.server.cluster.tally import PATIENCE, Tally


class Ear:
    """Counts the reports of losses."""

    def __init__(self) -> None:
        self.losses = 0
        self.tally = Tally(self._lost)

    def _lost(self) -> None:
        self.losses += 1


def test_words_that_overtake_each_other_are_no_loss() -> None:
    async def story() -> None:
        ear = Ear()
        ear.tally.claimed("a", 0)
        for number in (2, 3, 1):
            ear.tally.heard("a", number)
        ear.tally.claimed("a", 4)  # the beat was faster than the word
        ear.tally.heard("a", 4)
        await asyncio.sleep(10)
        assert ear.losses == 0

    virtual_time.run(story())


def test_a_missing_word_in_the_middle_and_at_the_end() -> None:
    async def story() -> None:
        ear = Ear()
        ear.tally.heard("a", 1)
        ear.tally.heard("a", 3)
        await asyncio.sleep(PATIENCE * 0.9)
        assert ear.losses == 0
        await asyncio.sleep(PATIENCE)
        assert ear.losses == 1
        ear.tally.claimed("a", 5)
        await asyncio.sleep(PATIENCE * 2)
        assert ear.losses == 2
        ear.tally.claimed("a", 5)
        ear.tally.heard("a", 6)
        await asyncio.sleep(10)
        assert ear.losses == 2

    virtual_time.run(story())


def test_a_node_that_comes_late_reads_anew_once_for_each_that_told_before() -> None:
    async def story() -> None:
        ear = Ear()
        ear.tally.claimed("a", 7)
        ear.tally.claimed("b", 0)
        await asyncio.sleep(PATIENCE * 3)
        assert ear.losses == 1
        ear.tally.close()

    virtual_time.run(story())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 12), st.sets(st.integers(1, 12)), st.randoms(use_true_random=False))
def test_losses_are_reported_exactly_when_there_are_any(told: int, lost: set[int], random: object) -> None:
    async def story() -> None:
        ear = Ear()
        numbers = [number for number in range(1, told + 1) if number not in lost]
        random.shuffle(numbers)  # type: ignore[attr-defined]
        for number in numbers:
            ear.tally.heard("a", number)
            await asyncio.sleep(PATIENCE / 20)
        for _ in range(5):
            ear.tally.claimed("a", told)
            await asyncio.sleep(1)
        missing = {number for number in lost if number <= told}
        assert (ear.losses > 0) == bool(missing)
        assert ear.losses <= len(missing)

    virtual_time.run(story())
