"""The sequence gate: stored messages of one stream leave a node in the order of their numbers, each once.

A stream is a group dialog, or a private dialog as one user sees it. The next number goes out at once, an older one is
dropped, and where numbers are missing what came early waits for a moment; what has not come by then is read from
storage. Local and remote deliveries take the same gate: two nodes that publish in order do not arrive in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

P = TypeVar("P")
Stream = tuple[str, int]  # dialog id, user id (0 for a group)

PATIENCE = 0.05  # seconds that a gap may stay open before storage is asked
AGAIN = 0.5  # seconds after which a storage that failed is asked again
PAGE = 200  # numbers read at once
WAITING = 1000  # parcels of one stream kept behind a gap; those beyond are read when it is their turn


class _Gap(Generic[P]):
    __slots__ = ("behind", "reading", "timer", "upto", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, P] = {}
        self.behind: list[tuple[int, P]] = []  # what is due when a number has gone out
        self.upto = 0  # the highest number known to exist
        self.timer: asyncio.TimerHandle | None = None
        self.reading: asyncio.Task[None] | None = None


class Gate(Generic[P]):
    """Orders parcels by (stream, seq). It knows the streams that somebody here listens to, and no others."""

    def __init__(
        self,
        deliver: Callable[[P], None],
        read: Callable[[Stream, int, int], Awaitable[dict[int, P]]],
        *,
        patience: float = PATIENCE,
        page: int = PAGE,
        waiting: int = WAITING,
    ) -> None:
        """`read(stream, low, high)` gives the stored parcels of these numbers; those it leaves out are gone.

        Numbers are given in commit order, so that all below one that was seen can be read. `patience` in seconds.
        """
        self._deliver = deliver
        self._read = read
        self._patience = patience
        self._page = page
        self._waiting = waiting
        self._last: dict[Stream, int] = {}
        self.streams: Mapping[Stream, int] = self._last  # the known ones, and what has gone out of each
        self._gaps: dict[Stream, _Gap[P]] = {}
        self._finishing: set[Stream] = set()  # stopped as soon as nothing is missing

    def start(self, stream: Stream, seq: int) -> None:
        """Listens to a stream from `seq` + 1 on; of a stream that is known nothing changes."""
        self._last.setdefault(stream, seq)
        self._finishing.discard(stream)

    def finish(self, stream: Stream) -> None:
        """Stop the stream once everything up to its highest known number has gone out."""
        if stream in self._gaps:
            self._finishing.add(stream)
        else:
            self.stop(stream)

    def stop(self, stream: Stream) -> None:
        """Nobody here listens to the stream any more."""
        self._last.pop(stream, None)
        self._finishing.discard(stream)
        gap = self._gaps.pop(stream, None)
        if gap is not None:
            self._end(gap)

    def knows(self, stream: Stream) -> bool:
        return stream in self._last

    def awaits(self, stream: Stream, seq: int) -> bool:
        """Whether the parcel with this number has yet to go out here."""
        last = self._last.get(stream)
        return last is not None and seq > last

    def newest(self, stream: Stream) -> int:
        """The highest number of the stream that has been heard of; 0 when nobody here listens to it."""
        gap = self._gaps.get(stream)
        return self._last.get(stream, 0) if gap is None else gap.upto

    def offer(self, stream: Stream, seq: int, parcel: P) -> None:
        """Takes a parcel with its number and delivers what is due. Of unknown streams nothing is."""
        last = self._last.get(stream)
        if last is None or seq <= last:
            return
        gap = self._gaps.get(stream)
        if gap is None:
            if seq == last + 1:
                self._last[stream] = seq
                self._deliver(parcel)
                return
            gap = self._open(stream)
        if seq == last + 1 or len(gap.waiting) < self._waiting:
            gap.waiting[seq] = parcel
        self._known(stream, gap, seq)

    def follow(self, stream: Stream, seq: int, parcel: P) -> None:
        """Delivers what has no number of its own, but not before the parcel with number `seq` has gone out here."""
        last = self._last.get(stream)
        if last is None or seq <= last:
            self._deliver(parcel)
            return
        gap = self._gaps.get(stream) or self._open(stream)
        gap.behind.append((seq, parcel))
        self._known(stream, gap, seq)

    def hint(self, stream: Stream, seq: int) -> None:
        """`seq` is stored: what has not come up to there is looked for."""
        last = self._last.get(stream)
        if last is not None and seq > last:
            self._known(stream, self._gaps.get(stream) or self._open(stream), seq)

    async def close(self) -> None:
        tasks = [gap.reading for gap in self._gaps.values() if gap.reading is not None]
        for stream in list(self._last):
            self.stop(stream)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self, stream: Stream) -> _Gap[P]:
        gap: _Gap[P] = _Gap()
        self._gaps[stream] = gap
        self._wait(stream, gap, self._patience)
        return gap

    def _end(self, gap: _Gap[P]) -> None:
        if gap.timer is not None:
            gap.timer.cancel()
        if gap.reading is not None:
            gap.reading.cancel()

    def _wait(self, stream: Stream, gap: _Gap[P], seconds: float) -> None:
        gap.timer = asyncio.get_running_loop().call_later(seconds, self._expired, stream, gap)

    def _known(self, stream: Stream, gap: _Gap[P], seq: int) -> None:
        gap.upto = max(gap.upto, seq)
        if gap.reading is None and self._release(stream, gap):
            self._end(gap)

    def _release(self, stream: Stream, gap: _Gap[P]) -> bool:
        """Delivers what is next in line; whether nothing is missing any more."""
        last = self._last[stream]
        while (parcel := gap.waiting.pop(last + 1, None)) is not None:
            last += 1
            self._out(stream, last, parcel)
        if gap.behind:
            due = [parcel for seq, parcel in gap.behind if seq <= last]
            gap.behind = [(seq, parcel) for seq, parcel in gap.behind if seq > last]
            for parcel in due:
                self._out(stream, last, parcel)
        if last < gap.upto:
            return False
        del self._gaps[stream]
        if stream in self._finishing:
            self.stop(stream)
        return True

    def _out(self, stream: Stream, seq: int, parcel: P) -> None:
        self._last[stream] = seq
        try:
            self._deliver(parcel)
        except Exception:  # one receiver's trouble must not hold up the stream
            log.exception("a parcel could not be delivered")

    def _expired(self, stream: Stream, gap: _Gap[P]) -> None:
        gap.timer = None
        gap.reading = asyncio.create_task(self._fill(stream, gap))

    async def _fill(self, stream: Stream, gap: _Gap[P]) -> None:
        """Reads what is missing, page by page, until the gap closes or only what is on its way is missing."""
        wanted = gap.upto
        while True:
            low = self._last[stream] + 1
            high = min(wanted, low + self._page - 1)
            try:
                found = await self._read(stream, low, high)
            except Exception as error:  # the database is away; nothing is skipped
                log.warning("messages that the bus lost could not be read: %s", type(error).__name__)
                gap.reading = None
                self._wait(stream, gap, AGAIN)
                return
            for seq in range(low, high + 1):
                parcel = gap.waiting.pop(seq, None)
                if parcel is None:
                    parcel = found.get(seq)
                if parcel is not None:
                    self._out(stream, seq, parcel)
                else:
                    self._last[stream] = seq  # deleted meanwhile
            if self._release(stream, gap):
                return
            if self._last[stream] >= wanted:
                gap.reading = None
                self._wait(stream, gap, self._patience)
                return
