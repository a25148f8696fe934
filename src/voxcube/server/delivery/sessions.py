"""Who is connected to this node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol


class Target(Protocol):
    """A connected session, as delivery sees it."""

    app_id: int
    user_id: int
    address: bytes  # its full JID, escaped for an attribute
    available: bool  # initial presence sent, priority not negative
    carbons: bool

    def deliver(self, head: bytes, tail: bytes, dialog_id: str, seq: int) -> None:
        """Writes head + address + tail; `seq` > 0 is what acknowledging it hands over (1-1 messages)."""


class Sessions:
    """The available sessions of this node by user; tells when a user's first one comes and the last one goes."""

    def __init__(self) -> None:
        self.by_user: dict[int, list[Target]] = {}
        self.on_change: Callable[[int], None] = lambda user_id: None  # sessions of this user came or went

    def add(self, session: Target) -> None:
        found = self.by_user.setdefault(session.user_id, [])
        if session not in found:
            found.append(session)
            self.on_change(session.user_id)

    def remove(self, session: Target) -> None:
        found = self.by_user.get(session.user_id)
        if found is not None and session in found:
            found.remove(session)
            if not found:
                del self.by_user[session.user_id]
            self.on_change(session.user_id)

    def of(self, user_id: int) -> list[Target]:
        """The available sessions of a user on this node."""
        return self.by_user.get(user_id, [])

    def of_app(self, app_id: int) -> Iterator[Target]:
        """All available sessions of an application on this node."""
        for sessions in list(self.by_user.values()):
            for session in sessions:
                if session.app_id == app_id:
                    yield session
