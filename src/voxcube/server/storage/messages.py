"""Storing messages: sends as data, applied in batches; and the set-wise statements behind a batch.

Every transaction locks dialog rows, then member rows, then message ids, each sorted: two nodes that meet in any order
cannot wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from voxcube.server.core.errors import Conflict, NotFound
from voxcube.server.core.models import DialogType
from voxcube.server.storage import broadcasts, inbox
from voxcube.server.storage.database import Tx
from voxcube.server.storage.receipts import HandOver, Mark, apply_handed, apply_marks
from voxcube.server.storage.schema import dialogs, members, message_ids, messages
from voxcube.server.storage.sql import bulk_insert, bulk_query, bulk_select, bulk_update
from voxcube.server.storage.writer import Change

MemberKey = tuple[str, int]

LOCK_DIALOGS = bulk_select(
    dialogs,
    ["id"],
    *("id", "seq", "live", "updated_at", "members_version", "copied"),
    lock=True,
)
LOCK_MEMBERS = bulk_select(
    members,
    ["dialog_id", "user_id"],
    *("dialog_id", "user_id", "active", "settled", "base", "hidden_before", "handed", "type"),
    lock=True,
)
KNOWN_IDS = bulk_select(message_ids, ["app_id", "id"], "app_id", "id", "dialog_id", "seq", "sender_id")
# The messages of markers, and whether their writers have a row in the dialog. (A join with `members` reads all members
# of the dialog for each marker on PostgreSQL: it takes the dialog for the key, and the user for a filter.)
MARKED = bulk_query(
    "SELECT i.app_id, i.id, {2}, i.dialog_id, i.seq, i.sender_id,"
    " (SELECT m.user_id FROM members AS m WHERE m.dialog_id = i.dialog_id AND m.user_id = {2})"
    " FROM {source} CROSS JOIN message_ids AS i WHERE i.app_id = {0} AND i.id = {1}",
    *(message_ids.c.app_id, message_ids.c.id, members.c.user_id),
)
ADD_IDS = bulk_insert(message_ids, "app_id", "id", "dialog_id", "seq", "sender_id")
ADD_MESSAGES = bulk_insert(
    messages,
    *("dialog_id", "seq", "id", "app_id", "sender_id", "recipient_id", "body", "properties", "attachments"),
    *("extras", "date_sent", "created_at", "updated_at"),
)
# What few messages have is written apart, so that all others cost nothing for it.
MARK_MESSAGES = bulk_update(messages, ["dialog_id", "seq"], "quiet", "destroy_after", "expires_at")
MOVE_DIALOGS = bulk_update(
    dialogs,
    ["id"],
    *("seq", "live", "last_seq", "last_date_sent", "last_arrival", "updated_at"),
)
SETTLE_MEMBERS = bulk_update(members, ["dialog_id", "user_id"], "settled", "handed")
UNSEEN_SECONDS = 7 * 86_400  # how long a self-destroying message is kept that nobody has read (realtime §9.4)
SHOW_AGAIN = bulk_update(members, ["dialog_id"], "hidden")


class Send(Change):
    """A message on its way into the database.

    Set by the batch: `seq`, its number in the dialog; `fresh`, whether it was stored now (False = a resend of a stored
    one); `members_version` of the dialog at that moment, before which it is that of the facts by which the message was
    allowed; `error`, Conflict when the id belongs to another message.
    """

    __slots__ = (
        *("app_id", "arrived_at", "attachments", "body", "context", "created_at", "date_sent", "destroy_after"),
        *("dialog_id", "extras", "fresh", "members_version", "message_id", "properties", "quiet", "recipient_id"),
        *("sender_id", "seq", "show_again", "tried"),
    )

    def __init__(
        self,
        *,
        app_id: int,
        dialog_id: str,
        message_id: str,
        sender_id: int,
        recipient_id: int,
        body: str,
        properties: str | None,
        attachments: str | None,
        extras: str | None,
        date_sent: int,
        created_at: int,
        done: Callable[[Any], None],
        arrived_at: int = 0,
        members_version: int = 0,
        show_again: bool = False,
        quiet: bool = False,
        destroy_after: int | None = None,
        context: Any = None,
    ) -> None:
        """`date_sent` in seconds, `created_at` in milliseconds, `arrived_at` in microseconds (0 = as
        `created_at`); `properties` and `attachments` are JSON text.

        `show_again` brings a hidden private dialog back to its members, and so does a `members_version` that is behind
        the dialog's: it may have been hidden since. A `quiet` message is delivered to nobody; one with
        `destroy_after` (seconds) is deleted so long after somebody has read it. `context` is the caller's own.
        """
        self.done = done
        self.error = None
        self.app_id = app_id
        self.dialog_id = dialog_id
        self.message_id = message_id
        self.sender_id = sender_id
        self.recipient_id = recipient_id
        self.body = body
        self.properties = properties
        self.attachments = attachments
        self.extras = extras
        self.date_sent = date_sent
        self.created_at = created_at
        self.arrived_at = arrived_at or created_at * 1000
        self.show_again = show_again
        self.quiet = quiet
        self.destroy_after = destroy_after
        self.context = context
        self.seq = 0
        self.members_version = members_version
        self.fresh = False
        self.tried = False  # numbered by an earlier run of this batch, whose commit is uncertain


async def apply_batch(tx: Tx, changes: Sequence[Change]) -> None:
    """Turns a batch of sends, markers and hand-overs into a handful of statements."""
    sends: list[Send] = []
    marks: list[Mark] = []
    handed: list[HandOver] = []
    for change in changes:
        if type(change) is Send:
            sends.append(change)
        elif type(change) is Mark:
            marks.append(change)
        else:
            assert type(change) is HandOver
            handed.append(change)
    found, strangers = await _find_marked(tx, marks) if marks else ([], set())
    dialog_ids = {s.dialog_id for s in sends}.union(dialog_id for _, dialog_id, _ in strangers)
    dialog_rows = {row[0]: row for row in await tx.pick(LOCK_DIALOGS, [(id_,) for id_ in sorted(dialog_ids)])}
    # Readers of broadcasts are no members; what each of them has read is kept all the same, in a row of its own.
    for app_id, dialog_id, user_id in sorted(strangers):
        await broadcasts.see(tx, app_id, user_id, [dialog_id], 0)
    keys: set[MemberKey] = set()
    for send in sends:
        keys.add((send.dialog_id, send.sender_id))
        if send.recipient_id:
            dialog = dialog_rows.get(send.dialog_id)
            if dialog is not None and send.members_version < dialog[4]:
                send.show_again = True
            if send.show_again:
                keys.add((send.dialog_id, send.recipient_id))
    keys.update((dialog_id, mark.user_id) for mark, dialog_id, _, _ in found)
    keys.update((h.dialog_id, h.user_id) for h in handed if h.dialog_id)
    copied = [row[0] for row in dialog_rows.values() if row[5]]
    keys.update(await inbox.copied_rows(tx, copied))
    rows = await tx.pick(LOCK_MEMBERS, sorted(keys))
    # active (who has a row of a broadcast is among its readers), settled, base, hidden_before, handed
    member_rows: dict[MemberKey, list[Any]] = {
        (row[0], row[1]): [row[2] or row[7] == DialogType.BROADCAST, *row[3:7]] for row in rows
    }
    if sends:
        await _apply_sends(tx, sends, dialog_rows, member_rows)
    if copied:  # from now on what happens in these dialogs is not written into the member rows (`inbox.py`)
        await inbox.drop(tx, copied)
    if found:
        await apply_marks(tx, found, member_rows)
    if handed:
        await apply_handed(tx, handed, member_rows)
    settled = [(m[1], m[4], key[0], key[1]) for key, m in member_rows.items() if len(m) > 5]
    await tx.many(SETTLE_MEMBERS, settled)


async def _find_marked(
    tx: Tx, marks: Sequence[Mark]
) -> tuple[list[tuple[Mark, str, int, int]], set[tuple[int, str, int]]]:
    """(mark, dialog, seq, sender) of the marks whose message is stored and whose writer is not its sender; and
    (application, dialog, user) of those among them who have no member row."""
    keys = [(mark.app_id, mark.message_id, mark.user_id) for mark in marks]
    known = {tuple(row[:3]): row[3:] for row in await tx.pick(MARKED, keys)}
    found, strangers = [], set()
    for mark, key in zip(marks, keys, strict=True):
        row = known.get(key)
        if row is not None:
            mark.dialog_id, mark.seq, mark.sender_id, member = row
            if mark.sender_id != mark.user_id:
                found.append((mark, mark.dialog_id, mark.seq, mark.sender_id))
                if member is None:
                    strangers.add((mark.app_id, mark.dialog_id, mark.user_id))
    return found, strangers


async def _apply_sends(
    tx: Tx,
    sends: Sequence[Send],
    dialog_rows: dict[str, Any],
    member_rows: dict[MemberKey, list[Any]],
) -> None:
    # The ids are looked up under the dialogs' locks, so that no number is burnt on a resend.
    known: dict[tuple[int, str], tuple[Any, ...]] = {
        (row[0], row[1]): (row[2], row[3], row[4])
        for row in await tx.pick(KNOWN_IDS, sorted((s.app_id, s.message_id) for s in sends))
    }
    state: dict[str, list[int]] = {}
    id_rows: list[tuple[int, str, str, int, int]] = []
    message_rows: list[tuple[Any, ...]] = []
    marked_rows: list[tuple[Any, ...]] = []
    last: dict[str, Send] = {}
    shown: set[str] = set()
    for send in sends:
        dialog_id = send.dialog_id
        key = (send.app_id, send.message_id)
        row = known.get(key)
        if row is not None:
            if row[0] != dialog_id or row[2] != send.sender_id:
                send.error = Conflict("This message id belongs to another message")
            else:
                send.seq = row[1]
                # After an uncertain commit the row is our own work: to everybody else it is new.
                send.fresh = send.tried
            continue
        numbers = state.get(dialog_id)
        if numbers is None:
            dialog = dialog_rows.get(dialog_id)
            if dialog is None:
                send.error = NotFound("The dialog does not exist")
                continue
            numbers = state[dialog_id] = [dialog[1], dialog[2], dialog[3]]
        numbers[0] += 1
        numbers[1] += 1
        # Never back, though the clocks of two nodes differ: a client asks for what is newer than what it has seen.
        # Messages come in the order of their numbers by that too: pages are sorted and begun by it (`history.py`).
        numbers[2] = send.created_at = max(numbers[2], send.created_at)
        send.seq = seq = numbers[0]
        send.members_version = dialog_rows[dialog_id][4]
        send.fresh = send.tried = True
        known[key] = (dialog_id, seq, send.sender_id)
        last[dialog_id] = send
        id_rows.append((send.app_id, send.message_id, dialog_id, seq, send.sender_id))
        message_rows.append(
            (
                *(dialog_id, seq, send.message_id, send.app_id, send.sender_id, send.recipient_id, send.body),
                *(send.properties, send.attachments, send.extras, send.date_sent, send.created_at, send.created_at),
            )
        )
        if send.quiet or send.destroy_after is not None:
            expires_at = None if send.destroy_after is None else send.created_at // 1000 + UNSEEN_SECONDS
            marked_rows.append((send.quiet, send.destroy_after, expires_at, dialog_id, seq))
        member = member_rows.get((dialog_id, send.sender_id))
        if member is not None:
            member[1] += 1
            if member[4] == seq - 1:  # nothing of others lies between: own messages need no delivery
                member[4] = seq
            if len(member) == 5:
                member.append(True)  # changed
        if send.show_again:
            shown.add(dialog_id)
    id_rows.sort()
    await tx.many(ADD_IDS, id_rows)
    await tx.many(ADD_MESSAGES, message_rows)
    await tx.many(MARK_MESSAGES, marked_rows)
    await tx.many(
        MOVE_DIALOGS,
        [
            (seq, live, seq, last[dialog_id].date_sent, last[dialog_id].arrived_at, updated_at, dialog_id)
            for dialog_id, (seq, live, updated_at) in state.items()
        ],
    )
    if shown:
        await tx.many(SHOW_AGAIN, [(False, dialog_id) for dialog_id in sorted(shown)])
