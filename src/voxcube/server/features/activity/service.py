"""Who was here when, and who may know it (XEP-0012, realtime §12)."""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from typing import Protocol

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Blocked, NotFound
from voxcube.server.core.privacy import IQ
from voxcube.server.features.presence.service import Online, OnlineTable
from voxcube.server.storage import activity
from voxcube.server.storage.database import Database


class UserFacts(Protocol):
    """The cache of hot facts (`storage.cache.Cache`)."""

    async def user(self, app_id: int, user_id: int) -> bool: ...


class Privacy(Protocol):
    """Privacy lists (`features.privacy.service`)."""

    def may_watch(self, app_id: int, watcher_id: int, user_id: int, kind: int) -> Awaitable[bool]: ...


class ActivityService:
    """Last activity of users."""

    def __init__(
        self,
        *,
        facts: UserFacts,
        privacy: Privacy,
        table: OnlineTable,
        online: Online,
        database: Database,
        clock: Clock,
    ) -> None:
        self._facts = facts
        self._privacy = privacy
        self._table = table
        self._online = online
        self._database = database
        self._clock = clock
        self._started = clock.now()

    @property
    def uptime(self) -> int:
        """Seconds since this node has started (XEP-0012 §4)."""
        return self._clock.now() - self._started

    async def check(self, app_id: int, asker_id: int, user_id: int) -> None:
        """Raises NotFound where there is no such user, Blocked where the asker may not know."""
        if not await self._facts.user(app_id, user_id):
            raise NotFound("There is no such user")
        if not await self.may_know(app_id, asker_id, user_id):
            raise Blocked

    async def may_know(self, app_id: int, asker_id: int, user_id: int) -> bool:
        """Whether one user may know when another was here."""
        return await self._privacy.may_watch(app_id, asker_id, user_id, IQ)

    async def seconds(self, app_id: int, asker_id: int, user_id: int) -> int:
        """Seconds since a user's last session ended, 0 for who is online. Raises NotFound (also for who was never
        connected), Blocked."""
        await self.check(app_id, asker_id, user_id)
        found = (await self.seconds_of([user_id])).get(user_id)
        if found is None:
            raise NotFound("The user was never connected")
        return found

    async def seconds_of(self, users: Collection[int]) -> dict[int, int]:
        """The same of several users; those who were never connected are left out."""
        await self._table.flush(of=users)  # who has just left here is in the table, not only in memory
        online = await self._online.among(users, len(users))
        last = await activity.last_of(self._database, set(users) - set(online))
        now = self._clock.now()
        return {user_id: max(1, now - at) for user_id, at in last.items()} | dict.fromkeys(online, 0)
