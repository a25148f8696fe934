"""What all sessions of a node share: its limits, the way to the services, and the writes of one turn of the loop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from voxcube.server.c2s.pace import Pace
from voxcube.server.c2s.resumption import Resumption
from voxcube.server.c2s.user_sessions import UserSessions
from voxcube.server.core.counts import Counts
from voxcube.server.core.ids import Ids
from voxcube.server.core.models import Admission
from voxcube.server.core.peers import Network
from voxcube.server.delivery.handed import Handed
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.net.places import Places

if TYPE_CHECKING:
    from voxcube.server.c2s.dispatch import Dispatch
    from voxcube.server.c2s.outgoing import Outgoing
    from voxcube.server.c2s.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long and how much a connection may."""

    auth_seconds: float = 30.0  # to the first <auth/>, and from the login to the bind
    failed_seconds: float = 60.0  # after a failed login: JS dials again for ever when we close first (realtime §2.3)
    close_seconds: float = 5.0  # how long a peer may take to read our last words
    outbox_bytes: int = 4 * 1024 * 1024  # what a slow reader may leave unread beyond what its socket takes
    user_waiting_bytes: int = 16 * 1024 * 1024  # unread or unacknowledged, of all sessions of a user on this node
    unacknowledged: int = 50_000  # stanzas that a client with stream management may leave uncounted
    unacknowledged_bytes: int = 4 * 1024 * 1024  # the same where they are kept, so that the session can be resumed


class Outboxes:
    """Writes what the sessions have gathered once per turn of the event loop."""

    def __init__(self) -> None:
        self._filled: list[Outgoing] = []
        self._loop = asyncio.get_running_loop()

    def filled(self, session: Outgoing) -> None:
        if not self._filled:
            self._loop.call_soon(self._flush)
        self._filled.append(session)

    def _flush(self) -> None:
        sessions, self._filled = self._filled, []
        for session in sessions:
            session.flush()


class Room(Protocol):
    """The writer's back-pressure."""

    @property
    def full(self) -> bool: ...

    async def room(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Hub:
    """What all sessions of a node share."""

    domain: str
    aliases: frozenset[str]
    dispatch: Dispatch
    sessions: Sessions
    handed: Handed
    outboxes: Outboxes
    pressure: Room
    # Application, user, password, the client's address; None = refused, or it raises TooManyRequests.
    authenticate: Callable[[int, int, str, str], Awaitable[Admission | None]]
    came: Callable[[Session], None]  # the session has authenticated
    gone: Callable[[Session], None]  # the session has ended
    ids: Ids
    limits: Limits = Limits()
    counts: Counts = field(default_factory=Counts)
    resumption: Resumption = field(default_factory=lambda: Resumption(0))
    pace: Pace | None = None  # None: everybody may send as fast as it can be handled
    user_sessions: UserSessions = field(default_factory=lambda: UserSessions(0, Limits().user_waiting_bytes))
    places: Places = field(default_factory=Places)
    trusted_proxies: tuple[Network, ...] = ()  # they end TLS, and say for whom they connect
    origins: tuple[str, ...] = ("*",)  # web pages that may open a WebSocket
    bound: dict[str, Session] = field(default_factory=dict)
    connected: set[Session] = field(default_factory=set)
    stopping: bool = False  # nothing is read any more
    turns: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(256)))  # for the keep-alive's rounds

    def next_turn(self) -> int:
        """The next connection's place in the rounds of the keep-alive."""
        return next(self.turns)
