"""Sessions that outlive their connection: who may go on with which, and how long it is waited for (XEP-0198 §5)."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voxcube.server.c2s.session import Session

DETACHED_PER_USER = 8  # of more, the one that has waited longest ends: nobody has so many devices in a tunnel
REMEMBERED = 10_000  # ended sessions whose client may still ask how far it had got

Kept = tuple[str, int, bytes, bytes | None]
"""A stanza that may have to be sent again: dialog and seq as in `Target.deliver`, and the bytes before and after the
receiver's address; None behind a stanza that is complete."""


class Resumption:
    """The resumable sessions of a node by their ids, and among them those that wait for their client."""

    def __init__(
        self,
        seconds: int,
        undelivered: Callable[[Session, list[Kept]], None] = lambda session, kept: None,
    ) -> None:
        """`seconds` is how long a session waits, 0: none does. `undelivered(session, stanzas)` takes what the client
        never acknowledged of a session that has ended."""
        self.seconds = seconds
        self.undelivered = undelivered
        self._sessions: dict[str, Session] = {}
        self._detached: dict[int, dict[Session, asyncio.TimerHandle]] = {}  # by user, longest waiting first
        self._handled: OrderedDict[str, tuple[int, int, int]] = OrderedDict()  # id → application, user, h

    def admit(self, session: Session) -> str:
        """The id under which the session can be resumed; nobody guesses it."""
        resume_id = secrets.token_urlsafe(16)
        self._sessions[resume_id] = session
        return resume_id

    def find(self, resume_id: str, by: Session) -> Session | None:
        """The session with this id, if it belongs to the user who logged in as `by`."""
        found = self._sessions.get(resume_id)
        if found is None or (found.app_id, found.user_id) != (by.app_id, by.user_id):
            return None
        return found

    def handled(self, resume_id: str, by: Session) -> int | None:
        """How many stanzas of an ended session were handled, when that is remembered and `by` may know it."""
        app_id, user_id, h = self._handled.get(resume_id, (0, 0, 0))
        return h if (app_id, user_id) == (by.app_id, by.user_id) else None

    def detached(self, session: Session, seconds: int) -> None:
        """The session has lost its connection: it ends when it is not resumed in time."""
        waiting = self._detached.setdefault(session.user_id, {})
        waiting[session] = asyncio.get_running_loop().call_later(seconds, self._expire, session)
        if len(waiting) > DETACHED_PER_USER:
            self._expire(next(iter(waiting)))

    def attached(self, session: Session) -> None:
        """The session has a connection again, or needs none any more."""
        waiting = self._detached.get(session.user_id, {})
        timer = waiting.pop(session, None)
        if timer is not None:
            timer.cancel()
            if not waiting:
                del self._detached[session.user_id]

    def ended(self, session: Session) -> None:
        """The session cannot be resumed any more."""
        self._sessions.pop(session.resume_id, None)
        self.attached(session)

    def waiting(self) -> Iterator[Session]:
        """The sessions without a connection."""
        for sessions in list(self._detached.values()):
            yield from list(sessions)

    def __len__(self) -> int:
        return sum(map(len, self._detached.values()))

    def _expire(self, session: Session) -> None:
        self._handled[session.resume_id] = (session.app_id, session.user_id, session.handled_count)
        if len(self._handled) > REMEMBERED:
            self._handled.popitem(last=False)
        session.end()
