"""Keeps the table of who is online: changes of this node gather and are written together."""

from __future__ import annotations

from voxcube.server.core.clock import Clock
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.storage import presence
from voxcube.server.storage.database import Tx
from voxcube.server.storage.writer import Writer

LEASE_SECONDS = 30
RENEW_SECONDS = 10


class OnlineTable:
    """This node's rows and its lease."""

    def __init__(self, sessions: Sessions, writer: Writer, clock: Clock, node: str) -> None:
        self._sessions = sessions
        self._writer = writer
        self._clock = clock
        self._node = node
        self._changed: set[int] = set()

    def changed(self, user_id: int) -> None:
        """Sessions of this user came or went here."""
        self._changed.add(user_id)

    async def start(self) -> None:
        """Rows that this node left at a crash go, its lease begins."""

        async def begin(tx: Tx) -> None:
            await presence.leave(tx, self._node)
            await presence.renew(tx, self._node, self._clock.now() + LEASE_SECONDS)

        await self._writer.run(begin)

    async def renew(self) -> None:
        await self._writer.run(lambda tx: presence.renew(tx, self._node, self._clock.now() + LEASE_SECONDS))

    async def flush(self) -> None:
        """Writes what has changed; what cannot be written now is tried again."""
        if not self._changed:
            return
        users, self._changed = self._changed, set()
        rows = [(user_id, count := len(self._sessions.of(user_id)), count) for user_id in users]
        try:
            await self._writer.run(lambda tx: presence.show(tx, self._node, rows))
        except Exception:
            self._changed |= users
            raise

    async def forget_dead(self) -> int:
        """Removes the rows of nodes that died."""
        return await self._writer.run(lambda tx: presence.forget_dead(tx, self._clock.now()))

    async def stop(self) -> None:
        """Nobody is online here any more."""
        await self._writer.run(lambda tx: presence.leave(tx, self._node))
