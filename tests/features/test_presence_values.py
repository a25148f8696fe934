"""Values of presence that the schema does not allow are put right or dropped before anybody is shown them: Smack ends
its stream for them (RFC 6121 §4.7.2)."""

import pytest

from tests.support.node import Node
from voxcube.xmpp.xml import to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What a client writes, and what the others are shown.
VALUES = [
    ("<priority>5</priority>", "<priority>5</priority>"),
    ("<priority> -128\n</priority>", "<priority>-128</priority>"),
    ("<priority>+007</priority>", "<priority>7</priority>"),
    ("<priority>127</priority>", "<priority>127</priority>"),
    ("<priority>128</priority>", "<priority>127</priority>"),
    ("<priority>5225</priority>", "<priority>127</priority>"),
    ("<priority>-129</priority>", "<priority>-128</priority>"),
    (f"<priority>{'9' * 5000}</priority>", "<priority>127</priority>"),
    (f"<priority>-{'9' * 5000}</priority>", "<priority>-128</priority>"),
    (f"<priority>{'0' * 5000}1</priority>", "<priority>1</priority>"),
    ("<priority>1.5</priority>", ""),
    ("<priority>high</priority>", ""),
    ("<priority>0x10</priority>", ""),
    ("<priority>1_0</priority>", ""),
    ("<priority>\u0663</priority>", ""),
    ("<priority>--1</priority>", ""),
    ("<priority/>", ""),
    ("<priority>1</priority><priority>2</priority>", "<priority>1</priority>"),
    ("<priority>x</priority><priority>2</priority>", "<priority>2</priority>"),
    ("<priority>1<b/></priority>", "<priority>1</priority>"),
    *((f"<show>{value}</show>", f"<show>{value}</show>") for value in ("away", "chat", "dnd", "xa")),
    ("<show>\n  away </show>", "<show>away</show>"),
    ("<show>Away</show>", ""),
    ("<show>online</show>", ""),
    ("<show/>", ""),
    ("<show>away</show><show>dnd</show>", "<show>away</show>"),
    ("<show x='1'>away<b/></show>", "<show>away</show>"),
    ("<status>a &lt; b</status>", "<status>a &lt; b</status>"),
    ("<status> a </status>", "<status> a </status>"),
    ("<status/>", "<status/>"),
    ("<status>a</status><status>b</status>", "<status>a</status>"),
    (
        "<status>a</status><status xml:lang='cs'>b</status><status xml:lang='cs'>c</status>",
        '<status>a</status><status xml:lang="cs">b</status>',
    ),
    ("<status>a<b>c</b></status>", "<status>a</status>"),
    ("<show>away</show>\n<c xmlns='urn:x' ver='1'/>", '<show>away</show><c xmlns="urn:x" ver="1"/>'),
    ("<show xmlns='urn:x'>odd</show>", '<show xmlns="urn:x">odd</show>'),
    ("<x xmlns='http://jabber.org/protocol/muc#user'/>", ""),
]


# A session of negative priority is not shown to those of its user that come later.
WAYS = [
    (way, said, shown)
    for way in ("own", "directed", "later")
    for said, shown in VALUES
    if not (way == "later" and ">-" in shown)
]


@pytest.mark.parametrize(("way", "said", "shown"), WAYS)
async def test_values(stage: Node, way: str, said: str, shown: str) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    peer = await stage.login(ann, presence=way == "directed")
    other = await stage.login(ann if way == "own" else bob)
    if way == "directed":
        peer.send(f'<presence to="{bob.jid}">{said}</presence>')
    else:
        peer.send(f"<presence>{said}</presence>")
    if way == "later":  # a session that comes later is shown what was said before
        await peer.ping()
        other = await stage.login(ann, presence=False)
        other.send("<presence/>")
    got = await other.wait("presence", from_=peer.jid)
    assert "".join(to_xml(child) for child in got.elements()) == shown


@pytest.mark.parametrize("kind", ["available", "invisible", "Unavailable", "result"])
@pytest.mark.parametrize("to", ["", "bob", "room"])
async def test_unknown_types_are_refused(stage: Node, kind: str, to: str) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    address = {"": "", "bob": bob.jid, "room": f"{ann.room(await stage.dialog(ann, bob))}/{ann.id}"}[to]
    peer, other, desk = await stage.login(ann), await stage.login(bob), await stage.login(ann)
    await desk.ping()
    desk.take_all("presence")
    peer.send(f'<presence type="{kind}" id="p1"' + (f' to="{address}"' if to else "") + "/>")
    reply = await peer.wait("presence", type="error", id="p1")
    assert (reply.get("from"), reply.get("to")) == (address or ann.jid, peer.jid)
    assert "<bad-request " in to_xml(reply)
    for receiver in (other, desk):
        await receiver.ping()
        assert not receiver.take_all("presence")


async def test_a_status_of_leaving_is_put_right_too(stage: Node) -> None:
    ann = stage.people["ann"]
    peer, other = await stage.login(ann), await stage.login(ann)
    peer.send('<presence type="unavailable"><priority>999</priority><status>bye</status><status>x</status></presence>')
    got = await other.wait("presence", type="unavailable", from_=peer.jid)
    assert "".join(to_xml(child) for child in got.elements()) == "<priority>127</priority><status>bye</status>"


@pytest.mark.parametrize("kind", ["", ' type="chat"', ' type="normal"'])
async def test_messages_do_not_go_to_sessions_of_negative_priority(stage: Node, kind: str) -> None:
    """RFC 6121 §8.5.2.1.1; they wait until the session has another priority."""
    ann, bob = stage.people["ann"], await stage.person()
    sender, phone = await stage.login(ann), await stage.login(bob, presence=False)
    phone.send("<presence><priority>-1</priority></presence>")
    sender.send(f'<message{kind} id="w1" to="{bob.jid}"><body>first</body></message>')
    await sender.ping()
    await phone.ping()
    assert not phone.take_all("message")
    desk = await stage.login(bob)
    await desk.wait("message", id="w1")
    sender.send(f'<message{kind} id="w2" to="{bob.jid}"><body>second</body></message>')
    await desk.wait("message", id="w2")
    await phone.ping()
    assert not phone.take_all("message")
    phone.send("<presence><priority>0</priority></presence>")
    await phone.ping()
    sender.send(f'<message{kind} id="w3" to="{bob.jid}"><body>third</body></message>')
    await phone.wait("message", id="w3")
