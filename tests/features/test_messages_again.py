"""A message that is sent again: every session has it once, whatever its connection is like.

Only the sending session is answered each time: in a group the echo is the acknowledgement (realtime §6).
"""

from __future__ import annotations

import asyncio

import pytest

from tests.features.test_messages_late import message
from tests.support.node import Node
from tests.support.xmpp_peer import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def ids_of(peer: Peer) -> list[str | None]:
    return [stanza.get("id") for stanza in peer.take_all("message") if stanza.find("body") is not None]


async def settle(*peers: Peer) -> None:
    """Two round trips: what a resend would have started is done."""
    for _ in range(3):
        for peer in peers:
            await peer.ping()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("sm", [False, True], ids=["plain", "acknowledging"])
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("kind", ["pair", "group"])
async def test_three_times_the_same_id(stage: Node, kind: str, devices: int, sm: bool) -> None:
    ann, bob = await stage.person(), await stage.person()
    to = bob.jid if kind == "pair" else ann.room(await stage.dialog(ann, bob))
    one = await stage.login(ann)
    readers = [await stage.login(bob, sm=sm, carbons=True) for _ in range(devices)]
    message_id, last = stage.message_id(), stage.message_id()
    for _ in range(3):
        one.send(message(to, message_id, "once"))
        await one.ping()
    one.send(message(to, message_id, "once") * 3 + message(to, last, "last"))
    await one.ping()
    for reader in readers:
        await reader.wait("message", id=last)
    await settle(one, *readers)
    for reader in readers:
        assert ids_of(reader) == [message_id]
    assert ids_of(one) == ([] if kind == "pair" else [message_id] * 6 + [last])


async def test_the_copies_of_the_senders_other_device(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    one, other = await stage.login(ann, sm=True), await stage.login(ann, carbons=True)
    message_id = stage.message_id()
    for _ in range(3):
        one.send(message(bob.jid, message_id, "once"))
        await one.ping()
    await settle(one, other)
    assert len(other.take_all("message")) == 1


@pytest.mark.parametrize("sm", [False, True], ids=["plain", "acknowledging"])
@pytest.mark.parametrize("kind", ["pair", "group"])
async def test_on_a_link_that_is_frozen(stage: Node, kind: str, sm: bool) -> None:
    ann, bob = await stage.person(), await stage.person()
    to = bob.jid if kind == "pair" else ann.room(await stage.dialog(ann, bob))
    one, reader = await stage.login(ann), await stage.login(bob, sm=sm, narrow=True)
    reader.paused.clear()
    filling = [stage.message_id() for _ in range(40)]
    for id_ in filling:
        one.send(message(to, id_, "x" * 50_000))
    message_id = stage.message_id()
    for _ in range(3):
        one.send(message(to, message_id, "once"))
        await one.ping()
    reader.paused.set()
    reader.seconds = 20
    await reader.wait("message", id=message_id)
    await settle(reader)
    assert ids_of(reader) == filling


@pytest.mark.parametrize("kind", ["pair", "group"])
async def test_after_a_resumption(stage: Node, kind: str) -> None:
    """The stanzas that were not acknowledged come again, as XEP-0198 §5 has it, and no further copy of them."""
    ann, bob = await stage.person(), await stage.person()
    to = bob.jid if kind == "pair" else ann.room(await stage.dialog(ann, bob))
    one, reader = await stage.login(ann), await stage.login(bob, presence=False)
    reader.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
    previd = (await reader.wait("enabled")).attrs["id"]
    await reader.available()
    message_id, last = stage.message_id(), stage.message_id()
    one.send(message(to, message_id, "once"))
    await reader.wait("message", id=message_id)
    reader.writer.transport.abort()
    one.send(message(to, message_id, "once") * 2)
    await one.ping()
    again = await stage.connect()
    await again.open()
    again.auth(bob.name, "correct horse")
    await again.wait("success")
    again.restart()
    await again.open()
    again.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{previd}" h="1"/>')
    await again.wait("resumed")
    one.send(message(to, message_id, "once") * 2 + message(to, last, "last"))
    await again.wait("message", id=last)
    await settle(one, again)
    assert ids_of(again) == [message_id]


@pytest.mark.parametrize("sm", [False, True], ids=["plain", "acknowledging"])
async def test_a_session_that_becomes_available_again(stage: Node, sm: bool) -> None:
    """What it was given before, and has not acknowledged, is not read from storage for it again."""
    ann, bob = await stage.person(), await stage.person()
    one, reader = await stage.login(ann), await stage.login(bob, sm=sm)
    ids = [stage.message_id() for _ in range(4)]
    one.send(message(bob.jid, ids[0], "a") + message(bob.jid, ids[1], "b"))
    await reader.wait("message", id=ids[1])
    reader.send('<presence type="unavailable"/>')
    await reader.ping()
    one.send(message(bob.jid, ids[2], "c"))
    await one.ping()
    reader.send("<presence/>")
    await reader.wait("message", id=ids[2])
    one.send(message(bob.jid, ids[3], "d"))
    await reader.wait("message", id=ids[3])
    await settle(reader)
    assert ids_of(reader) == ids[:1]
