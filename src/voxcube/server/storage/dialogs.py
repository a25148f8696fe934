"""Dialogs and their members: statements and row → model."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import and_, bindparam, func, insert, not_, or_, select, update

from voxcube.server.core.listing import Listing
from voxcube.server.core.models import Dialog, DialogType, Member, pair_key
from voxcube.server.core.pages import ID_BYTES, text_bytes, within
from voxcube.server.storage import inbox, listed
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.inbox import VIEWER
from voxcube.server.storage.listed import FILTERS
from voxcube.server.storage.receipts import DELIVERED, READ
from voxcube.server.storage.schema import dialogs, hidden_messages, members, messages, receipts
from voxcube.server.storage.sql import Query, bulk_insert, bulk_query, in_list

DIALOG_NAMES = (
    *("id", "app_id", "type", "owner_id", "pair", "name", "description", "photo", "extensions", "data", "permissions"),
    *("pinned", "created_at", "updated_at", "seq", "live", "last_seq", "last_date_sent", "cleared"),
)
MEMBER_NAMES = (
    *("dialog_id", "user_id", "active", "admin", "hidden", "muted", "joined_at"),
    *("handed", "settled", "base", "hidden_before"),
)
_DIALOG = tuple(dialogs.c[name] for name in DIALOG_NAMES)
_MEMBER = tuple(members.c[name] for name in MEMBER_NAMES)
_LAST = tuple(messages.c[name] for name in ("id", "body", "sender_id", "seq", "date_sent"))
_APP = dialogs.c.app_id == bindparam("app")

_BY_ID = Query(select(*_DIALOG).where(_APP, dialogs.c.id == bindparam("id")), "app", "id")
_BY_PAIR = Query(select(*_DIALOG).where(_APP, dialogs.c.pair == bindparam("pair")), "app", "pair")
_OF_MEMBER = Query(
    select(*_MEMBER).where(members.c.dialog_id == bindparam("dialog"), members.c.user_id == bindparam("user")),
    *("dialog", "user"),
)

_SAME_APP = dialogs.c.app_id + 0 == bindparam("app", type_=dialogs.c.app_id.type)  # starts at the ids
_OWN_ROW = and_(members.c.dialog_id == dialogs.c.id, members.c.user_id == VIEWER)
_OWN_HIDDEN = and_(
    hidden_messages.c.dialog_id == dialogs.c.id,
    hidden_messages.c.user_id == VIEWER,
    hidden_messages.c.seq == dialogs.c.last_seq,
)
_ROWS = (
    select(*_DIALOG, *_MEMBER, *_LAST, hidden_messages.c.seq)
    .select_from(dialogs)
    .outerjoin(members, _OWN_ROW)
    .outerjoin(messages, and_(messages.c.dialog_id == dialogs.c.id, messages.c.seq == dialogs.c.last_seq))
    .outerjoin(hidden_messages, _OWN_HIDDEN)
    .where(_SAME_APP)
)
_VIEWS = Query(_ROWS.where(in_list(dialogs.c.id, "ids")), "app", "viewer", "ids")
# The newest message that the viewer has not deleted for itself, above a seq.
_NEWEST_SHOWN = bulk_query(
    "SELECT m.dialog_id, m.id, m.body, m.sender_id, m.seq, m.date_sent FROM {source} CROSS JOIN messages AS m"
    " WHERE m.dialog_id = {0} AND m.seq = (SELECT n.seq FROM messages AS n WHERE n.dialog_id = {0} AND n.seq > {2}"
    " AND NOT EXISTS (SELECT 1 FROM hidden_messages AS h WHERE h.dialog_id = {0} AND h.user_id = {1} AND h.seq = n.seq)"
    " ORDER BY n.seq DESC LIMIT 1)",
    *(messages.c.dialog_id, messages.c.sender_id, messages.c.seq),
)

_OCCUPANTS = Query(
    select(members.c.dialog_id, members.c.user_id)
    .where(in_list(members.c.dialog_id, "dialogs"), members.c.active)
    .order_by(members.c.dialog_id, members.c.user_id),
    "dialogs",
)
_ADMINS = Query(
    select(members.c.dialog_id, members.c.user_id)
    .where(in_list(members.c.dialog_id, "dialogs"), members.c.admin)
    .order_by(members.c.user_id),
    "dialogs",
)
_COUNTS = Query(
    select(members.c.dialog_id, func.count())
    .where(in_list(members.c.dialog_id, "dialogs"), members.c.active)
    .group_by(members.c.dialog_id),
    "dialogs",
)
# The furthest that anybody but one user has come with one message: 1 delivered, 2 read.
_PROGRESS = bulk_query(
    "SELECT {0}, max(r.kind) FROM {source} CROSS JOIN receipts AS r"
    " WHERE r.dialog_id = {0} AND r.low <= {1} AND r.high >= {1} AND r.user_id <> {2} GROUP BY {0}",
    *(receipts.c.dialog_id, receipts.c.low, receipts.c.user_id),
)
# Rows of a broadcast are not active: who has seen it once has one (rest §5).
_COUNTED = or_(members.c.active, members.c.type == int(DialogType.BROADCAST))
# Starts at the user's rows: of a join PostgreSQL may walk all dialogs instead, to look for the user in each.
_LIVE = select(dialogs.c.live).where(_SAME_APP, dialogs.c.id == members.c.dialog_id).scalar_subquery()
_OF_VIEWER = select(members.c.dialog_id, _LIVE - members.c.settled).where(
    members.c.user_id == VIEWER, _COUNTED, not_(members.c.hidden)
)
_UNREAD = Query(_OF_VIEWER, "app", "viewer")
_UNREAD_OF = Query(_OF_VIEWER.where(in_list(members.c.dialog_id, "dialogs")), "app", "viewer", "dialogs")

_STORED = (*DIALOG_NAMES, "copied", "last_arrival")
_INSERT = Query(insert(dialogs).values({name: bindparam(name) for name in _STORED}), *_STORED)
_MEMBER_STORED = (*MEMBER_NAMES, "app_id", "type", "copied", "listed_at", "activity", "arrival")
_ADD_MEMBERS = bulk_insert(members, *_MEMBER_STORED)
_SHOW = Query(
    update(members)
    .where(members.c.dialog_id == bindparam("dialog"), members.c.user_id == bindparam("user"))
    .values(hidden=False, active=True),
    *("dialog", "user"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogView:
    """A dialog as one user sees it. ``member`` is the user's own row, None where there is none (yet).

    ``last_…`` are of the newest message that the user has neither deleted nor cleared for itself. ``occupants`` and
    ``count`` are those that the type of dialog shows (rest §5); ``progress`` is how far anybody else has come with the
    last message (0, DELIVERED or READ).
    """

    dialog: Dialog
    member: Member | None
    last_id: str | None = None
    last_body: str | None = None
    last_sender: int | None = None
    last_seq: int = 0
    last_date_sent: int | None = None
    occupants: tuple[int, ...] = ()
    count: int | None = None
    admins: tuple[int, ...] = ()
    progress: int = 0


@dataclass(slots=True)
class _People:
    """Who is in the dialogs of a page."""

    occupants: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    admins: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[str, int] = field(default_factory=dict)
    progress: dict[str, int] = field(default_factory=dict)


class DialogStore:
    """Reads and writes dialogs. Every query carries the application."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_id(self, app_id: int, dialog_id: str) -> Dialog | None:
        row = await self._database.row(_BY_ID, app_id, dialog_id)
        return None if row is None else as_dialog(row)

    async def by_pair(self, tx: Tx, app_id: int, a: int, b: int) -> Dialog | None:
        """The private dialog of two users."""
        row = await tx.row(_BY_PAIR, app_id, pair_key(a, b))
        return None if row is None else as_dialog(row)

    async def member(self, dialog_id: str, user_id: int) -> Member | None:
        """A user's row in a dialog, also a former member's."""
        row = await self._database.row(_OF_MEMBER, dialog_id, user_id)
        return None if row is None else as_member(row)

    async def view(self, app_id: int, dialog_id: str, viewer: int) -> DialogView | None:
        """One dialog as ``viewer`` sees it; whether it may is not decided here."""
        return await self._database.read(lambda tx: self.view_in(tx, app_id, dialog_id, viewer))

    async def view_in(self, tx: Tx, app_id: int, dialog_id: str, viewer: int) -> DialogView | None:
        """The same inside the transaction that changes the dialog: what is read later could fail after the commit."""
        views = await _views(tx, app_id, viewer, [dialog_id])
        return views[0] if views else None

    async def page(self, app_id: int, viewer: int, listing: Listing, own: int) -> tuple[int, list[DialogView]]:
        """How many dialogs of the user's list meet the conditions (on FILTERS), and one page of them.

        ``own`` is the fact LISTED of `inbox.py`. Fewer than the limit come where the list ends, or where they fill a
        page (`core.pages`): the number of all tells which.
        """

        async def read(tx: Tx) -> tuple[int, list[DialogView]]:
            total, ids = await listed.page(tx, app_id, viewer, listing, own)
            return total, within(await _views(tx, app_id, viewer, ids), _bytes_on_page)

        return await self._database.look(read, scanning=listed.scans(listing), user=viewer)

    async def count(self, app_id: int, viewer: int, listing: Listing, own: int) -> int:
        """How many dialogs of the user's list meet the conditions; ``own`` as of ``page``."""
        return await self._database.look(
            lambda tx: listed.count(tx, app_id, viewer, listing, own),
            scanning=listed.scans(listing, counting=True),
            user=viewer,
        )

    async def unread(self, app_id: int, viewer: int, ids: Sequence[str] | None) -> dict[str, int]:
        """Unread messages by dialog, for the user's dialogs, or those of them that are among ``ids``."""

        async def read(tx: Tx) -> list[Row]:
            if ids is None:
                return await tx.fetch(_UNREAD, app_id, viewer)
            return await tx.fetch(_UNREAD_OF, app_id, viewer, list(ids))

        # None: the dialog is of another application, or gone.
        return {row[0]: max(0, row[1]) for row in await self._database.read(read) if row[1] is not None}

    async def insert(self, tx: Tx, dialog: Dialog, rows: Sequence[Member]) -> None:
        """A new dialog with its members."""
        activity, arrival = dialog.created_at_ms // 1000, dialog.created_at_ms * 1000
        if dialog.last_date_sent is not None:
            activity, arrival = dialog.last_date_sent, dialog.updated_at_ms * 1000
        copied = dialog.type is not DialogType.BROADCAST and len(rows) <= inbox.LARGE
        copies = (copied, dialog.updated_at_ms, activity, arrival) if copied else (False, 0, 0, 0)
        stored: dict[str, Any] = {
            "extensions": to_json(dialog.extensions),
            "data": to_json(dialog.data),
            "permissions": to_json(dialog.permissions),
            "pinned": to_json(list(dialog.pinned) or None),
            "created_at": dialog.created_at_ms,
            "updated_at": dialog.updated_at_ms,
            "type": int(dialog.type),
            "copied": copied,
            "last_arrival": arrival,
        }
        await tx.execute(_INSERT, *(stored[name] if name in stored else getattr(dialog, name) for name in _STORED))
        # Sorted, as all locks are.
        await tx.many(
            _ADD_MEMBERS,
            [
                (*(getattr(member, name) for name in MEMBER_NAMES), dialog.app_id, int(dialog.type), *copies)
                for member in sorted(rows, key=lambda row: row.user_id)
            ],
        )

    async def show(self, tx: Tx, dialog_id: str, user_id: int) -> None:
        """Brings a dialog back into a member's list."""
        await tx.execute(_SHOW, dialog_id, user_id)


