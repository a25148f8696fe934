"""What this node listens to on the bus: the slots and streams of the users with a session here.

A stream is listened to from the number that the dialog had when the listening began; from there on the gate misses
nothing. On a node that is alone none of this is used.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from voxcube.server.cluster.bus import Bus, app_slot, dialog_slot, user_slot
from voxcube.server.cluster.gate import AGAIN, Gate, Stream

log = logging.getLogger(__name__)

PRIVATE = 3
CHUNK = 200  # users looked up at once after an interruption
NEW_MS = 60_000  # how far the clocks of nodes may differ


class Position(NamedTuple):
    """How far a dialog of a user is."""

    user_id: int
    dialog_id: str
    type: int
    seq: int
    created_at: int  # ms, of the dialog
    changes: int = 0  # of its messages, so far


Positions = Callable[[Sequence[int]], Awaitable[Iterable[Position]]]


class _Present:
    """A user with a session here."""

    __slots__ = ("app_id", "came_at", "ready", "slots", "streams")

    def __init__(self, app_id: int, came_at: int) -> None:
        self.app_id = app_id
        self.came_at = came_at
        self.streams: set[Stream] = set()
        self.slots: list[int] = []
        self.ready: asyncio.Task[None] | None = None


class Listening:
    """Follows the users of this node."""

    def __init__(
        self, bus: Bus, gate: Gate[Any], changes: Gate[Any], positions: Positions, now_ms: Callable[[], int]
    ) -> None:
        """`gate` orders messages, `changes` what changes them. `positions(users)` gives all dialogs that these users
        have a row in."""
        self._bus = bus
        self._gate = gate
        self._changes = changes
        self._positions = positions
        self._now_ms = now_ms
        self._users: dict[int, _Present] = {}
        self._slots: Counter[int] = Counter()  # slot → reasons to hear it
        self._groups: Counter[Stream] = Counter()  # stream of a group → users here
        self._apps: Counter[int] = Counter()  # application → users here
        self._broadcasts: dict[int, set[Stream]] = {}  # application → streams that were met since its users are here
        self._tasks: set[asyncio.Task[None]] = set()
        self._again = False
        self._catching_up: asyncio.Task[None] | None = None

    # -- users -----------------------------------------------------------------------------------------------------

    async def came(self, app_id: int, user_id: int) -> None:
        """Listens to what concerns a user; returns when nothing that is stored from now on can be missed."""
        while True:
            present = self._users.get(user_id)
            if present is None:
                present = self._users[user_id] = _Present(app_id, self._now_ms())
                self._apps[app_id] += 1
                present.ready = asyncio.create_task(self._begin(user_id, present))
                present.ready.add_done_callback(_noticed)
            assert present.ready is not None
            await asyncio.shield(present.ready)
            if self._users.get(user_id) is present:  # else another session of the user has ended meanwhile
                return

    def went(self, user_id: int) -> None:
        """The last session of a user here has ended."""
        present = self._users.get(user_id)
        if present is not None:
            self._ended(user_id, present)

    def _ended(self, user_id: int, present: _Present) -> None:
        self._release(present)
        if self._users.get(user_id) is not present:
            return
        del self._users[user_id]
        self._apps[present.app_id] -= 1
        if not self._apps[present.app_id]:
            del self._apps[present.app_id]
            for stream in self._broadcasts.pop(present.app_id, ()):
                self._stop(stream)

    def knows(self, user_id: int) -> bool:
        """Whether all that concerns the user is listened to: its dialogs of before are known."""
        present = self._users.get(user_id)
        return present is not None and present.ready is not None and present.ready.done()

    async def _begin(self, user_id: int, present: _Present) -> None:
        heard: set[str] = set()
        new = True
        try:
            self._hear(present, user_slot(user_id))
            self._hear(present, app_slot(present.app_id))
            while new:  # what was stored before a slot was heard is to be below the position
                new = False
                await self._bus.ready()
                rows = list(await self._positions((user_id,)))
                for row in rows:
                    if row.type != PRIVATE and row.dialog_id not in heard:
                        heard.add(row.dialog_id)
                        new |= self._hear(present, dialog_slot(row.dialog_id))
        except BaseException:
            self._ended(user_id, present)
            raise
        if self._users.get(user_id) is present:
            for row in rows:
                self._listen(present, _stream(row), row.seq, row.changes)
        else:
            self._release(present)

    def _release(self, present: _Present) -> None:
        slots, present.slots = present.slots, []
        for slot in slots:
            self.unhear(slot)
        streams, present.streams = present.streams, set()
        for stream in streams:
            if not stream[1]:
                self._groups[stream] -= 1
                if self._groups[stream]:
                    continue
                del self._groups[stream]
            self._stop(stream)

    def _stop(self, stream: Stream) -> None:
        self._gate.stop(stream)
        self._changes.stop(stream)

    def _hear(self, present: _Present, slot: int) -> bool:
        """Whether the slot was not heard before."""
        present.slots.append(slot)
        return self.hear(slot)

    def hear(self, slot: int) -> bool:
        """One more reason to hear a slot; whether it was not heard before."""
        self._slots[slot] += 1
        if self._slots[slot] > 1:
            return False
        self._bus.subscribe(slot)
        return True

    def unhear(self, slot: int) -> None:
        """One reason less."""
        self._slots[slot] -= 1
        if not self._slots[slot]:
            del self._slots[slot]
            self._bus.unsubscribe(slot)

    def _listen(self, present: _Present, stream: Stream, seq: int, changes: int | None = None) -> bool:
        """Whether nobody here listened to the stream before."""
        if stream in present.streams:
            return False
        present.streams.add(stream)
        if not stream[1]:
            self._groups[stream] += 1
        if self._gate.knows(stream):
            return False
        self._gate.start(stream, seq)
        if changes is not None:
            self._changes.start(stream, changes)
        return True

    # -- dialogs ---------------------------------------------------------------------------------------------------

    def began(self, user_id: int, dialog_id: str) -> None:
        """A private dialog of the user that is younger than its coming here."""
        if self.knows(user_id):
            self._listen(self._users[user_id], (dialog_id, user_id), 0, 0)

    def joined(self, user_id: int, dialog_id: str, seq: int) -> None:
        """A user became a member of a dialog that had `seq` messages then."""
        present = self._users.get(user_id)
        if present is None or (dialog_id, 0) in present.streams:
            return
        self._hear(present, dialog_slot(dialog_id))
        if self._listen(present, (dialog_id, 0), seq):
            # What was published between the commit and this moment is read.
            self._start(self._look(user_id))

    async def _look(self, user_id: int) -> None:
        await self._bus.ready()
        for row in await self._read((user_id,)):
            stream = _stream(row)
            if self._gate.knows(stream):
                self._changes.start(stream, row.changes)
            self._gate.hint(stream, row.seq)

    def met(self, app_id: int, dialog_id: str, seq: int) -> None:
        """A broadcast dialog with `seq` messages: everybody in the application listens to it from now on."""
        stream = (dialog_id, 0)
        if app_id in self._apps and not self._gate.knows(stream):
            self._broadcasts.setdefault(app_id, set()).add(stream)
            self._gate.start(stream, seq)

    # -- after an interruption -------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Looks in storage for all that the users here may have missed."""
        self._again = True
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = self._start(self._catch_up())

    async def _catch_up(self) -> None:
        while self._again:
            self._again = False
            users = list(self._users)
            for start in range(0, len(users), CHUNK):
                for row in await self._read(users[start : start + CHUNK]):
                    self._compare(row)

    async def _read(self, users: Sequence[int]) -> Iterable[Position]:
        """Tries until it works."""
        while True:
            try:
                return await self._positions(users)
            except Exception as error:
                log.warning("positions of dialogs could not be read: %s", type(error).__name__)
                await asyncio.sleep(AGAIN)

    def _compare(self, row: Position) -> None:
        if not self.knows(row.user_id):
            return
        present, stream = self._users[row.user_id], _stream(row)
        if stream not in present.streams:
            if not stream[1]:
                self._hear(present, dialog_slot(row.dialog_id))
            # A dialog made after the user came is followed from its beginning, one that it was added to from here.
            new = stream[1] or row.created_at > present.came_at - NEW_MS
            self._listen(present, stream, 0 if new else row.seq, row.changes)
        self._gate.hint(stream, row.seq)

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a new dialog could not be looked at: %s", type(error).__name__)

    async def close(self) -> None:
        tasks = [*self._tasks, *(present.ready for present in self._users.values() if present.ready is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _noticed(task: asyncio.Task[None]) -> None:
    """Whoever waited for the task has its error; perhaps nobody did."""
    if not task.cancelled():
        task.exception()


def _stream(row: Position) -> Stream:
    return (row.dialog_id, row.user_id if row.type == PRIVATE else 0)
