"""Catching up after a crash in the middle of catching up: nothing older comes behind what was given before."""

from __future__ import annotations

import pytest

from tests.features.test_messages_late import message
from tests.support.node import Node
from tests.support.xmpp_peer import Peer
from voxcube.server.delivery.handed import Handed
from voxcube.server.features.messages.late import OFFLINE_MESSAGES

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def received(peer: Peer, count: int) -> list[str]:
    return [(await peer.wait("message", type="chat")).attrs["id"] for _ in range(count)]


@pytest.mark.parametrize("senders", [1, 2])
async def test_a_crash_between_two_bursts(stage: Node, monkeypatch: pytest.MonkeyPatch, senders: int) -> None:
    """More than are kept for later were missed; the client has marked some when the server dies without having
    written how far it was."""
    bob = await stage.person()
    writers = [await stage.person() for _ in range(senders)]
    ids: list[str] = []
    for number, person in enumerate(writers):
        peer = await stage.login(person, sm=True)
        new = [stage.message_id() for _ in range(OFFLINE_MESSAGES - 40 * number)]
        peer.send("".join(message(bob.jid, id_, "missed") for id_ in new))
        await peer.request()
        ids += new
    newest = [stage.message_id() for _ in range(60)]
    peer.send("".join(message(bob.jid, id_, "missed") for id_ in newest))
    await peer.request()
    ids += newest
    monkeypatch.setattr(Handed, "flush", lambda self: None)
    reader = await stage.login(bob)
    first = await received(reader, OFFLINE_MESSAGES)
    assert first == ids[-OFFLINE_MESSAGES:]
    for id_ in first[:70]:
        marker = f'<received xmlns="urn:xmpp:chat-markers:0" id="{id_}"/>'
        reader.send(f'<message type="chat" to="{writers[-1].jid}">{marker}</message>')
    await reader.ping()
    await stage.app.writer.idle()
    await reader.close()
    stage.app.hub.handed._ahead.clear()  # as the memory of a server that was killed
    again = await stage.login(bob)
    await again.ping()
    came = [stanza.attrs["id"] for stanza in again.take_all("message") if stanza.get("type") == "chat"]
    older = set(ids[:-OFFLINE_MESSAGES])
    assert not older.intersection(came), "what was left to the history came behind newer messages"
    assert came == [id_ for id_ in first if id_ in came]
    assert first[-1] in came
