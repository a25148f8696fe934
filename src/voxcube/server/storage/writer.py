"""The writer: everything that changes data goes through it and is committed in groups.

Hot changes (sends, markers) are data: whatever has gathered while the last commit was under way becomes one batch,
which `apply` turns into a handful of set-wise statements. Everything else is a function over a transaction. A batch
that fails is run again where that may help (deadlock, lost connection), otherwise change by change, so that a bad one
gets its error and the rest commit. While the database is away the queue fills, `full` tells the doors to stop reading,
and after `patience` seconds all that waits is refused together: never acknowledged, never lost in silence, and never
overtaken by what came later, for a client sends again from the first that was refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from voxcube.server.core.counts import Histogram
from voxcube.server.core.errors import DomainError, Unavailable, Uncertain
from voxcube.server.storage.database import (
    Ambiguous,
    Contention,
    Database,
    Tx,
    UniqueViolation,
    Unreachable,
)

T = TypeVar("T")
log = logging.getLogger(__name__)

BATCH = 256  # changes in one transaction
CAPACITY = 8192  # changes waiting before the doors stop reading
PATIENCE = 15.0  # seconds a change may wait for a database that is away
ATTEMPTS = 4  # runs of a batch that meets deadlocks
COMMIT_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
COMMIT_CHANGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BACKOFF = (0.01, 0.05, 0.2, 0.5, 1.0)


class Change:
    """A hot change. `error` is set when it was refused; `done` is called on the event loop when its fate is known."""

    __slots__ = ("done", "error")

    def __init__(self, done: Callable[[Any], None]) -> None:
        self.done = done
        self.error: Exception | None = None


Apply = Callable[[Tx, Sequence[Any]], Coroutine[Any, Any, None]]
Fn = Callable[[Tx], Coroutine[Any, Any, Any]]


@dataclass(slots=True)
class _Job:
    fn: Fn
    future: asyncio.Future[Any]


class _Lane:
    """One queue and the task that commits what is in it, one transaction at a time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.changes: deque[Change] = deque()
        self.jobs: deque[_Job] = deque()
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.committing: Sequence[Change] = ()
        self.put = self.finished = 0  # changes ever queued, and those whose fate is known
        self.waiters: deque[tuple[int, asyncio.Future[None]]] = deque()  # until that many are finished
        self.give_up = 0.0  # when the patience with the present outage ends (monotonic seconds)
        self.failed_at = float("-inf")  # when the database was last found to be away
        self.committed_at = float("-inf")  # when a transaction was last committed (both monotonic seconds)


