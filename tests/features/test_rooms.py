"""Rooms through the XMPP door: joining and leaving as the SDKs do it (realtime §10.1-§10.3)."""

import asyncio

import pytest
from sqlalchemy import bindparam, update

from tests.support.node import Node
from voxcube.server.storage import counters
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import members
from voxcube.server.storage.sql import Query
from voxcube.xmpp.xml import to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

_REMOVE = Query(
    update(members)
    .where(members.c.dialog_id == bindparam("dialog"), members.c.user_id == bindparam("user"))
    .values(active=bindparam("is")),
    *("is", "dialog", "user"),
)
MUC = '<x xmlns="http://jabber.org/protocol/muc"><history maxstanzas="0"/></x>'


def shown(affiliation: str, role: str, *, self: bool = False, js: bool = False) -> str:
    status = '<status code="110"/>' if self else ""
    shim = "<xmlns><code>110</code></xmlns>" if self and js else ""
    item = f'<item affiliation="{affiliation}" role="{role}"/>'
    return f'<x xmlns="http://jabber.org/protocol/muc#user">{item}{status}{shim}</x>'


@pytest.mark.parametrize("js", [False, True])
async def test_joining_and_leaving(stage: Node, js: bool) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    room = ann.room(group)
    one = await stage.login(ann)
    other = await stage.login(bob, door="ws" if js else "xmpp", js=js)
    one.send(f'<presence id="J1" to="{room}/{ann.id}">{MUC}</presence>')
    assert to_xml(await one.wait("presence", id="J1")) == (
        f'<presence xmlns="jabber:client" from="{room}/{ann.id}" to="{one.jid}" id="J1">'
        f"{shown('owner', 'moderator', self=True)}</presence>"
    )
    # A nick that is not one's own is made so.
    other.send(f'<presence xmlns="jabber:client" id="5f:join" to="{room}/nick">{MUC}</presence>')
    assert to_xml(await other.wait("presence", from_=f"{room}/{ann.id}")) == (
        f'<presence xmlns="jabber:client" from="{room}/{ann.id}" to="{other.jid}">{shown("owner", "moderator")}'
        "</presence>"
    )
    assert to_xml(await other.wait("presence", id="5f:join")) == (
        f'<presence xmlns="jabber:client" from="{room}/{bob.id}" to="{other.jid}" id="5f:join">'
        f"{shown('member', 'participant', self=True, js=js)}</presence>"
    )
    assert to_xml(await one.wait("presence", from_=f"{room}/{bob.id}")) == (
        f'<presence xmlns="jabber:client" from="{room}/{bob.id}" to="{one.jid}">{shown("member", "participant")}'
        "</presence>"
    )
    for _ in range(2):  # leaving what was left is answered as well
        other.send(f'<presence xmlns="jabber:client" type="unavailable" to="{room}/{bob.id}"/>')
        assert to_xml(await other.wait("presence", type="unavailable")) == (
            f'<presence xmlns="jabber:client" from="{room}/{bob.id}" to="{other.jid}" type="unavailable">'
            f"{shown('member', 'none', self=True, js=js)}</presence>"
        )
    gone = await one.wait("presence", type="unavailable", from_=f"{room}/{bob.id}")
    assert to_xml(gone).count("<status") == 0
    await one.ping()
    await other.ping()
    assert one.take_all("presence") == other.take_all("presence") == []


async def test_several_sessions_are_one_occupant(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    room = ann.room(group)
    one = await stage.login(ann)
    one.send(f'<presence id="J" to="{room}/{ann.id}">{MUC}</presence>')
    await one.wait("presence", id="J")
    phone, desk = await stage.login(bob), await stage.login(bob)
    for peer in (phone, desk, phone):  # joining twice changes nothing
        peer.send(f'<presence id="J" to="{room}/{bob.id}">{MUC}</presence>')
        await peer.wait("presence", id="J")
    await one.wait("presence", from_=f"{room}/{bob.id}")
    await phone.close()
    await desk.wait("presence", type="unavailable", from_=phone.jid)
    await one.ping()
    assert one.take_all("presence") == []
    await desk.close()  # the last one: gone without a word
    await one.wait("presence", type="unavailable", from_=f"{room}/{bob.id}")


async def test_who_may_not_join(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group, private = await stage.dialog(ann, bob), await stage.dialog(ann, cyd, kind=3)
    peer = await stage.login(cyd, door="wss", js=True)
    cases = {
        ann.room(group): ("forbidden", "403", "auth"),
        ann.room(private): ("item-not-found", "404", "cancel"),
        ann.room("0" * 24): ("item-not-found", "404", "cancel"),
        f"{stage.stranger.app_id}_{group}@muc.localhost": ("item-not-found", "404", "cancel"),
        "nonsense@muc.localhost": ("item-not-found", "404", "cancel"),
    }
    for room, (condition, code, kind) in cases.items():
        peer.send(f'<presence xmlns="jabber:client" id="9:join" to="{room}/{cyd.id}">{MUC}</presence>')
        reply = await peer.wait("presence", type="error")
        assert reply.attrs == {
            "xmlns": "jabber:client",
            "type": "error",
            "from": f"{room}/{cyd.id}",
            "to": peer.jid,
            "id": "9:join",
        }
        x, error = reply.elements()
        assert (x.name, x.xmlns) == ("x", "http://jabber.org/protocol/muc")
        assert error.attrs == {"code": code, "type": kind}
        assert [child.name for child in error.elements()] == [condition, "text"]


async def test_no_history_and_no_need_to_join(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    save = "<extraParams><save_to_history>1</save_to_history></extraParams>"
    id_ = stage.message_id()
    one.send(f'<message type="groupchat" to="{ann.room(group)}" id="{id_}"><body>x</body>{save}</message>')
    await other.wait("message")
    other.send(f'<presence id="J" to="{ann.room(group)}/{bob.id}">{MUC}</presence>')
    await other.wait("presence", id="J")
    await other.ping()
    assert other.take_all("message") == []


async def test_who_was_removed_does_not_hinder_the_others(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group = await stage.dialog(ann, bob, cyd)
    room = ann.room(group)
    one, other = await stage.login(bob), await stage.login(cyd)
    one.send(f'<presence id="J" to="{room}/{bob.id}">{MUC}</presence>')
    await one.wait("presence", id="J")

    async def remove(tx: Tx) -> None:  # as a command would: no door can yet
        assert await tx.execute(_REMOVE, False, group, bob.id) == 1
        await counters.raise_generation(tx)

    await stage.app.writer.run(remove)
    async with asyncio.timeout(5):
        while True:
            other.send(f'<presence id="J" to="{room}/{cyd.id}">{MUC}</presence>')
            await other.wait("presence", id="J", from_=f"{room}/{cyd.id}")
            if not other.take_all("presence"):
                break
            await asyncio.sleep(0.1)
