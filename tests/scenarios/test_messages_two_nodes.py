"""Changes of messages made on one node and seen on the other, behind the messages that they are about."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.bus import Weather
from tests.support.cluster import joined
from tests.support.postgres import PostgresServer
from voxcube.client import DialogType
from voxcube.client.receipts import Receipt
from voxcube.xmpp.xml import Element


@pytest.mark.parametrize("weather", [Weather(), Weather(delay=0.08)], ids=["perfect", "slow"])
async def test_what_rest_changes_on_one_node_is_seen_on_the_other(
    postgres_server: PostgresServer, tmp_path: Path, weather: Weather
) -> None:
    url = postgres_server.create_database()
    async with joined(url, tmp_path, "alice", "bob", weather=weather) as cluster:
        alice = await cluster.seat("alice", 0, rest=True)
        bob = await cluster.seat("bob", 1)
        group = await alice.cube.dialogs.create(type=DialogType.GROUP, name="All", occupants_ids=[bob.user_id])
        private = await cluster.private(alice, bob)
        seen: list[tuple[str, str]] = []  # (what, about which message), in the order it came to Bob
        inner = bob._inner

        def note(stanza: Element, receipt: Receipt) -> None:
            for name in ("replace", "remove"):
                if (change := stanza.find(name)) is not None:
                    seen.append((name, change.get("id") or ""))
            if stanza.name == "message" and stanza.find("body") is not None and stanza.find("replace") is None:
                seen.append(("message", stanza.get("id") or ""))
            inner(stanza, receipt)

        bob._inner = note
        quiet: list[str] = []
        loud: list[str] = []
        for place in (group.id, private):
            for number in range(8):
                message = await alice.cube.messages.create(
                    dialog_id=place, body=f"{number}", send_to_chat=number % 2 == 0
                )
                (loud if number % 2 == 0 else quiet).append(message.id)
                if number % 4 == 0:
                    await alice.cube.messages.update(place, message.id, body="edited")
                elif number % 4 == 2:
                    await alice.cube.messages.delete(message.id, force=True)
        expected = {("replace" if index % 2 == 0 else "remove", id_) for index, id_ in enumerate(loud)}
        await bob.until(lambda: expected <= set(seen))
        await asyncio.sleep(0.2)  # for what should not come
        for what, id_ in expected:
            # Its message comes before it, or (deleted before it could be read again) not at all.
            if ("message", id_) in seen:
                assert seen.index(("message", id_)) < seen.index((what, id_))
            else:
                assert what == "remove"
        assert not {("message", id_) for id_ in quiet} & set(seen)
        assert len(seen) == len(set(seen))
