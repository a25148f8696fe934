"""Changes of messages between nodes whose bus is slow, reorders and loses: each told once, in one order."""

from __future__ import annotations

import asyncio

import pytest

from tests.delivery.support import GROUP_ID, PRIVATE_ID, Fake, Node, World, two
from tests.support import virtual_time
from tests.support.bus import Weather
from voxcube.server.core.models import Turn
from voxcube.server.delivery.router import CHAT, GROUP, Parcel


def change(node: Node, number: int, seq: int, *, to: int = 0) -> None:
    """A node tells the `number`th change of a dialog, of the message `seq`."""
    kind, user, dialog = (CHAT, to, PRIVATE_ID) if to else (GROUP, 1, GROUP_ID)
    node.router.change(Parcel(kind, 1, user, dialog, 0, b"change %d" % number, b""), Turn(number, seq, 0))


@pytest.mark.parametrize("to", [0, 2], ids=["group", "private"])
def test_changes_come_in_the_order_of_their_numbers(to: int) -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world, Weather(delay=0.2)) as (one, other, _):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            one.store("message", to=to, dialog_id=PRIVATE_ID if to else GROUP_ID)
            for number in range(1, 41):
                change(one, number, 1, to=to)
                await asyncio.sleep(0.003)
            await asyncio.sleep(1)
            expected = [b"message", *(b"change %d" % number for number in range(1, 41))]
            assert bob.got == expected
            assert alice.got == ([] if to else expected)
            assert not other.router._changes._gaps

    virtual_time.run(story())


def test_changes_made_on_two_nodes_come_in_one_order() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world, Weather(delay=0.2)) as (one, other, _):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            one.store("message")
            await asyncio.sleep(0.3)
            for number in range(1, 41):
                change((one, other)[number % 3 % 2], number, 1)
                await asyncio.sleep(0.003)
            await asyncio.sleep(1)
            assert alice.got == bob.got == [b"message", *(b"change %d" % number for number in range(1, 41))]

    virtual_time.run(story())


def test_a_lost_change_is_said_again_and_holds_nothing_up_for_long() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            one.store("message")
            change(one, 1, 1)
            await asyncio.sleep(1)
            wire.cut = True
            change(one, 2, 1)
            await asyncio.sleep(0.05)
            wire.cut = False
            change(one, 3, 1)
            await asyncio.sleep(0.2)
            assert bob.got == [b"message", b"change 1", b"change 2", b"change 3"]
            await asyncio.sleep(1)
            wire.cut = True
            change(one, 4, 1)
            await asyncio.sleep(1)
            wire.cut = False
            change(one, 5, 1)  # 4 is lost for good
            await asyncio.sleep(0.4)
            assert len(bob.got) == 4
            await asyncio.sleep(0.2)
            assert bob.got[4:] == [b"change 5"]
            assert len(alice.got) == 6

    virtual_time.run(story())


def test_changes_of_a_broadcast_come_once() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, kind=1)
        async with two(world) as (one, other, _):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)  # when the message is there already: nobody here has heard of the dialog
            change(one, 7, 3)
            await asyncio.sleep(1)
            change(one, 8, 3)
            await asyncio.sleep(1)
            assert alice.got == bob.got == [b"change 7", b"change 8"]

    virtual_time.run(story())


def test_what_is_relayed_waits_for_the_stored_message_before_it() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        async with two(world) as (one, other, wire):
            alice, bob = Fake(1), Fake(2)
            await one.come(alice)
            await other.come(bob)
            wire.cut = True
            one.store("stored")
            wire.cut = False
            relayed = Parcel(GROUP, 1, 1, GROUP_ID, 0, b"relayed", b"", after=one.router.newest(GROUP_ID, 0))
            assert relayed.after == 1
            one.router.send(relayed)
            await asyncio.sleep(0.3)
            assert bob.got == [b"stored", b"relayed"]
            assert other.reads == 1

    virtual_time.run(story())
