"""In whose name iq requests are answered: the account's, the domain's or the room's (RFC 6120 §8.1.2.1, §10.3.3)."""

import pytest

from tests.support.node import Node
from voxcube.xmpp import ns

pytestmark = pytest.mark.asyncio(loop_scope="module")

VCARD = '<vCard xmlns="vcard-temp"/>'

# (type of the request, payload, type of the reply)
ACCOUNT = {
    "roster": ("get", '<query xmlns="jabber:iq:roster"/>', "result"),
    "privacy lists": ("get", '<query xmlns="jabber:iq:privacy"/>', "result"),
    "unknown privacy list": ("get", '<query xmlns="jabber:iq:privacy"><list name="none"/></query>', "error"),
    "block list": ("get", '<blocklist xmlns="urn:xmpp:blocking"/>', "result"),
    "nobody to block": ("set", '<block xmlns="urn:xmpp:blocking"/>', "error"),
    "carbons": ("set", '<enable xmlns="urn:xmpp:carbons:2"/>', "result"),
    "archive": ("set", f'<query xmlns="{ns.MAM}"/>', "result"),
    "form of the archive": ("get", f'<query xmlns="{ns.MAM}"/>', "result"),
    "last activity": ("get", '<query xmlns="jabber:iq:last"/>', "result"),
    "disco#info": ("get", f'<query xmlns="{ns.DISCO_INFO}"/>', "result"),
    "ping": ("get", '<ping xmlns="urn:xmpp:ping"/>', "result"),
    "session": ("set", f'<session xmlns="{ns.SESSION}"/>', "result"),
    "inactive": ("set", '<mobile xmlns="http://tigase.org/protocol/mobile#v2" enable="false"/>', "result"),
    "vCard": ("get", VCARD, "error"),
    "private XML": ("get", '<query xmlns="jabber:iq:private"><storage xmlns="storage:bookmarks"/></query>', "error"),
    "unknown namespace": ("set", '<query xmlns="urn:example:none"/>', "error"),
    "two payloads": ("get", '<ping xmlns="urn:xmpp:ping"/><ping xmlns="urn:xmpp:ping"/>', "error"),
}


@pytest.mark.parametrize("name", ACCOUNT)
@pytest.mark.parametrize("to", ["", "account", "ACCOUNT"])
async def test_the_account_answers_what_is_asked_of_it(stage: Node, name: str, to: str) -> None:
    ann = stage.people["ann"]
    peer = await stage.login(ann)
    kind, payload, reply = ACCOUNT[name]
    address = {"": "", "account": ann.jid, "ACCOUNT": f"{ann.name}@LOCALHOST"}[to]
    peer.send(f'<iq type="{kind}" id="q1"' + (f' to="{address}"' if to else "") + f">{payload}</iq>")
    answer = await peer.wait("iq", id="q1")
    assert answer.attrs == {
        "xmlns": "jabber:client",
        "type": reply,
        "id": "q1",
        "from": address or ann.jid,
        "to": peer.jid,
    }


DOMAIN = {
    "disco#info": ACCOUNT["disco#info"],
    "disco#items": ("get", f'<query xmlns="{ns.DISCO_ITEMS}"/>', "result"),
    "ping": ACCOUNT["ping"],
    "last activity": ACCOUNT["last activity"],
    "vCard": ACCOUNT["vCard"],
    "unknown namespace": ACCOUNT["unknown namespace"],
}


@pytest.mark.parametrize("name", DOMAIN)
@pytest.mark.parametrize("to", ["localhost", "LocalHost", "127.0.0.1"])
async def test_the_domain_answers_what_is_asked_of_it(stage: Node, name: str, to: str) -> None:
    """By the name that it was called by: clients compare."""
    peer = await stage.login(stage.people["ann"])
    kind, payload, reply = DOMAIN[name]
    peer.send(f'<iq type="{kind}" id="q1" to="{to}">{payload}</iq>')
    answer = await peer.wait("iq", id="q1")
    assert (answer.get("from"), answer.get("to"), answer.get("type")) == (to, peer.jid, reply)


ROOM = {
    "disco#info": ACCOUNT["disco#info"],
    "disco#items": DOMAIN["disco#items"],
    "archive": ACCOUNT["archive"],
    "ping without having joined": ("get", '<ping xmlns="urn:xmpp:ping"/>', "error"),
    "vCard": ACCOUNT["vCard"],
}


@pytest.mark.parametrize("name", ROOM)
async def test_a_room_answers_what_is_asked_of_it(stage: Node, name: str) -> None:
    ann = stage.people["ann"]
    room = ann.room(await stage.dialog(ann, stage.people["bob"]))
    peer = await stage.login(ann)
    kind, payload, reply = ROOM[name]
    peer.send(f'<iq type="{kind}" id="q1" to="{room}">{payload}</iq>')
    answer = await peer.wait("iq", id="q1")
    assert (answer.get("from"), answer.get("to"), answer.get("type")) == (room, peer.jid, reply)


async def test_the_archive_speaks_in_the_name_of_the_account(stage: Node) -> None:
    """Its messages, too (XEP-0313 §4.1.1: a client trusts no others)."""
    ann, bob = stage.people["ann"], stage.people["bob"]
    peer = await stage.login(ann)
    peer.send(
        f'<message type="chat" id="{stage.message_id()}" to="{bob.jid}"><body>x</body>'
        '<store xmlns="urn:xmpp:hints"/></message>'
    )
    peer.send(f'<iq type="set" id="m1"><query xmlns="{ns.MAM}" queryid="f1"/></iq>')
    found = await peer.wait("message")
    assert (found.get("from"), found.get("to")) == (ann.jid, peer.jid)
    assert (await peer.wait("iq", id="m1")).get("from") == ann.jid


async def test_pushes_of_contacts_have_no_sender(stage: Node) -> None:
    """RFC 6121 §2.1.6 allows none or the account; with one, JavaScript would take them for a last activity."""
    ann, bob = stage.people["ann"], stage.people["bob"]
    peer = await stage.login(ann)
    peer.send('<iq type="get" id="r1"><query xmlns="jabber:iq:roster"/></iq>')
    await peer.wait("iq", id="r1")
    peer.send(f'<iq type="set" id="r2"><query xmlns="jabber:iq:roster"><item jid="{bob.jid}"/></query></iq>')
    push = await peer.wait("iq", type="set")
    assert push.get("from") is None
    assert (await peer.wait("iq", id="r2")).get("from") == ann.jid


async def test_without_an_address_it_is_the_account_that_is_discovered(stage: Node) -> None:
    """Standard clients find the archive there; official SDKs, which look for the server's features, get those."""
    ann = stage.people["ann"]
    ask = f'<iq type="get" id="d1"><query xmlns="{ns.DISCO_INFO}"/></iq>'
    peer = await stage.login(ann)
    peer.send(ask)
    query = (await peer.wait("iq", id="d1")).find("query")
    assert query is not None
    assert [child.attrs for child in query.elements() if child.name == "identity"] == [
        {"category": "account", "type": "registered"}
    ]
    flutter = await stage.login(ann, resource="flutter_phone")
    flutter.send(ask)
    query = (await flutter.wait("iq", id="d1")).find("query")
    assert query is not None
    features = {child.get("var") for child in query.elements() if child.name == "feature"}
    assert "urn:xmpp:carbons:2" in features
    assert ns.MAM not in features