def _bytes_on_page(view: DialogView) -> int:
    """About how many bytes a dialog takes on a page: its texts, and the lists of its people."""
    dialog = view.dialog
    inner = [*(dialog.extensions or {}).values(), *(dialog.data or {}).values(), *dialog.pinned]
    texts = text_bytes((dialog.name, dialog.description, dialog.photo, view.last_body, *inner))
    return texts + ID_BYTES * (len(view.occupants) + len(view.admins))


async def _views(tx: Tx, app_id: int, viewer: int, ids: list[str]) -> list[DialogView]:
    """Those of the dialogs that there are, in the order of their ids."""
    rows = {row[0]: row for row in await tx.fetch(_VIEWS, app_id, viewer, ids)} if ids else {}
    views = [_view(rows[id_]) for id_ in ids if id_ in rows]
    # Nearly always the last message is there to be seen; where the viewer has deleted it, the one before is.
    hidden = {
        view.dialog.id: (view.dialog.id, viewer, max(view.dialog.cleared, view.member.hidden_before))
        for view in views
        if view.member is not None and rows[view.dialog.id][-1] is not None
    }
    before = {row[0]: _last(row[1:]) for row in await tx.pick(_NEWEST_SHOWN, list(hidden.values()))}
    views = [
        replace(view, **before.get(view.dialog.id) or _last()) if view.dialog.id in hidden else view for view in views
    ]
    people = await _people(tx, views, viewer)
    return [
        replace(
            view,
            occupants=tuple(people.occupants.get(view.dialog.id, ())),
            count=people.counts.get(view.dialog.id, 0) if view.dialog.type is DialogType.PUBLIC else None,
            admins=tuple(id_ for id_ in people.admins.get(view.dialog.id, ()) if id_ != view.dialog.owner_id),
            progress=people.progress.get(view.dialog.id, 0),
        )
        for view in views
    ]


