"""Two servers on one PostgreSQL, and a bus between them that may be late, out of order, or lossy."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bus import Weather
from tests.support.cluster import Cluster, Seat, joined
from tests.support.postgres import PostgresServer
from voxcube.client import ConnectionState, DialogType
from voxcube.server.core.clock import SystemClock
from voxcube.server.storage.presence import sessions_of

PERFECT = Weather()
SLOW = Weather(delay=0.08)  # longer than a gap may stay open
LOSSY = Weather(delay=0.02, drop=0.2)
WEATHERS = pytest.mark.parametrize("weather", [PERFECT, SLOW, LOSSY], ids=["perfect", "slow", "lossy"])


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database()


def fine(weather: Weather) -> Weather:
    """A copy, as a test may change it."""
    return Weather(weather.delay, weather.drop)


async def together(*work: object) -> None:
    await asyncio.gather(*work)  # type: ignore[call-overload]


@WEATHERS
async def test_one_and_all(url: str, tmp_path: Path, weather: Weather) -> None:
    """Private both ways and to two sessions, a group on both nodes, everybody writing at once: all of it, in order."""
    async with joined(url, tmp_path, "alice", "bob", "carol", weather=fine(weather)) as cluster:
        alice = await cluster.seat("alice", 0, rest=True)
        alice_too = await cluster.seat("alice", 1)
        bob = await cluster.seat("bob", 1)
        bob_too = await cluster.seat("bob", 0)
        carol = await cluster.seat("carol", 1)
        private = await cluster.private(alice, bob)
        group = (
            await alice.cube.dialogs.create(
                type=DialogType.GROUP, name="All", occupants_ids=[bob.user_id, carol.user_id]
            )
        ).id

        async def chat(sender: Seat, to: Seat, count: int) -> None:
            for number in range(count):
                await sender.send(f"private {number}", to=to)

        async def shout(sender: Seat, count: int) -> None:
            for number in range(count):
                await sender.send(f"group {number}", dialog_id=group)

        await together(
            chat(alice, bob, 15), chat(alice_too, bob, 15), chat(bob, alice, 15), chat(bob_too, alice, 15),
            shout(alice, 15), shout(bob, 15), shout(carol, 15),
        )  # fmt: skip
        everybody = (alice, alice_too, bob, bob_too, carol)
        assert len(await cluster.complete(private, alice, alice_too, bob, bob_too, group=False)) == 60
        assert len(await cluster.complete(group, *everybody, group=True)) == 45
        cluster.bus.weather.drop = weather.drop
        # A first message in a dialog that no node had heard of, in both directions at once.
        await together(carol.send("new", to=alice), alice_too.send("new", to=carol))
        dialog = await cluster.private(alice, carol)
        await cluster.complete(dialog, alice, alice_too, carol, group=False)
        if weather.drop:
            assert cluster.bus.dropped > 0


@WEATHERS
async def test_bursts_whose_end_is_lost(url: str, tmp_path: Path, weather: Weather) -> None:
    """Many unconfirmed messages at once from both nodes; afterwards silence."""
    async with joined(url, tmp_path, "alice", "bob", weather=fine(weather), seed=7) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        group = (await alice.cube.dialogs.create(type=DialogType.GROUP, name="Both", occupants_ids=[bob.user_id])).id
        private = await cluster.private(alice, bob)
        await together(
            *(alice.send(f"a{n}", dialog_id=group) for n in range(100)),
            *(bob.send(f"b{n}", dialog_id=group) for n in range(100)),
            *(alice.send(f"a{n}", to=bob) for n in range(100)),
            *(bob.send(f"b{n}", to=alice) for n in range(100)),
        )
        assert len(await cluster.complete(group, alice, bob, group=True)) == 200
        assert len(await cluster.complete(private, alice, bob, group=False)) == 200


@WEATHERS
async def test_a_group_is_known_on_the_other_node_when_it_is_made(url: str, tmp_path: Path, weather: Weather) -> None:
    """Groups made over REST on the first node, and written to at once: members on the second miss nothing."""
    async with joined(url, tmp_path, "alice", "bob", weather=fine(weather), seed=3) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        groups = []
        for number in range(4):
            dialog = await alice.cube.dialogs.create(
                type=DialogType.GROUP, name=f"G{number}", occupants_ids=[bob.user_id]
            )
            groups.append(dialog.id)
            await together(*(alice.send(f"{number} {n}", dialog_id=dialog.id) for n in range(3)))
        for group in groups:
            await cluster.complete(group, alice, bob, group=True)
        cluster.bus.weather.drop = weather.drop
        # And bob may answer, whether or not the word of it has reached his node.
        await together(*(bob.send("thanks", dialog_id=group) for group in groups))
        for group in groups:
            await cluster.complete(group, alice, bob, group=True)


async def test_a_member_who_writes_before_the_word_came(url: str, tmp_path: Path) -> None:
    """The node of a new member learns from the member's own message that it has to listen."""
    async with joined(url, tmp_path, "alice", "bob") as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        cluster.bus.cut = True
        group = (await alice.cube.dialogs.create(type=DialogType.GROUP, name="New", occupants_ids=[bob.user_id])).id
        await bob.send("I know already", dialog_id=group)
        await bob.until(lambda: len(bob.got(group)) == 1)
        cluster.bus.cut = False
        await alice.send("and I", dialog_id=group)
        await cluster.complete(group, alice, bob, group=True)


