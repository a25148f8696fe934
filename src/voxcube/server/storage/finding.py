"""Finding messages and dialogs by a part of their text, newest first, among one user's dialogs.

Messages that are not in the index (`search.py`) are compared one by one, and so are the newest of every dialog: of a
word that everybody uses they give a whole page at once. Only what is older is asked of the index, dialog by dialog,
until older ones cannot add anything. So the cost hangs on the user's own dialogs and not on what all others write.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, and_, bindparam, case, false, func, not_, select

from voxcube.server.core.models import DialogType
from voxcube.server.storage import listed
from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.schema import dialogs, members, search_dialogs
from voxcube.server.storage.search import place
from voxcube.server.storage.sql import Forked, Query, among, contains, in_list

NEWEST = 1000  # messages of a dialog that are compared one by one
NEWEST_OF_ALL = 50_000  # … less where the dialogs are many
CHUNK = 5000  # messages compared by one statement
CANDIDATES = 1000  # rows of the index taken by one statement

_VIEWER = bindparam("viewer", type_=BigInteger())
_MINE = members.alias("mine")
# The user's dialogs (rest §6.1): those it is in and has not put away, and the application's broadcasts.
_OWN_IDS = select(_MINE.c.dialog_id).where(_MINE.c.user_id == _VIEWER, _MINE.c.active, not_(_MINE.c.hidden))
_SENT = dialogs.alias("sent")
_BROADCASTS = (
    select(_SENT.c.id)
    .outerjoin(_MINE, and_(_MINE.c.dialog_id == _SENT.c.id, _MINE.c.user_id == _VIEWER))
    .where(
        _SENT.c.app_id == bindparam("app"),
        _SENT.c.type == int(DialogType.BROADCAST),
        not_(func.coalesce(_MINE.c.hidden, false())),
    )
)
_SCOPE = among(dialogs.c.id, _OWN_IDS.union(_BROADCASTS))
# The sum hides `app_id` from its index: a search starts at the user's dialogs, not at all of the application.
_SAME_APP = dialogs.c.app_id + 0 == bindparam("app", type_=BigInteger())
_CLEARED = func.coalesce(members.c.hidden_before, 0)
_PLACES = (
    select(
        *(dialogs.c.id, dialogs.c.updated_at, dialogs.c.seq),
        case((dialogs.c.cleared < _CLEARED, _CLEARED), else_=dialogs.c.cleared),
        *(search_dialogs.c.number, func.coalesce(search_dialogs.c.upto, 0)),
    )
    .select_from(dialogs)
    .outerjoin(members, and_(members.c.dialog_id == dialogs.c.id, members.c.user_id == _VIEWER))
    .outerjoin(search_dialogs, search_dialogs.c.dialog_id == dialogs.c.id)
    .where(_SAME_APP, _SCOPE)
    .order_by(dialogs.c.updated_at.desc())
)
_ALL = Query(_PLACES, "viewer", "app")
_SOME = Query(_PLACES.where(in_list(dialogs.c.id, "dialogs")), "viewer", "app", "dialogs")
# The name of a private dialog is that of the other one (rest §5).
_NAMED = (
    select(dialogs.c.id)
    .select_from(dialogs)
    .where(_SAME_APP, _SCOPE, contains(listed.NAME, "text"))
    .order_by(dialogs.c.updated_at.desc())
    .limit(bindparam("limit", type_=BigInteger()))
)
_ALL_NAMED = Query(_NAMED, "viewer", "app", "text", "limit")
_SOME_NAMED = Query(_NAMED.where(in_list(dialogs.c.id, "dialogs")), "viewer", "app", "text", "dialogs", "limit")

# Of ranges [dialog, after, up to] of messages: those with the text, as (dialog, seq, created_at), newest first. The
# sums hide `date_sent` from its index: the ranges are few, the dates may be all.
_WITH_TEXT = (
    " WHERE {contains} AND m.date_sent + 0 >= {oldest} AND m.date_sent + 0 <= {newest} AND (SELECT h.seq FROM"
    " hidden_messages AS h WHERE h.dialog_id = m.dialog_id AND h.user_id = {viewer} AND h.seq = m.seq) IS NULL"
    " ORDER BY m.created_at DESC, m.seq DESC LIMIT {limit}"
)
_IN_RANGES = Forked(
    sqlite="SELECT m.dialog_id, m.seq, m.created_at FROM json_each(?) AS j CROSS JOIN messages AS m"
    " ON m.dialog_id = j.value ->> 0 AND m.seq > j.value ->> 1 AND m.seq <= j.value ->> 2"
    + _WITH_TEXT.format(contains="instr(m.body, ?) > 0", **dict.fromkeys(("oldest", "newest", "viewer", "limit"), "?")),
    # The offset keeps the ranges outside: whatever is known of the table, each is looked up by the primary key.
    postgresql="SELECT m.dialog_id, m.seq, m.created_at FROM jsonb_array_elements($1::jsonb) AS j(value)"
    " CROSS JOIN LATERAL (SELECT r.dialog_id, r.seq, r.created_at, r.date_sent, r.body FROM messages AS r"
    " WHERE r.dialog_id = j.value ->> 0 AND r.seq > (j.value ->> 1)::bigint AND r.seq <= (j.value ->> 2)::bigint"
    " OFFSET 0) AS m"
    + _WITH_TEXT.format(contains="strpos(m.body, $2) > 0", oldest="$3", newest="$4", viewer="$5", limit="$6"),
)
# Where the index has the text, newest first: dialog's number, from, below, what to look for, how many. The sums hide
# `rowid` from the primary key.
_INDEXED = Forked(
    sqlite="SELECT rowid FROM message_texts WHERE ? IS NOT NULL AND rowid > ? AND rowid < ? AND message_texts MATCH ?"
    " ORDER BY rowid DESC LIMIT ?",
    postgresql="SELECT rowid FROM message_texts WHERE (rowid >> 32) = $1 AND rowid + 0 > $2 AND rowid + 0 < $3"
    " AND body LIKE $4 ORDER BY rowid + 0 DESC LIMIT $5",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: `text` as it is, in messages dated from `oldest` to `newest` (seconds)."""

    app_id: int
    viewer: int
    text: str
    oldest: int
    newest: int
    dialogs: Sequence[str] | None  # None: all of the viewer's
    limit: int


