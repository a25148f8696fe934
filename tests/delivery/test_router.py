"""The router: who gets which kind of parcel, alone and between nodes whose bus loses words."""

from __future__ import annotations

import asyncio

import pytest

from tests.delivery.support import GROUP_ID, PRIVATE_ID, Facts, Fake, Node, World, two
from tests.support import virtual_time
from tests.support.bus import Weather
from voxcube.server.cluster.gate import AGAIN
from voxcube.server.cluster.local import LocalBus
from voxcube.server.delivery.again import DIGEST_SECONDS
from voxcube.server.delivery.router import CHAT, COPY, GROUP, GROUP_OTHERS, OWN, SILENCE, Parcel


def parcel(kind: int, to: int, text: str, *, origin: bytes = b"", app_id: int = 1, dialog_id: str = "") -> Parcel:
    return Parcel(kind, app_id, to, dialog_id, 0, text.encode(), b"", origin)


# -- one node ----------------------------------------------------------------------------------------------------------


async def test_who_gets_what() -> None:
    world = World()
    world.group(GROUP_ID, 1, 2, 3)
    node = Node(world, LocalBus())
    phone, laptop = Fake(1, resource="a"), Fake(1, resource="b", carbons=True)
    bob, carol, dave = Fake(2), Fake(3), Fake(4)
    everybody = (phone, laptop, bob, carol, dave)
    await node.come(*everybody)

    def given(parcel: Parcel) -> list[Fake]:
        node.router.send(parcel)
        found = [person for person in everybody if person.got]
        for person in found:
            assert person.got == [parcel.head]
            person.got.clear()
        return found

    assert given(parcel(CHAT, 1, "chat")) == [phone, laptop]
    assert given(parcel(CHAT, 1, "another application's", app_id=2)) == []
    assert given(parcel(CHAT, 99, "nobody")) == []
    assert given(parcel(COPY, 1, "carbon", origin=phone.address)) == [laptop]
    assert given(parcel(COPY, 1, "carbon", origin=laptop.address)) == []
    assert given(parcel(OWN, 1, "own", origin=laptop.address)) == [phone]
    assert given(parcel(GROUP, 1, "group", dialog_id=GROUP_ID)) == [phone, laptop, bob, carol]
    assert given(parcel(GROUP_OTHERS, 1, "typing", dialog_id=GROUP_ID)) == [bob, carol]
    world.group(GROUP_ID, 1, kind=1)
    node.cached.clear()
    node.router.send(parcel(GROUP, 1, "broadcast", dialog_id=GROUP_ID))
    await asyncio.sleep(0.01)  # the facts had to be read
    assert [person for person in everybody if person.got] == list(everybody)
    assert phone.handing == []
    node.store("stored", to=2, dialog_id=PRIVATE_ID)
    assert bob.handing == [(PRIVATE_ID, 1)]
    await node.router.close()


async def test_a_node_that_is_alone_pays_nothing_for_others() -> None:
    world = World()
    world.group(GROUP_ID, 1)
    world.fail = 9  # nothing is read
    node = Node(world, LocalBus())
    alice = Fake(1)
    await node.come(alice)
    for number in range(3):
        node.store(str(number))
    node.router.remind(GROUP_ID, 0, 9)
    node.router.tell_forgotten((("dialog", GROUP_ID),))
    await node.router.beat()
    node.go(alice)
    assert alice.got == [b"0", b"1", b"2"]
    assert not node.router._again._bursts
    assert not node.router._gate._last
    assert not node.router._listening._users


async def test_parcels_wait_in_order_for_members_that_are_read() -> None:
    world = World(seconds=0.02)
    world.group(GROUP_ID, 1)
    node = Node(world, LocalBus())
    node.cached.clear()
    alice = Fake(1)
    await node.come(alice)
    for number in range(3):
        node.store(str(number))
        await asyncio.sleep(0.009)
    await asyncio.sleep(0.05)
    assert alice.got == [b"0", b"1", b"2"]
    node.cached.clear()
    world.fail = 1
    node.store("3")  # reading fails and is tried again
    node.router.send(parcel(GROUP_OTHERS, 2, "typing is not kept for it", dialog_id=GROUP_ID))
    await asyncio.sleep(0.1)
    node.store("4")
    assert len(alice.got) == 3
    await asyncio.sleep(AGAIN)
    assert alice.got == [b"0", b"1", b"2", b"3", b"4"]
    assert not node.router._held
    await node.router.close()


# -- two nodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [0, 2], ids=["group", "pair"])
def test_what_a_node_stored_before_it_ended_is_found(to: int) -> None:
    """It died between the commit and the bus, its sender does not come back, and nothing follows."""

    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            bob, dialog_id = Fake(2), PRIVATE_ID if to else GROUP_ID
            await other.come(bob)
            for text in ("0", "1"):
                one.store(text, to, dialog_id)
            await one.router.beat()
            await asyncio.sleep(0.1)
            wire.interrupt()
            one.store("2", to, dialog_id)
            await asyncio.sleep(DIGEST_SECONDS[-1] + 5)  # what it would have said later is lost as well
            wire.cut = False
            for _ in range(int(SILENCE) + 2):
                await other.router.beat()
                await asyncio.sleep(1)
            assert bob.got == [b"0", b"1", b"2"]
            assert not other.router._beats

    virtual_time.run(story())


