"""What all connections of a run count together."""

from __future__ import annotations

import asyncio
import secrets
from math import inf
from typing import TYPE_CHECKING

from voxcube.bench.figures import Latencies
from voxcube.bench.wire import Finder

if TYPE_CHECKING:
    from voxcube.bench.connection import Connection

KEPT = 3  # causes of trouble that are remembered to be shown


class Tally:
    """Counters of one run. A message counts as measured when it was due between `start` and `end` (monotonic)."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        self.finder = Finder(self.run)
        self.connections: list[Connection] = []
        self.windows_open = False
        self.start = self.end = inf
        self.sent = self.expected = self.delivered = self.acked = 0
        self.sent_measured = self.delivered_measured = 0
        self.disorder = self.errors = self.disconnects = 0
        self.troubles: list[str] = []
        self.logins, self.latencies, self.acks = Latencies(), Latencies(), Latencies()
        self._dirty: list[Connection] = []
        self._loop = asyncio.get_running_loop()

    @property
    def complete(self) -> bool:
        """Whether nothing that was sent is under way any more."""
        return self.delivered >= self.expected

    def filled(self, connection: Connection) -> None:
        """`connection` has something to write at the end of this turn of the event loop."""
        if not self._dirty:
            self._loop.call_soon(self._flush)
        self._dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()

    def refused(self, count: int, data: bytes) -> None:
        """Messages came back as errors."""
        self.errors += count
        self._trouble(data[-600:].decode(errors="replace"))

    def disconnected(self, why: str) -> None:
        """A connection ended by itself."""
        self.disconnects += 1
        self._trouble(why)

    def _trouble(self, text: str) -> None:
        if len(self.troubles) < KEPT:
            self.troubles.append(" ".join(text.split()))