async def _people(tx: Tx, views: Sequence[DialogView], viewer: int) -> _People:
    people = _People()
    kinds: dict[DialogType, list[str]] = {kind: [] for kind in DialogType}
    for view in views:
        kinds[view.dialog.type].append(view.dialog.id)
    if named := kinds[DialogType.PRIVATE] + kinds[DialogType.GROUP]:
        for dialog_id, user_id in await tx.fetch(_OCCUPANTS, named):
            people.occupants[dialog_id].append(user_id)
    if counted := kinds[DialogType.PUBLIC]:
        people.counts.update(dict(await tx.fetch(_COUNTS, counted)))
    if led := kinds[DialogType.GROUP] + counted + kinds[DialogType.BROADCAST]:
        for dialog_id, user_id in await tx.fetch(_ADMINS, led):
            people.admins[dialog_id].append(user_id)
    own = [(view.dialog.id, view.last_seq, viewer) for view in views if view.last_sender == viewer]
    people.progress.update(dict(await tx.pick(_PROGRESS, own)))
    return people


def _view(row: Row) -> DialogView:
    first, second = len(DIALOG_NAMES), len(DIALOG_NAMES) + len(MEMBER_NAMES)
    dialog = as_dialog(row[:first])
    member = None if row[first] is None else as_member(row[first:second])
    gone = dialog.cleared if member is None else max(dialog.cleared, member.hidden_before)
    there = row[second] is not None and dialog.last_seq > gone
    return DialogView(dialog=dialog, member=member, **_last(row[second:-1] if there else ()))


def _last(row: Row = ()) -> dict[str, Any]:
    """The attributes of a view that (id, body, sender, seq, date) of its last message give."""
    id_, body, sender, seq, date_sent = row or (None, None, None, 0, None)
    return {"last_id": id_, "last_body": body, "last_sender": sender, "last_seq": seq, "last_date_sent": date_sent}


def as_dialog(row: Row) -> Dialog:
    stored = dict(zip(DIALOG_NAMES, row, strict=True))
    for name in ("extensions", "data", "permissions"):
        stored[name] = json.loads(stored[name]) if stored[name] else None
    stored["pinned"] = tuple(json.loads(stored["pinned"])) if stored["pinned"] else ()
    stored["type"] = DialogType(stored["type"])
    stored["created_at_ms"] = stored.pop("created_at")
    stored["updated_at_ms"] = stored.pop("updated_at")
    return Dialog(**stored)


def as_member(row: Row) -> Member:
    stored = dict(zip(MEMBER_NAMES, row, strict=True))
    for name in ("active", "admin", "hidden", "muted"):
        stored[name] = bool(stored[name])
    return Member(**stored)


def to_json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


__all__ = ["DELIVERED", "FILTERS", "READ", "DialogStore", "DialogView"]
