"""What belongs to an application, found and removed in bounded pieces when the application is deleted."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, select, tuple_

from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import (
    apps,
    contacts,
    dialogs,
    erased_users,
    erasing,
    message_ids,
    offline_messages,
    privacy_defaults,
    privacy_lists,
    tokens,
    user_tags,
    users,
)
from voxcube.server.storage.sql import Query

BATCH = 100  # users or dialogs in one list
ROWS = 1000  # deleted in one transaction

_APP = bindparam("app", type_=apps.c.id.type)
_USERS = Query(select(users.c.id).where(users.c.app_id == _APP).order_by(users.c.id).limit(BATCH), "app")
_USER_COUNT = Query(select(func.count()).select_from(users).where(users.c.app_id == _APP), "app")
_DIALOGS = Query(select(dialogs.c.id).where(dialogs.c.app_id == _APP).limit(BATCH), "app")
_ERASING = Query(select(erasing.c.dialog_id).where(erasing.c.app_id == _APP).limit(1), "app")
# Tables of which rows may be left when all users and dialogs are gone.
_LEFT = [
    Query(
        delete(table).where(
            tuple_(*table.primary_key).in_(select(*table.primary_key).where(table.c.app_id == _APP).limit(ROWS))
        ),
        "app",
    )
    for table in (
        *(tokens, message_ids, offline_messages, contacts, privacy_lists, privacy_defaults, user_tags, erased_users),
    )
]
_DELETE = Query(delete(apps).where(apps.c.id == _APP), "app")


async def some_users(tx: Tx, app_id: int) -> list[int]:
    """Ids of some users of an application."""
    return [row[0] for row in await tx.fetch(_USERS, app_id)]


async def count_users(tx: Tx, app_id: int) -> int:
    """How many users an application has."""
    return int(await tx.value(_USER_COUNT, app_id))


async def some_dialogs(tx: Tx, app_id: int) -> list[str]:
    """Ids of some dialogs of an application."""
    return [row[0] for row in await tx.fetch(_DIALOGS, app_id)]


async def is_erasing(tx: Tx, app_id: int) -> bool:
    """Whether messages of deleted dialogs of the application remain to be erased."""
    return await tx.row(_ERASING, app_id) is not None


async def remove_left(tx: Tx, app_id: int) -> bool:
    """Delete some of the rows that belong to no user or dialog; whether there were any."""
    found = False
    for removal in _LEFT:
        found = bool(await tx.execute(removal, app_id)) or found
    return found


async def remove(tx: Tx, app_id: int) -> bool:
    """Delete the application itself; False while it has users or dialogs."""
    if await some_users(tx, app_id) or await some_dialogs(tx, app_id):
        return False
    await tx.execute(_DELETE, app_id)
    return True
