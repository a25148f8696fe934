"""Messages through the XMPP door: who gets what, in which form, and when it counts as sent (realtime §5-§9)."""

import time
from typing import Any

import pytest

from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.xmpp.xml import Element, to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAVE = "<save_to_history>1</save_to_history>"
MARKABLE = '<markable xmlns="urn:xmpp:chat-markers:0"/>'


def message(
    to: str, message_id: str, body: str = "hello", extra: str | None = SAVE, more: str = "", **attrs: str
) -> str:
    params = "" if extra is None else f'<extraParams xmlns="jabber:client">{extra}</extraParams>'
    kind = "groupchat" if "@muc." in to else "chat"
    others = "".join(f' {name}="{value}"' for name, value in attrs.items())
    return (
        f'<message xmlns="jabber:client" type="{kind}" id="{message_id}" to="{to}"{others}>'
        f"<body>{body}</body>{params}{more}</message>"
    )


def params(stanza: Element) -> dict[str, str]:
    extra = stanza.find("extraParams")
    assert extra is not None
    assert extra.xmlns == "jabber:client"
    return {child.name: child.text for child in extra.elements()}


async def send(peer: Peer, node: Node, to: str, body: str = "hello", extra: str | None = SAVE, **more: Any) -> str:
    message_id = node.message_id()
    peer.send(message(to, message_id, body, extra, **more))
    return message_id


async def private(node: Node, one: Person, other: Person) -> str:
    return await node.dialog(one, other, kind=3)


