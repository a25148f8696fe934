"""Events wait for the first listener, and nothing is acknowledged as delivered before a listener has it."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.client.fake_chat import DIALOG_ID, DOMAIN, MESSAGE_ID, ROOM, FakeChat, FakeSession
from tests.client.test_receiving import BOB, MARKABLE, ME, carbon, chat, group
from voxcube.client import Client, ClientClosed, EventsLost, Message, ReconnectPolicy, stream_session, streams
from voxcube.client import connection as connection_module
from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

AT_ONCE = ReconnectPolicy(max_attempts=3, delay=0)


@asynccontextmanager
async def counting(**options: Any) -> AsyncIterator[tuple[FakeChat, Client, FakeSession]]:
    async with FakeChat() as server:
        server.resumption = True
        async with server.ready(reconnect=AT_ONCE, **options) as (cube, session):
            yield server, cube, session


def numbered(number: int, more: str = MARKABLE, body: str | None = None) -> str:
    return chat(body or f"message {number}", f"{number:024x}", more=more)


def markers(session: FakeSession) -> list[str]:
    """The ids of messages that the client has marked as delivered."""
    found = []
    while not session.received.empty():
        received = session.received.get_nowait().find("received", ns.CHAT_MARKERS)
        if received is not None:
            found.append(received.attrs["id"])
    return found


async def acknowledged(cube: Client, session: FakeSession) -> int:
    """How many stanzas the client says that it has."""
    await cube.chat.ping()
    markers(session)
    session.send('<r xmlns="urn:xmpp:sm:3"/>')
    return int((await session.next("a")).attrs["h"])


async def read(stream: Any, count: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(stream) for _ in range(count)]


async def test_what_arrived_before_the_first_listener_is_not_lost() -> None:
    """The first lines of every program: connect, then read."""
    async with FakeChat() as server, server.ready() as (cube, session):
        session.send(numbered(1), numbered(2))
        await cube.chat.ping()
        assert markers(session) == []  # the sender is not told "delivered"
        messages = cube.chat.messages()
        session.send(numbered(3))
        assert [message.body for message in await read(messages, 2)] == ["message 1", "message 2"]
        await cube.chat.ping()
        assert markers(session) == [f"{1:024x}", f"{2:024x}"]
        assert (await read(messages, 1))[0].body == "message 3"


def edit(number: int) -> str:
    return (
        f"<message type='chat' id='e{number}' from='{BOB}' to='{ME}/res'><body>new {number}</body>"
        f"<replace xmlns='urn:xmpp:message-correct:0' id='{MESSAGE_ID}'/></message>"
    )


def about(number: int, child: str) -> str:
    return f"<message type='chat' id='c{number}' from='{BOB}' to='{ME}/res'>{child}</message>"


def headline(number: int, module: str) -> str:
    return (
        f"<message type='headline' id='h{number}' from='{BOB}' to='{ME}/res'><extraParams xmlns='jabber:client'>"
        f"<moduleIdentifier>{module}</moduleIdentifier><n>{number}</n></extraParams></message>"
    )


def marker(number: int, kind: str) -> str:
    return about(number, f"<{kind} xmlns='{ns.CHAT_MARKERS}' id='{number:024x}'/>")


REFUSED = "<error type='cancel' code='503'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
KICK = (
    f"<presence type='unavailable' from='{ROOM}/77'><x xmlns='http://jabber.org/protocol/muc#user'>"
    "<item affiliation='none' role='none'/><status code='301'/></x></presence>"
)
KINDS: dict[str, tuple[Callable[[int], str], Callable[[Client], Any], Callable[[Client, Any], Any]]] = {
    "edited": (edit, lambda c: c.chat.edited(), lambda c, fn: c.chat.on_edited(fn)),
    "deleted": (
        lambda n: about(n, f"<remove xmlns='urn:xmpp:message-delete:0' id='{n:024x}'/>"),
        lambda c: c.chat.deleted(),
        lambda c, fn: c.chat.on_deleted(fn),
    ),
    "reaction": (
        lambda n: about(
            n,
            f"<reactions user_id='88' message_id='{n:024x}'><reaction add='true' type='+'/></reactions>",
        ),
        lambda c: c.chat.reactions(),
        lambda c, fn: c.chat.on_reaction(fn),
    ),
    "delivered": (
        lambda n: marker(n, "received"),
        lambda c: c.chat.delivered(),
        lambda c, fn: c.chat.on_delivered(fn),
    ),
    "read": (lambda n: marker(n, "displayed"), lambda c: c.chat.read(), lambda c, fn: c.chat.on_read(fn)),
    "errors": (
        lambda n: f"<message type='error' id='{n:024x}' from='{BOB}' to='{ME}/res'>{REFUSED}</message>",
        lambda c: c.chat.errors(),
        lambda c, fn: c.chat.on_message_error(fn),
    ),
    "system": (
        lambda n: headline(n, "SystemNotifications"),
        lambda c: c.chat.system.messages(),
        lambda c, fn: c.chat.system.on_message(fn),
    ),
    "signals": (
        lambda n: headline(n, "WebRTCVideoChat"),
        lambda c: c.chat.signalling.signals(),
        lambda c, fn: c.chat.signalling.on(fn),
    ),
    "kicked": (lambda _: KICK, lambda c: c.chat.rooms.kicked(), lambda c, fn: c.chat.rooms.on_kicked(fn)),
    "requests": (
        lambda n: f"<presence type='subscribe' from='{100 + n}-3@{DOMAIN}' to='{ME}'/>",
        lambda c: c.chat.contacts.requests(),
        lambda c, fn: c.chat.contacts.on_request(fn),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_callback", [True, False])
async def test_every_kind_that_can_be_lost_waits(kind: str, by_callback: bool) -> None:
    stanza, open_, subscribe = KINDS[kind]
    async with FakeChat() as server, server.ready() as (cube, session):
        session.send(stanza(1), stanza(2))
        await cube.chat.ping()
        if by_callback:
            seen: list[Any] = []
            subscribe(cube, seen.append)
            assert seen == []  # not before the caller has what stops it
            await cube.chat.ping()
            assert len(seen) == 2
        else:
            assert len(await read(open_(cube), 2)) == 2


async def test_typing_does_not_wait() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        session.send(about(1, "<composing xmlns='http://jabber.org/protocol/chatstates'/>"))
        await cube.chat.ping()
        seen: list[Any] = []
        cube.chat.on_typing(seen.append)
        await cube.chat.ping()
        assert seen == []


async def test_a_listener_takes_what_it_wants_the_rest_waits() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        session.send(numbered(1), carbon(chat("mine", "1" * 24, f"{ME}/other", to=f"88-3@{DOMAIN}")))
        await cube.chat.ping()
        elsewhere = cube.chat.messages(dialog_id="0" * 24)
        session.send(numbered(2))
        await cube.chat.ping()
        assert markers(session) == []
        here = cube.chat.messages(dialog_id=DIALOG_ID, include_own=True)
        assert [message.body for message in await read(here, 2)] == ["message 1", "message 2"]
        await cube.chat.disconnect()
        assert [message async for message in elsewhere] == []


async def test_own_messages_wait_for_the_very_first_listener_only() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        session.send(carbon(chat("mine", "1" * 24, f"{ME}/other", to=f"88-3@{DOMAIN}")), numbered(1))
        await cube.chat.ping()
        all_ = cube.chat.messages(include_own=True)
        assert [message.body for message in await read(all_, 2)] == ["mine", "message 1"]


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_listeners_that_come_and_go(asynchronous: bool) -> None:
    """What is left unread goes to the next one, in order, and nothing twice."""
    async with FakeChat() as server, server.ready() as (cube, session):
        seen: list[str | None] = []
        gate = asyncio.Event()

        def take(message: Message) -> None:
            seen.append(message.body)

        async def take_slowly(message: Message) -> None:
            seen.append(message.body)
            await gate.wait()

        stop = cube.chat.on_message(take_slowly if asynchronous else take)
        session.send(numbered(1), numbered(2), numbered(3))
        await cube.chat.ping()
        stop()
        session.send(numbered(4))
        await cube.chat.ping()
        seen_before = len(seen)
        assert seen_before == (1 if asynchronous else 3)
        assert len(markers(session)) == seen_before
        gate.set()
        cube.chat.on_message(take)
        session.send(numbered(5))
        await cube.chat.ping()
        await cube.chat.ping()
        assert seen == [f"message {number}" for number in range(1, 6)]
        assert len(markers(session)) == 5 - seen_before


async def test_an_iterator_that_is_left_gives_the_rest_back() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        session.send(*(numbered(number) for number in range(1, 4)))
        await cube.chat.ping()
        async for message in cube.chat.messages():
            assert message.body == "message 1"
            break
        gc.collect()
        session.send(numbered(4))
        await cube.chat.ping()
        assert markers(session) == [f"{1:024x}"]
        assert [m.body for m in await read(cube.chat.messages(), 3)] == ["message 2", "message 3", "message 4"]


async def test_two_listeners_each_have_it_and_it_is_reported_once() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        first, second = cube.chat.messages(), cube.chat.messages()
        session.send(numbered(1))
        await cube.chat.ping()
        assert markers(session) == []
        await read(first, 1)
        await cube.chat.ping()
        assert markers(session) == [f"{1:024x}"]
        await read(second, 1)
        await cube.chat.ping()
        assert markers(session) == []


async def test_a_callback_that_fails_has_had_the_message(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeChat() as server, server.ready() as (cube, session):

        def fail(_: Message) -> None:
            raise RuntimeError("mine")

        cube.chat.on_message(fail)
        with caplog.at_level(logging.ERROR, "voxcube.client"):
            session.send(numbered(1))
            await cube.chat.ping()
        assert markers(session) == [f"{1:024x}"]
        assert "mine" in caplog.text


@pytest.mark.parametrize("by", ["count", "bytes"])
async def test_the_hold_is_bounded(by: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The oldest are dropped, are not reported as delivered, and the listener learns how many they were."""
    if by == "count":
        monkeypatch.setattr(streams, "HELD_EVENTS", 3)
    else:
        monkeypatch.setattr(streams, "HELD_BYTES", 40_000)
    async with FakeChat() as server, server.ready() as (cube, session):
        session.send(*(numbered(number, body=f"message {number}" + "x" * 10_000) for number in range(1, 6)))
        await cube.chat.ping()
        messages = cube.chat.messages()
        with pytest.raises(EventsLost) as caught:
            await anext(messages)
        assert caught.value.count == 2
        assert [(message.body or "")[:9] for message in await read(messages, 3)] == [f"message {n}" for n in (3, 4, 5)]
        await cube.chat.ping()
        assert markers(session) == [f"{n:024x}" for n in (3, 4, 5)]
        del messages, caught  # the traceback holds the iterator as well
        gc.collect()
        session.send(*(numbered(number, body="x" * 10_000) for number in range(11, 16)))
        await cube.chat.ping()
        cube.chat.on_message(lambda _: None)  # a callback cannot raise it
        assert "2 events were dropped before" in caplog.text


