"""Sessions that outlive their connection (XEP-0198 §5, realtime §5), by raw clients on all doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from tests.support.node import DOORS, PASSWORD, Node, Person, running
from tests.support.xmpp_peer import CLOSE, Peer, frame
from voxcube.server.c2s.hub import Limits
from voxcube.server.c2s.resumption import DETACHED_PER_USER
from voxcube.xmpp.xml import Element

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]

SAVE = "<extraParams><save_to_history>1</save_to_history></extraParams>"
STANZAS = {"message", "presence", "iq"}


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("resumption") / "node", "ann", "bob") as node:
        yield node


@pytest_asyncio.fixture(loop_scope="module")
async def ann(node: Node) -> Person:
    return await node.person()


@pytest_asyncio.fixture(loop_scope="module")
async def bob(node: Node) -> Person:
    return await node.person()


class Resumable:
    """A client that can resume: it remembers the id, and counts what it is sent."""

    def __init__(self, node: Node, person: Person, peer: Peer, enabled: Element) -> None:
        self.node, self.person, self.peer = node, person, peer
        self.id = enabled.attrs["id"]
        self.max = int(enabled.attrs["max"])
        self.jid = peer.jid
        self.h = 0  # of former connections

    @classmethod
    async def login(
        cls, node: Node, person: Person, *, door: str = "xmpp", resource: str | None = None, wish: str = ""
    ) -> Resumable:
        peer = await node.login(person, door=door, resource=resource, presence=False)
        peer.send(f'<enable xmlns="urn:xmpp:sm:3" resume="true"{wish}/>')
        enabled = await peer.wait("enabled", resume="true")
        peer.waiting.clear()
        await peer.available()
        client = cls(node, person, peer, enabled)
        client.h = 1  # the echo of its presence
        return client

    async def bodies(self, count: int) -> list[str]:
        """The next messages."""
        found = []
        for _ in range(count):
            message = await self.peer.wait("message")
            self.h += 1
            body = message.find("body")
            found.append(body.text if body is not None else "")
        return found

    async def resume(self, *, door: str = "xmpp", h: int | None = None) -> int:
        """On a new connection; returns how far the server is."""
        self.peer = await authenticated(self.node, self.person, door)
        self.peer.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{self.id}" h="{self.h if h is None else h}"/>')
        resumed = await self.peer.wait("resumed", previd=self.id)
        return int(resumed.attrs["h"])

    async def refused(self) -> Element:
        """The session is over; the connection stays, to bind on it."""
        self.peer = await authenticated(self.node, self.person)
        self.peer.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{self.id}" h="{self.h}"/>')
        failed = await self.peer.wait("failed")
        assert failed.find("item-not-found") is not None
        return failed


async def authenticated(node: Node, person: Person, door: str = "xmpp") -> Peer:
    """A connection on which a resource is to be bound, or a session resumed."""
    peer = await node.connect(door)
    await peer.open()
    peer.auth(person.name, PASSWORD)
    await peer.wait("success")
    peer.restart()
    features = await peer.open()
    assert features.find("sm") is not None
    return peer


def say(sender: Peer, to: Person, node: Node, body: str, *, save: bool = True) -> None:
    extra = SAVE if save else ""
    sender.send(
        f'<message xmlns="jabber:client" type="chat" to="{to.jid}" id="{node.message_id()}">'
        f"<body>{body}</body>{extra}</message>"
    )


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("end", ["abort", "half-close", "takeover"])
async def test_nothing_is_lost_and_nothing_comes_twice(
    node: Node, ann: Person, bob: Person, door: str, end: str
) -> None:
    phone = await Resumable.login(node, ann, door=door)
    other = await node.login(bob, sm=True)
    for body in ("one", "two"):
        say(other, ann, node, body)
    assert await phone.bodies(1) == ["one"]
    await phone.peer.wait("message")  # "two" has arrived, but nothing of it got into the count
    old = phone.peer
    if end == "abort":
        await old.close()
    elif end == "half-close" and old.websocket:
        old.writer.write(frame((1001).to_bytes(2, "big"), CLOSE))  # a tab that is closed: no stream end before it
        await old.end()
    elif end == "half-close":
        old.writer.write_eof() if door == "xmpp" else old.writer.close()
        await old.end()
    for body in ("three", "four"):
        say(other, ann, node, body, save=body != "four")
    await other.ping()
    assert await phone.resume(door=door) == 1  # its presence
    say(other, ann, node, "five")
    assert await phone.bodies(4) == ["two", "three", "four", "five"]
    if end == "takeover":
        await old.end("conflict")
    await phone.peer.ping()
    assert phone.peer.take_all("message") == []


async def test_it_goes_on_over_another_transport(node: Node, ann: Person, bob: Person) -> None:
    phone = await Resumable.login(node, ann, door="xmpps")
    other = await node.login(bob)
    for door in ("wss", "xmpp", "ws", "xmpps"):
        await phone.peer.close()
        say(other, ann, node, f"by {door}")
        await other.ping()
        await phone.resume(door=door)
        assert await phone.bodies(1) == [f"by {door}"]


async def test_a_count_says_what_the_server_has(node: Node, ann: Person, bob: Person) -> None:
    """What was handled but not acknowledged before the break is counted; an error reply in it comes again."""
    phone = await Resumable.login(node, ann)
    for body in ("one", "two"):
        say(phone.peer, bob, node, body)
    phone.peer.send(
        '<message xmlns="jabber:client" type="chat" to="999999-1@localhost" id="bad"><body>x</body></message>'
    )
    await phone.peer.ping()
    await phone.peer.close()
    assert await phone.resume() == 5
    assert (await phone.peer.wait("message", type="error")).attrs["id"] == "bad"
    await phone.peer.wait("iq", type="result")
    phone.h += 2
    assert await phone.peer.request() == 5
    say(phone.peer, bob, node, "three")
    assert await phone.peer.request() == 6


async def test_what_is_under_way_is_counted_or_sent_again(node: Node, ann: Person, bob: Person) -> None:
    """The connection breaks while messages are being committed: none is lost, none is stored twice."""
    phone, other = await Resumable.login(node, ann), await node.login(bob)
    sent = [node.message_id() for _ in range(200)]

    def stanza(message_id: str) -> str:
        return (
            f'<message xmlns="jabber:client" type="chat" to="{bob.jid}" id="{message_id}">'
            f"<body>{message_id}</body>{SAVE}</message>"
        )

    done = 0
    for upto in (50, 100, 150, 200):
        phone.peer.send("".join(map(stanza, sent[done:upto])))
        await asyncio.sleep(0)
        phone.peer.writer.transport.abort()
        done = await phone.resume() - 1  # the presence
        assert done <= upto
        phone.h = 1
    phone.peer.send("".join(map(stanza, sent[done:])))
    assert await phone.peer.request() == 1 + len(sent)
    seen = [(await other.wait("message")).attrs["id"] for _ in sent]
    assert seen == sent
    await other.ping()
    assert other.take_all("message") == []


@pytest.mark.parametrize("whose", ["unknown", "another user's", "another application's", "none"])
async def test_not_ones_own(node: Node, ann: Person, bob: Person, whose: str) -> None:
    phone = await Resumable.login(node, ann)
    previd = {"unknown": "x", "none": ""}.get(whose, phone.id)
    thief = await authenticated(node, node.stranger if "application" in whose else bob)
    thief.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{previd}" h="0"/>')
    failed = await thief.wait("failed")
    assert "h" not in failed.attrs
    assert failed.find("item-not-found") is not None
    await thief.bind()
    await thief.available()
    await phone.peer.ping()  # nothing has happened to it


async def test_a_count_that_is_too_high(node: Node, ann: Person) -> None:
    phone = await Resumable.login(node, ann)
    await phone.peer.close()
    peer = await authenticated(node, ann)
    peer.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{phone.id}" h="99"/>')
    error = await peer.wait("stream:error")
    detail = error.find("handled-count-too-high")
    assert detail is not None
    assert (detail.attrs["h"], detail.attrs["send-count"]) == ("99", "1")
    await phone.resume()  # with the right count


async def test_it_stays_what_it_was(node: Node, ann: Person, bob: Person) -> None:
    """Rooms, carbons, presence and address outlive the connection; nobody is told of the break."""
    dialog = await node.dialog(ann, bob)
    phone = await Resumable.login(node, ann)
    tablet = await node.login(ann)
    other = await node.login(bob)
    phone.peer.send('<iq type="set" id="c" xmlns="jabber:client"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
    await phone.peer.wait("iq", id="c")
    await phone.peer.wait("presence")  # of the tablet
    other.send(f'<presence to="{bob.room(dialog)}/{bob.id}"><x xmlns="http://jabber.org/protocol/muc"/></presence>')
    await other.wait("presence", from_=f"{bob.room(dialog)}/{bob.id}")
    phone.peer.send(
        f'<presence to="{ann.room(dialog)}/{ann.id}"><x xmlns="http://jabber.org/protocol/muc"/></presence>'
    )
    await phone.peer.wait("presence", from_=f"{ann.room(dialog)}/{ann.id}")
    await phone.peer.wait("message")  # the subject, with which the joining is over
    await other.wait("presence", from_=f"{ann.room(dialog)}/{ann.id}")
    phone.h += 5
    await phone.peer.close()
    await phone.resume()
    say(tablet, bob, node, "from the tablet")
    carbon = await phone.peer.wait("message")
    assert carbon.find("sent") is not None
    assert carbon.attrs["to"] == phone.jid
    assert len(node.app.hub.sessions.of(ann.id)) == 2
    for peer in (tablet, other):
        await peer.ping()
        assert [p for p in peer.take_all("presence") if p.get("type") == "unavailable"] == []
    await phone.peer.close()
    node.app.hub.bound[phone.jid].end()  # as when it was not resumed in time
    await other.wait("presence", type="unavailable", from_=f"{ann.room(dialog)}/{ann.id}")
    await tablet.wait("presence", type="unavailable", from_=phone.jid)


async def test_not_resumed_in_time(node: Node, ann: Person, bob: Person) -> None:
    """What came meanwhile is delivered later, in order: what is in the history, and what is not."""
    phone = await Resumable.login(node, ann, wish=' max="1"')
    assert phone.max == 1
    other = await node.login(bob, carbons=True)
    say(other, ann, node, "had")
    await phone.bodies(1)
    phone.peer.send(f'<a xmlns="urn:xmpp:sm:3" h="{phone.h}"/>')
    await phone.peer.ping()
    say(other, ann, node, "arrived")
    await phone.peer.wait("message")
    await phone.peer.close()
    say(other, ann, node, "stored")
    say(other, ann, node, "relayed", save=False)
    other.send(
        f'<message type="chat" to="{ann.jid}"><composing xmlns="http://jabber.org/protocol/chatstates"/></message>'
    )
    say(other, ann, node, "stored too")
    await other.ping()
    while ann.id in node.app.hub.sessions.by_user:
        await other.ping()
    failed = await phone.refused()
    assert failed.attrs["h"] == "2"  # presence and ping
    peer = phone.peer
    await peer.bind()
    await peer.available()
    bodies = []
    for _ in range(4):
        message = await peer.wait("message")
        assert message.find("delay") is not None
        body = message.find("body")
        assert body is not None
        bodies.append(body.text)
    assert sorted(bodies) == ["arrived", "relayed", "stored", "stored too"]
    assert [body for body in bodies if body != "relayed"] == ["arrived", "stored", "stored too"]
    await peer.ping()
    assert peer.take_all("message") == []


async def test_who_comes_while_it_waits_gets_the_messages_too(node: Node, ann: Person, bob: Person) -> None:
    phone = await Resumable.login(node, ann)
    other = await node.login(bob)
    await phone.peer.close()
    say(other, ann, node, "for both")
    await other.ping()
    tablet = await node.login(ann, sm=True)
    await tablet.wait("message")
    tablet.send('<a xmlns="urn:xmpp:sm:3" h="2"/>')
    await tablet.ping()
    await phone.resume()
    assert await phone.bodies(1) == ["for both"]


@pytest.mark.parametrize("door", ["xmpp", "ws"])
async def test_a_stream_that_is_ended_is_over(node: Node, ann: Person, door: str) -> None:
    phone = await Resumable.login(node, ann, door=door)
    phone.peer.send(
        '<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>' if phone.peer.websocket else "</stream:stream>"
    )
    await phone.peer.end()
    assert "h" not in (await phone.refused()).attrs


async def test_the_same_resource_again(node: Node, ann: Person) -> None:
    phone = await Resumable.login(node, ann, resource="flutter_1")
    await phone.peer.close()
    await node.login(ann, resource="flutter_1")
    await phone.refused()
    await phone.peer.bind("flutter_2")


async def test_an_ended_login_is_not_resumed(node: Node, ann: Person) -> None:
    async with await node.rest_login(ann) as rest:
        token = rest.headers["CB-Token"]
        peer = await node.connect()
        await peer.login(ann.name, token)
        peer.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
        phone = Resumable(node, ann, peer, await peer.wait("enabled"))
        await peer.close()
        assert (await rest.delete("/session")).status_code == 200
    await phone.refused()


async def test_a_wrong_count_does_not_harm_the_connection_that_is_there(node: Node, ann: Person) -> None:
    phone = await Resumable.login(node, ann)
    peer = await authenticated(node, ann)
    peer.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{phone.id}" h="77"/>')
    await peer.wait("stream:error")
    await phone.peer.ping()


async def test_not_too_many_wait(node: Node, ann: Person) -> None:
    phones = [await Resumable.login(node, ann) for _ in range(DETACHED_PER_USER + 1)]
    for phone in phones:
        await phone.peer.close()
        while not node.app.hub.bound[phone.jid].detached:
            await asyncio.sleep(0)
    assert len(node.app.hub.resumption) == DETACHED_PER_USER
    await phones[0].refused()
    for phone in phones[1:]:
        await phone.resume(h=0)
    assert len(node.app.hub.resumption) == 0


async def test_nobody_looks_at_a_session_without_a_connection(node: Node, ann: Person) -> None:
    """It does not count against push alerts; what its client chose comes back with the connection."""
    phone = await Resumable.login(node, ann)

    def inactive() -> bool:
        (session,) = node.app.hub.sessions.of(ann.id)
        return session.inactive

    assert not inactive()
    await phone.peer.close()
    while not inactive():
        await asyncio.sleep(0)
    await phone.resume()
    assert not inactive()
    phone.peer.send('<inactive xmlns="urn:xmpp:csi:0"/>')
    await phone.peer.ping()
    phone.h += 1
    await phone.peer.close()
    await phone.resume()
    assert inactive()


async def test_a_full_queue_ends_it(tmp_path: Path) -> None:
    limits = Limits(unacknowledged_bytes=100_000)
    async with running(tmp_path / "node", "ann", "bob", limits=limits) as node:
        ann, bob = node.people["ann"], node.people["bob"]
        phone, other = await Resumable.login(node, ann), await node.login(bob, sm=True)
        await phone.peer.close()
        for _ in range(12):
            say(other, ann, node, "x" * 10_000)
        await other.request()
        assert ann.id not in node.app.hub.sessions.by_user
        assert (await phone.refused()).attrs.get("h") is None
        await phone.peer.bind()
        await phone.peer.available()
        for _ in range(12):
            await phone.peer.wait("message")


async def test_another_device_gets_what_waits(node: Node, ann: Person, bob: Person) -> None:
    """What is stored nowhere would be lost with the session whose client never comes back: now there is another."""
    phone, other = await Resumable.login(node, ann), await node.login(bob)
    await phone.peer.close()
    while not node.app.hub.bound[phone.jid].detached:
        await asyncio.sleep(0)
    say(other, ann, node, "stored")
    say(other, ann, node, "relayed", save=False)
    await other.ping()
    tablet = await node.login(ann)
    found = [(await tablet.wait("message")).find("body") for _ in range(2)]
    assert {body.text for body in found if body is not None} == {"stored", "relayed"}
    await tablet.ping()
    assert not [element for element in tablet.waiting if element.name == "message"]
    await phone.resume()
    assert await phone.bodies(2) == ["stored", "relayed"]


async def test_what_is_too_much_to_keep_is_delivered(tmp_path: Path) -> None:
    """Else who is sent much while away could never come back: every login would end in the midst of it."""
    limits = Limits(unacknowledged_bytes=100_000)
    async with running(tmp_path / "node", "ann", "bob", limits=limits) as node:
        ann, bob = node.people["ann"], node.people["bob"]
        other = await node.login(bob, sm=True)
        for number in range(15):
            say(other, ann, node, f"{number}" + "x" * 10_000)
        say(other, ann, node, "relayed", save=False)
        await other.request()
        phone = await Resumable.login(node, ann)
        for number in range(15):
            assert (await phone.bodies(1))[0].startswith(f"{number}x")
        assert await phone.bodies(1) == ["relayed"]
        await phone.peer.close()  # nothing was acknowledged
        await phone.refused()
        await phone.peer.bind()
        await phone.peer.available()
        for _ in range(16):
            await phone.peer.wait("message")
        phone.peer.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
        await phone.peer.wait("enabled")


async def test_a_server_that_stops_keeps_what_waits(tmp_path: Path) -> None:
    async with running(tmp_path / "node", "ann", "bob") as node:
        ann, bob = node.people["ann"], node.people["bob"]
        phone, other = await Resumable.login(node, ann), await node.login(bob)
        await phone.peer.close()
        say(other, ann, node, "stored")
        say(other, ann, node, "relayed", save=False)
        await other.ping()
        node.keep()
    async with node.again():
        await phone.refused()
        await phone.peer.bind()
        await phone.peer.available()
        found = {body.text for _ in range(2) if (body := (await phone.peer.wait("message")).find("body")) is not None}
        assert found == {"stored", "relayed"}


async def test_turned_off(tmp_path: Path) -> None:
    async with running(tmp_path / "node", "ann", resume_seconds=0) as node:
        peer = await node.login(node.people["ann"])
        peer.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
        enabled = await peer.wait("enabled")
        assert "resume" not in enabled.attrs
        assert "id" not in enabled.attrs
