"""Messages of type normal, of none and of unknown types, messages to occupants, and what has nothing to show."""

import pytest

from tests.support.node import Node
from tests.support.xmpp_peer import Peer
from voxcube.xmpp.xml import Element, to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAVE = '<extraParams xmlns="jabber:client"><save_to_history>1</save_to_history></extraParams>'
RECEIPT = '<received xmlns="urn:xmpp:receipts" id="65a1b2c3000000000000eeee"/>'
INVITATION = '<x xmlns="jabber:x:conference" jid="room@muc.localhost"/>'
NORMAL = ["", ' type="normal"', ' type="funny"', ' type=""']

# What JavaScript would report as a message without a text, or as the delivery of an unknown one.
EMPTY = {
    "active": '<active xmlns="http://jabber.org/protocol/chatstates"/>',
    "inactive": '<inactive xmlns="http://jabber.org/protocol/chatstates"/>',
    "gone": '<gone xmlns="http://jabber.org/protocol/chatstates"/>',
    "receipt": RECEIPT,
    "request for a receipt": '<request xmlns="urn:xmpp:receipts"/>',
    "marker without an id": '<received xmlns="urn:xmpp:chat-markers:0"/>',
    "acknowledged": '<acknowledged xmlns="urn:xmpp:chat-markers:0" id="1"/>',
    "invitation": INVITATION,
    "attention": '<attention xmlns="urn:xmpp:attention:0"/>',
    "call": '<propose xmlns="urn:xmpp:jingle-message:0" id="1"/>',
    "empty body": "<body/>",
    "hint": '<store xmlns="urn:xmpp:hints"/>',
    "nothing": "",
}


async def error_of(peer: Peer, id_: str, **attrs: str) -> tuple[str, Element]:
    """The condition of the error that comes back, and the stanza."""
    stanza = await peer.wait("message", None, type="error", id=id_, **attrs)
    error = stanza.find("error")
    assert error is not None
    return next(error.elements()).name, stanza


@pytest.mark.parametrize("kind", NORMAL)
@pytest.mark.parametrize("full", [False, True])
async def test_a_text_without_a_type_is_a_message(stage: Node, kind: str, full: bool) -> None:
    """RFC 6121 §5.2.2; official SDKs show only messages of type chat, so that is what it becomes."""
    ann, bob = await stage.login(stage.people["ann"]), await stage.login(stage.people["bob"])
    app = await stage.login(stage.people["bob"], js=True, door="ws")
    desk = await stage.login(stage.people["ann"], carbons=True)
    id_ = stage.message_id()
    to = bob.jid if full else stage.people["bob"].jid
    ann.send(f'<message{kind} id="{id_}" to="{to}"><subject>s</subject><body>Lunch?</body></message>')
    for peer in (bob, app):
        got = await peer.wait("message", id=id_)
        assert (got.get("type"), got.get("from"), got.get("to")) == ("chat", ann.jid, peer.jid)
        assert to_xml(got).count("<body>Lunch?</body>") == 1
        assert got.find("extraParams") is not None  # JavaScript apps read in it
    assert id_ in to_xml(await desk.wait("message"))


@pytest.mark.parametrize("kind", NORMAL)
async def test_it_waits_for_who_is_away(stage: Node, kind: str) -> None:
    ann, bob = await stage.login(stage.people["ann"]), await stage.person()
    ids = [stage.message_id(), stage.message_id()]
    ann.send(f'<message{kind} id="{ids[0]}" to="{bob.jid}"><body>relayed</body></message>')
    ann.send(f'<message{kind} id="{ids[1]}" to="{bob.jid}"><body>stored</body>{SAVE}</message>')
    ann.send(f'<message{kind} to="{bob.jid}">{RECEIPT}</message>')
    await ann.ping()
    peer = await stage.login(bob)
    got = [await peer.wait("message", id=id_) for id_ in ids]
    assert [stanza.get("type") for stanza in got] == ["chat", "chat"]
    await peer.ping()
    assert "receipts" not in peer.text


