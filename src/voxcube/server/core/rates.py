"""How often somebody may do something: a rate and a burst for each of any number of keys.

One number is kept per key, the moment at which all that was done so far is paid for (the "theoretical arrival time" of
the generic cell rate algorithm): a key that has paid needs no memory.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import TooManyRequests

_FEWEST = 1024  # keys below which nobody looks for those that have paid


class Rate:
    """So much per second for each key, and a burst of so much at once."""

    __slots__ = ("_burst", "_clock", "_cost", "_look_at", "_paid_at")

    def __init__(self, clock: Clock, per_second: float, burst: float) -> None:
        """`per_second` 0 or less: no limit."""
        self._clock = clock
        self._cost = 1 / per_second if per_second > 0 else 0.0  # seconds
        self._burst = burst * self._cost  # seconds
        self._paid_at: dict[Hashable, float] = {}
        self._look_at = _FEWEST

    def take(self, key: Hashable, amount: float = 1.0) -> float:
        """Takes `amount` and gives 0 where that is allowed; else it takes nothing: the seconds until it will be."""
        now = self._clock.monotonic()
        paid_at = max(self._paid_at.get(key, now), now) + amount * self._cost
        # What costs more than a whole burst passes when nothing else is owed: waiting would never help it.
        over = paid_at - now - max(self._burst, amount * self._cost)
        if over > 1e-9:
            return over
        self._note(key, paid_at, now)
        return 0.0

    def owe(self, key: Hashable, amount: float = 1.0, *, most: float = math.inf) -> float:
        """Takes `amount` in any case; the seconds that the key is to wait before its next, at most `most`.

        What is beyond that is forgiven: others who share an address would have to wait for hours.
        """
        now = self._clock.monotonic()
        paid_at = min(max(self._paid_at.get(key, now), now) + amount * self._cost, now + self._burst + most)
        self._note(key, paid_at, now)
        return max(0.0, paid_at - now - self._burst)

    def give_back(self, key: Hashable, amount: float = 1.0) -> None:
        """Makes good what was taken for nothing."""
        paid_at = self._paid_at.get(key)
        if paid_at is not None:
            self._paid_at[key] = paid_at - amount * self._cost

    def check(self, key: Hashable, amount: float = 1.0) -> None:
        """As `take`; raises TooManyRequests."""
        if wait := self.take(key, amount):
            raise TooManyRequests(math.ceil(wait), f"Too many requests, try again in {math.ceil(wait)} seconds")

    def _note(self, key: Hashable, paid_at: float, now: float) -> None:
        if not self._cost:
            return
        self._paid_at[key] = paid_at
        if len(self._paid_at) > self._look_at:
            self._paid_at = {key: until for key, until in self._paid_at.items() if until > now}
            self._look_at = max(_FEWEST, 2 * len(self._paid_at))
