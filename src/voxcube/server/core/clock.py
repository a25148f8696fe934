"""The time, as a constructor argument: services never ask the operating system for it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where "now" comes from."""

    def now(self) -> int:
        """Unix time in seconds."""

    def now_ms(self) -> int:
        """Unix time in milliseconds (``updated_at`` of dialogs, rest §6.1)."""

    def next_us(self) -> int:
        """Unix time in microseconds, greater than at every earlier call: the order of two events in one millisecond."""

    def monotonic(self) -> float:
        """Seconds that never go back, for time-outs and ages."""


class SystemClock:
    """The operating system's clock."""

    def __init__(self) -> None:
        self._last_us = 0

    def now(self) -> int:
        return int(time.time())

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def next_us(self) -> int:
        self._last_us = max(time.time_ns() // 1000, self._last_us + 1)
        return self._last_us

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock for tests that stands still until it is moved."""

    def __init__(self, seconds: float = 1_767_225_600) -> None:
        self._ms = int(seconds * 1000)
        self._last_us = 0

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds``."""
        self._ms += int(seconds * 1000)

    def now(self) -> int:
        return self._ms // 1000

    def now_ms(self) -> int:
        return self._ms

    def next_us(self) -> int:
        self._last_us = max(self._ms * 1000, self._last_us + 1)
        return self._last_us

    def monotonic(self) -> float:
        return self._ms / 1000
