"""The lease of a node on a PostgreSQL database: advisory locks of one session that lives as long as the node.

Nodes that hear each other over a bus share one lock, a node without a bus has it alone, and each has the lock of its
name. PostgreSQL releases the locks when the session ends, so what a killed node held is free at once, without a
time-out that a restart would have to wait for. Of a machine that vanished without closing its connections PostgreSQL
finds out by TCP keep-alive (`KEEPALIVE`).

Locks of a session need a session: PgBouncer in front must pool by session, not by transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from dataclasses import dataclass
from typing import Any

import asyncpg

from voxcube.server.storage.connecting import connect
from voxcube.server.storage.database import DatabaseError, DatabaseInUse, Unreachable

log = logging.getLogger(__name__)

GRACE_SECONDS = 3.0  # for PostgreSQL to notice that the previous process of this node was killed
POLL_SECONDS = 0.1
HEARTBEAT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
RETRY_SECONDS = 0.5  # between attempts to get the lease back
KEEPALIVE = ("SET tcp_keepalives_idle = 10", "SET tcp_keepalives_interval = 5", "SET tcp_keepalives_count = 3")

#: Sessions that hold the advisory lock ($1, $2) of this database.
HOLDERS = """
SELECT l.pid, coalesce(a.application_name, '') AS name, coalesce(host(a.client_addr), 'this machine') AS address
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = $1 AND l.objid = $2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_OWN = f"SELECT count(*) FROM ({HOLDERS}) AS held WHERE pid = pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class Lock:
    """An advisory lock by its number, a signed 64-bit integer."""

    number: int

    @property
    def parts(self) -> tuple[int, int]:
        """The number as pg_locks shows it: (classid, objid)."""
        unsigned = self.number % 2**64
        return unsigned >> 32, unsigned % 2**32


def server_lock(schema: str) -> Lock:
    """The lock of the tables in a schema: nodes with a bus share it, a node without one has it alone."""
    return _lock("server", schema)


def node_lock(schema: str, node: str) -> Lock:
    """The lock of a node's name."""
    return _lock("node", schema, node)


def _lock(*names: str) -> Lock:
    digest = hashlib.blake2b("\0".join(("voxcube", *names)).encode(), digest_size=8).digest()
    return Lock(int.from_bytes(digest, signed=True))


class NodeLease:
    """The session that holds a node's locks, replaced when its connection is lost.

    `ended` gets a DatabaseInUse when another server has taken the place meanwhile: the node must stop.
    `regained` is set to a callable that runs after each replacement: what other servers did in between is not known.
    """

    def __init__(self, url: str, node: str, shared: bool) -> None:
        self._url = url
        self._node = node
        self._shared = shared
        self._run = secrets.token_hex(8)
        self._connection: Any = None
        self._lost = asyncio.Event()
        self._locks: tuple[Lock, Lock]
        self._task: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[DatabaseInUse] = asyncio.get_running_loop().create_future()
        self.regained: Any = lambda: None

    @classmethod
    async def take(cls, url: str, *, node: str, shared: bool) -> NodeLease:
        """Takes the lease; `shared`: the node has a bus in common with the others on the database.

        Raises DatabaseInUse when another server holds it, Unreachable and other DatabaseErrors of the connection.
        """
        self = cls(url, node, shared)
        deadline = asyncio.get_running_loop().time() + GRACE_SECONDS
        while True:
            try:
                await self._acquire()
                break
            except DatabaseInUse:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(POLL_SECONDS)
        self._task = asyncio.create_task(self._keep())
        return self

    async def close(self) -> None:
        """Releases the locks."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=ANSWER_SECONDS)

    async def _acquire(self) -> None:
        """Opens a session and takes both locks, or neither."""
        # Statements instead of start-up parameters: PgBouncer refuses those that it does not know.
        connection = await connect(self._url, application_name=f"voxcube {self._run} {self._node}"[:63])
        try:
            for statement in KEEPALIVE:
                await connection.execute(statement)
            schema = await connection.fetchval("SELECT current_schema()") or ""
            self._locks = server, node = server_lock(schema), node_lock(schema, self._node)
            function = "pg_try_advisory_lock_shared" if self._shared else "pg_try_advisory_lock"
            if not await connection.fetchval(f"SELECT {function}($1)", server.number):
                raise await self._refusal(connection, server)
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", node.number):
                raise await self._refusal(connection, node)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | OSError | TimeoutError):
                raise Unreachable(f"cannot take the lease of the database: {error or type(error).__name__}") from None
            raise
        self._lost.clear()
        self._connection = connection
        connection.add_termination_listener(self._on_closed)

    def _on_closed(self, connection: Any) -> None:
        if connection is self._connection:
            self._lost.set()

    async def _refusal(self, connection: Any, lock: Lock) -> DatabaseInUse:
        """Why the lock cannot be had. An own session that PostgreSQL takes for alive is ended on the way."""
        holders = await connection.fetch(HOLDERS, *lock.parts)
        for row in holders:
            if row["name"].startswith(f"voxcube {self._run} "):
                await connection.execute("SELECT pg_terminate_backend($1)", row["pid"])
                return DatabaseInUse("an earlier connection of this node still holds the lease of the database")
        name, address = (holders[0]["name"], holders[0]["address"]) if holders else ("", "an unknown address")
        if lock == self._locks[1]:
            return DatabaseInUse(
                f"a node named {self._node!r} (connected from {address}) uses this database already:"
                " give this one another name with --node"
            )
        parts = name.split(" ", 2)
        node = f"node {parts[2]!r}, " if len(parts) == 3 else ""
        return DatabaseInUse(
            f"another server ({node}connected from {address}) uses this database: stop it first;"
            " several servers on one database need a common bus"
        )

    async def _keep(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._lost.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                if await self._holds():
                    continue
            log.warning("the lease of the database is lost; trying to get it back")
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.terminate()
            if not await self._regain():
                return
            log.warning("the lease of the database is back")
            self.regained()

    async def _holds(self) -> bool:
        """Whether the session still answers and holds the locks: a pooler may have swapped it for another one."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                held = [await self._connection.fetchval(_OWN, *lock.parts) for lock in self._locks]
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, AttributeError):
            return False
        return all(held)

    async def _regain(self) -> bool:
        """Tries until the lease is back; False when another server has taken it."""
        grace = asyncio.get_running_loop().time() + GRACE_SECONDS
        while True:
            try:
                await self._acquire()
                return True
            except DatabaseInUse as error:
                if asyncio.get_running_loop().time() > grace:
                    self.ended.set_result(error)
                    return False
                await asyncio.sleep(POLL_SECONDS)
            except DatabaseError:
                await asyncio.sleep(RETRY_SECONDS)
                grace = asyncio.get_running_loop().time() + GRACE_SECONDS
