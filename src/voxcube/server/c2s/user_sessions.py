"""How many sessions a user may have on this node, and how much may wait for all of them together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voxcube.server.c2s.session import Session

# Connections that have logged in and not bound, beyond the cap: one of them may be about to resume the oldest session.
LOGGING_IN = 8
SLOW_BYTES = 65_536  # that may wait for a session before it is one of those that end


class UserSessions:
    """The sessions of each user that have logged in, detached ones included, oldest first."""

    def __init__(self, most: int, waiting_bytes: int) -> None:
        """`most` sessions for each user, 0: any number; `waiting_bytes` that all sessions of a user may leave unread or
        unacknowledged together."""
        self._most = most
        self._waiting_bytes = waiting_bytes
        self._by_user: dict[int, dict[Session, None]] = {}
        self._to_check: set[int] = set()

    def enter(self, session: Session) -> None:
        """The session has logged in."""
        self._by_user.setdefault(session.user_id, {})[session] = None
        self._trim(session, self._most + LOGGING_IN)

    def bound(self, session: Session) -> None:
        """The session has a resource: beyond the cap, the oldest one of the user ends."""
        self._trim(session, self._most)

    def leave(self, session: Session) -> None:
        """The session has ended."""
        sessions = self._by_user.get(session.user_id)
        if sessions is not None:
            sessions.pop(session, None)
            if not sessions:
                del self._by_user[session.user_id]

    def count(self, user_id: int) -> int:
        """The sessions of a user."""
        return len(self._by_user.get(user_id, ()))

    def check_soon(self, user_id: int) -> None:
        """Much waits for a session of the user: at the end of this turn of the loop, slow readers end until all fits.

        Not at once, since delivery is walking over the sessions.
        """
        if not self._to_check:
            asyncio.get_running_loop().call_soon(self._check)
        self._to_check.add(user_id)

    def _trim(self, session: Session, most: int) -> None:
        """`conflict` is the condition on which most clients do not connect again, so that two crowds of them do not
        replace each other for ever; the JavaScript SDK does after 5 seconds, on any condition (realtime §17)."""
        sessions = self._by_user.get(session.user_id, {})
        while self._most and len(sessions) > most:
            oldest = next(one for one in sessions if one is not session)
            oldest.fail("conflict", f"replaced: a user may have {self._most} sessions")
            sessions.pop(oldest, None)

    def _check(self) -> None:
        users, self._to_check = self._to_check, set()
        for user_id in users:
            sizes = {session: session.waiting_bytes for session in self._by_user.get(user_id, ())}
            total = sum(sizes.values())
            # One session alone has its own limits: a reader that catches up must not end for it again and again.
            slow = [session for session in sizes if sizes[session] > SLOW_BYTES]
            for session in sorted(slow, key=lambda one: sizes[one], reverse=True)[:-1]:
                if total <= self._waiting_bytes:
                    break
                total -= sizes[session]
                if not session.ended:
                    session.too_slow()
