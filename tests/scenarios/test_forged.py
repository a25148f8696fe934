"""What only a server may say is taken out of what clients send, on every way that leads to somebody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop

from tests.support.node import Node, Person, running
from tests.support.xmpp_peer import Peer
from voxcube.xmpp.xml import Element, to_xml

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]

#: A child of a message → whether others get it. FORGED marks it; {me}, {other} and {room} are addresses.
CHILDREN = {
    "<stanza-id xmlns='urn:xmpp:sid:0' id='FORGED' by='{other}'/>": False,
    "<stanza-id xmlns='urn:xmpp:sid:0' id='FORGED' by='{me}'/>": False,
    "<stanza-id xmlns='urn:xmpp:sid:0' id='FORGED' by='localhost'/>": False,
    "<stanza-id xmlns='urn:xmpp:sid:0' id='FORGED' by='LOCALHOST'/>": False,
    "<stanza-id xmlns='urn:xmpp:sid:0' id='FORGED' by='{room}'/>": False,
    "<stanza-id xmlns='urn:xmpp:sid:0' id='FORGED'/>": False,
    "<p:stanza-id xmlns:p='urn:xmpp:sid:0' id='FORGED' by='{other}'/>": False,
    "<stanza-id xmlns='urn:xmpp:sid:0' id='FORGED' by='chat.example.net'/>": True,
    "<origin-id xmlns='urn:xmpp:sid:0' id='FORGED'/>": True,
    "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2001-01-01T00:00:00Z'>FORGED</delay>": False,
    "<delay xmlns='urn:xmpp:delay' from='{other}' stamp='2001-01-01T00:00:00Z'>FORGED</delay>": False,
    "<delay xmlns='urn:xmpp:delay' from='{room}' stamp='2001-01-01T00:00:00Z'>FORGED</delay>": False,
    "<delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'>FORGED</delay>": False,
    "<delay stamp='2001-01-01T00:00:00Z'>FORGED</delay>": False,
    "<p:delay xmlns:p='urn:xmpp:delay' from='localhost' stamp='2001-01-01T00:00:00Z'>FORGED</p:delay>": False,
    "<delay xmlns='urn:xmpp:delay' from='{me}/r' stamp='2001-01-01T00:00:00Z'>FORGED</delay>": True,
    "<x xmlns='jabber:x:delay' from='localhost' stamp='20010101T00:00:00'>FORGED</x>": False,
    "<x xmlns='jabber:x:delay' from='{me}' stamp='20010101T00:00:00'>FORGED</x>": True,
    "<result xmlns='urn:xmpp:mam:2' id='FORGED'><forwarded xmlns='urn:xmpp:forward:0'/></result>": False,
    "<fin xmlns='urn:xmpp:mam:2' queryid='FORGED'/>": False,
    "<archived xmlns='urn:xmpp:mam:tmp' by='{other}' id='FORGED'/>": False,
    "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message>FORGED</message>"
    "</forwarded></sent>": False,
    "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message>FORGED</message>"
    "</forwarded></received>": False,
    "<sent><forwarded><message>FORGED</message></forwarded></sent>": False,
    "<private xmlns='urn:xmpp:carbons:2'>FORGED</private>": False,
    "<forwarded xmlns='urn:xmpp:forward:0'><message><body>FORGED</body></message></forwarded>": True,
    "<x xmlns='http://jabber.org/protocol/muc#user'><status code='307'/>FORGED</x>": False,
    "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner'/>FORGED</x>": False,
    "<x xmlns='http://jabber.org/protocol/muc#user'><xmlns><code>301</code></xmlns>FORGED</x>": False,
    "<x xmlns='jabber:x:conference' jid='{room}' reason='FORGED'/>": True,
    "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='FORGED'/>": False,
    "<a xmlns='urn:xmpp:sm:3' h='FORGED'/>": False,
    "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='FORGED'/></event>": False,
    "<extraParams><message_id>FORGED</message_id></extraParams>": False,
    "<extraParams><note>FORGED</note></extraParams>": False,  # it is the second one
    "<query xmlns='urn:example:own'>FORGED</query>": True,
}
EXTRA = "<extraParams><save_to_history>1</save_to_history><message_id>FORGED</message_id></extraParams>"


class Sent:
    """Each child in a message of its own, as it came on each way; by the message's id."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.ways: dict[str, dict[str, str]] = {}

    def note(self, way: str, stanzas: list[Element]) -> None:
        self.ways[way] = {stanza.attrs["id"]: "".join(map(to_xml, stanza.elements())) for stanza in stanzas}


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("forged") / "node", "ann", "bob", "fay") as node:
        yield node


def message(to: str, id_: str, inner: str, kind: str = "chat") -> str:
    return f"<message xmlns='jabber:client' type='{kind}' id='{id_}' to='{to}'>{inner}</message>"


def filled(child: str, me: Person, other: Person) -> str:
    room = f"{me.app_id}_{'a' * 24}@muc.localhost"
    return child.replace("{me}", me.jid).replace("{other}", other.jid).replace("{room}", room)