@pytest.mark.parametrize("weather", [PERFECT, LOSSY], ids=["perfect", "lossy"])
async def test_typing_and_markers_and_carbons(url: str, tmp_path: Path, weather: Weather) -> None:
    """What is only relayed crosses as well; it may be lost where words are."""
    async with joined(url, tmp_path, "alice", "bob", weather=fine(weather), seed=5) as cluster:
        alice, alice_too = await cluster.seat("alice", 0, rest=True), await cluster.seat("alice", 1)
        bob = await cluster.seat("bob", 1, rest=True)
        read, typing = alice.cube.chat.read(), bob.cube.chat.typing_events()
        message = await alice.send("seen?", to=bob)
        dialog = await cluster.private(alice, bob)
        await cluster.complete(dialog, alice, alice_too, bob, group=False)
        assert [written.copy for written in alice_too.wire] == [True]
        assert bob.got(dialog) == [message.id]
        cluster.bus.weather.drop = weather.drop
        seen = (await bob.cube.messages.list(dialog, mark_as_read=False)).items[0]
        for _ in range(12 if weather.drop else 1):
            await alice.cube.chat.typing(to_user=bob.user_id)
            await bob.cube.chat.mark_read(seen)
        async with asyncio.timeout(30):
            event = await anext(typing)
            assert (event.user_id, event.is_typing) == (alice.user_id, True)
            assert (await anext(read)).message_id == message.id
        page = await alice.cube.messages.list(dialog, mark_as_read=False)
        assert bob.user_id in page.items[0].read_ids


async def test_offline_messages_at_the_other_node(url: str, tmp_path: Path) -> None:
    """What was written at one node waits for a user who comes to the other, and is handed over once."""
    async with joined(url, tmp_path, "alice", "bob") as cluster:
        alice = await cluster.seat("alice", 0, rest=True)
        bob = await cluster.seat("bob", 0)
        await cluster.leave(bob)
        dialog = await cluster.private(alice, bob)
        sent = [(await alice.send(f"later {n}", to=bob)).id for n in range(5)]
        bob = await cluster.seat("bob", 1)
        await bob.until(lambda: bob.got(dialog) == sent)
        assert all(written.late for written in bob.wire)
        live = await alice.send("now", to=bob)
        await bob.until(lambda: bob.got(dialog) == [*sent, live.id])
        assert not bob.wire[-1].late
        for _ in range(2):  # the acknowledgement is asked for, comes, and is written
            await asyncio.sleep(1.1)
        await cluster.leave(bob)
        bob = await cluster.seat("bob", 0)
        last = await alice.send("again", to=bob)
        await bob.until(lambda: last.id in bob.got(dialog))
        assert bob.got(dialog) == [last.id]


async def test_coming_and_going_while_everybody_writes(url: str, tmp_path: Path) -> None:
    """A session that comes in the midst of it misses nothing from then on, and is given nothing twice."""
    async with joined(url, tmp_path, "alice", "bob", "carol", weather=fine(SLOW)) as cluster:
        alice, carol = await cluster.seat("alice", 0, rest=True), await cluster.seat("carol", 1)
        group = (
            await alice.cube.dialogs.create(
                type=DialogType.GROUP, name="All", occupants_ids=[cluster.user("bob"), carol.user_id]
            )
        ).id
        stop = asyncio.Event()

        async def write(seat: Seat) -> None:
            while not stop.is_set():
                await seat.cube.chat.send(to_user=cluster.user("bob"), body="private")
                await seat.cube.chat.send(dialog_id=group, body="group")

        writing = asyncio.gather(write(alice), write(carol))
        try:
            for node in (1, 0, 1):
                bob = await cluster.seat("bob", node)
                await asyncio.sleep(0.4)
                for dialog in (await cluster.private(alice, bob), group):
                    stored, got = await cluster.stored(dialog), bob.got(dialog)
                    assert got
                    start = stored.index(got[0])
                    assert got == stored[start : start + len(got)]
                await cluster.leave(bob)
        finally:
            stop.set()
            await writing


async def test_both_nodes_catch_up_after_an_interruption(url: str, tmp_path: Path) -> None:
    """Nothing crosses for a while, dialogs are made meanwhile; then everything is found in storage."""
    async with joined(url, tmp_path, "alice", "bob") as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        private = await cluster.private(alice, bob)
        group = (await alice.cube.dialogs.create(type=DialogType.GROUP, name="Old", occupants_ids=[bob.user_id])).id
        await alice.send("before", to=bob)
        cluster.bus.interrupt()
        made = (await alice.cube.dialogs.create(type=DialogType.GROUP, name="Made", occupants_ids=[bob.user_id])).id
        for number in range(3):
            await alice.send(f"a{number}", to=bob)
            await alice.send(f"a{number}", dialog_id=group)
            await alice.send(f"a{number}", dialog_id=made)
        await asyncio.sleep(0.2)
        assert len(bob.wire) == 1
        # His own messages show his node that it has missed others.
        await bob.send("b", dialog_id=group)
        await bob.until(lambda: len(bob.got(group)) == 4)
        for app in cluster.nodes:
            app.router._again._bursts.clear()  # no digest helps
        cluster.bus.restore()
        await cluster.complete(private, alice, bob, group=False)
        await cluster.complete(group, alice, bob, group=True)
        await cluster.complete(made, alice, bob, group=True)


