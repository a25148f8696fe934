"""The lane of reads that scan: searches, filters and orders without an index, deep pages.

Such a read may take seconds. It runs apart from the reads that start at an index, one at a time for each user, for at
most `seconds`; what a user asks for beyond the few that may wait is refused at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voxcube.server.core.errors import TooLong, TooManyRequests

SECONDS = 5.0  # a scan that takes longer is ended
AT_ONCE = {"sqlite": 2, "postgresql": 4}  # scans under way, of all users
WAITING = 4  # scans of one user that wait for the one under way
WAITING_OF_ALL = 200  # scans that wait, of all users
WAIT_SECONDS = 10.0  # how long one waits
RETRY_SECONDS = 5  # what a refused caller is told to wait
FAR = 1000  # a page that skips more rows is a scan


def too_long() -> TooLong:
    """The error of a scan that was ended."""
    return TooLong("The search takes too long: name dialogs, a longer text, or filter by more fields")


class ScanLane:
    """Admits scans: few at once, one of each user."""

    def __init__(self, at_once: int, *, seconds: float = SECONDS, wait_seconds: float = WAIT_SECONDS) -> None:
        """`seconds` is the deadline of one scan, which the database enforces."""
        self.seconds = seconds
        self._wait_seconds = wait_seconds
        self._free = asyncio.Semaphore(at_once)
        self._of_user: dict[int, asyncio.Lock] = {}
        self._asked: Counter[int] = Counter()

    @asynccontextmanager
    async def turn(self, user: int) -> AsyncIterator[None]:
        """Waits for the user's turn. Raises TooManyRequests when too many wait, or it does not come in time."""
        if self._asked[user] > WAITING or self._asked.total() >= WAITING_OF_ALL:
            raise TooManyRequests(RETRY_SECONDS, "Too many searches at once")
        self._asked[user] += 1
        lock = self._of_user.setdefault(user, asyncio.Lock())
        try:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await lock.acquire()
            except TimeoutError:
                raise TooManyRequests(RETRY_SECONDS, "Too many searches at once") from None
            try:
                try:
                    async with asyncio.timeout(self._wait_seconds):
                        await self._free.acquire()
                except TimeoutError:
                    raise TooManyRequests(RETRY_SECONDS, "Too many searches at once") from None
                try:
                    yield
                finally:
                    self._free.release()
            finally:
                lock.release()
        finally:
            self._asked[user] -= 1
            if not self._asked[user]:
                del self._asked[user]
                del self._of_user[user]