@dataclass(frozen=True, slots=True)
class _Place:
    """A dialog to look into: messages above `after`; those up to `upto` are in the index under `number`."""

    dialog_id: str
    activity: int  # no message is newer (ms)
    seq: int
    after: int
    number: int | None
    upto: int


@dataclass(frozen=True, slots=True)
class _Range:
    place: _Place
    low: int
    high: int


class _Hits:
    """The newest messages found so far."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found: dict[tuple[str, int], int] = {}
        self._of: Counter[str] = Counter()

    def add(self, rows: Sequence[tuple[str, int, int]]) -> None:
        for dialog_id, seq, created_at in rows:
            if (dialog_id, seq) not in self._found:
                self._found[dialog_id, seq] = created_at
                self._of[dialog_id] += 1
        self._found = dict(sorted(self._found.items(), key=lambda hit: (-hit[1], -hit[0][1]))[: self._limit])

    def done_with(self, place: _Place) -> bool:
        """Whether nothing that is older than what was found in this dialog can be among the newest."""
        if len(self._found) < self._limit:
            return False
        return self._of[place.dialog_id] >= self._limit or place.activity < min(self._found.values())

    def newest(self) -> list[tuple[str, int]]:
        return list(self._found)


class Finder:
    """Searches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def messages(self, wanted: Wanted) -> list[tuple[str, int]]:
        """Dialog and seq of the newest messages with the text. Raises TooLong, TooManyRequests."""
        search = _Search(wanted, _PATTERNS[self._database.backend](wanted.text))
        return await self._database.scan(search.run, user=wanted.viewer)

    async def dialogs(self, wanted: Wanted) -> list[str]:
        """The ids of dialogs with the text in their names, those with the newest activity first."""
        more = [] if wanted.dialogs is None else [list(wanted.dialogs)]
        query = _ALL_NAMED if wanted.dialogs is None else _SOME_NAMED
        scope = (wanted.viewer, wanted.app_id, wanted.text, *more, wanted.limit)
        found = await self._database.scan(lambda tx: tx.fetch(query, *scope), user=wanted.viewer)
        return [row[0] for row in found]


