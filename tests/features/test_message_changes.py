"""Edits, deletions and system messages through the XMPP door: persisted, then relayed (realtime §7.3, §9.4, §11)."""

from __future__ import annotations

import pytest

from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.xmpp.xml import Element, to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAVE = "<save_to_history>1</save_to_history>"


def message(to: str, id_: str, body: str = "hello", extra: str = SAVE, more: str = "") -> str:
    kind = "groupchat" if "@muc." in to else "chat"
    return (
        f'<message xmlns="jabber:client" type="{kind}" id="{id_}" to="{to}"><body>{body}</body>'
        f'<extraParams xmlns="jabber:client">{extra}</extraParams>{more}</message>'
    )


def edit(to: str, target: str, body: str, extra: str = "", id_: str = "EDITEDIT1") -> str:
    return message(to, id_, body, extra, f'<replace xmlns="urn:xmpp:message-correct:0" id="{target}" last="true"/>')


def delete(to: str, target: str, id_: str = "DELETEDEL") -> str:
    kind = "groupchat" if "@muc." in to else "chat"
    return (
        f'<message xmlns="jabber:client" type="{kind}" id="{id_}" to="{to}">'
        f'<remove xmlns="urn:xmpp:message-delete:0" id="{target}"/></message>'
    )


async def texts(node: Node, person: Person, dialog_id: str) -> list[str]:
    return [item["message"] for item in await node.history(person, dialog_id)]


def shape(stanza: Element) -> str:
    """A stanza without the receiver's address."""
    attrs = {name: value for name, value in stanza.attrs.items() if name != "to"}
    return to_xml(Element("message", attrs, stanza.children))


