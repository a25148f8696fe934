"""The rules of contacts: subscriptions as the tables of RFC 6121 say, on both databases, and the limits of lists."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict

import pytest

from tests.features.world import World
from voxcube.server.core.contacts import (
    ACTS,
    ASKED,
    ASKING,
    FROM,
    INBOUND,
    OUTBOUND,
    SUBSCRIBE,
    SUBSCRIBED,
    TO,
    UNSUBSCRIBE,
    UNSUBSCRIBED,
    Contact,
    ContactFacts,
)
from voxcube.server.core.errors import BadRequest, Blocked, DomainError, Invalid, NotFound
from voxcube.server.core.models import User
from voxcube.server.core.privacy import PrivacyItem
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.features.contacts import service
from voxcube.server.features.contacts.service import Act, ContactService
from voxcube.server.features.privacy.screens import Screens
from voxcube.server.features.privacy.service import PrivacyService
from voxcube.server.storage.contacts import ContactStore
from voxcube.server.storage.privacy import PrivacyStore

BOTH = TO | FROM
STATES = (0, ASKED, ASKING, ASKED | ASKING, TO, TO | ASKING, FROM, FROM | ASKED, BOTH)

# The tables of RFC 6121 appendix A, row by row: whether it goes on ("must"), and the new state, in the order of STATES.
A_2_1 = [(1, ASKED), (1, ASKED), (1, 12), (1, 12), (1, TO), (1, TO | ASKING), (1, FROM | ASKED), (1, 6), (1, BOTH)]
A_2_2 = [(1, 0), (1, 0), (1, ASKING), (1, ASKING), (1, 0), (1, ASKING), (1, FROM), (1, FROM), (1, FROM)]
A_2_3 = [(0, 0), (0, ASKED), (1, FROM), (1, 6), (0, TO), (1, BOTH), (0, FROM), (0, 6), (0, BOTH)]
A_2_4 = [(0, 0), (0, ASKED), (1, 0), (1, ASKED), (0, TO), (1, TO), (1, 0), (1, ASKED), (1, TO)]
A_3_1 = [(1, ASKING), (1, 12), (0, ASKING), (0, 12), (1, TO | ASKING), (0, 9), (0, FROM), (0, 6), (0, BOTH)]
A_3_2 = [(0, 0), (0, ASKED), (1, 0), (1, ASKED), (0, TO), (1, TO), (1, 0), (1, ASKED), (1, TO)]
A_3_3 = [(0, 0), (1, TO), (0, ASKING), (1, TO | ASKING), (0, TO), (0, 9), (0, FROM), (1, BOTH), (0, BOTH)]
A_3_4 = [(0, 0), (1, 0), (0, ASKING), (1, ASKING), (1, 0), (1, ASKING), (0, FROM), (1, FROM), (1, FROM)]
OUT = {SUBSCRIBE: A_2_1, UNSUBSCRIBE: A_2_2, SUBSCRIBED: A_2_3, UNSUBSCRIBED: A_2_4}
IN = {SUBSCRIBE: A_3_1, UNSUBSCRIBE: A_3_2, SUBSCRIBED: A_3_3, UNSUBSCRIBED: A_3_4}


def test_the_tables_are_those_of_the_standard() -> None:
    for ours, theirs in ((OUTBOUND, OUT), (INBOUND, IN)):
        assert ours.keys() == theirs.keys() == set(ACTS)
        for kind, rows in theirs.items():
            assert [(int(ours[kind][state].goes_on), ours[kind][state].state) for state in STATES] == rows, kind
            assert len(ours[kind]) == len(STATES)


class People:
    """Users of a world, and the contacts service on it; `told` keeps what sessions would be told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: list[Act] = []
        lists = PrivacyStore(world.database)
        self.privacy = PrivacyService(
            facts=world.cache,
            store=lists,
            transactions=world.writer,
            domain="chat.example.org",
            screens=Screens(world.cache, lists, Sessions()),
        )
        self.store = ContactStore(world.database)
        self.service = ContactService(
            store=self.store,
            facts=world.cache,
            privacy=self.privacy,
            transactions=world.writer,
            telling=self,
        )

    def tell(self, app_id: int, act: Act) -> None:
        assert app_id == self.world.app.id
        self.told.append(act)

    async def act(self, user: User, other: User, kind: str, inner: str = "") -> list[str]:
        """Returns what was told to the other one."""
        self.told.clear()
        await self.service.act(user.app_id, user.id, other.id, kind, inner=inner)
        return [act.kind for act in self.told if (act.user_id, act.contact_id) == (other.id, user.id)]

    async def state(self, user: User, other: User) -> int:
        found = await self.store.one(user.app_id, user.id, other.id)
        return 0 if found is None else found.state

    async def facts(self, user: User) -> ContactFacts:
        return await self.world.cache.contacts(user.app_id, user.id)

    async def all(self, user: User) -> list[Contact]:
        return await self.service.all(user.app_id, user.id)


