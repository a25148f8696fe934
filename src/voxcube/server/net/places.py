"""How many connections the listeners of a node may hold, in sum, by group, and by address."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voxcube.server.core.peers import Network, counted_as, is_in, is_loopback

HTTP, CHAT = "http", "chat"
RESERVED = 64  # descriptors for the database, files, the bus and the listeners themselves


def descriptors() -> int:
    """How many connections the limit of open files leaves room for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else max(16, soft - RESERVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Most connections of one address (of IPv6: its /64 network). 0: any number."""

    half_open: int = 100  # chat connections that have not logged in, TLS handshakes and upgrades included
    http: int = 256


class Place:
    """The place of one connection. `over`: 0 it may stay; 1 it is to be told that it is one too many."""

    __slots__ = ("_closer", "_key", "_open", "_places", "address", "group", "over")

    def __init__(self, places: Places, group: str, address: str) -> None:
        self._places = places
        self._key = ""  # under which it is counted, "" when it is not
        self._closer: Callable[[], None] | None = None
        self._open = True
        self.group = group
        self.address = address
        self.over = 0

    def serve(self, address: str) -> None:
        """A trusted proxy has said whom the connection is for: from now on it counts for that address."""
        if address != self.address:
            self.leave()
            self.address = address
            self.over = self._places.count(self)

    def leave(self) -> None:
        """The client has logged in: it does not count for its address any more."""
        self._places.uncount(self)

    def close(self) -> None:
        """The connection is closed. May be called again."""
        if self._open:
            self._open = False
            self._places.closed(self)

    def idle(self, closer: Callable[[], None] | None) -> None:
        """Nothing is under way on the connection: `closer` ends it when its place is needed. None: it works again."""
        self._places.idle(self, closer)


class Places:
    """The counts of one node.

    HTTP may hold half of all descriptors and chat three quarters, so that neither can lock the other out. A group that
    is full, and an address that has its share, lose their longest idle HTTP connection to the next one.
    """

    def __init__(
        self,
        size: int = 2**31,
        caps: Caps | None = None,
        *,
        proxies: Sequence[Network] = (),
        spare_loopback: bool = False,
    ) -> None:
        """`size`: connections in all. Addresses in `proxies`, and loopback with `spare_loopback`, have no cap."""
        self._size = size
        self._most = {HTTP: size // 2, CHAT: size - size // 4}
        self._caps = caps or Caps()
        self._proxies = tuple(proxies)
        self._spare_loopback = spare_loopback
        self._held: Counter[str] = Counter()
        self._counts: dict[tuple[str, str], int] = {}
        self._idle: dict[Place, None] = {}  # in the order of becoming idle
        self._idle_of: dict[str, dict[Place, None]] = {}
        self.refused: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Connections in all groups."""
        return self._held.total()

    def enter(self, group: str, address: str) -> Place | None:
        """A connection was accepted; None: it is to be closed without a word."""
        if (self._held[group] >= self._most[group] or self.held >= self._size) and not self._evict(self._idle):
            self.refused[group] += 1
            return None
        place = Place(self, group, address)
        self._held[group] += 1
        place.over = self.count(place)
        if place.over > 1:
            place.close()
            self.refused[group] += 1
            return None
        return place

    def count(self, place: Place) -> int:
        """Count a place for its address: 0 it may stay, 1 it is to be told that it is one too many, 2 it is dropped."""
        most = self._caps.http if place.group == HTTP else self._caps.half_open
        if not most or is_in(place.address, self._proxies) or (self._spare_loopback and is_loopback(place.address)):
            return 0
        address = counted_as(place.address)
        key = (place.group, address)
        place._key = address
        if place.group == HTTP and self._counts.get(key, 0) >= most:
            self._evict(self._idle_of.get(address, {}))
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count <= most:
            return 0
        return 1 if place.group == CHAT and count <= 2 * most else 2

    def uncount(self, place: Place) -> None:
        if not place._key:
            return
        key, place._key = (place.group, place._key), ""
        if self._counts[key] == 1:
            del self._counts[key]
        else:
            self._counts[key] -= 1

    def closed(self, place: Place) -> None:
        self.idle(place, None)
        self.uncount(place)
        self._held[place.group] -= 1

    def idle(self, place: Place, closer: Callable[[], None] | None) -> None:
        place._closer = closer
        own = self._idle_of.get(place._key)
        self._idle.pop(place, None)
        if own is not None:
            own.pop(place, None)
            if not own:
                del self._idle_of[place._key]
        if closer is not None:
            self._idle[place] = None
            if place._key:
                self._idle_of.setdefault(place._key, {})[place] = None

    def _evict(self, among: dict[Place, None]) -> bool:
        """Close the longest idle connection; whether there was one."""
        place = next(iter(among), None)
        if place is None:
            return False
        closer = place._closer
        place.close()
        if closer is not None:
            closer()
        return True
