"""Named counters in the database: integer ids, and the generation that tells running servers of changes by the CLI."""

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert  # SQLite's compiler renders its ON CONFLICT as well

from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import counters
from voxcube.server.storage.sql import Query

GENERATION = "generation"

_UPSERT = insert(counters).values(name=bindparam("name"), value=1)
_NEXT = Query(
    _UPSERT.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1}).returning(
        counters.c.value
    ),
    "name",
)
_CURRENT = Query(select(counters.c.value).where(counters.c.name == bindparam("name")), "name")


async def next_value(tx: Tx, name: str) -> int:
    """The next value of a counter: 1, 2, 3 … A transaction that is undone gives its value back."""
    value: int = await tx.value(_NEXT, name)
    return value


async def current_value(tx: Tx, name: str) -> int:
    """The value of a counter, 0 when it was never raised."""
    return await tx.value(_CURRENT, name) or 0


async def raise_generation(tx: Tx) -> None:
    """Says, with the commit of this transaction, that facts were changed which servers may hold in memory."""
    await next_value(tx, GENERATION)
