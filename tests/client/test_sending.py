"""Sending: confirmations, refusals, lost messages, and what goes over the wire."""

import asyncio

import pytest

from tests.client.fake_chat import DIALOG_ID, DOMAIN, MESSAGE_ID, ROOM, FakeChat
from tests.client.fake_rest import DIALOG
from voxcube.client import (
    Attachment,
    ChatTimeout,
    Dialog,
    Message,
    MessageLost,
    MessageState,
    NotConnected,
    StanzaError,
)
from voxcube.client.sends import Sends
from voxcube.client.sockets import StreamWire
from voxcube.xmpp import ns, stanza
from voxcube.xmpp.payloads import extra_params
from voxcube.xmpp.xml import Element

PRIVATE = Dialog.from_json(DIALOG, 77)
GROUP = Dialog.from_json(DIALOG | {"type": 2, "xmpp_room_jid": ROOM, "occupants_ids": [77, 88, 99]}, 77)


class TestPrivate:
    async def test_send_returns_when_the_server_has_counted_it(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.acknowledges = False
            sent: list[Message] = []
            cube.chat.on_sent(sent.append)
            sending = asyncio.create_task(cube.chat.send(PRIVATE, "Lunch? 🍜 <&>"))
            stanza_ = await session.next()
            await asyncio.sleep(0.02)
            assert not sending.done()
            session.send(f"<a xmlns='urn:xmpp:sm:3' h='{session.handled}'/>")
            message = await sending
        assert message.state is MessageState.SENT
        assert (message.id, message.body) == (stanza_.get("id"), "Lunch? 🍜 <&>")
        assert (message.is_own, message.sender_id, message.recipient_id) == (True, 77, 88)
        assert sent == [message]

    async def test_what_is_written(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            await cube.chat.send(
                PRIVATE,
                "Look",
                attachments=[Attachment("image", uid="9a8b", width=640, data='{"a":1}')],
                properties={"city": "Oslo", "meta": {"a": 1, "b": {"c": "x"}}},
                silent=True,
                destroy_after=5,
                id=MESSAGE_ID,
                date_sent=1767225600,
            )
            written = await session.next()
        assert (written.get("to"), written.get("type"), written.get("id")) == (f"88-3@{DOMAIN}", "chat", MESSAGE_ID)
        assert written.find("markable", ns.CHAT_MARKERS) is not None
        destroy = written.find("destroy", "urn:xmpp:message-destroy-after:0")
        assert destroy is not None
        assert destroy.get("after") == "5"
        extra = extra_params.decode(written.find("extraParams"))
        assert (extra.save, extra.date_sent, extra.dialog_id, extra.silent) == (True, 1767225600, DIALOG_ID, True)
        assert extra.properties == {"city": "Oslo", "meta": {"a": "1", "b": {"c": "x"}}}
        assert list(extra.attachments) == [
            {"type": "image", "uid": "9a8b", "width": "640", "data": "%7B%22a%22%3A1%7D"}
        ]

    async def test_to_a_user_without_a_dialog(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            message = await cube.chat.send(to_user=88, body="Hi", markable=False, save_to_history=False)
            written = await session.next()
        assert message.dialog_id is None
        assert written.find("markable") is None
        extra = extra_params.decode(written.find("extraParams"))
        assert (extra.save, extra.dialog_id) == (False, None)

    async def test_a_refused_message_raises_and_is_reported(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.acknowledges = False
            reported: list[StanzaError] = []
            lost: list[Message] = []
            cube.chat.on_message_error(reported.append)
            cube.chat.on_lost(lost.append)
            sending = asyncio.create_task(cube.chat.send(PRIVATE, "Lunch?"))
            written = await session.next()
            session.send(
                stanza.error_reply(written, "service-unavailable"),
                f"<a xmlns='urn:xmpp:sm:3' h='{session.handled}'/>",
            )
            with pytest.raises(StanzaError) as caught:
                await sending
        error = caught.value
        assert (error.code, error.condition, error.type) == (503, "service-unavailable", "cancel")
        assert (error.text, error.stanza_id) == ("Service not available.", written.get("id"))
        assert reported == [error]
        assert lost == []

    async def test_without_stream_management_it_is_merely_written(self) -> None:
        async with FakeChat() as server, server.ready(stream_management=False) as (cube, session):
            message = await cube.chat.send(PRIVATE, "Lunch?")
            assert message.state is MessageState.SENT
            assert (await session.next()).get("id") == message.id
            assert not session.enabled
            assert session.requests == 0

    async def test_stream_management_refused_by_the_server(self) -> None:
        async with FakeChat() as server:
            server.stream_management = False
            async with server.ready() as (cube, _):
                assert (await cube.chat.send(PRIVATE, "Lunch?")).state is MessageState.SENT


class TestGroup:
    async def test_send_returns_with_the_echo(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.echoes = False
            sending = asyncio.create_task(cube.chat.send(GROUP, "Lunch?"))
            written = await session.next()
            assert (written.get("to"), written.get("type")) == (ROOM, "groupchat")
            await cube.chat.ping()
            assert not sending.done()
            session.echo(written)
            message = await sending
        assert (message.state, message.dialog_id, message.recipient_id) == (MessageState.SENT, DIALOG_ID, None)
        assert message.is_group

    async def test_the_echo_of_properties_alone(self) -> None:
        async with FakeChat() as server, server.ready(chat_timeout=1.0) as (cube, session):
            messages = cube.chat.messages(include_own=True)
            sending = asyncio.create_task(cube.chat.send(GROUP, properties={"city": "Oslo"}))
            session.echo(await session.next())
            message = await sending
            await cube.chat.send(GROUP, "Lunch?")
            assert message.state is MessageState.SENT
            assert (await anext(messages)).body == "Lunch?"  # the other is no message to those who listen

    async def test_by_dialog_id(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            await cube.chat.send(dialog_id=DIALOG_ID, body="Lunch?")
            assert (await session.next()).get("to") == ROOM

    async def test_a_refusal(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.echoes = False
            sending = asyncio.create_task(cube.chat.send(GROUP, "Lunch?"))
            session.send(stanza.error_reply(await session.next(), "forbidden"))
            with pytest.raises(StanzaError, match="403"):
                await sending

    async def test_no_echo_in_time(self) -> None:
        async with FakeChat() as server, server.ready(chat_timeout=0.05) as (cube, _):
            server.echoes = False
            lost = cube.chat.lost()
            with pytest.raises(ChatTimeout):
                await cube.chat.send(GROUP, "Lunch?")
            assert (await anext(lost)).body == "Lunch?"


class TestLost:
    async def test_a_lost_connection_loses_what_is_not_confirmed(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.acknowledges = server.echoes = False
            lost = cube.chat.lost()
            sendings = [asyncio.create_task(cube.chat.send(dialog, "Lunch?")) for dialog in (PRIVATE, GROUP)]
            ids = [(await session.next()).get("id") for _ in sendings]
            session.drop()
            results = await asyncio.gather(*sendings, return_exceptions=True)
            assert [result.message_id for result in results if isinstance(result, MessageLost)] == ids
            assert [(await anext(lost)).id for _ in ids] == ids
            with pytest.raises(NotConnected):
                await cube.chat.send(PRIVATE, "Lunch?")

    async def test_the_same_id_again_after_a_new_connection(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.acknowledges = False
            sending = asyncio.create_task(cube.chat.send(PRIVATE, "Lunch?"))
            await session.next()
            session.drop()
            with pytest.raises(MessageLost) as caught:
                await sending
            server.acknowledges = True
            await cube.chat.connect(77, "secret")
            again = await cube.chat.send(PRIVATE, "Lunch?", id=caught.value.message_id)
            assert again.id == caught.value.message_id

    async def test_disconnect_loses_what_is_not_confirmed(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.acknowledges = False
            sending = asyncio.create_task(cube.chat.send(PRIVATE, "Lunch?"))
            await session.next()
            await cube.chat.disconnect()
            with pytest.raises(MessageLost):
                await sending

    async def test_a_cancelled_sender_still_hears_of_it_by_event(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.acknowledges = False
            sent = cube.chat.sent()
            sending = asyncio.create_task(cube.chat.send(PRIVATE, "Lunch?"))
            await session.next()
            sending.cancel()
            await asyncio.wait([sending])
            session.send(f"<a xmlns='urn:xmpp:sm:3' h='{session.handled}'/>")
            assert (await asyncio.wait_for(anext(sent), 5)).body == "Lunch?"


class TestMany:
    async def test_a_thousand_at_once_are_pipelined(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            messages = await asyncio.gather(*(cube.chat.send(PRIVATE, f"m{i}") for i in range(1000)))
            assert all(message.state is MessageState.SENT for message in messages)
            bodies = [(await session.next()).find("body") for _ in messages]
            assert [body.text for body in bodies if body is not None] == [f"m{i}" for i in range(1000)]
            # One request for a whole turn of the event loop, not one for each message.
            assert session.requests < 100

    async def test_more_than_fit_wait_their_turn(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            server.echoes = False
            sendings = [asyncio.create_task(cube.chat.send(GROUP, f"m{i}")) for i in range(1005)]
            written: list[Element] = [await session.next() for _ in range(1000)]
            await cube.chat.ping()
            assert session.quiet()
            server.echoes = True
            for element in written:
                session.echo(element)
            assert len(await asyncio.gather(*sendings)) == 1005

    async def test_a_reader_that_is_slow_makes_senders_wait(self) -> None:
        body = "x" * 100_000
        async with FakeChat() as server, server.ready(chat_timeout=30.0) as (cube, session):
            session.transport.pause_reading()
            sendings = [asyncio.create_task(cube.chat.send(PRIVATE, body)) for _ in range(300)]
            await asyncio.sleep(0.05)
            link = cube.chat._life.connection
            assert isinstance(link._wire, StreamWire)
            assert link._wire._transport is not None
            assert link._wire._transport.get_write_buffer_size() < 5 * len(body)
            session.transport.resume_reading()
            assert len(await asyncio.gather(*sendings)) == 300

    async def test_senders_that_wait_hear_of_the_end(self) -> None:
        body = "x" * 100_000
        async with FakeChat() as server, server.ready() as (cube, session):
            session.transport.pause_reading()
            sendings = [asyncio.create_task(cube.chat.send(PRIVATE, body)) for _ in range(300)]
            await asyncio.sleep(0.05)
            session.drop()
            results = await asyncio.gather(*sendings, return_exceptions=True)
        kinds = {type(result) for result in results}
        assert kinds == {MessageLost, NotConnected}  # some were written, the others never

    async def test_places_are_given_back(self) -> None:
        sends = Sends(5.0, lambda _: None, lambda _: None, limit=1)
        message = Message(MESSAGE_ID, DIALOG_ID, "x", 77, 88, PRIVATE.created_at or pytest.fail("no date"))
        for _ in range(3):
            await asyncio.wait_for(sends.place(), 1)
            future = sends.start(message)
            sends.lose_all()
            with pytest.raises(MessageLost):
                await future

    async def test_stanzas_nobody_waits_for_do_not_pile_up(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, _):
            for _ in range(250):
                await cube.chat.typing(PRIVATE)
            await cube.chat.ping()
            session = cube.chat._life.connection.session
            assert session is not None
            assert len(session.unacked()) < 150


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"body": "x"}, "exactly one"),
        ({"to_user": 88, "dialog_id": DIALOG_ID, "body": "x"}, "exactly one"),
        ({"to_user": 88}, "body"),
        ({"to_user": 88, "body": "x", "id": "QWERTYUIO"}, "24"),
        ({"dialog_id": "room", "body": "x"}, "24"),
        ({"dialog": "Lunch?", "body": "x"}, "Dialog"),
        ({"to_user": 88, "body": "a\x00b"}, "cannot be sent"),
        ({"to_user": 88, "body": "a\ud800b"}, "cannot be sent"),
        ({"to_user": 88, "body": "x", "properties": {"a b": "1"}}, "property"),
        ({"to_user": 88, "body": "x", "properties": {"list": [1]}}, "list"),
    ],
)
async def test_what_cannot_be_sent(arguments: dict[str, object], reason: str) -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        with pytest.raises(ValueError, match=reason):
            await cube.chat.send(**arguments)  # type: ignore[arg-type]
        await cube.chat.ping()
        assert session.quiet()


async def test_one_id_cannot_be_on_its_way_twice() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        server.echoes = False
        sending = asyncio.create_task(cube.chat.send(GROUP, "Lunch?", id=MESSAGE_ID))
        written = await session.next()
        with pytest.raises(ValueError, match="on its way"):
            await cube.chat.send(GROUP, "Lunch?", id=MESSAGE_ID)
        session.echo(written)
        await sending


async def test_nothing_is_sent_without_a_connection() -> None:
    async with FakeChat() as server, server.client() as cube:
        for act in (
            cube.chat.send(to_user=88, body="x"),
            cube.chat.typing(to_user=88),
            cube.chat.stop_typing(to_user=88),
            cube.chat.ping(),
        ):
            with pytest.raises(NotConnected, match="connect"):
                await act