class Writer:
    """Group commit over the lanes of a database."""

    def __init__(
        self,
        database: Database,
        apply: Apply,
        *,
        capacity: int = CAPACITY,
        batch: int = BATCH,
        patience: float = PATIENCE,
    ) -> None:
        """`patience` in seconds; `capacity` and `batch` in changes."""
        self._database = database
        self._apply = apply
        self._capacity = capacity
        self._batch = batch
        self._patience = patience
        # On PostgreSQL functions have lanes of their own: a long one does not delay messages, and locks of
        # functions and batches are never held by one transaction in an unsorted order.
        self._lanes = [_Lane(number) for number in range(database.lanes)]
        self._shared = database.lanes == 1
        self._hot = self._lanes if self._shared else self._lanes[: database.lanes // 2]
        self._cold = self._lanes if self._shared else self._lanes[database.lanes // 2 :]
        self._next_cold = 0
        self._waiting = 0
        self._room: asyncio.Event = asyncio.Event()
        self._room.set()
        self._closing = False
        self.commit_seconds = Histogram(COMMIT_SECONDS)  # of transactions that were committed
        self.commit_changes = Histogram(COMMIT_CHANGES)  # how many changes each of them was

    def start(self) -> None:
        for lane in self._lanes:
            lane.task = asyncio.create_task(self._run_lane(lane), name=f"writer-{lane.number}")

    # -- what callers use ------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether a door should stop reading until `room()` returns."""
        return self._waiting >= self._capacity

    @property
    def depth(self) -> int:
        """Changes waiting or being committed."""
        return self._waiting

    def failed_within(self, seconds: float) -> bool:
        """Whether a lane has met an outage so lately, and has committed nothing since."""
        since = time.monotonic() - seconds
        return any(lane.failed_at > max(since, lane.committed_at) for lane in self._lanes)

    def committed_within(self, seconds: float) -> bool:
        """Whether anything was committed so lately."""
        return max(lane.committed_at for lane in self._lanes) > time.monotonic() - seconds

    async def room(self) -> None:
        """Waits until the queue takes changes again."""
        await self._room.wait()

    def put(self, change: Change, dialog_id: str) -> None:
        """Queues a hot change; changes of one dialog are committed in the order they are put."""
        lane = self._lane(dialog_id)
        if lane.task is not None and lane.task.done():  # the writer is closed
            change.error = Unavailable()
            change.done(change)
            return
        lane.changes.append(change)
        lane.put += 1
        self._waiting += 1
        if self._waiting >= self._capacity:
            self._room.clear()
        if not lane.wake.is_set():
            lane.wake.set()

    async def run(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, dialog: str | None = None) -> T:
        """Runs `fn` in a transaction and returns its result after the commit.

        With `dialog`, changes already queued for that dialog are committed first. What `fn` raises comes back, its
        work undone. Raises Unavailable when the database stays away.
        """
        if dialog is not None and not self._shared:
            await self.settled(dialog)
        if self._closing:
            raise Unavailable
        if dialog is not None:
            lane = self._cold[zlib.crc32(dialog.encode()) % len(self._cold)]
        else:
            self._next_cold = (self._next_cold + 1) % len(self._cold)
            lane = self._cold[self._next_cold]
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        lane.jobs.append(_Job(fn, future))
        lane.wake.set()
        return await future

    async def settled(self, dialog_id: str) -> None:
        """Waits until the hot changes queued so far for the dialog's lane are committed or refused."""
        lane = self._lane(dialog_id)
        if lane.finished < lane.put:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lane.waiters.append((lane.put, future))
            await future

    async def idle(self) -> None:
        """Waits until nothing is queued or being committed."""
        # Only at the end of a server, where a few milliseconds do not matter.
        while any(lane.changes or lane.jobs or lane.committing for lane in self._lanes):  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Commits what was queued, then ends."""
        self._closing = True
        for lane in self._lanes:
            lane.wake.set()
        await asyncio.gather(*(lane.task for lane in self._lanes if lane.task))

    # -- the lanes -------------------------------------------------------------------------------------------------

    def _lane(self, dialog_id: str) -> _Lane:
        hot = self._hot
        return hot[0] if len(hot) == 1 else hot[zlib.crc32(dialog_id.encode()) % len(hot)]

    async def _run_lane(self, lane: _Lane) -> None:
        while True:
            if not lane.changes and not lane.jobs:
                if self._closing:
                    return
                lane.wake.clear()
                await lane.wake.wait()
                continue
            changes = [lane.changes.popleft() for _ in range(min(len(lane.changes), self._batch))]
            jobs, lane.jobs = list(lane.jobs), deque()
            lane.committing = changes
            try:
                await self._commit(lane, changes, jobs)
            except Exception as error:  # a defect of ours: nobody may wait for ever
                log.exception("writer lane failed")
                for change in changes:
                    change.error = change.error or error
                for job in jobs:
                    if not job.future.done():
                        job.future.set_exception(Unavailable())
            lane.committing = ()
            self._waiting -= len(changes)
            if self._waiting < self._capacity // 2 and not self._room.is_set():
                self._room.set()
            for change in changes:
                try:
                    change.done(change)
                except Exception:
                    log.exception("after a commit")
            lane.finished += len(changes)
            while lane.waiters and lane.waiters[0][0] <= lane.finished:
                future = lane.waiters.popleft()[1]
                if not future.done():
                    future.set_result(None)

    async def _commit(self, lane: _Lane, changes: list[Change], jobs: list[_Job]) -> None:
        if self._shared:
            await self._commit_together(lane, changes, jobs)
            return
        if changes:
            await self._commit_changes(lane, changes)
        for job in jobs:
            await self._commit_job(lane, job)

    async def _commit_together(self, lane: _Lane, changes: list[Change], jobs: list[_Job]) -> None:
        """SQLite: one transaction for all, each function in a savepoint of its own."""
        if not jobs:
            await self._commit_changes(lane, changes)
            return
        if not changes and len(jobs) == 1:
            await self._commit_job(lane, jobs[0])
            return
        results: list[tuple[bool, Any]] = []

        async def together(tx: Tx) -> None:
            results.clear()
            if changes:
                await self._apply(tx, changes)
            for job in jobs:
                try:
                    results.append((True, await tx.nested(job.fn)))
                except (Unreachable, Contention):
                    raise
                except Exception as error:
                    results.append((False, error))

        try:
            await self._transaction(together, lane, len(changes) + len(jobs))
        except Exception as error:  # the slow and certain way: apart
            if changes:
                await self._commit_changes(lane, changes, uncertain=isinstance(error, Ambiguous))
            for job in jobs:
                await self._commit_job(lane, job)
            return
        for job, (good, result) in zip(jobs, results, strict=True):
            _settle(job.future, good, result)

    async def _commit_changes(self, lane: _Lane, changes: list[Change], *, uncertain: bool = False) -> None:
        """Commits changes or sets their errors; what is queued behind one refused for an outage joins them.

        `uncertain`: an earlier transaction with them may have been committed.
        """
        error, uncertain = await self._attempt(lane, changes, uncertain)
        if error is None:
            return
        if _is_outage(error):
            _refuse(lane, changes, 0, uncertain)
        elif len(changes) == 1:
            changes[0].error = error
        else:
            for index, change in enumerate(tuple(changes)):  # one of them is bad: it alone gets the error
                alone, uncertain_alone = await self._attempt(lane, [change], uncertain)
                if alone is None:
                    continue
                if _is_outage(alone):
                    _refuse(lane, changes, index, uncertain_alone)
                    return
                change.error = alone

    async def _transaction(self, fn: Fn, lane: _Lane, changes: int) -> Any:
        started = time.perf_counter()
        result = await self._database.transaction(fn, lane=lane.number)
        lane.committed_at = time.monotonic()
        self.commit_seconds.add(time.perf_counter() - started)
        self.commit_changes.add(changes)
        return result

    async def _attempt(self, lane: _Lane, changes: Sequence[Change], uncertain: bool) -> tuple[Exception | None, bool]:
        """Runs a batch until it is committed (None) or will not be (the reason).

        The flag: whether this or an earlier (`uncertain`) transaction with it may have been committed all the same.
        """
        conflicts = tries = 0
        while True:
            for change in changes:
                change.error = None
            try:
                await self._transaction(lambda tx: self._apply(tx, changes), lane, len(changes))
                lane.give_up = 0.0
                return None, False
            except (Contention, UniqueViolation) as error:
                # A unique key taken by another node since we looked: the next look finds it.
                conflicts += 1
                if conflicts >= ATTEMPTS:
                    return error, uncertain
                await asyncio.sleep(BACKOFF[0] * conflicts)
            except (Unreachable, Ambiguous) as error:
                uncertain = uncertain or isinstance(error, Ambiguous)
                if not await self._wait_for_database(lane, tries, error):
                    return Unavailable(), uncertain
                tries += 1
            except Exception as error:
                if len(changes) == 1 and not isinstance(error, DomainError):
                    log.warning("a change was refused by the database: %s", type(error).__name__)
                return error, uncertain

    async def _wait_for_database(self, lane: _Lane, tries: int, error: Exception) -> bool:
        """Waits before the next run; False when the lane's patience with this outage has ended.

        It is the lane's: what comes later in one outage is tried once and does not wait all over again.
        """
        now = time.monotonic()
        if not lane.give_up or now - lane.failed_at > self._patience + BACKOFF[-1]:
            lane.give_up = now + self._patience
            log.warning("the database is away: %s", error)
        lane.failed_at = now
        if now > lane.give_up:
            return False
        await asyncio.sleep(BACKOFF[min(tries, len(BACKOFF) - 1)])
        return True

    async def _commit_job(self, lane: _Lane, job: _Job) -> None:
        conflicts = tries = 0
        while True:
            try:
                result = await self._transaction(job.fn, lane, 1)
                lane.give_up = 0.0
                _settle(job.future, True, result)
                return
            except Contention as error:
                conflicts += 1
                if conflicts >= ATTEMPTS:
                    _settle(job.future, False, error)
                    return
                await asyncio.sleep(BACKOFF[0] * conflicts)
            except Unreachable as error:
                if not await self._wait_for_database(lane, tries, error):
                    _settle(job.future, False, Unavailable())
                    return
                tries += 1
            except Ambiguous:
                # A function is not known to be safe to run twice: its caller must look.
                _settle(job.future, False, Uncertain())
                return
            except Exception as error:
                _settle(job.future, False, error)
                return


def _is_outage(error: Exception) -> bool:
    """Whether it is the database that cannot work now, and not the change that is bad."""
    return isinstance(error, Unavailable | Contention)


def _refuse(lane: _Lane, changes: list[Change], start: int, uncertain: bool) -> None:
    """Refuses changes from `start` on and all that is queued behind them, so that nothing overtakes them.

    `uncertain`: those of the batch may be stored all the same; what is behind them was never tried.
    """
    tried = Uncertain() if uncertain else Unavailable()
    for change in changes[start:]:
        change.error = tried
    behind = Unavailable()
    for change in lane.changes:
        change.error = behind
    changes += lane.changes
    lane.changes.clear()


def _settle(future: asyncio.Future[Any], good: bool, result: Any) -> None:
    if future.done():  # its caller has gone away
        return
    if good:
        future.set_result(result)
    else:
        future.set_exception(result)
