"""Whatever a client sends, it gets a clear error on its connection, and the others chat on (RFC 6120 §4.9, §8.3)."""

import asyncio
import base64
import contextlib
import dataclasses
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from tests.support.node import DOORS, PASSWORD, Node, running
from tests.support.xmpp_peer import BINARY, CLOSE, TEXT, Peer, frame
from voxcube.server.c2s.hub import Limits
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import Unavailable
from voxcube.server.storage.database import Unreachable
from voxcube.server.storage.messages import Send
from voxcube.server.storage.writer import Change
from voxcube.xmpp.xml import Element, to_xml

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # There is no other way yet that older versions of pytest-asyncio know as well.
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]

Pair = tuple[Peer, Peer]


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("bad") / "node", "ann", "bob", "eve", "fay") as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A server with little patience."""
    limits = Limits(auth_seconds=0.4, failed_seconds=0.6, close_seconds=0.3, outbox_bytes=100_000)
    async with running(tmp_path_factory.mktemp("hasty") / "node", "ann", "bob", limits=limits) as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(node: Node) -> Pair:
    """Two people whom none of this concerns."""
    found = await node.login(node.people["ann"]), await node.login(node.people["bob"], door="ws")
    node.keep()
    return found


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def undisturbed(node: Node, pair: Pair) -> AsyncIterator[None]:
    """After each test the bystanders talk, and have seen nothing else meanwhile."""
    yield
    await node.hang_up()
    ann, bob = pair
    for one, other in ((ann, bob), (bob, ann)):
        message_id = node.message_id()
        one.send(chat(other.jid.partition("/")[0], message_id, save=True))
        await other.wait("message", id=message_id)
    assert [to_xml(element) for element in ann.waiting + bob.waiting] == []


def chat(to: str, message_id: str, body: str = "hello", *, kind: str = "chat", save: bool = False) -> str:
    extra = "<extraParams><save_to_history>1</save_to_history></extraParams>" if save else ""
    return (
        f'<message xmlns="jabber:client" type="{kind}" id="{message_id}" to="{to}"><body>{body}</body>{extra}</message>'
    )


NESTED = "<message>" + "<a>" * 10_000 + "</a>" * 10_000 + "</message>"
DOCTYPE = '<!DOCTYPE m [<!ENTITY a "aaaa">]><message><body>&a;</body></message>'
ENDING: dict[str, tuple[str | bytes, set[str]]] = {
    "mismatched tags": ("<message><a></b></message>", {"not-well-formed"}),
    "an attribute twice": ('<message id="1" id="2"/>', {"not-well-formed"}),
    "doctype": (DOCTYPE, {"not-well-formed", "restricted-xml"}),
    "an unknown entity": ("<message><body>&lol;</body></message>", {"not-well-formed", "restricted-xml"}),
    "nested": (NESTED, {"policy-violation"}),
    "comment": ("<message><!-- hello --></message>", {"restricted-xml"}),
    "processing instruction": ("<message><?php evil ?></message>", {"restricted-xml"}),
    "nul": (b"<message><body>a\0b</body></message>", {"not-well-formed"}),
    "nul reference": ("<message><body>&#0;</body></message>", {"not-well-formed"}),
    "surrogate reference": ("<message><body>&#xD83D;</body></message>", {"not-well-formed"}),
    "surrogate bytes": (b"<message><body>\xed\xa0\xbd</body></message>", {"not-well-formed"}),
    "latin-1": (b"<message><body>caf\xe9</body></message>", {"not-well-formed"}),
    "control character": (b"<message><body>\x08</body></message>", {"not-well-formed"}),
    "U+FFFF": ("<message><body>\uffff</body></message>", {"not-well-formed"}),
    "an unknown element": ("<greeting/>", {"unsupported-stanza-type"}),
    "another namespace": ('<message xmlns="jabber:server"/>', {"unsupported-stanza-type"}),
    "an acknowledgement of what was never sent": ('<a xmlns="urn:xmpp:sm:3" h="4000"/>', {"undefined-condition"}),
}


# The JavaScript SDK lets these through: in WebSocket frames they are dropped (realtime §6), over TCP they are errors.
REPAIRED_IN_FRAMES = frozenset({"nul", "nul reference", "surrogate reference", "control character", "U+FFFF"})


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", ENDING)
async def test_what_breaks_the_stream_ends_it_with_its_condition(node: Node, case: str, door: str) -> None:
    xml, conditions = ENDING[case]
    peer = await node.login(node.people["eve"], door=door)
    if case.startswith("an acknowledgement"):
        await peer.enable()
    peer.send(xml)
    if case in REPAIRED_IN_FRAMES and door.startswith("ws"):
        await peer.ping()
        assert "<stream:error" not in peer.text
        return
    error = await peer.wait("stream:error")
    assert next(error.elements()).name in conditions
    assert next(error.elements()).xmlns == "urn:ietf:params:xml:ns:xmpp-streams"
    await peer.wait("close")
    await peer.end()


@pytest.mark.parametrize("door", ["xmpp", "xmpps"])
async def test_a_stanza_of_a_mebibyte(node: Node, door: str) -> None:
    peer = await node.login(node.people["eve"], door=door)
    peer.send(chat(node.people["fay"].jid, node.message_id(), "x" * 2**20))
    await peer.end("policy-violation")


@pytest.mark.parametrize("door", ["ws", "wss"])
async def test_a_frame_of_a_mebibyte_and_one_a_little_too_big(node: Node, door: str) -> None:
    peer = await node.login(node.people["eve"], door=door)
    peer.send(chat(node.people["fay"].jid, node.message_id(), "x" * 2**20))
    await peer.end()
    assert peer.close_code == 1009  # RFC 6455 §7.4.1: too big to be read at all
    peer = await node.login(node.people["eve"], door=door)
    peer.send(chat(node.people["fay"].jid, node.message_id(), "x" * 262_100))
    await peer.end("policy-violation")


async def test_a_stanza_that_just_fits_is_relayed(node: Node) -> None:
    eve, fay = await node.login(node.people["eve"]), await node.login(node.people["fay"], door="ws")
    body = "x" * 261_000
    eve.send(chat(node.people["fay"].jid, node.message_id(), body))
    found = (await fay.wait("message")).find("body")
    assert found is not None
    assert found.text == body


async def test_cdata_is_text(node: Node) -> None:
    eve, fay = await node.login(node.people["eve"]), await node.login(node.people["fay"])
    eve.send(chat(node.people["fay"].jid, node.message_id(), "<![CDATA[<b>&]]>"))
    await fay.wait("message")
    assert "<body>&lt;b&gt;&amp;</body>" in fay.text


# -- before the login --------------------------------------------------------------------------------------------------

HEADER = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='{}'>"
FIRST_TCP: dict[str, tuple[str, set[str]]] = {
    "http": ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", {"not-well-formed"}),
    "doctype": ("<?xml version='1.0'?><!DOCTYPE a>" + HEADER.format("localhost"), {"restricted-xml"}),
    "another host": (HEADER.format("example.org"), {"host-unknown"}),
    "no stream": ("<message/>", {"bad-format", "invalid-namespace"}),
    "another namespace": (HEADER.format("localhost").replace("jabber:client", "jabber:server"), {"invalid-namespace"}),
    "version 2": (HEADER.format("localhost").replace("1.0", "2.0"), {"unsupported-version"}),
    "another encoding": ("<?xml version='1.0' encoding='UTF-16'?>" + HEADER, {"unsupported-encoding"}),
    "utf-16": ("\ufeff<\0s\0t\0r\0", {"not-well-formed", "unsupported-encoding"}),
}
FIRST_WS: dict[str, tuple[str, set[str]]] = {
    "no header": ("<message xmlns='jabber:client'/>", {"not-authorized"}),
    "another host": (
        "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' to='example.org'/>",
        {"host-unknown"},
    ),
    "tcp header": (HEADER.format("localhost"), {"not-well-formed"}),
    "two elements": ("<a/><b/>", {"not-well-formed"}),
    "text": ("hello", {"not-well-formed"}),
}


@pytest.mark.parametrize("case", FIRST_TCP)
async def test_a_bad_first_word_on_tcp(node: Node, case: str) -> None:
    xml, conditions = FIRST_TCP[case]
    peer = await node.connect()
    peer.send(xml)
    await peer.wait("open")  # an error needs a stream to be in
    assert next((await peer.wait("stream:error")).elements()).name in conditions
    await peer.end()


@pytest.mark.parametrize("case", FIRST_WS)
async def test_a_bad_first_word_on_websocket(node: Node, case: str) -> None:
    xml, conditions = FIRST_WS[case]
    peer = await node.connect("ws")
    peer.send(xml)
    await peer.wait("open")
    assert next((await peer.wait("stream:error")).elements()).name in conditions
    await peer.end()


@pytest.mark.parametrize("door", DOORS)
async def test_stanzas_before_login_and_before_bind(node: Node, door: str) -> None:
    for authenticated in (False, True):
        peer = await node.connect(door)
        await peer.open()
        if authenticated:
            peer.auth(node.people["eve"].name, PASSWORD)
            await peer.wait("success")
            peer.restart()
            await peer.open()
        peer.send(chat(node.people["fay"].jid, node.message_id()))
        await peer.end("not-authorized")


@pytest.mark.parametrize("door", ["xmpp", "ws"])
async def test_too_much_before_login(node: Node, door: str) -> None:
    peer = await node.connect(door)
    await peer.open()
    peer.send('<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">' + "A" * 20_000)
    await peer.end("policy-violation")


async def test_no_websocket_at_all(node: Node) -> None:
    reader, writer = await asyncio.open_connection(*node.app.doors["ws"])
    writer.write(b"BREW /coffee HTCPCP/1.0\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(100), 30)).startswith(b"HTTP/1.1 4")
    writer.close()


# -- the login ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_a_wrong_password_may_be_corrected_twice(node: Node, door: str) -> None:
    eve = node.people["eve"]
    peer = await node.connect(door)
    await peer.open()
    for _ in range(2):
        peer.auth(eve.name, "wrong")
        failure = await peer.wait("failure")
        assert to_xml(failure) == (
            '<failure xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><not-authorized/>'
            '<text xml:lang="en">Password not verified</text></failure>'
        )
    peer.auth(eve.name, PASSWORD)
    await peer.wait("success")


async def test_the_third_wrong_password_closes(node: Node) -> None:
    peer = await node.connect()
    await peer.open()
    for _ in range(3):
        peer.auth(node.people["eve"].name, "wrong")
        await peer.wait("failure")
    await peer.end("policy-violation")


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


async def test_logins_that_fail_and_why(node: Node) -> None:
    eve, zed = node.people["eve"], node.stranger
    cases = {
        encoded(f"\0{eve.id}-99\0{PASSWORD}"): "not-authorized",  # an unknown application
        encoded(f"\0{eve.id}-{zed.app_id}\0{PASSWORD}"): "not-authorized",  # a user of another one
        encoded(f"\0999999-{eve.app_id}\0{PASSWORD}"): "not-authorized",
        encoded(f"\0{10**17}-{10**17}\0{PASSWORD}"): "not-authorized",
        encoded(f"\0eve\0{PASSWORD}"): "not-authorized",
        encoded(f"\0{eve.name}\0{'x' * 5000}"): "not-authorized",
        encoded(f"{zed.jid}\0{eve.name}\0{PASSWORD}"): "invalid-authzid",
        encoded(f"\0{eve.name}\0"): "malformed-request",
        encoded(f"{eve.name} {PASSWORD}"): "malformed-request",
        encoded(b"\0\xff\0\xff"): "malformed-request",
        "=": "malformed-request",
        "!!!": "incorrect-encoding",
        "AAA": "incorrect-encoding",
    }
    for response, condition in cases.items():
        peer = await node.connect()
        await peer.open()
        peer.send(f'<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">{response}</auth>')
        assert next((await peer.wait("failure")).elements()).name == condition, response
        peer.auth(eve.name, PASSWORD)  # the stream is still good
        await peer.wait("success")
        await peer.close()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "ANONYMOUS", "EXTERNAL", "plain", ""])
async def test_other_mechanisms(node: Node, mechanism: str) -> None:
    peer = await node.connect("ws")
    await peer.open()
    peer.send(f'<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="{mechanism}">AAAA</auth>')
    assert next((await peer.wait("failure")).elements()).name == "invalid-mechanism"


async def seen(peer: Peer, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in peer.text:
            await asyncio.sleep(0.01)


async def test_a_client_that_does_not_wait_for_answers(node: Node) -> None:
    eve = node.people["eve"]
    peer = await node.connect()
    peer.parsing = False
    header = HEADER.format("localhost")
    auth = encoded(f"\0{eve.name}\0{PASSWORD}")
    peer.send(
        f'{header}<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">{auth}</auth>{header}'
        '<iq type="set" id="b"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>'
        '<iq type="get" id="p"><ping xmlns="urn:xmpp:ping"/></iq><presence/>'
    )
    await seen(peer, "<presence")
    peer.send(
        '<presence/><iq type="get" id="q"><ping xmlns="urn:xmpp:ping"/></iq>'
        f'<message id="m" type="chat" to="{node.people["fay"].jid}"/></stream:stream>'
    )
    await seen(peer, "</stream:stream>")
    await peer.end()
    tail = peer.text[peer.text.index("<success") :]
    order = ["<success", "<stream:features", 'id="b"', 'id="p"', "<presence", 'id="q"', "</stream:stream>"]
    assert sorted(order, key=tail.index) == order
    assert tail.endswith("</stream:stream>")


async def test_a_client_that_leaves_during_its_login(node: Node) -> None:
    for goodbye in ("</stream:stream>", "<a></b>", "x" * 20_000):
        peer = await node.connect()
        await peer.open()
        peer.auth(node.people["eve"].name, "wrong again")
        peer.send(goodbye)
        await asyncio.sleep(0)
        await peer.close()


async def test_who_hangs_up_during_the_login_never_came(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    release = asyncio.Event()
    came: list[Session] = []
    authenticate = node.app.hub.authenticate

    async def slow(*who: Any) -> Any:
        found = await authenticate(*who)
        await release.wait()
        return found

    peer = await node.connect()
    await peer.open()
    connected = set(node.app.hub.connected)
    with monkeypatch.context() as patch:
        patch.setattr(node.app.hub, "authenticate", slow)
        patch.setattr(node.app.hub, "came", came.append)
        peer.auth(node.people["eve"].name, PASSWORD)
        await asyncio.sleep(0.05)
        # A reset, which comes without an end of file before it.
        plug = peer.writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await peer.close()
        async with asyncio.timeout(30):
            while connected <= node.app.hub.connected:
                await asyncio.sleep(0.01)
        release.set()
        await asyncio.sleep(0.05)
    assert came == []


async def test_a_server_that_takes_its_time_cuts_nobody_off(hasty: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    # A crowd that logs in at once waits for its passwords to be hashed: longer than a silent client may wait.
    authenticate = hasty.app.hub.authenticate

    async def slow(*who: Any) -> Any:
        await asyncio.sleep(hasty.app.hub.limits.auth_seconds * 1.5)
        return await authenticate(*who)

    peer = await hasty.connect()
    await peer.open()
    with monkeypatch.context() as patch:
        patch.setattr(hasty.app.hub, "authenticate", slow)
        peer.auth(hasty.people["ann"].name, PASSWORD)
        await peer.wait("success")


async def test_a_client_that_never_acknowledges_is_disconnected(hasty: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hasty.app.hub
    monkeypatch.setattr(hub, "limits", dataclasses.replace(hub.limits, unacknowledged=500))
    # It reads all it gets, so that nothing but the list of what it might still miss would grow.
    ann, bob = hasty.people["ann"], hasty.people["bob"]
    sender, reader = await hasty.login(ann, sm=True), await hasty.login(bob, sm=True)
    ids = [hasty.message_id() for _ in range(600)]
    sender.send("".join(chat(bob.jid, message_id, save=True) for message_id in ids))
    await reader.end()
    await sender.request()
    again = await hasty.login(bob)
    assert [(await again.wait("message")).get("id") for _ in range(100)] == ids[-100:]
    await hasty.hang_up()


# -- resources ---------------------------------------------------------------------------------------------------------


async def test_bad_resources_and_another_try(node: Node) -> None:
    peer = await node.connect()
    await peer.open()
    peer.auth(node.people["eve"].name, PASSWORD)
    await peer.wait("success")
    peer.restart()
    await peer.open()
    for resource in ("x" * 2000, "\U0001f355" * 256, "tab\there"):
        peer.send(
            f'<iq type="set" id="b0"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"><resource>{resource}</resource>'
            "</bind></iq>"
        )
        reply = await peer.wait("iq", id="b0", type="error")
        check_error(reply, "bad-request", 400, "modify")
    assert await peer.bind('fl_"<&amp;'.replace("<", "&lt;")) == f'{node.people["eve"].jid}/fl_"<&'
    await peer.available()


async def test_the_same_resource_again_replaces_the_older_session(node: Node) -> None:
    fay = await node.login(node.people["fay"])
    older = await node.login(node.people["eve"], resource="flutter_a/b+c=")
    newer = await node.login(node.people["eve"], resource="flutter_a/b+c=", door="ws")
    await older.end("conflict")
    fay.send(chat(newer.jid, node.message_id()))
    await newer.wait("message", to=newer.jid)


# -- stanzas that are refused ------------------------------------------------------------------------------------------


def check_error(reply: Element, condition: str, code: int, kind: str) -> None:
    """The exact form that both SDKs need (realtime §7.2)."""
    error = list(reply.elements())[-1]
    assert (error.name, error.attrs) == ("error", {"code": str(code), "type": kind}), to_xml(reply)
    first, text = error.elements()
    space = "urn:ietf:params:xml:ns:xmpp-stanzas"
    assert (first.name, first.attrs) == (condition, {"xmlns": space}), to_xml(reply)
    assert (text.name, text.attrs) == ("text", {"xmlns": space, "xml:lang": "en"})
    assert text.text


async def test_messages_that_are_refused(node: Node) -> None:
    people, zed = node.people, node.stranger
    eve, fay = people["eve"], people["fay"]
    private = await node.dialog(eve, fay, kind=3)
    others = await node.dialog(people["ann"], people["bob"])
    app = eve.app_id
    missing = ("item-not-found", 404, "cancel")
    cases = [
        (f"999999-{app}@localhost", "chat", missing),
        (zed.jid, "chat", missing),
        (f"{fay.id}-{zed.app_id}@localhost", "chat", missing),
        (f"{fay.name}@example.org", "chat", missing),
        ("localhost", "chat", missing),
        ("@@", "chat", missing),
        (f"{app}_{others}@muc.localhost", "chat", ("bad-request", 400, "modify")),
        (fay.jid, "groupchat", missing),
        (f"{app}_{others}@muc.localhost", "groupchat", ("forbidden", 403, "auth")),
        (f"{app}_{others}@muc.localhost/{eve.id}", "groupchat", ("bad-request", 400, "modify")),
        (f"{zed.app_id}_{others}@muc.localhost", "groupchat", missing),
        (f"{app}_{others}@muc.example.org", "groupchat", missing),
        (f"{app}_{'0' * 24}@muc.localhost", "groupchat", missing),
        (f"{app}_{private}@muc.localhost", "groupchat", missing),
        (f"{app}_nonsense@muc.localhost", "groupchat", missing),
        (f"999999-{app}@localhost", "headline", missing),
        (zed.jid, "headline", missing),
        (f"{app}_{others}@muc.localhost", "headline", ("bad-request", 400, "modify")),
        (f"999999-{app}@localhost", "normal", missing),
        (zed.jid, "strange", missing),
        (f"{app}_{others}@muc.localhost", "strange", ("bad-request", 400, "modify")),
    ]
    for door in ("xmpp", "wss"):
        peer = await node.login(eve, door=door)
        for to, kind, expected in cases:
            for save in (False, True):
                message_id = node.message_id()
                peer.send(chat(to, message_id, kind=kind, save=save))
                reply = await peer.wait("message", id=message_id)
                assert reply.attrs == {
                    "xmlns": "jabber:client",
                    "type": "error",
                    "id": message_id,
                    "from": to,
                    "to": peer.jid,
                }
                children = list(reply.elements())
                assert [child.name for child in children[:-1]] == ["body", "extraParams"][: 1 + save]
                check_error(reply, *expected)
        await peer.ping()
        assert peer.waiting == []
        await node.hang_up()


async def test_messages_without_address_or_type(node: Node) -> None:
    """The own account, and normal (RFC 6120 §10.3.1, RFC 6121 §5.2.2)."""
    peer, other = await node.login(node.people["eve"]), await node.login(node.people["eve"])
    peer.send('<message id="m1" type="chat"><body>x</body></message>')
    await other.wait("message", id="m1", from_=peer.jid)
    peer.send(f'<message id="m2" to="{(await node.person()).jid}"><body>x</body></message>')
    await peer.ping()
    assert not peer.take_all("message")


async def test_no_error_is_answered_and_none_comes_for_typing_and_markers(node: Node) -> None:
    peer = await node.login(node.people["eve"])
    app = peer.jid.partition("@")[0].partition("-")[2]
    state = '<composing xmlns="http://jabber.org/protocol/chatstates"/>'
    marker = f'<displayed xmlns="urn:xmpp:chat-markers:0" id="{node.message_id()}"/>'
    for child in (state, marker):
        for to in (f"999999-{app}@localhost", "nobody@example.org", node.stranger.jid):
            peer.send(f'<message type="chat" to="{to}">{child}</message>')
        for to in (f"{app}_{'0' * 24}@muc.localhost", "nothing@muc.localhost", node.people["fay"].jid):
            peer.send(f'<message type="groupchat" to="{to}">{child}</message>')
    for to in (node.people["ann"].jid, f"{app}_{'0' * 24}@muc.localhost", "nowhere"):
        peer.send(f'<message type="error" to="{to}"><body>x</body></message>')
        peer.send(f'<iq type="error" id="e" to="{to}"/>')
        peer.send(f'<iq type="result" id="e" to="{to}"/>')
    peer.send('<presence type="error" to="nowhere"/>')
    peer.send('<presence type="probe" to="nowhere"/>')
    await peer.ping()
    assert peer.waiting == []


async def test_requests_that_are_refused(node: Node) -> None:
    peer = await node.login(node.people["eve"], door="ws")
    ping = '<ping xmlns="urn:xmpp:ping"/>'
    unavailable, bad = ("service-unavailable", 503, "cancel"), ("bad-request", 400, "modify")
    ours = node.people["fay"].jid
    cases = [
        ('type="get"', '<query xmlns="jabber:iq:version"/>', unavailable),
        ('type="set"', ping, unavailable),
        ('type="get"', '<ping xmlns="urn:xmpp:pong"/>', unavailable),
        (f'type="get" to="{ours}"', ping, unavailable),
        ('type="get" to="example.org"', ping, unavailable),
        ('type="get" to="muc.localhost"', ping, ("item-not-found", 404, "cancel")),
        ('type="get"', ping + ping, bad),
        ('type="get"', "", bad),
        ('type="get"', "text", bad),
        ('type="want"', ping, bad),
        ("", ping, bad),
    ]
    for number, (attrs, children, expected) in enumerate(cases):
        peer.send(f'<iq xmlns="jabber:client" id="q{number}" {attrs}>{children}</iq>')
        reply = await peer.wait("iq", id=f"q{number}", type="error", to=peer.jid)
        check_error(reply, *expected)
    peer.send(f'<iq xmlns="jabber:client" type="get">{ping}</iq>')
    check_error(await peer.wait("iq", type="error"), "bad-request", 400, "modify")


async def test_ids(node: Node) -> None:
    eve, fay = await node.login(node.people["eve"]), await node.login(node.people["fay"])
    to_fay, to_eve = node.people["fay"].jid, node.people["eve"].jid
    message_id = node.message_id()
    eve.send(chat(to_fay, message_id, "once", save=True))
    await fay.wait("message", id=message_id)
    eve.send(chat(to_fay, message_id, "once", save=True))  # a resend: no error, nothing new
    await eve.ping()
    fay.send(chat(to_eve, message_id, "mine", save=True))
    check_error(await fay.wait("message", id=message_id, type="error"), "conflict", 409, "cancel")
    eve.send(chat(node.people["ann"].jid, message_id, "elsewhere", save=True))
    check_error(await eve.wait("message", id=message_id, type="error"), "conflict", 409, "cancel")
    for odd in ("QWERTYUIO", "x" * 300, message_id.upper(), "a\"&lt;'&amp;"):
        eve.send(f'<message type="chat" id=\'{odd.replace(chr(39), "&apos;")}\' to="{to_fay}"><body>x</body></message>')
        found = await fay.wait("message")
        extra = found.find("extraParams")
        assert extra is not None
        made = extra.find("message_id")
        assert made is not None
        assert len(made.text) == 24
        assert found.get("id") == odd.replace("&lt;", "<").replace("&amp;", "&")
    await fay.ping()
    assert fay.waiting == eve.waiting == []


# -- sockets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_who_says_nothing_is_shown_the_door(hasty: Node, door: str) -> None:
    silent, half, headed, failed = [await hasty.connect(door) for _ in range(4)]
    if door.startswith("xmpp"):
        half.send("<?xml version='1.0'?><stream:stream xmlns='jabb")
    else:
        half.writer.write(frame(b"<open xmlns='urn:ietf", fin=False))
    await headed.open()
    await failed.open()
    failed.auth(hasty.people["ann"].name, "wrong")
    await failed.wait("failure")
    for peer in (silent, half, headed, failed):
        await peer.end("connection-timeout")


@pytest.mark.parametrize("door", DOORS)
async def test_who_logs_in_but_does_not_bind(hasty: Node, door: str) -> None:
    peer = await hasty.connect(door)
    await peer.open()
    peer.auth(hasty.people["ann"].name, PASSWORD)
    await peer.wait("success")
    peer.restart()
    await peer.end()
    assert "connection-timeout" in peer.text


@pytest.mark.parametrize(
    ("door", "data"), [("xmpps", b"\x16\x03\x01"), ("wss", b"\x16"), ("wss", b""), ("ws", b"GET / HT")]
)
async def test_half_an_upgrade_and_half_a_handshake(hasty: Node, door: str, data: bytes) -> None:
    reader, writer = await asyncio.open_connection(*hasty.app.doors[door])
    writer.write(data)
    async with asyncio.timeout(15):
        with contextlib.suppress(ConnectionError):
            while await reader.read(100):
                pass
    writer.close()


async def test_no_tls_at_a_door_with_tls(node: Node) -> None:
    for door in ("xmpps", "wss"):
        reader, writer = await asyncio.open_connection(*node.app.doors[door])
        writer.write(HEADER.format("localhost").encode())
        async with asyncio.timeout(15):
            with contextlib.suppress(ConnectionError):
                while await reader.read(100):
                    pass
        writer.close()


@pytest.mark.parametrize("door", ["xmpp", "ws"])
async def test_a_half_closed_socket_is_closed(node: Node, door: str) -> None:
    peer = await node.login(node.people["eve"], door=door)
    peer.writer.write_eof()
    await peer.end()


@pytest.mark.parametrize("door", DOORS)
async def test_a_reset_in_the_middle_of_a_stanza(node: Node, door: str) -> None:
    peer = await node.login(node.people["eve"], door=door)
    peer.writer.write(b'<message to="' if door.startswith("xmpp") else b"\x81\xfe\x10")
    await peer.close()


@pytest.mark.parametrize("door", DOORS)
async def test_dripping_bytes_are_as_good_as_any(node: Node, door: str) -> None:
    peer, fay = await node.connect(door), await node.login(node.people["fay"])
    plain, peer.writer.write = peer.writer.write, lambda data: None  # type: ignore[method-assign]

    async def drip(data: bytes) -> None:
        for index in range(0, len(data), 3):
            plain(data[index : index + 3])
            await asyncio.sleep(0)

    tasks = []
    peer.writer.write = lambda data: tasks.append(asyncio.ensure_future(drip(data)))  # type: ignore[arg-type,method-assign]
    await peer.login(node.people["eve"].name, PASSWORD)
    message_id = node.message_id()
    peer.send(chat(node.people["fay"].jid, message_id, "dröp 👋 by dröp"))
    await fay.wait("message", id=message_id)
    assert tasks


@pytest.mark.parametrize("door", ["ws", "wss"])
async def test_frames(node: Node, door: str) -> None:
    fay = await node.login(node.people["fay"])
    peer = await node.login(node.people["eve"], door=door)
    message_id = node.message_id()
    data = chat(node.people["fay"].jid, message_id, "in 👋 parts").encode()
    peer.writer.write(frame(data[:90], fin=False))
    for byte in data[90:-1]:  # a message cut anywhere, even inside a character
        peer.writer.write(frame(bytes([byte]), 0, fin=False))
    peer.writer.write(frame(b"", 9))  # a WebSocket ping in between
    peer.writer.write(frame(data[-1:], 0))
    await fay.wait("message", id=message_id)
    peer.send("   ")  # a keep-alive
    await peer.ping()
    peer.writer.write(frame(b"<presence/>", BINARY))
    await peer.end("not-well-formed")

    for frames in ([frame(b"<presence/>", 0)], [frame(b"<pres", fin=False), frame(b"<presence/>", TEXT)]):
        peer = await node.login(node.people["eve"], door=door)
        for one in frames:
            peer.writer.write(one)
        await peer.end("not-well-formed")

    peer = await node.login(node.people["eve"], door=door)
    for _ in range(300):
        peer.writer.write(frame(b"x" * 1000, 0 if _ else TEXT, fin=False))
    await peer.end("policy-violation")


@pytest.mark.parametrize("door", ["ws", "wss"])
async def test_a_websocket_that_closes_without_closing_the_stream(node: Node, door: str) -> None:
    peer = await node.login(node.people["eve"], door=door)
    peer.writer.write(frame((1001).to_bytes(2, "big"), CLOSE))
    await peer.end()
    peer = await node.login(node.people["eve"], door=door)
    peer.send('<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>')
    await peer.wait("close", xmlns="urn:ietf:params:xml:ns:xmpp-framing")
    await peer.end()
    assert peer.close_code == 1000


@pytest.mark.parametrize("door", ["ws", "wss"])
async def test_javascript_arrays_are_repaired_on_websockets(node: Node, door: str) -> None:
    eve, fay = await node.login(node.people["eve"], door=door), await node.login(node.people["fay"])
    eve.send(
        f'<message xmlns="jabber:client" type="chat" id="{node.message_id()}" to="{node.people["fay"].jid}">'
        "<body>1 &lt; 2</body><extraParams><arr><0>p</0><1>q</1></arr></extraParams></message>"
    )
    await fay.wait("message")
    assert "<arr><_0>p</_0><_1>q</_1></arr>" in fay.text
    tcp = await node.login(node.people["eve"])
    tcp.send(f'<message type="chat" to="{node.people["fay"].jid}"><extraParams><0>p</0></extraParams></message>')
    await tcp.end("not-well-formed")


@pytest.mark.parametrize("door", DOORS)
async def test_a_reader_too_slow_is_disconnected_and_gets_the_rest_later(hasty: Node, door: str) -> None:
    ann, bob = hasty.people["ann"], hasty.people["bob"]
    sender = await hasty.login(ann, sm=True)
    slow = await hasty.login(bob, door=door, sm=True, narrow=True)
    slow.paused.clear()
    sent = [hasty.message_id() for _ in range(60)]
    for message_id in sent:
        sender.send(chat(bob.jid, message_id, "x" * 200_000, save=True))
        await sender.request()  # not all in one turn of the server's loop
    async with asyncio.timeout(30):
        while len(hasty.app.hub.sessions.of(bob.id)) > 0:
            await asyncio.sleep(0.01)
    slow.paused.set()
    await slow.end()
    again = await hasty.login(bob, presence=False)
    again.send("<presence/>")
    assert [(await again.wait("message")).get("id") for _ in sent] == sent
    await hasty.hang_up()


# -- a server that cannot do its work ----------------------------------------------------------------------------------


async def test_no_login_while_the_database_is_away(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise Unreachable

    peer = await node.connect()
    await peer.open()
    with monkeypatch.context() as patch:
        patch.setattr(node.app.hub, "authenticate", away)
        peer.auth(node.people["eve"].name, PASSWORD)
        assert next((await peer.wait("failure")).elements()).name == "temporary-auth-failure"
    peer.auth(node.people["eve"].name, PASSWORD)
    await peer.wait("success")


async def test_nothing_overtakes_a_message_that_could_not_be_stored(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender will send both again, in order; it must not find the second one stored before the first."""
    eve, fay = node.people["eve"], node.people["fay"]
    dialog_id = await node.dialog(eve, fay, kind=3)
    before = len(await node.history(fay, dialog_id))
    peer, other = await node.login(eve), await node.login(fay)
    peer.send(chat(fay.jid, node.message_id()))
    await other.wait("message")
    await peer.enable()
    writer = node.app.writer
    refused: list[Change] = []
    put = writer.put

    def first_fails(change: Change, key: str) -> None:
        if isinstance(change, Send) and not refused:
            refused.append(change)
            change.error = Unavailable()
            change.done(change)
        else:
            put(change, key)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "put", first_fails)
        both = [chat(fay.jid, node.message_id(), save=True) + '<r xmlns="urn:xmpp:sm:3"/>' for _ in range(2)]
        peer.send("".join(both))
        await peer.end("internal-server-error")
    assert refused
    assert "<a " not in peer.text
    assert len(await node.history(fay, dialog_id)) == before
    await other.ping()
    assert other.take_all("message") == []


