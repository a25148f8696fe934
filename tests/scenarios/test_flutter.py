"""The official Flutter SDK's bytes: what it writes on 5222 and sends over REST, and every answer that it waits for."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop

from tests.support.node import PASSWORD, Node, Person, running
from tests.support.xmpp_peer import Peer, blind_context
from voxcube.xmpp.xml import Element, to_xml

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]

RESOURCE = "flutter_QVAvMUEuMjMwMTA1LjAwMg+/x=="  # a device id in base64: it may hold / + =

HEADER = (
    "<?xml version='1.0'?>\n<stream:stream xmlns='jabber:client' version='1.0' "
    "xmlns:stream='http://etherx.jabber.org/streams' to='localhost' xml:lang='en'>\n"
)
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
AUTH = '<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">\n  {}\n</auth>\n'
BIND = (
    '<iq type="set" id="QWERTYUIO">\n  <bind xmlns="urn:ietf:params:xml:ns:xmpp-bind">\n'
    "    <resource>{}</resource>\n  </bind>\n</iq>\n"
)
ENABLE = '<enable xmlns="urn:xmpp:sm:3" resume="false"/>'
SESSION = '<iq type="set" id="ASDFGHJKL">\n  <session xmlns="urn:ietf:params:xml:ns:xmpp-session"/>\n</iq>'
DISCO = (
    '<iq type="get" id="ZXCVBNMLK" from="{jid}" to="localhost">\n'
    '  <query xmlns="http://jabber.org/protocol/disco#info"/>\n</iq>'
)
CARBONS = '<iq type="set" id="POIUYTREW" from="{jid}">\n  <enable xmlns="urn:xmpp:carbons:2"/>\n</iq>'
ROSTER = '<iq type="get" id="LKJHGFDSA" from="{jid}">\n  <query xmlns="jabber:iq:roster"/>\n</iq>'
PRESENCE = "<presence>\n  <show>chat</show>\n  <status>online</status>\n</presence>"
MESSAGE = (
    '<message xmlns="jabber:client" id="{id}" type="{type}" to="{to}">\n  <body>{body}</body>\n'
    '  <extraParams xmlns="jabber:client">\n    <save_to_history>1</save_to_history>\n'
    "    <date_sent>{ms}</date_sent>\n    <dialog_id>{dialog}</dialog_id>\n  </extraParams>\n"
    '  <markable xmlns="urn:xmpp:chat-markers:0"/>\n</message>'
)
MARKER = (
    '<message id="{id}" type="chat" to="{to}">\n  <{kind} xmlns="urn:xmpp:chat-markers:0" id="{about}"/>\n'
    '  <extraParams xmlns="jabber:client">\n    <dialog_id>{dialog}</dialog_id>\n  </extraParams>\n</message>'
)


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("flutter") / "node", "ann", "bob", plaintext=False) as node:
        yield node


def credentials(person: Person) -> str:
    return base64.b64encode(f"\0{person.name}\0{PASSWORD}".encode()).decode()


async def authenticate(node: Node, person: Person) -> Peer:
    """The login, up to the features behind it. The SDK looks for elements by their local names."""
    peer = await node.connect("xmpp")
    peer.send(HEADER)
    await peer.wait("open")
    features = await peer.wait("stream:features")
    assert names(features) == ["starttls", "required"]
    peer.send(STARTTLS)
    await peer.wait("proceed")
    await peer.upgrade(blind_context())

    peer.send(HEADER)
    await peer.wait("open")
    features = await peer.wait("stream:features")
    assert names(features) == ["mechanisms", "mechanism"]  # no `bind` or `sm` anywhere below: it would act on them
    peer.send(AUTH.format(credentials(person)))
    await peer.wait("success")
    peer.restart()

    peer.send(HEADER)
    await peer.wait("open")
    features = await peer.wait("stream:features")
    assert {"bind", "session", "sm"} <= set(names(features))
    return peer


async def bind(peer: Peer, person: Person, resource: str = RESOURCE) -> None:
    peer.send(BIND.format(resource))
    bound = await peer.wait("iq", id="QWERTYUIO", type="result")
    peer.jid = f"{person.jid}/{resource}"
    assert f"<jid>{peer.jid}</jid>" in to_xml(bound)


async def log_in(node: Node, person: Person, resource: str = RESOURCE) -> Peer:
    """All of it, up to the point where the SDK says that it is ready."""
    peer = await authenticate(node, person)
    await bind(peer, person, resource)
    peer.send(ENABLE)
    peer.send(SESSION)
    peer.send(DISCO.format(jid=peer.jid))
    assert to_xml(await peer.wait("enabled")) == '<enabled xmlns="urn:xmpp:sm:3"/>'
    await peer.wait("iq", id="ASDFGHJKL", type="result")
    found = await peer.wait("iq", id="ZXCVBNMLK", type="result")
    listed = [child.get("var") for child in elements(found) if child.name == "feature"]
    assert "urn:xmpp:carbons:2" in listed
    assert "urn:xmpp:mam:2" not in listed
    peer.send(CARBONS.format(jid=peer.jid))
    peer.send(ROSTER.format(jid=peer.jid))
    await peer.wait("iq", id="POIUYTREW", type="result")
    assert "query" in names(await peer.wait("iq", id="LKJHGFDSA", type="result"))
    peer.send(PRESENCE)
    await peer.wait("presence", from_=peer.jid, to=peer.jid)
    return peer


def elements(element: Element) -> list[Element]:
    """All below it, as the SDK walks through them."""
    return [found for child in element.elements() for found in (child, *elements(child))]


def names(element: Element) -> list[str]:
    return [child.name for child in elements(element)]


def text_of(element: Element, name: str) -> str:
    return next(child.text for child in elements(element) if child.name == name)


async def test_it_becomes_ready_and_its_acknowledgements_are_answered(node: Node) -> None:
    peer = await log_in(node, node.people["ann"])
    assert "/" in RESOURCE
    assert RESOURCE.endswith("==")
    # Five stanzas since <enable/>: session, disco, carbons, roster, presence.
    assert await peer.request() == 5
    # The same device again: the older connection is told so and ends.
    await log_in(node, node.people["ann"])
    await peer.end("conflict")
    await node.hang_up()


async def test_its_chat(node: Node) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    here, there = await log_in(node, ann), await log_in(node, bob, "flutter_other")
    dialog = await node.dialog(ann, bob, kind=3)
    sent, ms = node.message_id(), int(time.time() * 1000)
    handled = await here.request()
    here.send(MESSAGE.format(id=sent, type="chat", to=bob.jid, body="Hei", ms=ms, dialog=dialog))
    here.send('<r xmlns="urn:xmpp:sm:3"/>')
    assert int((await here.wait("a")).attrs["h"]) == handled + 1
    got = await there.wait("message", id=sent)
    assert (got.get("from"), got.get("to"), got.get("type")) == (here.jid, there.jid, "chat")
    assert (text_of(got, "body"), text_of(got, "dialog_id")) == ("Hei", dialog)
    assert int(text_of(got, "date_sent")) == ms // 1000  # milliseconds become seconds on the way
    assert "markable" in [child.name for child in got.elements()]
    for kind in ("received", "displayed"):
        marker = node.message_id()
        there.send(MARKER.format(id=marker, to=ann.jid, kind=kind, about=sent, dialog=dialog))
        back = await here.wait("message", id=marker)
        assert [child.get("id") for child in elements(back) if child.name == kind] == [sent]
        assert back.get("from") == there.jid
    [stored] = await node.history(ann, dialog)
    assert (stored["_id"], stored["date_sent"], stored["read_ids"]) == (sent, ms // 1000, [ann.id, bob.id])
    # The server asks as well; the SDK's answer carries what it has handled.
    for peer in (here, there):
        peer.send('<a xmlns="urn:xmpp:sm:3" h="1"/>')
        await peer.ping()
    await node.hang_up()


async def test_its_group(node: Node) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    here, there = await log_in(node, ann), await log_in(node, bob, "flutter_other")
    dialog = await node.dialog(ann, bob)
    sent, ms = node.message_id(), int(time.time() * 1000)
    room = ann.room(dialog)
    here.send(MESSAGE.format(id=sent, type="groupchat", to=room, body="Hei alle", ms=ms, dialog=dialog))
    # `sendMessage` waits for the echo by its id; `to` is parsed as a user's address, never a room's.
    for peer in (here, there):
        got = await peer.wait("message", id=sent, type="groupchat")
        assert (got.get("from"), got.get("to")) == (f"{room}/{ann.id}", peer.jid)
        assert int(text_of(got, "date_sent")) == ms // 1000
    await node.hang_up()


async def test_what_it_may_not_gets_an_error_that_it_can_read(node: Node) -> None:
    peer = await log_in(node, node.people["ann"])
    room = node.people["ann"].room("f" * 24)
    sent = node.message_id()
    peer.send(MESSAGE.format(id=sent, type="groupchat", to=room, body="x", ms=1767225600000, dialog="f" * 24))
    refused = await peer.wait("message", id=sent, type="error")
    assert refused.find("extraParams") is not None
    error = refused.find("error")
    assert error is not None
    assert error.get("type")
    assert [child.name for child in error.elements()][:2] == ["item-not-found", "text"]
    peer.send('<iq type="get" id="QAZWSXEDC"><query xmlns="urn:unknown"/></iq>')  # it would wait for a minute
    await peer.wait("iq", id="QAZWSXEDC", type="error")
    await node.hang_up()


async def test_its_end(node: Node) -> None:
    peer = await log_in(node, node.people["ann"])
    peer.send('<presence type="unavailable"/>')
    peer.send("</stream:stream>")
    await peer.wait("close")
    await peer.end()
    await node.hang_up()


async def test_its_first_requests_over_rest(node: Node) -> None:
    """Without a session the header of the token is there, and empty."""
    ann = node.people["ann"]
    body = json.dumps(
        {
            "application_id": ann.app_id,
            "auth_key": node.auth_key,
            "nonce": 7,
            "timestamp": int(time.time()),
            "user": {"login": ann.login, "password": PASSWORD},
        }
    )

    async def request(method: str, path: str, token: str, body: str = "") -> tuple[str, dict[str, str], str]:
        reader, writer = await asyncio.open_connection(
            *node.app.doors["https"], ssl=blind_context(), server_hostname="localhost"
        )
        writer.write(
            f"{method} {path} HTTP/1.1\r\nuser-agent: Dart/3.5 (dart:io)\r\ncb-sdk: Flutter 2.5.7\r\n"
            f"connectycube-rest-api-version: 0.1.1\r\ncb-token: {token}\r\naccept-encoding: gzip\r\n"
            f"content-type: application/json; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
            f"host: localhost\r\nconnection: close\r\n\r\n{body}".encode()
        )
        head, _, content = (await asyncio.wait_for(reader.read(), 30)).decode().partition("\r\n\r\n")
        writer.close()
        status, *lines = head.split("\r\n")
        return (
            status.split()[1],
            {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)},
            content,
        )

    status, _, content = await request("POST", "/session", "", body)
    assert status == "201", content
    session = json.loads(content)["session"]
    assert session["user_id"] == ann.id
    status, headers, content = await request("GET", "/session", session["token"])
    assert status == "200"
    # From this header alone it knows how long the session is valid.
    time.strptime(headers["cb-token-expirationdate"], "%Y-%m-%d %H:%M:%S UTC")
    status, _, content = await request("GET", "/chat/Dialog", "")
    assert (status, json.loads(content)) == ("401", {"errors": {"base": ["Required session does not exist"]}})


async def test_version_1_resumes(node: Node) -> None:
    """It asks for it when it enables stream management, later resumes in place of binding, or binds all the same."""
    ann, bob = node.people["ann"], node.people["bob"]
    peer = await authenticate(node, ann)
    await bind(peer, ann)
    peer.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
    enabled = await peer.wait("enabled", resume="true")
    assert len(enabled.attrs["id"]) >= 16  # dereferenced without asking
    assert int(enabled.attrs["max"]) == 300
    peer.send(PRESENCE)
    await peer.wait("presence", from_=peer.jid)
    await peer.close()
    other = await node.login(bob, door="xmpps")
    other.send(f'<message type="chat" to="{ann.jid}" id="x1"><body>while away</body></message>')
    await other.ping()

    again = await authenticate(node, ann)
    again.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{enabled.attrs["id"]}" h="1"/>\n')
    assert (await again.wait("resumed", previd=enabled.attrs["id"])).attrs["h"] == "1"
    message = await again.wait("message", from_=other.jid)
    assert message.attrs["to"] == peer.jid
    again.send("</stream:stream>")
    await again.end()

    third = await authenticate(node, ann)
    third.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{enabled.attrs["id"]}" h="2"/>\n')
    await third.wait("failed")
    await bind(third, ann)


LIST = (
    '<iq type="set" id="{id}" from="{jid}">\n  <query xmlns="jabber:iq:privacy">\n    <list name="bl">\n{items}'
    "    </list>\n  </query>\n</iq>"
)
ITEM = '      <item type="jid" value="{value}" action="deny" order="{order}"{end}\n'
STREAMING = "https://connectycube.com/protocol/status_streaming"
KINDS = ">\n        <iq/>\n        <message/>\n        <presence-out/>\n        <presence-in/>\n      </item>"


@pytest.mark.parametrize("mutual", [True, False])
async def test_privacy_last_activity_and_being_inactive(node: Node, mutual: bool) -> None:
    """Users are numbered before their rooms, and children come in another order than in JavaScript."""
    ann, bob, cyd = await node.person(), await node.person(), await node.person()
    mine, theirs = await log_in(node, ann), await log_in(node, bob)
    values = [person.jid for person in (bob, cyd)] + [f"muc.localhost/{person.id}" for person in (bob, cyd)]
    end = "/>" if mutual else KINDS
    items = "".join(ITEM.format(value=value, order=order, end=end) for order, value in enumerate(values, 1))
    mine.send(LIST.format(id="PRIVACYAA", jid=mine.jid, items=items))
    assert names(await mine.wait("iq", id="PRIVACYAA", type="result")) == []
    privacy = '<query xmlns="jabber:iq:privacy">\n    {}\n  </query>'
    requests = {
        "PRIVACYBB": ("set", privacy.format('<default name="bl"/>')),
        "PRIVACYCC": ("get", privacy.format('<list name="bl"/>')),
        "STATUSAAA": ("set", f'<subscribe xmlns="{STREAMING}" user_jid="{bob.jid}" enable="true"/>'),
        "MOBILEAAA": ("set", '<mobile xmlns="http://tigase.org/protocol/mobile#v2" enable="true"/>'),
    }
    answers = {}
    for id_, (kind, payload) in requests.items():
        mine.send(f'<iq type="{kind}" id="{id_}" from="{mine.jid}">\n  {payload}\n</iq>')
        answers[id_] = await mine.wait("iq", id=id_)
    assert [child.get("value") for child in elements(answers["PRIVACYCC"]) if child.name == "item"] == values
    assert answers["STATUSAAA"].get("type") == ("error" if mutual else "result")
    assert answers["MOBILEAAA"].get("type") == "result"
    message_id = node.message_id()
    theirs.send(MESSAGE.format(id=message_id, type="chat", to=ann.jid, body="x", ms=1, dialog=""))
    refused = await theirs.wait("message", id=message_id)
    error = refused.find("error")
    assert error is not None
    assert (error.get("type"), error.get("code")) == ("cancel", "503")
    assert next(error.elements()).name == "service-unavailable"
    assert refused.find("extraParams") is not None  # version 1 reads it without asking
    mine.send(f'<iq type="get" id="LASTAAAAA" to="{bob.jid}">\n  <query xmlns="jabber:iq:last"/>\n</iq>')
    answer = await mine.wait("iq", id="LASTAAAAA", from_=bob.jid)
    assert answer.get("type") == ("error" if mutual else "result")