class _Search:
    """One search under way."""

    def __init__(self, wanted: Wanted, pattern: str) -> None:
        """`pattern` is the text as the index takes it."""
        self._wanted = wanted
        self._pattern = pattern
        self._hits = _Hits(wanted.limit)

    async def run(self, tx: Tx) -> list[tuple[str, int]]:
        wanted = self._wanted
        if wanted.dialogs is None:
            rows = await tx.fetch(_ALL, wanted.viewer, wanted.app_id)
        else:
            rows = await tx.fetch(_SOME, wanted.viewer, wanted.app_id, list(wanted.dialogs))
        places = [_Place(*row) for row in rows]
        newest = min(NEWEST, NEWEST_OF_ALL // max(1, len(places)))
        for chunk in _chunks(places, newest):
            left = [one for one in chunk if not self._hits.done_with(one.place)]
            await self._compare(tx, [[one.place.dialog_id, one.low, one.high] for one in left])
        for where in places:
            # The index is asked without an upper end: what went into it meanwhile was seen above, or is seen here.
            if where.number is not None and where.seq - newest > where.after:
                await self._ask_index(tx, where, where.number)
        return self._hits.newest()

    async def _ask_index(self, tx: Tx, where: _Place, number: int) -> None:
        below = place(number + 1, 0)
        while not self._hits.done_with(where):
            found = await tx.fetch(_INDEXED, number, place(number, where.after), below, self._pattern, CANDIDATES)
            seqs = [row[0] - place(number, 0) for row in found]
            await self._compare(tx, [[where.dialog_id, seq - 1, seq] for seq in seqs])
            if len(found) < CANDIDATES:
                return
            below = found[-1][0]

    async def _compare(self, tx: Tx, ranges: Sequence[Sequence[object]]) -> None:
        if ranges:
            wanted = self._wanted
            scope = (wanted.text, wanted.oldest, wanted.newest, wanted.viewer, wanted.limit)
            found = await tx.fetch(_IN_RANGES, json.dumps(ranges), *scope)
            self._hits.add([(row[0], row[1], row[2]) for row in found])


def _trigrams(text: str) -> str:
    """All of the text in pieces of three characters: FTS5 knows which messages have each of them."""
    starts = [*range(0, len(text) - 2, 3), len(text) - 3]
    pieces = dict.fromkeys(text[start : start + 3].replace('"', '""') for start in starts)
    return " AND ".join(f'"{piece}"' for piece in pieces)


def _like(text: str) -> str:
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


_PATTERNS = {"sqlite": _trigrams, "postgresql": _like}


def _chunks(places: Sequence[_Place], newest: int) -> Iterator[list[_Range]]:
    """What is compared one by one, newest first in each dialog, small ranges together."""
    chunk: list[_Range] = []
    size = 0
    for where in places:
        lowest, high = max(where.after, min(where.upto, where.seq - newest)), where.seq
        while high > lowest:
            low = max(lowest, high - CHUNK)
            if size + high - low > CHUNK:
                yield chunk
                chunk, size = [], 0
            chunk.append(_Range(where, low, high))
            size += high - low
            high = low
    if chunk:
        yield chunk
