"""Contacts, system messages and the signals of calls, as users of both SDKs meet them, on one node and on two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.scenarios.support_people import Meeting, me, next_of
from tests.support.bus import Weather
from tests.support.cluster import joined
from tests.support.js_user import JsError, JsUser
from tests.support.node import PASSWORD, Node, running
from tests.support.postgres import PostgresServer
from tests.support.sdk_users import browser, client
from voxcube.client import (
    Client,
    Contact,
    ContactChange,
    ContactRequest,
    PresenceEvent,
    ReconnectPolicy,
    Signal,
    StanzaError,
    Subscription,
)
from voxcube.xmpp.xml import Element

SDP = "v=0\r\no=- 46117317 2 IN IP4 127.0.0.1\r\ns=-\r\n" + "a=candidate:1 1 UDP 2130706431 <10.0.0.1> & co\r\n" * 40
# JavaScript writes a carriage return as it is, and so no XML parser lets it through (XML 1.0 §2.11).
UNIX_SDP = SDP.replace("\r", "")


async def befriend(ann: Client, bob: Client) -> None:
    """Each adds the other, consents, and is shown to it."""
    for one, other in ((ann, bob), (bob, ann)):
        requests, presences = other.chat.contacts.requests(), one.chat.contacts.presences()
        await one.chat.contacts.add(me(other))
        await other.chat.contacts.accept((await next_of(requests)).user_id)
        while (await next_of(presences)) != PresenceEvent(me(other), available=True):
            pass


async def test_getting_in_touch(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    ann_id, bob_id = me(ann), me(bob)
    requests, changes = bob.chat.contacts.requests(), ann.chat.contacts.changes()
    presences, seen_by_bob = ann.chat.contacts.presences(), bob.chat.contacts.presences()
    assert await ann.chat.contacts.list() == ()
    with pytest.raises(StanzaError) as unknown:
        await ann.chat.contacts.add(999_999)
    assert unknown.value.code == 404
    await ann.chat.contacts.add(bob_id, "Bob", ["work"])
    assert await next_of(changes) == ContactChange(bob_id, Contact(bob_id, "Bob", groups=("work",)))
    assert await next_of(changes) == ContactChange(bob_id, Contact(bob_id, "Bob", asked=True, groups=("work",)))
    assert await next_of(requests) == ContactRequest(ann_id)
    await bob.chat.contacts.accept(ann_id)
    to = Contact(bob_id, "Bob", Subscription.TO, groups=("work",))
    assert await next_of(changes) == ContactChange(bob_id, to)
    assert await next_of(presences) == PresenceEvent(bob_id, available=True)
    assert await ann.chat.contacts.list() == (to,)
    assert await bob.chat.contacts.list() == (Contact(ann_id, None, Subscription.FROM),)
    await bob.chat.disconnect()
    assert await next_of(presences) == PresenceEvent(bob_id, available=False)
    await bob.chat.connect(bob_id, "correct horse")
    assert await next_of(presences) == PresenceEvent(bob_id, available=True)
    await bob.chat.contacts.decline(ann_id)
    assert await next_of(presences) == PresenceEvent(bob_id, available=False)
    assert await next_of(changes) == ContactChange(bob_id, Contact(bob_id, "Bob", groups=("work",)))
    await ann.chat.contacts.remove(bob_id)
    assert await next_of(changes) == ContactChange(bob_id, None)
    bob_changes = bob.chat.contacts.changes()
    await ann.users.delete()
    assert await next_of(bob_changes) == ContactChange(ann_id, None)
    assert await bob.chat.contacts.list() == ()
    assert not seen_by_bob._queue  # ann has never consented


async def test_who_is_blocked_gets_an_error_of_the_call(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    await befriend(ann, bob)
    presences = bob.chat.contacts.presences()
    await ann.chat.privacy.block(me(bob))
    assert await next_of(presences) == PresenceEvent(me(ann), available=False)
    await ann.chat.contacts.remove(me(bob))
    for call in (bob.chat.contacts.add(me(ann)), bob.chat.system.send(me(ann), "psst")):
        with pytest.raises(StanzaError) as refused:
            await call
        assert refused.value.code == 503
    with pytest.raises(StanzaError) as unknown:
        await bob.chat.signalling.send(999_999, {"signalType": "call"})
    assert unknown.value.code == 404
    await bob.chat.ping()


async def test_a_request_waits_for_who_is_offline(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come(online=False)
    await ann.chat.contacts.add(me(bob))
    requests = bob.chat.contacts.requests()
    await bob.chat.connect(me(bob), "correct horse")
    assert await next_of(requests) == ContactRequest(me(ann))


# -- with the JavaScript SDK -------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("contacts") / "node", "someone", resume_seconds=1) as node:
        yield node


@pytest.mark.asyncio(loop_scope="module")
async def test_the_javascript_sdk_takes_nothing_of_contacts_for_something_else(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with browser(node, ann) as js, client(node, ann) as cube, client(node, bob) as other:
        await befriend(cube, other)
        await cube.chat.contacts.add(bob.id, "Bob")
        await other.chat.disconnect()
        await other.chat.connect(bob.id, PASSWORD)
        await other.chat.contacts.add(ann.id)
        await cube.chat.contacts.remove(bob.id)
        await other.chat.contacts.add(ann.id)
        await cube.chat.contacts.decline(bob.id)
        room = Element("x", {"xmlns": "http://jabber.org/protocol/muc#user"}, [Element("item")])
        other.chat._life.connection.write(Element("presence", {"to": f"{ann.jid}"}, [room]))
        await other.chat.ping()
        await js.settle()
        assert js._events == []
        presences = other.chat.contacts.presences()
        await befriend(cube, other)
        # The browser and the client of ann: two sessions, one contact.
        assert await next_of(presences) == await next_of(presences) == PresenceEvent(ann.id, available=True)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_session_that_is_not_resumed_is_shown_as_gone(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with client(node, ann) as cube, client(node, bob) as other:
        await befriend(cube, other)
        presences = cube.chat.contacts.presences()
        other.chat.reconnect_policy = ReconnectPolicy(max_attempts=0)
        other.chat._life.connection.abort()
        await cube.chat.ping()
        assert not presences._queue  # it may come back
        assert await next_of(presences) == PresenceEvent(bob.id, available=False)


def signal(kind: str, **more: Any) -> dict[str, Any]:
    return {"signalType": kind, "sessionID": "5f1d-call", "callType": 1, "platform": "web", **more}


async def send_signal(user: JsUser, to: int, signal: dict[str, Any]) -> None:
    extension = {"moduleIdentifier": "WebRTCVideoChat", **signal}
    await user.call("chat.sendWebRTCSignalingMessage", to, {"extension": extension})


CANDIDATES = [
    {"sdpMLineIndex": index, "sdpMid": "0", "candidate": f"candidate:{index} 1 udp 2122 10.0.0.1 5{index} typ host"}
    for index in range(3)
]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_between_users_of_the_javascript_sdk(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with browser(node, ann) as caller, browser(node, bob) as callee:
        flow = [
            (caller, callee, signal("call", sdp=SDP, userInfo={"name": "Ann", "city": "Oslo"})),
            (callee, caller, signal("accept", sdp=SDP)),
            (caller, callee, signal("iceCandidates", iceCandidates=CANDIDATES)),
            (callee, caller, signal("iceCandidates", iceCandidates=CANDIDATES[:1])),
            (callee, caller, signal("hangUp", userInfo={"why": "bye"})),
        ]
        for sender, receiver, sent in flow:
            mine, other = (ann, bob) if sender is caller else (bob, ann)
            await send_signal(sender, other.id, {**sent, "callerID": ann.id, "opponentsIDs": [bob.id]})
            from_, got = await receiver.event("signal")
            assert from_ == mine.id
            assert (got["signalType"], got["sessionID"], got["callerID"]) == (sent["signalType"], "5f1d-call", ann.id)
            assert (got["callType"], got["opponentsIDs"]) == (1, [bob.id])
            assert got.get("sdp") == (UNIX_SDP if "sdp" in sent else None)
            assert got.get("userInfo") == sent.get("userInfo")
            assert [each["candidate"] for each in got.get("iceCandidates", [])] == [
                each["candidate"] for each in sent.get("iceCandidates", [])
            ]
        for user in (caller, callee):
            await user.settle()
            assert user._events == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_between_both_sdks(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with client(node, ann) as cube, browser(node, bob) as callee:
        signals = cube.chat.signalling.signals()
        offer = signal("call", sdp=SDP, callerID=ann.id, opponentsIDs={"opponentID": [bob.id]})
        await cube.chat.signalling.send(bob.id, offer)
        from_, got = await callee.event("signal")
        assert (from_, got["signalType"], got["sdp"], got["opponentsIDs"]) == (ann.id, "call", SDP, [bob.id])
        await send_signal(callee, ann.id, signal("accept", sdp=SDP, opponentsIDs=[bob.id]))
        answer = await next_of(signals)
        assert isinstance(answer, Signal)
        assert (answer.sender_id, answer.data["signalType"], answer.data["sdp"]) == (bob.id, "accept", UNIX_SDP)
        assert answer.data["opponentsIDs"] == {"opponentID": [str(bob.id)]}
        await send_signal(callee, ann.id, signal("iceCandidates", iceCandidates=CANDIDATES))
        found = (await next_of(signals)).data["iceCandidates"]["iceCandidate"]
        assert [each["candidate"] for each in found] == [each["candidate"] for each in CANDIDATES]
        await cube.chat.signalling.send(bob.id, signal("iceCandidates", iceCandidates={"iceCandidate": found}))
        _, got = await callee.event("signal")
        assert [each["candidate"] for each in got["iceCandidates"]] == [each["candidate"] for each in CANDIDATES]
        large = signal("call", sdp="a=x\r\n" * 25_000)
        await cube.chat.signalling.send(bob.id, large)
        _, got = await callee.event("signal")
        assert got["sdp"] == large["sdp"]
        await cube.chat.signalling.send(bob.id, signal("hangUp"))
        assert (await callee.event("signal"))[1]["signalType"] == "hangUp"


@pytest.mark.asyncio(loop_scope="module")
async def test_system_messages_between_both_sdks(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with client(node, ann) as cube, client(node, ann) as twin, browser(node, bob) as js:
        messages, too = cube.chat.system.messages(), twin.chat.system.messages()
        extension = {"dialogId": "64c0", "deep": {"a": {"b": "1"}}}
        await js.call("chat.sendSystemMessage", ann.id, {"body": "dialog/NEW_DIALOG", "extension": extension})
        for stream in (messages, too):
            message = await next_of(stream)
            assert (message.sender_id, message.body, message.properties) == (bob.id, "dialog/NEW_DIALOG", extension)
        message_id = await cube.chat.system.send(bob.id, "hello", extension)
        (got,) = await js.event("system")
        assert got == {"id": message_id, "userId": ann.id, "body": "hello", "extension": extension}
        sent = await cube.messages.send_system(bob.id, dialogId="64c0")
        (got,) = await js.event("system")
        assert (got["id"], got["extension"]) == (sent, {"dialogId": "64c0"})
        await cube.chat.system.send(ann.id, "to my other one")
        assert (await next_of(too)).body == "to my other one"
        await cube.chat.privacy.block(bob.id)
        await js.call("chat.sendSystemMessage", ann.id, {"body": "x", "extension": {"a": "1"}})
        _, error = await js.event("messageError")
        assert error["code"] == 503
        with pytest.raises(JsError):
            await js.call("chat.getLastUserActivity", ann.id)
        await cube.chat.ping()
        assert not messages._queue


# -- two nodes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weather", [Weather(), Weather(delay=0.02)], ids=["perfect", "late"])
async def test_contacts_on_two_nodes(
    postgres_server: PostgresServer, tmp_path: Path, weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(postgres_server.create_database(), tmp_path, "alice", "bob", weather=weather) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1, rest=True)
        await befriend(alice.cube, bob.cube)
        presences = alice.cube.chat.contacts.presences()
        twin = await cluster.seat("alice", 1)
        changes = twin.cube.chat.contacts.changes()
        (contact,) = await twin.cube.chat.contacts.list()
        assert contact.subscription == Subscription.BOTH
        await alice.cube.chat.contacts.add(bob.user_id, "Bob")
        change = await next_of(changes)
        assert change.contact is not None
        assert change.contact.name == "Bob"
        at_home = await cluster.seat("bob", 0)
        assert await next_of(presences) == PresenceEvent(bob.user_id, available=True)
        await cluster.leave(at_home)
        assert await next_of(presences) == PresenceEvent(bob.user_id, available=True)  # the other one is left
        await cluster.leave(bob)
        assert await next_of(presences) == PresenceEvent(bob.user_id, available=False)
        # Who comes is shown those who are on the other node.
        bob = await cluster.seat("bob", 1)
        assert await next_of(presences) == PresenceEvent(bob.user_id, available=True)
        seen = bob.cube.chat.contacts.presences()
        await alice.cube.chat.disconnect()
        await cluster.leave(twin)
        assert (await next_of(seen)).user_id == alice.user_id
        await alice.cube.chat.connect(alice.user_id, "correct horse")
        assert await next_of(presences) == PresenceEvent(bob.user_id, available=False)  # a new session begins
        assert await next_of(presences) == PresenceEvent(bob.user_id, available=True)
        await alice.cube.chat.privacy.block(bob.user_id)
        while (await next_of(seen)).available:
            pass
        await alice.cube.chat.privacy.unblock(bob.user_id)
        assert await next_of(seen) == PresenceEvent(alice.user_id, available=True)
        monkeypatch.setattr("voxcube.server.features.rooms.joined.SILENCE", 2.0)  # its last word may be lost
        await cluster.stop(1)
        assert await next_of(presences) == PresenceEvent(bob.user_id, available=False)


async def test_the_sessions_of_a_node_that_dies_are_gone(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxcube.server.features.rooms.joined.SILENCE", 2.0)
    async with joined(postgres_server.create_database(), tmp_path, "alice", "bob") as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1, rest=True)
        await befriend(alice.cube, bob.cube)
        presences = alice.cube.chat.contacts.presences()
        cluster.bus.interrupt()
        async with asyncio.timeout(30):
            assert await anext(presences) == PresenceEvent(bob.user_id, available=False)
        cluster.bus.restore()
        assert await next_of(presences) == PresenceEvent(bob.user_id, available=True)
