"""Messages of several dialogs as one line of time: what archive queries of standard clients page through (XEP-0313).

Messages of a dialog are numbered in the order in which they came, and a dialog has nothing newer than its `updated_at`
nor older than its `created_at`. So dialogs are looked at in the order in which they can contribute, until the page can
get no better: few of them for the newest messages, and at worst each of them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, select

from voxcube.server.core.errors import NotFound
from voxcube.server.core.models import DialogType
from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.history import up_to
from voxcube.server.storage.late import LATE_COLUMNS, LateMessage, late_message
from voxcube.server.storage.schema import dialogs, hidden_messages, members, message_ids, messages
from voxcube.server.storage.sql import Query, absent

PAGE_CHARACTERS = 1024 * 1024  # texts of one page; it may end with one message that goes beyond
PIECE = 20  # messages read by one statement

_PLACES = (
    dialogs.c.id,
    dialogs.c.created_at,
    dialogs.c.updated_at,
    dialogs.c.seq,
    dialogs.c.cleared,
    members.c.hidden_before,
)
_OF_USER = Query(
    select(*_PLACES)
    .join_from(members, dialogs, dialogs.c.id == members.c.dialog_id)
    .where(
        members.c.user_id == bindparam("user"),
        members.c.app_id == bindparam("app"),
        members.c.active,
        members.c.type == int(DialogType.PRIVATE),
        dialogs.c.seq > 0,
    ),
    *("user", "app"),
)
_OF_DIALOG = Query(
    select(*_PLACES)
    .join_from(members, dialogs, dialogs.c.id == members.c.dialog_id)
    .where(
        members.c.dialog_id == bindparam("dialog"),
        members.c.user_id == bindparam("user"),
        members.c.app_id == bindparam("app"),
    ),
    *("dialog", "user", "app"),
)
_POSITION = Query(
    select(messages.c.created_at, messages.c.dialog_id, messages.c.seq)
    .join_from(
        message_ids,
        messages,
        (messages.c.dialog_id == message_ids.c.dialog_id) & (messages.c.seq == message_ids.c.seq),
    )
    .where(message_ids.c.app_id == bindparam("app"), message_ids.c.id == bindparam("id")),
    *("app", "id"),
)
_BETWEEN = (
    select(*LATE_COLUMNS)
    .where(
        messages.c.dialog_id == bindparam("dialog"),
        messages.c.seq > bindparam("low"),
        messages.c.seq <= bindparam("high"),
        absent(
            select(hidden_messages.c.seq).where(
                hidden_messages.c.dialog_id == messages.c.dialog_id,
                hidden_messages.c.user_id == bindparam("viewer"),
                hidden_messages.c.seq == messages.c.seq,
            )
        ),
    )
    .limit(bindparam("limit"))
)
_NAMES = ("dialog", "low", "high", "viewer", "limit")
_FIRST = Query(_BETWEEN.order_by(messages.c.seq), *_NAMES)
_LAST = Query(_BETWEEN.order_by(messages.c.seq.desc()), *_NAMES)


class _Place(NamedTuple):
    """A dialog, and from where on the user sees it. Times in milliseconds."""

    dialog_id: str
    created_at: int
    updated_at: int
    seq: int
    cleared: int
    hidden_before: int


class _Position(NamedTuple):
    """Where a message stands in the line of time."""

    created_at: int
    dialog_id: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of an archive: between two times in milliseconds, both included, and two message ids, both excluded.

    The page is the first of it, or with `backwards` the last.
    """

    start: int | None = None
    end: int | None = None
    after: str | None = None
    before: str | None = None
    backwards: bool = False


