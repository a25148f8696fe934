"""Who has had the messages of a page, and how they were reacted to, as one viewer sees it (rest §7.1).

What an answer holds must be read: a page of a dialog that 5,000 have read names 5,000 readers per message, because
the clients expect lists. But the lists change only where somebody's interval begins or ends, so that messages in a row
mostly share them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import bindparam, select

from voxcube.server.core.models import Reactions, StoredMessage
from voxcube.server.storage.database import Row, Tx
from voxcube.server.storage.receipts import READ
from voxcube.server.storage.schema import reactions, receipts
from voxcube.server.storage.sql import Query, bulk_query

_INTERVALS = Query(
    select(receipts.c.user_id, receipts.c.kind, receipts.c.low, receipts.c.high)
    .where(
        receipts.c.dialog_id == bindparam("dialog"),
        receipts.c.high >= bindparam("first"),
        receipts.c.low <= bindparam("last"),
    )
    .order_by(receipts.c.user_id),
    *("dialog", "first", "last"),
)
# By pairs, not by a list of numbers: PostgreSQL may compare all reactions of the dialog with a list.
_REACTIONS = bulk_query(
    "SELECT r.seq, r.reaction, count(*), max(CASE WHEN r.user_id = {2} THEN 1 ELSE 0 END)"
    " FROM {source} CROSS JOIN reactions AS r WHERE r.dialog_id = {0} AND r.seq = {1}"
    " GROUP BY r.seq, r.reaction ORDER BY r.seq, min(r.created_at), r.reaction",
    *(reactions.c.dialog_id, reactions.c.seq, reactions.c.user_id),
)


async def add_audience(tx: Tx, viewer: int, found: Sequence[StoredMessage]) -> None:
    """Fills in who has had these messages of one dialog, and their reactions."""
    if not found:
        return
    arrived = sorted(found, key=lambda stored: stored.message.seq)
    seqs = [stored.message.seq for stored in arrived]
    dialog_id = arrived[0].message.dialog_id
    rows = await tx.fetch(_INTERVALS, dialog_id, seqs[0], seqs[-1])
    _add_readers(viewer, arrived, seqs, rows)
    totals: dict[int, dict[str, int]] = defaultdict(dict)
    own: dict[int, list[str]] = defaultdict(list)
    for seq, reaction, count, mine in await tx.pick(_REACTIONS, [(dialog_id, seq, viewer) for seq in seqs]):
        totals[seq][reaction] = count
        if mine:
            own[seq].append(reaction)
    for stored in arrived:
        if total := totals.get(stored.message.seq):
            stored.reactions = Reactions(tuple(own[stored.message.seq]), total)


def _add_readers(viewer: int, arrived: Sequence[StoredMessage], seqs: Sequence[int], rows: Sequence[Row]) -> None:
    # How many intervals of a user cover a message: what is read was delivered, so that two may say the same.
    read: dict[int, int] = {}
    had: dict[int, int] = {}
    begins: dict[int, list[tuple[int, int]]] = defaultdict(list)  # index of a message → (user, kind)
    ends: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user_id, kind, low, high in rows:
        first, behind = bisect_left(seqs, low), bisect_right(seqs, high)
        if first < behind:
            begins[first].append((user_id, kind))
            ends[behind].append((user_id, kind))
    shared: dict[int, tuple[Sequence[int], Sequence[int]]] = {}  # by sender, until something changes
    for index, stored in enumerate(arrived):
        if index in begins or index in ends:
            shared.clear()
            for user_id, kind in begins[index]:
                for users in (had, read) if kind == READ else (had,):
                    users[user_id] = users.get(user_id, 0) + 1
            for user_id, kind in ends[index]:
                for users in (had, read) if kind == READ else (had,):
                    users[user_id] -= 1
                    if not users[user_id]:
                        del users[user_id]
        sender = stored.message.sender_id
        lists = shared.get(sender)
        if lists is None:
            lists = shared[sender] = (_with_first(sender, read), _with_first(sender, had))
        stored.read_ids, stored.delivered_ids = lists
        stored.seen = viewer == sender or viewer in read


def _with_first(sender: int, users: dict[int, int]) -> list[int]:
    return [sender, *(user for user in sorted(users) if user != sender)]
