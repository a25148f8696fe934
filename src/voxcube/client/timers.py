"""Timers by key, of a bounded number: restarted, cancelled, or run out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """At most ``limit`` running timers; one too many makes the oldest run out early."""

    def __init__(self, run_out: Callable[[K], None], limit: int = 10_000) -> None:
        self._run_out = run_out
        self._limit = limit
        self._handles: dict[K, asyncio.TimerHandle] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._handles

    def start(self, key: K, seconds: float) -> None:
        """Starts the timer, or starts it again."""
        self.cancel(key)
        if len(self._handles) >= self._limit:
            self._fire(next(iter(self._handles)))
        self._handles[key] = asyncio.get_running_loop().call_later(seconds, self._fire, key)

    def cancel(self, key: K) -> bool:
        """Stops the timer; returns whether it was running."""
        handle = self._handles.pop(key, None)
        if handle is None:
            return False
        handle.cancel()
        return True

    def clear(self) -> None:
        """Stops all timers; none runs out."""
        for key in tuple(self._handles):
            self.cancel(key)

    def finish(self) -> None:
        """Makes all timers run out now."""
        for key in tuple(self._handles):
            self._fire(key)

    def _fire(self, key: K) -> None:
        if self.cancel(key):
            self._run_out(key)