async def test_a_private_message_goes_to_all_sessions_and_not_back(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    dialog_id = await private(stage, ann, bob)
    sender = await stage.login(ann)
    phone, desk = await stage.login(bob, door="xmpps"), await stage.login(bob, door="wss")
    message_id = stage.message_id()
    dated = f"{SAVE}<date_sent>1767225600</date_sent>"
    sender.send(message(bob.jid, message_id, "Lunch?", dated, **{"from": "evil@x"}))
    for peer in (phone, desk):
        found = await peer.wait("message")
        assert to_xml(found) == (
            f'<message xmlns="jabber:client" from="{sender.jid}" to="{peer.jid}" type="chat" id="{message_id}">'
            f'<body>Lunch?</body><extraParams xmlns="jabber:client">{SAVE}<date_sent>1767225600</date_sent>'
            f"<dialog_id>{dialog_id}</dialog_id></extraParams></message>"
        )
    await sender.ping()
    assert sender.waiting == []


async def test_unknown_children_and_parameters_pass_unchanged_and_in_order(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    dialog_id = await private(stage, ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    extra = (
        "<city>Oslo &amp; &lt;more&gt;</city><meta><a>1</a><b><c>x</c></b></meta>"
        '<attachment type="image" uid="9a8b" data="%7B%22x%22%3A1%7D" name="a &quot;b&quot;"/><empty/>'
    )
    thing = '<thing xmlns="urn:x"><y z="1">t</y></thing>'
    head = f'<message xmlns="jabber:client" type="chat" id="{stage.message_id()}" to="{bob.jid}">'
    body = "<body>é 👋\n tab\t&lt;b&gt; &amp;amp;</body>"
    # Pretty-printed, as Flutter does.
    one.send(f"{head}\n  {thing}\n  {body}\n  <extraParams>{SAVE}{extra}</extraParams>\n</message>")
    await other.wait("message")
    stamp = other.text.partition("<date_sent>")[2].partition("<")[0]
    inner = (
        f'{thing}{body}<extraParams xmlns="jabber:client">{SAVE}{extra}<date_sent>{stamp}</date_sent>'
        f"<dialog_id>{dialog_id}</dialog_id></extraParams></message>"
    )
    assert other.text.endswith(inner)
    assert abs(int(stamp) - time.time()) < 5
    [stored] = await stage.history(ann, dialog_id, limit=1, sort_desc="date_sent")
    assert stored["message"] == "é 👋\n tab\t<b> &amp;"
    assert stored["city"] == "Oslo & <more>"
    assert stored["meta"] == {"a": "1", "b": {"c": "x"}}
    assert stored["attachments"] == [
        {"type": "image", "uid": "9a8b", "data": "%7B%22x%22%3A1%7D", "name": 'a "b"'},
    ]


@pytest.mark.parametrize("extra", [None, "", "<dialog_id>0123</dialog_id><city>Oslo</city>", "<dialog_id/>"])
async def test_dialog_and_date_are_always_there(stage: Node, extra: str | None) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    dialog_id, group = await private(stage, ann, bob), await stage.dialog(ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    for to, expected in ((bob.jid, dialog_id), (ann.room(group), group)):
        await send(one, stage, to, extra=extra)
        found = params(await other.wait("message"))
        assert found["dialog_id"] == expected
        assert abs(int(found["date_sent"]) - time.time()) < 5


@pytest.mark.parametrize(
    ("sent", "relayed"),
    [("1767225600", "1767225600"), ("1767225600123", "1767225600"), ("1767225600.75", "1767225600")],
)
async def test_dates_are_seconds_for_everybody(stage: Node, sent: str, relayed: str) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    await send(one, stage, ann.room(group), extra=f"{SAVE}<date_sent>{sent}</date_sent>")
    assert params(await other.wait("message"))["date_sent"] == relayed
    assert [item["date_sent"] for item in await stage.history(bob, group)] == [int(relayed)]


@pytest.mark.parametrize(("extra", "more"), [(f"{SAVE}<markable>1</markable>", ""), (SAVE, MARKABLE)])
async def test_markable_is_relayed_in_both_forms(stage: Node, extra: str, more: str) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one = await stage.login(ann)
    await send(one, stage, bob.jid, extra=extra, more=more)
    await one.ping()
    for _ in ("late", "live"):
        other = await stage.login(bob)
        if _ == "live":
            await send(one, stage, bob.jid, extra=extra, more=more)
        found = await other.wait("message")
        assert params(found)["markable"] == "1"
        assert other.text.count(MARKABLE) == 1


async def test_an_odd_id_is_kept_and_the_made_one_is_told(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    one.send(message(ann.room(group), "QWERTYUIO"))
    echo, found = await one.wait("message", id="QWERTYUIO"), await other.wait("message", id="QWERTYUIO")
    made = params(found)["message_id"]
    assert params(echo)["message_id"] == made
    assert [item["_id"] for item in await stage.history(bob, group)] == [made]
    one.send(message(ann.room(group), "").replace(' id=""', ""))
    found = await other.wait("message")
    assert found.get("id") == params(found)["message_id"]


async def test_without_save_to_history_it_is_relayed_and_forgotten(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    for extra in (None, "<save_to_history>0</save_to_history>", "<save_to_history/>"):
        await send(one, stage, ann.room(group), extra=extra)
        await other.wait("message")
    assert await stage.history(bob, group) == []


async def test_what_is_relayed_comes_behind_what_is_being_stored(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann, sm=True), await stage.login(bob, door="ws")
    for to in (bob.jid, ann.room(group)):
        ids = [stage.message_id() for _ in range(40)]
        # In one piece, so that all are under way at once.
        one.send("".join(message(to, id_, extra=SAVE if n % 3 else None) for n, id_ in enumerate(ids)))
        assert [(await other.wait("message")).get("id") for _ in ids] == ids


async def test_the_first_message_makes_the_dialog_but_only_if_it_is_stored(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one, other = await stage.login(ann), await stage.login(bob)
    await send(one, stage, bob.jid, extra=None)
    assert params(await other.wait("message"))["dialog_id"] == ""
    ids = [await send(one, stage, bob.jid, str(number)) for number in range(5)]
    found = [await other.wait("message") for _ in ids]
    assert [stanza.get("id") for stanza in found] == ids
    [dialog_id] = {params(stanza)["dialog_id"] for stanza in found}
    assert [item["_id"] for item in await stage.history(bob, dialog_id)] == ids


async def test_a_message_to_oneself_goes_to_the_other_sessions(stage: Node) -> None:
    ann = stage.people["ann"]
    phone, desk = await stage.login(ann, carbons=True), await stage.login(ann, carbons=True)
    await phone.wait("presence", from_=desk.jid)
    message_id = await send(phone, stage, ann.jid, "note to self")
    found = await desk.wait("message", id=message_id, from_=phone.jid, to=desk.jid)
    assert params(found)["date_sent"]
    await desk.ping()
    await phone.ping()
    assert phone.take_all("message") == desk.take_all("message") == []  # no carbon besides


async def test_a_group_message_reaches_everybody_and_the_sender_too(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group = await stage.dialog(ann, bob, cyd)
    phone, desk = await stage.login(ann, carbons=True), await stage.login(ann, carbons=True, door="ws")
    others = [await stage.login(bob), await stage.login(bob), await stage.login(cyd, door="wss")]
    for extra in (SAVE, None):
        message_id = await send(phone, stage, ann.room(group), extra=extra)
        for peer in (phone, desk, *others):
            found = await peer.wait("message")
            assert found.attrs == {
                "xmlns": "jabber:client",
                "from": f"{ann.room(group)}/{ann.id}",
                "to": peer.jid,
                "type": "groupchat",
                "id": message_id,
            }
            assert params(found)["dialog_id"] == group
            await peer.ping()
            assert peer.take_all("message") == []


async def test_a_group_message_sent_again_is_echoed_again_to_its_sender_alone(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann), await stage.login(bob)
    message_id = await send(one, stage, ann.room(group))
    await one.wait("message", id=message_id)
    await other.wait("message", id=message_id)
    one.send(message(ann.room(group), message_id))
    await one.wait("message", id=message_id)
    await other.ping()
    assert other.waiting == []
    assert len(await stage.history(bob, group)) == 1


async def test_who_was_away_gets_private_messages_in_order_with_their_date(stage: Node) -> None:
    ann, cyd, bob = stage.people["ann"], stage.people["cyd"], await stage.person()
    one, two = await stage.login(ann, sm=True), await stage.login(cyd, sm=True)
    group = await stage.dialog(ann, bob)
    ids = []
    for number in range(6):
        peer = two if number % 2 else one
        ids.append(await send(peer, stage, bob.jid, str(number), extra=SAVE if number < 4 else None))
        await peer.request()
    await send(one, stage, ann.room(group), "in the history only")
    await one.wait("message", type="groupchat")
    other = await stage.login(bob, presence=False)
    await other.ping()
    assert other.waiting == []  # nothing before the presence
    other.send('<presence xmlns="jabber:client"/>')
    found = [await other.wait("message") for _ in ids]
    assert [stanza.get("id") for stanza in found] == ids
    for stanza in found:
        delay = stanza.find("delay", "urn:xmpp:delay")
        assert delay is not None
        assert delay.get("from") == "localhost"
        assert str(delay.get("stamp")).startswith("20")
        assert str(delay.get("stamp")).endswith("Z")
        assert stanza.get("to") == other.jid
        assert str(stanza.get("from")).partition("/")[0] in (ann.jid, cyd.jid)
        params(stanza)
    again = await stage.login(bob)
    await again.ping()
    assert again.take_all("message") == []  # the first session had them


async def test_a_session_with_negative_priority_gets_nothing(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one, other = await stage.login(ann, sm=True), await stage.login(bob, presence=False)
    other.send('<presence xmlns="jabber:client"><priority>-1</priority></presence>')
    message_id = await send(one, stage, bob.jid)
    await one.request()
    await other.ping()
    assert other.take_all("message") == []
    other.send('<presence xmlns="jabber:client"><priority>5</priority></presence>')
    await other.wait("message", id=message_id)


async def test_what_was_read_through_rest_does_not_come_again(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    dialog_id = await private(stage, ann, bob)
    one = await stage.login(ann, sm=True)
    await send(one, stage, bob.jid, "read")
    await one.request()
    await stage.history(bob, dialog_id, mark_as_read=1)
    unread = await send(one, stage, bob.jid, "unread")
    await one.request()
    other = await stage.login(bob)
    assert [m.get("id") for m in other.take_all("message") or [await other.wait("message")]] == [unread]


# -- stream management -------------------------------------------------------------------------------------------------


async def test_an_acknowledgement_counts_what_is_stored_in_order(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    dialog_id = await private(stage, ann, bob)
    one = await stage.login(ann, sm=True)
    before = len(await stage.history(bob, dialog_id))
    request = '<r xmlns="urn:xmpp:sm:3"/>'
    one.send("".join(message(bob.jid, stage.message_id()) + request for _ in range(10)))
    assert [(await one.wait("a")).get("h") for _ in range(10)] == [str(n) for n in range(2, 12)]  # the presence is one
    assert len(await stage.history(bob, dialog_id)) == before + 10


async def test_an_iq_answered_early_is_not_counted_early(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    one = await stage.login(ann, sm=True, presence=False)
    one.send(
        message(bob.jid, stage.message_id())
        + '<iq type="get" id="early"><ping xmlns="urn:xmpp:ping"/></iq><r xmlns="urn:xmpp:sm:3"/>'
    )
    assert (await one.wait("a")).get("h") == "2"
    assert one.text.index('id="early"') < one.text.index("<a ")


async def test_a_javascript_session_counts_content_only(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    js = await stage.login(ann, door="ws", sm=True, js=True)
    assert await js.request() == 0  # carbons and presence are none
    state = '<composing xmlns="http://jabber.org/protocol/chatstates"/>'
    js.send(f'<message xmlns="jabber:client" type="chat" to="{bob.jid}">{state}</message>')
    js.send(
        f'<message xmlns="jabber:client" type="chat" to="{bob.jid}" id="{stage.message_id()}">'
        f'<displayed xmlns="urn:xmpp:chat-markers:0" id="{stage.message_id()}"/></message>'
    )
    await js.ping()
    assert await js.request() == 0
    await send(js, stage, bob.jid)
    assert await js.request() == 1
    await send(js, stage, ann.room(group), extra=None)
    assert await js.request() == 2
    attachment = '<attachment type="image"/>'
    js.send(
        f'<message xmlns="jabber:client" type="chat" to="{bob.jid}" id="{stage.message_id()}">'
        f"<extraParams>{SAVE}{attachment}</extraParams></message>"
    )
    assert await js.request() == 3


async def test_the_error_comes_before_the_acknowledgement_that_counts_it(stage: Node) -> None:
    ann = stage.people["ann"]
    taken, cyd = stage.message_id(), stage.people["cyd"]
    one = await stage.login(ann, sm=True, presence=False)
    one.send(message(cyd.jid, taken))
    assert await one.request() == 1
    for to in (f"999999-{ann.app_id}@localhost", stage.people["bob"].jid):  # one refused at once, one by the batch
        one.text = ""
        one.send(message(to, taken) + '<r xmlns="urn:xmpp:sm:3"/>')
        await one.wait("a")
        assert one.text.index('type="error"') < one.text.index("<a ")


async def test_enable_twice_and_resume(stage: Node) -> None:
    one = await stage.login(stage.people["ann"])
    one.send('<r xmlns="urn:xmpp:sm:3"/>')  # before it is on: nothing
    one.send('<resume xmlns="urn:xmpp:sm:3" previd="x" h="0"/>')
    assert (await one.wait("failed")).find("unexpected-request") is not None  # only in place of bind
    one.send('<enable xmlns="urn:xmpp:sm:3"/>')
    assert to_xml(await one.wait("enabled")) == '<enabled xmlns="urn:xmpp:sm:3"/>'
    one.send('<enable xmlns="urn:xmpp:sm:3"/>')
    assert (await one.wait("failed")).find("unexpected-request") is not None
    assert await one.request() == 0


async def test_the_server_asks_and_believes_the_answer(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one, other = await stage.login(ann), await stage.login(bob, sm=True)
    ids = [await send(one, stage, bob.jid, str(n)) for n in range(20)]
    for id_ in ids:
        await other.wait("message", id=id_)
    await other.wait("r")
    # The echo of the presence and half of the messages.
    other.send('<a xmlns="urn:xmpp:sm:3" h="11"/>')
    await other.ping()
    await other.close()  # dead, without a word
    again = await stage.login(bob)
    found = [await again.wait("message") for _ in ids[10:]]
    assert [stanza.get("id") for stanza in found] == ids[10:]
    await again.ping()
    assert again.take_all("message") == []


async def test_a_dead_session_leaves_its_messages_to_the_other_one(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one, dead = await stage.login(ann), await stage.login(bob, sm=True)
    message_id = await send(one, stage, bob.jid)
    await dead.wait("message", id=message_id)
    other = await stage.login(bob, presence=False)
    await dead.close()
    other.send('<presence xmlns="jabber:client"/>')
    await other.wait("message", id=message_id)
