"""cube.chat.contacts against a server that obeys the test."""

import asyncio

import pytest

from tests.client.fake_chat import DOMAIN, FakeChat, FakeSession
from tests.client.test_privacy import exchange
from voxcube.client import (
    Client,
    Contact,
    ContactChange,
    ContactRequest,
    MessageLost,
    PresenceEvent,
    Reconnect,
    ReconnectPolicy,
    StanzaError,
    Subscription,
)
from voxcube.xmpp.xml import to_xml

BOB = f"88-3@{DOMAIN}"


def query(inner: str = "") -> str:
    return f'<query xmlns="jabber:iq:roster">{inner}</query>' if inner else '<query xmlns="jabber:iq:roster"/>'


def entry(subscription: str, more: str = "", jid: str = BOB) -> str:
    return f'<item jid="{jid}" subscription="{subscription}"{more}/>'


def push(inner: str, from_: str = "") -> str:
    return f'<iq type="set" id="p1" to="77-3@{DOMAIN}/r"{from_}>{query(inner)}</iq>'


def presence(kind: str = "", inner: str = "", jid: str = f"{BOB}/a") -> str:
    type_ = f' type="{kind}"' if kind else ""
    return f'<presence from="{jid}" to="77-3@{DOMAIN}/r"{type_}>{inner}</presence>'


async def sent(session: FakeSession) -> str:
    """The next presence to a user, without its id."""
    while True:
        stanza = await session.next("presence")
        if stanza.attrs.get("to"):
            assert stanza.attrs.pop("id")
            return to_xml(stanza)


async def quiet(cube: Client, server: FakeChat) -> None:
    server.answers_iq = True
    await cube.chat.ping()
    server.answers_iq = False


async def test_the_list() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        contacts = cube.chat.contacts
        await session.next("iq")  # carbons
        server.answers_iq = False
        changes = contacts.changes()
        session.send(push(entry("none")))  # it has not asked
        await session.next("iq")
        wire = entry("both", ' name="Bob"') + entry("odd", ' ask="subscribe"', f"99-3@{DOMAIN}")
        wire += '<item jid="nobody@elsewhere" subscription="to"/>'
        found, asked = await exchange(session, contacts.list(), query(wire))
        bob = Contact(88, "Bob", Subscription.BOTH)
        assert found == (bob, Contact(99, asked=True))
        assert asked == ["get " + query()]
        session.send(push(entry("both", ' name="Bob"')))  # nothing new
        session.send(push(entry("to", ' name="B"'), f' from="77-3@{DOMAIN}"'), push(entry("remove")))
        session.send(push(entry("remove"), ' from="88-3@elsewhere"'))  # anybody can say that
        answers = [await session.next("iq") for _ in range(4)]
        assert [answer.get("type") for answer in answers] == ["result", "result", "result", "error"]
        assert await anext(changes) == ContactChange(88, Contact(88, "B", Subscription.TO))
        assert await anext(changes) == ContactChange(88, None)
        await quiet(cube, server)
        await cube.chat.destroy()
        assert [change async for change in changes] == []


async def test_adding_and_removing() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        contacts = cube.chat.contacts
        await session.next("iq")
        server.answers_iq = False
        _, asked = await exchange(session, contacts.add(88, "B<b", ["x", "y"]), "")
        group = "<group>x</group><group>y</group>"
        assert asked == ["set " + query(f'<item jid="{BOB}" subscription="none" name="B&lt;b">{group}</item>')]
        assert await sent(session) == f'<presence type="subscribe" to="{BOB}"/>'
        for call, kind in ((contacts.accept(88), "subscribed"), (contacts.decline(88), "unsubscribed")):
            await call
            assert await sent(session) == f'<presence type="{kind}" to="{BOB}"/>'
        _, asked = await exchange(session, contacts.remove(88), "")
        assert asked == ["set " + query(entry("remove"))]
        for answer in (contacts.add(88), contacts.remove(88)):
            with pytest.raises(StanzaError):
                await exchange(session, answer, "404")
        with pytest.raises(ValueError, match="cannot be sent"):
            await contacts.add(88, "\0")


async def test_a_refused_request_is_an_error_of_its_call() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        server.acknowledges = False
        call = asyncio.create_task(cube.chat.contacts.accept(88))
        while not (stanza := await session.next("presence")).get("to"):
            pass
        condition = '<service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>'
        error = f'<error code="503" type="cancel">{condition}</error>'
        session.send(f'<presence type="error" id="{stanza.get("id")}" from="{BOB}">{error}</presence>')
        with pytest.raises(StanzaError) as refused:
            await call
        assert refused.value.code == 503
        lost = asyncio.create_task(cube.chat.contacts.decline(88))
        await session.next("presence")
        session.drop()
        with pytest.raises(MessageLost):
            await lost


async def test_requests_and_presence() -> None:
    policy: Reconnect = ReconnectPolicy(max_attempts=5, delay=0.001)
    async with FakeChat() as server, server.ready(reconnect=policy) as (cube, session):
        contacts = cube.chat.contacts
        requests, presences = contacts.requests(), contacts.presences()
        heard: list[PresenceEvent] = []
        asked: list[ContactRequest] = []
        changed: list[ContactChange] = []
        contacts.on_presence(heard.append)
        contacts.on_request(asked.append)
        contacts.on_changed(changed.append)
        session.send(presence("subscribe", "<status>hi</status>", BOB), presence("subscribe", "", f"99-3@{DOMAIN}"))
        session.send(presence("subscribed", "", BOB), presence("unavailable"))  # that is no news
        session.send(presence("", "<show>away</show><status>lunch</status>"), presence("", "", f"{BOB}/b"))
        session.send(presence("unavailable", "<status>bye</status>", f"{BOB}/b"), presence("unavailable"))
        session.send(presence("", "", f"77-3@{DOMAIN}/other"), presence("", "", "3_0@muc.example.org/88"))
        session.send(presence())
        await cube.chat.ping()
        assert [await anext(requests) for _ in range(2)] == asked == [ContactRequest(88, "hi"), ContactRequest(99)]
        away = PresenceEvent(88, True, "away", "lunch")
        here, gone = PresenceEvent(88, True), PresenceEvent(88, False)
        assert heard == [away, here, away, gone, here]
        assert await anext(presences) == away
        # A new session: the list is asked for again, and nobody is available until it is said again.
        assert await contacts.list() == ()
        session.drop()
        session = await asyncio.wait_for(server.connected.get(), 5)
        while (await session.next("iq")).find("query", "jabber:iq:roster") is None:
            pass
        while not cube.chat.is_ready:
            await asyncio.sleep(0)
        assert heard[5:] == [gone]
        session.send(push(entry("from")))
        await cube.chat.ping()
        assert changed == [ContactChange(88, Contact(88, None, Subscription.FROM))]


async def test_changes_that_were_missed_are_told_after_reconnecting() -> None:
    policy: Reconnect = ReconnectPolicy(max_attempts=5, delay=0.001)
    async with FakeChat() as server, server.ready(reconnect=policy) as (cube, session):
        await session.next("iq")
        server.answers_iq = False
        changes = cube.chat.contacts.changes()
        other = entry("none", "", f"99-3@{DOMAIN}")
        await exchange(session, cube.chat.contacts.list(), query(entry("to") + other))
        server.answers_iq = True
        session.drop()
        session = await asyncio.wait_for(server.connected.get(), 5)
        found = {(change := await asyncio.wait_for(anext(changes), 5)).user_id: change.contact for _ in range(2)}
        assert found == {88: None, 99: None}
