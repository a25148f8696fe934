"""What is said to other nodes more than once, as words may be lost: how far a stream is, and changes of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voxcube.server.cluster.bus import Bus
from voxcube.server.cluster.gate import Stream

DIGEST_SECONDS = (0.5, 1.5, 5.0)  # after a burst of a stream its last number is said: what was lost can be read
CHANGE_SECONDS = (0.1, 0.3)  # after a change it is said again: it cannot be read


class Again:
    """Words that are said again."""

    def __init__(self, bus: Bus, digest: Callable[[Stream, int], bytes]) -> None:
        """`digest(stream, seq)` is the word of how far a stream is."""
        self._bus = bus
        self._digest = digest
        self._bursts: dict[Stream, list[int]] = {}  # slot, last number, times it was said
        self._closed = False

    def say_how_far(self, stream: Stream, slot: int, seq: int) -> None:
        """Says the number when the stream has been quiet for a moment, and twice more."""
        burst = self._bursts.get(stream)
        if burst is None:
            self._bursts[stream] = [slot, seq, 0]
            asyncio.get_running_loop().call_later(DIGEST_SECONDS[0], self._say, stream)
        else:
            burst[1], burst[2] = max(seq, burst[1]), 0

    def _say(self, stream: Stream) -> None:
        burst = self._bursts.get(stream)
        if burst is None:
            return
        slot, seq, times = burst
        self._bus.publish(slot, self._digest(stream, seq))
        if times + 1 < len(DIGEST_SECONDS):
            burst[2] = times + 1
            asyncio.get_running_loop().call_later(DIGEST_SECONDS[times + 1], self._say, stream)
        else:
            del self._bursts[stream]

    def repeat(self, slot: int, word: bytes) -> None:
        """Says a word again that those who have heard it will know by its number."""
        for seconds in CHANGE_SECONDS:
            asyncio.get_running_loop().call_later(seconds, self._repeat, slot, word)

    def _repeat(self, slot: int, word: bytes) -> None:
        if not self._closed:
            self._bus.publish(slot, word)

    def stop(self) -> None:
        """Nothing is said any more."""
        self._closed = True
        self._bursts.clear()
