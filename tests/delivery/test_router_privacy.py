"""Group messages of somebody who hides from some members: who gets them, on which node, and in which order."""

import asyncio

from tests.delivery.support import GROUP_ID, Fake, Node, World, two
from tests.support import virtual_time
from voxcube.server.cluster.gate import AGAIN
from voxcube.server.cluster.local import LocalBus
from voxcube.server.delivery.router import GROUP_OTHERS, Parcel


def test_each_node_asks_for_itself() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2, 3)
        async with two(world) as (one, other, _):
            people = alice, bob, carol = Fake(1), Fake(2), Fake(3)
            await one.come(alice)
            await other.come(bob, carol)
            for node in (one, other):
                node.hiding.hidden[1] = frozenset({2, 99})
                node.hiding.known = set()
            one.store("hidden")
            other.store("open", sender=2)
            one.router.send(Parcel(GROUP_OTHERS, 1, 1, GROUP_ID, 0, b"typing", b""))
            await asyncio.sleep(0.5)
            assert [sorted(person.got) for person in people] == [
                [b"hidden", b"open"],
                [b"open"],
                [b"hidden", b"open", b"typing"],
            ]
            assert alice.got == [text for text in carol.got if text != b"typing"]  # one order for all
            assert (one.hiding.loads, other.hiding.loads) == (2, 2)  # each sender once on each node

    virtual_time.run(story())


async def test_what_waits_for_a_list_keeps_its_order() -> None:
    world = World()
    world.group(GROUP_ID, 1, 2)
    node = Node(world, LocalBus())
    node.hiding.known = {2}
    alice = Fake(2)
    await node.come(alice)
    node.store("first")  # the list of its sender must be read
    node.store("second", sender=2)
    assert alice.got == []
    await asyncio.sleep(0.01)
    node.store("third")
    assert alice.got == [b"first", b"second", b"third"]
    assert not node.router._held
    await node.router.close()


def test_a_list_that_cannot_be_read_is_read_again() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        node = Node(world, LocalBus())
        node.hiding.known, node.hiding.fail = set(), 1
        alice = Fake(2)
        await node.come(alice)
        node.store("kept")
        await asyncio.sleep(AGAIN / 2)
        assert alice.got == []
        await asyncio.sleep(AGAIN)
        assert alice.got == [b"kept"]
        await node.router.close()

    virtual_time.run(story())


async def test_a_broadcast_is_hidden_as_well() -> None:
    world = World()
    world.group(GROUP_ID, 1, kind=1)
    node = Node(world, LocalBus())
    node.hiding.hidden[1] = frozenset({3})
    people = [Fake(user) for user in (1, 2, 3)]
    await node.come(*people)
    node.store("to nearly all")
    assert [len(person.got) for person in people] == [1, 1, 0]
    await node.router.close()