async def test_a_resend_at_the_other_node_reaches_whoever_never_had_it(url: str, tmp_path: Path) -> None:
    """A message is stored, the word of it is lost with its node, and its sender sends it again elsewhere."""
    async with joined(url, tmp_path, "alice", "bob", nodes=3) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        group = (await alice.cube.dialogs.create(type=DialogType.GROUP, name="Both", occupants_ids=[bob.user_id])).id
        private = await cluster.private(alice, bob)
        cluster.bus.cut = True
        one, two = await alice.send("one", to=bob), await alice.send("two", dialog_id=group)
        await cluster.leave(alice)
        cluster.nodes[0].router._again._bursts.clear()  # the node is no more
        cluster.bus.cut = False
        again = await cluster.seat("alice", 2)
        await again.send("one", to=bob, id=one.id)
        await again.send("two", dialog_id=group, id=two.id)
        await bob.until(lambda: bob.got(private) == [one.id] and bob.got(group) == [two.id])
        await asyncio.sleep(0.7)
        assert bob.got(private) == [one.id]
        assert bob.got(group) == [two.id]


async def test_the_table_of_who_is_online_spans_the_nodes(url: str, tmp_path: Path) -> None:
    """Both nodes write their sessions; one that ends takes its own away."""
    async with joined(url, tmp_path, "alice", "bob") as cluster:
        for node in (0, 1):
            await cluster.seat("alice", node)
        bob = await cluster.seat("bob", 1)

        async def online(seats: int, login: str) -> None:
            async with asyncio.timeout(30):
                while seats != await sessions_of(cluster.nodes[0].database, cluster.user(login), SystemClock().now()):
                    await asyncio.sleep(0.05)

        await online(2, "alice")
        await online(1, "bob")
        await cluster.leave(bob)
        await online(0, "bob")
        await cluster.stop(1)
        await online(1, "alice")


async def test_nothing_is_listened_to_when_everybody_has_left(url: str, tmp_path: Path) -> None:
    """Slots, streams and users of a node are those of the sessions it has."""
    async with joined(url, tmp_path, "alice", "bob") as cluster:
        seats = [await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)]
        alice, bob = seats
        group = (await alice.cube.dialogs.create(type=DialogType.GROUP, name="Both", occupants_ids=[bob.user_id])).id
        await bob.send("hello", dialog_id=group)
        await bob.send("hello", to=alice)
        await alice.until(lambda: len(alice.wire) == 2)
        second = await cluster.seat("bob", 1)
        await cluster.leave(second)
        await alice.send("still there?", dialog_id=group)
        await bob.until(lambda: len(bob.got(group)) == 2)
        for seat in seats:
            await cluster.leave(seat)
        await _emptied(cluster)


async def _emptied(cluster: Cluster) -> None:
    for node in cluster.bus.nodes:
        for _ in range(100):
            if not node.slots:
                break
            await asyncio.sleep(0.02)
        assert node.slots == set()
    for app in cluster.nodes:
        router = app.router
        assert not router._gate._last
        assert not router._gate._gaps
        listening = router._listening
        assert not listening._users
        assert not listening._groups
        assert not listening._apps
        assert not router.sessions.by_app


async def test_a_session_is_resumed_on_its_own_node_only(url: str, tmp_path: Path) -> None:
    """Another node refuses; the client begins anew there and catches up."""
    async with joined(url, tmp_path, "alice", "bob") as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 0, rest=True)
        group = await bob.cube.dialogs.create_group("All", [alice.user_id])
        states, messages = alice.cube.chat.states(), alice.cube.chat.messages()
        life: Any = alice.cube.chat._life
        life._endpoint = replace(life._endpoint, port=cluster.nodes[1].doors["xmpp"][1])
        life._connection._wire.abort()
        await bob.send("group", dialog_id=group.id)
        await bob.send("private", to=alice)
        await alice.cube.chat.reconnect()
        async with asyncio.timeout(30):
            assert {(await anext(messages)).body, (await anext(messages)).body} == {"group", "private"}
            await bob.send("live", to=alice)
            assert (await anext(messages)).body == "live"
        seen = [(await anext(states)).new for _ in range(5)]
        assert ConnectionState.RESUMED not in seen
        assert seen[-1] is ConnectionState.READY
        assert len(cluster.nodes[0].hub.resumption) == 1  # it ends in time
        assert cluster.nodes[1].hub.sessions.of(alice.user_id)