async def archive(peer: Peer) -> list[Element]:
    """The messages of the own archive."""
    peer.send(
        "<iq xmlns='jabber:client' type='set' id='mam'><query xmlns='urn:xmpp:mam:2'>"
        "<set xmlns='http://jabber.org/protocol/rsm'><max>200</max></set></query></iq>"
    )
    await peer.wait("iq", id="mam", type="result")
    found = []
    for outer in peer.take_all("message"):
        result = outer.find("result")
        assert result is not None
        forwarded = result.find("forwarded")
        assert forwarded is not None
        inner = forwarded.find("message")
        assert inner is not None
        found.append(inner)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sent(node: Node) -> Sent:
    sent = Sent()
    ann, bob, fay = (node.people[name] for name in ("ann", "bob", "fay"))
    sender, reader = await node.login(ann), await node.login(bob)
    dialog = await node.dialog(ann, bob, kind=3)
    for child in CHILDREN:
        sent.ids[child] = id_ = node.message_id()
        inner = f"<body>x</body>{EXTRA}{filled(child, ann, bob)}"
        sender.send(message(bob.jid, id_, inner))
        # Fay is not there; what is not stored is kept for her as well.
        sender.send(message(fay.jid, "f" + node.message_id()[1:], inner.replace("save_to_history", "kept")))
        sender.send(message(fay.jid, id_[::-1], inner))
    await sender.ping()
    stanzas = [await reader.wait("message", id=id_) for id_ in sent.ids.values()]
    sent.note("live", stanzas)
    late = await node.login(fay)
    stanzas = [await late.wait("message", id=id_[::-1]) for id_ in sent.ids.values()]
    for stanza in stanzas:
        stanza.attrs["id"] = stanza.attrs["id"][::-1]
        last = stanza.children.pop()
        assert isinstance(last, Element)
        assert last.get("from") == "localhost"
    sent.note("offline", stanzas)
    unstored = [stanza for stanza in late.take_all("message") if "save_to_history" not in to_xml(stanza)]
    assert len(unstored) == len(CHILDREN)
    assert sum("FORGED" in to_xml(stanza) for stanza in unstored) == sum(CHILDREN.values())
    sent.note("archive", await archive(reader))
    async with await node.rest_login(bob):
        sent.ways["rest"] = {item["_id"]: json.dumps(item) for item in await node.history(bob, dialog)}
    return sent


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("way", ["live", "offline", "archive", "rest"])
async def test_a_child_of_a_message(sent: Sent, child: str, way: str) -> None:
    found = sent.ways[way][sent.ids[child]]
    assert ("FORGED" in found) is (CHILDREN[child] and way != "rest"), found
    if way != "rest":
        assert "<body>x</body>" in found
        assert found.count("<extraParams ") == 1


@pytest.mark.parametrize("kind", ["typing", "marker", "headline", "edit", "group"])
async def test_stanzas_of_other_kinds(node: Node, kind: str) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    sender, reader = await node.login(ann), await node.login(bob)
    id_, old = node.message_id(), node.message_id()
    children = "".join(filled(child, ann, bob) for child, kept in CHILDREN.items() if not kept)
    to, stanza_kind, own = bob.jid, "chat", "<body>x</body>"
    if kind == "typing":
        own = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
    elif kind == "marker":
        own = f"<displayed xmlns='urn:xmpp:chat-markers:0' id='{old}'/>"
    elif kind == "edit":
        own += f"<replace xmlns='urn:xmpp:message-correct:0' id='{old}'/>"
    elif kind == "headline":
        stanza_kind = "headline"
    elif kind == "group":
        to, stanza_kind = ann.room(await node.dialog(ann, bob)), "groupchat"
    changes = f"<remove xmlns='urn:xmpp:message-delete:0' id='{old}'/><reactions user_id='1' message_id='{old}'/>"
    if kind in ("typing", "marker", "headline"):  # they would be deletions that nobody has allowed
        children += changes
    sender.send(message(to, id_, own + children, stanza_kind))
    came = await reader.wait("message", id=id_)
    xml = to_xml(came)
    # In what is relayed with nothing added, one `private` is no secret.
    assert xml.replace('<private xmlns="urn:xmpp:carbons:2">FORGED</private>', "").count("FORGED") == 0, xml
    assert "<remove " not in xml
    assert "<reactions " not in xml
    await node.hang_up()


async def test_a_presence(node: Node) -> None:
    ann = node.people["ann"]
    peer, other = await node.login(ann, resource="one"), await node.login(ann, resource="two")
    children = "".join(filled(child, ann, node.people["bob"]) for child, kept in CHILDREN.items() if not kept)
    peer.send(f"<presence xmlns='jabber:client'><status>here</status>{children}</presence>")
    came = await other.wait("presence", lambda stanza: stanza.find("status") is not None, from_=peer.jid)
    names = {child.name for child in came.elements()}
    assert names <= {"status", "private", "extraParams"}
    await node.hang_up()


async def test_no_copies_of_what_is_private(node: Node) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    sender, other, reader = await node.login(ann), await node.login(ann, carbons=True), await node.login(bob)
    private = "<private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>"
    hidden, shown = node.message_id(), node.message_id()
    sender.send(message(bob.jid, hidden, f"<body>hidden</body>{EXTRA}{private}"))
    sender.send(message(bob.jid, shown, f"<body>shown</body>{EXTRA}"))
    await reader.wait("message", id=hidden)
    copy = await other.wait("message")
    assert "shown" in to_xml(copy)
    await other.ping()
    assert "hidden" not in other.text
    await node.hang_up()
