"""Rooms and members on two servers with one PostgreSQL: joins, kicks and who is online cross, also over a lossy bus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bus import Weather
from tests.support.cluster import Seat, joined
from tests.support.postgres import PostgresServer
from voxcube.client import DialogType, EventStream, StanzaError

PERFECT, SLOW, LOSSY = Weather(), Weather(delay=0.08), Weather(delay=0.02, drop=0.2)
BAD_WEATHERS = pytest.mark.parametrize("weather", [SLOW, LOSSY], ids=["slow", "lossy"])
SECONDS = 30


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database()


async def next_of(stream: EventStream[Any]) -> Any:
    return await asyncio.wait_for(anext(stream), SECONDS)


async def eventually(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not met():
            await asyncio.sleep(0.01)


class Inside:
    """Whom a seat was shown in a room."""

    def __init__(self, seat: Seat) -> None:
        self.users: set[int] = set()
        self.told: list[int] = []
        seat.cube.chat.rooms.on_joined(self._joined)
        seat.cube.chat.rooms.on_left(lambda event: self.users.discard(event.user_id))

    def _joined(self, event: Any) -> None:
        self.users.add(event.user_id)
        self.told.append(event.user_id)


async def group(of: Seat, *others: Seat) -> str:
    ids = [other.user_id for other in others]
    dialog = await of.cube.dialogs.create(type=DialogType.GROUP, name="All", occupants_ids=ids)
    return dialog.id


@pytest.mark.parametrize("weather", [PERFECT, LOSSY], ids=["perfect", "lossy"])
async def test_joining_and_leaving_cross(
    url: str, tmp_path: Path, weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    weather = Weather(weather.delay, weather.drop)
    async with joined(url, tmp_path, "alice", "bob", "carol", weather=weather) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        carol, carol_too = await cluster.seat("carol", 0), await cluster.seat("carol", 1)
        dialog = await group(alice, bob, carol)
        views = {seat: Inside(seat) for seat in (alice, bob, carol)}
        for seat in (alice, bob, carol, carol_too):
            await seat.cube.chat.rooms.join(dialog)
        everybody = {alice.user_id, bob.user_id, carol.user_id}
        for seat, view in views.items():
            await eventually(lambda view=view, seat=seat: view.users == everybody - {seat.user_id})  # type: ignore[misc]
            assert len(view.told) == 2  # each once, though carol has joined twice
        await carol.cube.chat.rooms.leave(dialog)  # her other session stays
        await bob.cube.chat.rooms.leave(dialog)
        await eventually(lambda: views[alice].users == {carol.user_id})
        await cluster.leave(carol_too)  # without a word
        await eventually(lambda: views[alice].users == set())
        await bob.cube.chat.rooms.join(dialog)
        await eventually(lambda: views[alice].users == {bob.user_id})
        monkeypatch.setattr("voxcube.server.features.rooms.joined.SILENCE", 2.0)  # its last word may be lost
        await cluster.stop(1)
        await eventually(lambda: views[alice].users == set())


async def test_a_blocked_occupant_at_another_node(url: str, tmp_path: Path) -> None:
    """The blocker's list is known to the node that shows its presence, before and while both are in the room."""
    async with joined(url, tmp_path, "alice", "bob", "carol", weather=Weather(0.02)) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1, rest=True)
        carol = await cluster.seat("carol", 1)
        dialog = await group(alice, bob, carol)
        views = {seat: Inside(seat) for seat in (bob, carol)}
        for seat in (alice, bob, carol):
            await seat.cube.chat.rooms.join(dialog)
        await eventually(lambda: alice.user_id in views[bob].users and alice.user_id in views[carol].users)
        await alice.cube.chat.privacy.block(bob.user_id)
        await eventually(lambda: alice.user_id not in views[bob].users)
        await alice.cube.chat.rooms.leave(dialog)
        await eventually(lambda: alice.user_id not in views[carol].users)
        await alice.cube.chat.rooms.join(dialog)
        await eventually(lambda: alice.user_id in views[carol].users)
        await bob.cube.chat.ping()
        assert alice.user_id not in views[bob].users
        assert await bob.cube.chat.rooms.online(dialog) == [bob.user_id, carol.user_id]
        assert (await bob.cube.users.get(alice.user_id)).last_request_at is None
        made = await bob.cube.dialogs.create(
            type=DialogType.GROUP, name="Pulled", occupants_ids=[alice.user_id, carol.user_id]
        )
        assert set(made.occupants_ids) == {bob.user_id, carol.user_id}
        await alice.cube.chat.privacy.unblock(bob.user_id)
        await eventually(lambda: alice.user_id in views[bob].users)
        assert views[carol].told.count(alice.user_id) == 2


