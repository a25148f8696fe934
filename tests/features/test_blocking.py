"""Blocking through the XMPP door: a view of the default privacy list, pushed to who has asked (XEP-0191)."""

import itertools

import pytest

from tests.features.test_privacy import block, done, item, message, pair, read, unavailable
from tests.support.node import Node
from tests.support.xmpp_peer import Peer
from voxcube.xmpp.xml import to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

_numbers = itertools.count(1)


def items(*jids: str) -> str:
    return "".join(f'<item jid="{jid}"/>' for jid in jids)


async def ask(peer: Peer, kind: str, name: str, *jids: str) -> str:
    """A request; returns what was in the result, or the code of the error."""
    id_ = f"b{next(_numbers)}"
    peer.send(f'<iq type="{kind}" id="{id_}"><{name} xmlns="urn:xmpp:blocking">{items(*jids)}</{name}></iq>')
    answer = await peer.wait("iq", id=id_)
    if (error := answer.find("error")) is not None:
        return error.attrs["code"]
    return "".join(map(to_xml, answer.elements()))


def listed(*jids: str) -> str:
    inner = items(*jids)
    return '<blocklist xmlns="urn:xmpp:blocking"' + (f">{inner}</blocklist>" if inner else "/>")


async def pushed(peer: Peer) -> str:
    push = await peer.wait("iq", type="set", to=peer.jid)
    assert push.get("from") is None
    return "".join(map(to_xml, push.elements()))


async def test_blocking_and_unblocking(stage: Node) -> None:
    ann, bob, cyd = await stage.person(), await stage.person(), await stage.person()
    mine, other, theirs = await stage.login(ann), await stage.login(ann, js=True), await stage.login(bob)
    assert await ask(mine, "get", "blocklist") == listed()
    assert await ask(mine, "set", "block", bob.jid, "spam.example.org") == ""
    assert await pushed(mine) == f'<block xmlns="urn:xmpp:blocking">{items(bob.jid, "spam.example.org")}</block>'
    assert await ask(mine, "get", "blocklist") == listed(bob.jid, "spam.example.org")
    name = "ConnectyCubeBlockList"
    assert await read(mine) == (
        f'<query xmlns="jabber:iq:privacy"><default name="{name}"/><list name="{name}"/></query>'
    )
    wire = item(bob.jid, 1, mutual=True) + item(f"muc.localhost/{bob.id}", 2, mutual=True)
    wire += item("spam.example.org", 3, mutual=True)
    assert wire in await read(mine, f'<list name="{name}"/>')
    for sender, to in ((theirs, ann), (mine, bob)):
        sender.send(message(stage, to.jid))
        await unavailable(sender)
    assert await ask(mine, "set", "block", cyd.jid) == ""
    assert await pushed(mine) == f'<block xmlns="urn:xmpp:blocking">{items(cyd.jid)}</block>'
    assert await ask(mine, "set", "unblock", bob.jid, "99-1@localhost") == ""
    assert await pushed(mine) == f'<unblock xmlns="urn:xmpp:blocking">{items(bob.jid)}</unblock>'
    theirs.send(message(stage, ann.jid))
    await mine.wait("message", from_=theirs.jid)
    assert await ask(mine, "set", "unblock") == ""
    assert await pushed(mine) == '<unblock xmlns="urn:xmpp:blocking"/>'
    assert await ask(mine, "get", "blocklist") == listed()
    assert await read(mine) == '<query xmlns="jabber:iq:privacy"/>'
    await other.ping()
    assert other.take_all("iq") == []  # it has not asked


async def test_it_is_a_view_of_the_default_list(stage: Node) -> None:
    ann, bob, cyd = await stage.person(), await stage.person(), await stage.person()
    mine, other, theirs = await stage.login(ann), await stage.login(ann), await stage.login(bob)
    assert await ask(other, "get", "blocklist") == listed()
    rest = '<item action="allow" order="9"/>'
    await block(mine, rest, pair(bob, 3), item(cyd.jid, 1, action="allow"))
    assert await pushed(other) == f'<block xmlns="urn:xmpp:blocking">{items(bob.jid)}</block>'
    assert await ask(mine, "get", "blocklist") == listed(bob.jid)
    # Whoever is blocked comes before all other rules, and an earlier rule about the same one goes.
    assert await ask(mine, "set", "block", cyd.jid, bob.jid) == ""
    assert await pushed(mine) == await pushed(other) == f'<block xmlns="urn:xmpp:blocking">{items(cyd.jid)}</block>'
    twins = [(f"muc.localhost/{person.id}", person.jid) for person in (cyd, bob)]
    wire = "".join(
        item(twins[n][0], 2 * n + 2, mutual=True) if odd else item(twins[n][1], 2 * n + 1, mutual=True)
        for n in range(2)
        for odd in range(2)
    )
    wire += '<item action="allow" order="5"/>'
    assert (
        await read(mine, '<list name="bl"/>')
        == f'<query xmlns="jabber:iq:privacy"><list name="bl">{wire}</list></query>'
    )
    theirs.send(message(stage, ann.jid))
    await unavailable(theirs)
    await done(mine, "<default/>")
    assert await pushed(other) == '<unblock xmlns="urn:xmpp:blocking"/>'


async def test_what_is_refused(stage: Node) -> None:
    peer = await stage.login(await stage.person())
    assert await ask(peer, "set", "block") == "400"
    assert await ask(peer, "set", "block", "@") == "400"
    assert await ask(peer, "set", "block", "") == "400"
    assert await ask(peer, "set", "unblock", "@") == "400"
    for start in (0, 900):
        people = [f"{n + 1}-1@localhost" for n in range(start, start + 900)]
        assert await ask(peer, "set", "block", *people) == ("406" if start else "")
    assert await ask(peer, "set", "unblock") == ""
    assert await ask(peer, "get", "blocklist") == listed()
