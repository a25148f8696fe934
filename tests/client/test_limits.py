"""What a server would end the connection for is refused before it is sent; everything else under way survives."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.client.fake_chat import DIALOG_ID, MESSAGE_ID, FakeChat
from voxcube.client import Attachment, Client, PrivacyItem
from voxcube.client.wire import LARGEST
from voxcube.xmpp.xml import to_xml

Act = Callable[[Client], Awaitable[Any]]


def nested(levels: int) -> dict[str, Any]:
    deep: dict[str, Any] = {"a": "x"}
    for _ in range(levels - 1):
        deep = {"a": deep}
    return deep


def send(**given: Any) -> Act:
    return lambda cube: cube.chat.send(to_user=88, **given)


BIG = "x" * LARGEST
TOO_LARGE: dict[str, Act] = {
    "body": send(body=BIG),
    "characters of four bytes": send(body="🍕" * (LARGEST // 4)),
    "escaped": send(body="&" * (LARGEST // 5)),
    "escaped in attributes": send(attachments=[Attachment("image", name='"' * (LARGEST // 6))]),
    "to a group": lambda cube: cube.chat.send(dialog_id=DIALOG_ID, body=BIG),
    "property": send(properties={"a": BIG}),
    "many properties": send(properties={f"name{n}": "value" for n in range(20_000)}),
    "name of a property": send(properties={"n" * (LARGEST // 2): "x"}),
    "attachment": send(attachments=[Attachment("location", data="ü" * (LARGEST // 6))]),
    "many attachments": send(attachments=[Attachment("image", uid=f"{n:32x}") for n in range(6000)]),
    "edit": lambda cube: cube.chat.edit(MESSAGE_ID, None, BIG, to_user=88),
    "properties of an edit": lambda cube: cube.chat.edit(MESSAGE_ID, None, "x", to_user=88, properties={"a": BIG}),
    "system message": lambda cube: cube.chat.system.send(88, BIG),
    "properties of a system message": lambda cube: cube.chat.system.send(88, "x", {"a": BIG}),
    "signal": lambda cube: cube.chat.signalling.send(88, {"sdp": BIG}),
    "privacy list": lambda cube: cube.chat.privacy.create("list", [PrivacyItem(n) for n in range(1, 4000)]),
    "name of a privacy list": lambda cube: cube.chat.privacy.get(BIG),
    "name of a contact": lambda cube: cube.chat.contacts.add(88, BIG),
    "groups of a contact": lambda cube: cube.chat.contacts.add(88, "x", [f"group {n}" for n in range(20_000)]),
}
MALFORMED: dict[str, Act] = {
    "properties too deep": send(properties=nested(33)),
    "properties far too deep": send(properties=nested(2000)),
    "edit too deep": lambda cube: cube.chat.edit(MESSAGE_ID, None, "x", to_user=88, properties=nested(33)),
    "system message too deep": lambda cube: cube.chat.system.send(88, "x", nested(33)),
    "signal too deep": lambda cube: cube.chat.signalling.send(88, {"userInfo": nested(33)}),
    "name with a space": send(properties={"a b": "x"}),
    "name with a prefix": send(properties={"a:b": "x"}),
    "name of an attribute": send(attachments=[Attachment("image", extra={"a b": "x"})]),
    "prefix of an attribute": send(attachments=[Attachment("image", extra={"a:b": "x"})]),
    "control characters": send(body="\0"),
    "control characters of an attachment": send(attachments=[Attachment("image", name="\x01")]),
    "lone surrogate": send(body="\ud800"),
    "signal with a bad name": lambda cube: cube.chat.signalling.send(88, {"<": "x"}),
    "name of a contact with control characters": lambda cube: cube.chat.contacts.add(88, "\0"),
    "name of a list with control characters": lambda cube: cube.chat.privacy.remove("\0"),
}


@pytest.mark.parametrize("what", [*TOO_LARGE, *MALFORMED])
async def test_the_connection_and_other_sends_survive(what: str) -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        server.acknowledges = False
        other = asyncio.create_task(cube.chat.send(to_user=88, body="under way"))
        await session.next()
        with pytest.raises(
            ValueError, match="at most 262144 can be sent" if what in TOO_LARGE else "cannot|deep|forbids"
        ) as caught:
            await (TOO_LARGE | MALFORMED)[what](cube)
        if what in TOO_LARGE:
            assert int(str(caught.value).split()[2]) > LARGEST  # the size is named
        server.acknowledges = True
        assert (await cube.chat.send(to_user=88, body="after")).id
        await other
        assert len(server.all) == 1
        assert len(cube.chat._sends._sendings) == 0
        assert not cube.chat._life.connection._answers  # nobody waits for what was not sent


async def test_the_largest_message_gets_through() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        await cube.chat.send(to_user=88, body="x")
        least = len(to_xml(await session.next()).encode()) + len(' xmlns="jabber:client"') - 1
        await cube.chat.send(to_user=88, body="x" * (LARGEST - least))
        with pytest.raises(ValueError, match="at most"):
            await cube.chat.send(to_user=88, body="x" * (LARGEST - least + 1))


async def test_values_of_properties() -> None:
    """Everything is text on the wire; the REST API stores the same."""
    given = {"yes": True, "no": False, "n": 5, "x": 1.5, "none": None, "deep": {"ok": True}}
    sent = {"yes": "1", "no": "0", "n": "5", "x": "1.5", "deep": {"ok": "1"}}
    async with FakeChat() as server, server.ready() as (cube, session):
        message = await cube.chat.send(to_user=88, body="hi", properties=given)
        assert message.properties == sent
        wire = "<yes>1</yes><no>0</no><n>5</n><x>1.5</x><deep><ok>1</ok></deep>"
        assert wire in to_xml(await session.next())
        await cube.chat.edit(message, None, "new", properties=given)
        assert wire in to_xml(await session.next())


@pytest.mark.parametrize(
    ("value", "silent"), [("1", True), (1, True), (True, True), ("true", True), ("0", False), (0, False), (None, False)]
)
async def test_silent_among_the_properties(value: Any, silent: bool) -> None:
    """The guide of the official SDKs: message.properties['silent'] = '1'."""
    async with FakeChat() as server, server.ready() as (cube, session):
        message = await cube.chat.send(to_user=88, body="hi", properties={"silent": value, "city": "Oslo"})
        assert (message.silent, message.properties) == (silent, {"city": "Oslo"})
        assert ("<silent>1</silent>" in to_xml(await session.next())) is silent
        with pytest.raises(ValueError, match="silent"):
            await cube.chat.send(to_user=88, body="hi", properties={"silent": "maybe"})
