"""Who is in a dialog, and as what: the lock under which that changes, and how the changed rows are written.

A change reads a dialog under its lock (`lock`), puts the new rows into what it got, and writes them at once (`save`).
Whoever changes a dialog or who is in it holds the dialog's row: what was decided still holds when it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import bindparam, func, or_, select, update

from voxcube.server.core.models import Dialog, DialogType, Member
from voxcube.server.storage import inbox
from voxcube.server.storage.database import Tx
from voxcube.server.storage.dialogs import DIALOG_NAMES, MEMBER_NAMES, as_dialog, as_member, to_json
from voxcube.server.storage.listing import memoised
from voxcube.server.storage.receipts import FORGET_HIDDEN, LIVE, LOCK_ALL_MEMBERS
from voxcube.server.storage.schema import dialogs, members, message_ids, users
from voxcube.server.storage.sql import Query, bulk_select, bulk_upsert, in_list

_DIALOG: Any = bindparam("dialog")
_LOCK_DIALOGS = bulk_select(dialogs, ["id"], *DIALOG_NAMES, lock=True)
_LOCK_MEMBERS = bulk_select(members, ["dialog_id", "user_id"], *MEMBER_NAMES, lock=True)
# They can only change under the dialogs' locks.
_ADMINS = Query(
    select(members.c.dialog_id, members.c.user_id).where(in_list(members.c.dialog_id, "dialogs"), members.c.admin),
    "dialogs",
)
_STORED = (*MEMBER_NAMES, "app_id", "type")
_WRITE_MEMBERS = bulk_upsert(members, *_STORED)
_ACTIVE = Query(
    select(members.c.user_id).where(members.c.dialog_id == _DIALOG, members.c.active).order_by(members.c.user_id),
    "dialog",
)
_COUNT = Query(
    select(func.count()).select_from(members).where(members.c.dialog_id == _DIALOG, members.c.active), "dialog"
)
# The first admin, else the oldest occupant (rest §6.4).
_HEIR = Query(
    select(members.c.user_id)
    .where(members.c.dialog_id == _DIALOG, members.c.active, or_(members.c.admin, bindparam("anybody")))
    .order_by(members.c.admin.desc(), members.c.joined_at, members.c.user_id)
    .limit(1),
    *("dialog", "anybody"),
)
# Locked against deletion, so that nobody is put into a dialog who is gone by then.
_EXISTING = Query(
    select(users.c.id)
    .where(users.c.app_id + 0 == bindparam("app", type_=users.c.app_id.type), in_list(users.c.id, "ids"))
    .order_by(users.c.id)
    .with_for_update(read=True, key_share=True),
    *("app", "ids"),
)
_OF_IDS = Query(
    select(message_ids.c.id, message_ids.c.seq).where(
        message_ids.c.app_id == bindparam("app"), in_list(message_ids.c.id, "ids"), message_ids.c.dialog_id == _DIALOG
    ),
    *("app", "ids", "dialog"),
)


@dataclass(slots=True)
class Locked:
    """A dialog under its lock, with at least the rows of the users asked for, of its admins and of its owner.

    ``fields`` and ``changed`` are what `save` will write.
    """

    dialog: Dialog
    members: dict[int, Member]
    fields: dict[str, Any] = field(default_factory=dict)
    changed: dict[int, Member] = field(default_factory=dict)
    regrouped: bool = False  # whether other people are members, admins or see the dialog now

    def active(self, user_id: int) -> bool:
        """Whether the user, one of those asked for, is a member."""
        member = self.members.get(user_id)
        return member is not None and member.active

    def hide(self, user_id: int, hidden: bool) -> None:
        """Takes the dialog out of the user's list, or puts it back."""
        self.put(replace(self.row(user_id), hidden=hidden))

    @property
    def admins(self) -> set[int]:
        return {user_id for user_id, member in self.members.items() if member.active and member.admin}

    def row(self, user_id: int) -> Member:
        """The user's row; a new one, of somebody who is not in, where there is none."""
        found = self.members.get(user_id)
        return found or Member(
            dialog_id=self.dialog.id,
            user_id=user_id,
            active=False,
            base=self.dialog.seq,
            settled=self.dialog.live,
            hidden_before=self.dialog.cleared,
        )

    def put(self, member: Member) -> None:
        """Replaces a user's row."""
        before = self.row(member.user_id)
        if self.members.get(member.user_id) != member:
            self.members[member.user_id] = self.changed[member.user_id] = member
            if (before.active, before.admin, before.hidden) != (member.active, member.admin, member.hidden):
                self.regrouped = True

    def set(self, **fields: Any) -> None:
        """Replaces attributes of the dialog."""
        for name, value in fields.items():
            if getattr(self.dialog, name) != value:
                self.fields[name] = value
        self.dialog = replace(self.dialog, **fields)

    def join(self, user_id: int, now: int) -> None:
        """The user becomes a member, and may read what was before. In a group that counts as unread, and who comes
        back goes on where it left; in a public dialog counting begins now (rest §5). A broadcast, which it has been
        reading before, stays as it is for the user."""
        row, dialog = self.row(user_id), self.dialog
        if row.active:
            return
        row = replace(row, active=True, admin=False, joined_at=now)
        if dialog.type is DialogType.PUBLIC:
            row = replace(row, base=dialog.seq, settled=dialog.live)
        elif dialog.type is DialogType.GROUP and user_id not in self.members:
            row = replace(row, base=dialog.cleared, settled=0)
        self.put(row)

    def leave(self, user_id: int) -> None:
        """The user is no member any more, nor an admin; its row stays, so that a rejoin continues."""
        if self.active(user_id):
            self.put(replace(self.members[user_id], active=False, admin=False))


