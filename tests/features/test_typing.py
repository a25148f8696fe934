"""Typing through the XMPP door: relayed with stamped addresses, nothing added, never stored (realtime §9.2)."""

import pytest

from tests.support.node import Node
from voxcube.xmpp.xml import to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPOSING = '<composing xmlns="http://jabber.org/protocol/chatstates"/>'
PAUSED = '<paused xmlns="http://jabber.org/protocol/chatstates"/>'


async def test_typing_to_a_person(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    one, other, same = await stage.login(ann), await stage.login(bob), await stage.login(ann, carbons=True)
    one.send(f'<message type="chat" to="{bob.jid}">{COMPOSING}</message>')
    one.send(f'<message type="chat" to="{bob.jid}" id="ABCDEFGHI">{PAUSED}</message>')
    for state, id_ in ((COMPOSING, ""), (PAUSED, ' id="ABCDEFGHI"')):
        assert to_xml(await other.wait("message")) == (
            f'<message xmlns="jabber:client" from="{one.jid}" to="{other.jid}" type="chat"{id_}>{state}</message>'
        )
    await same.ping()
    assert same.take_all("message") == []  # no carbon of it


async def test_typing_in_a_group_goes_to_the_others(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group = await stage.dialog(ann, bob)
    one, same = await stage.login(ann), await stage.login(ann)
    others, outsider = [await stage.login(bob), await stage.login(bob, door="ws")], await stage.login(cyd)
    one.send(f'<message type="groupchat" to="{ann.room(group)}">{COMPOSING}</message>')
    for other in others:
        assert to_xml(await other.wait("message")) == (
            f'<message xmlns="jabber:client" from="{ann.room(group)}/{ann.id}" to="{other.jid}" type="groupchat">'
            f"{COMPOSING}</message>"
        )
    outsider.send(f'<message type="groupchat" to="{ann.room(group)}">{COMPOSING}</message>')
    for peer in (one, same, outsider, *others):
        await peer.ping()
        assert peer.take_all("message") == []
    assert await stage.history(bob, group) == []


async def test_typing_for_somebody_away_is_lost(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one = await stage.login(ann)
    one.send(f'<message type="chat" to="{bob.jid}">{COMPOSING}</message>')
    one.send(f'<message type="chat" to="{ann.jid}">{COMPOSING}</message>')
    await one.ping()
    other = await stage.login(bob)
    await other.ping()
    assert one.take_all("message") == other.take_all("message") == []


async def test_a_state_beside_content_is_content(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    active = '<active xmlns="http://jabber.org/protocol/chatstates"/>'
    save = '<extraParams><save_to_history>1</save_to_history><attachment type="image"/></extraParams>'
    for content in (f"<body>x</body>{save}", save):
        message_id = stage.message_id()
        one.send(f'<message type="groupchat" id="{message_id}" to="{ann.room(group)}">{active}{content}</message>')
        await one.wait("message", id=message_id)
        await other.wait("message", id=message_id)
    assert len(await stage.history(bob, group)) == 2
