"""Who has joined which room, on this node and on the others (realtime §10).

It is soft: kept in memory, and told over the bus. Of every room that somebody joined here a node says who it is, the
whole list under a rising number, soon after a change and twice more in case the word is lost. Lists may come late,
twice or not at all: the newest of each node counts. A node where a room is joined first asks the others for their
lists, and one that has been silent for long has nobody in any room.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

import msgspec

from voxcube.server.delivery.router import Router
from voxcube.server.delivery.sessions import Target

log = logging.getLogger(__name__)

GATHER = 0.01  # seconds in which changes of a room become one word
AGAIN = (0.5, 5.0)  # seconds after a change at which the list is said again
SILENCE = 10.0  # seconds after which a node that said nothing, not even its beat, is gone
MARK = b"r"

S = TypeVar("S", bound=Target)


class Occupant(NamedTuple):
    """A user in a room; `standing` is what the service says of it."""

    user_id: int
    standing: int


class _List(msgspec.Struct, array_like=True):
    node: str
    number: int
    dialog_id: str
    users: dict[int, int]  # user → standing
    ask: bool  # the others shall say theirs


class _Room(Generic[S]):
    __slots__ = ("asking", "elsewhere", "here", "sessions")

    def __init__(self) -> None:
        self.here: dict[int, int] = {}  # user → standing
        self.sessions: dict[int, list[S]] = {}
        self.elsewhere: dict[str, _List] = {}  # by node
        self.asking = True  # until all that may have been lost was said again

    def is_elsewhere(self, user_id: int) -> bool:
        return any(user_id in listed.users for listed in self.elsewhere.values())


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_List).decode


class Joined(Generic[S]):
    """The rooms that a session of this node has joined."""

    def __init__(
        self,
        router: Router,
        *,
        name: str,
        came: Callable[[str, Occupant], None],
        left: Callable[[str, int], None],
    ) -> None:
        """`name` is this run of this node's own. `came` and `left` (dialog, user) are called when a user joined on its
        first session anywhere, and when its last one is gone."""
        self._router = router
        self._name = name
        self._came = came
        self._left = left
        self._rooms: dict[str, _Room[S]] = {}
        self._numbers = itertools.count(1)
        self._to_say: dict[str, bool] = {}  # rooms of which the list is said next → whether it is the change itself
        self._saying: asyncio.Task[None] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._heard_at: dict[str, float] = {}
        self._gone: set[str] = set()  # nodes that were silent for long
        #: Called with the name of a node that was silent for long, and when it is heard again.
        self.on_node: Callable[[str, bool], None] = lambda node, lives: None
        if not router.alone:
            router.on_word(MARK, self._heard)
            router.on_beat = self.alive

    # -- sessions of this node -----------------------------------------------------------------------------------------

    def enter(self, dialog_id: str, session: S, standing: int) -> None:
        """A session joins; once more changes nothing."""
        room = self._rooms.get(dialog_id)
        if room is None:
            room = self._rooms[dialog_id] = _Room()
            if not self._router.alone:
                self._router.hear(dialog_id)
        sessions = room.sessions.setdefault(session.user_id, [])
        if session in sessions:
            return
        sessions.append(session)
        if len(sessions) == 1:
            room.here[session.user_id] = standing
            self._changed(dialog_id)
            if not room.is_elsewhere(session.user_id):
                self._came(dialog_id, Occupant(session.user_id, standing))

    def leave(self, dialog_id: str, session: S) -> None:
        """A session leaves, whether it had joined or not."""
        room = self._rooms.get(dialog_id)
        sessions = [] if room is None else room.sessions.get(session.user_id, [])
        if room is not None and session in sessions:
            sessions.remove(session)
            if not sessions:
                self._remove(dialog_id, room, session.user_id)

    def set_standing(self, dialog_id: str, user_id: int, standing: int) -> None:
        """The standing of a user who joined here may have changed."""
        room = self._rooms.get(dialog_id)
        if room is not None and room.here.get(user_id, standing) != standing:
            room.here[user_id] = standing
            self._changed(dialog_id)

    def remove(self, dialog_id: str, user_id: int) -> list[S]:
        """All sessions of a user leave; returns them."""
        room = self._rooms.get(dialog_id)
        sessions = [] if room is None else room.sessions.get(user_id, [])
        if room is not None and sessions:
            self._remove(dialog_id, room, user_id)
        return sessions

    def _remove(self, dialog_id: str, room: _Room[S], user_id: int) -> None:
        del room.sessions[user_id], room.here[user_id]
        self._changed(dialog_id)
        if not room.is_elsewhere(user_id):
            self._left(dialog_id, user_id)
        if not room.here:
            del self._rooms[dialog_id]
            if not self._router.alone:
                self._router.unhear(dialog_id)

    # -- who is there --------------------------------------------------------------------------------------------------

    def rooms(self) -> list[str]:
        """The rooms that somebody here has joined."""
        return list(self._rooms)

    def rooms_of(self, user_id: int) -> list[str]:
        """The rooms that a user has joined here."""
        return [dialog_id for dialog_id, room in self._rooms.items() if user_id in room.here]

    def rooms_with(self, user_id: int) -> list[tuple[str, Occupant]]:
        """The rooms open here that a user has joined on any node, and as what."""
        found = []
        for dialog_id, room in self._rooms.items():
            for users in (room.here, *(listed.users for listed in room.elsewhere.values())):
                if user_id in users:
                    found.append((dialog_id, Occupant(user_id, users[user_id])))
                    break
        return found

    def is_open(self, dialog_id: str) -> bool:
        """Whether somebody here has joined the room."""
        return dialog_id in self._rooms

    def count(self, dialog_id: str) -> int:
        """How many have joined a room, those counted twice who did on two nodes."""
        room = self._rooms.get(dialog_id)
        return 0 if room is None else len(room.here) + sum(len(listed.users) for listed in room.elsewhere.values())

    def has_joined(self, dialog_id: str, session: S) -> bool:
        room = self._rooms.get(dialog_id)
        return room is not None and session in room.sessions.get(session.user_id, ())

    def here(self, dialog_id: str) -> list[int]:
        """The users that joined a room here."""
        room = self._rooms.get(dialog_id)
        return [] if room is None else list(room.here)

    def occupants(self, dialog_id: str) -> Iterator[Occupant]:
        """Everybody in a room, on all nodes, as far as is known; only of rooms that somebody here has joined."""
        room = self._rooms.get(dialog_id)
        if room is not None:
            found = dict(room.here)
            for listed in room.elsewhere.values():
                found = listed.users | found
            yield from itertools.starmap(Occupant, found.items())

    def sessions(self, dialog_id: str) -> Iterator[S]:
        """The sessions that joined a room here."""
        room = self._rooms.get(dialog_id)
        if room is not None:
            for sessions in room.sessions.values():
                yield from sessions

    # -- what this node says -------------------------------------------------------------------------------------------

    def doubt(self) -> None:
        """Words may have been missed: says and asks everything anew."""
        for dialog_id, room in self._rooms.items():
            room.asking = True
            self._changed(dialog_id)

    def _changed(self, dialog_id: str) -> None:
        if not self._router.alone:
            self._say_soon(dialog_id, True)

    def _say_soon(self, dialog_id: str, change: bool) -> None:
        self._to_say[dialog_id] = change or self._to_say.get(dialog_id, False)
        if self._saying is None:
            self._saying = asyncio.create_task(self._say_all())

    async def _say_all(self) -> None:
        await asyncio.sleep(GATHER)
        try:
            await self._router.ready()  # the answers to what is asked are heard
        except Exception as error:  # the bus is away, and will say so
            log.warning("who is in a room is not told to other nodes: %s", type(error).__name__)
        self._saying = None
        self._say_now()

    def _say_now(self) -> None:
        to_say, self._to_say = self._to_say, {}
        for dialog_id, change in to_say.items():
            room = self._rooms.get(dialog_id)
            self._say(dialog_id, room, ask=change and room is not None and room.asking)
            if change:
                self._say_again(dialog_id, 0)

    def _say(self, dialog_id: str, room: _Room[S] | None, *, ask: bool) -> None:
        users = {} if room is None else room.here
        word = _List(self._name, next(self._numbers), dialog_id, users, ask)
        self._router.say(MARK, dialog_id, _encode(word))

    def _say_again(self, dialog_id: str, stage: int) -> None:
        timer = self._timers.pop(dialog_id, None)
        if timer is not None:
            timer.cancel()
        if stage < len(AGAIN):
            loop = asyncio.get_running_loop()
            self._timers[dialog_id] = loop.call_later(AGAIN[stage], self._repeat, dialog_id, stage)

    def _repeat(self, dialog_id: str, stage: int) -> None:
        room = self._rooms.get(dialog_id)
        self._say(dialog_id, room, ask=room is not None and room.asking)
        if room is not None and stage + 1 == len(AGAIN):
            room.asking = False
        self._say_again(dialog_id, stage + 1)

    # -- what other nodes say ------------------------------------------------------------------------------------------

    def _heard(self, word: bytes) -> None:
        listed = _decode(word)
        self.alive(listed.node)
        room = self._rooms.get(listed.dialog_id)
        if room is None:
            return
        known = room.elsewhere.get(listed.node)
        if known is None or known.number < listed.number:
            self._replace(listed.dialog_id, room, listed)
        if listed.ask:
            self._say_soon(listed.dialog_id, False)

    def _replace(self, dialog_id: str, room: _Room[S], listed: _List) -> None:
        known = room.elsewhere.pop(listed.node, None)
        before = {} if known is None else known.users
        gone, new = before.keys() - listed.users.keys(), listed.users.keys() - before.keys()
        came = [user_id for user_id in new if user_id not in room.here and not room.is_elsewhere(user_id)]
        room.elsewhere[listed.node] = listed
        for user_id in came:
            self._came(dialog_id, Occupant(user_id, listed.users[user_id]))
        for user_id in gone:
            if user_id not in room.here and not room.is_elsewhere(user_id):
                self._left(dialog_id, user_id)

    def alive(self, node: str) -> None:
        """A node has said something."""
        self._heard_at[node] = asyncio.get_running_loop().time()
        if node in self._gone:
            self._gone.discard(node)
            self.doubt()
            self.on_node(node, True)

    async def look(self) -> None:
        """Notices nodes that have died; called now and then."""
        now = asyncio.get_running_loop().time()
        for node in [node for node, heard_at in self._heard_at.items() if now - heard_at > SILENCE]:
            del self._heard_at[node]
            self._gone.add(node)
            for dialog_id, room in list(self._rooms.items()):
                known = room.elsewhere.get(node)
                if known is not None:
                    # What was said before counts again when the node turns out to live: it says it anew.
                    self._replace(dialog_id, room, _List(node, known.number, dialog_id, {}, False))
            self.on_node(node, False)

    # -- the end -------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Says what was to be said, and nothing more."""
        saying = self._saying
        if saying is not None:
            saying.cancel()
            await asyncio.wait([saying])
        self._say_now()
        for timer in self._timers.values():
            timer.cancel()
