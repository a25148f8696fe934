"""Who is online on which node, the leases that say which nodes live, and the leases of background jobs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert  # SQLite's compiler renders its ON CONFLICT as well

from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.schema import job_leases, nodes, presence, users
from voxcube.server.storage.sql import Query, bulk_delete, bulk_upsert, in_list

_SHOW = bulk_upsert(presence, "user_id", "node", "sessions", "active")
_HIDE = bulk_delete(presence, "user_id", "node")
_FORGET_NODE = Query(delete(presence).where(presence.c.node == bindparam("node")), "node")
_LEASE = Query(
    insert(nodes)
    .values(node=bindparam("node"), lease_until=bindparam("until"))
    .on_conflict_do_update(index_elements=["node"], set_={"lease_until": bindparam("until")}),
    *("node", "until"),
)
_END_LEASE = Query(delete(nodes).where(nodes.c.node == bindparam("node")), "node")
_DEAD = Query(
    delete(presence).where(presence.c.node.not_in(select(nodes.c.node).where(nodes.c.lease_until >= bindparam("now")))),
    "now",
)
_DEAD_USERS = Query(
    select(presence.c.user_id)
    .distinct()
    .where(presence.c.node.not_in(select(nodes.c.node).where(nodes.c.lease_until >= bindparam("now")))),
    "now",
)
_LIVING = and_(nodes.c.node == presence.c.node, nodes.c.lease_until >= bindparam("now"))
_ONLINE = Query(
    select(func.sum(presence.c.sessions)).join(nodes, _LIVING).where(presence.c.user_id == bindparam("user")),
    *("now", "user"),
)
_ELSEWHERE = Query(
    select(presence.c.user_id)
    .distinct()
    .join(nodes, _LIVING)
    .where(in_list(presence.c.user_id, "users"), presence.c.node != bindparam("node")),
    *("now", "users", "node"),
)
_IN_APP_ELSEWHERE = Query(
    select(presence.c.user_id)
    .distinct()
    .join(nodes, _LIVING)
    # Looked up for each who is online: a join might start at all users of the application.
    .where(
        select(users.c.app_id).where(users.c.id == presence.c.user_id).scalar_subquery()
        == bindparam("app", type_=users.c.app_id.type),
        presence.c.node != bindparam("node"),
    )
    .limit(bindparam("most")),
    *("now", "app", "node", "most"),
)
_RENEW_JOB = Query(
    update(job_leases)
    .where(
        job_leases.c.name == bindparam("job"),
        or_(job_leases.c.node == bindparam("node"), job_leases.c.lease_until < bindparam("now")),
    )
    .values(node=bindparam("node"), lease_until=bindparam("until")),
    *("job", "node", "now", "until"),
)
_FIRST_JOB = Query(
    insert(job_leases)
    .values(name=bindparam("job"), node=bindparam("node"), lease_until=bindparam("until"))
    .on_conflict_do_nothing(),
    *("job", "node", "until"),
)


async def show(tx: Tx, node: str, rows: Sequence[tuple[int, int, int]]) -> None:
    """Writes (user, sessions, active sessions) of a node; without sessions the row goes."""
    online = sorted((user_id, node, sessions, active) for user_id, sessions, active in rows if sessions)
    await tx.many(_SHOW, online)
    await tx.many(_HIDE, sorted((user_id, node) for user_id, sessions, _ in rows if not sessions))


async def renew(tx: Tx, node: str, until: int) -> None:
    """The node lives until `until` (Unix seconds) at least."""
    await tx.execute(_LEASE, node, until)


async def leave(tx: Tx, node: str) -> None:
    """The node has stopped, or starts anew: nobody is online on it."""
    await tx.execute(_FORGET_NODE, node)
    await tx.execute(_END_LEASE, node)


async def forget_dead(tx: Tx, now: int) -> list[int]:
    """Removes the rows of nodes whose lease has run out; returns of which users."""
    users = [row[0] for row in await tx.fetch(_DEAD_USERS, now)]
    if users:
        await tx.execute(_DEAD, now)
    return users


async def sessions_of(database: Database, user_id: int, now: int) -> int:
    """How many available sessions a user has on all living nodes."""
    return await database.value(_ONLINE, now, user_id) or 0


async def online_elsewhere(database: Database, node: str, user_ids: Sequence[int], now: int) -> set[int]:
    """Those of these users who have an available session on another living node."""
    rows = await database.read(lambda tx: tx.fetch(_ELSEWHERE, now, list(user_ids), node))
    return {row[0] for row in rows}


async def in_app_elsewhere(database: Database, node: str, app_id: int, now: int, most: int) -> set[int]:
    """Users of an application with an available session on another living node, at most so many."""
    rows = await database.read(lambda tx: tx.fetch(_IN_APP_ELSEWHERE, now, app_id, node, most))
    return {row[0] for row in rows}


async def take_job(tx: Tx, job: str, node: str, now: int, until: int) -> bool:
    """Whether this node may run the job until `until`: it has the lease, or nobody has."""
    if await tx.execute(_RENEW_JOB, job, node, now, until):
        return True
    return await tx.execute(_FIRST_JOB, job, node, until) == 1
