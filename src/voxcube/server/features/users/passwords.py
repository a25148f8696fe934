"""Hashes and checks passwords with argon2id, never on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2

from voxcube.server.core.clock import Clock, SystemClock
from voxcube.server.core.errors import Unavailable

T = TypeVar("T")

#: Longer texts are no password of ours (rest §4.1: at most 40 characters), and are not worth hashing.
LONGEST = 1024
NICE = 10


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _step_back() -> None:
    """A hashing thread leaves the processor to the event loop when both want it (Linux: threads have a nice value)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class Passwords:
    """A capped pool of hashing threads, and a memory of what was verified lately.

    The memory holds keyed hashes of (stored hash, password): a changed password changes the stored hash and so is not
    found any more, and what a memory dump shows cannot be tried offline without the key of this process.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        threads: int = 2,
        waiting: int = 4000,
        remember: float = 300.0,
        capacity: int = 100_000,
        time_cost: int = 2,
        memory_cost: int = 19_456,
    ) -> None:
        """``waiting``: checks in the queue at most. ``remember``: seconds. ``memory_cost``: KiB (defaults: OWASP)."""
        self._clock = clock or SystemClock()
        self._hasher = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_cost, parallelism=1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2", initializer=_step_back)
        self._free = waiting
        self._remember = remember
        self._capacity = capacity
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, float] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[bool]] = {}  # equal logins at once are one piece of work
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """The PHC text to store. Raises ``Unavailable`` when too many are waiting."""
        return await self._in_pool(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether ``password`` belongs to ``password_hash``.

        None (no such user, or one without a password) is False after the same work: nobody can tell by the time.
        """
        if len(password) > LONGEST or _has_surrogate(password):
            return False
        if password_hash is None:
            return await self._in_pool(lambda: self._check(None, password))
        mark = self._mark(password_hash, password)
        if self._remembered(mark):
            self._verified.move_to_end(mark)
            return True
        task = self._checking.get(mark)
        if task is None:
            task = self._checking[mark] = asyncio.create_task(self._check_and_remember(mark, password_hash, password))
        return await asyncio.shield(task)

    async def _check_and_remember(self, mark: bytes, password_hash: str, password: str) -> bool:
        try:
            right = await self._in_pool(lambda: self._check(password_hash, password))
        finally:
            del self._checking[mark]
        if right:
            self._verified[mark] = self._clock.monotonic() + self._remember
            while len(self._verified) > self._capacity:
                self._verified.popitem(last=False)
        return right

    def close(self) -> None:
        """Ends the threads; what is waiting is given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _mark(self, password_hash: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{password_hash}\0{password}".encode(), "sha256")

    def _remembered(self, mark: bytes) -> bool:
        until = self._verified.get(mark)
        if until is not None and until <= self._clock.monotonic():
            del self._verified[mark]
            return False
        return until is not None

    def _check(self, password_hash: str | None, password: str) -> bool:
        if password_hash is None and self._decoy is None:
            self._decoy = self._hasher.hash(secrets.token_hex())
        try:
            self._hasher.verify(password_hash or self._decoy or "", password)
            return password_hash is not None
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _in_pool(self, work: Callable[[], T]) -> T:
        if self._free <= 0:
            raise Unavailable("Too many logins at once")
        self._free -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._free += 1
