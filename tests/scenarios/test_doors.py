"""The XMPP doors from the first byte to the last: the handshake as clients know it, and how a server stops."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from tests.support.node import DOORS, PASSWORD, Node, running
from tests.support.server_process import ServerProcess
from tests.support.xmpp_peer import Peer
from voxcube.server.accounts import Accounts
from voxcube.server.config import Config
from voxcube.xmpp.xml import Element, to_xml

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]

SAVE = "<extraParams><save_to_history>1</save_to_history></extraParams>"


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("doors") / "node", "ann", "bob") as node:
        yield node


def literal(text: str) -> str:
    """A pattern for `text`, in which … stands for an id."""
    return re.escape(text).replace("…", "[A-Za-z0-9_-]{16,}")


FEATURES = '<stream:features xmlns:stream="http://etherx.jabber.org/streams">{}</stream:features>'
MECHANISMS = FEATURES.format(
    '<mechanisms xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><mechanism>PLAIN</mechanism></mechanisms>'
)
AFTER = FEATURES.format(
    '<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>'
    '<session xmlns="urn:ietf:params:xml:ns:xmpp-session"><optional/></session><sm xmlns="urn:xmpp:sm:3"/>'
    '<csi xmlns="urn:xmpp:csi:0"/>'
)
TCP_OPEN = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    "from='localhost' id='…' version='1.0' xml:lang='en'>"
)
WS_OPEN = '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from="localhost" id="…" version="1.0" xml:lang="en"/>'


@pytest.mark.parametrize("door", DOORS)
async def test_the_handshake_to_the_letter(node: Node, door: str) -> None:
    ann = node.people["ann"]
    peer = await node.login(ann, door=door)
    header = WS_OPEN if door.startswith("ws") else TCP_OPEN
    expected = literal(
        f'{header}{MECHANISMS}<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>{header}{AFTER}'
        '<iq xmlns="jabber:client" type="result" id="b1"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind">'
        f"<jid>{ann.jid}/…</jid></bind></iq>"
        f'<presence xmlns="jabber:client" from="{ann.jid}/…" to="{ann.jid}/…"/>'
    )
    assert re.fullmatch(expected, peer.text), peer.text
    ids = re.findall(r"""(?<= )id=['"]([^'"]{16,})""", peer.text)
    assert len(set(ids)) == 2  # a new id for the new stream
    resource = peer.jid.partition("/")[2]
    assert re.search("[a-z]", resource)
    assert (await node.login(ann, door=door)).jid != peer.jid
    peer.send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>" if door.startswith("ws") else "</stream:stream>")
    await peer.wait("close")
    await peer.end()
    await node.hang_up()


@pytest.mark.parametrize("to", ["localhost", "LOCALHOST", "127.0.0.1", "::1"])
async def test_aliases_are_answered_with_the_canonical_name(node: Node, to: str) -> None:
    for door in ("xmpp", "ws"):
        peer = await node.connect(door)
        await peer.open(to)
        assert re.search("""from=['"]localhost['"]""", peer.text)


async def test_what_flutter_asks_before_it_is_ready(node: Node) -> None:
    """Indented stanzas, its own resource, session, discovery, roster (realtime §2.2, §3)."""
    ann = node.people["ann"]
    peer = await node.connect("xmpps")
    await peer.open()
    peer.auth(ann.name, PASSWORD)
    await peer.wait("success")
    peer.restart()
    peer.send("\n")
    await peer.open()
    peer.send(
        '\n<iq type="set" id="QWERTYUIO">\n  <bind xmlns="urn:ietf:params:xml:ns:xmpp-bind">\n'
        "    <resource>\n      flutter_aGk/bG8+eA==\n    </resource>\n  </bind>\n</iq>\n"
    )
    await peer.wait("iq", id="QWERTYUIO", type="result")
    jid = f"{ann.jid}/flutter_aGk/bG8+eA=="
    assert f"<jid>{jid}</jid>" in peer.text
    requests = {
        "S": ("set", '<session xmlns="urn:ietf:params:xml:ns:xmpp-session"/>', ""),
        "R": ("get", '<query xmlns="jabber:iq:roster"/>', '<query xmlns="jabber:iq:roster"/>'),
        "C": ("set", '<enable xmlns="urn:xmpp:carbons:2"/>', ""),
        "P": ("get", '<ping xmlns="urn:xmpp:ping"/>', ""),
        "I": (
            "get",
            '<query xmlns="http://jabber.org/protocol/disco#items"/>',
            '<query xmlns="http://jabber.org/protocol/disco#items"><item jid="muc.localhost" name="Dialogs"/></query>',
        ),
    }
    for to, from_ in (("", ann.jid), (' to="localhost"', "localhost"), (f' to="{ann.jid}"', ann.jid)):
        for id_, (kind, child, answer) in requests.items():
            peer.send(f'\n<iq type="{kind}" id="{id_}"{to}>\n  {child}\n</iq>')
            head = f'<iq xmlns="jabber:client" type="result" id="{id_}" from="{from_}" to="{jid}"'
            expected = f"{head}>{answer}</iq>" if answer else f"{head}/>"
            assert to_xml(await peer.wait("iq", id=id_)) == expected


