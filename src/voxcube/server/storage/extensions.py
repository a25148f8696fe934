"""The custom fields of dialogs: which ones the application has, and what happens when it no longer has them."""

from __future__ import annotations

import json
from collections.abc import Collection

from sqlalchemy import bindparam, select

from voxcube.server.storage import apps
from voxcube.server.storage.database import Tx
from voxcube.server.storage.dialogs import to_json
from voxcube.server.storage.schema import dialogs
from voxcube.server.storage.sql import Query, bulk_update

# In the order in which dialogs are locked.
_EXTENDED = Query(
    select(dialogs.c.id, dialogs.c.extensions)
    .where(dialogs.c.app_id == bindparam("app"), dialogs.c.extensions.is_not(None))
    .order_by(dialogs.c.id)
    .with_for_update(),
    "app",
)
_WRITE = bulk_update(dialogs, ["id"], "extensions")


async def names(tx: Tx, app_id: int) -> tuple[str, ...]:
    """The fields that dialogs of the application may have, until this is committed.

    To be asked before a dialog is locked: who changes them has locked the application before `keep_only`.
    """
    app = await apps.by_id(tx, app_id, keep=True)
    return () if app is None else app.settings.dialog_custom_fields


async def keep_only(tx: Tx, app_id: int, names: Collection[str]) -> int:
    """Takes all fields but these from the application's dialogs; returns how many dialogs lost one.

    It is no edit of theirs: ``updated_at`` stays.
    """
    changed = []
    for dialog_id, text in await tx.fetch(_EXTENDED, app_id):
        stored = json.loads(text)
        kept = {name: value for name, value in stored.items() if name in names}
        if len(kept) < len(stored):
            changed.append((to_json(kept or None), dialog_id))
    await tx.many(_WRITE, changed)
    return len(changed)
