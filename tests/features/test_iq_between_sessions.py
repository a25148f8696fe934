"""Iq requests from one session to another, by full JID (RFC 6121 §8.5.3.1)."""

import pytest

from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.server.features.direct.xmpp import MAX_WAITING
from voxcube.xmpp.xml import Element, to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERSION = '<query xmlns="jabber:iq:version"/>'


async def show(watched: Peer, whom: Person, seen_by: Peer) -> None:
    """Shows a session's presence to a user (RFC 6121 §4.6)."""
    watched.send(f'<presence to="{whom.jid}"/>')
    await seen_by.wait("presence", from_=watched.jid)


async def ask(peer: Peer, to: str, payload: str = VERSION, *, id_: str = "q1", kind: str = "get") -> None:
    peer.send(f'<iq type="{kind}" id="{id_}" to="{to}">{payload}</iq>')


async def refused(peer: Peer, to: str, condition: str = "service-unavailable", *, id_: str = "q1") -> Element:
    """The error reply, which comes from whom was asked."""
    reply = await peer.wait("iq", id=id_, type="error")
    assert (reply.get("from"), reply.get("to")) == (to, peer.jid)
    error = reply.find("error")
    assert error is not None
    assert next(error.elements()).name == condition
    return error


async def pair(stage: Node, **bob: object) -> tuple[Peer, Peer]:
    """ann, and bob whose session she is shown."""
    ann, his = await stage.login(stage.people["ann"]), await stage.login(stage.people["bob"], **bob)  # type: ignore[arg-type]
    await show(his, stage.people["ann"], ann)
    return ann, his


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("get", VERSION),
        ("get", '<ping xmlns="urn:xmpp:ping"/>'),
        ("get", '<query xmlns="http://jabber.org/protocol/disco#info" node="n#1"/>'),
        ("get", '<time xmlns="urn:xmpp:time"/>'),
        (
            "set",
            '<jingle xmlns="urn:xmpp:jingle:1" action="session-initiate" sid="a&amp;&quot;b"><x>a &lt; b</x></jingle>',
        ),
        ("get", '<query xmlns="jabber:iq:roster"/>'),
    ],
)
@pytest.mark.parametrize("answer", ["result", "error"])
async def test_a_request_and_its_reply_are_relayed_as_they_are(
    stage: Node, kind: str, payload: str, answer: str
) -> None:
    ann, bob = await pair(stage)
    id_ = 'a"<&\u00fc'
    ann.send(f'<iq type="{kind}" id="a&quot;&lt;&amp;\u00fc" to="{bob.jid}">{payload}</iq>')
    request = await bob.wait("iq", type=kind)
    assert request.attrs == {"xmlns": "jabber:client", "type": kind, "id": id_, "from": ann.jid, "to": bob.jid}
    assert "".join(to_xml(child) for child in request.elements()) == payload.replace("&quot;", "&quot;")
    inner = payload + (
        '<error type="cancel"><conflict xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>'
        if answer == "error"
        else ""
    )
    bob.send(f'<iq type="{answer}" id="a&quot;&lt;&amp;\u00fc" to="{ann.jid}">{inner}</iq>')
    reply = await ann.wait("iq", type=answer)
    assert reply.attrs == {"xmlns": "jabber:client", "type": answer, "id": id_, "from": bob.jid, "to": ann.jid}
    assert "".join(to_xml(child) for child in reply.elements()) == inner


async def test_it_is_not_told_whether_there_is_such_a_session(stage: Node) -> None:
    """One error for all: not shown to the asker, no presence, an unknown resource, user or application."""
    ann = await stage.login(stage.people["ann"])
    stranger = await stage.login(stage.people["bob"])
    silent = await stage.login(stage.people["cyd"], presence=False)
    foreign = await stage.login(stage.stranger)
    app_id = stage.people["ann"].app_id
    addresses = [
        stranger.jid,
        silent.jid,
        foreign.jid,
        f"{stage.people['bob'].jid}/nowhere",
        f"999999-{app_id}@localhost/x",
        "nobody@localhost/x",
        f"{stage.people['ann'].jid}/nowhere",
    ]
    errors = []
    for number, address in enumerate(addresses):
        await ask(ann, address, id_=f"q{number}")
        errors.append(to_xml(await refused(ann, address, id_=f"q{number}")))
    assert len(set(errors)) == 1
    for peer in (stranger, silent, foreign):
        await peer.ping()
        assert not [stanza for stanza in peer.take_all("iq") if stanza.get("type") == "get"]


async def test_presence_decides_as_it_is_now(stage: Node) -> None:
    ann, bob = await pair(stage)
    bob.send("<presence><show>away</show></presence>")
    await ask(ann, bob.jid)
    await bob.wait("iq", type="get", id="q1")
    bob.send("<presence><priority>-1</priority></presence>")
    await ask(ann, bob.jid, id_="q2")
    await bob.wait("iq", type="get", id="q2")
    bob.send(f'<presence type="unavailable" to="{stage.people["ann"].jid}"/>')
    await ann.wait("presence", type="unavailable", from_=bob.jid)
    await ask(ann, bob.jid, id_="q3")
    await refused(ann, bob.jid, id_="q3")


async def test_between_sessions_of_one_user(stage: Node) -> None:
    one, other = await stage.login(stage.people["ann"]), await stage.login(stage.people["ann"])
    await ask(one, other.jid)
    await other.wait("iq", type="get", id="q1", from_=one.jid)
    other.send(f'<iq type="result" id="q1" to="{one.jid}">{VERSION}</iq>')
    await one.wait("iq", type="result", id="q1", from_=other.jid)


