"""Contacts through the XMPP door: lists and pushes byte for byte, subscriptions, and who is shown whose presence."""

from __future__ import annotations

import itertools

import pytest

from tests.features.test_privacy import block, item
from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.server.features.contacts import showing
from voxcube.xmpp.xml import Element, to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERY = '<query xmlns="jabber:iq:roster">'
_numbers = itertools.count(1)


async def ask(peer: Peer, kind: str, inner: str = "", *, to: str = "") -> Element:
    id_ = f"r{next(_numbers)}"
    address = f' to="{to}"' if to else ""
    peer.send(f'<iq type="{kind}" id="{id_}"{address} xmlns="jabber:client">{QUERY}{inner}</query></iq>')
    return await peer.wait("iq", id=id_)


async def change(peer: Peer, inner: str) -> None:
    answer = await ask(peer, "set", inner)
    assert answer.get("type") == "result", to_xml(answer)
    assert not answer.children


async def refused(peer: Peer, kind: str, inner: str, code: str, *, to: str = "") -> None:
    error = (await ask(peer, kind, inner, to=to)).find("error")
    assert error is not None
    assert error.get("code") == code


async def listed(peer: Peer) -> str:
    """The list as text; from now on the peer is pushed what changes."""
    answer = await ask(peer, "get")
    assert answer.get("type") == "result", to_xml(answer)
    return "".join(to_xml(child) for child in next(answer.elements()).elements())


async def pushed(peer: Peer) -> str:
    """The next push; it has no `from` (quirks A13)."""
    push = await peer.wait("iq", type="set", to=peer.jid)
    assert set(push.attrs) == {"xmlns", "type", "id", "to"}
    (query,) = push.elements()
    assert query.attrs == {"xmlns": "jabber:iq:roster"}
    return "".join(to_xml(child) for child in query.elements())


def entry(person: Person, subscription: str, more: str = "", groups: str = "") -> str:
    head = f'<item jid="{person.jid}" subscription="{subscription}"{more}'
    return f"{head}>{groups}</item>" if groups else f"{head}/>"


def presence(to: Person, kind: str = "", inner: str = "") -> str:
    type_ = f' type="{kind}"' if kind else ""
    return f'<presence xmlns="jabber:client" to="{to.jid}"{type_}>{inner}</presence>'


async def befriend(ann: Peer, a: Person, bob: Peer, b: Person) -> None:
    """Each is shown the other's presence."""
    for one, other, other_peer, person in ((ann, b, bob, a), (bob, a, ann, b)):
        one.send(presence(other, "subscribe"))
        await other_peer.wait("presence", type="subscribe", from_=person.jid)
        other_peer.send(presence(person, "subscribed"))
        await one.wait("presence", type="subscribed", from_=other.jid)
        await one.wait("presence", lambda stanza: stanza.get("type") is None, from_=other_peer.jid)


async def nothing(*peers: Peer) -> None:
    """None of them has been told anything that it has not taken."""
    for peer in peers:
        await peer.ping()
        assert [to_xml(stanza) for stanza in peer.waiting] == []


async def test_the_list_and_its_pushes(stage: Node) -> None:
    ann, bob, cyd = [await stage.person() for _ in range(3)]
    desk, phone, browser = await stage.login(ann), await stage.login(ann), await stage.login(ann, js=True)
    for peer in (desk, phone, browser):
        await peer.ping()  # behind the presence of the others
        peer.take_all("presence")
    assert await listed(desk) == await listed(phone) == ""
    await change(desk, f'<item jid="{bob.jid}/x" name="Bob &amp; co" subscription="both"><group>A</group></item>')
    wire = entry(bob, "none", ' name="Bob &amp; co"', "<group>A</group>")
    assert await pushed(desk) == await pushed(phone) == wire
    await change(phone, f'<item jid="{bob.jid}" name="B"/>')
    assert await pushed(desk) == await pushed(phone) == entry(bob, "none", ' name="B"')
    await change(phone, f'<item jid="{cyd.jid}"/>')
    assert await pushed(desk) == await pushed(phone) == entry(cyd, "none")
    other = await stage.login(ann, presence=False)
    assert await listed(other) == entry(bob, "none", ' name="B"') + entry(cyd, "none")
    await change(phone, f'<item jid="{bob.jid}" name="B"/>')  # nothing new
    await change(other, f'<item jid="{bob.jid}" subscription="remove"/>')
    for peer in (desk, phone, other):
        assert await pushed(peer) == entry(bob, "remove")
    browser.take_all("presence")
    await nothing(desk, phone, other, browser)  # the browser has not asked


