"""Carbons: what one session sends, the others that asked for it see; never what is received (realtime §8)."""

import pytest

from tests.support.node import Node
from voxcube.xmpp.xml import to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAVE = "<extraParams><save_to_history>1</save_to_history><date_sent>1767225600</date_sent></extraParams>"


@pytest.mark.parametrize("stored", [True, False])
async def test_sent_ones_only(stage: Node, stored: bool) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    dialog_id = await stage.dialog(ann, bob, kind=3)
    sender, other = await stage.login(ann, carbons=True), await stage.login(bob, carbons=True)
    desk, plain = await stage.login(ann, carbons=True, door="ws"), await stage.login(ann)
    message_id = stage.message_id()
    extra = SAVE if stored else SAVE.replace("<save_to_history>1</save_to_history>", "")
    sender.send(f'<message type="chat" id="{message_id}" to="{bob.jid}"><body>Lunch?</body>{extra}</message>')
    shown = extra.replace("<extraParams>", '<extraParams xmlns="jabber:client">').replace(
        "</extraParams>", f"<dialog_id>{dialog_id}</dialog_id></extraParams>"
    )
    carbon = await desk.wait("message")
    assert to_xml(carbon) == (
        f'<message xmlns="jabber:client" from="{ann.jid}" to="{desk.jid}" type="chat">'
        '<sent xmlns="urn:xmpp:carbons:2"><forwarded xmlns="urn:xmpp:forward:0">'
        f'<message xmlns="jabber:client" from="{sender.jid}" to="{bob.jid}" type="chat" id="{message_id}">'
        f"<body>Lunch?</body>{shown}</message></forwarded></sent></message>"
    )
    await other.wait("message", id=message_id)
    for peer in (sender, desk, plain, other):
        await peer.ping()
        assert peer.take_all("message") == []


async def test_a_sender_without_presence_leaves_a_carbon_too(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    sender, desk = await stage.login(ann, presence=False), await stage.login(ann, carbons=True)
    await stage.login(bob)
    message_id = stage.message_id()
    sender.send(f'<message type="chat" id="{message_id}" to="{bob.jid}"><body>x</body>{SAVE}</message>')
    assert message_id in to_xml(await desk.wait("message"))


async def test_carbons_may_be_switched_off(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    sender, desk, other = await stage.login(ann), await stage.login(ann, carbons=True), await stage.login(bob)
    desk.send('<iq type="set" id="off"><disable xmlns="urn:xmpp:carbons:2"/></iq>')
    assert to_xml(await desk.wait("iq", id="off")) == (
        f'<iq xmlns="jabber:client" type="result" id="off" from="{desk.jid.partition("/")[0]}" to="{desk.jid}"/>'
    )
    sender.send(f'<message type="chat" id="{stage.message_id()}" to="{bob.jid}"><body>x</body>{SAVE}</message>')
    await other.wait("message")
    await desk.ping()
    assert desk.take_all("message") == []


@pytest.mark.parametrize("name", ["sent", "received"])
@pytest.mark.parametrize(
    "content",
    [
        f"<body>x</body>{SAVE}",
        '<composing xmlns="http://jabber.org/protocol/chatstates"/>',
        '<displayed xmlns="urn:xmpp:chat-markers:0" id="65a1b2c3000000000000ffff"/>',
        '<displayed xmlns="urn:xmpp:chat-markers:0" id="odd"/>',
    ],
)
async def test_nobody_makes_up_a_carbon(stage: Node, name: str, content: str) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    group = await stage.dialog(ann, bob)
    sender = await stage.login(ann)
    forged = (
        f'<{name} xmlns="urn:xmpp:carbons:2"><forwarded xmlns="urn:xmpp:forward:0"><message xmlns="jabber:client" '
        f'from="{stage.people["cyd"].jid}/x" to="{bob.jid}" type="chat"><body>forged</body></message></forwarded>'
        f"</{name}>"
    )
    online = await stage.login(bob)
    for kind, to in (("chat", bob.jid), ("groupchat", ann.room(group))):
        sender.send(f'<message type="{kind}" id="{stage.message_id()}" to="{to}">{forged}{content}</message>')
    await sender.ping()
    await online.ping()
    await online.wait("message")  # what is stored comes after its commit, and may come behind the answer to a ping
    assert "forged" not in online.text
    await online.close()
    sender.send(f'<message type="chat" id="{stage.message_id()}" to="{bob.jid}">{content}{forged}</message>')
    await sender.ping()
    late = await stage.login(bob)
    await late.ping()
    assert "forged" not in late.text
