"""When to try again after the connection was lost."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol


class Reconnect(Protocol):
    """A policy of one's own: any object with this method."""

    def next_delay(self, attempt: int) -> float | None:
        """Seconds to wait before the attempt, counted from 1 after each loss; None gives up."""


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """How often, and after how long, the chat connects again by itself.

    By default it never gives up: attempts after about 1, 2, 4, 8, 16, 32, 60, 60, … seconds, each up to 30 % earlier
    or later. The official SDKs try five times, five seconds apart: ``ReconnectPolicy(5, delay=5, factor=1)``.

    Args:
        max_attempts: after how many failures in a row to give up; None never gives up, 0 never tries.
        delay: seconds before the first attempt.
        factor: by what each further delay is longer.
        max_delay: seconds that no delay exceeds, but for the jitter.
        jitter: the share of a delay by which it is longer or shorter at random, so that a crowd does not come back in
            one moment.

    Example:
        >>> Client(..., reconnect=ReconnectPolicy(max_attempts=20, delay=1, factor=2))
    """

    max_attempts: int | None = None
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.3

    def __post_init__(self) -> None:
        if min(self.max_attempts or 0, self.delay, self.max_delay) < 0:
            raise ValueError("max_attempts, delay and max_delay cannot be negative")
        if self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError("factor is 1 or more, jitter between 0 and 1")

    def next_delay(self, attempt: int) -> float | None:
        """Seconds to wait before the attempt (from 1); None when there were enough."""
        if self.max_attempts is not None and attempt > self.max_attempts:
            return None
        # The exponent is bounded: a power that overflows would raise.
        delay = min(self.delay * self.factor ** min(attempt - 1, 64), self.max_delay)
        return delay * (1 + random.uniform(-self.jitter, self.jitter))
