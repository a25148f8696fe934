"""Last activity, subscriptions to it, and inactive sessions through the XMPP door (realtime §12, §14)."""

import asyncio
import itertools
from typing import Any

import pytest
from sqlalchemy import select

from tests.features.test_privacy import block, done, pair
from tests.support.node import PASSWORD, Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.server.core.errors import Blocked, Invalid
from voxcube.server.features.activity.watching import MAX_WATCHED, Watching
from voxcube.server.storage.schema import presence
from voxcube.server.storage.sql import Query
from voxcube.xmpp.xml import Element, to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAST = '<query xmlns="jabber:iq:last"/>'
_PRESENCE = Query(select(presence.c.user_id, presence.c.sessions, presence.c.active))
_numbers = itertools.count(1)


async def ask(peer: Peer, to: str | None = None) -> Element:
    """Asks for a last activity; returns the whole answer."""
    id_ = f"last{next(_numbers)}"
    peer.send(
        f'<iq type="get" id="{id_}" xmlns="jabber:client"{f" to={chr(34)}{to}{chr(34)}" if to else ""}>{LAST}</iq>'
    )
    return await peer.wait("iq", id=id_)


async def seconds(peer: Peer, to: str | None = None) -> int:
    answer = await ask(peer, to)
    (query,) = answer.elements()
    assert (answer.get("type"), query.xmlns) == ("result", "jabber:iq:last"), to_xml(answer)
    return int(query.attrs["seconds"])


async def refused(peer: Peer, to: str) -> str:
    error = (await ask(peer, to)).find("error")
    assert error is not None
    return error.attrs["code"]


async def subscribe(peer: Peer, jid: str, *, enable: str = "true") -> Element:
    id_ = f"sub{next(_numbers)}"
    peer.send(
        f'<iq type="set" id="{id_}" xmlns="jabber:client"><subscribe '
        f'xmlns="https://connectycube.com/protocol/status_streaming" user_jid="{jid}" enable="{enable}"/></iq>'
    )
    return await peer.wait("iq", id=id_)


async def told(peer: Peer, person: Person) -> int:
    """The next push about a person."""
    push = await peer.wait("iq", type="result", from_=person.jid)
    (query,) = push.elements()
    assert to_xml(push) == (
        f'<iq xmlns="jabber:client" type="result" id="{push.get("id")}" from="{person.jid}" to="{peer.jid}">'
        f'<query xmlns="jabber:iq:last" seconds="{query.get("seconds")}"/></iq>'
    )
    assert push.attrs["id"].startswith("las-")
    return int(query.attrs["seconds"])


async def test_who_is_online_who_was_and_who_never_came(stage: Node) -> None:
    ann, bob, cyd = await stage.person(), await stage.person(), await stage.person()
    mine, theirs = await stage.login(ann), await stage.login(bob)
    answer = await ask(mine, bob.jid)
    assert to_xml(answer) == (
        f'<iq xmlns="jabber:client" type="result" id="{answer.get("id")}" from="{bob.jid}" to="{mine.jid}">'
        '<query xmlns="jabber:iq:last" seconds="0"/></iq>'
    )
    assert await seconds(mine, ann.jid) == await seconds(mine) == 0
    assert await seconds(mine, "localhost") >= 0
    assert await refused(mine, cyd.jid) == "404"
    assert await refused(mine, stage.stranger.jid) == "404"
    assert await refused(mine, f"999999-{ann.app_id}@localhost") == "404"
    assert await refused(mine, "nobody@localhost") == "404"
    assert await refused(mine, f"{ann.id}-{ann.app_id}@elsewhere.org") == "503"
    await theirs.close()
    await gone(stage, bob)
    assert 1 <= await seconds(mine, bob.jid) <= 5
    await block(mine, pair(bob, 1))
    theirs = await stage.login(bob)
    assert await refused(theirs, ann.jid) == "503"
    assert await seconds(mine, bob.jid) == 0  # one-way
    await block(mine, pair(bob, 1, mutual=True))
    assert await refused(mine, bob.jid) == "503"


