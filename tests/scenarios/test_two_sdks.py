"""A user of our SDK and a user of the official JavaScript SDK, unmodified, talk with each other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.js_user import JsUser
from tests.support.server_process import ServerProcess
from voxcube.client import (
    Attachment,
    Client,
    DeleteEvent,
    DeliveryStatus,
    EditEvent,
    EventStream,
    MessageState,
    ReactionEvent,
    StanzaError,
    TypingEvent,
)

PASSWORD = "correct horse"
HELLO = "Lunch? 🍕 <b>&amp;</b> ünïcode"
DEEP = {"city": "Oslo 🌧", "meta": {"a": "1", "b": {"c": "x 👍"}}}


@dataclass
class Pair:
    """Ann with our SDK and bob with theirs."""

    ann: Client
    ann_id: int
    bob: JsUser
    bob_id: int

    async def bob_gets(self, message_id: str) -> tuple[int, dict[str, Any]]:
        sender, message = await self.bob.event("message", lambda _, found: found["id"] == message_id)
        return sender, message

    async def bob_sends(self, to: int | str, body: str, **extension: Any) -> str:
        kind = "chat" if isinstance(to, int) else "groupchat"
        message = {"type": kind, "body": body, "extension": {"save_to_history": 1, **extension}}
        message_id: str = await self.bob.call("chat.send", to, message)
        return message_id


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, dict[str, Any]]]:
    """A server and its application."""
    with ServerProcess(tmp_path_factory.mktemp("two-sdks"), unlimited=True) as running:
        yield running, running.create_app()
        assert running.stop() == 0


@pytest.fixture(params=[("tls", "ws"), ("ws", "wss")], ids=["tls-ws", "wss-wss"])
async def pair(server: tuple[ServerProcess, dict[str, Any]], request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    process, app = server
    ours, theirs = request.param
    login = request.node.name
    rest = {"ws": "http", "wss": "https"}[theirs]
    config = {
        "endpoints": {
            "api": "localhost",
            "api_url": f"{rest}://localhost:{process.addresses[rest][1]}",
            "chat": "localhost",
            "chat_url": f"{theirs}://localhost:{process.addresses[theirs][1]}",
        },
        "chat": {"streamManagement": {"enable": True}},
    }
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(
            Client(
                app_id=app["app_id"],
                auth_key=app["auth_key"],
                api_url=f"https://localhost:{process.addresses['https'][1]}",
                chat_host="localhost",
                transport=ours,
                chat_port=process.addresses["xmpps" if ours == "tls" else "wss"][1],
                ca_file=process.certificate,
            )
        )
        for name in ("ann", "bob"):
            await ann.users.signup(login=f"{name} {login}", password=PASSWORD)
        ann_id = (await ann.auth.create_session(login=f"ann {login}", password=PASSWORD)).user_id
        await ann.chat.connect(ann_id)
        bob = await stack.enter_async_context(
            JsUser(app["app_id"], app["auth_key"], config, trust=process.certificate if theirs == "wss" else None)
        )
        bob_id = (await bob.call("createSession", {"login": f"bob {login}", "password": PASSWORD}))["user_id"]
        await bob.call("chat.connect", {"userId": bob_id, "password": PASSWORD})
        await bob.settle()
        yield Pair(ann, ann_id, bob, bob_id)


async def next_of(stream: EventStream[Any]) -> Any:
    return await asyncio.wait_for(anext(stream), 30)


async def test_a_private_chat(pair: Pair) -> None:
    ann, bob = pair.ann, pair.bob
    to_ann, delivered, read = ann.chat.messages(), ann.chat.delivered(), ann.chat.read()
    typing = ann.chat.typing_events()
    dialog = await ann.dialogs.create_private(pair.bob_id)
    photo = Attachment("image", uid="9a8b7c", size=34567, width=640, height=480, data='{"lat": 59.9}')

    await ann.chat.typing(dialog)
    assert await bob.event("typing") == [True, pair.ann_id, None]
    sent = await ann.chat.send(dialog, HELLO, properties=DEEP, attachments=[photo])
    sender, message = await pair.bob_gets(sent.id)
    assert (sender, message["body"], message["dialog_id"]) == (pair.ann_id, HELLO, dialog.id)
    extension = message["extension"]
    assert {name: extension[name] for name in DEEP} == DEEP
    (attachment,) = extension["attachments"]
    assert (attachment["uid"], attachment["type"], attachment["width"]) == ("9a8b7c", "image", "640")
    assert await next_of(delivered) == DeliveryStatus(pair.bob_id, sent.id, dialog.id)
    await bob.call("chat.sendReadStatus", {"messageId": sent.id, "userId": pair.ann_id, "dialogId": dialog.id})
    assert await next_of(read) == DeliveryStatus(pair.bob_id, sent.id, dialog.id)

    await bob.call("chat.sendIsTypingStatus", pair.ann_id)
    assert await next_of(typing) == TypingEvent(pair.bob_id, None, True)
    answer = await pair.bob_sends(pair.ann_id, "Yes! 🎉", dialog_id=dialog.id, markable=1, **DEEP)
    got = await next_of(to_ann)
    assert (got.id, got.body, got.sender_id, got.dialog_id) == (answer, "Yes! 🎉", pair.bob_id, dialog.id)
    assert (got.properties, got.markable) == (DEEP, True)
    assert await bob.event("delivered", lambda found, *_: found == answer) == [answer, dialog.id, pair.ann_id]
    await ann.chat.mark_read(got)
    assert await bob.event("read", lambda found, *_: found == answer) == [answer, dialog.id, pair.ann_id]

    ours = await ann.messages.list(dialog.id)
    theirs = await bob.call("chat.message.list", {"chat_dialog_id": dialog.id, "sort_asc": "date_sent"})
    assert [message.id for message in ours] == [item["_id"] for item in theirs["items"]] == [sent.id, answer]
    assert (ours[0].properties, ours[0].attachments, ours[0].state) == (DEEP, (photo,), MessageState.READ)
    assert theirs["items"][0]["meta"] == DEEP["meta"]


async def test_a_group(pair: Pair) -> None:
    ann, bob = pair.ann, pair.bob
    group = await bob.call("chat.dialog.create", {"type": 2, "name": "Lunch 🍕", "occupants_ids": [pair.ann_id]})
    shown = await ann.dialogs.get(group["_id"])
    assert (shown.name, set(shown.occupants_ids)) == ("Lunch 🍕", {pair.ann_id, pair.bob_id})
    to_ann = ann.chat.messages(shown.id)
    first = await pair.bob_sends(shown.id, HELLO, **DEEP)
    got = await next_of(to_ann)
    assert (got.id, got.body, got.sender_id, got.properties, got.is_group) == (first, HELLO, pair.bob_id, DEEP, True)
    second = await ann.chat.send(shown, "On my way", properties=DEEP)
    sender, message = await pair.bob_gets(second.id)
    assert (sender, message["type"], message["body"]) == (pair.ann_id, "groupchat", "On my way")
    assert message["extension"]["meta"] == DEEP["meta"]
    await ann.chat.typing(shown)
    assert await bob.event("typing") == [True, pair.ann_id, shown.id]
    assert [message.id for message in await ann.messages.list(shown.id)] == [first, second.id]


async def test_a_message_waits_for_the_other_sdk(pair: Pair) -> None:
    ann, bob = pair.ann, pair.bob
    await ann.chat.disconnect()
    to_ann = ann.chat.messages()
    waiting = [await pair.bob_sends(pair.ann_id, f"while you were away {n}", markable=1) for n in range(3)]
    for message_id in waiting:
        await bob.event("sent", lambda lost, sent, wanted=message_id: (sent or {}).get("id") == wanted)
    await ann.chat.connect(pair.ann_id, PASSWORD)
    for message_id in waiting:
        got = await next_of(to_ann)
        assert (got.id, got.delayed) == (message_id, True)
        await bob.event("delivered", lambda found, *_, wanted=message_id: found == wanted)


async def test_the_same_refusals(pair: Pair) -> None:
    nobody = 99_999_999
    with pytest.raises(StanzaError) as refused:
        await pair.ann.chat.send(to_user=nobody, body="hello?")
    message_id = await pair.bob_sends(nobody, "hello?")
    found, error = await pair.bob.event("messageError")
    assert (found, error["code"]) == (message_id, refused.value.code)
    assert refused.value.code == 404


async def test_edits_and_deletes(pair: Pair) -> None:
    ann, bob = pair.ann, pair.bob
    private = await ann.dialogs.create_private(pair.bob_id)
    group = await ann.dialogs.create_group("Lunch", [pair.bob_id])
    edited, deleted, messages = ann.chat.edited(), ann.chat.deleted(), ann.chat.messages()
    for dialog in (private, group):
        ours = await ann.chat.send(dialog, "ours")
        await ann.chat.edit(ours, dialog, "ours, edited", last=True, properties=DEEP)
        message_id, last, body, dialog_id, user_id, extension = await bob.event(
            "edited", lambda *a, of=ours.id: a[0] == of
        )
        assert (message_id, last, body, dialog_id, user_id) == (ours.id, True, "ours, edited", dialog.id, pair.ann_id)
        assert extension["meta"] == DEEP["meta"]
        await ann.chat.delete(ours, dialog)
        assert await bob.event("deleted", lambda *a, of=ours.id: a[0] == of) == [ours.id, dialog.id, pair.ann_id]

        to: int | str = pair.ann_id if dialog is private else dialog.id
        theirs = await pair.bob_sends(to, "theirs", dialog_id=dialog.id)
        assert (await next_of(messages)).id == theirs
        change = {"to": to, "dialogId": dialog.id}
        await bob.call(
            "chat.editMessage", change | {"originMessageId": theirs, "body": "theirs, edited", "last": False}
        )
        assert await next_of(edited) == EditEvent(theirs, dialog.id, pair.bob_id, "theirs, edited")
        [read] = await ann.messages.list(dialog.id)
        assert (read.id, read.body) == (theirs, "theirs, edited")
        await bob.call("chat.deleteMessage", change | {"messageId": theirs})
        assert await next_of(deleted) == DeleteEvent(theirs, dialog.id, pair.bob_id)
        assert await ann.messages.count(dialog.id) == 0


async def test_edits_and_deletes_over_rest(pair: Pair) -> None:
    ann, bob = pair.ann, pair.bob
    group = await ann.dialogs.create_group("Lunch", [pair.bob_id])
    edited, deleted = ann.chat.edited(), ann.chat.deleted()
    ours, theirs = await ann.chat.send(group, "ours"), await pair.bob_sends(group.id, "theirs")
    await ann.messages.update(group.id, ours.id, body="ours, edited")
    assert (await bob.event("edited"))[2] == "ours, edited"
    assert (await next_of(edited)).message_id == ours.id  # over REST one's own sessions hear of it too
    await ann.messages.delete(ours.id, force=True)
    assert await bob.event("deleted") == [ours.id, group.id, pair.ann_id]
    assert await next_of(deleted) == DeleteEvent(ours.id, group.id, pair.ann_id)
    await bob.call("chat.message.update", theirs, {"chat_dialog_id": group.id, "message": "theirs, edited"})
    event = await next_of(edited)
    assert (event.message_id, event.body, event.user_id) == (theirs, "theirs, edited", pair.bob_id)
    await bob.call("chat.message.delete", [theirs], {"force": 1})
    assert await next_of(deleted) == DeleteEvent(theirs, group.id, pair.bob_id)


async def test_reactions(pair: Pair) -> None:
    ann, bob, seen = pair.ann, pair.bob, pair.ann.chat.reactions()
    for dialog in (
        await ann.dialogs.create_private(pair.bob_id),
        await ann.dialogs.create_group("Lunch", [pair.bob_id]),
    ):
        sent = await ann.chat.send(dialog, "Lunch?")
        await bob.call("chat.message.addReaction", sent.id, "👍")
        assert await next_of(seen) == ReactionEvent(sent.id, dialog.id, pair.bob_id, ("👍",))
        await bob.event("reacted")  # to its own sessions too
        await ann.messages.react(sent.id, add="🚀")
        await ann.messages.react(sent.id, add="👍", remove="🚀")
        assert await bob.event("reacted") == [sent.id, pair.ann_id, dialog.id, "🚀", None]
        assert await bob.event("reacted") == [sent.id, pair.ann_id, dialog.id, "👍", "🚀"]
        assert [(await next_of(seen)).added for _ in range(2)] == [("🚀",), ("👍",)]
        listed = await bob.call("chat.message.listReactions", sent.id)
        assert await ann.messages.reactions(sent.id) == listed == {"👍": [pair.bob_id, pair.ann_id]}