@pytest.mark.parametrize("kind", [*NORMAL, ' type="chat"'])
@pytest.mark.parametrize("name", EMPTY)
async def test_javascript_is_spared_what_has_nothing_to_show(stage: Node, name: str, kind: str) -> None:
    """Standard clients get it, with the type that it has."""
    ann, bob = await stage.login(stage.people["ann"]), await stage.login(stage.people["bob"], carbons=True)
    app = await stage.login(stage.people["bob"], js=True, door="ws")
    ann.send(f'<message{kind} id="m1" to="{bob.jid}">{EMPTY[name]}</message>')
    ann.send(f'<message type="chat" id="m2" to="{bob.jid}"><body>after</body></message>')
    got = await bob.wait("message", id="m1")
    assert EMPTY[name] in to_xml(got)
    if name not in ("active", "inactive", "gone"):
        assert got.get("type") == ("chat" if "chat" in kind else "normal")
    await app.wait("message", id="m2")
    assert '"m1"' not in app.text


@pytest.mark.parametrize("name", EMPTY)
async def test_javascript_is_spared_it_in_groups_and_as_a_carbon(stage: Node, name: str) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    room = ann.room(await stage.dialog(ann, bob))
    hers, his = await stage.login(ann), await stage.login(bob)
    apps = [await stage.login(person, js=True, door="ws") for person in (ann, bob)]
    hers.send(f'<message type="groupchat" id="m1" to="{room}">{EMPTY[name]}</message>')
    hers.send(f'<message type="chat" id="m2" to="{bob.jid}">{EMPTY[name]}</message>')
    hers.send(f'<message type="groupchat" id="m3" to="{room}"><body>after</body></message>')
    hers.send(f'<message type="chat" id="m4" to="{bob.jid}"><body>after</body></message>')
    await his.wait("message", id="m1")
    await his.wait("message", id="m2")
    for app in apps:
        await app.wait("message", id="m3")
        await app.wait("message", lambda stanza: '"m4"' in to_xml(stanza))
        assert '"m1"' not in app.text
        assert '"m2"' not in app.text


async def test_javascript_gets_typing_and_its_own_parameters(stage: Node) -> None:
    ann, bob = await stage.login(stage.people["ann"]), stage.people["bob"]
    app = await stage.login(bob, js=True, door="ws")
    for state in ("composing", "paused"):
        ann.send(f'<message to="{bob.jid}"><{state} xmlns="http://jabber.org/protocol/chatstates"/></message>')
        got = await app.wait("message", lambda stanza: f"<{state} " in to_xml(stanza))  # noqa: B023
        assert got.get("type") == "chat"
    ann.send(f'<message type="chat" id="p1" to="{bob.jid}"><extraParams><city>Oslo</city></extraParams></message>')
    assert "Oslo" in to_xml(await app.wait("message", id="p1"))


async def test_a_message_without_an_address_is_for_the_own_account(stage: Node) -> None:
    """RFC 6120 §10.3.1: the account's other sessions get it."""
    one, other = await stage.login(stage.people["ann"]), await stage.login(stage.people["ann"])
    for number, kind in enumerate(("", ' type="chat"')):
        one.send(f'<message{kind} id="o{number}"><body>note</body></message>')
        await other.wait("message", id=f"o{number}", from_=one.jid)
    one.send('<message type="headline" id="h1"><body>note</body></message>')
    await other.wait("message", id="h1", type="headline")
    assert not one.take_all("message")


TO_OCCUPANTS = [
    ("groupchat", "<body>x</body>", "bad-request"),
    ("groupchat", f"<body>x</body>{SAVE}", "bad-request"),
    ("chat", "<body>x</body>", "forbidden"),
    ("normal", "<body>x</body>", "forbidden"),
    ("chat", RECEIPT, "forbidden"),
    ("headline", "<body>x</body>", "bad-request"),
]


@pytest.mark.parametrize(("kind", "content", "condition"), TO_OCCUPANTS)
async def test_occupants_are_not_written_to(stage: Node, kind: str, content: str, condition: str) -> None:
    """XEP-0045 §7.5; the answer does not depend on whether there is such an occupant."""
    ann, bob = stage.people["ann"], stage.people["bob"]
    dialog = await stage.dialog(ann, bob)
    room = ann.room(dialog)
    hers, his = await stage.login(ann), await stage.login(bob)
    texts = []
    for nick in (str(bob.id), "999999", "no/body"):
        hers.send(f'<message type="{kind}" id="x1" to="{room}/{nick}">{content}</message>')
        found, stanza = await error_of(hers, "x1", from_=f"{room}/{nick}")
        assert found == condition
        error = stanza.find("error")
        assert error is not None
        texts.append(to_xml(error))
    assert len(set(texts)) == 1
    for state in ("composing", "active"):
        hers.send(
            f'<message type="groupchat" to="{room}/{bob.id}"><{state} xmlns="http://jabber.org/protocol/chatstates"/>'
            "</message>"
        )
    await hers.ping()
    await his.ping()
    assert not his.take_all("message")
    assert not hers.take_all("message")
    assert await stage.history(ann, dialog) == []


