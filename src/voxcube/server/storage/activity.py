"""When users were last here: written with the table of who is online, read for who is not (XEP-0012)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, case, func, or_, select
from sqlalchemy.dialects.postgresql import insert  # SQLite's compiler renders its ON CONFLICT as well

from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.schema import last_activity, nodes, presence
from voxcube.server.storage.sql import Query, bulk_upsert, in_list

_SEEN = bulk_upsert(last_activity, "user_id", "at")
_LAST = Query(
    select(last_activity.c.user_id, last_activity.c.at).where(in_list(last_activity.c.user_id, "users")), "users"
)
_NOW = bindparam("now", type_=nodes.c.lease_until.type)
# A node that died renewed its lease until then, more or less.
_ENDED = func.max(case((nodes.c.lease_until < _NOW, nodes.c.lease_until), else_=_NOW))
_LEFT = insert(last_activity).from_select(
    ["user_id", "at"],
    select(presence.c.user_id, _ENDED)
    .join(nodes, nodes.c.node == presence.c.node)
    .where(or_(nodes.c.lease_until < _NOW, presence.c.node == bindparam("node")))
    .group_by(presence.c.user_id)
    .order_by(presence.c.user_id),
)
_LEFT_BEHIND = Query(
    _LEFT.on_conflict_do_update(index_elements=["user_id"], set_={"at": _LEFT.excluded.at}), "now", "node"
)


async def seen(tx: Tx, rows: Sequence[tuple[int, int]]) -> None:
    """These users came or went: (user, Unix seconds)."""
    await tx.many(_SEEN, sorted(rows))


async def left_behind(tx: Tx, node: str, now: int) -> None:
    """Before the rows go that `node` and the dead nodes have left in the table of who is online."""
    await tx.execute(_LEFT_BEHIND, now, node)


async def last_of(database: Database, user_ids: Collection[int]) -> dict[int, int]:
    """When these users were last seen coming or going (Unix seconds); those who never were are left out."""
    return dict(await database.fetch(_LAST, sorted(user_ids)))
