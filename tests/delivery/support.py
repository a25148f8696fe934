"""Routers without servers: sessions that write down what they are given, a database that is a dictionary, two nodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.bus import TestBus, Weather
from voxcube.server.cluster.bus import Bus
from voxcube.server.cluster.gate import Stream
from voxcube.server.delivery.listening import Position
from voxcube.server.delivery.router import CHAT, GROUP, Parcel, Router
from voxcube.server.delivery.sessions import Screen, Sessions

GROUP_ID = "65a1b2c3d4e5f60718293a4b"
PRIVATE_ID = "65a1b2c3d4e5f60718293a4c"
MISSING = object()


class Fake:
    """`delivery.sessions.Target`."""

    def __init__(self, user_id: int, app_id: int = 1, resource: str = "r", *, carbons: bool = False) -> None:
        self.user_id = user_id
        self.app_id = app_id
        self.address = f"{user_id}-{app_id}@localhost/{resource}".encode()
        self.available = True
        self.carbons = carbons
        self.js = False
        self.inactive = False
        self.screen: Screen | None = None
        self.got: list[bytes] = []
        self.handing: list[tuple[str, int]] = []

    def deliver(self, head: bytes, tail: bytes, dialog_id: str, seq: int) -> None:
        self.got.append(head + tail)
        if seq:
            self.handing.append((dialog_id, seq))


@dataclass(frozen=True)
class Facts:
    """As `storage.cache.DialogFacts`."""

    type: int
    members: frozenset[int]
    members_version: int = 0
    away: frozenset[int] = frozenset()


@dataclass
class World:
    """What the database holds: facts of dialogs, and parcels by stream and number."""

    facts: dict[str, Facts] = field(default_factory=dict)
    stored: dict[Stream, dict[int, Parcel]] = field(default_factory=dict)
    seconds: float = 0.0  # a read takes so long
    fail: int = 0  # reads that fail
    version: int = 0  # of the members, as the database has it at each commit

    def group(self, dialog_id: str, *members: int, kind: int = 2) -> None:
        self.facts[dialog_id] = Facts(kind, frozenset(members))

    async def read(self) -> None:
        await asyncio.sleep(self.seconds)
        if self.fail:
            self.fail -= 1
            raise ConnectionError

    async def positions(self, users: Sequence[int]) -> Iterable[Position]:
        await self.read()
        rows = [
            Position(user, dialog_id, facts.type, max(self.stored.get((dialog_id, 0), {0: 0})), 0)
            for dialog_id, facts in self.facts.items()
            for user in users
            if user in facts.members and facts.type != 1
        ]
        private = [
            Position(user, dialog_id, 3, max(parcels), 0)
            for (dialog_id, user), parcels in self.stored.items()
            if user in users
        ]
        return rows + private

    async def newest(self, dialog_ids: Sequence[str]) -> dict[str, int]:
        await self.read()
        found: dict[str, int] = {}
        for (dialog_id, _), parcels in self.stored.items():
            if dialog_id in dialog_ids:
                found[dialog_id] = max(*parcels, found.get(dialog_id, 0), 0)
        return found


class Hiding:
    """`delivery.router.Hiding`: who is kept from whose words; what is not known must be read first."""

    def __init__(self) -> None:
        self.hidden: dict[int, frozenset[int]] = {}
        self.known: set[int] | None = None  # None: everything
        self.loads = 0
        self.fail = 0  # loads that fail

    def hidden_from(self, app_id: int, sender_id: int, origin: bytes) -> frozenset[int] | None:
        if self.known is not None and sender_id not in self.known:
            return None
        return self.hidden.get(sender_id, frozenset())

    async def load(self, app_id: int, user_id: int) -> None:
        await asyncio.sleep(0)
        if self.fail:
            self.fail -= 1
            raise ConnectionError
        self.loads += 1
        if self.known is not None:
            self.known.add(user_id)


class Node:
    """A router with its sessions."""

    def __init__(self, world: World, bus: Bus, name: str = "n") -> None:
        self.world = world
        self.cached = dict(world.facts)
        self.cleared = 0
        self.sessions = Sessions()
        self.reads = 0
        self.hiding = Hiding()
        self.router = Router(
            self.sessions,
            bus,
            name=name,
            members=lambda dialog_id: self.cached.get(dialog_id, MISSING),
            load_members=self._load,
            recover=self._recover,
            positions=world.positions,
            newest=world.newest,
            now_ms=lambda: 0,
            forgotten=self._forget,
            forget_all=self._clear,
            hiding=self.hiding,
        )

    async def come(self, *people: Fake) -> None:
        for person in people:
            await self.router.user_came(person.app_id, person.user_id)
            self.sessions.add(person)

    def go(self, person: Fake) -> None:
        self.sessions.remove(person)
        if not self.sessions.of(person.user_id):
            self.router.user_went(person.user_id)

    def store(self, text: str, to: int = 0, dialog_id: str = GROUP_ID, sender: int = 1) -> Parcel:
        """Stores a message and sends it: to a group, or to a user."""
        stream = (dialog_id, to)
        parcels = self.world.stored.setdefault(stream, {0: Parcel(CHAT, 1, 0, "", 0, b"", b"")})
        seq = max(parcels) + 1
        parcel = Parcel(CHAT if to else GROUP, 1, to or sender, dialog_id, seq, text.encode(), b"")
        parcel.members_version = self.world.version
        parcels[seq] = parcel
        self.router.send(parcel)
        return parcel

    async def _load(self, app_id: int, dialog_id: str) -> Facts | None:
        await self.world.read()
        facts = self.cached[dialog_id] = self.world.facts[dialog_id]
        return facts

    async def _recover(self, stream: Stream, low: int, high: int) -> dict[int, Parcel]:
        self.reads += 1
        await self.world.read()
        return {seq: parcel for seq, parcel in self.world.stored[stream].items() if low <= seq <= high}

    def _forget(self, keys: tuple[Any, ...]) -> None:
        for key in keys:
            self.cached.pop(key[1], None)

    def _clear(self) -> None:
        self.cached.clear()
        self.cleared += 1


@contextlib.asynccontextmanager
async def two(world: World, weather: Weather | None = None) -> AsyncIterator[tuple[Node, Node, TestBus]]:
    wire = TestBus(weather)
    nodes = []
    for name in ("one", "two"):
        bus = wire.join()
        node = Node(world, bus, name)
        await bus.start(node.router)
        nodes.append(node)
    try:
        yield nodes[0], nodes[1], wire
    finally:
        for node in nodes:
            await node.router.close()
