"""The order of what a room shows while default privacy lists must be read first, or cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

import pytest

from tests.delivery.support import Fake
from voxcube.server.features.rooms import presence
from voxcube.server.features.rooms.joined import Joined, Occupant
from voxcube.server.features.rooms.presence import RoomPresence

ROOM = "65a1b2c3d4e5f60718293a4b"
ANN, BOB, CYD = 1, 2, 3


class Lists:
    """Default lists: whom each user hides from; those that are not known must be read, which may fail."""

    def __init__(self) -> None:
        self.hides: set[tuple[int, int]] = set()
        self.known: set[int] = set()
        self.failures = 0
        self.loads = 0

    def knows(self, app_id: int, user_id: int) -> bool:
        return user_id in self.known

    def peek_hides_in_room(self, app_id: int, user_id: int, viewer_id: int, dialog_id: str) -> bool:
        return user_id not in self.known or (user_id, viewer_id) in self.hides

    async def load(self, app_id: int, users: Collection[int]) -> None:
        self.loads += 1
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        self.known |= set(users)


class Stage:
    def __init__(self) -> None:
        router: Any = SimpleNamespace(alone=True)
        self.lists = Lists()
        self.told: list[tuple[str, int, int]] = []  # (what, to whom, of whom)
        self.joined: Joined[Fake] = Joined(
            router, name="a", came=lambda room, one: self.room.joined(room, one), left=lambda *of: self.room.left(*of)
        )
        self.room: RoomPresence[Fake] = RoomPresence(self.joined, self.lists, show_joined=self._in, show_left=self._out)
        self.seats = {user: Fake(user) for user in (ANN, BOB, CYD)}

    def _in(self, room: str, occupant: Occupant, sessions: list[Fake]) -> None:
        self.told += [("in", session.user_id, occupant.user_id) for session in sessions]

    def _out(self, room: str, user: int, sessions: list[Fake]) -> None:
        self.told += [("out", session.user_id, user) for session in sessions]

    def enter(self, *users: int) -> None:
        for user in users:
            self.joined.enter(ROOM, self.seats[user], 2)

    def leave(self, user: int) -> None:
        self.joined.leave(ROOM, self.seats[user])

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not met():
                await asyncio.sleep(0.01)

    def of(self, viewer: int) -> list[tuple[str, int]]:
        return [(what, user) for what, to, user in self.told if to == viewer]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(presence, "AGAIN", 0.01)
    return Stage()


async def test_events_wait_for_lists_in_order(stage: Stage) -> None:
    stage.lists.failures = 3  # the database is away
    stage.lists.known = {CYD}
    stage.lists.hides = {(ANN, BOB)}
    stage.enter(CYD, BOB, ANN)
    assert stage.told == []
    stage.leave(ANN)
    stage.enter(ANN)
    await stage.until(lambda: stage.lists.failures == 0 and len(stage.of(CYD)) == 4)
    assert stage.of(CYD) == [("in", BOB), ("in", ANN), ("out", ANN), ("in", ANN)]
    assert stage.of(BOB) == []
    await stage.room.close()


async def test_who_blocks_and_leaves_at_once_has_left(stage: Stage) -> None:
    stage.lists.known = {ANN, BOB}
    stage.enter(BOB, ANN)
    stage.lists.hides, stage.lists.known = {(ANN, BOB)}, {BOB}
    stage.room.list_changed(1, ANN)
    stage.leave(ANN)
    await stage.until(lambda: len(stage.told) == 2)
    assert stage.of(BOB) == [("in", ANN), ("out", ANN)]
    stage.enter(ANN)
    stage.leave(ANN)
    assert stage.of(BOB) == [("in", ANN), ("out", ANN)]


async def test_events_missed_from_other_nodes(stage: Stage) -> None:
    stage.lists.known = {ANN, BOB, CYD}
    stage.enter(BOB, CYD, ANN)
    stage.lists.hides = {(ANN, BOB)}
    stage.told.clear()
    stage.room.resync()
    assert stage.told == [("out", BOB, ANN)]
    stage.room.resync()
    assert len(stage.told) == 1
    stage.lists.hides = set()
    stage.room.resync()
    assert stage.told[1:] == [("in", BOB, ANN)]


async def test_a_large_room_shows_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "CROWD", 1)
    stage.lists.known = {ANN, BOB, CYD}
    stage.lists.hides = {(ANN, BOB)}
    stage.enter(BOB, CYD, ANN)
    stage.leave(CYD)
    stage.leave(ANN)
    assert not {user for what, user in stage.of(BOB)} & {ANN}