async def gone(node: Node, person: Person) -> None:
    """Waits until the server has noticed that a person has no session any more."""
    async with asyncio.timeout(30):
        while node.app.hub.sessions.of(person.id):
            await asyncio.sleep(0.01)


async def test_a_subscription(stage: Node) -> None:
    ann, bob, cyd = await stage.person(), await stage.person(), await stage.person()
    mine = await stage.login(ann)
    for person in (bob, cyd):
        answer = await subscribe(mine, person.jid)
        assert (answer.get("type"), answer.children) == ("result", [])
    theirs = await stage.login(bob)
    assert await told(mine, bob) == 0
    again = await stage.login(bob)  # only the first session tells
    await theirs.close()
    await again.close()  # and the last one
    assert await told(mine, bob) >= 1
    await mine.ping()
    assert mine.take_all("iq") == []
    theirs = await stage.login(bob)
    assert await told(mine, bob) == 0
    other = await stage.login(ann)
    await subscribe(other, bob.jid)
    assert await told(other, bob) == 0  # at once
    await subscribe(mine, bob.jid, enable="false")
    await subscribe(mine, bob.jid, enable="false")
    await block(theirs, pair(ann, 1))
    await theirs.close()
    await gone(stage, bob)
    assert await refused(other, bob.jid) == "503"
    assert await refusal(other, bob.jid) == "503"
    for peer in (mine, other):
        await peer.ping()
        assert peer.take_all("iq") == []  # unsubscribed, and blocked since


async def refusal(peer: Peer, jid: str, *, enable: str = "true") -> str:
    error = (await subscribe(peer, jid, enable=enable)).find("error")
    assert error is not None
    return error.attrs["code"]


async def test_whom_nobody_can_subscribe_to(stage: Node) -> None:
    peer = await stage.login(await stage.person())
    assert await refusal(peer, stage.stranger.jid) == "404"
    assert await refusal(peer, "999999-1@localhost") == "404"
    assert await refusal(peer, "") == "400"
    assert await refusal(peer, stage.people["ann"].jid, enable="perhaps") == "400"


async def shown(node: Node, person: Person, sessions: int, active: int) -> None:
    """Waits until the table of who is online says so."""
    async with asyncio.timeout(30):
        while True:
            rows = {row[0]: (row[1], row[2]) for row in await node.app.database.fetch(_PRESENCE)}
            if rows.get(person.id) == (sessions, active):
                return
            await asyncio.sleep(0.02)


async def mark(peer: Peer, enable: str) -> Element:
    id_ = f"m{next(_numbers)}"
    peer.send(
        f'<iq type="set" id="{id_}"><mobile xmlns="http://tigase.org/protocol/mobile#v2" enable="{enable}"/></iq>'
    )
    return await peer.wait("iq", id=id_)


async def test_inactive_sessions_are_counted_and_get_everything(stage: Node) -> None:
    ann = await stage.person()
    phone, desk = await stage.login(ann), await stage.login(ann)
    await shown(stage, ann, 2, 2)
    answer = await mark(phone, "true")
    assert (answer.get("type"), answer.children) == ("result", [])
    await shown(stage, ann, 2, 1)
    desk.send('<inactive xmlns="urn:xmpp:csi:0"/>')
    await shown(stage, ann, 2, 0)
    other = await stage.login(stage.people["bob"])
    other.send(f'<message type="chat" id="{stage.message_id()}" to="{ann.jid}"><body>x</body></message>')
    for peer in (phone, desk):
        await peer.wait("message", from_=other.jid)
    await mark(phone, "false")
    desk.send('<active xmlns="urn:xmpp:csi:0"/>')
    await shown(stage, ann, 2, 2)
    await mark(phone, "true")
    await phone.close()
    await shown(stage, ann, 1, 1)
    await stage.login(ann)
    await shown(stage, ann, 2, 2)  # a new session is active
    assert (await mark(desk, "maybe")).get("type") == "error"


