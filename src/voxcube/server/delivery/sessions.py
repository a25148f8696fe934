"""Who is connected to this node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol


class Screen(Protocol):
    """Keeps back what a user does not want to be shown (`features.privacy.screens`)."""

    active: bool  # whether it is this session's only

    def passes(self, head: bytes) -> bool:
        """Whether the session shall have a stanza that begins like this, up to the receiver's address."""


class Target(Protocol):
    """A connected session, as delivery sees it."""

    app_id: int
    user_id: int
    address: bytes  # its full JID, escaped for an attribute
    available: bool  # initial presence sent, priority not negative
    carbons: bool
    js: bool  # the JavaScript SDK
    screen: Screen | None  # most have none

    @property
    def inactive(self) -> bool:
        """Whether the user does not look at it, or its connection is broken: it does not count against pushes."""

    def deliver(self, head: bytes, tail: bytes, dialog_id: str, seq: int) -> None:
        """Writes head + address + tail; `seq` > 0 is what acknowledging it hands over (1-1 messages).

        Within a session each (dialog, seq) is written once, and only behind lower ones.
        """


class Sessions:
    """The available sessions of this node by user and application; tells when one of a user came or went."""

    def __init__(self) -> None:
        self.by_user: dict[int, list[Target]] = {}
        self.by_app: dict[int, set[int]] = {}  # application → users with a session here
        self.on_change: Callable[[int], None] = lambda user_id: None  # sessions of this user came or went

    def add(self, session: Target) -> None:
        found = self.by_user.setdefault(session.user_id, [])
        if session not in found:
            found.append(session)
            self.by_app.setdefault(session.app_id, set()).add(session.user_id)
            self.on_change(session.user_id)

    def remove(self, session: Target) -> None:
        found = self.by_user.get(session.user_id)
        if found is not None and session in found:
            found.remove(session)
            if not found:
                del self.by_user[session.user_id]
                users = self.by_app[session.app_id]
                users.discard(session.user_id)
                if not users:
                    del self.by_app[session.app_id]
            self.on_change(session.user_id)

    def of(self, user_id: int) -> Sequence[Target]:
        """The available sessions of a user on this node."""
        return self.by_user.get(user_id, ())

    def of_app(self, app_id: int) -> Iterator[Target]:
        """All available sessions of an application on this node."""
        for user_id in list(self.by_app.get(app_id, ())):
            yield from list(self.of(user_id))