async def test_what_is_refused(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    peer = await stage.login(ann)
    await listed(peer)
    await refused(peer, "set", "", "400")
    await refused(peer, "set", entry(bob, "none") * 2, "400")
    await refused(peer, "set", '<item jid="@"/>', "400")
    await refused(peer, "set", '<item name="nobody"/>', "400")
    await refused(peer, "set", f'<item jid="{bob.jid}"><group>x</group><group>x</group></item>', "400")
    await refused(peer, "set", f'<item jid="{bob.jid}"><group/></item>', "406")
    await refused(peer, "set", f'<item jid="{bob.jid}" name="{"x" * 256}"/>', "406")
    await refused(peer, "set", f'<item jid="{ann.jid}"/>', "406")
    for address in (stage.stranger.jid, "999999999-1@localhost", "a@elsewhere.example.org", "localhost"):
        await refused(peer, "set", f'<item jid="{address}"/>', "404")
    await refused(peer, "set", entry(bob, "remove"), "404")
    for kind in ("get", "set"):
        await refused(peer, kind, entry(bob, "none"), "503", to=bob.jid)  # nobody else's list
    for to in (stage.stranger.jid, "999999999-1@localhost"):
        peer.send(f'<presence to="{to}" type="subscribe" id="s1"/>')
        error = await peer.wait("presence", type="error", id="s1", from_=to)
        assert next(child for child in error.elements() if child.name == "error").get("code") == "404"
    peer.take_all("presence")
    await nothing(peer)


async def test_a_subscription_from_asking_to_its_end(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine, silent, theirs = await stage.login(ann), await stage.login(ann), await stage.login(bob)
    for peer in (mine, silent):
        await peer.ping()  # behind the presence of the other
        peer.take_all("presence")
    assert await listed(mine) == await listed(theirs) == ""
    mine.send(presence(bob, "subscribe", "<status>it is me</status>"))
    assert await pushed(mine) == entry(bob, "none", ' ask="subscribe"')
    asked = await theirs.wait("presence", type="subscribe")
    assert to_xml(asked) == (
        f'<presence xmlns="jabber:client" from="{ann.jid}" to="{theirs.jid}" type="subscribe">'
        "<status>it is me</status></presence>"
    )
    mine.send(presence(bob, "subscribe"))  # once is enough
    await nothing(mine, theirs)
    theirs.send(presence(ann, "subscribed"))
    assert await pushed(theirs) == entry(ann, "from")
    assert await pushed(mine) == entry(bob, "to")
    for peer in (mine, silent):
        await peer.wait("presence", type="subscribed", from_=bob.jid)
        shown = await peer.wait("presence", from_=theirs.jid)
        assert to_xml(shown) == f'<presence xmlns="jabber:client" from="{theirs.jid}" to="{peer.jid}"/>'
    await nothing(mine, silent, theirs)
    theirs.send('<presence xmlns="jabber:client"><show>away</show><status>lunch</status></presence>')
    await theirs.wait("presence", from_=theirs.jid)
    for peer in (mine, silent):
        shown = await peer.wait("presence", from_=theirs.jid)
        assert to_xml(shown).endswith("<show>away</show><status>lunch</status></presence>")
    # Who comes later is shown who is there; nothing goes the other way.
    late = await stage.login(ann)
    assert (await late.wait("presence", from_=theirs.jid)).find("show") is not None
    for peer in (mine, silent, late):
        await peer.ping()
        peer.take_all("presence")
    await nothing(theirs)
    again = await stage.login(bob)
    await theirs.ping()
    theirs.take_all("presence")
    for peer in (mine, silent, late):
        await peer.wait("presence", from_=again.jid)
    await again.close()
    for peer in (mine, silent, late):
        await peer.wait("presence", from_=again.jid, type="unavailable")
    await theirs.ping()
    theirs.take_all("presence")
    theirs.send(presence(ann, "unsubscribed"))
    assert await pushed(theirs) == entry(ann, "none")
    assert await pushed(mine) == entry(bob, "none")
    for peer in (mine, silent, late):
        await peer.wait("presence", type="unsubscribed", from_=bob.jid)
        await peer.wait("presence", type="unavailable", from_=theirs.jid)
    theirs.send("<presence/>")
    await theirs.wait("presence", from_=theirs.jid)
    await nothing(mine, silent, late, theirs)


async def test_a_request_waits_for_who_is_away(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine = await stage.login(ann)
    mine.send(presence(bob, "subscribe", "<status>hello</status>"))
    await mine.ping()
    for _ in range(2):  # as often as bob comes without an answer
        theirs = await stage.login(bob)
        assert await listed(theirs) == ""
        asked = await theirs.wait("presence", type="subscribe", from_=ann.jid)
        assert asked.find("status") is not None
        theirs.send("<presence><show>dnd</show></presence>")
        await theirs.ping()
        assert theirs.take_all("presence")[0].get("type") is None
        await nothing(theirs)
        await theirs.close()
    browser = await stage.login(bob, js=True)
    await browser.wait("presence", type="subscribe", from_=ann.jid)
    browser.send(presence(ann, "unsubscribed"))
    await mine.wait("presence", type="unsubscribed", from_=bob.jid)
    theirs = await stage.login(bob)
    await theirs.ping()
    assert [stanza.get("type") for stanza in theirs.take_all("presence")] == [None]  # the browser's


async def test_removing_a_contact_and_an_account(stage: Node) -> None:
    ann, bob, cyd = [await stage.person() for _ in range(3)]
    mine, theirs = await stage.login(ann), await stage.login(bob)
    await befriend(mine, ann, theirs, bob)
    assert await listed(theirs) == entry(ann, "both")
    assert await listed(mine) == entry(bob, "both")
    await change(mine, entry(bob, "remove"))
    assert await pushed(mine) == entry(bob, "remove")
    await theirs.wait("presence", type="unsubscribe", from_=ann.jid)
    await theirs.wait("presence", type="unsubscribed", from_=ann.jid)
    await theirs.wait("presence", type="unavailable", from_=mine.jid)
    await mine.wait("presence", type="unavailable", from_=theirs.jid)
    assert await pushed(theirs) == entry(ann, "none")
    await change(theirs, f'<item jid="{cyd.jid}" name="Cyd"/>')
    await pushed(theirs)
    async with await stage.rest_login(cyd) as client:
        answer = await client.delete(f"/users/{cyd.id}")
    assert answer.status_code == 200, answer.text
    assert await pushed(theirs) == entry(cyd, "remove")
    await nothing(theirs)


async def test_directed_presence(stage: Node) -> None:
    ann, bob, cyd = [await stage.person() for _ in range(3)]
    mine, theirs, other = await stage.login(ann), await stage.login(bob), await stage.login(cyd)
    muc = '<x xmlns="http://jabber.org/protocol/muc#user"><item/></x>'
    mine.send(presence(bob, "", f"<show>chat</show>{muc}"))
    shown = await theirs.wait("presence", from_=mine.jid)
    assert to_xml(shown) == (
        f'<presence xmlns="jabber:client" from="{mine.jid}" to="{theirs.jid}"><show>chat</show></presence>'
    )  # only rooms say who joins them
    mine.send("<presence><show>away</show></presence>")  # that is for contacts (RFC 6121 §4.6.3)
    await mine.ping()
    await nothing(theirs)
    await mine.close()
    await theirs.wait("presence", type="unavailable", from_=mine.jid)
    other.send('<presence type="unavailable"/>')
    other.send(presence(bob))  # nobody could tell bob when that is over
    await other.ping()
    await nothing(theirs)
    other.send("<presence/>")
    other.send(presence(bob))
    other.send(presence(bob, "unavailable"))
    await theirs.wait("presence", from_=other.jid)
    await theirs.wait("presence", from_=other.jid, type="unavailable")
    await other.close()
    await nothing(theirs)


async def test_presence_to_too_many(stage: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "MAX_DIRECTED", 1)
    ann, bob, cyd = [await stage.person() for _ in range(3)]
    mine, theirs, other = await stage.login(ann), await stage.login(bob), await stage.login(cyd)
    mine.send(presence(bob))
    await theirs.wait("presence", from_=mine.jid)
    mine.send(presence(cyd))
    error = (await mine.wait("presence", type="error", from_=cyd.jid)).find("error")
    assert error is not None
    assert error.get("code") == "406"
    mine.send(presence(bob))  # no further one
    await theirs.wait("presence", from_=mine.jid)
    await nothing(mine, theirs, other)


async def test_privacy_lists_keep_presence_in_and_out(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine, theirs = await stage.login(ann), await stage.login(bob)
    await befriend(mine, ann, theirs, bob)
    away = "<presence><show>away</show></presence>"

    async def deny(kind: str) -> None:
        head = f'<item type="jid" value="{bob.jid}" action="deny" order="1"'
        await block(mine, f"{head}><{kind}/></item>")

    await deny("presence-out")
    await theirs.wait("presence", from_=mine.jid, type="unavailable")
    mine.send(away)
    theirs.send(away)
    await mine.wait("presence", from_=theirs.jid)
    await mine.ping()
    mine.take_all("presence")
    theirs.take_all("presence")
    await nothing(theirs)
    await deny("presence-in")
    await theirs.wait("presence", from_=mine.jid)
    theirs.send("<presence><show>xa</show></presence>")
    mine.send(away)
    await theirs.wait("presence", from_=mine.jid)
    await theirs.ping()
    await mine.ping()
    assert [stanza.get("from") for stanza in mine.take_all("presence")] == [mine.jid]
    # Who is blocked cannot ask.
    cyd = await stage.person()
    third = await stage.login(cyd)
    await block(mine, item(cyd.jid, 1))
    third.send(f'<presence to="{ann.jid}" type="subscribe" id="s1"/>')
    error = (await third.wait("presence", type="error", id="s1")).find("error")
    assert error is not None
    assert error.get("code") == "503"


async def test_negative_priority(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine, theirs = await stage.login(ann), await stage.login(bob)
    await befriend(mine, ann, theirs, bob)
    theirs.send("<presence><priority>-1</priority></presence>")
    shown = await mine.wait("presence", from_=theirs.jid)
    assert shown.find("priority") is not None
    late = await stage.login(ann)
    await late.wait("presence", from_=theirs.jid)
    theirs.send('<presence type="unavailable"/>')
    for peer in (mine, late):
        await peer.wait("presence", from_=theirs.jid, type="unavailable")
