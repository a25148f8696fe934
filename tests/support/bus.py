"""A bus for tests: several nodes in one process, real bytes, and words that come late, out of order, or never.

Whatever is random comes from a seeded source. In good weather words arrive in the next turn of the event loop.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from voxcube.server.cluster.bus import Listener


@dataclass
class Weather:
    """How words travel. `delay` in seconds is the longest; each word has its own, so that they overtake each other."""

    delay: float = 0.0
    drop: float = 0.0  # probability


class TestBus:
    """The wire between the nodes; `join()` gives each node its end."""

    __test__ = False

    def __init__(self, weather: Weather | None = None, *, seed: int = 1) -> None:
        self.weather = weather or Weather()
        self.nodes: list[NodeBus] = []
        self.cut = False  # nobody hears anything
        self.words = 0
        self.dropped = 0
        self._random = random.Random(seed)

    def join(self) -> NodeBus:
        node = NodeBus(self)
        self.nodes.append(node)
        return node

    def interrupt(self) -> None:
        """From now on every word is lost, until `restore()`."""
        self.cut = True

    def restore(self) -> None:
        """Words arrive again, and the nodes are told that some did not."""
        self.cut = False
        for node in self.nodes:
            if node.listener is not None:
                node.listener.interrupted()

    def carry(self, node: NodeBus, slot: int | None, payload: bytes) -> None:
        """Takes a word on its way to one node; `slot` None = told to everybody."""
        assert type(payload) is bytes
        self.words += 1
        if self.cut or self._random.random() < self.weather.drop:
            self.dropped += 1
            return
        loop = asyncio.get_running_loop()
        if self.weather.delay:
            loop.call_later(self._random.random() * self.weather.delay, node.hear, slot, payload)
        else:
            loop.call_soon(node.hear, slot, payload)


class NodeBus:
    """One node's end (`cluster.bus.Bus`)."""

    alone = False

    def __init__(self, wire: TestBus) -> None:
        self._wire = wire
        self.slots: set[int] = set()
        self._asked: set[int] = set()  # what is to be heard; it takes effect a little later, as on a real wire
        self.listener: Listener | None = None

    async def start(self, listener: Listener) -> None:
        self.listener = listener

    def subscribe(self, slot: int) -> None:
        assert slot not in self._asked
        self._asked.add(slot)
        asyncio.get_running_loop().call_later(self._wire.weather.delay / 2, self._in_effect, slot)

    def unsubscribe(self, slot: int) -> None:
        self._asked.remove(slot)
        self.slots.discard(slot)

    def _in_effect(self, slot: int) -> None:
        if slot in self._asked:
            self.slots.add(slot)

    async def ready(self) -> None:
        await asyncio.sleep(self._wire.weather.delay / 2 + 0.001)

    def publish(self, slot: int, payload: bytes) -> None:
        for node in self._wire.nodes:
            if node is not self and slot in node.slots:
                self._wire.carry(node, slot, payload)

    def tell(self, payload: bytes) -> None:
        for node in self._wire.nodes:
            if node is not self:
                self._wire.carry(node, None, payload)

    async def close(self) -> None:
        self.listener = None
        self._wire.nodes.remove(self)

    def hear(self, slot: int | None, payload: bytes) -> None:
        """A word arrives."""
        if self.listener is None:
            return
        if slot is None:
            self.listener.told(payload)
        elif slot in self.slots:
            self.listener.published(payload)
