"""Hashes and checks passwords with argon2id, never on the event loop."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from enum import IntEnum

import argon2

from voxcube.server.core.clock import Clock, SystemClock
from voxcube.server.core.peers import counted_as
from voxcube.server.core.precis import prepare_password
from voxcube.server.features.users.hash_queue import HashQueue, Lane

#: Longer texts are no password of ours (rest §4.1: at most 40 characters), and are not worth hashing.
LONGEST = 1024


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


class Match(IntEnum):
    """Whether a password is right, and what its stored hash was made of; false when it is wrong."""

    NONE = 0
    PREPARED = 1
    AS_TYPED = 2  # an older version hashed the text as it came: the prepared form should be stored


class Passwords:
    """A few hashing threads behind a fair, bounded queue, and a memory of what was verified lately.

    The memory holds keyed hashes of (stored hash, password): a changed password changes the stored hash and so is not
    found any more, and what a memory dump shows cannot be tried offline without the key of this process.

    Passwords are prepared here and nowhere else (`core.precis.prepare_password`).
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
        self._checking: dict[bytes, asyncio.Task[Match]] = {}  # equal logins at once are one piece of work
        self._decoy: str | None = None

    async def hash(self, password: str, *, address: str = "") -> str:
        """The PHC text to store; ``address`` is the client's. Raises ``Unavailable`` when too many are waiting."""
        return await self._queue.run(
            lambda: self._hasher.hash(prepare_password(password)), Lane.CHANGE, counted_as(address)
        )

    async def verify(
        self, password_hash: str | None, password: str, *, address: str = "", lane: Lane = Lane.LOGIN
    ) -> Match:
        """Whether ``password`` belongs to ``password_hash``: its prepared form, or else the text as typed.

        None (no such user, or one without a password) is False after the same work: nobody can tell by the time.
        ``address``: the client's; addresses take turns. Raises ``Unavailable`` when too many are waiting.
        """
        if len(password) > LONGEST or _has_surrogate(password):
            return Match.NONE
        place = counted_as(address)
        if password_hash is None:
            return await self._queue.run(lambda: self._check(None, password), lane, place)
        mark = self._mark(password_hash, prepare_password(password))
        if self._remembered(mark):
            self._verified.move_to_end(mark)
            return Match.PREPARED
        typed = self._mark(password_hash, password)  # two forms of one password are not one piece of work
        task = self._checking.get(typed)
        if task is None:
            work = self._check_and_remember(typed, mark, password_hash, password, lane, place)
            task = self._checking[typed] = asyncio.create_task(work)
        return await asyncio.shield(task)

    def remembers(self, password_hash: str | None, password: str) -> bool:
        """Whether ``password`` was verified a moment ago, so that verifying it again costs nothing."""
        if password_hash is None or len(password) > LONGEST or _has_surrogate(password):
            return False
        return self._remembered(self._mark(password_hash, prepare_password(password)))

    async def _check_and_remember(
        self, typed: bytes, mark: bytes, password_hash: str, password: str, lane: Lane, place: str
    ) -> Match:
        try:
            right = await self._queue.run(lambda: self._check(password_hash, password), lane, place)
        finally:
            del self._checking[typed]
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

    def _check(self, password_hash: str | None, password: str) -> Match:
        """A text that is not in the prepared form costs a second hash, also where there is no such user."""
        if password_hash is None and self._decoy is None:
            self._decoy = self._hasher.hash(secrets.token_hex())
        prepared = prepare_password(password)
        if self._is(password_hash, prepared):
            return Match.PREPARED
        return Match.AS_TYPED if prepared != password and self._is(password_hash, password) else Match.NONE

    def _is(self, password_hash: str | None, text: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._decoy or "", text)
            return password_hash is not None
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
