"""Receiving: messages, copies, receipts and typing, and what is done with stanzas that are none of these."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.client.fake_chat import DIALOG_ID, DOMAIN, MESSAGE_ID, ROOM, FakeChat, FakeSession
from tests.client.fake_rest import DIALOG
from voxcube.client import Client, DeliveryStatus, Dialog, Message, TypingEvent
from voxcube.client import inbox as inbox_module
from voxcube.client import own_typing as own_typing_module
from voxcube.client.inbox import SeenIds
from voxcube.xmpp import ns

BOB = f"88-3@{DOMAIN}/bobs-phone-1234567890"
ME = f"77-3@{DOMAIN}"
PRIVATE = Dialog.from_json(DIALOG, 77)
GROUP = Dialog.from_json(DIALOG | {"type": 2, "xmpp_room_jid": ROOM}, 77)
MARKABLE = "<markable xmlns='urn:xmpp:chat-markers:0'/>"


def chat(
    body: str = "Lunch?", id_: str = MESSAGE_ID, from_: str = BOB, more: str = "", extra: str = "", to: str = ME
) -> str:
    return (
        f"<message type='chat' id='{id_}' from='{from_}' to='{to}/res'><body>{body}</body>"
        f"<extraParams xmlns='jabber:client'><save_to_history>1</save_to_history><date_sent>1767225600</date_sent>"
        f"<dialog_id>{DIALOG_ID}</dialog_id>{extra}</extraParams>{more}</message>"
    )


def group(sender: int, body: str = "Lunch?", id_: str = MESSAGE_ID, more: str = MARKABLE) -> str:
    return chat(body, id_, f"{ROOM}/{sender}", more).replace("type='chat'", "type='groupchat'")


def carbon(inner: str, outer_from: str = ME) -> str:
    inner = inner.replace("<message ", "<message xmlns='jabber:client' ", 1)
    return (
        f"<message from='{outer_from}' to='{ME}/res' type='chat'><sent xmlns='urn:xmpp:carbons:2'>"
        f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></sent></message>"
    )


async def received(cube: Client, session: FakeSession, *stanzas: str) -> list[Message]:
    """All messages, own ones too, that come of these stanzas."""
    messages: list[Message] = []
    stop = cube.chat.on_message(messages.append, include_own=True)
    session.send(*stanzas)
    await cube.chat.ping()
    stop()
    return messages


async def test_a_private_message() -> None:
    extra = (
        "<city>Oslo</city><meta><a>1</a><b><c>x</c></b></meta>"
        "<attachment type='image' uid='9a8b' width='640' data='%7B%22a%22%3A1%7D'/>"
    )
    async with FakeChat() as server, server.ready() as (cube, session):
        [message] = await received(cube, session, chat("Lunch? 🍜", more=MARKABLE, extra=extra))
    assert (message.id, message.dialog_id, message.body) == (MESSAGE_ID, DIALOG_ID, "Lunch? 🍜")
    assert (message.sender_id, message.recipient_id) == (88, 77)
    assert message.date_sent == datetime(2026, 1, 1, tzinfo=UTC)
    assert message.properties == {"city": "Oslo", "meta": {"a": "1", "b": {"c": "x"}}}
    assert (message.attachments[0].width, message.attachments[0].data) == (640, '{"a":1}')
    assert (message.markable, message.save_to_history) == (True, True)
    assert (message.is_own, message.is_group, message.is_carbon, message.delayed) == (False, False, False, False)
    assert message.state is None


async def test_a_message_that_waited() -> None:
    delay = f"<delay xmlns='urn:xmpp:delay' from='{DOMAIN}' stamp='2026-01-01T00:00:07Z'/>"
    async with FakeChat() as server, server.ready() as (cube, session):
        [message] = await received(cube, session, chat(more=delay))
    assert message.delayed
    assert message.delayed_since == datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)


async def test_each_id_is_given_out_once() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        other = "75a1b2c3d4e5f60718293a4b"
        messages = await received(cube, session, chat(), chat(), chat(id_=other), chat(from_=f"99-3@{DOMAIN}/x"))
        assert [(m.id, m.sender_id) for m in messages] == [(MESSAGE_ID, 88), (other, 88), (MESSAGE_ID, 99)]
        session.drop()
        await anext(cube.chat.states())
        await cube.chat.connect(77, "secret")
        assert await received(cube, await server.connected.get(), chat()) == []


def test_the_memory_of_ids_is_bounded() -> None:
    seen = SeenIds(limit=3)
    assert [seen.add(1, str(i)) for i in range(4)] == [True] * 4
    assert not seen.add(1, "3")
    assert seen.add(1, "0")
    assert len(seen._ids) == 3


async def test_own_messages_only_when_asked_for() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        others = cube.chat.messages()
        all_ = cube.chat.messages(include_own=True)
        elsewhere = cube.chat.messages(dialog_id="0" * 24, include_own=True)
        mine = chat("mine", "1" * 24, f"{ME}/other-device", to=f"88-3@{DOMAIN}")
        session.send(carbon(mine), group(77, "own echo", "2" * 24), group(88, "bob", "3" * 24))
        assert (await anext(others)).body == "bob"
        copy, echo, bob = [await anext(all_) for _ in range(3)]
        assert (copy.body, copy.is_own, copy.is_carbon, copy.recipient_id) == ("mine", True, True, 88)
        assert (echo.body, echo.is_own, echo.is_carbon, echo.is_group) == ("own echo", True, False, True)
        assert (bob.sender_id, bob.dialog_id, bob.recipient_id) == (88, DIALOG_ID, None)
        await cube.chat.destroy()
        assert [message async for message in elsewhere] == []


async def test_forged_copies_are_dropped() -> None:
    mine = chat("mine", from_=f"{ME}/other-device", to=f"88-3@{DOMAIN}")
    async with FakeChat() as server, server.ready() as (cube, session):
        forged = [carbon(mine, outer_from=BOB), carbon(mine, outer_from="x"), carbon(chat("bob"))]
        assert await received(cube, session, *forged) == []


@pytest.mark.parametrize(
    "stanza",
    [
        "<message type='headline' from='{bob}' id='x'><body>dialog/NEW_DIALOG</body></message>",
        "<message type='chat' from='{bob}'><body/><replace xmlns='urn:xmpp:message-correct:0' id='y'/></message>",
        "<message type='chat' from='{bob}'><body>x</body><remove xmlns='urn:xmpp:message-delete:0' id='y'/></message>",
        "<message type='chat' from='{bob}' id='x'><reactions user_id='88' message_id='y'/></message>",
        "<message type='chat' from='{bob}' id='x'><extraParams><dialog_id>1</dialog_id></extraParams></message>",
        "<message type='chat' from='{domain}' id='x'><body>no user</body></message>",
        "<message type='chat' id='x'><body>nobody</body></message>",
        "<message type='chat' from='{bob}'/>",
        "<message type='groupchat' from='{room}/ann' id='x'><body>no user</body></message>",
        "<message/>",
        "<presence from='{bob}'/>",
    ],
)
async def test_what_is_no_message(stanza: str) -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        assert await received(cube, session, stanza.format(bob=BOB, domain=DOMAIN, room=ROOM)) == []
        assert cube.chat.is_ready


async def test_a_message_with_an_unfit_id_has_the_one_of_the_history() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        [message] = await received(cube, session, chat(id_="QWERTYUIO", extra=f"<message_id>{MESSAGE_ID}</message_id>"))
    assert message.id == MESSAGE_ID
    assert "message_id" not in message.properties


async def test_a_message_without_parameters() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        [message] = await received(cube, session, f"<message type='chat' from='{BOB}' id='x'><body>Hi</body></message>")
    assert (message.body, message.dialog_id, message.save_to_history) == ("Hi", None, False)


class TestMarkers:
    async def test_delivery_is_reported_by_itself_once(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            cube.chat.on_message(lambda _: None)
            session.send(chat(more=MARKABLE), chat(more=MARKABLE))
            marker = await session.next()
            found = marker.find("received", ns.CHAT_MARKERS)
            assert found is not None
            assert found.get("id") == MESSAGE_ID
            assert (marker.get("to"), marker.get("type")) == (f"88-3@{DOMAIN}", "chat")
            extra = marker.find("extraParams")
            assert extra is not None
            assert extra.find("dialog_id") is not None
            await asyncio.sleep(0.02)
            assert session.quiet()

    async def test_for_groups_it_goes_to_the_sender(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            cube.chat.on_message(lambda _: None)
            session.send(group(77, id_="1" * 24), group(88))
            marker = await session.next()
            assert (marker.get("to"), marker.get("type")) == (f"88-3@{DOMAIN}", "chat")
            await cube.chat.ping()
            assert session.quiet()

    @pytest.mark.parametrize("auto", [True, False])
    async def test_when_it_is_not_reported(self, auto: bool) -> None:
        own = carbon(chat("mine", "1" * 24, f"{ME}/other", MARKABLE, to=f"88-3@{DOMAIN}"))
        async with FakeChat() as server, server.ready(auto_mark_delivered=auto) as (cube, session):
            await received(cube, session, chat(more="" if auto else MARKABLE), own)
            await cube.chat.ping()
            assert session.quiet()

    async def test_what_others_received_and_read(self) -> None:
        def marker(kind: str, from_: str = BOB) -> str:
            return (
                f"<message type='chat' from='{from_}' to='{ME}/res' id='x'><{kind} xmlns='urn:xmpp:chat-markers:0' "
                f"id='{MESSAGE_ID}'/><extraParams xmlns='jabber:client'><dialog_id>{DIALOG_ID}</dialog_id>"
                "</extraParams></message>"
            )

        async with FakeChat() as server, server.ready() as (cube, session):
            delivered, read = cube.chat.delivered(), cube.chat.read()
            seen: list[DeliveryStatus] = []
            cube.chat.on_delivered(seen.append)
            cube.chat.on_read(seen.append)
            session.send(marker("received"), marker("displayed"), marker("displayed", f"{ME}/other"))
            status = DeliveryStatus(88, MESSAGE_ID, DIALOG_ID)
            assert (await anext(delivered), await anext(read)) == (status, status)
            await cube.chat.ping()
            assert seen == [status, status]

    async def test_marking_by_hand(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            [message] = await received(cube, session, chat())
            await cube.chat.mark_read(message)
            assert (await session.next()).find("displayed", ns.CHAT_MARKERS) is not None
            await cube.chat.mark_delivered(message)
            assert (await session.next()).find("received", ns.CHAT_MARKERS) is not None
            own = await cube.chat.send(PRIVATE, "mine")
            with pytest.raises(ValueError, match="own"):
                await cube.chat.mark_read(own)
            [loose] = await received(
                cube, session, f"<message type='chat' from='{BOB}' id='x'><body>Hi</body></message>"
            )
            with pytest.raises(ValueError, match="dialog"):
                await cube.chat.mark_read(loose)


class TestTyping:
    async def test_what_is_written(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            await cube.chat.typing(PRIVATE)
            element = await session.next()
            assert (element.get("to"), element.get("type")) == (f"88-3@{DOMAIN}", "chat")
            assert element.find("composing", ns.CHAT_STATES) is not None
            await cube.chat.stop_typing(PRIVATE)
            assert (await session.next()).find("paused", ns.CHAT_STATES) is not None
            await cube.chat.typing(GROUP)
            element = await session.next()
            assert (element.get("to"), element.get("type")) == (ROOM, "groupchat")

    async def test_idle_takes_it_back(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            await cube.chat.typing(to_user=88, idle=0.03)
            assert (await session.next()).find("composing") is not None
            assert (await session.next()).find("paused") is not None
            await cube.chat.typing(to_user=88, idle=0.03)
            await cube.chat.stop_typing(to_user=88)
            await asyncio.sleep(0.06)
            kinds = [(await session.next()).find("paused") is not None for _ in range(2)]
            assert kinds == [False, True]
            assert session.quiet()

    async def test_for_as_long_as_a_block_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(own_typing_module, "TYPING_REPEAT", 0.02)
        async with FakeChat() as server, server.ready() as (cube, session):
            async with cube.chat.typing_in(PRIVATE):
                for _ in range(3):
                    assert (await session.next()).find("composing") is not None
            while (element := await session.next()).find("paused") is None:
                assert element.find("composing") is not None

    async def test_what_others_type(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inbox_module, "TYPING_ENDS", 0.05)

        def state(name: str, from_: str, type_: str = "chat") -> str:
            return f"<message type='{type_}' from='{from_}'><{name} xmlns='{ns.CHAT_STATES}'/></message>"

        async with FakeChat() as server, server.ready() as (cube, session):
            events = cube.chat.typing_events()
            seen: list[TypingEvent] = []
            cube.chat.on_typing(seen.append)
            session.send(
                state("composing", BOB),
                state("paused", BOB),
                state("composing", f"{ROOM}/88", "groupchat"),
                state("composing", f"{ROOM}/77", "groupchat"),
                state("active", BOB),
            )
            assert await anext(events) == TypingEvent(88, None, True)
            assert await anext(events) == TypingEvent(88, None, False)
            assert await anext(events) == TypingEvent(88, DIALOG_ID, True)
            # Nobody says that it ended.
            assert await asyncio.wait_for(anext(events), 5) == TypingEvent(88, DIALOG_ID, False)
            assert len(seen) == 4

    async def test_it_ends_with_the_connection(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            events = cube.chat.typing_events()
            session.send(f"<message type='chat' from='{BOB}'><composing xmlns='{ns.CHAT_STATES}'/></message>")
            assert (await anext(events)).is_typing
            session.drop()
            assert not (await asyncio.wait_for(anext(events), 5)).is_typing


async def test_a_failing_callback_hurts_nobody() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):

        def fail(message: Message) -> None:
            raise RuntimeError("mine")

        cube.chat.on_message(fail)
        assert len(await received(cube, session, chat())) == 1
        assert cube.chat.is_ready


async def test_refusals_that_say_little() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        errors = cube.chat.errors()
        session.send(
            "<message type='error'/>",
            "<message type='error' id='x'><error code='many'/></message>",
            f"<message type='error' id='y'><error type='wait' code='500'><text xmlns='{ns.STANZA_ERRORS}'>Later</text>"
            "</error></message>",
        )
        first, second, third = [await anext(errors) for _ in range(3)]
    assert (first.stanza_id, first.code, first.condition) == (None, 0, "undefined-condition")
    assert (second.stanza_id, second.code, second.type) == ("x", 0, "cancel")
    assert (third.type, third.code, third.text, str(third)) == ("wait", 500, "Later", "500 undefined-condition: Later")


async def test_a_stanza_that_cannot_be_handled_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    async with FakeChat() as server, server.ready() as (cube, session):
        monkeypatch.setattr(cube.chat._inbox, "receive", fail)
        session.send(chat("a secret"))
        await cube.chat.ping()
        assert cube.chat.is_ready
    assert "could not be handled" in caplog.text
    assert "a secret" not in caplog.text