def test_a_lost_end_is_found_though_its_first_digests_are_lost_as_well() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            one.store("a")
            await asyncio.sleep(0.01)
            wire.cut = True
            for text in ("b", "c"):
                one.store(text)
            one.store("private", to=2, dialog_id=PRIVATE_ID)
            await asyncio.sleep(sum(DIGEST_SECONDS[:-1]) + 0.1)
            assert bob.got == [b"a"]
            wire.cut = False
            await asyncio.sleep(DIGEST_SECONDS[-1] + 0.1)
            assert sorted(bob.got) == [b"a", b"b", b"c", b"private"]
            assert bob.handing == [(PRIVATE_ID, 1)]
            assert alice.got == [b"a", b"b", b"c"]
            assert not one.router._again._bursts

    virtual_time.run(story())


def test_both_write_and_everybody_sees_one_order() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2, 3)
        async with two(world, Weather(delay=0.2, drop=0.2)) as (one, other, wire):
            people = [Fake(1), Fake(2), Fake(3), Fake(2, resource="b")]
            await one.come(people[0], people[3])
            await other.come(people[1], people[2])
            for number in range(300):
                node = (one, other)[number * 7 % 3 % 2]
                node.store(str(number), sender=1 if node is one else 2)
                await asyncio.sleep(0.003)
            wire.weather.drop = 0
            await asyncio.sleep(10)
            for person in people:
                assert person.got == [str(number).encode() for number in range(300)]
            assert wire.dropped > 20

    virtual_time.run(story())


def test_a_broadcast_reaches_the_whole_application_everywhere() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, kind=1)
        async with two(world) as (one, other, _):
            alice, bob, stranger = Fake(1), Fake(2), Fake(3, app_id=2)
            await one.come(alice)
            await other.come(bob, stranger)
            for text in ("a", "b"):
                one.store(text)
            await asyncio.sleep(1)
            assert alice.got == bob.got == [b"a", b"b"]
            other.go(bob)
            one.store("c")
            await asyncio.sleep(1)
            await other.come(bob)
            one.store("d")
            await asyncio.sleep(10)
            assert bob.got == [b"a", b"b", b"d"]  # what came meanwhile is in the history
            assert stranger.got == []

    virtual_time.run(story())


def test_a_broadcast_does_not_reach_who_has_hidden_it() -> None:
    async def story() -> None:
        world = World()
        async with two(world) as (one, other, _):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            world.facts[GROUP_ID] = Facts(1, frozenset({1}), away=frozenset({2}))
            one.store("a")
            await asyncio.sleep(1)
            assert (alice.got, bob.got) == ([b"a"], [])

    virtual_time.run(story())


def test_a_lost_word_of_a_changed_fact_is_noticed() -> None:
    async def story() -> None:
        world = World()
        async with two(world) as (one, other, wire):
            bob = Fake(2)
            await other.come(bob)
            wire.cut = True
            world.group(GROUP_ID, 1, 2)
            one.router.tell_forgotten((("dialog", GROUP_ID), ("member", GROUP_ID, 1, 0), ("member", GROUP_ID, 2, 0)))
            one.store("nobody hears of this group")
            wire.cut = False
            await one.router.beat()
            await asyncio.sleep(2)
            assert other.cleared == 1
            one.store("now it is heard")
            await asyncio.sleep(1)
            assert bob.got == [b"nobody hears of this group", b"now it is heard"]
            await one.router.beat()
            await asyncio.sleep(2)
            assert other.cleared == 1

    virtual_time.run(story())


def test_what_was_published_before_the_new_member_s_node_listened_is_read() -> None:
    async def story() -> None:
        world = World()
        async with two(world, Weather(delay=0.1)) as (one, other, _):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            for start in (0, 3):  # a new group, and the same with an older one
                dialog_id = GROUP_ID if not start else PRIVATE_ID
                world.stored[(dialog_id, 0)] = {
                    seq: Parcel(GROUP, 1, 1, dialog_id, seq, b"old", b"") for seq in range(start + 1)
                }
                world.group(dialog_id, 1, 2)
                keys = (("dialog", dialog_id), ("member", dialog_id, 1, start), ("member", dialog_id, 2, start))
                one._forget(keys)
                one.router.tell_forgotten(keys)
                for text in ("a", "b"):
                    one.store(text, dialog_id=dialog_id)
                await asyncio.sleep(3)
                assert alice.got == bob.got == [b"a", b"b"]
                alice.got.clear()
                bob.got.clear()

    virtual_time.run(story())


