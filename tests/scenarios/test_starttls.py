"""STARTTLS on real sockets: the login that Flutter and standard clients make, and those who mean it ill."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from tests.scenarios.test_doors import AFTER, MECHANISMS, SAVE, TCP_OPEN, literal
from tests.support.node import PASSWORD, Node, Person, running
from tests.support.xmpp_peer import Peer
from voxcube.server.c2s.hub import Limits
from voxcube.xmpp.xml import to_xml

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]

OFFER = (
    '<stream:features xmlns:stream="http://etherx.jabber.org/streams">'
    '<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"><required/></starttls></stream:features>'
)
PROCEED = '<proceed xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>'


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("starttls") / "node", "ann", "bob", plaintext=False) as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A server without patience."""
    limits = Limits(auth_seconds=0.4, failed_seconds=0.6, close_seconds=0.3)
    data = tmp_path_factory.mktemp("hasty") / "node"
    async with running(data, "ann", limits=limits, plaintext=False) as node:
        yield node


async def login(node: Node, person: Person, resource: str | None = None) -> Peer:
    peer = await node.connect("xmpp")
    await peer.open()
    await peer.starttls()
    await peer.login(person.name, PASSWORD, resource)
    await peer.available()
    return peer


async def nobody(node: Node) -> None:
    """Waits until the server knows of no connection."""
    async with asyncio.timeout(30):
        while node.app.hub.connected:
            await asyncio.sleep(0.02)


async def test_the_handshake_to_the_letter(node: Node) -> None:
    ann = node.people["ann"]
    peer = await login(node, ann)
    expected = literal(
        f"{TCP_OPEN}{OFFER}{PROCEED}{TCP_OPEN}{MECHANISMS}"
        f'<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>{TCP_OPEN}{AFTER}'
        '<iq xmlns="jabber:client" type="result" id="b1"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind">'
        f"<jid>{ann.jid}/…</jid></bind></iq>"
        f'<presence xmlns="jabber:client" from="{ann.jid}/…" to="{ann.jid}/…"/>'
    )
    assert re.fullmatch(expected, peer.text), peer.text
    assert len(set(re.findall("(?<= id=')[^']{16,}", peer.text))) == 3
    peer.send("</stream:stream>")
    await peer.wait("close")
    await peer.end()
    await node.hang_up()
    await nobody(node)


async def test_a_chat_in_both_directions(node: Node) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    sender, receiver = await login(node, ann), await node.login(bob, door="xmpps")
    body = "many words " * 20_000  # more than any buffer between the two
    for here, there, person in ((sender, receiver, bob), (receiver, sender, ann)):
        id_ = node.message_id()
        here.send(f'<message type="chat" id="{id_}" to="{person.jid}"><body>{body}</body>{SAVE}</message>')
        found = (await there.wait("message", id=id_)).find("body")
        assert found is not None
        assert found.text == body
    await node.hang_up()


async def test_what_is_sent_in_clear_behind_it_is_never_read(node: Node) -> None:
    """CVE-2011-0411: somebody on the wire logs in for the victim, whose first words are then read by the attacker."""
    peer = await node.connect("xmpp")
    await peer.open()
    behind = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
    behind += "xmlns:stream='http://etherx.jabber.org/streams'>"
    behind += '<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">AGEAYg==</auth>'
    await peer.starttls(behind=behind)
    await asyncio.sleep(0.1)
    assert peer.text.endswith(PROCEED)
    await peer.login(node.people["ann"].name, PASSWORD)
    await peer.available()
    assert "<failure" not in peer.text
    await node.hang_up()


async def test_what_comes_in_clear_after_the_answer_is_no_handshake(node: Node) -> None:
    peer = await node.connect("xmpp")
    await peer.open()
    peer.send('<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>')
    await peer.wait("proceed")
    peer.send('<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">AGEAYg==</auth>' * 20)
    with contextlib.suppress(UnicodeDecodeError):  # an alert of TLS
        await peer.end()
    assert "<failure" not in peer.text
    await nobody(node)


async def test_no_password_before_it(node: Node) -> None:
    peer = await node.connect("xmpp")
    await peer.open()
    peer.auth(node.people["ann"].name, PASSWORD)
    assert next((await peer.wait("failure")).elements()).name == "encryption-required"
    await peer.starttls()
    await peer.login(node.people["ann"].name, PASSWORD)
    await node.hang_up()


@pytest.mark.parametrize("twice", [False, True], ids=["where TLS is already", "twice"])
async def test_it_is_refused_where_it_makes_no_sense(node: Node, twice: bool) -> None:
    peer = await node.connect("xmpp" if twice else "xmpps")
    await peer.open()
    if twice:
        await peer.starttls()
        await peer.open()
    peer.send('<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>')
    assert to_xml(await peer.wait("failure")) == '<failure xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>'
    await peer.wait("close")
    await peer.end()


async def test_who_does_not_begin_or_finish_the_handshake(hasty: Node) -> None:
    for hello in (b"", b"\x16\x03\x01\x02\x00\x01"):
        peer = await hasty.connect("xmpp")
        await peer.open()
        peer.send('<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>')
        await peer.wait("proceed")
        peer.writer.write(hello)
        await peer.end()
        assert peer.text.endswith(PROCEED)  # nothing in clear any more
    await nobody(hasty)


async def test_who_says_nothing_after_the_handshake(hasty: Node) -> None:
    peer = await hasty.connect("xmpp")
    await peer.open()
    await peer.starttls()
    await peer.end("connection-timeout")
    await nobody(hasty)


async def test_who_hangs_up_during_the_handshake(node: Node) -> None:
    for _ in range(3):
        peer = await node.connect("xmpp")
        await peer.open()
        peer.send('<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>')
        await peer.wait("proceed")
        peer.writer.write(b"\x16\x03\x01\x02\x00\x01")
        await peer.close()
    await nobody(node)


async def test_a_server_that_stops(tmp_path: Path) -> None:
    async with running(tmp_path / "node", "ann", plaintext=False) as node:
        inside = await login(node, node.people["ann"])
        between = await node.connect("xmpp")
        await between.open()
        between.send('<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>')
        await between.wait("proceed")
    assert "<system-shutdown" in inside.text
    assert between.text.endswith(PROCEED)
    assert inside.over
    assert between.over
