"""Presence through the XMPP door: the echo, the user's other sessions, and who counts as online (realtime §4)."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select

from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.features.presence.xmpp import Presence
from voxcube.server.storage.schema import presence
from voxcube.server.storage.sql import Query
from voxcube.xmpp.xml import Element, to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ONLINE = Query(select(presence.c.user_id, presence.c.sessions))


async def test_the_echo(stage: Node) -> None:
    peer = await stage.login(stage.people["ann"], presence=False)
    peer.send('<presence xmlns="jabber:client"><show>away</show><priority>1</priority></presence>')
    assert to_xml(await peer.wait("presence")) == (
        f'<presence xmlns="jabber:client" from="{peer.jid}" to="{peer.jid}"><show>away</show><priority>1</priority>'
        "</presence>"
    )


async def test_the_sessions_of_a_user_see_each_other_come_and_go(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    phone, stranger = await stage.login(ann), await stage.login(bob)
    desk = await stage.login(ann)
    await phone.wait("presence", from_=desk.jid, to=phone.jid)
    await desk.wait("presence", from_=phone.jid, to=desk.jid)
    third = await stage.login(ann, presence=False)
    await third.ping()
    assert third.take_all("presence") == []
    desk.send('<presence xmlns="jabber:client" type="unavailable"><status>bye</status></presence>')
    gone = await phone.wait("presence", type="unavailable", from_=desk.jid)
    assert gone.find("status") is not None
    desk.send('<presence xmlns="jabber:client"/>')
    await phone.wait("presence", from_=desk.jid)
    await desk.close()
    await phone.wait("presence", type="unavailable", from_=desk.jid)
    await stranger.ping()
    assert stranger.take_all("presence") == []


async def test_odd_kinds_and_addresses_are_passed_over(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    peer, other = await stage.login(ann), await stage.login(bob)
    peer.send(f'<presence to="{bob.jid}" type="probe"/>')
    peer.send('<presence to="somebody@elsewhere.example.org"/>')
    peer.send("<presence><priority>high</priority></presence>")  # no number: 0
    await peer.wait("presence", from_=peer.jid)
    await other.ping()
    assert other.waiting == peer.waiting == []


async def online(node: Node, person: Person, sessions: int) -> None:
    async with asyncio.timeout(30):
        while {row[0]: row[1] for row in await node.app.database.fetch(_ONLINE)}.get(person.id, 0) != sessions:
            await asyncio.sleep(0.02)


async def test_the_table_of_who_is_online_follows(stage: Node) -> None:
    ann = await stage.person()
    peers: list[Peer] = []
    for count in (1, 2):
        peers.append(await stage.login(ann))
        await online(stage, ann, count)
    for count in (1, 0):
        await peers.pop().close()
        await online(stage, ann, count)


async def test_an_unavailable_session_can_still_send_and_ask(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    one, other = await stage.login(ann, presence=False), await stage.login(bob)
    one.send(f'<message type="chat" to="{bob.jid}" id="{stage.message_id()}"><body>x</body></message>')
    await other.wait("message", from_=one.jid)
    await one.ping()


class SlowRouter:
    """A router that takes its time to listen to what concerns a user."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self.release = asyncio.Event()
        self.heard: set[int] = set()
        self.alone = True

    async def user_came(self, app_id: int, user_id: int) -> None:
        await self.release.wait()
        self.heard.add(user_id)

    def user_went(self, user_id: int) -> None:
        self.heard.discard(user_id)


async def test_a_session_that_ends_while_its_presence_is_handled_leaves_nothing_behind() -> None:
    router = SlowRouter()

    async def late(session: Any) -> None:
        raise AssertionError("nothing is delivered to who has gone")

    async def screen(session: Any) -> None:
        """Nobody has a privacy list."""

    others = cast(Any, None)  # nobody is shown who is not there
    handler = Presence(cast(Any, router), late, screen, others, others, name="node", now_ms=lambda: 0)
    session: Any = SimpleNamespace(app_id=3, user_id=77, presence=None, available=False, ended=False, held=None)
    work = asyncio.ensure_future(handler.available(session, Element("presence")))
    await asyncio.sleep(0)
    session.ended = True
    router.user_went(session.user_id)  # as at the end of every last session
    router.release.set()
    await work
    assert not session.available
    assert router.heard == set()
    assert router.sessions.by_user == {}
