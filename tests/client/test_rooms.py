"""cube.chat.rooms against a server that obeys the test."""

import asyncio
from typing import Any

import pytest

from tests.client.fake_chat import DIALOG_ID, DOMAIN, ROOM, FakeChat, FakeSession
from voxcube.client import ChatTimeout, Client, EventStream, JoinEvent, KickEvent, LeaveEvent, NotConnected, StanzaError
from voxcube.xmpp.xml import Element, to_xml

OTHER_ID = "64c0ffee64c0ffee64c0ffef"
USER = "http://jabber.org/protocol/muc#user"


def presence(nick: int, inner: str = "", *, id_: str = "", kind: str = "", room: str = ROOM, beside: str = "") -> str:
    attrs = (f' id="{id_}"' if id_ else "") + (f' type="{kind}"' if kind else "")
    return (
        f'<presence from="{room}/{nick}" to="77-3@{DOMAIN}/r"{attrs}><x xmlns="{USER}">'
        f'<item affiliation="member" role="participant"/>{inner}</x>{beside}</presence>'
    )


OWN = '<status code="110"/>'


async def asked(session: FakeSession, *, to: str = ROOM) -> Element:
    """The next presence to a room."""
    while True:
        stanza = await session.next("presence")
        if stanza.get("to"):
            assert stanza.get("to") == f"{to}/77"
            return stanza


async def join(cube: Client, session: FakeSession) -> None:
    task = asyncio.create_task(cube.chat.rooms.join(DIALOG_ID))
    stanza = await asked(session)
    session.send(presence(77, OWN, id_=stanza.attrs["id"]))
    await task


def queued(stream: EventStream[Any]) -> list[Any]:
    return [entry.event for entry in stream._queue]


async def test_joining_and_leaving() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        joined, left = cube.chat.rooms.joined(), cube.chat.rooms.left()
        task = asyncio.create_task(cube.chat.rooms.join(DIALOG_ID))
        stanza = await asked(session)
        x = stanza.find("x", "http://jabber.org/protocol/muc")
        assert x is not None
        assert to_xml(x) == '<x xmlns="http://jabber.org/protocol/muc"><history maxstanzas="0"/></x>'
        session.send(presence(88), presence(99))
        await asyncio.sleep(0.01)
        assert not task.done()  # only the presence with the request's id answers it
        session.send(presence(77, OWN, id_=stanza.attrs["id"]))
        await task
        session.send(presence(88, kind="unavailable"))
        await cube.chat.ping()
        assert queued(joined) == [JoinEvent(DIALOG_ID, 88), JoinEvent(DIALOG_ID, 99)]
        assert queued(left) == [LeaveEvent(DIALOG_ID, 88)]
        leaving = asyncio.create_task(cube.chat.rooms.leave(DIALOG_ID))
        stanza = await asked(session)
        assert stanza.get("type") == "unavailable"
        session.send(presence(77, OWN, id_=stanza.attrs["id"], kind="unavailable"))
        await leaving
        assert len(queued(left)) == 1  # one's own leaving is no news


async def test_refusals() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        task = asyncio.create_task(cube.chat.rooms.join(DIALOG_ID))
        stanza = await asked(session)
        session.send(
            f'<presence type="error" id="{stanza.get("id")}" from="{ROOM}/77"><x xmlns="http://jabber.org/protocol/muc"/>'
            '<error code="403" type="auth"><forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></presence>'
        )
        with pytest.raises(StanzaError) as refused:
            await task
        assert (refused.value.code, refused.value.condition) == (403, "forbidden")
        with pytest.raises(ValueError, match="24 hexadecimal"):
            await cube.chat.rooms.join("nonsense")
        lost = asyncio.create_task(cube.chat.rooms.join(DIALOG_ID))
        await asked(session)
        session.drop()
        with pytest.raises(NotConnected):
            await lost
    async with FakeChat() as server, server.ready(chat_timeout=0.05) as (cube, session):
        with pytest.raises(ChatTimeout):
            await cube.chat.rooms.join(DIALOG_ID)


async def test_kicks() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        kicked, left = cube.chat.rooms.kicked(), cube.chat.rooms.left()
        elsewhere = cube.chat.rooms.kicked(OTHER_ID)
        calls: list[KickEvent] = []
        stop = cube.chat.rooms.on_kicked(calls.append, DIALOG_ID)
        await join(cube, session)
        item = f'<item affiliation="none" role="none"><actor jid="88-3@{DOMAIN}"/></item>'
        session.send(
            f'<presence type="unavailable" from="{ROOM}/77">'
            f'<x xmlns="{USER}">{item}<status code="301"/></x></presence>',
            f'<presence type="unavailable" from="3_{OTHER_ID}@muc.{DOMAIN}/77"><x xmlns="{USER}">'
            '<item affiliation="none" role="none"/><status code="301"/></x></presence>',
            presence(77, OWN, kind="unavailable"),  # it left the dialog on another device
        )
        await cube.chat.ping()
        assert queued(kicked) == [KickEvent(DIALOG_ID, 88), KickEvent(OTHER_ID, None)]
        assert queued(elsewhere) == [KickEvent(OTHER_ID, None)]
        assert calls == [KickEvent(DIALOG_ID, 88)]
        assert queued(left) == [LeaveEvent(DIALOG_ID, 77)]
        stop()


async def test_who_is_online() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        server.answers_iq = False
        task = asyncio.create_task(cube.chat.rooms.online(DIALOG_ID))
        while (request := await session.next("iq")).get("to") != ROOM:
            pass
        items = "".join(f'<item jid="{jid}"/>' for jid in (f"{ROOM}/88", f"{ROOM}/77", "strange", f"{ROOM}/x"))
        query = f'<query xmlns="http://jabber.org/protocol/disco#items">{items}</query>'
        session.send(f'<iq type="result" id="{request.get("id")}" from="{ROOM}">{query}</iq>')
        assert await task == [77, 88]


async def test_what_is_no_business_of_rooms() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        rooms = cube.chat.rooms
        feeds: list[EventStream[Any]] = [rooms.joined(), rooms.left(), rooms.kicked()]
        session.send(
            f'<presence from="88-3@{DOMAIN}/r"/>',
            '<presence from="@"/>',
            "<presence/>",
            f'<presence from="{ROOM}/77"/>',  # another device of this user
            f'<presence type="subscribe" from="{ROOM}/88"/>',
            f'<presence type="error" from="{ROOM}/88"/>',
            f'<presence from="{ROOM}/nobody"/>',
        )
        await cube.chat.ping()
        assert [queued(feed) for feed in feeds] == [[], [], []]
        await cube.chat.destroy()
        for feed in feeds:
            with pytest.raises(StopAsyncIteration):
                await anext(feed)