@BAD_WEATHERS
async def test_who_is_removed_is_out_at_once_on_all_nodes(url: str, tmp_path: Path, weather: Weather) -> None:
    weather = Weather(weather.delay, weather.drop)
    async with joined(url, tmp_path, "alice", "bob", "carol", weather=weather) as cluster:
        alice, carol = await cluster.seat("alice", 0, rest=True), await cluster.seat("carol", 1)
        bob, bob_too = await cluster.seat("bob", 0), await cluster.seat("bob", 1)
        dialog = await group(alice, bob, carol)
        await alice.send("to everybody", dialog_id=dialog)
        await cluster.complete(dialog, alice, bob, bob_too, carol, group=True)
        cluster.bus.weather.drop = weather.drop
        for seat in (alice, bob, bob_too, carol):
            await seat.cube.chat.rooms.join(dialog)
        kicks = [seat.cube.chat.rooms.kicked() for seat in (bob, bob_too)]
        left = carol.cube.chat.rooms.left()
        await alice.cube.dialogs.update(dialog, remove_occupants=[bob.user_id])
        # Sent by carol's node, which perhaps has not heard of it: what is stored now is not for bob.
        messages = [await seat.send(f"{n} without bob", dialog_id=dialog) for n in range(5) for seat in (carol, alice)]
        for kick in kicks:
            event = await next_of(kick)
            assert event.dialog_id == dialog
            # Where the word was lost he is found to be out, and nobody knows by whom.
            assert event.actor_id == alice.user_id or (weather.drop and event.actor_id is None)
        assert (await next_of(left)).user_id == bob.user_id
        await cluster.complete(dialog, alice, carol, group=True)
        for seat in (bob, bob_too):
            assert not {message.id for message in messages} & set(seat.got(dialog))
            for ask in (seat.cube.chat.rooms.join, seat.cube.chat.rooms.online):
                with pytest.raises(StanzaError) as refused:
                    await ask(dialog)
                assert refused.value.code == 403


@BAD_WEATHERS
async def test_who_is_added_has_the_next_message(url: str, tmp_path: Path, weather: Weather) -> None:
    weather = Weather(weather.delay, weather.drop)
    async with joined(url, tmp_path, "alice", "bob", "carol", weather=weather) as cluster:
        alice, carol = await cluster.seat("alice", 0, rest=True), await cluster.seat("carol", 1)
        bob = await cluster.seat("bob", 1)
        dialog = await group(alice, carol)
        await carol.send("without bob", dialog_id=dialog)
        await cluster.complete(dialog, alice, carol, group=True)
        cluster.bus.weather.drop = weather.drop
        await alice.cube.dialogs.update(dialog, add_occupants=[bob.user_id])
        due = [(await seat.send(f"{n} with bob", dialog_id=dialog)).id for n in range(5) for seat in (carol, alice)]
        await cluster.complete(dialog, alice, carol, group=True)
        await bob.until(lambda: set(due) <= set(bob.got(dialog)))
        assert bob.got(dialog) == [id_ for id_ in await cluster.stored(dialog) if id_ in due]
        # And he is let into the room, whether or not his node has heard of it.
        await bob.cube.chat.rooms.join(dialog)


async def test_who_is_online_on_any_node(url: str, tmp_path: Path) -> None:
    async with joined(url, tmp_path, "alice", "bob", "carol") as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        carol = await cluster.seat("carol", 1)
        dialog = await group(alice, bob)

        async def until(*expected: int) -> None:
            async with asyncio.timeout(SECONDS):
                while await alice.cube.chat.rooms.online(dialog) != sorted(expected):
                    await asyncio.sleep(0.05)

        await until(alice.user_id, bob.user_id)
        await alice.cube.dialogs.update(dialog, add_occupants=[carol.user_id])
        await until(alice.user_id, bob.user_id, carol.user_id)
        await cluster.leave(bob)
        await until(alice.user_id, carol.user_id)
