"""A network that breaks: a proxy on loopback that cuts, half-closes, delays and swallows what passes through it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

LATE = 0.3  # seconds that a delayed piece waits at most
HOLE = 4.0  # seconds after which a link that swallows everything is cut at last


class Link:
    """One connection and its other half. What is said below holds in both directions."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.ends = (near, far)
        self.swallows = False
        self.late = 0.0
        self.directions = 2  # that something may still pass through

    def cut(self) -> None:
        """Both sides get a reset; what is under way is gone."""
        for end in self.ends:
            end.transport.abort()

    def half_close(self, side: int) -> None:
        """One side hears that the other says nothing more, and goes on talking into the void."""
        self.swallows = True
        with contextlib.suppress(OSError, RuntimeError):
            self.ends[side].write_eof()

    def black_hole(self) -> None:
        """Everything is taken and nothing arrives."""
        self.swallows = True


class BadNetwork:
    """Forwards to `target`. `faults` counts what was done to connections."""

    def __init__(self, target: tuple[str, int], dice: random.Random) -> None:
        self.target = target
        self.faults: Counter[str] = Counter()
        self.address = ("127.0.0.1", 0)
        self.down = False  # new connections are cut at once
        self._dice = dice
        self.links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[BadNetwork]:
        server = await asyncio.start_server(self._accept, *self.address)
        self.address = server.sockets[0].getsockname()
        try:
            yield self
        finally:
            server.close()
            self.heal()
            for link in tuple(self.links):
                link.cut()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def break_for(self, seconds: float, *, every: float) -> None:
        """Does something bad to a connection, again and again, on the average `every` so many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        kinds: dict[str, Callable[[Link], Any]] = {
            "cut": Link.cut,
            "half-close towards the client": lambda link: self._half_close(link, 0),
            "half-close towards the server": lambda link: self._half_close(link, 1),
            "black hole": self.black_hole,
            "delay": self._delay,
        }
        while loop.time() < end:
            await asyncio.sleep(self._dice.expovariate(1 / every))
            victims = sorted((link for link in self.links if not link.swallows), key=id)
            if self._dice.random() < 0.05:
                self.faults["all cut, and nobody gets in for a moment"] += 1
                self.down = True
                for link in victims:
                    link.cut()
                loop.call_later(0.3, self.heal)
            elif victims:
                kind = self._dice.choice(list(kinds))
                self.faults[kind] += 1
                kinds[kind](self._dice.choice(victims))

    def heal(self) -> None:
        """From now on connections are let in."""
        self.down = False

    def _half_close(self, link: Link, side: int) -> None:
        link.half_close(side)
        asyncio.get_running_loop().call_later(HOLE, link.cut)

    def black_hole(self, link: Link) -> None:
        link.black_hole()
        asyncio.get_running_loop().call_later(HOLE, link.cut)

    def _delay(self, link: Link) -> None:
        link.late = self._dice.uniform(0, LATE)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.down:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, far_writer)
        self.links.add(link)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._forward(link, source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, link: Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(4096):
                if link.late:
                    await asyncio.sleep(link.late)
                if not link.swallows:
                    sink.write(data)
                    await sink.drain()
            if not link.swallows:
                sink.write_eof()
        except (OSError, RuntimeError):  # RuntimeError: it is closed already
            if not link.swallows:  # else nobody learns of it
                link.cut()
        finally:
            link.directions -= 1
            if not link.directions:
                self.links.discard(link)
                link.cut()
