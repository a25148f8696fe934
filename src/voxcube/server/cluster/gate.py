"""The sequence gate: stored messages of one stream leave a node in the order of their numbers, each once.

A stream is a group dialog, or a private dialog as one user sees it. The next number goes out at once, an older one is
dropped, and where numbers are missing what came early waits for a moment; what has not come by then is read from
storage. Local and remote deliveries take the same gate: two nodes that publish in order do not arrive in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

P = TypeVar("P")
Stream = tuple[str, int]  # dialog id, user id (0 for a group)

PATIENCE = 0.05  # seconds that a gap may stay open
CAPACITY = 200_000  # streams remembered


@dataclass(slots=True)
class _Gap(Generic[P]):
    waiting: dict[int, P] = field(default_factory=dict)
    upto: int = 0  # the highest number known to exist
    timer: asyncio.TimerHandle | None = None
    reading: bool = False


class Gate(Generic[P]):
    """Orders parcels by (stream, seq)."""

    def __init__(
        self,
        deliver: Callable[[P], None],
        read: Callable[[Stream, int, int], Awaitable[dict[int, P]]],
        *,
        ordered: bool,
        patience: float = PATIENCE,
        capacity: int = CAPACITY,
    ) -> None:
        """`read(stream, low, high)` gives the stored parcels of these numbers; those it leaves out are gone.

        `ordered`: nobody else publishes, so that commit order is arrival order. `patience` in seconds.
        """
        self._deliver = deliver
        self._read = read
        self._ordered = ordered
        self._patience = patience
        self._capacity = capacity
        self._last: dict[Stream, int] = {}
        self._gaps: dict[Stream, _Gap[P]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, stream: Stream, seq: int, parcel: P) -> None:
        """Takes a parcel with its number and delivers what is due."""
        if self._ordered:
            self._deliver(parcel)
            return
        last = self._last.get(stream)
        gap = self._gaps.get(stream)
        if gap is None and last is not None and seq == last + 1:
            self._last[stream] = seq
            self._deliver(parcel)
        elif last is None or seq > last:
            # Of a stream seen for the first time older numbers may still be under way: the wait is the same.
            gap = gap or self._open(stream)
            gap.waiting[seq] = parcel
            gap.upto = max(gap.upto, seq)
            if last is not None:
                self._release(stream, gap)

    def hint(self, stream: Stream, first: int, last: int) -> None:
        """Somebody published `first`…`last` of the stream: what has not come is looked for."""
        known = self._last.get(stream)
        if known is None:
            self._remember(stream, first - 1)
            known = first - 1
        if last > known:
            gap = self._gaps.get(stream) or self._open(stream)
            gap.upto = max(gap.upto, last)
            self._release(stream, gap)

    def forget(self) -> None:
        """Drops what is remembered: words may have been lost unseen."""
        self._last.clear()

    async def close(self) -> None:
        for gap in self._gaps.values():
            if gap.timer is not None:
                gap.timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _open(self, stream: Stream) -> _Gap[P]:
        gap: _Gap[P] = _Gap()
        gap.timer = asyncio.get_running_loop().call_later(self._patience, self._expired, stream)
        self._gaps[stream] = gap
        return gap

    def _remember(self, stream: Stream, seq: int) -> None:
        if stream not in self._last and len(self._last) >= self._capacity:
            for old in list(self._last)[: max(1, self._capacity // 8)]:
                if old not in self._gaps:
                    del self._last[old]
        self._last[stream] = seq

    def _release(self, stream: Stream, gap: _Gap[P]) -> None:
        """Delivers what is next in line; closes the gap when nothing is missing any more."""
        if gap.reading:
            return
        last = self._last[stream]
        while (parcel := gap.waiting.pop(last + 1, None)) is not None:
            last += 1
            self._last[stream] = last
            self._deliver(parcel)
        if last >= gap.upto:
            if gap.timer is not None:
                gap.timer.cancel()
            del self._gaps[stream]

    def _expired(self, stream: Stream) -> None:
        gap = self._gaps.get(stream)
        if gap is None:
            return
        gap.timer = None
        if stream not in self._last:
            self._remember(stream, min(gap.waiting) - 1)
            self._release(stream, gap)
            if stream not in self._gaps:
                return
        gap.reading = True
        task = asyncio.create_task(self._fill(stream, gap))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fill(self, stream: Stream, gap: _Gap[P]) -> None:
        low = self._last[stream] + 1
        try:
            found = await self._read(stream, low, gap.upto)
        except Exception:
            # The database is away: look again soon; nothing is skipped.
            gap.reading = False
            gap.timer = asyncio.get_running_loop().call_later(self._patience * 10, self._expired, stream)
            return
        gap.reading = False
        upto = gap.upto
        for seq in range(low, upto + 1):
            parcel = gap.waiting.pop(seq, None) or found.get(seq)
            self._last[stream] = seq
            if parcel is not None:
                self._deliver(parcel)
        self._release(stream, gap)
        if stream in self._gaps and gap.timer is None:
            gap.timer = asyncio.get_running_loop().call_later(self._patience, self._expired, stream)
