"""Broadcasts belong to all users of the application: a user has a member row from the first sight on (rest §5)."""

from __future__ import annotations

from collections.abc import Collection

from voxcube.server.core.models import DialogType, Member
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import dialogs, members
from voxcube.server.storage.sql import bulk_insert, bulk_select

_LOCK = bulk_select(dialogs, ["id"], "id", "app_id", "type", "seq", "live", lock=True)
_ADD = bulk_insert(
    members,
    *("dialog_id", "user_id", "app_id", "type", "active", "joined_at", "handed", "settled", "base"),
    ignore_existing=True,
)


async def see(tx: Tx, app_id: int, user_id: int, dialog_ids: Collection[str], now: int) -> dict[str, Member]:
    """Adds the row of a user who sees these broadcasts for the first time, at ``now`` in seconds; returns the rows.

    What was sent before counts as read. The rows are not active: nobody can be told the million members of a broadcast,
    and only what they count for the user is of interest.
    """
    rows = [
        Member(dialog_id=id_, user_id=user_id, active=False, joined_at=now, handed=seq, settled=live, base=seq)
        for id_, app, kind, seq, live in await tx.pick(_LOCK, [(id_,) for id_ in sorted(dialog_ids)])
        if app == app_id and kind == DialogType.BROADCAST
    ]
    await tx.many(
        _ADD,
        [
            (row.dialog_id, user_id, app_id, int(DialogType.BROADCAST), False, now, row.handed, row.settled, row.base)
            for row in rows
        ],
    )
    return {row.dialog_id: row for row in rows}
