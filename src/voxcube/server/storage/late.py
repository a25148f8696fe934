"""Reading messages for delivery: what a user was never handed, and what a node missed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, or_, select

from voxcube.server.core.models import DELIVERED, READ
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.schema import dialogs, hidden_messages, members, messages, receipts
from voxcube.server.storage.sql import Query, absent, in_list

PRIVATE = 3

_BEHIND = Query(
    select(members.c.dialog_id, members.c.handed, dialogs.c.seq)
    .join(dialogs, dialogs.c.id == members.c.dialog_id)
    .where(
        members.c.user_id == bindparam("user"),
        members.c.active,
        members.c.type == PRIVATE,
        dialogs.c.seq > members.c.handed,
    ),
    "user",
)
LATE_COLUMNS = tuple(
    messages.c[name]
    for name in (
        *("dialog_id", "seq", "id", "app_id", "sender_id", "recipient_id", "body", "properties", "attachments"),
        *("extras", "date_sent", "created_at", "quiet"),
    )
)
_CLEARED = select(dialogs.c.cleared).where(dialogs.c.id == bindparam("dialog")).scalar_subquery()
_HIDDEN_BEFORE = (
    select(members.c.hidden_before)
    .where(members.c.dialog_id == bindparam("dialog"), members.c.user_id == bindparam("user"))
    .scalar_subquery()
)


def _covered_up_to(kind: int) -> ColumnElement[int]:
    """The end of the user's last interval that begins at or before the message: one row, however many gaps there are.
    (Intervals of a kind do not overlap, so that no earlier one can reach further.)"""
    last = (
        select(receipts.c.high)
        .where(
            receipts.c.dialog_id == messages.c.dialog_id,
            receipts.c.user_id == bindparam("user"),
            receipts.c.kind == kind,
            receipts.c.low <= messages.c.seq,
        )
        .order_by(receipts.c.low.desc())
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(last, 0)


# Oldest first in the end, but the newest are kept where there are too many.
_MISSED = Query(
    # No joins: from a join PostgreSQL collects all that was missed before it sorts the newest.
    select(*LATE_COLUMNS)
    .where(
        messages.c.dialog_id == bindparam("dialog"),
        messages.c.seq > _CLEARED,
        messages.c.seq > bindparam("after"),
        messages.c.seq > _HIDDEN_BEFORE,
        messages.c.sender_id != bindparam("user"),
        messages.c.created_at >= bindparam("since"),
        ~messages.c.quiet,
        # Fetched by REST or acknowledged by a marker: it has them (realtime §7.4).
        *(_covered_up_to(kind) < messages.c.seq for kind in (DELIVERED, READ)),
        absent(
            select(hidden_messages.c.seq).where(
                hidden_messages.c.dialog_id == messages.c.dialog_id,
                hidden_messages.c.user_id == bindparam("user"),
                hidden_messages.c.seq == messages.c.seq,
            )
        ),
    )
    .order_by(messages.c.seq.desc())
    .limit(bindparam("limit")),
    *("user", "dialog", "after", "since", "limit"),
)
_RANGE = Query(
    select(*LATE_COLUMNS)
    .join(dialogs, dialogs.c.id == messages.c.dialog_id)
    .where(
        messages.c.dialog_id == bindparam("dialog"),
        messages.c.seq > dialogs.c.cleared,
        messages.c.seq >= bindparam("low"),
        messages.c.seq <= bindparam("high"),
    )
    .order_by(messages.c.seq),
    *("dialog", "low", "high"),
)
_POSITIONS = Query(
    select(
        members.c.user_id, members.c.dialog_id, members.c.type, dialogs.c.seq, dialogs.c.created_at, dialogs.c.changes
    )
    .join(dialogs, dialogs.c.id == members.c.dialog_id)
    .where(in_list(members.c.user_id, "users"), or_(members.c.active, members.c.type == PRIVATE)),
    "users",
)
_MEMBERS_VERSION = Query(select(dialogs.c.members_version).where(dialogs.c.id == bindparam("dialog")), "dialog")


@dataclass(frozen=True, slots=True)
class LateMessage:
    """A stored message with all that its stanza is made of. `created_at` in milliseconds; `quiet`: not delivered."""

    dialog_id: str
    seq: int
    id: str
    app_id: int
    sender_id: int
    recipient_id: int
    body: str
    properties: Mapping[str, Any]
    attachments: Sequence[Mapping[str, str]]
    extras: str | None
    date_sent: int
    created_at: int
    quiet: bool


class LateStore:
    """Messages by what was handed over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def behind(self, user_id: int) -> list[tuple[str, int, int]]:
        """(dialog, handed, newest seq) of the user's private dialogs in which something was not handed over."""
        return [(row[0], row[1], row[2]) for row in await self._database.fetch(_BEHIND, user_id)]

    async def missed(
        self, user_id: int, dialogs_after: Sequence[tuple[str, int]], *, since: int, limit: int
    ) -> list[LateMessage]:
        """Messages of others in these dialogs with a seq above the given, the `limit` newest, oldest first.

        `since` in milliseconds: older ones are left to the history.
        """

        async def read(tx: Tx) -> list[LateMessage]:
            found: list[LateMessage] = []
            for dialog_id, after in dialogs_after:
                rows = await tx.fetch(_MISSED, user_id, dialog_id, after, since, limit)
                found += [late_message(row) for row in rows]
            found.sort(key=lambda message: (message.created_at, message.dialog_id, message.seq))
            return found[-limit:]

        return await self._database.read(read)

    async def range(self, dialog_id: str, low: int, high: int) -> list[LateMessage]:
        """The messages of a dialog with these numbers that are still there."""

        async def read(tx: Tx) -> list[LateMessage]:
            return [late_message(row) for row in await tx.fetch(_RANGE, dialog_id, low, high)]

        return await self._database.read(read)

    async def positions(self, user_ids: Sequence[int]) -> list[Row]:
        """(user, dialog, type, seq, created_at in ms, number of changes) of the dialogs of these users."""
        return await self._database.fetch(_POSITIONS, list(user_ids))

    async def members_version(self, dialog_id: str) -> int:
        """How often the members of a dialog have changed."""
        return await self._database.value(_MEMBERS_VERSION, dialog_id) or 0


def late_message(row: Row) -> LateMessage:
    dialog_id, seq, id_, app_id, sender_id, recipient_id, body, *rest = row
    properties, attachments, extras, sent, made, quiet = rest
    return LateMessage(
        dialog_id,
        seq,
        id_,
        app_id,
        sender_id,
        recipient_id,
        body,
        json.loads(properties) if properties else {},
        json.loads(attachments) if attachments else (),
        extras,
        sent,
        made,
        bool(quiet),
    )
