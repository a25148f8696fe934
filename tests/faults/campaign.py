"""The actors of a fault campaign: senders that send again as SDKs do, readers, and what breaks them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.faults.reader import Reader, message_id
from tests.support.bad_network import BadNetwork
from tests.support.database_proxy import DatabaseProxy
from tests.support.server_process import ServerProcess
from voxcube.xmpp.xml import Element

PASSWORD = "long enough for all"
WINDOW = 12  # messages that one sender has unacknowledged
CONNECT_SECONDS = 40.0  # a login while the database is away, or the server starts
FLIGHT_SECONDS = 3.0  # that a stanza may be on its way when its connection is cut
OFFLINE_MESSAGES = 100  # kept for a user who is away (realtime §7.4)
SAVE = '<extraParams xmlns="jabber:client"><save_to_history>1</save_to_history></extraParams>'
LOST = (OSError, AssertionError, TimeoutError, EOFError)  # how a raw connection ends in the middle of something
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A dialog and its members by name; `group_id` is "" for a pair."""

    name: str
    members: tuple[str, ...]
    group_id: str = ""


@dataclass(eq=False)
class Sent:
    """A message of the campaign. `began` and `acknowledged` are monotonic seconds; 0: not acknowledged."""

    id: str
    sender: str
    place: Place
    number: int
    began: float
    acknowledged: float = 0.0


@dataclass(eq=False)
class Life:
    """One session: from when it was ready (`since`) until it was last known to be whole (`until`), monotonic seconds.

    `got` holds the ids of what it was given. `writes`: its user's own messages may be echoes of what it sent again.
    """

    user: str
    since: float
    sm: bool
    until: float = float("inf")
    ended: float = float("inf")
    writes: bool = False
    got: list[str] = field(default_factory=list)


class Listener(Reader):
    """A session of the campaign."""

    life: Life

    def _take(self, tokens: list[object]) -> None:
        for token in tokens:
            if isinstance(token, Element) and token.name == "message" and (found := message_id(token)):
                self.life.got.append(found)
        super()._take(tokens)
        self.waiting = [element for element in self.waiting if element.name != "message"]


