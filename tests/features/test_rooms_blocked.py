"""Rooms through XMPP with privacy lists: a blocked occupant is not shown the blocker (realtime §10, §15)."""

import pytest

from tests.features.test_privacy import block, done, item, pair
from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MUC = '<x xmlns="http://jabber.org/protocol/muc"/>'
ITEMS = "http://jabber.org/protocol/disco#items"


async def enter(peer: Peer, person: Person, group: str) -> None:
    """Joins; all that came before the own presence is in the queue of the peer."""
    peer.send(f'<presence id="J" to="{person.room(group)}/{person.id}">{MUC}</presence>')
    await peer.wait("presence", id="J")


def leave(peer: Peer, person: Person, group: str) -> None:
    peer.send(f'<presence type="unavailable" to="{person.room(group)}/{person.id}"/>')


async def shown(peer: Peer, person: Person) -> list[str]:
    """What the peer was shown of a person in rooms until now: "in" and "out"."""
    await peer.ping()
    found = [one for one in peer.take_all("presence") if (one.get("from") or "").endswith(f"/{person.id}")]
    return ["out" if one.get("type") == "unavailable" else "in" for one in found]


async def online(peer: Peer, person: Person, group: str) -> set[int]:
    peer.send(f'<iq type="get" id="I" to="{person.room(group)}"><query xmlns="{ITEMS}"/></iq>')
    answer = await peer.wait("iq", id="I")
    (query,) = answer.elements()
    return {int((one.get("jid") or "").rpartition("/")[2]) for one in query.elements()}


@pytest.mark.parametrize("way", ["one way", "mutual", "private item", "room item", "xep-0191"])
async def test_the_blocker_is_not_shown(stage: Node, way: str) -> None:
    ann, bob, cyd = await stage.person(), await stage.person(), await stage.person()
    group = await stage.dialog(ann, bob, cyd)
    blocker, blocked, other = await stage.login(ann), await stage.login(bob), await stage.login(cyd)
    if way == "xep-0191":
        blocker.send(f'<iq type="set" id="B"><block xmlns="urn:xmpp:blocking"><item jid="{bob.jid}"/></block></iq>')
        await blocker.wait("iq", id="B")
    elif way.endswith("item"):
        await block(blocker, item(bob.jid if way == "private item" else f"muc.localhost/{bob.id}", 1))
    else:
        await block(blocker, pair(bob, 1, mutual=way == "mutual"))
    await enter(blocked, bob, group)
    await enter(other, cyd, group)
    await shown(blocked, cyd)
    await enter(blocker, ann, group)
    assert await shown(other, ann) == ["in"]
    assert await shown(blocked, ann) == []
    # Another session of the blocked user, which comes later.
    late = await stage.login(bob)
    await enter(late, bob, group)
    assert await shown(late, ann) == []
    assert await online(blocked, bob, group) == {bob.id, cyd.id}
    assert await online(other, cyd, group) == await online(blocker, ann, group) == {ann.id, bob.id, cyd.id}
    leave(blocker, ann, group)
    await blocker.ping()
    assert await shown(other, ann) == ["out"]
    assert await shown(blocked, ann) == await shown(late, ann) == []


async def test_a_list_that_changes_in_the_room(stage: Node) -> None:
    """XEP-0191 §3.3, §3.4: who becomes blocked sees the blocker go, and come again when it is unblocked."""
    ann, bob, cyd = await stage.person(), await stage.person(), await stage.person()
    group = await stage.dialog(ann, bob, cyd)
    blocker, blocked, other = await stage.login(ann), await stage.login(bob), await stage.login(cyd)
    for peer, person in ((blocker, ann), (blocked, bob), (other, cyd)):
        await enter(peer, person, group)
    assert await shown(blocked, ann) == await shown(other, ann) == ["in"]
    room = ann.room(group)
    for _ in range(2):
        await block(blocker, pair(bob, 1))
        await blocked.wait("presence", from_=f"{room}/{ann.id}", type="unavailable")
        await block(blocker, pair(bob, 1), item("x@y.example", 9))  # nothing changes for bob
        await blocker.ping()
        assert await shown(blocked, ann) == []
        await done(blocker, "<default/>")
        assert (await blocked.wait("presence", from_=f"{room}/{ann.id}")).get("type") is None
    await block(blocker, pair(bob, 1))
    leave(blocker, ann, group)
    await blocked.wait("presence", from_=f"{room}/{ann.id}", type="unavailable")
    await other.wait("presence", from_=f"{room}/{ann.id}", type="unavailable")
    await enter(blocker, ann, group)
    await other.wait("presence", from_=f"{room}/{ann.id}")
    assert await shown(blocked, ann) == []


async def test_members_stay_members(stage: Node) -> None:
    """The blocked one reads and writes on; what it writes is kept from the blocker by the inbound filter."""
    ann, bob = await stage.person(), await stage.person()
    group = await stage.dialog(ann, bob)
    blocker, blocked = await stage.login(ann), await stage.login(bob)
    await block(blocker, pair(bob, 1))
    room = ann.room(group)
    for sender, body in ((blocked, "from bob"), (blocker, "from ann")):
        sender.send(f'<message type="groupchat" id="{stage.message_id()}" to="{room}"><body>{body}</body></message>')
        await sender.wait("message", type="groupchat")
    assert (await blocked.wait("message", from_=f"{room}/{ann.id}")).find("body") is not None
    await blocker.ping()
    assert blocker.take_all("message") == []
