"""Who is told when somebody comes and goes (realtime §12.1): subscriptions of sessions, and what they are pushed.

What happens on this node is known at once; of what happens on others, `online` words tell when it is in the table.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from voxcube.server.core.errors import Invalid
from voxcube.server.features.activity.service import ActivityService

log = logging.getLogger(__name__)

MAX_WATCHED = 500  # users of one session
REPEAT_SECONDS = 60.0  # after somebody has gone it is said again: clients show half a minute as "online"
AGAIN = 1.0  # seconds until what could not be read is read again


class Watcher(Protocol):
    """A session that wants to be told."""

    app_id: int
    user_id: int
    ended: bool


class Watching:
    """The subscriptions of this node's sessions."""

    def __init__(
        self,
        service: ActivityService,
        push: Callable[[Any, int, int], None],
        *,
        repeat_seconds: float = REPEAT_SECONDS,
    ) -> None:
        """`push(session, user, seconds)` tells a session of a user."""
        self._service = service
        self._push = push
        self._repeat_seconds = repeat_seconds
        self._watched: dict[Watcher, set[int]] = {}
        self._watchers: dict[int, set[Watcher]] = {}
        self._online: dict[int, bool] = {}  # what the watchers of a user were told last
        self._repeats: dict[int, asyncio.TimerHandle] = {}
        self._doubtful: set[int] = set()  # users to look at
        self._new: list[tuple[Watcher, int]] = []
        self._again: set[int] = set()  # users who are said to be away once more
        self._task: asyncio.Task[None] | None = None

    async def watch(self, session: Watcher, user_id: int) -> None:
        """Tells the session of a user, now and from now on. Raises NotFound, Blocked, Invalid (too many)."""
        await self._service.check(session.app_id, session.user_id, user_id)
        if session.ended:
            return
        watched = self._watched.setdefault(session, set())
        if user_id not in watched and len(watched) >= MAX_WATCHED:
            raise Invalid(f"At most {MAX_WATCHED} users")
        watched.add(user_id)
        self._watchers.setdefault(user_id, set()).add(session)
        self._new.append((session, user_id))
        self._look()

    def unwatch(self, session: Watcher, user_id: int) -> None:
        """The session is told no more of a user."""
        watched = self._watched.get(session, set())
        if user_id in watched:
            watched.discard(user_id)
            self._forget(session, user_id)
            if not watched:
                del self._watched[session]

    def gone(self, session: Watcher) -> None:
        """The session has ended."""
        for user_id in self._watched.pop(session, ()):
            self._forget(session, user_id)

    def _forget(self, session: Watcher, user_id: int) -> None:
        watchers = self._watchers[user_id]
        watchers.discard(session)
        if not watchers:
            del self._watchers[user_id]
            self._online.pop(user_id, None)
            self._stop_repeat(user_id)

    # -- what happens ----------------------------------------------------------------------------------------------

    def changed(self, user_id: int) -> None:
        """Sessions of this user came or went on this node."""
        if user_id in self._watchers:
            self._doubtful.add(user_id)
            self._look()

    def heard(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """What another node has said: ("online", user) came to it, or left it."""
        for key in keys:
            if key[0] == "online":
                self.changed(key[1])

    def doubt(self) -> None:
        """Words of other nodes may have been missed."""
        self._doubtful |= self._watchers.keys()
        self._look()

    # -- telling ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if self._task is None and (self._doubtful or self._new):
            self._task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        while self._doubtful or self._new:
            users, new = self._doubtful | {user_id for _, user_id in self._new}, self._new
            self._doubtful, self._new = set(), []
            try:
                await self._tell(users, new)
            except Exception as error:  # the database is away
                log.warning("last activity could not be read: %s", type(error).__name__)
                self._doubtful |= users
                self._new = [*new, *self._new]
                await asyncio.sleep(AGAIN)
        self._task = None

    async def _tell(self, users: set[int], new: list[tuple[Watcher, int]]) -> None:
        seconds = await self._service.seconds_of(users)
        told: set[tuple[Watcher, int]] = set(new)
        for user_id in users & self._watchers.keys():
            online, before = seconds.get(user_id) == 0, self._online.get(user_id)
            self._online[user_id] = online
            repeated = user_id in self._again and not online
            self._again.discard(user_id)
            if before is not None and (before is not online or repeated):
                told |= {(session, user_id) for session in self._watchers[user_id]}
            if online:
                self._stop_repeat(user_id)
            elif before and user_id not in self._repeats:
                loop = asyncio.get_running_loop()
                self._repeats[user_id] = loop.call_later(self._repeat_seconds, self._repeat, user_id)
        for session, user_id in told:
            if user_id in seconds and user_id in self._watched.get(session, ()):
                await self._tell_one(session, user_id, seconds[user_id])

    async def _tell_one(self, session: Watcher, user_id: int, seconds: int) -> None:
        """Not who has been blocked meanwhile."""
        if await self._service.may_know(session.app_id, session.user_id, user_id) and not session.ended:
            self._push(session, user_id, seconds)

    def _repeat(self, user_id: int) -> None:
        self._repeats.pop(user_id, None)
        self._again.add(user_id)
        self.changed(user_id)

    def _stop_repeat(self, user_id: int) -> None:
        self._again.discard(user_id)
        timer = self._repeats.pop(user_id, None)
        if timer is not None:
            timer.cancel()

    async def close(self) -> None:
        for timer in self._repeats.values():
            timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
