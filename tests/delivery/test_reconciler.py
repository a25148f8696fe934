"""Uncertain commits on a node that is alone: what turns out to be stored takes its place in the dialog's order."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.delivery.support import GROUP_ID, PRIVATE_ID, Fake, Node, World
from tests.support import virtual_time
from voxcube.server.cluster.local import LocalBus
from voxcube.server.delivery.router import CHAT, GROUP, Parcel


def lose(node: Node, text: str, to: int = 0, dialog_id: str = GROUP_ID, *, stored: bool = True) -> int:
    """A message that is refused because the answer to its commit was lost; returns its number."""
    parcels = node.world.stored.setdefault((dialog_id, to), {0: Parcel(CHAT, 1, 0, "", 0, b"", b"")})
    seq = max(parcels) + 1
    if stored:
        parcels[seq] = Parcel(CHAT if to else GROUP, 1, to or 1, dialog_id, seq, text.encode(), b"")
    node.router.uncertain(dialog_id, seq, *((to,) if to else ()))
    return seq


async def settled(node: Node) -> None:
    """Until nothing is uncertain any more; then the node orders nothing."""
    async with asyncio.timeout(60):
        while node.router._ordered or node.router._reconciler._uncertain:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("to", [0, 2], ids=["group", "pair"])
@pytest.mark.parametrize("fail", [0, 1, 5])  # reads that fail while the database is still away
def test_what_is_stored_goes_out_before_what_follows(to: int, fail: int) -> None:
    async def story() -> None:
        world = World(fail=fail, seconds=0.002)
        world.group(GROUP_ID, 1, 2)
        node, bob, dialog_id = Node(world, LocalBus()), Fake(2), PRIVATE_ID if to else GROUP_ID
        await node.come(bob)
        node.store("0", to, dialog_id)
        lose(node, "1", to, dialog_id)
        lose(node, "2", to, dialog_id)
        node.store("3", to, dialog_id)
        assert bob.got == [b"0"]
        node.router.remind(dialog_id, to, 2)  # they are sent again
        node.router.remind(dialog_id, to, 3)
        await settled(node)
        node.store("4", to, dialog_id)
        assert bob.got == [b"0", b"1", b"2", b"3", b"4"]
        await node.router.close()

    virtual_time.run(story())


def test_what_was_not_stored_gives_its_number_away() -> None:
    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        node, bob = Node(world, LocalBus()), Fake(2)
        await node.come(bob)
        for early in (False, True):
            seq = lose(node, "never", stored=False)
            if not early:
                await settled(node)
            assert node.store("next").seq == seq
            node.store("last")
            assert bob.got == [b"next", b"last"]
            await settled(node)
            bob.got.clear()
        await node.router.close()

    virtual_time.run(story())


def test_what_is_not_stored_itself_does_not_overtake() -> None:
    """A relayed message names what it comes behind; typing does not wait."""

    async def story() -> None:
        world = World()
        world.group(GROUP_ID, 1, 2)
        node, bob = Node(world, LocalBus()), Fake(2)
        await node.come(bob)
        lose(node, "1")
        node.store("2")
        node.router.send(Parcel(GROUP, 1, 1, GROUP_ID, 0, b"typing", b""))
        after = node.router.newest(GROUP_ID, 0)
        node.router.send(Parcel(GROUP, 1, 1, GROUP_ID, 0, b"relayed", b"", after=after))
        assert bob.got == [b"typing"]
        await settled(node)
        assert bob.got == [b"typing", b"1", b"2", b"relayed"]
        assert node.router.newest(GROUP_ID, 0) == 0
        await node.router.close()

    virtual_time.run(story())


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_outages_and_messages(seed: int) -> None:
    dice = random.Random(seed)

    async def story() -> None:
        world = World(seconds=0.01)
        world.group(GROUP_ID, 1, 2)
        node, bob = Node(world, LocalBus()), Fake(2)
        await node.come(bob)
        stored: dict[str, list[bytes]] = {GROUP_ID: [], PRIVATE_ID: []}
        for number in range(60):
            dialog_id, to = dice.choice([(GROUP_ID, 0), (PRIVATE_ID, 2)])
            text = f"{dialog_id[-1]}{number}"
            if dice.random() < 0.3:
                world.fail = dice.randint(0, 2)
                kept = dice.random() < 0.5
                lose(node, text, to, dialog_id, stored=kept)
            else:
                kept = True
                node.store(text, to, dialog_id)
            if kept:
                stored[dialog_id].append(text.encode())
            if dice.random() < 0.2 and stored[dialog_id]:
                node.router.remind(dialog_id, to, dice.randint(1, len(stored[dialog_id])))
            await asyncio.sleep(dice.choice([0, 0, 0.005, 0.1]))
        await settled(node)
        for texts in stored.values():
            assert [text for text in bob.got if text in texts] == texts
        assert len(bob.got) == sum(map(len, stored.values()))
        await node.router.close()

    virtual_time.run(story())
