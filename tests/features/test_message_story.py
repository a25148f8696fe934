"""Counters, receipts, pages and the last message against a naive model, after every step of random stories."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.features.world import World, opened
from voxcube.server.core.listing import Listing
from voxcube.server.core.models import DELIVERED, READ, User
from voxcube.server.features.changes.service import NewText
from voxcube.server.features.dialogs.changes import Change, Lists
from voxcube.server.features.dialogs.service import NewDialog
from voxcube.server.storage import retention

GROUP, PUBLIC = 2, 4
PEOPLE = range(4)  # the first is the owner and never leaves; the last comes later
EVERYTHING = Listing(limit=1000)
NAMES = "ann", "bob", "cyd", "dan"


@dataclass(eq=False)
class Said:
    """A message as everybody would keep it who does not count: sets of who has had it, and who has deleted it."""

    id: str
    seq: int
    sender: int
    body: str
    at: int
    read: set[int] = field(default_factory=set)
    delivered: set[int] = field(default_factory=set)
    hidden: set[int] = field(default_factory=set)


class Model:
    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.said: list[Said] = []  # what is there, in order
        self.ever: list[Said] = []
        self.members = {0, 1, 2}
        self.known = set(self.members)  # who was ever in
        self.counted_from: dict[int, int] = dict.fromkeys(self.members, 0)

    def visible(self, user: int) -> list[Said]:
        return [said for said in self.said if user not in said.hidden]

    def unread(self, user: int) -> int:
        return sum(
            said.sender != user and user not in said.read and said.seq > self.counted_from[user]
            for said in self.visible(user)
        )

    def join(self, user: int) -> None:
        if user in self.members:
            return
        if self.kind == PUBLIC:
            self.counted_from[user] = self.ever[-1].seq if self.ever else 0
        elif user not in self.known:
            self.counted_from[user] = 0
        self.members.add(user)
        self.known.add(user)


class Story:
    """One dialog, in the server and in the model."""

    def __init__(self, world: World, users: list[User], kind: int) -> None:
        self.world = world
        self.users = users
        self.model = Model(kind)
        self.dialog = ""

    async def begin(self) -> None:
        ids = [user.id for user in self.users[1:3]]
        new = NewDialog(type=self.model.kind, name="G", occupants=ids)
        made = await self.world.dialogs.create(self.app_id, self.users[0].id, new)
        self.dialog = made.view.dialog.id
        if self.model.kind == PUBLIC:
            for user_id in ids:
                await self.world.changes.subscribe(self.app_id, user_id, self.dialog)

    @property
    def app_id(self) -> int:
        return self.world.app.id

    def chosen(self, numbers: list[int]) -> list[Said]:
        """Some of all messages there ever were."""
        ever = self.model.ever
        return list(dict.fromkeys(ever[number % len(ever)] for number in numbers)) if ever else []

    # -- steps -----------------------------------------------------------------------------------------------------

    async def send(self, user: int, numbers: list[int]) -> None:
        for send in await asyncio.gather(*(self.world.send(self.dialog, self.users[user]) for _ in numbers)):
            said = Said(send.message_id, send.seq, user, send.body, send.created_at)
            self.model.said.append(said)
            self.model.ever.append(said)
        self.model.said.sort(key=lambda said: said.seq)
        self.model.ever.sort(key=lambda said: said.seq)

    async def mark(self, user: int, numbers: list[int], kind: int = READ) -> None:
        marked = self.chosen(numbers)
        await asyncio.gather(*(self.world.mark(self.dialog, self.users[user], said.id, kind) for said in marked))
        for said in marked:
            (said.read if kind == READ else said.delivered).add(user)

    async def deliver(self, user: int, numbers: list[int]) -> None:
        await self.mark(user, numbers, DELIVERED)

    async def read_by_rest(self, user: int, numbers: list[int]) -> None:
        marked = [said for said in self.chosen(numbers) if said in self.model.said]
        if marked:
            ids = [said.id for said in marked]
            await self.world.message_changes.update(
                self.app_id, self.users[user].id, self.dialog, ids, read=True, delivered=True
            )
        for said in marked:
            said.read.add(user)

    async def read_all(self, user: int, numbers: list[int]) -> None:
        await self.world.message_changes.update(self.app_id, self.users[user].id, self.dialog, None, read=True)
        for said in self.model.said:
            said.read.add(user)

    async def deliver_all(self, user: int, numbers: list[int]) -> None:
        await self.world.message_changes.update(self.app_id, self.users[user].id, self.dialog, None, delivered=True)
        for said in self.model.said:
            said.delivered.add(user)

    async def read_a_page(self, user: int, numbers: list[int]) -> None:
        listing = Listing(limit=3, skip=sum(numbers) % 5)
        page = await self.world.history.page(
            app_id=self.app_id, user_id=self.users[user].id, dialog_id=self.dialog, listing=listing
        )
        expected = self.model.visible(user)[listing.skip : listing.skip + 3]
        assert [stored.message.id for stored in page.messages] == [said.id for said in expected]
        for said in expected:
            said.read.add(user)

    async def edit(self, user: int, numbers: list[int]) -> None:
        for said in self.chosen(numbers):
            if said.sender == user and said in self.model.said:
                said.body = f"edited {numbers}"
                facts = await self.world.cache.dialog(self.app_id, self.dialog)
                await self.world.message_changes.edit(
                    self.app_id, self.users[user].id, facts, said.id, NewText(body=said.body)
                )

    async def delete_for_me(self, user: int, numbers: list[int]) -> None:
        wanted = self.chosen(numbers)
        there = [said for said in wanted if said in self.model.visible(user)]
        outcome = await self.world.message_changes.delete_many(
            self.app_id, self.users[user].id, [said.id for said in wanted], for_all=False
        )
        assert outcome.done == [said.id for said in there]
        for said in there:
            said.hidden.add(user)

    async def delete_for_all(self, user: int, numbers: list[int]) -> None:
        wanted = self.chosen(numbers)
        there = [said for said in wanted if said in self.model.said]
        own = [said for said in there if user in (0, said.sender)]
        outcome = await self.world.message_changes.delete_many(
            self.app_id, self.users[user].id, [said.id for said in wanted], for_all=True
        )
        assert outcome.done == [said.id for said in own]
        assert outcome.refused == [said.id for said in there if said not in own]
        self.model.said = [said for said in self.model.said if said not in own]

    async def clear_for_me(self, user: int, numbers: list[int]) -> None:
        await self.world.endings.clear(self.app_id, self.users[user].id, self.dialog, force=False)
        for said in self.model.said:
            said.hidden.add(user)

    async def clear_for_all(self, user: int, numbers: list[int]) -> None:
        await self.world.endings.clear(self.app_id, self.users[0].id, self.dialog, force=True)
        self.model.said = []
        if len(numbers) % 2:  # sooner or later
            await self.world.eraser.run()

    async def leave(self, user: int, numbers: list[int]) -> None:
        if user:
            await self.world.endings.delete(self.app_id, self.users[user].id, self.dialog, force=False)
            self.model.members.discard(user)

    async def join(self, user: int, numbers: list[int]) -> None:
        user_id = self.users[user].id
        if self.model.kind == PUBLIC:
            await self.world.changes.subscribe(self.app_id, user_id, self.dialog)
        else:
            change = Change(push=Lists(occupants=frozenset({user_id})))
            await self.world.changes.update(self.app_id, self.users[0].id, self.dialog, change)
        self.model.join(user)

    async def retain(self, user: int, numbers: list[int]) -> None:
        for said in self.chosen(numbers[:1]):
            step = partial(
                retention.remove_old, dialog_id=self.dialog, before_ms=said.at, now_ms=self.world.clock.now_ms()
            )
            await self.world.writer.run(step, dialog=self.dialog)
            self.model.said = [other for other in self.model.said if other.at >= said.at]

    # -- what everybody sees ---------------------------------------------------------------------------------------

    async def check(self) -> None:
        model = self.model
        for user in model.members:
            user_id = self.users[user].id
            visible = model.visible(user)
            seen = await self.world.dialogs.get(self.app_id, user_id, self.dialog)
            assert seen.view.dialog.live == len(model.said)
            assert seen.view.member is not None
            # The arithmetic itself: what is shown is never negative.
            assert seen.view.dialog.live - seen.view.member.settled == model.unread(user), NAMES[user]
            assert seen.view.last_id == (visible[-1].id if visible else None), NAMES[user]
            assert seen.view.last_body == (visible[-1].body if visible else None)
            counts = await self.world.history.unread(app_id=self.app_id, user_id=user_id, dialog_ids=[self.dialog])
            assert counts == {self.dialog: model.unread(user)}
            page = await self.world.history.page(
                app_id=self.app_id, user_id=user_id, dialog_id=self.dialog, listing=EVERYTHING, mark_as_read=False
            )
            assert [
                (stored.message.id, stored.message.body, set(stored.read_ids), set(stored.delivered_ids))
                for stored in page.messages
            ] == [
                (
                    said.id,
                    said.body,
                    {self.users[one].id for one in {said.sender, *said.read}},
                    {self.users[one].id for one in {said.sender, *said.read, *said.delivered}},
                )
                for said in visible
            ]


STEPS = [
    *("send", "send", "mark", "deliver", "read_by_rest", "read_all", "deliver_all", "read_a_page", "edit"),
    *("delete_for_me", "delete_for_all", "clear_for_me", "clear_for_all", "leave", "join", "retain"),
]
stories = st.tuples(
    st.sampled_from([GROUP, PUBLIC]),
    st.lists(
        st.tuples(
            st.sampled_from(STEPS), st.sampled_from(PEOPLE), st.lists(st.integers(0, 30), min_size=1, max_size=4)
        ),
        min_size=8,
        max_size=24,
    ),
)


async def play(world: World, users: list[User], kind: int, steps: list[tuple[str, int, list[int]]]) -> None:
    story = Story(world, users, kind)
    await story.begin()
    for name, user, numbers in [("send", 0, [1, 1]), ("send", 1, [1, 1]), *steps]:
        world.clock.advance(1)
        if name == "join" or user in story.model.members:
            step: Any = getattr(story, name)
            await step(user, numbers)
            await story.check()


@pytest.mark.timeout(180)
def test_whatever_happens_everybody_sees_what_is_there(database_url: str) -> None:
    with asyncio.Runner() as runner:
        manager = opened(database_url)
        world = runner.run(manager.__aenter__())
        try:
            users = [runner.run(world.user(name)) for name in NAMES]

            @settings(
                max_examples=60 if database_url.startswith("sqlite") else 25,
                deadline=None,
                phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each try of a shorter story costs a dialog
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
            )
            @given(stories)
            def run(story: tuple[int, list[tuple[str, int, list[int]]]]) -> None:
                runner.run(play(world, users, *story))

            run()
        finally:
            runner.run(manager.__aexit__(None, None, None))
