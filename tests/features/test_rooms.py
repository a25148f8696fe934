"""Rooms through the XMPP door: joining, leaving, kicks and who is online as the SDKs do it (realtime §10)."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import bindparam, update

from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.server.storage import counters
from voxcube.server.storage.database import Tx
from voxcube.server.storage.schema import members
from voxcube.server.storage.sql import Query
from voxcube.xmpp.xml import Element, to_xml

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


@pytest.mark.parametrize("client", ["js", "flutter", "standard"])
async def test_no_history_and_no_need_to_join(stage: Node, client: str) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, js = await stage.login(ann), client == "js"
    resource = "flutter_ABC/+=" if client == "flutter" else None
    other = await stage.login(bob, js=js, door="ws" if js else "xmpp", resource=resource)
    save = "<extraParams><save_to_history>1</save_to_history></extraParams>"
    id_ = stage.message_id()
    one.send(f'<message type="groupchat" to="{ann.room(group)}" id="{id_}"><body>x</body>{save}</message>')
    await other.wait("message")
    await join(other, ann.room(group), bob)
    await other.ping()
    # The subject, though there is none, tells standard clients that the joining is over; the SDKs misread it.
    room, subject = ann.room(group), '" type="groupchat"><subject/></message>'
    subject = f'<message xmlns="jabber:client" from="{room}" to="{other.jid}{subject}'
    assert [to_xml(message) for message in other.take_all("message")] == ([subject] if client == "standard" else [])


def kick(room: str, user: Person, actor: Person | None, peer: Peer, *, js: bool) -> str:
    inner = f'<actor jid="{actor.jid}"/>' if actor else ""
    item = f'<item affiliation="none" role="none">{inner}</item>' if inner else '<item affiliation="none" role="none"/>'
    shim, beside = ("<xmlns><code>301</code></xmlns>", f"<item>{inner}</item>" if inner else "") if js else ("", "")
    return (
        f'<presence xmlns="jabber:client" from="{room}/{user.id}" to="{peer.jid}" type="unavailable">'
        f'<x xmlns="http://jabber.org/protocol/muc#user">{item}<status code="301"/>{shim}</x>{beside}</presence>'
    )


async def join(peer: Peer, room: str, user: Person) -> None:
    peer.send(f'<presence xmlns="jabber:client" id="{user.id}:join" to="{room}/{user.id}">{MUC}</presence>')
    await peer.wait("presence", id=f"{user.id}:join")


async def change(stage: Node, by: Person, dialog_id: str, **body: Any) -> None:
    async with await stage.rest_login(by) as client:
        answer = await client.put(f"/chat/Dialog/{dialog_id}", json=body)
    assert answer.status_code == 200, answer.text


async def test_who_is_removed_is_told_and_gets_nothing_more(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group = await stage.dialog(ann, bob, cyd)
    room = ann.room(group)
    one, web, phone = await stage.login(ann), await stage.login(bob, door="ws", js=True), await stage.login(bob)
    unjoined, other = await stage.login(bob), await stage.login(cyd)
    for peer, person in ((one, ann), (web, bob), (phone, bob), (other, cyd)):
        await join(peer, room, person)
    for peer in (one, web, phone, unjoined, other):
        await peer.ping()
        peer.waiting.clear()
    await change(stage, ann, group, pull_all={"occupants_ids": [bob.id]})
    assert to_xml(await web.wait("presence")) == kick(room, bob, ann, web, js=True)
    assert to_xml(await phone.wait("presence")) == kick(room, bob, ann, phone, js=False)
    for peer in (one, other):  # whoever else is there is only told that bob is gone, once
        assert to_xml(await peer.wait("presence")) == (
            f'<presence xmlns="jabber:client" from="{room}/{bob.id}" to="{peer.jid}" type="unavailable">'
            f"{shown('member', 'none')}</presence>"
        )
    save = "<extraParams><save_to_history>1</save_to_history></extraParams>"
    composing = '<composing xmlns="http://jabber.org/protocol/chatstates"/>'
    one.send(f'<message type="groupchat" to="{room}" id="{stage.message_id()}"><body>x</body>{save}</message>')
    one.send(f'<message type="groupchat" to="{room}">{composing}</message>')
    await other.wait("message", lambda message: message.find("composing") is not None)
    web.send(f'<presence xmlns="jabber:client" id="9:join" to="{room}/{bob.id}">{MUC}</presence>')
    await web.wait("presence", id="9:join", type="error")
    for peer in (web, phone, unjoined):
        await peer.ping()
        assert peer.take_all("message") == peer.take_all("presence") == []
    # Back again, by the same word everywhere: the next message comes, and the room is open.
    await change(stage, ann, group, push_all={"occupants_ids": [bob.id]})
    one.send(f'<message type="groupchat" to="{room}" id="{stage.message_id()}"><body>back</body>{save}</message>')
    for peer in (web, phone, unjoined):
        await peer.wait("message")
    await join(web, room, bob)


async def test_who_leaves_the_dialog_leaves_its_room(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    room = ann.room(group)
    one, web = await stage.login(ann), await stage.login(bob, door="ws", js=True)
    await join(one, room, ann)
    await join(web, room, bob)
    async with await stage.rest_login(bob) as client:
        assert (await client.delete(f"/chat/Dialog/{group}")).status_code == 200
    assert to_xml(await web.wait("presence", type="unavailable")) == (
        f'<presence xmlns="jabber:client" from="{room}/{bob.id}" to="{web.jid}" type="unavailable">'
        f"{shown('none', 'none', self=True, js=True)}</presence>"
    )
    await one.wait("presence", type="unavailable", from_=f"{room}/{bob.id}")


async def test_a_dialog_that_is_deleted_and_a_user_who_is(stage: Node) -> None:
    ann, bob, gone = stage.people["ann"], stage.people["bob"], await stage.person()
    group, other = await stage.dialog(ann, bob, gone), await stage.dialog(bob, gone)
    one, web, leaving = await stage.login(ann), await stage.login(bob, door="ws", js=True), await stage.login(gone)
    await join(one, ann.room(group), ann)
    for peer, person in ((web, bob), (leaving, gone)):
        await join(peer, ann.room(group), person)
        await join(peer, ann.room(other), person)
    async with await stage.rest_login(ann) as client:
        assert (await client.delete(f"/chat/Dialog/{group}", params={"force": 1})).status_code == 200
    await web.ping()
    presences = [to_xml(presence) for presence in web.take_all("presence") if presence.get("type") == "unavailable"]
    assert kick(ann.room(group), bob, ann, web, js=True) in presences
    assert to_xml(await leaving.wait("presence", type="unavailable", from_=f"{ann.room(group)}/{gone.id}")) == (
        kick(ann.room(group), gone, ann, leaving, js=False)
    )
    own = await one.wait("presence", type="unavailable", from_=f"{ann.room(group)}/{ann.id}")
    assert "110" in to_xml(own)  # who deletes it has left by itself
    async with await stage.rest_login(gone) as client:
        assert (await client.delete(f"/users/{gone.id}")).status_code == 200
    assert to_xml(await leaving.wait("presence", type="unavailable", from_=f"{ann.room(other)}/{gone.id}")) == (
        kick(ann.room(other), gone, None, leaving, js=False)
    )
    await leaving.end("not-authorized")
    await web.wait("presence", type="unavailable", from_=f"{ann.room(other)}/{gone.id}")


async def test_who_is_online(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group, private = await stage.dialog(ann, bob), await stage.dialog(ann, cyd, kind=3)
    room, items = ann.room(group), '<query xmlns="http://jabber.org/protocol/disco#items"/>'
    one, stranger = await stage.login(ann, door="ws", js=True), await stage.login(cyd)

    async def online(peer: Peer, room: str) -> Element:
        peer.send(f'<iq xmlns="jabber:client" type="get" id="who" to="{room}">{items}</iq>')
        return await peer.wait("iq", id="who")

    def answer(*people: Person) -> str:
        inner = "".join(f'<item jid="{room}/{person.id}"/>' for person in sorted(people, key=lambda one: one.id))
        return (
            f'<iq xmlns="jabber:client" type="result" id="who" from="{room}" to="{one.jid}">'
            f'<query xmlns="http://jabber.org/protocol/disco#items">{inner}</query></iq>'
        )

    assert to_xml(await online(one, room)) == answer(ann)
    other, unseen = await stage.login(bob), await stage.login(bob, presence=False)
    assert to_xml(await online(one, room)) == answer(ann, bob)  # joined or not
    await other.close()
    await one.ping()
    assert to_xml(await online(one, room)) == answer(ann)  # a session without presence is not available
    await unseen.close()
    for room_, condition, code in (
        (room, "forbidden", "403"),
        (ann.room(private), "item-not-found", "404"),
        (ann.room("0" * 24), "item-not-found", "404"),
        (f"{stage.stranger.app_id}_{group}@muc.localhost", "item-not-found", "404"),
    ):
        reply = await online(stranger, room_)
        error = reply.find("error")
        assert reply.get("type") == "error"
        assert error is not None
        assert error.get("code") == code
        assert next(error.elements()).name == condition


async def test_what_a_room_is(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group = await stage.dialog(ann, bob)
    room = ann.room(group)
    peer, stranger = await stage.login(ann), await stage.login(cyd)
    spaces = [f"http://jabber.org/protocol/{name}" for name in ("disco#info", "disco#items", "muc")]
    info = '<query xmlns="http://jabber.org/protocol/disco#info"/>'
    hosts = ("muc.localhost", ' name="Dialogs"', spaces)
    archived = [*spaces, "urn:xmpp:mam:2"]
    for to, name, found in ((room, "", archived), (f"{room}/{ann.id}", "", archived), hosts):
        features = "".join(f'<feature var="{space}"/>' for space in found)
        peer.send(f'<iq type="get" id="i" to="{to}">{info}</iq>')
        assert to_xml(await peer.wait("iq", id="i")) == (
            f'<iq xmlns="jabber:client" type="result" id="i" from="{to}" to="{peer.jid}">'
            f'<query xmlns="http://jabber.org/protocol/disco#info"><identity category="conference" type="text"{name}/>'
            f"{features}</query></iq>"
        )
    stranger.send(f'<iq type="get" id="i" to="{room}">{info}</iq>')
    assert (await stranger.wait("iq", id="i")).get("type") == "error"
    peer.send(f'<iq type="get" id="v" to="{room}"><query xmlns="jabber:iq:version"/></iq>')
    assert (await peer.wait("iq", id="v")).get("type") == "error"
    # The server says that it has rooms, and their host has nothing to show to strangers.
    items = '<query xmlns="http://jabber.org/protocol/disco#items"/>'
    for to, inner in (("localhost", '<item jid="muc.localhost" name="Dialogs"/>'), ("muc.localhost", "")):
        peer.send(f'<iq type="get" id="d" to="{to}">{items}</iq>')
        answer = to_xml(await peer.wait("iq", id="d"))
        assert f'#items">{inner}</query>' in answer or (not inner and '#items"/>' in answer)


async def test_a_standard_client_asks_whether_it_is_still_in(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    room = ann.room(await stage.dialog(ann, bob))
    peer = await stage.login(ann)
    ping = f'<iq type="get" id="p" to="{room}/{ann.id}"><ping xmlns="urn:xmpp:ping"/></iq>'
    peer.send(ping)
    error = (await peer.wait("iq", id="p", type="error")).find("error")
    assert error is not None
    assert next(error.elements()).name == "not-acceptable"  # XEP-0410 §3.1: not joined
    await join(peer, room, ann)
    peer.send(ping)
    await peer.wait("iq", id="p", type="result", from_=f"{room}/{ann.id}")


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
    async with asyncio.timeout(30):
        while True:
            other.send(f'<presence id="J" to="{room}/{cyd.id}">{MUC}</presence>')
            await other.wait("presence", id="J", from_=f"{room}/{cyd.id}")
            if not other.take_all("presence"):
                break
            await asyncio.sleep(0.1)
