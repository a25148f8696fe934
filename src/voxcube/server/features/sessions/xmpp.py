"""Chat sessions and what let them in: a stream ends with its token, and keeps it alive while it lasts.

Other nodes hear of ended tokens and deleted users by the words that also make them forget facts. A look at the database
now and then catches what was lost on the way, and a token that ended while its login was under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from voxcube.server.c2s.session import Session
from voxcube.server.features.sessions.service import LogIn, SessionService

LOOK_SECONDS = 30.0  # between two looks at new logins
KEEP_LOOKS = 60  # each look is also at one in so many users: tokens are extended long before they would end


class LogIns:
    """The authenticated sessions of this node by user."""

    def __init__(self, service: SessionService) -> None:
        self._service = service
        self._sessions: dict[int, list[Session]] = {}
        self._new: set[LogIn] = set()
        self._turn = 0
        self._doubtful = False

    def came(self, session: Session) -> None:
        """The session has authenticated."""
        self._sessions.setdefault(session.user_id, []).append(session)
        self._new.add(_login(session))

    def gone(self, session: Session) -> None:
        """The session has ended."""
        found = self._sessions.get(session.user_id)
        if found is not None and session in found:
            found.remove(session)
            if not found:
                del self._sessions[session.user_id]

    def ended(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """What is forgotten on all nodes: ("token", user, hash), ("password", user, version) and ("gone", user) end
        sessions (realtime §17)."""
        for key in keys:
            if key[0] == "token":
                self._end(session for session in self._sessions.get(key[1], ()) if session.token_hash == key[2])
            elif key[0] == "password":
                self._end(
                    session
                    for session in self._sessions.get(key[1], ())
                    if session.token_hash is None and session.password_version < key[2]
                )
            elif key[0] == "gone":
                self._end(self._sessions.get(key[1], ()))

    def doubt(self) -> None:
        """Words of other nodes may have been missed: the next look is at all sessions."""
        self._doubtful = True

    async def look_if_in_doubt(self) -> None:
        """Called every second: what the command line has ended ends soon."""
        if self._doubtful:
            await self.look()

    async def look(self) -> None:
        """Extends tokens and ends what may not stay; called every LOOK_SECONDS."""
        self._turn = (self._turn + 1) % KEEP_LOOKS
        logins = self._new | {
            _login(session)
            for user_id, sessions in self._sessions.items()
            if self._doubtful or user_id % KEEP_LOOKS == self._turn
            for session in sessions
        }
        self._new = set()
        doubtful, self._doubtful = self._doubtful, False
        try:
            ended = await self._service.keep_alive(logins) if logins else set()
        except Exception:
            self._new |= logins  # at the next look
            self._doubtful = self._doubtful or doubtful
            raise
        for login in ended:
            self._end(session for session in self._sessions.get(login.user_id, ()) if _login(session) == login)

    @staticmethod
    def _end(sessions: Iterable[Session]) -> None:
        for session in list(sessions):
            session.fail("not-authorized")


def _login(session: Session) -> LogIn:
    return LogIn(session.app_id, session.user_id, session.token_hash, session.password_version)
