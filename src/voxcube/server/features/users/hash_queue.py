"""The queue in front of the hashing threads: which password is hashed next, and which request is refused early.

A hash takes tens of milliseconds of a processor, so that a few hundred requests at once make everybody behind them
wait. Three rules keep one client's requests from delaying another's:

* Lanes. Logins come before sign-ups and password changes, and logins of an account from an address where it has logged
  in before come first of all. A lane that is passed over too often is served nevertheless.
* Turns. Within a lane the client addresses take turns, whatever the number of their requests.
* Bounds. A lane holds a bounded number of requests. The request of an address that occupies less of a full lane takes
  the place of the newest request of the address that occupies most; everything else is refused at once.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import Any, TypeVar

from voxcube.server.core.errors import Unavailable

T = TypeVar("T")


class Lane(IntEnum):
    """What a password is hashed for; a lower number is served first."""

    KNOWN = 0  # a login from an address where the account has logged in before
    LOGIN = 1
    CHANGE = 2  # sign-ups and password changes


#: Requests that may wait in each lane: some ten seconds of work on two slow cores.
BOUNDS = {Lane.KNOWN: 1000, Lane.LOGIN: 1000, Lane.CHANGE: 200}
#: How many requests of other lanes may pass a waiting lane before it gets a turn.
PATIENCE = {Lane.KNOWN: 0, Lane.LOGIN: 4, Lane.CHANGE: 8}
_FIRST_GUESS = 0.05  # seconds per hash, until some were measured


class _Job:
    __slots__ = ("done", "work")

    def __init__(self, work: Callable[[], Any], done: asyncio.Future[Any]) -> None:
        self.work = work
        self.done = done


class _Waiting:
    """The jobs of one lane by client address, in the order of the addresses' turns."""

    __slots__ = ("by_address", "passed_over", "size")

    def __init__(self) -> None:
        self.by_address: OrderedDict[str, deque[_Job]] = OrderedDict()
        self.passed_over = 0
        self.size = 0

    def add(self, address: str, job: _Job) -> None:
        self.by_address.setdefault(address, deque()).append(job)
        self.size += 1

    def take(self) -> _Job:
        """The oldest job of the address whose turn it is."""
        address, jobs = self.by_address.popitem(last=False)
        job = jobs.popleft()
        if jobs:
            self.by_address[address] = jobs
        self.size -= 1
        return job

    def displace(self, address: str) -> _Job | None:
        """Remove the newest job of the address with the most jobs; None where `address` would have as many then."""
        most = max(self.by_address, key=lambda one: len(self.by_address[one]))
        jobs = self.by_address[most]
        if len(jobs) <= len(self.by_address.get(address, ())) + 1:
            return None
        self.size -= 1
        return jobs.pop()


class HashQueue:
    """Runs functions in a few threads, in the order described above. Used from one event loop."""

    def __init__(self, *, threads: int = 2, bounds: Mapping[Lane, int] | None = None) -> None:
        """`threads` work at the same time. `bounds`: requests that may wait in each lane."""
        self._bounds = bounds or BOUNDS
        # At the priority of the other threads: at nice 10 a hash beside two busy processes took eight times as long,
        # which delays every login, while the event loop's delay under hashing changed by 3 ms (see ARCHITECTURE.md).
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._free = threads
        self._threads = threads
        self._lanes = {lane: _Waiting() for lane in Lane}
        self._seconds = _FIRST_GUESS  # one hash, as a moving average

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return sum(lane.size for lane in self._lanes.values())

    async def run(self, work: Callable[[], T], lane: Lane, address: str) -> T:
        """The result of `work`, called in a thread when it is the turn of `address` in `lane`.

        Raises Unavailable, with the seconds after which to try again, when the lane is full.
        """
        waiting = self._lanes[lane]
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._free and not waiting.size:
            self._start(_Job(work, done))
        else:
            if waiting.size >= self._bounds[lane]:
                displaced = waiting.displace(address)
                if displaced is None:
                    raise self._refusal(lane)
                if not displaced.done.done():
                    displaced.done.set_exception(self._refusal(lane))
            waiting.add(address, _Job(work, done))
        return await done

    def close(self) -> None:
        """End the threads; requests that wait are cancelled."""
        for lane in self._lanes.values():
            while lane.size:
                lane.take().done.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _refusal(self, lane: Lane) -> Unavailable:
        ahead = sum(waiting.size for other, waiting in self._lanes.items() if other <= lane)
        seconds = max(1, math.ceil(ahead * self._seconds / self._threads))
        what = "logins" if lane <= Lane.LOGIN else "sign-ups and password changes"
        return Unavailable(f"Too many {what} at once, try again in {seconds} seconds", retry_after=seconds)

    def _next(self) -> _Job | None:
        """Remove and return the job to start next; jobs whose requests have been cancelled are dropped."""
        while filled := [lane for lane, waiting in self._lanes.items() if waiting.size]:
            due = [lane for lane in filled[1:] if self._lanes[lane].passed_over >= PATIENCE[lane]]
            chosen = due[-1] if due else filled[0]
            job = self._lanes[chosen].take()
            if job.done.done():
                continue
            for lane in filled:
                self._lanes[lane].passed_over = 0 if lane is chosen else self._lanes[lane].passed_over + 1
            return job
        return None

    def _start(self, job: _Job) -> None:
        self._free -= 1
        begun = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
        future.add_done_callback(lambda done: self._finished(job, done, time.monotonic() - begun))

    def _finished(self, job: _Job, future: asyncio.Future[Any], seconds: float) -> None:
        self._free += 1
        self._seconds += (seconds - self._seconds) / 16
        if future.cancelled():
            job.done.cancel()
            return
        error = future.exception()
        if not job.done.done():
            if error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(future.result())
        while self._free and (following := self._next()) is not None:
            self._start(following)
