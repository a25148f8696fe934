"""Hashes and checks passwords with argon2id, never on the event loop."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping

import argon2

from voxcube.server.core.clock import Clock, SystemClock
from voxcube.server.core.peers import counted_as
from voxcube.server.features.users.hash_queue import HashQueue, Lane

#: Longer texts are no password of ours (rest §4.1: at most 40 characters), and are not worth hashing.
LONGEST = 1024


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


class Passwords:
    """A few hashing threads behind a fair, bounded queue, and a memory of what was verified lately.

    The memory holds keyed hashes of (stored hash, password): a changed password changes the stored hash and so is not
    found any more, and what a memory dump shows cannot be tried offline without the key of this process.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        threads: int = 2,
        bounds: Mapping[Lane, int] | None = None,
        remember: float = 300.0,
        capacity: int = 100_000,
        time_cost: int = 2,
        memory_cost: int = 19_456,
    ) -> None:
        """``bounds``: passwords that may wait for a thread, by lane. ``remember``: seconds. ``memory_cost``: KiB.

        The defaults of the costs are those that OWASP recommends.
        """
        self._clock = clock or SystemClock()
        self._hasher = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_cost, parallelism=1)
        self._queue = HashQueue(threads=threads, bounds=bounds)
        self._remember = remember
        self._capacity = capacity
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, float] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[bool]] = {}  # equal logins at once are one piece of work
        self._decoy: str | None = None

    async def hash(self, password: str, *, address: str = "") -> str:
        """The PHC text to store; ``address`` is the client's. Raises ``Unavailable`` when too many are waiting."""
        return await self._queue.run(lambda: self._hasher.hash(password), Lane.CHANGE, counted_as(address))

    async def verify(
        self, password_hash: str | None, password: str, *, address: str = "", lane: Lane = Lane.LOGIN
    ) -> bool:
        """Whether ``password`` belongs to ``password_hash``.

        None (no such user, or one without a password) is False after the same work: nobody can tell by the time.
        ``address``: the client's; addresses take turns. Raises ``Unavailable`` when too many are waiting.
        """
        if len(password) > LONGEST or _has_surrogate(password):
            return False
        place = counted_as(address)
        if password_hash is None:
            return await self._queue.run(lambda: self._check(None, password), lane, place)
        mark = self._mark(password_hash, password)
        if self._remembered(mark):
            self._verified.move_to_end(mark)
            return True
        task = self._checking.get(mark)
        if task is None:
            work = self._check_and_remember(mark, password_hash, password, lane, place)
            task = self._checking[mark] = asyncio.create_task(work)
        return await asyncio.shield(task)

    def remembers(self, password_hash: str | None, password: str) -> bool:
        """Whether ``password`` was verified a moment ago, so that verifying it again costs nothing."""
        if password_hash is None or len(password) > LONGEST or _has_surrogate(password):
            return False
        return self._remembered(self._mark(password_hash, password))

    async def _check_and_remember(self, mark: bytes, password_hash: str, password: str, lane: Lane, place: str) -> bool:
        try:
            right = await self._queue.run(lambda: self._check(password_hash, password), lane, place)
        finally:
            del self._checking[mark]
        if right:
            self._verified[mark] = self._clock.monotonic() + self._remember
            while len(self._verified) > self._capacity:
                self._verified.popitem(last=False)
        return right

    def close(self) -> None:
        """Ends the threads; what is waiting is given up."""
        self._queue.close()

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