async def test_both_sides_of_every_act_in_every_state(world: World) -> None:
    """Against a model of two relations: who is subscribed to whom, and who waits for whose answer."""
    people = People(world)
    ann, bob = await world.user("ann"), await world.user("bob")
    subscribed: defaultdict[tuple[int, int], bool] = defaultdict(bool)
    waits: defaultdict[tuple[int, int], bool] = defaultdict(bool)
    met: set[tuple[str, int]] = set()
    source = random.Random(7)
    while met < set(itertools.product(ACTS, STATES)):
        user, other = source.sample((ann, bob), 2)
        there, back = (user.id, other.id), (other.id, user.id)
        before = await people.state(user, other)
        kind = source.choice([kind for kind in ACTS if (kind, before) not in met] or ACTS)
        met.add((kind, before))
        told = await people.act(user, other, kind)
        if kind == SUBSCRIBE:
            due = not subscribed[there] and not waits[there]
            waits[there] = not subscribed[there]
        elif kind == SUBSCRIBED:
            due = waits[back]
            subscribed[back], waits[back] = subscribed[back] or waits[back], False
        else:
            way = there if kind == UNSUBSCRIBE else back
            due = subscribed[way] or waits[way]
            subscribed[way] = waits[way] = False
        assert told == ([kind] if due else []), (kind, before)
        for one, two in ((ann, bob), (bob, ann)):
            ways = (
                subscribed[one.id, two.id],
                subscribed[two.id, one.id],
                waits[one.id, two.id],
                waits[two.id, one.id],
            )
            assert await people.state(one, two) == sum(
                bit for bit, is_set in zip((TO, FROM, ASKED, ASKING), ways, strict=True) if is_set
            )
            facts = await people.facts(one)
            assert (facts.following, facts.followers, facts.asking) == tuple(
                frozenset({two.id} if ways[n] else ()) for n in (0, 1, 3)
            )


async def test_a_request_is_kept_until_it_is_answered(world: World) -> None:
    people = People(world)
    ann, bob = await world.user("ann"), await world.user("bob")
    assert await people.act(ann, bob, SUBSCRIBE, "<status>it is me</status>") == [SUBSCRIBE]
    assert await people.act(ann, bob, SUBSCRIBE, "<status>again</status>") == []  # one request at a time
    requests = await people.service.requests(bob.app_id, bob.id)
    assert requests == [Act(SUBSCRIBE, ann.id, bob.id, "<status>it is me</status>")]
    assert await people.all(bob) == []  # somebody who asks is no contact yet
    assert await people.all(ann) == [Contact(bob.id, state=ASKED)]
    with pytest.raises(NotFound):
        await people.service.remove(bob.app_id, bob.id, ann.id)
    await people.service.put(bob.app_id, bob.id, ann.id, "Ann", ["x", "y"])
    assert len(await people.service.requests(bob.app_id, bob.id)) == 1
    await people.act(bob, ann, SUBSCRIBED)
    assert await people.service.requests(bob.app_id, bob.id) == []
    assert await people.all(bob) == [Contact(ann.id, "Ann", ("x", "y"), FROM)]
    large = f"<status>{'x' * 5000}</status>"
    cyd = await world.user("cyd")
    await people.act(cyd, bob, SUBSCRIBE, large)
    assert await people.service.requests(bob.app_id, bob.id) == [Act(SUBSCRIBE, cyd.id, bob.id, "")]
    await people.act(bob, cyd, UNSUBSCRIBED)
    assert await people.store.one(bob.app_id, bob.id, cyd.id) is None