async def test_the_acknowledgement_waits_for_the_listener() -> None:
    """XEP-0198: what is acknowledged the server does not deliver again to the next session."""
    async with counting() as (_, cube, session):
        before = await acknowledged(cube, session)
        session.send(numbered(1), about(2, "<composing xmlns='http://jabber.org/protocol/chatstates'/>"), numbered(3))
        assert await acknowledged(cube, session) == before
        messages = cube.chat.messages()
        assert await acknowledged(cube, session) == before
        await read(messages, 1)
        assert await acknowledged(cube, session) == before + 2
        await read(messages, 1)
        assert await acknowledged(cube, session) == before + 3 + 4  # and the answers to four pings


async def test_the_server_is_told_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "ACKNOWLEDGE_AFTER", 0.01)
    async with counting() as (_, cube, session):
        session.send(numbered(1), '<r xmlns="urn:xmpp:sm:3"/>')
        first = int((await session.next("a")).attrs["h"])
        await read(cube.chat.messages(), 1)
        assert int((await session.next("a")).attrs["h"]) == first + 1


async def test_a_clean_end_acknowledges_what_was_read() -> None:
    async with counting() as (_, cube, session):
        messages = cube.chat.messages()
        session.send(numbered(1), numbered(2))
        await read(messages, 1)
        await cube.chat.disconnect()
        acks = [element for element in _left(session) if element.name == "a"]
        assert int(acks[-1].attrs["h"]) == session_count(session, 1)


