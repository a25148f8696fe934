"""Lists by the copies in member rows are exactly the lists that sorting everything gives, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from tests.storage.support import Store, opened
from voxcube.server.core.listing import Condition, Listing, Order
from voxcube.server.core.models import Dialog, DialogType, Member
from voxcube.server.storage import inbox, listed
from voxcube.server.storage.database import Tx
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.schema import dialogs, members
from voxcube.server.storage.sql import Query, bulk_upsert

VIEWER = 1
PEOPLE = range(1, 9)
START = 1_700_000_000  # seconds
ROUNDS = 40

_SET_ROW = bulk_upsert(members, "dialog_id", "user_id", "app_id", "type", "active", "hidden", "joined_at")
_EDIT = Query(
    update(dialogs).where(dialogs.c.id == bindparam("key")).values(updated_at=bindparam("now"), name=bindparam("text")),
    *("key", "now", "text"),
)
_DIALOGS = Query(
    select(
        *(dialogs.c.id, dialogs.c.type, dialogs.c.name, dialogs.c.updated_at, dialogs.c.created_at),
        *(dialogs.c.last_date_sent, dialogs.c.last_arrival, dialogs.c.copied, dialogs.c.dropped),
    )
)
_MEMBERS = Query(
    select(
        *(members.c.dialog_id, members.c.user_id, members.c.active, members.c.hidden),
        *(members.c.copied, members.c.listed_at, members.c.activity, members.c.arrival),
    )
)


class Story:
    """Dialogs to which things happen by chance, and what a list of them must be."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.dialogs = DialogStore(store.database)
        self.random = random.Random(seed)
        self.now_ms = START * 1000
        self.known: list[str] = []
        self.messages = 0

    async def create(self) -> None:
        kind = self.random.choice([DialogType.GROUP] * 5 + [DialogType.PUBLIC, DialogType.BROADCAST])
        people = {VIEWER} if self.random.random() < 0.8 else set()
        people |= set(self.random.sample(PEOPLE, self.random.randint(0, 5)))
        id_ = f"{self.random.getrandbits(96):024x}"
        dialog = Dialog(
            id=id_, app_id=1, type=kind, owner_id=2, name=f"d{len(self.known)}", created_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
        )  # fmt: skip
        rows = [] if kind is DialogType.BROADCAST else [Member(dialog_id=id_, user_id=user) for user in people]
        await self.store.writer.run(lambda tx: self.dialogs.insert(tx, dialog, rows))
        self.known.append(id_)

    async def send(self) -> None:
        """Messages whose dates come from clients: most are right, some of last year or next week."""
        sends = []
        for _ in range(self.random.randint(1, 6)):
            self.messages += 1
            jump = self.random.choice([0] * 20 + [-3, 2, 4, -40, 30_000_000, -30_000_000])
            values = {
                "date_sent": self.now_ms // 1000 + jump,
                "created_at": self.now_ms + self.random.randint(-50, 50),
                "arrived_at": self.now_ms * 1000 + self.messages,
            }
            dialog_id = self.random.choice(self.known)
            sends.append(self.store.put_send(dialog_id, 2, f"m{self.messages}", **values))
        for send in sends:
            await send

    async def move(self) -> None:
        """Somebody joins, leaves, hides, or comes back."""
        dialog_id, user = self.random.choice(self.known), self.random.choice([VIEWER, *PEOPLE])
        active, hidden = self.random.random() < 0.7, self.random.random() < 0.3

        async def change(tx: Tx) -> None:
            kind = next(row[1] for row in await tx.fetch(_DIALOGS) if row[0] == dialog_id)
            row = (dialog_id, user, 1, kind, active and kind != DialogType.BROADCAST, hidden, 0)
            await tx.many(_SET_ROW, [row])
            await inbox.refresh(tx, dialog_id)

        await self.store.writer.run(change)

    async def edit(self) -> None:
        dialog_id, now = self.random.choice(self.known), self.now_ms + self.random.choice([0, 0, 7000, -7000])

        async def change(tx: Tx) -> None:
            await tx.execute(_EDIT, dialog_id, now, f"e{self.random.randint(0, 9)}")
            await inbox.refresh(tx, dialog_id)

        await self.store.writer.run(change)

    async def settle(self) -> None:
        async def change(tx: Tx) -> None:
            await inbox.settle(tx, await inbox.quiet(tx, self.now_ms), self.now_ms)

        await self.store.writer.run(change)

    async def step(self) -> None:
        self.now_ms += self.random.choice([0, 1, 300, 500, 700, 900, 1100, 1500, 4999, 5001, 60_000])
        happening: Callable[[], Any] = self.random.choice(
            [self.create, self.move, self.edit, self.settle, *[self.send] * 4]
        )
        await happening()

    async def rows(self) -> tuple[list[Any], dict[tuple[str, int], Any]]:
        async def read(tx: Tx) -> tuple[list[Any], list[Any]]:
            return await tx.fetch(_DIALOGS), await tx.fetch(_MEMBERS)

        found, own = await self.store.database.read(read)
        return found, {(row[0], row[1]): row[2:] for row in own}

    async def check_copies(self) -> None:
        found, rows = await self.rows()
        for id_, _, _, updated_at, created_at, date_sent, arrival, copied, dropped in found:
            activity = (created_at // 1000, created_at * 1000) if date_sent is None else (date_sent, arrival)
            own = [row[2:] for key, row in rows.items() if key[0] == id_]
            assert not (copied and dropped)
            assert all(tuple(row) == (True, updated_at, *activity) if copied else not row[0] for row in own)

    async def check_list(self) -> None:
        """One list as a client may ask for it, and by sorting everything."""
        found, rows = await self.rows()
        mine = []
        for id_, kind, name, updated_at, created_at, date_sent, arrival, *_ in found:
            activity = (created_at // 1000, created_at * 1000) if date_sent is None else (date_sent, arrival)
            active, hidden, *_ = rows.get((id_, VIEWER), (False, False))
            if not hidden and (active or kind == DialogType.BROADCAST):
                mine.append((id_, kind, name, updated_at, activity))
        conditions, meets = self._conditions()
        wanted = [row for row in mine if meets(row)]
        order = self.random.choice([None, None, "updated_at", "last_message_date_sent", "activity", "name"])
        descending = self.random.random() < 0.6 or order is None
        column = {None: 4, "updated_at": 3, "last_message_date_sent": 4, "activity": 4, "name": 2}[order]
        wanted.sort(key=lambda row: (row[column], row[0]), reverse=descending)
        skip, limit = self.random.choice([0, 0, 1, 3, 10, 100]), self.random.choice([0, 1, 2, 5, 100])
        listing = Listing(
            conditions=conditions, order=None if order is None else Order(order, descending), limit=limit, skip=skip
        )
        own = await self.store.database.read(lambda tx: inbox.count(tx, VIEWER))
        total, views = await self.dialogs.page(1, VIEWER, listing, own)
        assert [view.dialog.id for view in views] == [row[0] for row in wanted[skip : skip + limit]], listing
        assert total == len(wanted)
        assert await self.dialogs.count(1, VIEWER, listing, own) == total

    def _conditions(self) -> tuple[list[Condition], Callable[[Any], bool]]:
        choice = self.random.randint(0, 5)
        time = self.now_ms - self.random.choice([0, 1, 4000, 6000, 70_000, 400_000])
        if choice == 0:
            return [Condition("updated_at", "gt", time)], lambda row: row[3] > time
        if choice == 1:
            both = [Condition("updated_at", "gte", time), Condition("updated_at", "lt", time + 6000)]
            return both, lambda row: time <= row[3] < time + 6000
        if choice == 2:
            return [Condition("updated_at", "lte", time)], lambda row: row[3] <= time
        if choice == 3:
            ids = self.random.sample(self.known, min(3, len(self.known)))
            return [
                Condition("_id", "in", [*ids, "0" * 24]),
                Condition("type", "ne", 4),
            ], lambda row: row[0] in ids and row[1] != 4
        if choice == 4:
            return [Condition("name", "ctn", "E")], lambda row: "e" in row[2]
        return [], lambda row: True


@pytest.mark.parametrize("seed", range(4))
async def test_lists_are_exact(database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "LARGE", 4)
    monkeypatch.setattr(listed, "MANY", 2)
    async with opened(database_url) as store:
        story = Story(store, seed)
        for _ in range(12):
            await story.create()
        for _ in range(ROUNDS):
            for _ in range(3):
                await story.step()
            await story.check_copies()
            for _ in range(4):
                await story.check_list()


async def test_only_the_first_message_and_silence_write_copies(database_url: str) -> None:
    async with opened(database_url) as store:
        story = Story(store, 0)
        row = [Member(dialog_id="d", user_id=user) for user in (1, 2)]
        dialog = Dialog(
            id="d", app_id=1, type=DialogType.GROUP, owner_id=1, created_at_ms=START * 1000, updated_at_ms=START * 1000
        )
        await store.writer.run(lambda tx: story.dialogs.insert(tx, dialog, row))

        async def copies() -> tuple[Any, ...]:
            _, rows = await story.rows()
            return tuple(rows["d", 2][2:])

        assert await copies() == (True, START * 1000, START, START * 1_000_000)
        for second in (1, 2, 3):
            at = START + second
            await store.send("d", 1, f"m{second}", date_sent=at, created_at=at * 1000)
            assert await copies() == (False, START * 1000, START, START * 1_000_000)
            story.now_ms = at * 1000 + inbox.QUIET_MS - 1
            await story.settle()
        story.now_ms += 1
        await story.settle()
        assert await copies() == (True, (START + 3) * 1000, START + 3, (START + 3) * 1_000_000)