async def test_an_edit_and_a_deletion_in_a_private_dialog(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    dialog_id = await stage.dialog(ann, bob, kind=3)
    one, other = await stage.login(ann, sm=True), await stage.login(bob)
    desk = await stage.login(ann, carbons=True)
    id_ = stage.message_id()
    # Right behind the message itself: it finds it all the same, and everybody sees them in this order.
    one.send(message(bob.jid, id_) + edit(bob.jid, id_, "new", f"<dialog_id>{'0' * 24}</dialog_id><k>v</k>"))
    await other.wait("message", id=id_)
    found = await other.wait("message", id="EDITEDIT1", from_=one.jid)
    assert shape(found) == (
        f'<message xmlns="jabber:client" from="{one.jid}" type="chat" id="EDITEDIT1"><body>new</body>'
        f'<extraParams xmlns="jabber:client"><dialog_id>{dialog_id}</dialog_id><k>v</k></extraParams>'
        f'<replace xmlns="urn:xmpp:message-correct:0" id="{id_}" last="true"/></message>'
    )
    assert await one.request() == 3  # its presence, and what was committed
    for name in (id_, "EDITEDIT1"):
        assert f'id="{name}"' in to_xml(await desk.wait("message"))
    [item] = await stage.history(bob, dialog_id)
    assert (item["message"], item["k"], item["edited_at"] is not None) == ("new", "v", True)
    one.send(delete(bob.jid, id_))
    found = await other.wait("message", id="DELETEDEL", from_=one.jid)
    assert shape(found) == (
        f'<message xmlns="jabber:client" from="{one.jid}" type="chat" id="DELETEDEL">'
        f'<remove xmlns="urn:xmpp:message-delete:0" id="{id_}"/>'
        f'<extraParams xmlns="jabber:client"><dialog_id>{dialog_id}</dialog_id></extraParams></message>'
    )
    assert "DELETEDEL" in to_xml(await desk.wait("message"))
    assert await stage.history(bob, dialog_id) == []
    # Sent again, neither of them brings it back.
    one.send(message(bob.jid, id_) + delete(bob.jid, id_))
    await other.wait("message", id="DELETEDEL")
    assert await one.request() == 6
    assert await stage.history(bob, dialog_id) == []
    assert one.take_all("message") == []


async def test_in_a_group_everybody_hears_of_it_and_the_sender_too(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group = await stage.dialog(ann, bob, cyd)
    one, other, third = await stage.login(ann), await stage.login(bob), await stage.login(cyd)
    room, id_ = ann.room(group), stage.message_id()
    other.send(message(room, id_) + edit(room, id_, "new"))
    for peer in (one, other, third):
        await peer.wait("message", id=id_)
        assert "<body>new</body>" in to_xml(await peer.wait("message", id="EDITEDIT1", from_=f"{room}/{bob.id}"))
    third.send(edit(room, id_, "not mine") + delete(room, id_))
    for name in ("EDITEDIT1", "DELETEDEL"):
        refused = await third.wait("message", id=name, type="error")
        assert refused.find("error") is not None
        assert "forbidden" in to_xml(refused)
    assert await texts(stage, cyd, group) == ["new"]
    one.send(delete(room, id_))  # the owner may
    for peer in (one, other, third):
        await peer.wait("message", id="DELETEDEL", from_=f"{room}/{ann.id}")
    assert await texts(stage, cyd, group) == []
    await other.ping()
    assert other.take_all("message") == []


async def test_only_ones_own_in_the_dialog_it_is_in(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    private, group = await stage.dialog(ann, bob, kind=3), await stage.dialog(ann, bob)
    one, other, stranger = await stage.login(ann, sm=True), await stage.login(bob), await stage.login(cyd)
    ids = [stage.message_id(), stage.message_id()]
    one.send(message(bob.jid, ids[0], "secret") + message(ann.room(group), ids[1], "secret"))
    await one.request()
    before = [await texts(stage, ann, private), await texts(stage, ann, group)]
    for peer, to in ((stranger, bob.jid), (stranger, ann.jid), (stranger, ann.room(group)), (other, ann.jid)):
        for id_ in ids:
            peer.send(edit(to, id_, "x") + delete(to, id_))
            for name in ("EDITEDIT1", "DELETEDEL"):
                assert "<forbidden" in to_xml(await peer.wait("message", id=name, type="error"))
    one.send(edit(bob.jid, ids[1], "x"))  # own, but somewhere else
    assert "<forbidden" in to_xml(await one.wait("message", id="EDITEDIT1", type="error"))
    one.send(edit(f"{bob.id}-{ann.app_id + 1}@localhost", ids[0], "x"))
    assert "<item-not-found" in to_xml(await one.wait("message", id="EDITEDIT1", type="error"))
    assert [await texts(stage, ann, private), await texts(stage, ann, group)] == before
    for id_ in ids:
        await other.wait("message", id=id_)
    await other.ping()
    assert other.take_all("message") == []


async def test_what_was_never_stored_is_relayed_only(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    for to in (bob.jid, ann.room(group)):
        for id_ in (stage.message_id(), "QWERTYUIO"):
            one.send(edit(to, id_, "x") + delete(to, id_))
            await other.wait("message", id="EDITEDIT1")
            await other.wait("message", id="DELETEDEL")
    assert await stage.history(ann, group) == []


async def test_nobody_says_what_others_have_reacted(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    one, other = await stage.login(ann), await stage.login(bob)
    forged = '<reactions user_id="1" message_id="' + "a" * 24 + '"><reaction add="true" type="x"/></reactions>'
    one.send(message(bob.jid, stage.message_id(), "x", "", forged))
    assert "<bad-request" in to_xml(await one.wait("message", type="error"))
    await other.ping()
    assert other.take_all("message") == []


async def test_who_was_away_sees_what_is_left(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one = await stage.login(ann, sm=True)
    ids = [stage.message_id() for _ in range(4)]
    one.send(
        "".join(message(bob.jid, id_, extra=SAVE if n < 3 else "") for n, id_ in enumerate(ids))
        + edit(bob.jid, ids[0], "edited")
        + delete(bob.jid, ids[1])
        + delete(bob.jid, ids[3])
    )
    await one.request()
    other = await stage.login(bob)
    first, last = await other.wait("message"), await other.wait("message")
    assert [first.get("id"), last.get("id")] == [ids[0], ids[2]]
    assert "<body>edited</body>" in to_xml(first)
    await other.ping()
    assert other.take_all("message") == []


async def test_rest_changes_reach_the_chat(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    dialog_id = await stage.dialog(ann, bob, kind=3)
    one, other = await stage.login(ann, carbons=True), await stage.login(bob)
    async with await stage.rest_login(ann) as rest, await stage.rest_login(bob) as theirs:
        made = await rest.post("/chat/Message", json={"recipient_id": bob.id, "message": "hi", "send_to_chat": 1})
        id_ = made.json()["_id"]
        found = await other.wait("message", id=id_, from_=ann.jid)
        assert f"<dialog_id>{dialog_id}</dialog_id>" in to_xml(found)
        assert id_ in to_xml(await one.wait("message"))  # as a carbon
        quiet = await rest.post("/chat/Message", json={"recipient_id": bob.id, "message": "quiet"})
        await theirs.put(f"/chat/Message/{id_}", json={"chat_dialog_id": dialog_id, "read": 1})
        assert (await one.wait("message", from_=bob.jid)).find("displayed") is not None
        await rest.put(f"/chat/Message/{id_}", json={"chat_dialog_id": dialog_id, "message": "ho"})
        assert "<body>ho</body><replace" in to_xml(await other.wait("message", from_=ann.jid))
        await rest.delete(f"/chat/Message/{id_}?force=1")
        assert f'<remove xmlns="urn:xmpp:message-delete:0" id="{id_}"/>' in to_xml(await other.wait("message"))
        assert [item["_id"] for item in await stage.history(bob, dialog_id)] == [quiet.json()["_id"]]
    await other.close()
    again = await stage.login(bob)  # what is quiet does not come late either
    await again.ping()
    assert again.take_all("message") == []


async def test_headlines_are_relayed_as_they_are(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other, phone = await stage.login(ann), await stage.login(bob), await stage.login(bob)
    extra = "<moduleIdentifier>X</moduleIdentifier><sdp>a&#10;b</sdp>"
    inner = f"<body>dialog/NEW_DIALOG</body><extraParams>{extra}</extraParams>"
    one.send(f'<message xmlns="jabber:client" type="headline" id="h1" to="{bob.jid}">{inner}</message>')
    for peer in (other, phone):
        found = await peer.wait("message", id="h1", type="headline")
        assert shape(found) == (
            f'<message xmlns="jabber:client" from="{one.jid}" type="headline" id="h1">{inner}</message>'.replace(
                "&#10;", "\n"
            )
        )
    for to, condition in (
        (ann.room(group), "bad-request"),
        ("localhost", "bad-request"),
        (f"999999-{ann.app_id}@localhost", "item-not-found"),
        (stage.stranger.jid, "item-not-found"),
    ):
        one.send(f'<message xmlns="jabber:client" type="headline" id="h2" to="{to}">{inner}</message>')
        assert f"<{condition}" in to_xml(await one.wait("message", id="h2", type="error"))
    async with await stage.rest_login(ann) as rest:
        answer = await rest.post(
            "/chat/Message/system", json={"recipientId": bob.id, "dialogId": group, "deep": {"a": 1, "b": ["x"]}}
        )
        assert answer.status_code == 201
        assert answer.json()["extensionParams"] == {"dialogId": group, "deep": {"a": "1", "b": {"_0": "x"}}}
        for body, status in (({}, 422), ({"recipientId": 999_999}, 404), ({"recipient_id": bob.id, "a b": 1}, 422)):
            assert (await rest.post("/chat/Message/system", json=body)).status_code == status
    for peer in (other, phone):
        assert shape(await peer.wait("message", type="headline")) == (
            f'<message xmlns="jabber:client" from="{ann.jid}" type="headline" id="{answer.json()["messageId"]}">'
            f'<extraParams xmlns="jabber:client"><moduleIdentifier>SystemNotifications</moduleIdentifier>'
            f"<dialogId>{group}</dialogId><deep><a>1</a><b><_0>x</_0></b></deep></extraParams></message>"
        )
    await one.ping()
    assert one.take_all("message") == []


async def test_a_javascript_session_does_not_count_edits(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    js: Peer = await stage.login(ann, door="ws", sm=True, js=True)
    id_ = stage.message_id()
    js.send(message(bob.jid, id_))
    assert await js.request() == 1
    js.send(edit(bob.jid, id_, "x"))
    assert await js.request() == 1