class Service:
    """`ActivityService` of users whose state the test sets."""

    def __init__(self) -> None:
        self.since: dict[int, int] = {}
        self.blocked: set[int] = set()
        self.fail = 0

    async def check(self, app_id: int, asker_id: int, user_id: int) -> None:
        if user_id in self.blocked:
            raise Blocked

    async def may_know(self, app_id: int, asker_id: int, user_id: int) -> bool:
        return user_id not in self.blocked

    async def seconds_of(self, users: Any) -> dict[int, int]:
        if self.fail:
            self.fail -= 1
            raise ConnectionError
        return {user_id: self.since[user_id] for user_id in users if user_id in self.since}


class Session:
    app_id, user_id, ended = 1, 1, False


async def settled(watching: Watching) -> None:
    while watching._task is not None:
        await asyncio.wait([watching._task])


async def test_who_stays_away_is_said_to_be_again() -> None:
    service, pushed = Service(), asyncio.Queue[tuple[int, int]]()
    watching = Watching(service, lambda session, user, since: pushed.put_nowait((user, since)), repeat_seconds=0.02)  # type: ignore[arg-type]
    session = Session()
    service.since = {7: 0}
    await watching.watch(session, 7)
    assert await pushed.get() == (7, 0)
    service.since = {7: 1}
    watching.changed(7)
    assert await pushed.get() == (7, 1)
    service.since = {7: 60}
    assert await asyncio.wait_for(pushed.get(), 30) == (7, 60)
    assert not watching._repeats
    service.since = {7: 0}
    service.fail = 1  # the database is away for a moment
    watching.heard([("online", 7), ("other", 7)])
    assert await asyncio.wait_for(pushed.get(), 30) == (7, 0)
    service.since = {7: 1}
    watching.doubt()
    assert await pushed.get() == (7, 1)
    watching.gone(session)
    await settled(watching)
    assert not watching._repeats
    assert not watching._watchers
    assert not watching._online
    await watching.close()


async def test_a_session_watches_so_many_and_no_more() -> None:
    service = Service()
    watching = Watching(service, lambda *_: None)  # type: ignore[arg-type]
    session, other = Session(), Session()
    for user_id in range(MAX_WATCHED):
        await watching.watch(session, user_id)
    await watching.watch(session, 7)  # once more is no more
    with pytest.raises(Invalid):
        await watching.watch(session, MAX_WATCHED)
    await watching.watch(other, MAX_WATCHED)  # others are unharmed
    watching.unwatch(session, 7)
    await watching.watch(session, MAX_WATCHED)
    await settled(watching)
    await watching.close()


async def test_what_a_session_chose_outlives_its_connection(stage: Node) -> None:
    """Resumed, it is told of the same users, still inactive, and keeps its active list (realtime §5)."""
    ann, bob = await stage.person(), await stage.person()
    peer = await stage.login(ann, presence=False)
    peer.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
    enabled = await peer.wait("enabled")
    await peer.available()
    await subscribe(peer, bob.jid)
    await mark(peer, "true")
    await done(peer, f'<list name="busy">{pair(bob, 1)}</list>')
    await done(peer, '<active name="busy"/>')
    jid = peer.jid
    await peer.close()
    theirs = await stage.login(bob)
    peer = await stage.connect()
    await peer.open()
    peer.auth(ann.name, PASSWORD)
    await peer.wait("success")
    peer.restart()
    await peer.open()
    peer.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{enabled.get("id")}" h="5"/>')
    await peer.wait("resumed")
    peer.jid = jid
    assert await told(peer, bob) == 0  # kept for it meanwhile
    await shown(stage, ann, 1, 0)
    theirs.send(f'<message type="chat" id="{stage.message_id()}" to="{ann.jid}"><body>x</body></message>')
    await theirs.ping()
    await peer.ping()
    assert peer.take_all("message") == []
    await theirs.close()
    assert await told(peer, bob) >= 1
