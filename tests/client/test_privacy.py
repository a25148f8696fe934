"""cube.chat.privacy and cube.chat.last_activity, and being inactive, against a server that obeys the test."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from tests.client.fake_chat import DOMAIN, FakeChat, FakeSession
from voxcube.client import (
    LastActivityEvent,
    PrivacyAction,
    PrivacyItem,
    PrivacyLists,
    Reconnect,
    ReconnectPolicy,
    StanzaError,
)
from voxcube.xmpp import stanza
from voxcube.xmpp.xml import Element, to_xml

T = TypeVar("T")
KINDS = "<message/><presence-in/><presence-out/><iq/>"
STREAMING = "https://connectycube.com/protocol/status_streaming"
NAME = "ConnectyCubeBlockList"


def items(user_id: int, order: int, *, action: str = "deny", mutual: bool = True) -> str:
    pair = ((f"{user_id}-3@{DOMAIN}", order), (f"muc.{DOMAIN}/{user_id}", order + 1))
    return "".join(
        f'<item type="jid" value="{value}" action="{action}" order="{place}"' + ("/>" if mutual else f">{KINDS}</item>")
        for value, place in pair
    )


async def exchange(session: FakeSession, work: Awaitable[T], *answers: str) -> tuple[T, list[str]]:
    """Runs a call, answers its requests with these payloads ("404": an error); returns its result and the requests."""
    task = asyncio.ensure_future(work)
    asked = []
    for answer in answers:
        request = await session.next("iq")
        asked.append(f"{request.get('type')} " + "".join(to_xml(child) for child in request.elements()))
        if answer == "404":
            session.send(stanza.error_reply(request, "item-not-found", from_=DOMAIN))
        else:
            session.send(to_xml(stanza.iq_result(request, from_=DOMAIN)).replace("/>", f">{answer}</iq>"))
    return await task, asked


def query(inner: str) -> str:
    return f'<query xmlns="jabber:iq:privacy">{inner}</query>'


async def test_lists_on_the_wire() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        lists = cube.chat.privacy
        await session.next("iq")  # carbons
        server.answers_iq = False
        some = [PrivacyItem(34, mutual=False), PrivacyItem(48), PrivacyItem(18, PrivacyAction.ALLOW), PrivacyItem(48)]
        wire = items(34, 1, mutual=False) + items(48, 3) + items(18, 5, action="allow")
        _, asked = await exchange(session, lists.create("a<b", some), "")
        assert asked == ["set " + query(f'<list name="a&lt;b">{wire}</list>')]
        back, asked = await exchange(session, lists.get("a"), query(f'<list name="a">{wire}</list>'))
        assert asked == ["get " + query('<list name="a"/>')]
        assert back == some[:3]
        # As Flutter numbers, with what names no user.
        flutter = (
            f'<item type="jid" value="34-3@{DOMAIN}" action="deny" order="1"/><item action="allow" order="9"/>'
            f'<item type="jid" value="muc.{DOMAIN}/34" action="deny" order="2"/>'
            '<item type="jid" value="spam.example.org" action="deny" order="3"/>'
        )
        back, _ = await exchange(session, lists.get("a"), query(f'<list name="a">{flutter}</list>'))
        assert back == [PrivacyItem(34)]
        names = '<active name="a"/><default name="b"/><list name="a"/><list name="b"/>'
        found, _ = await exchange(session, lists.names(), query(names))
        assert found == PrivacyLists("a", "b", ("a", "b"))
        found, _ = await exchange(session, lists.names(), '<query xmlns="jabber:iq:privacy"/>')
        assert found == PrivacyLists(None, None, ())
        for call, request in (
            (lists.set_default("a"), '<default name="a"/>'),
            (lists.decline_default(), "<default/>"),
            (lists.set_active("a"), '<active name="a"/>'),
            (lists.decline_active(), "<active/>"),
            (lists.remove("a"), '<list name="a"/>'),
        ):
            _, asked = await exchange(session, call, "")
            assert asked == ["set " + query(request)]
        with pytest.raises(StanzaError) as refused:
            await exchange(session, lists.get("none"), "404")
        assert refused.value.code == 404
        for name, given in (("a", []), ("", some), ("\0", some)):
            with pytest.raises(ValueError, match=r"name and items|cannot be sent"):
                await lists.create(name, given)


async def test_an_update_keeps_what_it_does_not_name() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        await session.next("iq")
        server.answers_iq = False
        before = items(34, 1) + items(48, 3) + '<item action="allow" order="7"/>'
        call = cube.chat.privacy.update("a", [PrivacyItem(34, mutual=False), PrivacyItem(50)])
        _, asked = await exchange(session, call, query(f'<list name="a">{before}</list>'), "", "")
        after = items(48, 1) + '<item action="allow" order="3"/>' + items(34, 4, mutual=False) + items(50, 6)
        assert asked[1:] == ["set " + query(f'<list name="a">{after}</list>'), "set " + query('<default name="a"/>')]


async def test_blocking_and_unblocking() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        lists = cube.chat.privacy
        await session.next("iq")
        server.answers_iq = False
        _, asked = await exchange(session, lists.block(34), "404", "", "")
        assert asked[1:] == [
            "set " + query(f'<list name="{NAME}">{items(34, 1)}</list>'),
            "set " + query(f'<default name="{NAME}"/>'),
        ]
        one = query(f'<list name="{NAME}">{items(34, 1)}</list>')
        _, asked = await exchange(session, lists.block(48, mutual=False), one, "", "")
        assert asked[1] == "set " + query(f'<list name="{NAME}">{items(48, 1, mutual=False)}{items(34, 3)}</list>')
        both = query(f'<list name="{NAME}">{items(48, 1)}{items(34, 3)}{items(18, 5, action="allow")}</list>')
        assert (await exchange(session, lists.blocked(), both))[0] == [48, 34]
        assert (await exchange(session, lists.blocked(), "404"))[0] == []
        _, asked = await exchange(session, lists.unblock(34), both, "")
        assert asked[1] == "set " + query(f'<list name="{NAME}">{items(48, 1)}{items(18, 3, action="allow")}</list>')
        _, asked = await exchange(session, lists.unblock(34), one, "")
        assert asked[1] == "set " + query(f'<list name="{NAME}"/>')
        await exchange(session, lists.unblock(34), "404")
        server.answers_iq = True
        await cube.chat.ping()


def push(user_id: int, seconds: int) -> str:
    return (
        f'<iq type="result" id="las-1" from="{user_id}-3@{DOMAIN}" to="77-3@{DOMAIN}/r">'
        f'<query xmlns="jabber:iq:last" seconds="{seconds}"/></iq>'
    )


async def test_last_activity() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        activity = cube.chat.last_activity
        await session.next("iq")
        server.answers_iq = False
        found, asked = await exchange(session, activity.get(88), '<query xmlns="jabber:iq:last" seconds="125"/>')
        assert (found, asked) == (125, ['get <query xmlns="jabber:iq:last"/>'])
        with pytest.raises(StanzaError):
            await exchange(session, activity.get(88), "404")
        heard: list[LastActivityEvent] = []
        with pytest.raises(StanzaError):
            await exchange(session, activity.subscribe(99, heard.append), "404")
        _, asked = await exchange(session, activity.subscribe(88, heard.append), "")
        assert asked == [f'set <subscribe xmlns="{STREAMING}" user_jid="88-3@{DOMAIN}" enable="true"/>']
        events, of_99 = activity.events(), activity.events(99)
        server.answers_iq = True
        odd = f'<iq type="result" id="x" from="88-3@{DOMAIN}"><query xmlns="jabber:iq:last" seconds="-"/></iq>'
        session.send(push(88, 0), push(99, 7), push(88, 30), odd)
        await cube.chat.ping()
        assert heard == [LastActivityEvent(88, 0), LastActivityEvent(88, 30)]
        assert [await anext(events) for _ in range(3)] == [heard[0], LastActivityEvent(99, 7), heard[1]]
        assert await anext(of_99) == LastActivityEvent(99, 7)
        await activity.unsubscribe(88)
        session.send(push(88, 1))
        await cube.chat.ping()
        assert len(heard) == 2
        await cube.chat.destroy()
        assert [event async for event in events] == [LastActivityEvent(88, 1)]


async def test_what_a_connection_had_comes_back_with_the_next() -> None:
    policy: Reconnect = ReconnectPolicy(max_attempts=5, delay=0.001)
    async with FakeChat() as server, server.ready(reconnect=policy) as (cube, session):
        await cube.chat.privacy.set_active("a")
        await cube.chat.last_activity.subscribe(88)
        await cube.chat.set_inactive()
        session.drop()
        session = await asyncio.wait_for(server.connected.get(), 5)
        wanted = {
            query('<active name="a"/>'),
            f'<subscribe xmlns="{STREAMING}" user_jid="88-3@{DOMAIN}" enable="true"/>',
            '<mobile xmlns="http://tigase.org/protocol/mobile#v2" enable="true"/>',
        }
        while wanted:
            wanted.discard(_payload(await session.next("iq")))
        while not cube.chat.is_ready:
            await asyncio.sleep(0)
        await cube.chat.set_active()
        assert '"false"' in _payload(await session.next("iq"))


def _payload(request: Element) -> str:
    return "".join(to_xml(child) for child in request.elements())
