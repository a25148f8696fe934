"""Many people change one group at once: whatever the order was, what is left fits together."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import bindparam, select

from tests.features.world import World, opened
from voxcube.server.core.errors import DomainError
from voxcube.server.core.listing import Listing
from voxcube.server.core.models import User
from voxcube.server.features.dialogs.changes import Change, Lists
from voxcube.server.features.dialogs.service import NewDialog
from voxcube.server.storage import changes
from voxcube.server.storage.inbox import LISTED
from voxcube.server.storage.schema import dialogs, hidden_messages, members, messages, receipts
from voxcube.server.storage.sql import Query

EVERYTHING = Listing(conditions=(), order=None, limit=10, skip=0)
ROUNDS, ACTS = 5, 10  # after each round of so many acts of everybody all is looked at
_MEMBERS = Query(select(members).where(members.c.dialog_id == bindparam("dialog")), "dialog")
_DIALOG = Query(select(dialogs).where(dialogs.c.id == bindparam("dialog")), "dialog")
_MESSAGES = Query(select(messages).where(messages.c.dialog_id == bindparam("dialog")), "dialog")
_HIDDEN = Query(select(hidden_messages).where(hidden_messages.c.dialog_id == bindparam("dialog")), "dialog")
_READS = Query(
    select(receipts.c.user_id, receipts.c.low, receipts.c.high).where(
        receipts.c.dialog_id == bindparam("dialog"), receipts.c.kind == 2
    ),
    "dialog",
)


class Crowd:
    """Ten people and one group, and what each of them may try."""

    def __init__(self, worlds: list[World], users: list[User], dialog_id: str, seed: int) -> None:
        self.worlds = worlds
        self.users = users
        self.ids = [user.id for user in users]
        self.dialog = dialog_id
        self.random = random.Random(seed)
        self.sent: list[str] = []
        self.done = self.refused = 0

    async def act(self, user: User) -> None:
        world, pick = self.random.choice(self.worlds), self.random
        some = frozenset(pick.sample(self.ids, 3))
        pins = tuple(pick.sample(self.sent, min(2, len(self.sent))))
        app, update = user.app_id, world.changes.update
        tries: list[tuple[int, Callable[[], Awaitable[object]]]] = [
            (6, lambda: update(app, user.id, self.dialog, Change(push=Lists(occupants=some)))),
            (3, lambda: update(app, user.id, self.dialog, Change(push=Lists(occupants=some, admins=some - {user.id})))),
            (3, lambda: update(app, user.id, self.dialog, Change(push=Lists(admins=some, pins=pins)))),
            (3, lambda: update(app, user.id, self.dialog, Change(pull=Lists(occupants=some)))),
            (1, lambda: update(app, user.id, self.dialog, Change(pull=Lists(occupants=frozenset({user.id}))))),
            (2, lambda: update(app, user.id, self.dialog, Change(pull=Lists(admins=some, pins=pins)))),
            (3, lambda: update(app, user.id, self.dialog, Change(push=Lists(pins=pins), fields={"photo": str(some)}))),
            (1, lambda: world.endings.delete(app, user.id, self.dialog, force=False)),
            (1, lambda: world.endings.clear(app, user.id, self.dialog, force=pick.random() < 0.3)),
            (8, lambda: self.say(world, user)),
            (4, lambda: self.mark(world, user)),
            (3, lambda: self.unsay(world)),
        ]
        weights = [weight for weight, _ in tries]
        try:
            await pick.choices(tries, weights)[0][1]()
            self.done += 1
        except DomainError:
            self.refused += 1

    async def say(self, world: World, user: User) -> None:
        facts = await world.cache.dialog(user.app_id, self.dialog)
        if facts is not None and user.id in facts.members:
            with contextlib.suppress(AssertionError):  # the group has ended meanwhile
                self.sent.append((await world.send(self.dialog, user)).message_id)

    async def mark(self, world: World, user: User) -> None:
        if self.sent:
            await world.mark(self.dialog, user, self.random.choice(self.sent))

    async def unsay(self, world: World) -> None:
        """A message is deleted for everyone, perhaps while it is being pinned."""
        if self.sent:
            found = await world.writer.run(lambda tx: changes.find(tx, self.users[0].app_id, [self.sent[-1]]))
            for message in found.values():
                await world.writer.run(
                    lambda tx: changes.remove(tx, self.dialog, [message.seq], world.clock.now_ms())  # noqa: B023
                )

    async def check(self, world: World) -> None:
        """Everything that must hold of the group, from the rows themselves."""
        names = dialogs.c.keys()
        row = await world.database.row(_DIALOG, self.dialog)
        rows = [
            dict(zip(members.c.keys(), found, strict=True))
            for found in await world.database.fetch(_MEMBERS, self.dialog)
        ]
        if row is None:
            assert rows == []
            return
        dialog = dict(zip(names, row, strict=True))
        active = {member["user_id"] for member in rows if member["active"]}
        admins = {member["user_id"] for member in rows if member["admin"]}
        assert dialog["owner_id"] in active
        assert admins <= active - {dialog["owner_id"]}
        assert len(admins) <= 5
        facts = await world.cache.dialog(world.app.id, self.dialog)
        assert facts is not None
        assert (set(facts.members), set(facts.admins), facts.owner_id) == (active, admins, dialog["owner_id"])
        assert facts.members_version == dialog["members_version"]
        # What is live, and that the pins and the last message are.
        kept = [
            dict(zip(messages.c.keys(), found, strict=True))
            for found in await world.database.fetch(_MESSAGES, self.dialog)
        ]
        live = {message["seq"]: message for message in kept if message["seq"] > dialog["cleared"]}
        assert dialog["live"] == len(live)
        assert dialog["last_seq"] == max(live, default=0)
        seen = await world.dialogs.seen(world.app.id, dialog["owner_id"], self.dialog)
        assert set(seen.view.dialog.pinned) <= {message["id"] for message in live.values()}
        # Counters, from the intervals and from what is deleted for one.
        hidden = {(found[1], found[2]) for found in await world.database.fetch(_HIDDEN, self.dialog)}
        reads = await world.database.fetch(_READS, self.dialog)
        for member in rows:
            user_id = member["user_id"]
            settled = {
                seq
                for seq, message in live.items()
                if message["sender_id"] == user_id
                or seq <= member["base"]
                or seq <= member["hidden_before"]
                or (user_id, seq) in hidden
                or any(reader == user_id and low <= seq <= high for reader, low, high in reads)
            }
            assert member["settled"] == len(settled), user_id
            # The copies for the lists: never ahead, and never further behind than they may be.
            assert member["copied"] == dialog["copied"]
            assert not dialog["copied"] or member["listed_at"] == dialog["updated_at"]
            world.cache.forget((LISTED, user_id))
            listing = await world.dialogs.page(world.app.id, user_id, EVERYTHING)
            assert listing[0] == (1 if member["active"] else 0)


@pytest.fixture
async def nodes(world: World, database_url: str) -> AsyncIterator[list[World]]:
    """Two nodes on PostgreSQL, that tell each other what they forget; one on SQLite."""
    if database_url.startswith("sqlite"):
        yield [world]
        return
    async with opened(database_url, apps=False) as other:
        other.app, other.clock = world.app, world.clock
        world.cache.on_forget = other.cache.drop
        other.cache.on_forget = world.cache.drop
        yield [world, other]


@pytest.mark.parametrize("seed", range(4))
async def test_a_group_that_everybody_changes_at_once(nodes: list[World], seed: int) -> None:
    world = nodes[0]
    users = [await world.user(f"user{number}") for number in range(10)]
    new = NewDialog(type=2, name="G", occupants=[user.id for user in users[:6]], admins=[users[1].id, users[2].id])
    dialog = (await world.dialogs.create(world.app.id, users[0].id, new)).view.dialog.id
    crowd = Crowd(nodes, users, dialog, seed)

    async def busy(user: User) -> None:
        for _ in range(ACTS):
            await crowd.act(user)
            world.clock.advance(0.3)

    for _ in range(ROUNDS):
        await asyncio.gather(*(busy(user) for user in users))
        for node in nodes:
            await crowd.check(node)
        await world.eraser.run()
    await crowd.check(world)
    assert crowd.done > 50