async def lock(
    tx: Tx, app_id: int, dialog_id: str, user_ids: Iterable[int], *, everybody: bool = False
) -> Locked | None:
    """One dialog of the application under its lock, or None; with ``everybody`` all its member rows are locked too."""
    found = await lock_all(tx, app_id, [dialog_id], user_ids, everybody=everybody)
    return found[0] if found else None


async def lock_all(
    tx: Tx, app_id: int, dialog_ids: Collection[str], user_ids: Iterable[int], *, everybody: bool = False
) -> list[Locked]:
    """Those of the dialogs that the application has, under their locks."""
    rows = await tx.pick(_LOCK_DIALOGS, [(dialog_id,) for dialog_id in sorted(dialog_ids)])
    found = {row[0]: Locked(as_dialog(row), {}) for row in rows}
    found = {id_: locked for id_, locked in found.items() if locked.dialog.app_id == app_id}
    if not found:
        return []
    for id_ in sorted(found) if everybody else ():
        await tx.fetch(LOCK_ALL_MEMBERS, id_)
    asked = set(user_ids)
    rows_of = {(id_, user_id) for id_ in found for user_id in asked}
    rows_of |= {(id_, locked.dialog.owner_id) for id_, locked in found.items()}
    rows_of |= {(row[0], row[1]) for row in await tx.fetch(_ADMINS, sorted(found))}
    rows_of |= set(await inbox.copied_rows(tx, list(found)))  # `save` may write into all of these
    for row in await tx.pick(_LOCK_MEMBERS, sorted(rows_of)):
        member = as_member(row)
        found[member.dialog_id].members[member.user_id] = member
    return list(found.values())


async def save(tx: Tx, locked: Locked, now_ms: int | None = None) -> None:
    """Writes what has changed. With `now_ms` the dialog's ``updated_at`` moves (never back), unless it was nothing but
    somebody's own settings."""
    dialog, changed = locked.dialog, sorted(locked.changed.items())
    if now_ms is not None and (locked.fields or locked.regrouped):
        locked.set(updated_at_ms=max(now_ms, dialog.updated_at_ms + 1))
    rows = [(*(getattr(row, name) for name in MEMBER_NAMES), dialog.app_id, int(dialog.type)) for _, row in changed]
    await tx.many(_WRITE_MEMBERS, rows)
    values = _columns(locked.fields)
    if values or locked.regrouped:
        names = tuple(sorted(values))
        await tx.execute(_update(names, locked.regrouped), *(values[name] for name in names), dialog.id)
    if changed or "updated_at" in values or "last_date_sent" in values:
        await inbox.refresh(tx, dialog.id)
    locked.fields, locked.changed, locked.regrouped = {}, {}, False


async def pass_on(tx: Tx, locked: Locked, *, only_to_admin: bool = False) -> bool:
    """The owner has left (and that is saved): ownership goes to the first admin, else to the oldest occupant.

    False when there is nobody to take it.
    """
    heir: int | None = await tx.value(_HEIR, locked.dialog.id, not only_to_admin)
    if heir is None:
        return False
    locked.set(owner_id=heir)
    if heir in locked.members:
        locked.put(replace(locked.members[heir], admin=False))  # an owner is not among the admins (rest §5)
    return True


async def clear_for(tx: Tx, locked: Locked, user_id: int) -> None:
    """All messages so far are gone for the user. The caller saves the dialog."""
    dialog = locked.dialog
    await tx.execute(FORGET_HIDDEN, dialog.id, user_id)
    locked.put(replace(locked.row(user_id), hidden_before=dialog.seq, settled=dialog.live))


async def existing(tx: Tx, app_id: int, user_ids: Collection[int]) -> set[int]:
    """Those of the ids that are users of the application, and will be until this is committed."""
    return {row[0] for row in await tx.fetch(_EXISTING, app_id, sorted(user_ids))} if user_ids else set()


async def occupants(tx: Tx, dialog_id: str) -> list[int]:
    """All members."""
    return [row[0] for row in await tx.fetch(_ACTIVE, dialog_id)]


async def count(tx: Tx, dialog_id: str) -> int:
    """How many members there are."""
    found: int = await tx.value(_COUNT, dialog_id)
    return found


async def live_messages(tx: Tx, dialog: Dialog, ids: Collection[str]) -> set[str]:
    """Those of the ids that are messages of the dialog, and not deleted."""
    if not ids:
        return set()
    known = {row[1]: row[0] for row in await tx.fetch(_OF_IDS, dialog.app_id, sorted(ids), dialog.id)}
    live = await tx.pick(LIVE, [(dialog.id, seq) for seq in known if seq > dialog.cleared])
    return {known[row[1]] for row in live}


@memoised
def _update(names: tuple[str, ...], regrouped: bool) -> Query:
    values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=dialogs.c[name].type) for name in names}
    if regrouped:
        values["members_version"] = dialogs.c.members_version + 1
    return Query(
        update(dialogs).where(dialogs.c.id == bindparam("key")).values(values),
        *(f"new_{name}" for name in names),
        "key",
    )


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of `Dialog` as columns."""
    values = dict(fields)
    for name in ("extensions", "data", "permissions"):
        if name in values:
            values[name] = to_json(values[name])
    if "pinned" in values:
        values["pinned"] = to_json(list(values["pinned"]) or None)
    if "updated_at_ms" in values:
        values["updated_at"] = values.pop("updated_at_ms")
    return values
