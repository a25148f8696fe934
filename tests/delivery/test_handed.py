"""What was handed over: kept in memory, written lazily, never twice at once, and never lowered in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import bindparam, select

from tests.storage.support import opened
from voxcube.server.delivery.handed import Handed, Key
from voxcube.server.features.messages.queue import MessageQueue
from voxcube.server.storage.schema import members
from voxcube.server.storage.sql import Query

DIALOG = "65a1b2c3d4e5f60718293a4b"
HANDED = Query(
    select(members.c.handed).where(members.c.dialog_id == bindparam("dialog"), members.c.user_id == bindparam("user")),
    *("dialog", "user"),
)


class Desk:
    """A `Handed` whose writes are finished by the test."""

    def __init__(self) -> None:
        self.writes: list[tuple[Key, int]] = []
        self.done: list[Callable[[bool], None]] = []
        self.handed = Handed(self._write)

    def _write(self, key: Key, seq: int, done: Callable[[bool], None]) -> None:
        self.writes.append((key, seq))
        self.done.append(done)


def test_only_the_highest_is_written_and_then_forgotten() -> None:
    desk = Desk()
    for seq in (3, 5, 4):
        desk.handed.note(DIALOG, 7, seq)
    assert desk.handed.get(DIALOG, 7) == 5
    assert desk.handed.get(DIALOG, 8) == 0
    desk.handed.flush()
    assert desk.writes == [((DIALOG, 7), 5)]
    assert desk.handed.get(DIALOG, 7) == 5  # until it is committed
    desk.done.pop()(True)
    assert desk.handed.get(DIALOG, 7) == 0
    desk.handed.flush()
    assert len(desk.writes) == 1


def test_what_could_not_be_written_is_kept_and_written_again() -> None:
    desk = Desk()
    desk.handed.note(DIALOG, 7, 5)
    desk.handed.flush()
    desk.done.pop()(False)
    assert desk.handed.get(DIALOG, 7) == 5
    desk.handed.flush()
    assert desk.writes == [((DIALOG, 7), 5)] * 2


def test_what_comes_during_a_write_is_written_after_it() -> None:
    desk = Desk()
    desk.handed.note(DIALOG, 7, 1)
    desk.handed.flush()
    desk.handed.note(DIALOG, 7, 2)
    desk.handed.flush()
    assert desk.writes == [((DIALOG, 7), 1)]
    desk.done.pop()(True)
    assert desk.handed.get(DIALOG, 7) == 2
    desk.handed.flush()
    assert desk.writes == [((DIALOG, 7), 1), ((DIALOG, 7), 2)]
    desk.done.pop()(True)
    assert desk.handed.get(DIALOG, 7) == 0


async def test_two_nodes_only_raise_the_row(database_url: str) -> None:
    async with opened(database_url) as one, opened(database_url) as two:
        await one.dialog(DIALOG, 7, 8)
        here, there = (Handed(MessageQueue(store.writer).hand_over) for store in (one, two))
        here.note(DIALOG, 7, 9)
        here.flush()
        await one.writer.idle()
        there.note(DIALOG, 7, 4)
        there.note(DIALOG, 8, 2)
        there.flush()
        await two.writer.idle()
        await asyncio.sleep(0)
        assert await one.database.value(HANDED, DIALOG, 7) == 9
        assert await one.database.value(HANDED, DIALOG, 8) == 2
        assert here.get(DIALOG, 7) == there.get(DIALOG, 7) == 0
