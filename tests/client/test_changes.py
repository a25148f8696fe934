"""Edits, deletes and reactions: what is written, what confirms it, and what is reported of others."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.client.fake_chat import DIALOG_ID, DOMAIN, MESSAGE_ID, ROOM, FakeChat, FakeSession
from tests.client.fake_rest import DIALOG, MESSAGE
from voxcube.client import (
    ChatTimeout,
    Client,
    DeleteEvent,
    Dialog,
    EditEvent,
    Event,
    EventStream,
    Message,
    MessageLost,
    NotConnected,
    ReactionEvent,
    StanzaError,
)
from voxcube.xmpp import stanza
from voxcube.xmpp.payloads import changes, extra_params
from voxcube.xmpp.payloads.changes import Delete, Edit

BOB = f"88-3@{DOMAIN}/bobs-phone-1234567890"
ME = f"77-3@{DOMAIN}"
PRIVATE = Dialog.from_json(DIALOG, 77)
GROUP = Dialog.from_json(DIALOG | {"type": 2, "xmpp_room_jid": ROOM}, 77)
OWN = Message.from_json(MESSAGE, 77)
BOBS = Message.from_json(MESSAGE | {"sender_id": 88, "recipient_id": 77}, 77)
IN_GROUP = Message.from_json(MESSAGE | {"recipient_id": 0}, 77)
OTHER_ID = "1" * 24


def about(child: str, from_: str = BOB, kind: str = "chat", body: str = "", id_: str = "x") -> str:
    """A stanza with this child."""
    return (
        f"<message type='{kind}' id='{id_}' from='{from_}' to='{ME}/res'>{body}{child}"
        f"<extraParams xmlns='jabber:client'><dialog_id>{DIALOG_ID}</dialog_id></extraParams></message>"
    )


def edit(from_: str = BOB, kind: str = "chat", more: str = "") -> str:
    child = f"<replace xmlns='urn:xmpp:message-correct:0' id='{MESSAGE_ID}'{more}/>"
    return about(child, from_, kind, "<body>Dinner?</body>")


def delete(from_: str = BOB, kind: str = "chat") -> str:
    return about(f"<remove xmlns='urn:xmpp:message-delete:0' id='{MESSAGE_ID}'/>", from_, kind)


def reaction(from_: str = f"88-3@{DOMAIN}", kind: str = "chat", user_id: int = 88) -> str:
    child = (
        f"<reactions user_id='{user_id}' message_id='{MESSAGE_ID}'>"
        "<reaction add='true' type='👍'/><reaction remove='true' type='👎'/></reactions>"
    )
    return about(child, from_, kind)


def carbon(inner: str) -> str:
    inner = inner.replace("<message ", "<message xmlns='jabber:client' ", 1)
    return (
        f"<message from='{ME}' to='{ME}/res' type='chat'><sent xmlns='urn:xmpp:carbons:2'>"
        f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></sent></message>"
    )


async def reported(cube: Client, session: FakeSession, *stanzas: str) -> list[Any]:
    """All messages and changes that come of these stanzas."""
    events: list[Any] = []
    kinds = (Event.MESSAGE, Event.EDITED, Event.DELETED, Event.REACTION, Event.TYPING)
    stops = [cube.chat.on(kind, events.append) for kind in kinds]
    session.send(*stanzas)
    await cube.chat.ping()
    for stop in stops:
        stop()
    return events


class TestReported:
    @pytest.mark.parametrize(
        ("xml", "event"),
        [
            (edit(), EditEvent(MESSAGE_ID, DIALOG_ID, 88, "Dinner?")),
            (edit(more=" last='true'"), EditEvent(MESSAGE_ID, DIALOG_ID, 88, "Dinner?", is_last=True)),
            (edit(f"88-3@{DOMAIN}"), EditEvent(MESSAGE_ID, DIALOG_ID, 88, "Dinner?")),  # over REST
            (edit(f"{ROOM}/88", "groupchat"), EditEvent(MESSAGE_ID, DIALOG_ID, 88, "Dinner?")),
            (edit(f"{ROOM}/77", "groupchat"), EditEvent(MESSAGE_ID, DIALOG_ID, 77, "Dinner?")),  # another device
            (carbon(edit(f"{ME}/other-device")), EditEvent(MESSAGE_ID, DIALOG_ID, 77, "Dinner?")),
            (delete(), DeleteEvent(MESSAGE_ID, DIALOG_ID, 88)),
            (delete(f"88-3@{DOMAIN}"), DeleteEvent(MESSAGE_ID, DIALOG_ID, 88)),
            (delete(f"{ROOM}/88", "groupchat"), DeleteEvent(MESSAGE_ID, DIALOG_ID, 88)),
            (carbon(delete(f"{ME}/other-device")), DeleteEvent(MESSAGE_ID, DIALOG_ID, 77)),
            (reaction(), ReactionEvent(MESSAGE_ID, DIALOG_ID, 88, ("👍",), ("👎",))),
            (reaction(f"{ROOM}/88", "groupchat"), ReactionEvent(MESSAGE_ID, DIALOG_ID, 88, ("👍",), ("👎",))),
            (reaction(ME, user_id=77), ReactionEvent(MESSAGE_ID, DIALOG_ID, 77, ("👍",), ("👎",))),
        ],
    )
    async def test_once_and_never_as_a_message(self, xml: str, event: object) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            assert await reported(cube, session, xml) == [event]

    async def test_properties_of_an_edit(self) -> None:
        xml = edit().replace("</dialog_id>", "</dialog_id><city>Oslo</city><meta><a>1</a></meta>")
        async with FakeChat() as server, server.ready() as (cube, session):
            [event] = await reported(cube, session, xml)
        assert event.properties == {"city": "Oslo", "meta": {"a": "1"}}

    @pytest.mark.parametrize(
        "xml",
        [
            reaction(BOB, user_id=99),  # forged by another user
            edit("chat.example.org"),
            carbon(edit(BOB)),
            edit(f"{ROOM}/ann", "groupchat"),
            about("<replace xmlns='urn:xmpp:message-correct:0'/>", body="<body>x</body>"),
        ],
    )
    async def test_not_what_cannot_be_believed(self, xml: str) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            assert await reported(cube, session, xml) == []
            assert cube.chat.is_ready

    async def test_by_iterator_and_by_callback(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            streams: list[EventStream[Any]] = [cube.chat.edited(), cube.chat.deleted(), cube.chat.reactions()]
            seen: list[Any] = []
            cube.chat.on_edited(seen.append)
            cube.chat.on_deleted(seen.append)
            cube.chat.on_reaction(seen.append)
            session.send(edit(), delete(), reaction())
            assert [await asyncio.wait_for(anext(stream), 5) for stream in streams] == seen

    async def test_in_the_order_of_arrival_also_while_older_messages_are_fetched(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            events: list[Any] = []
            for kind in (Event.MESSAGE, Event.EDITED, Event.DELETED, Event.REACTION):
                cube.chat.on(kind, events.append)
            cube.chat._inbox.hold()
            session.send(about("", body="<body>Lunch?</body>", id_=MESSAGE_ID), edit(), reaction(), delete())
            await cube.chat.ping()
            assert events == []
            cube.chat._inbox.release()
            assert [type(event) for event in events] == [Message, EditEvent, ReactionEvent, DeleteEvent]


class TestEdit:
    async def test_what_is_written(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            await cube.chat.edit(OWN, PRIVATE, "Dinner? <&>", last=True, properties={"city": "Oslo", "n": {"a": 1}})
            written = await session.next()
        assert (written.get("to"), written.get("type")) == (f"88-3@{DOMAIN}", "chat")
        assert written.get("id") != MESSAGE_ID
        assert changes.decode(written) == Edit(MESSAGE_ID, last=True)
        body = written.find("body")
        assert body is not None
        assert body.text == "Dinner? <&>"
        extra = extra_params.decode(written.find("extraParams"))
        assert (extra.dialog_id, extra.save) == (DIALOG_ID, False)
        assert extra.properties == {"city": "Oslo", "n": {"a": "1"}}

    async def test_in_private_it_returns_when_the_server_has_counted_it(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.acknowledges = False
            sent: list[Message] = []
            cube.chat.on_sent(sent.append)
            editing = asyncio.create_task(cube.chat.edit(MESSAGE_ID, PRIVATE, "Dinner?"))
            await session.next()
            await cube.chat.ping()
            assert not editing.done()
            session.send(f"<a xmlns='urn:xmpp:sm:3' h='{session.handled}'/>")
            await editing
            assert sent == []  # it is no message

    async def test_in_groups_it_returns_with_the_echo_which_is_not_reported(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.echoes = False
            edited = cube.chat.edited()
            editing = asyncio.create_task(cube.chat.edit(MESSAGE_ID, GROUP, "Dinner?"))
            written = await session.next()
            assert (written.get("to"), written.get("type")) == (ROOM, "groupchat")
            await cube.chat.ping()
            assert not editing.done()
            session.echo(written)
            await editing
            session.send(edit(f"{ROOM}/88", "groupchat"))
            assert (await anext(edited)).user_id == 88

    async def test_without_stream_management_it_is_merely_written(self) -> None:
        async with FakeChat() as server, server.ready(stream_management=False) as (cube, session):
            await cube.chat.edit(MESSAGE_ID, PRIVATE, "Dinner?")
            assert changes.decode(await session.next()) == Edit(MESSAGE_ID)

    async def test_a_refusal(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.acknowledges = server.echoes = False
            for dialog in (PRIVATE, GROUP):
                editing = asyncio.create_task(cube.chat.edit(MESSAGE_ID, dialog, "Dinner?"))
                session.send(stanza.error_reply(await session.next(), "forbidden"))
                with pytest.raises(StanzaError, match="403"):
                    await editing

    async def test_a_lost_connection_and_one_that_says_nothing(self) -> None:
        async with FakeChat() as server, server.ready(chat_timeout=0.05) as (cube, session):
            server.echoes = False
            lost: list[Message] = []
            cube.chat.on_lost(lost.append)
            with pytest.raises(ChatTimeout, match=MESSAGE_ID):
                await cube.chat.edit(MESSAGE_ID, GROUP, "Dinner?")
            editing = asyncio.create_task(cube.chat.edit(MESSAGE_ID, GROUP, "Dinner?"))
            await session.next()
            await session.next()
            session.drop()
            with pytest.raises(MessageLost) as caught:
                await editing
            assert caught.value.message_id == MESSAGE_ID
            assert lost == []


class TestDelete:
    async def test_what_is_written(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            await cube.chat.delete(OWN, PRIVATE)
            written = await session.next()
        assert changes.decode(written) == Delete(MESSAGE_ID)
        assert written.find("body") is None
        assert extra_params.decode(written.find("extraParams")).dialog_id == DIALOG_ID

    async def test_it_returns_with_the_echo(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            deleting = asyncio.create_task(cube.chat.delete(MESSAGE_ID, dialog_id=DIALOG_ID))
            written = await session.next()
            assert not deleting.done()
            session.echo(written)
            await deleting


@pytest.mark.parametrize(
    ("message", "where", "to"),
    [
        (OWN, {}, f"88-3@{DOMAIN}"),
        (BOBS, {}, f"88-3@{DOMAIN}"),
        (IN_GROUP, {}, ROOM),
        (MESSAGE_ID, {"dialog": GROUP}, ROOM),
        (MESSAGE_ID, {"dialog_id": DIALOG_ID}, ROOM),
        (MESSAGE_ID, {"to_user": 99}, f"99-3@{DOMAIN}"),
    ],
)
async def test_where_a_change_goes(message: Message | str, where: dict[str, Any], to: str) -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        for change in (cube.chat.edit(message, new_body="x", **where), cube.chat.delete(message, **where)):
            changing = asyncio.create_task(change)
            written = await session.next()
            assert written.get("to") == to
            if to == ROOM and written.find("body") is None:
                session.echo(written)
            await changing


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"message": MESSAGE_ID}, "exactly one"),
        ({"message": MESSAGE_ID, "dialog": GROUP, "to_user": 88}, "exactly one"),
        ({"message": "QWERTYUIO", "dialog": GROUP}, "24"),
        ({"message": MESSAGE_ID, "dialog": "Dinner?"}, "Dialog"),
        ({"message": replace(OWN, dialog_id=OTHER_ID), "dialog": GROUP}, "is in dialog"),
        ({"message": replace(IN_GROUP, dialog_id=None)}, "which dialog"),
        ({"message": replace(BOBS, sender_id=0)}, "which dialog"),
    ],
)
async def test_what_cannot_be_changed(arguments: dict[str, Any], reason: str) -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        for change in (cube.chat.edit(new_body="x", **arguments), cube.chat.delete(**arguments)):
            with pytest.raises(ValueError, match=reason):
                await change
        await cube.chat.ping()
        assert session.quiet()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "new_body"),
        ({"new_body": "a\x00b"}, "cannot be sent"),
        ({"new_body": "x", "properties": {"a b": "1"}}, "property"),
        ({"new_body": "x", "properties": {"message": "1"}}, "meaning of its own"),
    ],
)
async def test_edits_that_cannot_be_sent(arguments: dict[str, Any], reason: str) -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        with pytest.raises(ValueError, match=reason):
            await cube.chat.edit(OWN, PRIVATE, **arguments)
        await cube.chat.ping()
        assert session.quiet()


async def test_nothing_is_changed_without_a_connection() -> None:
    async with FakeChat() as server, server.client() as cube:
        for change in (cube.chat.edit(OWN, PRIVATE, "x"), cube.chat.delete(MESSAGE_ID, to_user=88)):
            with pytest.raises(NotConnected, match="connect"):
                await change