def session_count(session: FakeSession, messages: int) -> int:
    """Stanzas the fake has sent: the answer to carbons, and messages."""
    return 1 + messages


def _left(session: FakeSession) -> list[Element]:
    found = []
    while not session.received.empty():
        found.append(session.received.get_nowait())
    return found


async def test_what_waits_is_not_doubled_by_a_resumption() -> None:
    """The server sends again what was not acknowledged: this client has it already."""
    async with counting() as (server, cube, session):
        sent = [numbered(1), edit(2), numbered(3)]
        edits: list[Any] = []
        cube.chat.on_edited(edits.append)
        before = await acknowledged(cube, session)
        session.send(*sent)
        assert await acknowledged(cube, session) == before
        states = cube.chat.states()
        server.repeats = sent
        session.drop()
        while (await anext(states)).new.value != "ready":
            pass
        assert server.resumes[-1][1] == before
        again = await server.connected.get()
        messages = cube.chat.messages()
        assert [message.body for message in await read(messages, 2)] == ["message 1", "message 3"]
        again.send(numbered(4))
        assert (await read(messages, 1))[0].body == "message 4"
        assert len(edits) == 1
        assert len(markers(again)) <= 3


async def test_what_waits_is_not_doubled_by_a_new_session() -> None:
    """The server delivers it again, late: it is acknowledged when the first copy is read."""
    async with counting() as (server, cube, session):
        session.send(numbered(1))
        await cube.chat.ping()
        session.resume_id = ""
        states = cube.chat.states()
        session.drop()
        while (await anext(states)).new.value != "ready":
            pass
        again = await server.connected.get()
        before = await acknowledged(cube, again)
        again.send(numbered(1))
        assert await acknowledged(cube, again) == before
        messages = cube.chat.messages()
        assert (await read(messages, 1))[0].body == "message 1"
        assert await acknowledged(cube, again) == before + 1 + 2
        again.send(numbered(2))
        assert (await read(messages, 1))[0].body == "message 2"


