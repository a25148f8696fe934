"""Rounds of the keep-alive: everybody has a turn, silence is counted in rounds."""

import asyncio
from collections import Counter

import pytest

from voxcube.server.c2s.keepalive import KeepAlive


class Fake:
    def __init__(self, turn: int, seen: Counter[str]) -> None:
        self.turn = turn
        self._seen = seen

    def ask(self) -> None:
        self._seen["asked"] += 1

    def look(self) -> None:
        self._seen[f"looked at {self.turn}"] += 1


@pytest.mark.parametrize("seconds", [1, 7, 45, 300])
def test_everybody_once_in_a_round(seconds: int) -> None:
    seen: Counter[str] = Counter()
    keep_alive = KeepAlive([Fake(turn, seen) for turn in range(256)], seconds)

    async def round_() -> int:
        most = 0
        for _ in range(seconds):
            before = seen.total()
            await keep_alive.turn()
            most = max(most, seen.total() - before - 256)
        return most

    most = asyncio.run(round_())
    assert seen.pop("asked") == 256 * seconds
    assert set(seen.values()) == {1}
    assert len(seen) == 256
    assert most <= 256 / min(seconds, 256) + 1  # a part of them each second


def test_nobody_is_pinged() -> None:
    seen: Counter[str] = Counter()
    asyncio.run(KeepAlive([Fake(0, seen)], 0).turn())
    assert seen == {"asked": 1}