def test_an_interruption_is_made_good_from_storage() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            one.store("known", to=2, dialog_id=PRIVATE_ID)
            await asyncio.sleep(1)
            wire.interrupt()
            for text in ("a", "b"):
                one.store(text)
                one.store(text, to=2, dialog_id=PRIVATE_ID)
            one.store("first", to=2, dialog_id="65a1b2c3d4e5f60718293a4d")
            one.router._again._bursts.clear()
            world.fail = 3  # and the database has not come back either
            wire.restore()
            await asyncio.sleep(10)
            assert sorted(bob.got) == [b"a", b"a", b"b", b"b", b"first", b"known"]
            assert [item for item in bob.handing if item[0] == PRIVATE_ID] == [(PRIVATE_ID, n) for n in (1, 2, 3)]

    virtual_time.run(story())


def test_a_word_for_somebody_else_in_the_same_slot_costs_no_read() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1)
        async with two(world) as (one, other, wire):
            await one.come(Fake(1))
            await other.come(Fake(2))
            other_bus = wire.nodes[1]
            other_bus.slots.update(range(4096))
            other.cached.clear()
            for text in ("a", "b", "c"):
                one.store(text)
                one.store(text, to=5, dialog_id=PRIVATE_ID)
                one.router.send(parcel(GROUP_OTHERS, 1, "typing", dialog_id=GROUP_ID))
            await asyncio.sleep(10)
            assert other.reads == 0
            assert other.cached == {}
            assert other.router._gate._last == {}

    virtual_time.run(story())


def test_words_of_a_large_group_are_small_and_words_not_understood_do_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        world = World()
        async with two(world) as (one, other, wire):
            bob = Fake(5000)
            await other.come(bob)
            world.group(GROUP_ID, *range(1, 5001))
            one.router.tell_forgotten((("dialog", GROUP_ID), *(("member", GROUP_ID, n, 0) for n in range(1, 5001))))
            assert wire.words == 6
            for payload in (b"", b"p", b"d\xff", b"k\x01", b"b", b"?"):
                other.router.published(payload)
                other.router.told(payload)
            one.store("hello")
            await asyncio.sleep(2)
            assert bob.got == [b"hello"]
            assert other.cleared == 0

    virtual_time.run(story())
    assert "not understood" in caplog.text


# -- who is here -------------------------------------------------------------------------------------------------------


def test_sessions_that_come_and_go_at_the_same_time() -> None:
    async def story() -> None:
        world = World(seconds=1.0)
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            bob, second = Fake(2), Fake(2, resource="b")
            coming = asyncio.create_task(other.come(bob))
            await asyncio.sleep(0.5)
            also = asyncio.create_task(other.come(second))
            await asyncio.sleep(0.1)
            coming.cancel()  # the first connection broke before it was ready
            other.router.user_went(2)
            await also
            one.store("for the second")
            await asyncio.sleep(5)
            assert second.got == [b"for the second"]
            assert bob.got == []
            other.go(second)
            await asyncio.sleep(5)
            assert wire.nodes[1].slots == set()
            assert other.router._gate._last == {}
            assert not other.router._listening._slots

    virtual_time.run(story())


def test_a_session_whose_positions_cannot_be_read_is_told_so() -> None:
    async def story() -> None:
        world = World(fail=1)
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            bob = Fake(2)
            with pytest.raises(ConnectionError):
                await other.come(bob)
            await asyncio.sleep(1)
            assert wire.nodes[1].slots == set()
            await other.come(bob)
            one.store("now")
            await asyncio.sleep(1)
            assert bob.got == [b"now"]

    virtual_time.run(story())


async def test_members_of_before_a_removal_get_nothing_stored_after_it() -> None:
    """The message overtakes the word of the removal, and of an addition: its version tells that the facts are old."""
    world = World()
    world.group(GROUP_ID, 1, 2)
    async with two(world) as (one, other, wire):
        ann, bob, cyd = Fake(1), Fake(2), Fake(3)
        await one.come(ann)
        await other.come(bob, cyd)
        other.router._listening.joined(3, GROUP_ID, 0)  # cyd's node knows already, its facts do not
        first = one.store("to ann and bob")
        await asyncio.sleep(0.01)
        assert (bob.got, cyd.got) == ([first.head], [])
        assert other.cached[GROUP_ID].members == {1, 2}
        world.facts[GROUP_ID] = Facts(2, frozenset({1, 3}), members_version=1)
        world.version = 1
        one.cached[GROUP_ID] = world.facts[GROUP_ID]
        second, third = one.store("to ann and cyd"), one.store("and in order")
        await asyncio.sleep(0.01)
        assert bob.got == [first.head]
        assert cyd.got == [second.head, third.head]
        # What was stored before the change may come after it: who was removed gets nothing any more.
        world.version = 0
        fourth = one.store("of before")
        await asyncio.sleep(0.01)
        assert bob.got == [first.head]
        assert cyd.got == [second.head, third.head, fourth.head]
        assert other.reads == 0  # nothing was looked for in storage
        assert wire.dropped == 0
