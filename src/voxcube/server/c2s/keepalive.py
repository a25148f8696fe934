"""Finds dead peers: one round over all sessions of a node, a part of it every second (realtime §13)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

MISSED = 2  # pings without any sign of life after which a peer is dead


class Listener(Protocol):
    """A connection."""

    turn: int

    def ask(self) -> None:
        """Asks what the client has got, if anything is open."""

    def look(self) -> None:
        """A round has come to it: it is pinged when nothing was heard since the last, and dropped after `MISSED`."""


class KeepAlive:
    """Looks at every session once in `seconds`. There are no timers per session, and no crowd is pinged at once."""

    def __init__(self, connected: Collection[Listener], seconds: int) -> None:
        """`seconds` 0: nobody is pinged."""
        self._connected = connected
        self._seconds = seconds
        self._now = 0

    async def turn(self) -> None:
        """Called once a second."""
        now = self._now = (self._now + 1) % (self._seconds or 1)
        for session in list(self._connected):
            session.ask()
            if self._seconds and session.turn % self._seconds == now:
                session.look()
