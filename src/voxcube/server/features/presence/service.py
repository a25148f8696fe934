"""Who is online: changes of this node gather and are written to a table together, which is read for all nodes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from voxcube.server.core.clock import Clock
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.storage import activity, presence
from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.writer import Writer

log = logging.getLogger(__name__)

LOOKED_UP = 5000  # users in one read
LEASE_SECONDS = 30
RENEW_SECONDS = 10


class OnlineTable:
    """This node's rows and its lease."""

    def __init__(self, sessions: Sessions, writer: Writer, clock: Clock, node: str, *, prompt: bool = False) -> None:
        """`prompt`: changes are written at once, as other nodes read them; else when asked for, and now and then."""
        self._sessions = sessions
        self._prompt = prompt
        self._task: asyncio.Task[None] | None = None
        self._writer = writer
        self._clock = clock
        self._node = node
        self._changed: dict[int, int] = {}  # user → when
        self._shown: set[int] = set()  # who is in the table
        self._flushing = asyncio.Lock()
        #: Called with the users who have come to this node or left it, or a dead one, when the table says so.
        self.on_written: Callable[[Collection[int]], None] = lambda users: None

    def changed(self, user_id: int) -> None:
        """Sessions of this user came or went here, or became active or inactive."""
        self._changed[user_id] = self._clock.now()
        if self._prompt and self._task is None:
            self._task = asyncio.ensure_future(self._write_at_once())

    async def written(self) -> None:
        """Wait until what has changed is written. Where the database is away, it is written later."""
        try:
            await self.flush()
        except Exception as error:
            log.warning("who is online could not be written: %s", type(error).__name__)

    async def _write_at_once(self) -> None:
        try:
            while self._changed:
                await self.flush()
        except Exception as error:  # the next round tries again
            log.warning("who is online could not be written: %s", type(error).__name__)
        finally:
            self._task = None

    async def start(self) -> None:
        """Rows that this node left at a crash go, its lease begins."""

        async def begin(tx: Tx) -> None:
            await activity.left_behind(tx, self._node, self._clock.now())
            await presence.leave(tx, self._node)
            await presence.renew(tx, self._node, self._clock.now() + LEASE_SECONDS)

        await self._writer.run(begin)

    async def renew(self) -> None:
        await self._writer.run(lambda tx: presence.renew(tx, self._node, self._clock.now() + LEASE_SECONDS))

    async def flush(self, *, of: Collection[int] | None = None) -> None:
        """Writes what has changed, with `of` only if it concerns these users; what cannot be is tried again."""
        async with self._flushing:  # what another call is writing is written when this one returns
            if self._changed and (of is None or not self._changed.keys().isdisjoint(of)):
                await self._flush()

    async def _flush(self) -> None:
        users, self._changed = self._changed, {}
        rows = []
        for user_id in users:
            sessions = self._sessions.of(user_id)
            rows.append((user_id, len(sessions), sum(not session.inactive for session in sessions)))

        async def write(tx: Tx) -> None:
            await presence.show(tx, self._node, rows)
            await activity.seen(tx, list(users.items()))

        try:
            await self._writer.run(write)
        except Exception:
            self._changed = {**users, **self._changed}
            raise
        here = {user_id for user_id, sessions, _ in rows if sessions}
        self._shown, before = (self._shown - users.keys()) | here, self._shown & users.keys()
        if here != before:
            self.on_written(here ^ before)

    async def forget_dead(self) -> int:
        """Removes the rows of nodes that died; returns of how many users."""

        async def forget(tx: Tx) -> list[int]:
            await activity.left_behind(tx, "", self._clock.now())
            return await presence.forget_dead(tx, self._clock.now())

        users = await self._writer.run(forget)
        if users:
            self.on_written(users)
        return len(users)

    async def stop(self) -> None:
        """Nobody is online here any more."""
        self._prompt = False
        if self._task is not None:
            await self._task

        async def end(tx: Tx) -> None:
            await activity.left_behind(tx, self._node, self._clock.now())
            await presence.leave(tx, self._node)

        await self._writer.run(end)
        if self._shown:
            self.on_written(self._shown)


class Online:
    """Who has an available session anywhere. Sessions of this node count at once, those of others within a second."""

    def __init__(self, sessions: Sessions, database: Database, clock: Clock, node: str) -> None:
        self._sessions = sessions
        self._database = database
        self._clock = clock
        self._node = node

    async def among(self, users: Collection[int], most: int) -> list[int]:
        """Those of these users, at most so many."""
        found = {user_id for user_id in users if self._sessions.of(user_id)}
        others = sorted(set(users) - found)
        for start in range(0, len(others), LOOKED_UP):
            if len(found) >= most:
                break
            chunk = others[start : start + LOOKED_UP]
            found |= await presence.online_elsewhere(self._database, self._node, chunk, self._clock.now())
        return sorted(found)[:most]

    async def in_app(self, app_id: int, most: int) -> list[int]:
        """Users of an application, at most so many."""
        found = set(self._sessions.by_app.get(app_id, ()))
        if len(found) < most:
            found |= await presence.in_app_elsewhere(self._database, self._node, app_id, self._clock.now(), most)
        return sorted(found)[:most]
