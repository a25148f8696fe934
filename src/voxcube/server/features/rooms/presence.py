"""Occupants' presence in rooms, shown to the sessions of this node whose users the occupants do not hide from.

Joins, departures and updates of privacy lists are queued and handled in order, as a default list may have to be read
first. Kept are only the pairs of viewer and occupant that a list keeps apart, so that an update of a list shows what it
has changed (XEP-0191 §3.3): a blocked viewer sees the occupant leave, and an unblocked one sees it join.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Generic, NamedTuple, Protocol

from voxcube.server.features.rooms.joined import Joined, Occupant, S

log = logging.getLogger(__name__)

CROWD = 500  # occupants up to which a room shows them to each other: n of them mean n² presences
BATCH = 500  # queued events for which lists are read at once
AGAIN = 1.0  # seconds until lists that could not be read are read again


class Visibility(Protocol):
    """Privacy lists (`features.privacy.visibility`)."""

    def knows(self, app_id: int, user_id: int) -> bool: ...
    def peek_hides_in_room(self, app_id: int, user_id: int, viewer_id: int, dialog_id: str) -> bool: ...
    async def load(self, app_id: int, users: Collection[int]) -> None: ...


class _Event(NamedTuple):
    """A user joined (with a standing) or left a room, or the privacy list of an occupant has changed."""

    app_id: int
    user_id: int
    dialog_id: str
    standing: int | None = None
    changed: bool = False


class RoomPresence(Generic[S]):
    """Who is shown which occupants, on this node."""

    def __init__(
        self,
        joined: Joined[S],
        visibility: Visibility,
        *,
        show_joined: Callable[[str, Occupant, list[S]], None],
        show_left: Callable[[str, int, list[S]], None],
    ) -> None:
        """`show_joined(dialog, occupant, sessions)` and `show_left(dialog, user, sessions)` write the presences."""
        self._joined = joined
        self._visibility = visibility
        self._show_joined = show_joined
        self._show_left = show_left
        self._hidden: dict[str, set[tuple[int, int]]] = {}  # dialog → (viewer, occupant)
        self._queue: deque[_Event] = deque()
        self._task: asyncio.Task[None] | None = None

    # -- events --------------------------------------------------------------------------------------------------------

    def joined(self, dialog_id: str, occupant: Occupant) -> None:
        """A user has joined a room on its first session anywhere."""
        self._push_in(dialog_id, occupant.user_id, occupant.standing)

    def left(self, dialog_id: str, user_id: int) -> None:
        """The last session of a user has left a room."""
        self._push_in(dialog_id, user_id, None)

    def list_changed(self, app_id: int, user_id: int) -> None:
        """The default privacy list of a user has changed, here or on another node."""
        for dialog_id, occupant in self._joined.rooms_with(user_id):
            self._push(_Event(app_id, user_id, dialog_id, occupant.standing, changed=True))

    def resync(self) -> None:
        """Any list may have changed."""
        for dialog_id in self._joined.rooms():
            session = next(self._joined.sessions(dialog_id), None)
            if session is not None and self._joined.count(dialog_id) <= CROWD:
                for user_id, standing in self._joined.occupants(dialog_id):
                    self._push(_Event(session.app_id, user_id, dialog_id, standing, changed=True))

    # -- a session that joins ------------------------------------------------------------------------------------------

    async def prepare(self, app_id: int, dialog_id: str, user_id: int) -> None:
        """Read the lists that `shown` needs, and that of the user who is about to join."""
        while True:
            users = {user_id, *(other.user_id for other in islice(self._joined.occupants(dialog_id), CROWD + 1))}
            if all(self._visibility.knows(app_id, other) for other in users):
                return
            await self._visibility.load(app_id, users)

    def shown(self, dialog_id: str, session: S) -> Iterator[Occupant]:
        """The other occupants that a session sees when it joins."""
        for occupant in islice(self._joined.occupants(dialog_id), CROWD + 1):
            if occupant.user_id != session.user_id and not self._note(dialog_id, session, occupant.user_id):
                yield occupant

    # -- the queue -----------------------------------------------------------------------------------------------------

    def _push_in(self, dialog_id: str, user_id: int, standing: int | None) -> None:
        session = next(self._joined.sessions(dialog_id), None)
        if session is not None:
            self._push(_Event(session.app_id, user_id, dialog_id, standing))

    def _push(self, event: _Event) -> None:
        self._queue.append(event)
        if self._task is None:
            self._handle_known()
            if self._queue:
                self._task = asyncio.create_task(self._work())

    def _handle_known(self) -> None:
        """Handle events up to the first one of a user whose list must be read."""
        while self._queue and self._visibility.knows(self._queue[0].app_id, self._queue[0].user_id):
            event = self._queue.popleft()
            if event.standing is None:
                self._depart(event.dialog_id, event.user_id)
            elif event.changed:
                self._compare(event.dialog_id, Occupant(event.user_id, event.standing))
            else:
                self._arrive(event.dialog_id, Occupant(event.user_id, event.standing))

    async def _work(self) -> None:
        while self._queue:
            users: dict[int, set[int]] = {}
            for event in islice(self._queue, BATCH):
                users.setdefault(event.app_id, set()).add(event.user_id)
            try:
                for app_id, of_app in users.items():
                    await self._visibility.load(app_id, of_app)
            except Exception as error:  # the database is away
                log.warning("privacy lists of occupants could not be read: %s", type(error).__name__)
                await asyncio.sleep(AGAIN)
            self._handle_known()
        self._task = None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # -- handling ------------------------------------------------------------------------------------------------------

    def _others(self, dialog_id: str, user_id: int) -> list[S]:
        """The sessions of a room that are shown other occupants."""
        if self._joined.count(dialog_id) > CROWD:
            return []
        return [session for session in self._joined.sessions(dialog_id) if session.user_id != user_id]

    def _arrive(self, dialog_id: str, occupant: Occupant) -> None:
        others = self._others(dialog_id, occupant.user_id)
        self._show_joined(
            dialog_id, occupant, [session for session in others if not self._note(dialog_id, session, occupant.user_id)]
        )

    def _depart(self, dialog_id: str, user_id: int) -> None:
        others = self._others(dialog_id, user_id)
        self._show_left(dialog_id, user_id, [one for one in others if not self._note(dialog_id, one, user_id)])
        if pairs := self._hidden.get(dialog_id):
            pairs.difference_update([pair for pair in pairs if user_id in pair])
            if not pairs:
                del self._hidden[dialog_id]

    def _compare(self, dialog_id: str, occupant: Occupant) -> None:
        """Show what a changed list has changed, also of a user whose departure is queued behind it."""
        user_id = occupant.user_id
        others = self._others(dialog_id, user_id)
        pairs = self._hidden.get(dialog_id) or set()
        before = {session.user_id for session in others if (session.user_id, user_id) in pairs}
        now = {session.user_id for session in others if self._note(dialog_id, session, user_id)}
        self._show_left(dialog_id, user_id, [one for one in others if one.user_id in now - before])
        self._show_joined(dialog_id, occupant, [one for one in others if one.user_id in before - now])

    def _note(self, dialog_id: str, viewer: S, user_id: int) -> bool:
        """Whether a user hides from a viewer in a room, which is kept."""
        hides = self._visibility.peek_hides_in_room(viewer.app_id, user_id, viewer.user_id, dialog_id)
        pair, pairs = (viewer.user_id, user_id), self._hidden.get(dialog_id)
        if hides:
            if pairs is None:
                self._forget_closed()
                pairs = self._hidden[dialog_id] = set()
            pairs.add(pair)
        elif pairs is not None:
            pairs.discard(pair)
        return hides

    def _forget_closed(self) -> None:
        rooms = self._joined.rooms()
        if len(self._hidden) > len(rooms):
            for dialog_id in self._hidden.keys() - rooms:
                del self._hidden[dialog_id]