async def test_discovery_lists_what_flutter_looks_for(node: Node) -> None:
    peer = await node.login(node.people["ann"])
    peer.send('<iq type="get" id="d" to="localhost"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>')
    query = (await peer.wait("iq", id="d", type="result")).find("query", "http://jabber.org/protocol/disco#info")
    assert query is not None
    [identity] = [child for child in query.elements() if child.name == "identity"]
    assert (identity.get("category"), identity.get("type")) == ("server", "im")
    listed = {child.get("var") for child in query.elements() if child.name == "feature"}
    assert listed >= {
        "urn:xmpp:carbons:2",
        "jabber:iq:roster",
        "urn:xmpp:ping",
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
        "http://jabber.org/protocol/chatstates",
        "urn:xmpp:chat-markers:0",
    }
    assert "urn:xmpp:mam:2" not in listed  # Flutter would ask for it before it is ready


async def test_a_token_is_a_password(node: Node) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    client = await node.rest_login(ann)
    token = client.headers["CB-Token"]
    await client.aclose()
    await (await node.connect("wss")).login(ann.name, token)
    peer = await node.connect("wss")
    await peer.open()
    peer.auth(bob.name, token)  # not of another user
    await peer.wait("failure")


# -- passwords in clear ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["xmpp", "ws"])
async def test_no_password_in_clear_from_elsewhere(node: Node, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxcube.server.net.acceptor.peer_address", lambda name: "192.0.2.7")
    peer = await node.connect(door)
    features = await peer.open()
    assert [child.name for child in features.elements()] == ["mechanisms"]
    assert "PLAIN" not in to_xml(features)
    peer.auth(node.people["ann"].name, PASSWORD)
    assert next((await peer.wait("failure")).elements()).name == "encryption-required"
    monkeypatch.undo()


@pytest.mark.parametrize("door", ["xmpps", "wss"])
async def test_on_encrypted_doors_from_anywhere(node: Node, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxcube.server.net.acceptor.peer_address", lambda name: "192.0.2.7")
    peer = await node.connect(door)
    assert "<mechanism>PLAIN</mechanism>" in to_xml(await peer.open())
    monkeypatch.undo()


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_a_server_that_stops_tells_everybody_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    async with running(tmp_path / "node", "ann", "bob") as node:
        ann, bob = node.people["ann"], node.people["bob"]
        dialog_id = await node.dialog(ann, bob, kind=3)
        sender = await node.login(ann, sm=True, presence=False)
        peers = [await node.login(bob, door=door, sm=True) for door in DOORS]
        raw = await node.connect()  # has not even said hello
        ids = [node.message_id() for _ in range(200)]
        sender.send(
            "".join(
                f'<message type="chat" id="{id_}" to="{bob.jid}"><body>x</body>{SAVE}</message>'
                '<r xmlns="urn:xmpp:sm:3"/>'
                for id_ in ids
            )
        )
        await sender.wait("a")
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 4
    for peer in (sender, *peers, raw):
        assert peer.over
        assert "<system-shutdown" in peer.text
    acknowledged = max(int(h) for h in re.findall(r'<a xmlns="urn:xmpp:sm:3" h="(\d+)"', sender.text))
    async with node.again() as node:
        stored = await node.history(bob, dialog_id, limit=1000)
        assert [item["_id"] for item in stored][:acknowledged] == ids[:acknowledged]
        assert len(stored) >= acknowledged > 0
        # What nobody has acknowledged is delivered to the next session, once and in order.
        peer = await node.login(bob)
        late = [await peer.wait("message") for _ in stored[-100:]]
        assert [stanza.get("id") for stanza in late] == [item["_id"] for item in stored][-100:]


async def test_sigterm(tmp_path: Path) -> None:
    data = tmp_path / "one"
    data.mkdir()
    async with Accounts.open(Config(data=data)) as accounts:
        app = await accounts.apps.create("One")
        user = await accounts.create_user(app.id, "ann", PASSWORD)
    with ServerProcess(data, plaintext=True) as server:
        peers: list[Peer] = []
        for door in DOORS:
            peer = await Peer.connect(
                server.addresses[door], websocket=door.startswith("ws"), tls=door in ("xmpps", "wss")
            )
            peers.append(await peer.login(f"{user.id}-{app.id}", PASSWORD))
            await peer.available()
        stubborn = await asyncio.open_connection(*server.addresses["xmpp"])  # never closes its end
        assert await asyncio.to_thread(server.stop) == 0
        for peer in peers:
            error = await peer.wait("stream:error")
            assert first(error).name == "system-shutdown"
            await peer.end()
            await peer.close()
        stubborn[1].close()
        assert "Traceback" not in server.log()


def first(element: Element) -> Element:
    return next(element.elements())
