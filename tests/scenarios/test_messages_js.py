"""Messages made, changed, marked and deleted with the official JavaScript SDK, over the chat and over REST, with what
arrives at the other side."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.js_user import JsError, JsUser
from tests.support.node import PASSWORD, Node, Person, running
from voxcube.server.core import pages

KINDS = pytest.mark.parametrize("kind", ["private", "group"])


class Talk:
    """Ann and Bob with the SDK, online, and the dialogs that they share."""

    def __init__(self, node: Node, people: dict[str, Person], sdks: dict[str, JsUser]) -> None:
        self.node = node
        self.people = people
        self._sdks = sdks

    def id(self, name: str) -> int:
        return self.people[name].id

    async def call(self, name: str, path: str, *args: Any) -> Any:
        return await self._sdks[name].call(path, *args)

    async def dialog(self, kind: str) -> str:
        params = {"type": 3 if kind == "private" else 2, "name": "G", "occupants_ids": [self.id("bob")]}
        dialog_id: str = (await self.call("ann", "chat.dialog.create", params))["_id"]
        return dialog_id

    def to(self, name: str, kind: str, dialog_id: str) -> Any:
        """Where somebody sends to."""
        return dialog_id if kind == "group" else self.id("bob" if name == "ann" else "ann")

    async def say(self, name: str, kind: str, dialog_id: str, body: str) -> str:
        stanza = "groupchat" if kind == "group" else "chat"
        extension = {"save_to_history": 1, "dialog_id": dialog_id}
        message = {"type": stanza, "body": body, "extension": extension, "markable": 1}
        message_id: str = await self.call(name, "chat.send", self.to(name, kind, dialog_id), message)
        return message_id

    async def event(self, name: str, event: str, id_: str) -> list[Any]:
        """What an SDK reports about a message (whose id comes first), or a message."""

        def about(first: Any, *others: Any) -> bool:
            return first == id_ or any(isinstance(one, dict) and one.get("id") == id_ for one in (first, *others))

        return list(await self._sdks[name].event(event, about))

    async def quiet(self, name: str, *events: str) -> None:
        """Nothing of this kind has come, nor is it under way."""
        await self._sdks[name].settle()
        for event in events:
            assert self._sdks[name].waiting(event) == [], event

    async def listed(self, name: str, dialog_id: str, **more: Any) -> list[dict[str, Any]]:
        query = {"chat_dialog_id": dialog_id, "mark_as_read": 0, "sort_asc": "date_sent", **more}
        items: list[dict[str, Any]] = (await self.call(name, "chat.message.list", query))["items"]
        return items

    async def shown(self, name: str, dialog_id: str) -> dict[str, Any]:
        found = await self.call(name, "chat.dialog.list", {"_id": dialog_id})
        item: dict[str, Any] = found["items"][0]
        return item


@pytest.fixture
async def talk(tmp_path: Path, database_url: str) -> AsyncIterator[Talk]:
    async with (
        running(tmp_path / "node", "ann", "bob", database=database_url) as node,
        AsyncExitStack() as stack,
    ):
        sdks = {}
        for name, person in node.people.items():
            config = {
                "endpoints": {
                    "api": "localhost",
                    "api_url": f"http://localhost:{node.app.doors['http'][1]}",
                    "chat": "localhost",
                    "chat_url": f"ws://localhost:{node.app.doors['ws'][1]}",
                },
                "chat": {"streamManagement": {"enable": True}},
            }
            sdk = sdks[name] = await stack.enter_async_context(JsUser(person.app_id, node.auth_key, config))
            await sdk.call("createSession", {"login": person.login, "password": PASSWORD})
            await sdk.call("chat.connect", {"userId": person.id, "password": PASSWORD})
            await sdk.settle()
        yield Talk(node, node.people, sdks)


@KINDS
async def test_made_by_rest(talk: Talk, kind: str) -> None:
    dialog_id = await talk.dialog(kind)
    params = {
        "chat_dialog_id": dialog_id,
        "message": "Lunch? 🍜",
        "attachments": [{"type": "image", "uid": "u", "width": 640}],
        "place": {"city": "Oslo"},
        "send_to_chat": 1,
        "markable": 1,
    }
    made = await talk.call("ann", "chat.message.create", params)
    sender, message = await talk.event("bob", "message", made["_id"])
    assert (sender, message["body"], message["dialog_id"]) == (talk.id("ann"), "Lunch? 🍜", dialog_id)
    assert message["extension"]["place"] == {"city": "Oslo"}
    assert message["extension"]["attachments"][0]["uid"] == "u"
    # Bob's SDK says by itself that he has it.
    assert await talk.event("ann", "delivered", made["_id"]) == [made["_id"], dialog_id, talk.id("bob")]
    quiet = await talk.call("ann", "chat.message.create", {**params, "message": "later", "send_to_chat": 0})
    if kind == "group":
        await talk.event("ann", "message", made["_id"])  # the echo
    await talk.quiet("bob", "message")
    assert [item["_id"] for item in await talk.listed("bob", dialog_id)] == [made["_id"], quiet["_id"]]
    assert (await talk.listed("bob", dialog_id))[1]["place"] == {"city": "Oslo"}
    assert (await talk.call("bob", "chat.message.unreadCount", {"chat_dialog_ids": [dialog_id]}))[dialog_id] == 2
    if kind == "private":
        to_bob = await talk.call(
            "ann", "chat.message.create", {"recipient_id": talk.id("bob"), "message": "x", "send_to_chat": 1}
        )
        assert to_bob["chat_dialog_id"] == dialog_id
        await talk.event("bob", "message", to_bob["_id"])
    with pytest.raises(JsError) as empty:
        await talk.call("ann", "chat.message.create", {"chat_dialog_id": dialog_id})
    assert empty.value.reason["code"] == 422


@KINDS
async def test_characters_that_xml_forbids(talk: Talk, kind: str) -> None:
    """Pasted text may hold them, and the SDK sends them as they are: they are dropped, and nothing else is."""
    dialog_id = await talk.dialog(kind)
    dirty = "".join(map(chr, range(32))) + "\x7f ж\ufffd\ufffe\uffff😀 &#1; x"
    clean = "\t\n\r\x7f ж\ufffd😀 &#1; x"
    extension = {
        "save_to_history": 1,
        "dialog_id": dialog_id,
        "note": dirty,
        "place": {"city": dirty},
        "attachments": [{"type": "image", "uid": "u", "name": dirty}],
    }
    message = {"type": "groupchat" if kind == "group" else "chat", "body": dirty, "extension": extension}
    id_ = await talk.call("ann", "chat.send", talk.to("ann", kind, dialog_id), message)
    after = await talk.say("ann", kind, dialog_id, "after")
    _, came = await talk.event("bob", "message", id_)
    await talk.event("bob", "message", after)
    [stored, _] = await talk.listed("bob", dialog_id)
    line_end = clean.replace("\r", "\n")  # of a text, which XML has no other for (XML 1.0 §2.11)
    assert (came["body"], stored["message"]) == (line_end, line_end)
    for shown in (came["extension"], stored):
        assert (shown["note"], shown["place"]) == (line_end, {"city": line_end})
        # An attribute has no line ends at all, unless they are escaped (XML 1.0 §3.3.3).
        assert shown["attachments"][0]["name"].split() == clean.split()
    await talk.event("ann", "sent", id_)
    await talk.event("ann", "sent", after)


@KINDS
async def test_edited_and_deleted_over_the_chat(talk: Talk, kind: str) -> None:
    dialog_id = await talk.dialog(kind)
    id_ = await talk.say("ann", kind, dialog_id, "first")
    await talk.event("ann", "sent", id_)
    await talk.event("bob", "message", id_)
    to = talk.to("ann", kind, dialog_id)
    edit = {"to": to, "dialogId": dialog_id, "body": "second", "originMessageId": id_, "last": True}
    await talk.call("ann", "chat.editMessage", {**edit, "extension": {"mood": "fine"}})
    about, last, body, place, user, extension = await talk.event("bob", "edited", id_)
    assert (about, last, body, place, user) == (id_, True, "second", dialog_id, talk.id("ann"))
    assert extension["mood"] == "fine"
    [item] = await talk.listed("bob", dialog_id)
    assert (item["message"], item["mood"]) == ("second", "fine")
    assert item["edited_at"] is not None
    assert (await talk.shown("bob", dialog_id))["last_message"] == "second"
    await talk.call("ann", "chat.deleteMessage", {"to": to, "dialogId": dialog_id, "messageId": id_})
    assert await talk.event("bob", "deleted", id_) == [id_, dialog_id, talk.id("ann")]
    assert await talk.listed("bob", dialog_id) == []
    # What is not his he cannot change: an error, and Ann hears nothing.
    own = await talk.say("ann", kind, dialog_id, "mine")
    await talk.event("bob", "message", own)
    edit = {"to": talk.to("bob", kind, dialog_id), "dialogId": dialog_id, "body": "x", "originMessageId": own}
    if kind == "group":
        await talk.event("ann", "edited", id_)  # her own, as the echo
    await talk.call("bob", "chat.editMessage", {**edit, "last": True})
    sdk = talk._sdks["bob"]
    _, refusal = await sdk.event("messageError")
    assert refusal["code"] == 403
    await talk.quiet("ann", "edited")
    assert [item["message"] for item in await talk.listed("bob", dialog_id)] == ["mine"]


@KINDS
async def test_edited_and_deleted_by_rest(talk: Talk, kind: str) -> None:
    dialog_id = await talk.dialog(kind)
    ids = [await talk.say("ann", kind, dialog_id, body) for body in ("one", "two", "three")]
    theirs = await talk.say("bob", kind, dialog_id, "four")
    await talk.event("bob", "message", ids[2])
    await talk.event("ann", "message", theirs)
    await talk.call("ann", "chat.message.update", ids[0], {"chat_dialog_id": dialog_id, "message": "eins"})
    about = await talk.event("bob", "edited", ids[0])
    assert about[:5] == [ids[0], False, "eins", dialog_id, talk.id("ann")]
    for name, message_id in (("bob", ids[0]), ("ann", theirs)):
        with pytest.raises(JsError) as refused:
            await talk.call(name, "chat.message.update", message_id, {"chat_dialog_id": dialog_id, "message": "x"})
        assert refused.value.reason["code"] == 403
    # For Bob alone, whoever wrote it.
    answer = json.loads(await talk.call("bob", "chat.message.delete", [ids[1], theirs], {}))
    assert answer["SuccessfullyDeleted"] == {"ids": [ids[1], theirs]}
    assert [item["_id"] for item in await talk.listed("bob", dialog_id)] == [ids[0], ids[2]]
    assert len(await talk.listed("ann", dialog_id)) == 4
    await talk.quiet("ann", "deleted")
    # For everyone: what is his own, and what is not.
    answer = json.loads(await talk.call("bob", "chat.message.delete", [theirs, ids[0]], {"force": 1}))
    assert (answer["SuccessfullyDeleted"], answer["WrongPermissions"]) == ({"ids": [theirs]}, {"ids": [ids[0]]})
    assert await talk.event("ann", "deleted", theirs) == [theirs, dialog_id, talk.id("bob")]
    answer = json.loads(await talk.call("ann", "chat.message.delete", ids[2], {"force": 1}))
    assert answer["SuccessfullyDeleted"] == {"ids": [ids[2]]}
    await talk.event("bob", "deleted", ids[2])
    shown = await talk.shown("bob", dialog_id)
    assert (shown["last_message_id"], shown["unread_messages_count"]) == (ids[0], 1)


@KINDS
async def test_sent_delivered_read(talk: Talk, kind: str) -> None:
    dialog_id = await talk.dialog(kind)

    async def status() -> tuple[str, list[int], list[int]]:
        shown, items = await talk.shown("ann", dialog_id), await talk.listed("ann", dialog_id)
        return shown["last_message_status"], sorted(items[-1]["delivered_ids"]), sorted(items[-1]["read_ids"])

    ann, bob = talk.id("ann"), talk.id("bob")
    quiet = await talk.call("ann", "chat.message.create", {"chat_dialog_id": dialog_id, "message": "x"})
    assert await status() == ("sent", [ann], [ann])
    # By REST …
    await talk.call("bob", "chat.message.update", quiet["_id"], {"chat_dialog_id": dialog_id, "delivered": 1})
    assert await talk.event("ann", "delivered", quiet["_id"]) == [quiet["_id"], dialog_id, bob]
    assert await status() == ("delivered", sorted([ann, bob]), [ann])
    await talk.call("bob", "chat.message.update", quiet["_id"], {"chat_dialog_id": dialog_id, "read": 1})
    assert await talk.event("ann", "read", quiet["_id"]) == [quiet["_id"], dialog_id, bob]
    assert await status() == ("read", sorted([ann, bob]), sorted([ann, bob]))
    # … and over the chat; delivered is said by Bob's SDK itself.
    id_ = await talk.say("ann", kind, dialog_id, "hello")
    await talk.event("ann", "sent", id_)
    assert await talk.event("ann", "delivered", id_) == [id_, dialog_id, bob]
    assert (await status())[0] == "delivered"
    marker = {"messageId": id_, "userId": ann, "dialogId": dialog_id}
    await talk.call("bob", "chat.sendReadStatus", marker)
    assert await talk.event("ann", "read", id_) == [id_, dialog_id, bob]
    assert await status() == ("read", sorted([ann, bob]), sorted([ann, bob]))
    # All at once: nobody is told.
    for body in ("a", "b", "c"):
        last = await talk.say("ann", kind, dialog_id, body)
        await talk.event("ann", "delivered", last)
    assert (await talk.shown("bob", dialog_id))["unread_messages_count"] == 3
    await talk.call("bob", "chat.message.update", "", {"chat_dialog_id": dialog_id, "read": 1})
    assert (await talk.shown("bob", dialog_id))["unread_messages_count"] == 0
    assert (await status())[0] == "read"
    await talk.quiet("ann", "read")


async def test_system_messages(talk: Talk) -> None:
    ann, bob = talk.id("ann"), talk.id("bob")
    body = {"body": "dialog/NEW_DIALOG", "extension": {"dialogId": "d", "deep": {"a": "1"}}}
    id_ = await talk.call("ann", "chat.sendSystemMessage", bob, body)
    [message] = await talk.event("bob", "system", id_)
    assert (message["userId"], message["body"]) == (ann, "dialog/NEW_DIALOG")
    assert message["extension"]["deep"] == {"a": "1"}
    made = await talk.call("ann", "chat.message.createSystem", {"recipientId": bob, "dialogId": "d", "n": 5})
    assert made == {"messageId": made["messageId"], "recipientId": bob, "extensionParams": {"dialogId": "d", "n": "5"}}
    [message] = await talk.event("bob", "system", made["messageId"])
    assert message["userId"] == ann
    assert (message["extension"]["dialogId"], message["extension"]["n"]) == ("d", "5")


async def test_pages_that_are_cut_for_their_size_lead_to_every_message(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES", 8000)  # the tests get what the SDK got in one line
    dialog_id = await talk.dialog("group")
    async with await talk.node.rest_login(talk.people["bob"]) as rest:
        for number in range(30):
            body = {"chat_dialog_id": dialog_id, "message": f"{number:02}" + "x" * 1000}
            assert (await rest.post("/chat/Message", json=body)).status_code == 201
    seen: list[str] = []
    while True:
        query = {"chat_dialog_id": dialog_id, "mark_as_read": 0, "sort_desc": "date_sent", "skip": len(seen)}
        found = await talk.call("ann", "chat.message.list", query)
        seen += [item["message"][:2] for item in found["items"]]
        if len(found["items"]) < found["limit"]:
            break
    assert sorted(seen) == [f"{number:02}" for number in range(30)]