async def test_the_unacknowledged_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that only sends does not make the server keep everything."""
    monkeypatch.setattr(stream_session, "OPEN_STANZAS", 10)
    async with counting() as (_, cube, session):
        before = await acknowledged(cube, session)
        session.send(*(numbered(number) for number in range(30)))
        assert await acknowledged(cube, session) >= before + 20
        monkeypatch.setattr(stream_session, "OPEN_BYTES", 10_000)
        before = await acknowledged(cube, session)
        session.send(*(numbered(100 + number, body="x" * 4000) for number in range(5)))
        assert await acknowledged(cube, session) >= before + 9
        assert len(await read(cube.chat.messages(), 35)) == 35  # they are all here nevertheless


async def test_read_without_a_connection_reported_with_the_next() -> None:
    async with counting() as (server, cube, session):
        session.send(numbered(1))
        await cube.chat.ping()
        await cube.chat.disconnect()
        assert (await read(cube.chat.messages(), 1))[0].body == "message 1"
        await cube.chat.connect(77, "secret")
        again = await server.connected.get()
        await cube.chat.ping()
        assert markers(again) == [f"{1:024x}"]


async def test_the_next_user_gets_nothing_of_the_last() -> None:
    async with counting() as (server, cube, session):
        open_ = cube.chat.messages(dialog_id=DIALOG_ID)
        session.send(numbered(1), group(88, "elsewhere").replace(DIALOG_ID, "0" * 24))
        await cube.chat.ping()
        await cube.chat.disconnect()
        await cube.chat.connect(88, "secret")
        again = await server.connected.get()
        messages = cube.chat.messages()
        await read(open_, 1)  # read too late to be reported
        again.send(chat("for 88", "9" * 24, f"99-3@{DOMAIN}/x"))
        assert (await read(messages, 1))[0].body == "for 88"
        await cube.chat.ping()
        assert markers(again) == []


async def test_a_closed_client_takes_no_listeners() -> None:
    async with FakeChat() as server, server.ready() as (cube, _):
        await cube.close()
        with pytest.raises(ClientClosed):
            cube.chat.messages()
        with pytest.raises(ClientClosed):
            cube.chat.on_message(print)
