"""Dialogs with the official JavaScript SDK: making, finding, changing, leaving and deleting them, on each database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.js_user import JsError, JsUser
from tests.support.node import PASSWORD, Node, Person, running
from voxcube.server.accounts import Accounts
from voxcube.server.features.dialogs.service import NewDialog


class Meeting:
    """A server with Ann, Bob and Cyd, each with the SDK and online."""

    def __init__(self, node: Node, people: dict[str, Person], sdks: dict[str, JsUser]) -> None:
        self.node = node
        self.people = people
        self._sdks = sdks

    def id(self, name: str) -> int:
        return self.people[name].id

    async def call(self, name: str, path: str, *args: Any) -> Any:
        return await self._sdks[name].call(path, *args)

    async def refused(self, name: str, path: str, *args: Any) -> int:
        """The status with which a call is refused."""
        with pytest.raises(JsError) as refusal:
            await self.call(name, path, *args)
        code: int = refusal.value.reason["code"]
        return code

    async def say(self, name: str, dialog: dict[str, Any], body: str) -> str:
        """Sends a stored message; returns its id when the sender has its echo or its confirmation."""
        to = self._opponent(name, dialog) if dialog["type"] == 3 else dialog["_id"]
        kind = "chat" if dialog["type"] == 3 else "groupchat"
        message = {"type": kind, "body": body, "extension": {"save_to_history": 1}}
        message_id: str = await self.call(name, "chat.send", to, message)
        await self.settle(name)
        return message_id

    async def settle(self, *names: str) -> None:
        """What was sent to them before has arrived."""
        for name in names or self._sdks:
            await self._sdks[name].settle()

    async def hears(self, name: str, message_id: str) -> None:
        await self._sdks[name].event("message", lambda _, found: found["id"] == message_id)

    def heard(self, name: str, message_id: str) -> bool:
        return any(found["id"] == message_id for _, found in self._sdks[name].waiting("message"))

    async def event(self, name: str, event: str) -> list[Any]:
        """What the next event of this kind brings."""
        return await self._sdks[name].event(event)

    def waiting(self, name: str, event: str) -> list[list[Any]]:
        """What nobody has asked for yet."""
        return self._sdks[name].waiting(event)

    async def listed(self, name: str, /, **query: Any) -> list[str]:
        found = await self.call(name, "chat.dialog.list", query)
        return [item["_id"] for item in found["items"]]

    def _opponent(self, name: str, dialog: dict[str, Any]) -> int:
        return next(int(id_) for id_ in dialog["occupants_ids"] if id_ != self.id(name))


@pytest.fixture
async def meeting(tmp_path: Path, database_url: str) -> AsyncIterator[Meeting]:
    async with (
        running(tmp_path / "node", "ann", "bob", "cyd", database=database_url) as node,
        AsyncExitStack() as stack,
    ):
        sdks = {}
        for name, person in node.people.items():
            endpoints = {
                "api": "localhost",
                "api_url": f"http://localhost:{node.app.doors['http'][1]}",
                "chat": "localhost",
                "chat_url": f"ws://localhost:{node.app.doors['ws'][1]}",
            }
            sdk = sdks[name] = await stack.enter_async_context(
                JsUser(person.app_id, node.auth_key, {"endpoints": endpoints})
            )
            await sdk.call("createSession", {"login": person.login, "password": PASSWORD})
            await sdk.call("chat.connect", {"userId": person.id, "password": PASSWORD})
            await sdk.settle()
        yield Meeting(node, node.people, sdks)


async def test_groups(meeting: Meeting) -> None:
    ann, bob, cyd = (meeting.id(name) for name in ("ann", "bob", "cyd"))
    async with Accounts.open(meeting.node.config) as accounts:
        await accounts.apps.change(meeting.people["ann"].app_id, {"dialog_custom_fields": "city"})
    await meeting.node.app.writer.idle()
    group = await meeting.call(
        *("ann", "chat.dialog.create"),
        {"type": 2, "name": "Trip", "occupants_ids": [bob], "data": {"class_name": "Trip"}},
    )
    dialog_id = group["_id"]
    assert group["occupants_ids"] == [ann, bob]
    first = await meeting.say("ann", group, "first")
    await meeting.hears("bob", first)
    assert not meeting.heard("cyd", first)

    # Everything in one request; Cyd becomes an occupant and an admin at once, and has the next message.
    changed = await meeting.call(
        *("ann", "chat.dialog.update", dialog_id),
        {
            "name": "Journey",
            "description": "by train",
            "photo": "uid",
            "data": {"days": 3},
            "push_all": {"occupants_ids": [cyd], "admins_ids": [cyd], "pinned_messages_ids": [first]},
        },
    )
    assert (changed["name"], changed["description"], changed["photo"]) == ("Journey", "by train", "uid")
    assert changed["data"] == {"class_name": "Trip", "days": 3}
    assert (changed["occupants_ids"], changed["admins_ids"]) == ([ann, bob, cyd], [cyd])
    assert changed["pinned_messages_ids"] == [first]
    second = await meeting.say("ann", group, "second")
    for name in ("bob", "cyd"):
        await meeting.hears(name, second)

    # Lists and filters.
    for query in (
        {"type": 2},
        {"_id": {"in": [dialog_id]}},
        {"name": {"ctn": "ourn"}},
        {"updated_at": {"gt": 1}},
        {"occupants_ids": {"all": [cyd]}},
        {"sort_desc": "date_sent", "limit": 1},
    ):
        assert await meeting.listed("bob", **query) == [dialog_id], query
    assert await meeting.listed("bob", type=3) == []

    # Admins.
    assert await meeting.refused("cyd", "chat.dialog.addAdmins", dialog_id, [bob]) == 403
    assert (await meeting.call("ann", "chat.dialog.addAdmins", dialog_id, [bob]))["admins_ids"] == [bob, cyd]
    assert (await meeting.call("ann", "chat.dialog.removeAdmins", dialog_id, [cyd]))["admins_ids"] == [bob]

    # Notifications, occupants.
    path = "chat.dialog.updateNotificationsSettings"
    assert await meeting.call("cyd", path, dialog_id, False) == {"notifications": {"enabled": 0}}
    found = await meeting.call("cyd", "chat.dialog.getNotificationsSettings", dialog_id)
    assert found == {"notifications": {"enabled": 0}}
    occupants = await meeting.call("cyd", "chat.dialog.getPublicOccupants", dialog_id, {"limit": 2})
    assert (occupants["total_entries"], [item["id"] for item in occupants["items"]]) == (3, [ann, bob])

    # Whoever is removed has nothing more of it, at once.
    await meeting.call("bob", "chat.dialog.update", dialog_id, {"pull_all": {"occupants_ids": [cyd]}})
    third = await meeting.say("ann", group, "third")
    await meeting.hears("bob", third)
    await meeting.settle("cyd")
    assert not meeting.heard("cyd", third)
    assert await meeting.refused("cyd", "chat.message.list", {"chat_dialog_id": dialog_id}) == 403
    assert await meeting.refused("cyd", "chat.dialog.update", dialog_id, {"name": "Mine"}) == 403
    assert await meeting.listed("cyd") == []

    # The owner leaves: the admin inherits.
    assert json.loads(await meeting.call("ann", "chat.dialog.delete", dialog_id))["SuccessfullyDeleted"]["ids"]
    assert (await meeting.call("bob", "chat.dialog.list", {}))["items"][0]["user_id"] == bob
    await meeting.call("bob", "chat.dialog.clearHistory", dialog_id)
    assert (await meeting.call("bob", "chat.message.list", {"chat_dialog_id": dialog_id}))["items"] == []


async def test_private_dialogs(meeting: Meeting) -> None:
    bob = meeting.id("bob")
    dialog = await meeting.call("ann", "chat.dialog.create", {"type": 3, "occupants_ids": [bob]})
    await meeting.hears("bob", await meeting.say("ann", dialog, "before"))
    assert await meeting.listed("bob") == [dialog["_id"]]
    assert await meeting.refused("bob", "chat.dialog.delete", dialog["_id"], {"force": 1}) == 403
    await meeting.call("bob", "chat.dialog.delete", dialog["_id"])
    assert (await meeting.listed("bob"), await meeting.listed("ann")) == ([], [dialog["_id"]])
    after = await meeting.say("ann", dialog, "after")
    await meeting.hears("bob", after)
    assert await meeting.listed("bob") == [dialog["_id"]]
    found = await meeting.call("bob", "chat.message.list", {"chat_dialog_id": dialog["_id"]})
    assert [item["message"] for item in found["items"]] == ["after"]
    await meeting.call("ann", "chat.dialog.delete", dialog["_id"], {"force": 1})
    assert (await meeting.listed("bob"), await meeting.listed("ann")) == ([], [])


async def test_public_dialogs_and_broadcasts(meeting: Meeting) -> None:
    ann, bob = meeting.id("ann"), meeting.id("bob")
    body = {"type": 4, "name": "News", "permissions": {"allow_preview": 1}}
    public = await meeting.call("ann", "chat.dialog.create", body)
    dialog_id = public["_id"]
    first = await meeting.say("ann", public, "first")
    preview = await meeting.call("bob", "chat.message.list", {"chat_dialog_id": dialog_id, "preview": 1})
    assert [item["message"] for item in preview["items"]] == ["first"]
    assert await meeting.refused("bob", "chat.message.list", {"chat_dialog_id": dialog_id}) == 403
    assert (await meeting.call("bob", "chat.dialog.subscribe", dialog_id))["occupants_count"] == 2
    second = await meeting.say("ann", public, "second")
    await meeting.hears("bob", second)
    assert not meeting.heard("bob", first)
    occupants = await meeting.call("bob", "chat.dialog.getPublicOccupants", dialog_id)
    assert [item["id"] for item in occupants["items"]] == [ann, bob]
    assert await meeting.refused("bob", "chat.dialog.update", dialog_id, {"name": "Mine"}) == 403
    await meeting.call("bob", "chat.dialog.unsubscribe", dialog_id)
    assert await meeting.listed("bob") == []

    async with Accounts.open(meeting.node.config) as accounts:
        new = NewDialog(type=1, name="Broadcast")
        made = await accounts.create_broadcast(meeting.people["ann"].app_id, ann, new)
    broadcast = {"_id": made.id, "type": 1}
    third = await meeting.say("ann", broadcast, "third")
    for name in ("bob", "cyd"):
        await meeting.hears(name, third)
    assert await meeting.listed("cyd", type=1) == [made.id]
    await meeting.call("bob", "chat.dialog.delete", made.id)  # hides it
    fourth = await meeting.say("ann", broadcast, "fourth")
    await meeting.hears("cyd", fourth)
    await meeting.settle("bob")
    assert not meeting.heard("bob", fourth)
    assert (await meeting.call("bob", "chat.dialog.subscribe", made.id))["_id"] == made.id
    await meeting.hears("bob", await meeting.say("ann", broadcast, "fifth"))


async def test_deleting_many(meeting: Meeting) -> None:
    bob = meeting.id("bob")
    ids = [
        (await meeting.call(name, "chat.dialog.create", {"type": 2, "name": name, "occupants_ids": others}))["_id"]
        for name, others in (("ann", [bob]), ("bob", [meeting.id("ann")]), ("cyd", [bob]))
    ]
    missing = "64c0ffee64c0ffee64c0ffee"
    assert await meeting.call("ann", "chat.dialog.delete", [*ids, missing], {"force": 1}) == {
        "SuccessfullyDeleted": {"ids": [ids[0]]},
        "NotFound": {"ids": [missing]},
        "WrongPermissions": {"ids": ids[1:]},
    }
    assert await meeting.call("ann", "chat.dialog.delete", [ids[1], ids[0]]) == {
        "SuccessfullyDeleted": {"ids": [ids[1]]},
        "NotFound": {"ids": [ids[0]]},
        "WrongPermissions": {"ids": []},
    }
    assert await meeting.refused("ann", "chat.dialog.delete", missing) == 404
    assert sorted(await meeting.listed("bob")) == sorted(ids[1:])
