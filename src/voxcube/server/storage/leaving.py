"""Leaving dialogs: places pass on, and a group without anybody ends. Whoever deletes its account leaves all of them.

Messages remain, and so do private dialogs: the other one goes on reading them (rest §4.2).
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, delete, or_, select

from voxcube.server.core.models import DialogType
from voxcube.server.storage import erasing, membership
from voxcube.server.storage.database import Tx
from voxcube.server.storage.membership import Locked
from voxcube.server.storage.schema import (
    dialogs,
    last_activity,
    members,
    offline_messages,
    presence,
    privacy_defaults,
    privacy_lists,
)
from voxcube.server.storage.sql import Query

# Dialogs the user is in, and those it owns without being in them (a public dialog whose owner has unsubscribed).
_PLACES = Query(
    select(members.c.dialog_id)
    .join(dialogs, dialogs.c.id == members.c.dialog_id)
    .where(
        members.c.app_id == bindparam("app"),
        members.c.user_id == bindparam("user"),
        members.c.type != int(DialogType.PRIVATE),
        or_(members.c.active, dialogs.c.owner_id == bindparam("user")),
    ),
    *("app", "user"),
)
_ANY_PLACE = Query(
    select(members.c.dialog_id)
    .where(
        members.c.app_id == bindparam("app"),
        members.c.user_id == bindparam("user"),
        members.c.type != int(DialogType.PRIVATE),
        members.c.active,
    )
    .limit(1),
    *("app", "user"),
)
_PARTNERS = Query(
    select(dialogs.c.pair)
    .join(members, members.c.dialog_id == dialogs.c.id)
    .where(
        members.c.app_id == bindparam("app"),
        members.c.user_id == bindparam("user"),
        members.c.type == int(DialogType.PRIVATE),
    ),
    *("app", "user"),
)
_OWN = [
    Query(delete(table).where(table.c.user_id == bindparam("user")), "user")
    for table in (presence, offline_messages, privacy_defaults, privacy_lists, last_activity)
]


async def save(tx: Tx, locked: Locked, left: Collection[int], now_ms: int, *, for_ever: bool = False) -> bool:
    """Writes a dialog that these users have left, and whatever else was changed; False when the dialog has ended.

    When the owner leaves a group, ownership passes to the first admin, else to the oldest occupant, and the last one
    out ends it (rest §6.4). Elsewhere the owner stays the owner, unless it leaves ``for_ever``: then the first admin
    takes over, if there is one.
    """
    await membership.save(tx, locked, now_ms)
    dialog = locked.dialog
    in_group = dialog.type is DialogType.GROUP
    if dialog.owner_id not in left or not (in_group or for_ever):
        return True
    if not await membership.pass_on(tx, locked, only_to_admin=not in_group) and in_group:
        # The rows that are not locked are of people who have left before.
        await erasing.drop(tx, dialog)
        return False
    await membership.save(tx, locked, now_ms)
    return True


async def leave_dialogs(tx: Tx, app_id: int, user_id: int, now_ms: int) -> list[Locked]:
    """Takes a user out of all dialogs but the private ones, for ever; returns these dialogs."""
    places = [row[0] for row in await tx.fetch(_PLACES, app_id, user_id)]
    found = await membership.lock_all(tx, app_id, places, {user_id}) if places else []
    for locked in found:
        locked.leave(user_id)
        await save(tx, locked, {user_id}, now_ms, for_ever=True)
    return found


async def is_somewhere(tx: Tx, app_id: int, user_id: int) -> bool:
    """Whether the user is in any dialog but private ones."""
    return await tx.row(_ANY_PLACE, app_id, user_id) is not None


async def pairs_of(tx: Tx, app_id: int, user_id: int) -> list[tuple[int, int]]:
    """Whose private dialogs the user has: (lower id, higher id)."""
    pairs = [row[0].split(":") for row in await tx.fetch(_PARTNERS, app_id, user_id)]
    return [(int(low), int(high)) for low, high in pairs]


async def forget_user(tx: Tx, user_id: int) -> None:
    """Removes what belonged to a user alone: presence, messages that waited for a session, privacy lists."""
    for removal in _OWN:
        await tx.execute(removal, user_id)
