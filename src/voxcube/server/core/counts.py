"""What a node counts while it works, as plain numbers: an event costs one addition, the rest is done when asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_KINDS = 64


class Kinds(dict[str, int]):
    """Events by kind. A stranger's words may be among the kinds, so that there are at most so many of them."""

    def add(self, kind: str) -> None:
        if kind not in self and len(self) >= MOST_KINDS:
            kind = "other"
        self[kind] = self.get(kind, 0) + 1


class Histogram:
    """How often values fell below each bound; for what happens once per commit, not once per message."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascending; each is the largest value of its class."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)  # the last class has no bound
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Counts:
    """Of one node, since it has started."""

    stored: int = 0  # messages committed
    repeated: int = 0  # messages sent again that were stored already
    relayed: int = 0  # messages passed on without being stored
    delivered: int = 0  # stanzas written to connected clients
    refused: Kinds = field(default_factory=Kinds)  # stanzas answered with an error, by condition
    ended: Kinds = field(default_factory=Kinds)  # connections ended with a stream error, by condition
    requests: dict[tuple[str, str, int], int] = field(default_factory=dict)  # HTTP: method, route, status