class Campaign:
    """People on one server behind a bad network, with what they have sent and got."""

    def __init__(self, server: ServerProcess, network: BadNetwork, dice: random.Random) -> None:
        self.server = server
        self.network = network
        self.dice = dice
        self.app_id = 0
        self.users: dict[str, int] = {}
        self.places: list[Place] = []
        self.sent: list[Sent] = []
        self.lives: list[Life] = []
        self.counts: Counter[str] = Counter()
        self.enough = asyncio.Event()
        self.over = asyncio.Event()

    def address(self, sender: str, place: Place) -> str:
        if place.group_id:
            return f"{self.app_id}_{place.group_id}@muc.localhost"
        other = next(name for name in place.members if name != sender)
        return f"{self.users[other]}-{self.app_id}@localhost"

    async def _open(self, name: str, sm: bool) -> Listener:
        async with asyncio.timeout(CONNECT_SECONDS):
            listener = await Listener.connect(self.network.address)
            listener.life = Life(name, time.monotonic(), sm)
            listener.seconds = CONNECT_SECONDS
            try:
                await listener.login(f"{self.users[name]}-{self.app_id}", PASSWORD, f"{name}{next(_numbers)}")
                if sm:
                    await listener.enable()
                await listener.available()
                await listener.ping()
            except BaseException:
                await listener.close()
                raise
            return listener

    # -- readers -------------------------------------------------------------------------------------------------------

    async def read(self, name: str, sm: bool) -> None:
        """Connects again and again until the campaign is over; pings show that a session is whole."""
        while not self.over.is_set():
            try:
                listener = await self._open(name, sm)
            except LOST:
                await asyncio.sleep(0.1)
                continue
            life = listener.life
            life.since = time.monotonic()
            life.until = life.since
            self.lives.append(life)
            try:
                while not self.over.is_set() and not listener.over:
                    asked = time.monotonic()
                    await listener.ping()
                    life.until = asked
                    await asyncio.sleep(0.2)
                if not listener.over:
                    life.until = float("inf")
            except LOST:
                pass
            finally:
                life.ended = time.monotonic()
                await listener.close()
            self.counts["sessions of readers"] += 1

    # -- senders -------------------------------------------------------------------------------------------------------

    async def write(self, name: str) -> None:
        """Writes to all places of a user until it is enough; what was not acknowledged is sent again first."""
        open_: list[Sent] = []
        numbers: defaultdict[str, int] = defaultdict(int)
        mine = [place for place in self.places if name in place.members]
        while not self.enough.is_set() or open_:
            try:
                peer = await self._open(name, True)
            except LOST:
                await asyncio.sleep(0.1)
                continue
            peer.life.writes, peer.life.until = True, 0.0  # what it lacks is not asked for
            self.lives.append(peer.life)
            try:
                handled = await peer.request()
            except LOST:
                peer.life.ended = time.monotonic()
                await peer.close()
                continue
            for message in open_:
                self._send(peer, message)
            self.counts["sent again"] += len(open_)
            with contextlib.suppress(*LOST):
                while open_ or not self.enough.is_set():
                    while len(open_) < WINDOW and not self.enough.is_set():
                        place = self.dice.choice(mine)
                        message = Sent(
                            f"65a1b2c5{next(_numbers):016x}", name, place, numbers[place.name], time.monotonic()
                        )
                        numbers[place.name] += 1
                        self.sent.append(message)
                        open_.append(message)
                        self._send(peer, message)
                    now = await peer.request()
                    for message in open_[: now - handled]:
                        message.acknowledged = time.monotonic()
                    del open_[: now - handled]
                    handled = now
                    await asyncio.sleep(self.dice.uniform(0, 0.06))
            peer.life.ended = time.monotonic()
            await peer.close()

    def _send(self, peer: Listener, message: Sent) -> None:
        to, body = self.address(message.sender, message.place), f"{message.sender} {message.number}"
        kind = "groupchat" if message.place.group_id else "chat"
        peer.send(
            f'<message xmlns="jabber:client" type="{kind}" to="{to}" id="{message.id}">'
            f"<body>{body}</body>{SAVE}</message>"
        )

    # -- what breaks ---------------------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """SIGKILL, and a new start."""
        self.counts["kills"] += 1
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(self.dice.uniform(0, 0.3))
        await asyncio.to_thread(self.server.start)

    async def cut(self) -> None:
        """Some client connections are reset."""
        for link in self.dice.sample(sorted(self.network.links, key=id), k=min(3, len(self.network.links))):
            self.counts["cuts"] += 1
            link.cut()

    async def freeze(self) -> None:
        """Nothing passes between clients and server for a moment; nothing is lost."""
        self.counts["stalls"] += 1
        links = list(self.network.links)
        for link in links:
            link.late = 0.3
        await asyncio.sleep(0.5)
        for link in links:
            link.late = 0.0

    async def lose_commits(self, proxy: DatabaseProxy) -> None:
        """Breaks the connection at a COMMIT, and now and then keeps the database away for longer than is waited for."""
        proxy.arm = self.dice.choice(["before", "after", "after"])
        proxy.then_away = self.dice.random() < 0.6
        cuts = proxy.cuts
        for _ in range(200):
            if proxy.cuts > cuts:
                break
            await asyncio.sleep(0.01)
        self.counts["commits cut"] += proxy.cuts - cuts
        if proxy.away:
            self.counts["outages"] += 1
            await asyncio.sleep(self.dice.choice([0.1, 1.0, self.long_outage]))
        proxy.arm, proxy.then_away = "", False
        proxy.back()

    long_outage = 3.0

    # -- the checker ---------------------------------------------------------------------------------------------------

    def check(self, stored: dict[str, list[str]]) -> list[str]:
        """Violations; `stored` are the ids of each place (by name) in the order of their numbers."""
        wrong: list[str] = []
        by_id = {message.id: message for message in self.sent}
        order: dict[str, int] = {}
        for name, ids in stored.items():
            if len(ids) != len(set(ids)):
                wrong.append(f"{name}: stored twice")
            for seq, id_ in enumerate(ids):
                order[id_] = seq
            last: dict[str, int] = {}
            for id_ in ids:
                message = by_id[id_]
                if message.number <= last.get(message.sender, -1):
                    wrong.append(f"{name}: stored in another order than {message.sender} has sent: {id_}")
                last[message.sender] = message.number
        wrong += [f"acknowledged and not stored: {m.id}" for m in self.sent if m.acknowledged and m.id not in order]
        began = [message.began for message in self.sent]
        for life in self.lives:
            wrong += self._check_life(life, by_id, order)
            if life.until > life.since:
                within = self.sent[bisect(began, life.since) : bisect(began, life.until)]
                wrong += self._check_whole(life, within)
        for user in self.users:
            wrong += self._check_user(user, order, by_id)
        return wrong

    def _check_user(self, user: str, order: dict[str, int], by_id: dict[str, Sent]) -> Iterator[str]:
        """Every acknowledged private message reached one of the user's sessions. Two bounds are documented: what was
        written to a session without acknowledgements may be lost with its connection, and of more messages than are
        kept for a user who is away the oldest are left to the history. Both are counted."""
        lives = sorted((life for life in self.lives if life.user == user), key=lambda life: life.since)
        got = set().union(*(life.got for life in lives))
        private = [
            message
            for message in self.sent
            if user in message.place.members and user != message.sender and not message.place.group_id
        ]
        newest: list[tuple[Life, dict[str, int]]] = []  # of each session the newest of each place
        for life in lives:
            highest: dict[str, int] = defaultdict(int)
            for id_ in life.got:
                name = by_id[id_].place.name
                highest[name] = max(highest[name], order.get(id_, 0))
            newest.append((life, highest))
        for message in private:
            if not message.acknowledged or message.id in got:
                continue
            place, seq = message.place.name, order.get(message.id, -1)
            follower = next((life for life, highest in newest if highest.get(place, -1) > seq), None)
            near = (life for life in lives if not life.sm and life.since < message.acknowledged + 1)
            if any(message.began - 1 < life.ended < message.acknowledged + FLIGHT_SECONDS for life in near):
                self.counts["lost with a connection without acknowledgements"] += 1
            elif (
                follower is not None
                and sum(message.began <= other.began < follower.since for other in private) > OFFLINE_MESSAGES
            ):
                self.counts["left to the history"] += 1
            else:
                was = [
                    f"{life.since - message.began:+.1f}…{life.ended - message.began:+.1f}{' sm' if life.sm else ''}"
                    for life in lives
                    if life.since < message.began + 60 and life.ended > message.began - 10
                ]
                yield f"never given to {user}: {message.id} of {place}; its sessions were {was}"

    def _check_life(self, life: Life, by_id: dict[str, Sent], order: dict[str, int]) -> Iterator[str]:
        at = f"session of {life.user} ({'acknowledging' if life.sm else 'plain'})"
        last: dict[str, int] = {}
        seen: set[str] = set()
        for id_ in life.got:
            place = by_id[id_].place
            if life.writes and by_id[id_].sender == life.user:
                continue
            if id_ in seen:
                yield f"{at}: given twice: {id_}"
            seen.add(id_)
            if id_ not in order:
                yield f"{at}: given and not stored: {id_}"
                continue
            if order[id_] < last.get(place.name, -1):
                yield f"{at}: {id_} of {place.name} came behind a newer one"
            last[place.name] = max(order[id_], last.get(place.name, -1))

    def _check_whole(self, life: Life, within: Sequence[Sent]) -> Iterator[str]:
        """A session that was whole from before a message was sent until after it was acknowledged has it."""
        got = set(life.got)
        for message in within:
            user, place = life.user, message.place
            theirs = user in place.members and (user != message.sender or place.group_id)
            if theirs and 0 < message.acknowledged < life.until and message.id not in got:
                yield f"session of {user} ({'acknowledging' if life.sm else 'plain'}): not given {message.id}"
