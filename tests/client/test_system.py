"""cube.chat.system and cube.chat.signalling against a server that obeys the test."""

import asyncio
from typing import Any

import pytest

from tests.client.fake_chat import DOMAIN, FakeChat
from voxcube.client import ChatTimeout, ClientClosed, MessageLost, Signal, StanzaError, SystemMessage
from voxcube.xmpp import stanza as stanzas
from voxcube.xmpp.xml import to_xml

BOB = f"88-3@{DOMAIN}"
SDP = 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\na=fmtp:1 "x" <&>\r\n'


def headline(inner: str, module: str = "SystemNotifications", body: str = "", id_: str = "h1") -> str:
    name = f"<moduleIdentifier>{module}</moduleIdentifier>" if module else ""
    return (
        f'<message type="headline" id="{id_}" from="{BOB}/r" to="77-3@{DOMAIN}/r">{body}'
        f'<extraParams xmlns="jabber:client">{name}{inner}</extraParams></message>'
    )


async def test_sending() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        properties = {"dialogId": "64c0", "n": 5, "yes": True, "deep": {"a": {"b": "<"}}, "none": None}
        message_id = await cube.chat.system.send(88, "dialog/NEW_DIALOG", properties)
        assert to_xml(await session.next()) == (
            f'<message id="{message_id}" type="headline" to="{BOB}"><body>dialog/NEW_DIALOG</body>'
            '<extraParams xmlns="jabber:client"><moduleIdentifier>SystemNotifications</moduleIdentifier>'
            "<dialogId>64c0</dialogId><n>5</n><yes>1</yes><deep><a><b>&lt;</b></a></deep></extraParams></message>"
        )
        await cube.chat.system.send(88)
        assert (await session.next()).find("body") is None
        unfit: tuple[tuple[int, Any], ...] = (
            (0, {}),
            (88, {"moduleIdentifier": "x"}),
            (88, {"a b": "x"}),
            (88, {"a": "\0"}),
            (88, {"a": "x" * 262_144}),
        )
        for user_id, given in unfit:
            with pytest.raises(ValueError, match=r"give|cannot|at most"):
                await cube.chat.system.send(user_id, None, given)
        with pytest.raises(ValueError, match="give the user"):
            await cube.chat.signalling.send(0, {})
        assert session.quiet()
    with pytest.raises(ClientClosed):
        await cube.chat.system.send(88, "too late")


async def test_refusals_and_losses() -> None:
    async with FakeChat() as server, server.ready(chat_timeout=0.2) as (cube, session):
        server.acknowledges = False
        errors, heard = cube.chat.system.errors(), list[StanzaError]()
        others = cube.chat.errors()
        cube.chat.system.on_error(heard.append)
        for call, condition, code in (
            (cube.chat.system.send(88, "hello"), "service-unavailable", 503),
            (cube.chat.signalling.send(99, {"signalType": "call"}), "item-not-found", 404),
        ):
            task = asyncio.create_task(call)
            session.send(stanzas.error_reply(await session.next(), condition, from_=BOB))
            with pytest.raises(StanzaError) as refused:
                await task
            assert refused.value.code == code
            assert await anext(errors) is heard[-1] is refused.value
        with pytest.raises(ChatTimeout):
            await cube.chat.system.send(88, "nobody answers")
        lost = asyncio.create_task(cube.chat.system.send(88, "broken"))
        await session.next()
        await session.next()
        session.drop()
        with pytest.raises(MessageLost):
            await lost
        await cube.chat.destroy()
        assert [error async for error in others] == []  # these are about messages


async def test_without_stream_management_refusals_come_later() -> None:
    async with FakeChat() as server, server.ready(stream_management=False) as (cube, session):
        errors = cube.chat.system.errors()
        message_id = await cube.chat.system.send(88, "hello")
        session.send(stanzas.error_reply(await session.next(), "service-unavailable", from_=BOB))
        error = await asyncio.wait_for(anext(errors), 5)
        assert (error.stanza_id, error.code) == (message_id, 503)


async def test_receiving_system_messages() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        messages, heard = cube.chat.system.messages(), list[SystemMessage]()
        stop = cube.chat.system.on_message(heard.append)
        ordinary = cube.chat.messages()
        more = "<date_sent>5</date_sent><save_to_history>1</save_to_history><dialog_id>d</dialog_id>"
        session.send(headline(f"<a>1</a><b><c>2</c><c>3</c></b>{more}", body="<body>x</body>"))
        session.send(headline("<a/>"), headline("<a/>", module=""), headline("<a/>", module="Other"))
        await cube.chat.ping()
        first = SystemMessage("h1", 88, "x", {"a": "1", "b": {"c": ["2", "3"]}, "dialog_id": "d"})
        assert heard == [first, SystemMessage("h1", 88, None, {"a": ""})]
        assert await anext(messages) == first
        stop()
        await cube.chat.destroy()
        assert [message async for message in messages] == heard[1:]
        assert [message async for message in ordinary] == []


async def test_signals() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        signals, heard = cube.chat.signalling.signals(), list[Signal]()
        cube.chat.signalling.on(heard.append)
        candidates = [
            {"candidate": "c1", "sdpMid": "0", "sdpMLineIndex": 0},
            {"candidate": "c2", "sdpMid": "", "x": "1"},
        ]
        sent = {
            "moduleIdentifier": "WebRTCVideoChat",
            "signalType": "call",
            "sdp": SDP,
            "opponentsIDs": {"opponentID": [88]},
            "iceCandidates": {"iceCandidate": candidates},
            "userInfo": {"name": "Ann"},
        }
        await cube.chat.signalling.send(88, sent)
        out = await session.next()
        text = "".join(to_xml(child) for child in out.elements())
        assert text.count("<moduleIdentifier>") == text.count("<opponentID>88</opponentID>") == 1
        assert text.count("<iceCandidate>") == 2
        session.send(
            headline(text.partition("</moduleIdentifier>")[2].removesuffix("</extraParams>"), "WebRTCVideoChat")
        )
        signal = await asyncio.wait_for(anext(signals), 5)
        assert heard == [signal]
        assert signal == Signal(
            "h1",
            88,
            {
                "signalType": "call",
                "sdp": SDP,
                "opponentsIDs": {"opponentID": ["88"]},
                "iceCandidates": {
                    "iceCandidate": [
                        {"candidate": "c1", "sdpMid": "0", "sdpMLineIndex": "0"},
                        {"candidate": "c2", "sdpMid": "", "x": "1"},
                    ]
                },
                "userInfo": {"name": "Ann"},
            },
        )