@pytest.mark.parametrize("sdk", ["js", "flutter"])
async def test_official_sdks_are_left_out(stage: Node, sdk: str) -> None:
    """JavaScript takes any iq with a `query` for a last activity: the server answers in its place (quirks A13)."""
    person = stage.people["bob"]
    app = await (
        stage.login(person, js=True, door="ws") if sdk == "js" else stage.login(person, resource="flutter_phone")
    )
    ann = await stage.login(stage.people["ann"])
    await show(app, stage.people["ann"], ann)
    for number, payload in enumerate((VERSION, '<ping xmlns="urn:xmpp:ping"/>')):
        await ask(ann, app.jid, payload, id_=f"q{number}")
        await refused(ann, app.jid, id_=f"q{number}")
    ann.send(f'<iq type="result" id="q1" to="{app.jid}">{VERSION}</iq>')
    ann.send(f'<message type="error" id="e1" to="{app.jid}"><body>x</body></message>')
    ann.send(f'<presence to="{person.jid}"/>')
    await app.wait("presence", from_=ann.jid)
    await ask(app, ann.jid)
    await refused(app, ann.jid)
    await app.ping()
    assert not app.take_all("iq")
    assert not app.take_all("message")


async def test_last_activity_is_answered_by_the_server(stage: Node) -> None:
    ann, bob = await pair(stage)
    await ask(ann, bob.jid, '<query xmlns="jabber:iq:last"/>')
    reply = await ann.wait("iq", id="q1", type="result", from_=bob.jid)
    assert to_xml(next(reply.elements())) == '<query xmlns="jabber:iq:last" seconds="0"/>'


@pytest.mark.parametrize("who", ["asked", "asker"])
async def test_a_block_holds(stage: Node, who: str) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    hers, his = await stage.login(ann), await stage.login(bob)
    await show(his, ann, hers)
    blocker, blocked = (his, ann) if who == "asked" else (hers, bob)
    item = f'<item jid="{blocked.jid}"/>'
    blocker.send(f'<iq type="set" id="b1"><block xmlns="urn:xmpp:blocking">{item}</block></iq>')
    await blocker.wait("iq", id="b1", type="result")
    await ask(hers, his.jid)
    await refused(hers, his.jid)
    blocker.send(f'<iq type="set" id="b2"><unblock xmlns="urn:xmpp:blocking">{item}</unblock></iq>')
    await blocker.wait("iq", id="b2", type="result")


async def test_replies_reach_only_who_has_asked_them(stage: Node) -> None:
    """By the session that was asked, with the id of the request, and once."""
    ann, bob = await pair(stage)
    cyd = await stage.login(stage.people["cyd"])
    await show(cyd, stage.people["ann"], ann)
    await ask(ann, bob.jid)
    await bob.wait("iq", type="get")
    forged = '<query xmlns="jabber:iq:version"><name>forged</name></query>'
    cyd.send(f'<iq type="result" id="q1" to="{ann.jid}">{forged}</iq>')
    cyd.send(f'<iq type="result" id="q1" from="{bob.jid}" to="{ann.jid}">{forged}</iq>')
    cyd.send(f'<iq type="error" id="q1" to="{ann.jid}">{forged}</iq>')
    await cyd.ping()
    bob.send(f'<iq type="result" id="other" to="{ann.jid}">{forged}</iq>')
    for _ in range(2):
        bob.send(f'<iq type="result" id="q1" to="{ann.jid}">{VERSION}</iq>')
    await bob.ping()
    await ann.wait("iq", type="result", id="q1", from_=bob.jid)
    await ann.ping()
    assert "forged" not in ann.text
    assert not ann.take_all("iq")


async def test_a_session_waits_for_a_bounded_number_of_replies(stage: Node) -> None:
    ann, bob = await pair(stage)
    for number in range(MAX_WAITING + 1):
        await ask(ann, bob.jid, id_=f"q{number}")
    await refused(ann, bob.jid, "resource-constraint", id_=f"q{MAX_WAITING}")
    await bob.ping()
    assert len([stanza for stanza in bob.take_all("iq") if stanza.get("type") == "get"]) == MAX_WAITING
    bob.send(f'<iq type="result" id="q0" to="{ann.jid}"/>')
    await ann.wait("iq", id="q0", type="result")
    await ask(ann, bob.jid, id_="again")
    await bob.wait("iq", id="again")


async def test_errors_of_messages_go_to_the_session_that_they_name(stage: Node) -> None:
    """And to no account: those are dropped (RFC 6121 §8.5.2.1.1)."""
    ann, bob = await pair(stage)
    error = '<body>x</body><error type="cancel"><gone xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>'
    ann.send(f'<message type="error" id="e1" to="{stage.people["bob"].jid}">{error}</message>')
    ann.send(f'<message type="error" id="e2" to="{bob.jid}">{error}</message>')
    got = await bob.wait("message", type="error")
    assert got.attrs == {"xmlns": "jabber:client", "type": "error", "id": "e2", "from": ann.jid, "to": bob.jid}
    await ann.ping()
    assert not ann.take_all("message")


async def test_a_session_without_a_connection_is_not_reached(stage: Node) -> None:
    """It could only answer when it is back: who asks need not wait for that."""
    ann, bob = await stage.login(stage.people["ann"]), await stage.connect()
    await bob.login(stage.people["bob"].name, "correct horse", None)
    bob.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
    await bob.wait("enabled")
    await bob.available()
    await show(bob, stage.people["ann"], ann)
    session = stage.app.hub.bound[bob.jid]
    bob.writer.transport.abort()
    while not session.detached:
        await ann.ping()
    await ask(ann, bob.jid)
    await refused(ann, bob.jid)