@pytest.mark.parametrize("kind", ["", ' type="chat"', ' type="normal"', ' type="funny"'])
async def test_a_message_to_a_room_is_of_type_groupchat(stage: Node, kind: str) -> None:
    """XEP-0045 §7.4"""
    ann, bob = stage.people["ann"], stage.people["bob"]
    room = ann.room(await stage.dialog(ann, bob))
    hers, his = await stage.login(ann), await stage.login(bob)
    hers.send(f'<message{kind} id="x1" to="{room}"><body>x</body></message>')
    assert (await error_of(hers, "x1", from_=room))[0] == "bad-request"
    await his.ping()
    assert not his.take_all("message")


async def test_nobody_changes_the_subject_of_a_room(stage: Node) -> None:
    """XEP-0045 §8.1; a subject beside a body is a part of the message."""
    ann, bob = stage.people["ann"], stage.people["bob"]
    room = ann.room(await stage.dialog(ann, bob))
    hers, his = await stage.login(ann), await stage.login(bob)
    hers.send(f'<message type="groupchat" id="x1" to="{room}"><subject>New</subject></message>')
    assert (await error_of(hers, "x1", from_=room))[0] == "forbidden"
    hers.send(f'<message type="groupchat" id="x2" to="{room}"><subject>New</subject><body>x</body></message>')
    await his.wait("message", id="x2")
    assert '"x1"' not in his.text


def mediated(to: str, name: str = "invite") -> str:
    return (
        f'<x xmlns="http://jabber.org/protocol/muc#user"><{name} to="{to}"><reason>Come &amp; see</reason></{name}></x>'
    )


@pytest.mark.parametrize("name", ["invite", "decline"])
async def test_a_room_passes_invitations_to_its_members(stage: Node, name: str) -> None:
    """XEP-0045 §7.8.2; JavaScript and Flutter have no use for them."""
    ann, bob = stage.people["ann"], stage.people["bob"]
    room = ann.room(await stage.dialog(ann, bob))
    hers, his = await stage.login(ann), await stage.login(bob)
    app = await stage.login(bob, js=True, door="ws")
    hers.send(f'<message id="i1" to="{room}">{mediated(bob.jid, name)}</message>')
    got = await his.wait("message", id="i1")
    assert (got.get("from"), got.get("to"), got.get("type")) == (room, his.jid, "normal")
    assert f'<{name} from="{ann.jid}"><reason>Come &amp; see</reason></{name}>' in to_xml(got)
    await app.ping()
    assert '"i1"' not in app.text


async def test_a_room_refuses_other_invitations(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    room = ann.room(await stage.dialog(ann, bob))
    hers, theirs = await stage.login(ann), await stage.login(cyd)
    app_id = ann.app_id
    for number, (peer, content, condition) in enumerate(
        [
            (hers, mediated(cyd.jid), "forbidden"),  # not a member
            (theirs, mediated(bob.jid), "forbidden"),  # nor the one who invites
            (hers, mediated(f"999999-{app_id}@localhost"), "item-not-found"),
            (hers, mediated(stage.stranger.jid), "item-not-found"),
            (hers, mediated("@"), "bad-request"),
            (hers, mediated(""), "bad-request"),
            (hers, mediated(bob.jid) * 2, "bad-request"),
        ]
    ):
        peer.send(f'<message id="i{number}" to="{room}">{content}</message>')
        assert (await error_of(peer, f"i{number}", from_=room))[0] == condition
    hers.send(f'<message id="z" to="{app_id}_{"0" * 24}@muc.localhost">{mediated(bob.jid)}</message>')
    assert (await error_of(hers, "z"))[0] == "item-not-found"
