"""Pages of the people of a dialog."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, or_, select

from voxcube.server.core.models import DialogType
from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.listing import paged
from voxcube.server.storage.schema import dialogs, members, users
from voxcube.server.storage.sql import Query

_SOURCE = (
    members.join(dialogs, dialogs.c.id == members.c.dialog_id)
    # A deleted user's private dialogs remain, with its row.
    .join(users, users.c.id == members.c.user_id)
)
_PEOPLE: tuple[Any, ...] = (
    members.c.dialog_id == bindparam("dialog"),
    members.c.active,
    # Everybody in the application may read a broadcast; those who may write to it are its people.
    or_(
        members.c.type != int(DialogType.BROADCAST),
        members.c.admin,
        members.c.user_id == dialogs.c.owner_id,
    ),
)
_COUNT = Query(select(func.count()).select_from(_SOURCE).where(*_PEOPLE), "dialog")
_PAGE = paged(select(members.c.user_id).select_from(_SOURCE).where(*_PEOPLE).order_by(members.c.user_id), "dialog")
_MARKED = Query(
    select(members.c.user_id, members.c.hidden, members.c.muted)
    .where(members.c.dialog_id == bindparam("dialog"), or_(members.c.hidden, members.c.muted))
    .order_by(members.c.user_id),
    "dialog",
)


class OccupantStore:
    """Reads who is in a dialog; that it is a dialog of the application is known by then."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, dialog_id: str, *, limit: int, skip: int) -> tuple[int, list[int]]:
        """How many members there are, and the ids of one page of them, in the order of their ids."""

        async def read(tx: Tx) -> tuple[int, list[int]]:
            total: int = await tx.value(_COUNT, dialog_id)
            return total, [row[0] for row in await tx.fetch(_PAGE, dialog_id, limit, skip)]

        return await self._database.read(read)

    async def marked(self, dialog_id: str) -> tuple[list[int], list[int]]:
        """Who has put the dialog away, and who has muted it."""
        return await self._database.read(lambda tx: self.marked_in(tx, dialog_id))

    async def marked_in(self, tx: Tx, dialog_id: str) -> tuple[list[int], list[int]]:
        """The same inside a transaction."""
        rows = await tx.fetch(_MARKED, dialog_id)
        return [row[0] for row in rows if row[1]], [row[0] for row in rows if row[2]]
