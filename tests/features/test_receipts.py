"""Delivered and read markers through the XMPP door: persisted, relayed to the sender, idempotent (realtime §9.3)."""

from typing import Any

import pytest

from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.xmpp.xml import to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAVE = "<extraParams><save_to_history>1</save_to_history></extraParams>"


def mark(to: str, kind: str, message_id: str, dialog_id: str = "") -> str:
    type_ = "groupchat" if "@muc." in to else "chat"
    extra = f'<extraParams xmlns="jabber:client"><dialog_id>{dialog_id}</dialog_id></extraParams>' if dialog_id else ""
    return (
        f'<message xmlns="jabber:client" type="{type_}" to="{to}" id="ABCDEFGHI">'
        f'<{kind} xmlns="urn:xmpp:chat-markers:0" id="{message_id}"/>{extra}</message>'
    )


async def sent(peer: Peer, node: Node, to: str) -> str:
    message_id = node.message_id()
    kind = "groupchat" if "@muc." in to else "chat"
    peer.send(f'<message type="{kind}" id="{message_id}" to="{to}"><body>x</body>{SAVE}</message>')
    await peer.request()
    return message_id


async def receipts(node: Node, person: Person, dialog_id: str, message_id: str) -> tuple[Any, Any]:
    [found] = [item for item in await node.history(person, dialog_id) if item["_id"] == message_id]
    return found["delivered_ids"], found["read_ids"]


async def test_delivered_then_read_in_a_private_dialog(stage: Node) -> None:
    ann, bob = await stage.person(), stage.people["bob"]
    dialog_id = await stage.dialog(ann, bob, kind=3)
    one, other = await stage.login(ann, sm=True), await stage.login(bob, sm=True)
    message_id = await sent(one, stage, bob.jid)
    await other.wait("message", id=message_id)
    assert await receipts(stage, ann, dialog_id, message_id) == ([ann.id], [ann.id])
    for kind, expected in (
        ("received", ([ann.id, bob.id], [ann.id])),
        ("displayed", ([ann.id, bob.id], [ann.id, bob.id])),
        ("displayed", ([ann.id, bob.id], [ann.id, bob.id])),
        ("received", ([ann.id, bob.id], [ann.id, bob.id])),
    ):
        other.send(mark(ann.jid, kind, message_id, dialog_id))
        found = await one.wait("message")
        assert to_xml(found) == mark(ann.jid, kind, message_id, dialog_id).replace(
            f'type="chat" to="{ann.jid}"', f'from="{other.jid}" to="{one.jid}" type="chat"'
        )
        await other.request()
        delivered, read = await receipts(stage, ann, dialog_id, message_id)
        assert (sorted(delivered), sorted(read)) == tuple(sorted(ids) for ids in expected)


async def test_in_a_group_the_marker_goes_from_the_person_to_the_sender(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group = await stage.dialog(ann, bob, cyd)
    one, other, third = await stage.login(ann, sm=True), await stage.login(bob, sm=True), await stage.login(cyd)
    message_id = await sent(one, stage, ann.room(group))
    for peer in (one, other, third):
        await peer.wait("message", id=message_id)
    # Straight to the sender, as the SDKs do; and to the room, which is turned into the same.
    for to in (ann.jid, ann.room(group)):
        other.send(mark(to, "displayed", message_id, group))
        found = await one.wait("message", type="chat", from_=other.jid, to=one.jid)
        assert found.find("displayed", "urn:xmpp:chat-markers:0") is not None
    await other.request()
    assert sorted((await receipts(stage, cyd, group, message_id))[1]) == sorted([ann.id, bob.id])
    await third.ping()
    assert third.take_all("message") == []


async def test_a_marker_is_relayed_after_its_commit(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann, sm=True), await stage.login(bob)
    message_id = await sent(one, stage, ann.room(group))
    other.send(mark(ann.jid, "displayed", message_id, group))
    await one.wait("message", type="chat")
    assert bob.id in (await receipts(stage, ann, group, message_id))[1]


async def test_markers_of_what_was_never_stored_are_only_relayed(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    one, other = await stage.login(ann), await stage.login(bob)
    for id_ in (stage.message_id(), "QWERTYUIO"):
        other.send(mark(ann.jid, "received", id_))
        found = await one.wait("message", from_=other.jid)
        assert found.find("received") is not None


async def test_a_stranger_s_marker_changes_nothing(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group, elsewhere = await stage.dialog(ann, bob), await stage.dialog(bob, cyd)
    one, stranger = await stage.login(ann, sm=True), await stage.login(cyd, sm=True)
    message_id = await sent(one, stage, ann.room(group))
    await one.wait("message", id=message_id)
    for to in (ann.room(group), ann.room(elsewhere)):
        stranger.send(mark(to, "displayed", message_id, group))
    await stranger.request()
    assert await receipts(stage, ann, group, message_id) == ([ann.id], [ann.id])
    await one.ping()
    assert one.take_all("message") == []  # nobody learns of a message he cannot see


async def test_the_other_sessions_of_the_reader_get_a_carbon(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    one, other, desk = await stage.login(ann), await stage.login(bob), await stage.login(bob, carbons=True)
    id_ = stage.message_id()
    other.send(mark(ann.jid, "displayed", id_))
    await one.wait("message")
    carbon = await desk.wait("message")
    assert carbon.find("sent", "urn:xmpp:carbons:2") is not None
    assert f'<displayed xmlns="urn:xmpp:chat-markers:0" id="{id_}"/>' in to_xml(carbon)