async def test_who_hangs_up_while_a_fact_is_read_spoils_it_for_nobody(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve, fay, gus = node.people["eve"], node.people["fay"], await node.person()
    one, two, target = await node.login(eve), await node.login(fay), await node.login(gus)
    release, waiting = asyncio.Event(), []
    value = node.app.database.value

    async def slow(query: Any, *values: Any) -> Any:
        waiting.append(query)
        await release.wait()
        return await value(query, *values)

    with monkeypatch.context() as patch:
        patch.setattr(node.app.database, "value", slow)
        one.send(chat(gus.jid, node.message_id()))
        async with asyncio.timeout(30):
            while not waiting:
                await asyncio.sleep(0.01)
        message_id = node.message_id()
        two.send(chat(gus.jid, message_id))
        await asyncio.sleep(0.05)
        await one.close()
        await asyncio.sleep(0.05)
        release.set()
        await target.wait("message", id=message_id)
    await two.ping()
    assert two.take_all("message") == []


@pytest.mark.parametrize("door", DOORS)
async def test_a_password_when_it_is_asked_for(node: Node, door: str) -> None:
    """RFC 6120 §6.4.3: PLAIN without an initial response."""
    person = node.people["eve"]
    peer = await node.connect(door)
    await peer.open()
    for password, answer in (("wrong", "failure"), (PASSWORD, "success")):
        peer.send('<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN"/>')
        await peer.wait("challenge")
        response = base64.b64encode(f"\0{person.name}\0{password}".encode()).decode()
        peer.send(f'<response xmlns="urn:ietf:params:xml:ns:xmpp-sasl">{response}</response>')
        await peer.wait(answer)
    peer.restart()
    await peer.open()
    await peer.bind()
    await peer.available()


async def test_who_is_asked_and_never_answers(hasty: Node) -> None:
    peer = await hasty.connect("ws")
    await peer.open()
    peer.send('<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN"/>')
    await peer.wait("challenge")
    await peer.end("connection-timeout")
