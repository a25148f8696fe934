"""What a deleted user leaves behind: the places in dialogs pass on, what only the user could read goes.

Messages remain, and so do private dialogs: the other one goes on reading them (rest §4.2).
"""

from __future__ import annotations

from sqlalchemy import and_, bindparam, delete, or_, select, update

from voxcube.server.core.models import DialogType
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import (
    dialogs,
    hidden_messages,
    members,
    message_ids,
    messages,
    offline_messages,
    presence,
    receipts,
)
from voxcube.server.storage.sql import Query, bulk_select, in_list

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
_LOCK = bulk_select(dialogs, ["id"], "id", "type", "owner_id", lock=True)
_LEAVE = Query(
    update(members)
    .where(members.c.user_id == bindparam("user"), in_list(members.c.dialog_id, "dialogs"), members.c.active)
    .values(active=False, admin=False),
    *("user", "dialogs"),
)
# The first admin, else the oldest occupant (rest §6.4).
_HEIR = Query(
    select(members.c.user_id, members.c.admin)
    .where(members.c.dialog_id == bindparam("dialog"), members.c.active)
    .order_by(members.c.admin.desc(), members.c.joined_at, members.c.user_id)
    .limit(1),
    "dialog",
)
_PASS_ON = Query(
    update(dialogs).where(dialogs.c.id == bindparam("key")).values(owner_id=bindparam("heir")), "key", "heir"
)
_NO_ADMIN = Query(
    update(members)
    .where(and_(members.c.dialog_id == bindparam("dialog"), members.c.user_id == bindparam("user")))
    .values(admin=False),
    *("dialog", "user"),
)
_CHANGED = Query(
    update(dialogs)
    .where(in_list(dialogs.c.id, "dialogs"))
    .values(updated_at=bindparam("now"), members_version=dialogs.c.members_version + 1),
    *("dialogs", "now"),
)
_IDS = select(messages.c.id).where(messages.c.dialog_id == bindparam("dialog"))
_REMOVE = [
    Query(delete(table).where(column == bindparam("dialog")), "dialog")
    for table, column in (
        (dialogs, dialogs.c.id),
        (members, members.c.dialog_id),
        (receipts, receipts.c.dialog_id),
        (hidden_messages, hidden_messages.c.dialog_id),
    )
]
_REMOVE_IDS = Query(
    delete(message_ids).where(message_ids.c.app_id == bindparam("app"), message_ids.c.id.in_(_IDS)), "app", "dialog"
)
_REMOVE_MESSAGES = Query(delete(messages).where(messages.c.dialog_id == bindparam("dialog")), "dialog")
_OWN = [
    Query(delete(presence).where(presence.c.user_id == bindparam("user")), "user"),
    Query(delete(offline_messages).where(offline_messages.c.user_id == bindparam("user")), "user"),
]


async def leave_dialogs(tx: Tx, app_id: int, user_id: int, now_ms: int) -> list[str]:
    """Takes a user out of all dialogs but the private ones; returns the ids of those that changed.

    Where the user was the owner, ownership passes on: in groups to the first admin, else to the oldest occupant, and
    the last one out deletes the group (rest §6.4); elsewhere to the first admin, if there is one.
    """
    places = sorted(row[0] for row in await tx.fetch(_PLACES, app_id, user_id))
    if not places:
        return []
    locked = await tx.pick(_LOCK, [(dialog_id,) for dialog_id in places])
    await tx.execute(_LEAVE, user_id, places)
    for dialog_id, kind, owner_id in sorted(locked):
        heir = await tx.row(_HEIR, dialog_id)
        if heir is None and kind == DialogType.GROUP:
            for removal in _REMOVE:
                await tx.execute(removal, dialog_id)
            await tx.execute(_REMOVE_IDS, app_id, dialog_id)
            await tx.execute(_REMOVE_MESSAGES, dialog_id)
        elif heir is not None and owner_id == user_id and (kind == DialogType.GROUP or heir[1]):
            await tx.execute(_PASS_ON, dialog_id, heir[0])
            await tx.execute(_NO_ADMIN, dialog_id, heir[0])  # an owner is not among the admins (rest §5)
    await tx.execute(_CHANGED, places, now_ms)
    return places


async def pairs_of(tx: Tx, app_id: int, user_id: int) -> list[tuple[int, int]]:
    """Whose private dialogs the user has: (lower id, higher id)."""
    pairs = [row[0].split(":") for row in await tx.fetch(_PARTNERS, app_id, user_id)]
    return [(int(low), int(high)) for low, high in pairs]


async def forget_user(tx: Tx, user_id: int) -> None:
    """Removes what belonged to a user alone: presence, and messages that waited for a session."""
    for removal in _OWN:
        await tx.execute(removal, user_id)
