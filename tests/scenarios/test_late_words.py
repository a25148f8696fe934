"""Two nodes, and the word of a change that is late or lost: nobody is kept out by it, and nobody kept in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.support_people import next_of
from tests.support.bus import Weather
from tests.support.cluster import Cluster, Seat, joined
from tests.support.postgres import PostgresServer
from voxcube.client import Dialog, EventStream, StanzaError
from voxcube.client.errors import Forbidden


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database()


async def group_on_both(cluster: Cluster, *others: str) -> tuple[Seat, Seat, Dialog]:
    """Alice on the first node and Carol on the second, in a group that both nodes know the members of."""
    alice, carol = await cluster.seat("alice", 0, rest=True), await cluster.seat("carol", 1)
    group = await alice.cube.dialogs.create_group("All", [carol.user_id, *map(cluster.user, others)])
    await carol.send("hello", dialog_id=group.id)
    await alice.until(lambda: len(alice.got(group.id)) == 1)
    return alice, carol, group


async def test_who_was_added_a_moment_ago_is_not_refused(url: str, tmp_path: Path) -> None:
    """By whatever a new member does first, at a node that has not heard of it."""
    people = ("bob", "dave", "erin", "fred")
    async with joined(url, tmp_path, "alice", "carol", *people) as cluster:
        alice, carol, group = await group_on_both(cluster)
        bob, dave, erin, fred = [await cluster.seat(login, 1, rest=True) for login in people]

        async def add(seat: Seat) -> None:
            await carol.send("what my node knows of the members is old", dialog_id=group.id)
            await alice.cube.dialogs.update(group.id, add_occupants=[seat.user_id])

        cluster.bus.cut = True
        await add(bob)
        await bob.send("stored", dialog_id=group.id)
        await add(dave)
        await dave.send("relayed", dialog_id=group.id, save_to_history=False)
        await add(erin)
        await erin.cube.chat.rooms.join(group.id)
        await add(fred)
        await fred.cube.messages.create(dialog_id=group.id, body="by REST")
        assert len(await cluster.stored(group.id)) == 7


async def test_a_stranger_does_not_make_the_node_read_again_and_again(url: str, tmp_path: Path) -> None:
    async with joined(url, tmp_path, "alice", "carol", "bob") as cluster:
        _, carol, group = await group_on_both(cluster)
        bob = await cluster.seat("bob", 1)
        forgotten: list[tuple[object, ...]] = []
        cache = cluster.nodes[1].router._members.__self__  # type: ignore[attr-defined]
        drop = cache.drop

        def dropped(keys: tuple[tuple[object, ...], ...]) -> None:
            forgotten.extend(keys)
            drop(keys)

        cache.drop = dropped
        for _ in range(20):
            with pytest.raises(StanzaError):
                await bob.send("let me in", dialog_id=group.id)
        assert 1 <= forgotten.count(("dialog", group.id)) < 10  # once a second
        await carol.send("nobody else notices", dialog_id=group.id)


async def test_who_was_removed_a_moment_ago_gets_nothing_more(url: str, tmp_path: Path) -> None:
    """Not even what is not stored, though the word of the removal was lost."""
    async with joined(url, tmp_path, "alice", "carol", "bob") as cluster:
        alice, carol, group = await group_on_both(cluster, "bob")
        bob = await cluster.seat("bob", 1)
        heard: list[object] = []
        for subscribe in ("on_edited", "on_deleted", "on_typing", "on_reaction"):
            getattr(bob.cube.chat, subscribe)(heard.append)
        events: dict[str, EventStream[Any]] = {
            "typing": carol.cube.chat.typing_events(),
            "edited": carol.cube.chat.edited(),
            "reactions": carol.cube.chat.reactions(),
            "deleted": carol.cube.chat.deleted(),
        }
        sent = await alice.send("to all", dialog_id=group.id)
        await bob.until(lambda: sent.id in bob.got(group.id))

        async def say(what: str) -> None:
            if what == "typing":
                await alice.cube.chat.typing(group)
            elif what == "edited":
                await alice.cube.chat.edit(sent, group, "not to Bob")
            elif what == "reactions":
                await alice.cube.messages.react(sent.id, add="🤫")
            else:
                await alice.cube.chat.delete(sent, group)

        for what, stream in events.items():
            await alice.cube.dialogs.update(group.id, add_occupants=[bob.user_id])
            await carol.send("the second node knows that he is in", dialog_id=group.id)
            cluster.bus.cut = True
            await alice.cube.dialogs.update(group.id, remove_occupants=[bob.user_id])
            cluster.bus.cut = False
            await say(what)
            await next_of(stream)
        await bob.cube.chat.ping()
        assert heard == []


async def test_what_is_relayed_comes_behind_what_was_stored(url: str, tmp_path: Path) -> None:
    """On the other node as well, where the stored message may be waiting for others before it."""
    async with joined(url, tmp_path, "alice", "bob", weather=Weather(delay=0.1)) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        group = await alice.cube.dialogs.create_group("Both", [bob.user_id])
        private = await alice.cube.dialogs.create_private(bob.user_id)
        for dialog, to in ((group, None), (private, bob)):
            place: dict[str, Any] = {"to": to} if to else {"dialog_id": dialog.id}
            first = await alice.send("hello", **place)
            await bob.until(lambda first=first, dialog=dialog: bob.got(dialog.id) == [first.id])  # type: ignore[misc]
            sends = [
                asyncio.create_task(alice.send(str(number), **place, save_to_history=number % 3 != 2))
                for number in range(30)
            ]
            sent = [message.id for message in await asyncio.gather(*sends)]
            await bob.until(lambda dialog=dialog: len(bob.got(dialog.id)) == 31)  # type: ignore[misc]
            got = bob.got(dialog.id)[1:]
            for number in range(2, 30, 3):
                assert set(sent[:number]) & set(await cluster.stored(dialog.id)) <= set(got[: got.index(sent[number])])


async def test_rest_refuses_a_stranger_all_the_same(url: str, tmp_path: Path) -> None:
    async with joined(url, tmp_path, "alice", "carol", "bob") as cluster:
        _, _, group = await group_on_both(cluster)
        bob = await cluster.seat("bob", 1, rest=True)
        for _ in range(3):
            with pytest.raises(Forbidden):
                await bob.cube.messages.create(dialog_id=group.id, body="let me in")