class ArchiveStore:
    """Pages of the archives of users and of rooms."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, *, app_id: int, viewer: int, dialog_id: str | None, span: Span, limit: int
    ) -> tuple[list[LateMessage], bool]:
        """Messages in the order in which they came, and whether there are no more in that direction. A page is cut, at
        one message or more, where it gets longer than PAGE_CHARACTERS.

        Of one dialog that the viewer has a row in, or of all its private ones. Raises NotFound for an id in `span`
        that no message of the archive has.
        """

        async def read(tx: Tx) -> tuple[list[LateMessage], bool]:
            rows = await (
                tx.fetch(_OF_USER, viewer, app_id)
                if dialog_id is None
                else tx.fetch(_OF_DIALOG, dialog_id, viewer, app_id)
            )
            places = [_Place(*row) for row in rows]
            known = {place.dialog_id for place in places}
            after = await _position(tx, app_id, span.after, known)
            before = await _position(tx, app_id, span.before, known)
            search = _Search(tx, viewer, span, after, before, limit + 1)
            found = await search.search(places)
            complete = len(found) <= limit and not search.cut
            page = found[:limit]
            return (page[::-1] if span.backwards else page), complete

        # One dialog, or the newest messages of all: few are looked at. Other pages may begin in each of the dialogs.
        newest = span.backwards and (span.start, span.end, span.after, span.before) == (None,) * 4
        return await self._database.look(read, scanning=dialog_id is None and not newest, user=viewer)


class _Search:
    """One page, with one message more than it holds, from its near end on."""

    def __init__(
        self, tx: Tx, viewer: int, span: Span, after: _Position | None, before: _Position | None, wanted: int
    ) -> None:
        self._tx = tx
        self._viewer = viewer
        self._span = span
        self._after = after
        self._before = before
        self._wanted = wanted
        self._sizes: dict[str, int] = {}  # by message id
        self.cut = False  # whether something was left out for its size

    async def search(self, places: Sequence[_Place]) -> list[LateMessage]:
        found: list[LateMessage] = []
        for place in self._in_order(places):
            full = len(found) == self._wanted or self.cut
            if full and found and self._too_far(place, found[-1]):
                break
            found += await self._of(place)
            found.sort(key=_key, reverse=self._span.backwards)
            del found[self._wanted :]
            self._shorten(found)
        return found

    def _in_order(self, places: Iterable[_Place]) -> list[_Place]:
        span = self._span
        since = max(span.start or 0, self._after.created_at if self._after else 0)
        fitting = [place for place in places if place.updated_at >= since]
        if span.backwards:
            return sorted(fitting, key=lambda place: place.updated_at, reverse=True)
        return sorted(fitting, key=lambda place: place.created_at)

    def _too_far(self, place: _Place, worst: LateMessage) -> bool:
        if self._span.backwards:
            return place.updated_at < worst.created_at
        return place.created_at > worst.created_at

    async def _of(self, place: _Place) -> list[LateMessage]:
        """What one dialog has to offer."""
        span, tx, dialog_id = self._span, self._tx, place.dialog_id
        low, high = max(place.cleared, place.hidden_before), place.seq
        if span.start is not None:
            low = max(low, await up_to(tx, dialog_id, place.seq, span.start - 1))
        if span.end is not None:
            high = min(high, await up_to(tx, dialog_id, place.seq, span.end))
        if self._after is not None:
            low = max(low, await self._beside(place, self._after))
        if self._before is not None:
            high = min(high, await self._beside(place, self._before) - (dialog_id == self._before.dialog_id))
        if low >= high:
            return []
        return await self._fetch(dialog_id, low, high)

    async def _fetch(self, dialog_id: str, low: int, high: int) -> list[LateMessage]:
        """In pieces, so that long messages are not all read for a page that holds few of them."""
        query = _LAST if self._span.backwards else _FIRST
        found: list[LateMessage] = []
        total = 0
        while len(found) < self._wanted and total < PAGE_CHARACTERS:
            limit = min(PIECE, self._wanted - len(found))
            rows = await self._tx.fetch(query, dialog_id, low, high, self._viewer, limit)
            for row in rows:
                message = late_message(row)
                self._sizes[message.id] = size = sum(len(value) for value in row if isinstance(value, str))
                total += size
                found.append(message)
            if len(rows) < limit:
                return found
            low, high = (low, found[-1].seq - 1) if self._span.backwards else (found[-1].seq, high)
        self.cut |= total >= PAGE_CHARACTERS and low < high
        return found

    def _shorten(self, found: list[LateMessage]) -> None:
        """Cuts behind the message that fills the page. A dialog that was not read on has filled it by itself, so that
        nothing of it is missing before the cut."""
        total = 0
        for index, message in enumerate(found, 1):
            total += self._sizes[message.id]
            if total >= PAGE_CHARACTERS:
                self.cut |= index < len(found)
                for left in found[index:]:
                    del self._sizes[left.id]
                del found[index:]
                return

    async def _beside(self, place: _Place, position: _Position) -> int:
        """The number of the dialog's last message up to a position; the position's own is among them."""
        if place.dialog_id == position.dialog_id:
            return position.seq
        # At the same time the ids of the dialogs decide.
        time = position.created_at - (place.dialog_id > position.dialog_id)
        return await up_to(self._tx, place.dialog_id, place.seq, time)


async def _position(tx: Tx, app_id: int, message_id: str | None, known: set[str]) -> _Position | None:
    if message_id is None:
        return None
    row = await tx.row(_POSITION, app_id, message_id)
    if row is None or row[1] not in known:
        raise NotFound("There is no such message in the archive")
    return _Position(*row)


def _key(message: LateMessage) -> tuple[int, str, int]:
    return message.created_at, message.dialog_id, message.seq
