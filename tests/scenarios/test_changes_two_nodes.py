"""Two servers on one PostgreSQL: what one user changes of a message on one node, everybody on the other hears of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.scenarios.support_people import next_of
from tests.support.bus import Weather
from tests.support.cluster import joined
from tests.support.postgres import PostgresServer
from voxcube.client import DeleteEvent, EditEvent, ReactionEvent


@pytest.mark.parametrize("weather", [Weather(), Weather(delay=0.08)], ids=["perfect", "slow"])
async def test_edits_reactions_and_deletes(postgres_server: PostgresServer, tmp_path: Path, weather: Weather) -> None:
    async with joined(postgres_server.create_database(), tmp_path, "alice", "bob", weather=weather) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1, rest=True)
        ours, theirs = alice.cube, bob.cube
        edited, deleted, reactions = theirs.chat.edited(), theirs.chat.deleted(), theirs.chat.reactions()
        group = await ours.dialogs.create_group("Both", [bob.user_id])
        for dialog in (await ours.dialogs.create_private(bob.user_id), group):
            sent = await ours.chat.send(dialog, "Lunhc?")
            await ours.chat.edit(sent, dialog, "Lunch?")
            assert await next_of(edited) == EditEvent(sent.id, dialog.id, alice.user_id, "Lunch?")
            assert [message.body for message in await theirs.messages.list(dialog.id)] == ["Lunch?"]
            await ours.messages.update(dialog.id, sent.id, body="Lunch at noon?")
            assert (await next_of(edited)).body == "Lunch at noon?"
            await ours.messages.react(sent.id, add="👍")
            assert await next_of(reactions) == ReactionEvent(sent.id, dialog.id, alice.user_id, ("👍",))
            await theirs.messages.react(sent.id, add="🚀")
            assert await next_of(reactions) == ReactionEvent(sent.id, dialog.id, bob.user_id, ("🚀",))
            assert await ours.messages.reactions(sent.id) == {"👍": [alice.user_id], "🚀": [bob.user_id]}
            await ours.chat.delete(sent, dialog)
            assert await next_of(deleted) == DeleteEvent(sent.id, dialog.id, alice.user_id)
            other = await ours.chat.send(dialog, "never mind")
            await ours.messages.delete(other.id, force=True)
            assert await next_of(deleted) == DeleteEvent(other.id, dialog.id, alice.user_id)
            assert await theirs.messages.count(dialog.id) == 0
            assert (await theirs.messages.unread(dialog.id)).total == 0


@pytest.mark.parametrize("weather", [Weather(), Weather(delay=0.2)], ids=["perfect", "slow"])
async def test_a_hail_of_edits_ends_with_the_last_one(
    postgres_server: PostgresServer, tmp_path: Path, weather: Weather
) -> None:
    """Whoever applies the events as they come shows what the history has, on either node."""
    async with joined(postgres_server.create_database(), tmp_path, "alice", "bob", weather=weather) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1, rest=True)
        group = await alice.cube.dialogs.create_group("Both", [bob.user_id])
        edited = bob.cube.chat.edited()
        sent = await alice.cube.chat.send(group, "version 0")
        await bob.until(lambda: bob.got(group.id) == [sent.id])
        await alice.cube.chat.edit(sent, group, "version 0, said again")
        await next_of(edited)  # from here on Bob's node knows where the dialog is
        edits = [asyncio.create_task(alice.cube.chat.edit(sent, group, f"version {n}")) for n in range(1, 31)]
        await asyncio.gather(*edits)
        assert [(await next_of(edited)).body for _ in edits] == [f"version {n}" for n in range(1, 31)]
        assert [message.body for message in await bob.cube.messages.list(group.id)] == ["version 30"]


async def test_changes_of_everybody_come_in_the_order_of_the_database(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Edits, then the deletion behind them; reactions that come and go; by both users, private and in a group."""
    url = postgres_server.create_database()
    async with joined(url, tmp_path, "alice", "bob", "carol", weather=Weather(delay=0.2)) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1, rest=True)
        carol = await cluster.seat("carol", 1)
        group = await alice.cube.dialogs.create_group("All", [bob.user_id, carol.user_id])
        private = await alice.cube.dialogs.create_private(bob.user_id)
        for dialog, watcher in ((group, carol), (private, bob)):
            events = {name: getattr(watcher.cube.chat, name)() for name in ("edited", "deleted", "reactions")}
            kept = await alice.cube.chat.send(dialog, "kept")
            gone = await alice.cube.chat.send(dialog, "gone")
            await watcher.until(lambda: len(watcher.got(dialog.id)) == 2)  # noqa: B023
            await alice.cube.messages.update(dialog.id, gone.id, body="soon gone")
            assert (await next_of(events["edited"])).body == "soon gone"
            shown: set[tuple[int, str]] = set()
            for turn in range(4):  # each waits for the one before, the words of it do not
                await alice.cube.messages.react(kept.id, add=f"+{turn}", remove=f"+{turn - 1}" if turn else None)
                await bob.cube.messages.react(kept.id, add=f"-{turn}", remove=f"-{turn - 1}" if turn else None)
                await alice.cube.messages.update(dialog.id, gone.id, body=f"version {turn}")
            await alice.cube.messages.delete(gone.id, force=True)
            assert (await next_of(events["deleted"])).message_id == gone.id
            # All edits have come before the deletion.
            assert [(await next_of(events["edited"])).body for _ in range(4)] == [f"version {n}" for n in range(4)]
            for _ in range(8):
                event = await next_of(events["reactions"])
                shown |= {(event.user_id, reaction) for reaction in event.added}
                shown -= {(event.user_id, reaction) for reaction in event.removed}
            assert shown == {(alice.user_id, "+3"), (bob.user_id, "-3")}