@pytest.mark.parametrize("state", STATES)
async def test_removing_a_contact_ends_both_directions(world: World, state: int) -> None:
    people = People(world)
    ann, bob = await world.user("ann"), await world.user("bob")
    await people.service.put(ann.app_id, ann.id, bob.id, "Bob", [])
    if state & (TO | ASKED):
        await people.act(ann, bob, SUBSCRIBE)
    if state & (FROM | ASKING):
        await people.act(bob, ann, SUBSCRIBE)
    if state & TO:
        await people.act(bob, ann, SUBSCRIBED)
    if state & FROM:
        await people.act(ann, bob, SUBSCRIBED)
    assert await people.state(ann, bob) == state
    people.told.clear()
    await people.service.remove(ann.app_id, ann.id, bob.id)
    expected = [UNSUBSCRIBE] * bool(state & (TO | ASKED)) + [UNSUBSCRIBED] * bool(state & (FROM | ASKING))
    assert people.told == [Act(kind, ann.id, bob.id) for kind in expected]
    assert await people.all(ann) == []
    assert await people.state(bob, ann) == 0
    kept = [contact.user_id for contact in await people.all(bob)]
    assert kept == ([ann.id] if state & (FROM | ASKING | TO) else [])


async def test_what_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(world)
    ann, bob, cyd = [await world.user(login) for login in ("ann", "bob", "cyd")]
    zed = await world.user("zed", world.other)

    async def refused(error: type[DomainError], contact_id: int, name: str = "", *groups: str) -> None:
        with pytest.raises(error):
            await people.service.put(ann.app_id, ann.id, contact_id, name, groups)

    await refused(Invalid, ann.id)
    await refused(NotFound, zed.id)
    await refused(NotFound, 10**12)
    await refused(Invalid, bob.id, "x" * 256)
    await refused(Invalid, bob.id, "", "x" * 256)
    await refused(Invalid, bob.id, "", "")
    await refused(BadRequest, bob.id, "", "x", "x")
    await refused(Invalid, bob.id, "", *map(str, range(51)))
    assert await people.all(ann) == []
    for kind in ACTS:
        with pytest.raises(NotFound):
            await people.act(ann, zed, kind)
        assert await people.act(ann, ann, kind) == []
    monkeypatch.setattr(service, "MAX_CONTACTS", 1)
    await people.service.put(ann.app_id, ann.id, bob.id, "", [])
    await people.service.put(ann.app_id, ann.id, bob.id, "Bob", [])  # no further one
    await refused(Invalid, cyd.id)
    with pytest.raises(Invalid):
        await people.act(ann, cyd, SUBSCRIBE)
    await people.act(cyd, ann, SUBSCRIBE)
    with pytest.raises(Invalid):
        await people.act(ann, cyd, SUBSCRIBED)
    assert await people.state(cyd, ann) == ASKED
    monkeypatch.setattr(service, "MAX_REQUESTS", 1)
    with pytest.raises(Invalid):
        await people.act(await world.user("dan"), ann, SUBSCRIBE)
    assert await people.act(bob, ann, SUBSCRIBE) == [SUBSCRIBE]  # a contact's request has its place


async def test_who_is_blocked_cannot_ask(world: World) -> None:
    people = People(world)
    ann, bob = await world.user("ann"), await world.user("bob")
    kinds = ("message", "presence-in", "presence-out", "iq")  # as JavaScript blocks one-way
    item = PrivacyItem(1, True, "jid", f"{bob.id}-{bob.app_id}@chat.example.org", kinds)
    await people.privacy.put(ann.app_id, ann.id, "bl", [item])
    await people.privacy.set_default(ann.app_id, ann.id, "bl")
    with pytest.raises(Blocked):
        await people.act(bob, ann, SUBSCRIBE)
    assert await people.state(bob, ann) == await people.state(ann, bob) == 0
    assert await people.act(ann, bob, SUBSCRIBE) == [SUBSCRIBE]


async def test_an_account_that_goes_leaves_all_lists(world: World) -> None:
    people = People(world)
    ann, bob, cyd = [await world.user(login) for login in ("ann", "bob", "cyd")]
    await people.act(ann, bob, SUBSCRIBE)
    await people.act(bob, ann, SUBSCRIBED)
    await people.service.put(cyd.app_id, cyd.id, bob.id, "Bob", [])
    await people.service.put(cyd.app_id, cyd.id, ann.id, "Ann", [])
    assert (await people.facts(ann)).following == {bob.id}
    told: list[tuple[object, ...]] = []
    world.cache.on_forget = lambda keys: told.extend(keys)
    await world.removal.remove(bob.app_id, bob.id)
    assert await people.all(ann) == await people.all(bob) == []
    assert [contact.user_id for contact in await people.all(cyd)] == [ann.id]
    assert (await people.facts(ann)).following == frozenset()
    assert {key for key in told if key[0] == "contact"} == {
        ("contact", ann.app_id, user.id, bob.id) for user in (ann, cyd)
    }
    with pytest.raises(NotFound):
        await people.act(ann, bob, SUBSCRIBE)
