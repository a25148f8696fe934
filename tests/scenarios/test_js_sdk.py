"""Stories of two people with the official JavaScript SDK, unmodified, under Node against a server process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.js_user import JsError, JsUser
from tests.support.postgres import PostgresServer
from tests.support.server_process import ServerProcess

PASSWORD = "correct horse"
HELLO = "Lunch? 🍕 <b>&amp;</b> ünïcode"


@dataclass
class Account:
    """A user of the server under test."""

    id: int
    login: str


class World:
    """A server with an application and the users ann, bob and cyd, and a maker of SDK instances for them."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.app = server.create_app()
        self.accounts = {
            login: Account(server.create_user(self.app["app_id"], login, PASSWORD), login)
            for login in ("ann", "bob", "cyd")
        }

    def config(self, *, tls: bool = False) -> dict[str, Any]:
        """The SDK's options, as the README shows them."""
        rest, door = ("https", "wss") if tls else ("http", "ws")
        return {
            "endpoints": {
                "api": "localhost",
                "api_url": f"{rest}://localhost:{self.server.addresses[rest][1]}",
                "chat": "localhost",
                "chat_url": f"{door}://localhost:{self.server.addresses[door][1]}",
            },
            "chat": {"streamManagement": {"enable": True}},
        }

    def user(self, *, tls: bool = False) -> JsUser:
        """An SDK instance that is not logged in."""
        trust = self.server.certificate if tls else None
        return JsUser(self.app["app_id"], self.app["auth_key"], self.config(tls=tls), trust=trust)

    def __getitem__(self, login: str) -> Account:
        return self.accounts[login]


class Person:
    """Somebody who is logged in and connected."""

    def __init__(self, account: Account, sdk: JsUser, session: dict[str, Any]) -> None:
        self.id = account.id
        self.sdk = sdk
        self.session = session

    async def call(self, path: str, *args: Any) -> Any:
        """A method of the SDK."""
        return await self.sdk.call(path, *args)

    async def send(self, to: int | str, body: str, **extension: Any) -> str:
        """Sends a stored message to a user id or a group dialog's id; returns its id."""
        kind = "chat" if isinstance(to, int) else "groupchat"
        message = {"type": kind, "body": body, "extension": {"save_to_history": 1, **extension}}
        message_id: str = await self.call("chat.send", to, message)
        return message_id

    async def message(self, message_id: str) -> tuple[int, dict[str, Any]]:
        """Waits for a message: (sender's id, message)."""
        sender, message = await self.sdk.event("message", lambda _, found: found["id"] == message_id)
        return sender, message

    async def sent(self, message_id: str) -> None:
        """Waits until the SDK says that the message is sent (stream management)."""
        lost, message = await self.sdk.event(
            "sent", lambda lost, sent: message_id in ((lost or {}).get("id"), (sent or {}).get("id"))
        )
        assert lost is None
        assert message["id"] == message_id


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server per kind of database for the stories of this module."""
    url = None
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        url = postgres.create_database()
    data: Path = tmp_path_factory.mktemp(f"js-{request.param}")
    with ServerProcess(data, database=url) as server:
        yield World(server)
        assert server.stop() == 0


class Meeting:
    """Brings people online for one test."""

    def __init__(self, world: World, stack: AsyncExitStack) -> None:
        self.world = world
        self._stack = stack

    async def come(self, login: str, *, with_token: bool = False, tls: bool = False) -> Person:
        """Logs in and connects the chat, by password or by session token."""
        account = self.world[login]
        sdk = await self._stack.enter_async_context(self.world.user(tls=tls))
        session = await sdk.call("createSession", {"login": login, "password": PASSWORD})
        secret = session["token"] if with_token else PASSWORD
        assert await sdk.call("chat.connect", {"userId": account.id, "password": secret}) is True
        person = Person(account, sdk, session)
        await sdk.settle()  # presence and stream management are in place
        return person


@pytest.fixture
async def meeting(world: World) -> AsyncIterator[Meeting]:
    async with AsyncExitStack() as stack:
        yield Meeting(world, stack)


async def test_session_holds_the_user_and_integers(world: World) -> None:
    async with world.user() as sdk:
        assert sdk.version == "6.1.2"
        session = await sdk.call("createSession", {"login": "ann", "password": PASSWORD})
        assert session["user_id"] == world["ann"].id == session["user"]["id"]
        assert session["application_id"] == world.app["app_id"]
        assert len(session["token"]) >= 32
        assert isinstance(session["ts"], int)
        again = await sdk.call("getSession")
        assert again["id"] == session["id"]
        assert again["user_id"] == session["user_id"]


async def test_users_sign_up_and_are_found(world: World) -> None:
    async with world.user() as sdk:
        new = {"login": "dora the explorer", "password": PASSWORD, "full_name": "Dora"}
        dora = (await sdk.call("users.signup", new))["user"]
        await sdk.call("createSession", {"login": new["login"], "password": PASSWORD})
        found = await sdk.call("users.getV2", {"id": {"in": [dora["id"], world["bob"].id]}})
        assert sorted(item["id"] for item in found["items"]) == sorted([dora["id"], world["bob"].id])
        with pytest.raises(JsError) as taken:
            await sdk.call("users.signup", new)
        assert taken.value.reason["code"] == 422
        assert "login" in taken.value.reason["info"]["errors"]


async def test_wrong_password_is_refused_at_both_doors(world: World) -> None:
    async with world.user() as sdk:
        with pytest.raises(JsError) as rest:
            await sdk.call("createSession", {"login": "ann", "password": "wrong password"})
        assert rest.value.reason["code"] == 401
        assert rest.value.reason["info"] == {"errors": {"base": ["Unauthorized"]}}
        with pytest.raises(JsError) as chat:
            await sdk.call("chat.connect", {"userId": world["ann"].id, "password": "wrong password"})
        assert chat.value.reason == "not-authorized"


async def test_expired_session_calls_the_hook_and_can_be_renewed(world: World) -> None:
    async with world.user() as sdk:
        await sdk.call("setSession", {"token": "0" * 43})
        with pytest.raises(JsError) as expired:
            await sdk.call("chat.dialog.list", {})
        assert expired.value.reason["code"] == 401
        assert expired.value.reason["info"]["errors"]["base"] == ["Required session does not exist"]
        await sdk.event("sessionExpired")

        await sdk.call("renewWith", {"login": "ann", "password": PASSWORD})
        assert "items" in await sdk.call("chat.dialog.list", {})
        await sdk.event("sessionExpired")


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
async def test_connect_by_password_and_by_token(meeting: Meeting, tls: bool) -> None:
    ann = await meeting.come("ann", tls=tls)
    bob = await meeting.come("bob", with_token=True, tls=tls)
    state = await bob.call("chatState")
    assert state["connected"] is True
    assert state["jid"].startswith(f"{bob.id}-{meeting.world.app['app_id']}@localhost/")
    message_id = await ann.send(bob.id, HELLO)
    sender, message = await bob.message(message_id)
    assert (sender, message["body"]) == (ann.id, HELLO)


async def test_private_chat_both_ways_with_history_and_unread(meeting: Meeting) -> None:
    ann, bob = await meeting.come("ann"), await meeting.come("bob")
    dialog = await ann.call("chat.dialog.create", {"type": 3, "occupants_ids": [bob.id]})
    assert sorted(dialog["occupants_ids"]) == sorted([ann.id, bob.id])
    unread_before = (await bob.call("chat.message.unreadCount", {"chat_dialog_ids": [dialog["_id"]]}))[dialog["_id"]]

    sent = await ann.send(
        bob.id, HELLO, dialog_id=dialog["_id"], city="Oslo 🌧", meta={"a": "1", "b": {"c": "x 👍"}}, markable=1
    )
    sender, message = await bob.message(sent)
    assert sender == ann.id
    assert message["type"] == "chat"
    assert message["body"] == HELLO
    assert message["dialog_id"] == dialog["_id"]
    assert message["extension"]["city"] == "Oslo 🌧"
    assert message["extension"]["meta"] == {"a": "1", "b": {"c": "x 👍"}}
    assert int(message["extension"]["date_sent"]) > 1_700_000_000
    await ann.sent(sent)
    delivered = await ann.sdk.event("delivered", lambda found, *_: found == sent)
    assert delivered == [sent, dialog["_id"], bob.id]

    counts = await bob.call("chat.message.unreadCount", {"chat_dialog_ids": [dialog["_id"]]})
    assert counts == {"total": unread_before + 1, dialog["_id"]: unread_before + 1}
    await bob.call("chat.sendReadStatus", {"messageId": sent, "userId": ann.id, "dialogId": dialog["_id"]})
    assert await ann.sdk.event("read", lambda found, *_: found == sent) == [sent, dialog["_id"], bob.id]
    counts = await bob.call("chat.message.unreadCount", {"chat_dialog_ids": [dialog["_id"]]})
    assert counts == {"total": unread_before, dialog["_id"]: unread_before}

    answer = await bob.send(ann.id, "Yes! 🎉", dialog_id=dialog["_id"])
    sender, message = await ann.message(answer)
    assert (sender, message["body"], message["recipient_id"]) == (bob.id, "Yes! 🎉", ann.id)

    history = await ann.call("chat.message.list", {"chat_dialog_id": dialog["_id"], "sort_desc": "date_sent"})
    stored = {item["_id"]: item for item in history["items"]}
    assert stored[sent]["message"] == HELLO
    assert stored[sent]["meta"] == {"a": "1", "b": {"c": "x 👍"}}
    assert stored[sent]["sender_id"] == ann.id
    assert stored[sent]["recipient_id"] == bob.id
    assert sorted(stored[sent]["read_ids"]) == sorted([ann.id, bob.id])
    assert stored[sent]["read"] == 1
    assert stored[answer]["message"] == "Yes! 🎉"

    listed = await ann.call("chat.dialog.list", {"_id": dialog["_id"]})
    (shown,) = listed["items"]
    assert shown["last_message"] == "Yes! 🎉"
    assert shown["last_message_id"] == answer
    assert shown["last_message_user_id"] == bob.id


async def test_group_chat_reaches_everybody_and_echoes(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come(login) for login in ("ann", "bob", "cyd")]
    group = await ann.call("chat.dialog.create", {"type": 2, "name": "Lunch 🍕", "occupants_ids": [bob.id, cyd.id]})
    room = group["_id"]
    assert group["xmpp_room_jid"] == f"{meeting.world.app['app_id']}_{room}@muc.localhost"

    first = await ann.send(room, HELLO, meta={"a": "1", "b": {"c": "x 👍"}})
    for person in (ann, bob, cyd):  # the sender too: the echo says that it is stored
        sender, message = await person.message(first)
        assert sender == ann.id
        assert message["type"] == "groupchat"
        assert message["body"] == HELLO
        assert message["dialog_id"] == room
        assert message["extension"]["meta"] == {"a": "1", "b": {"c": "x 👍"}}
    await ann.sent(first)

    second = await cyd.send(room, "On my way")
    for person in (ann, bob, cyd):
        sender, message = await person.message(second)
        assert (sender, message["body"]) == (cyd.id, "On my way")

    await bob.call("chat.sendReadStatus", {"messageId": first, "userId": ann.id, "dialogId": room})
    assert await ann.sdk.event("read", lambda found, *_: found == first) == [first, room, bob.id]
    counts = await bob.call("chat.message.unreadCount", {"chat_dialog_ids": [room]})
    assert counts == {"total": 1, room: 1}

    history = await bob.call("chat.message.list", {"chat_dialog_id": room, "sort_asc": "date_sent"})
    assert [item["_id"] for item in history["items"]] == [first, second]
    assert history["items"][0]["recipient_id"] == 0
    counts = await bob.call("chat.message.unreadCount", {"chat_dialog_ids": [room]})
    assert counts == {"total": 0, room: 0}  # listing marks as read


async def test_a_stranger_cannot_write_to_a_group(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come(login) for login in ("ann", "bob", "cyd")]
    group = await ann.call("chat.dialog.create", {"type": 2, "name": "Two of us", "occupants_ids": [bob.id]})
    message_id = await cyd.send(group["_id"], "let me in")
    found, error = await cyd.sdk.event("messageError")
    assert found == message_id
    assert error["code"] == 403
    assert error["info"]
    await bob.sdk.settle()
    assert not bob.sdk.waiting("message")


async def test_typing(meeting: Meeting) -> None:
    ann, bob = await meeting.come("ann"), await meeting.come("bob")
    await ann.call("chat.sendIsTypingStatus", bob.id)
    assert await bob.sdk.event("typing") == [True, ann.id, None]
    await ann.call("chat.sendIsStopTypingStatus", bob.id)
    assert await bob.sdk.event("typing") == [False, ann.id, None]

    group = await ann.call("chat.dialog.create", {"type": 2, "name": "Typing", "occupants_ids": [bob.id]})
    await bob.call("chat.sendIsTypingStatus", group["_id"])
    assert await ann.sdk.event("typing") == [True, bob.id, group["_id"]]
    await bob.sdk.settle()
    assert not bob.sdk.waiting("typing")


async def test_delivered_marker_reaches_the_history(meeting: Meeting) -> None:
    ann, bob = await meeting.come("ann"), await meeting.come("bob")
    dialog = await ann.call("chat.dialog.create", {"type": 3, "occupants_ids": [bob.id]})
    sent = await ann.send(bob.id, "seen?", dialog_id=dialog["_id"])
    await ann.sdk.event("delivered", lambda found, *_: found == sent)
    history = await ann.call("chat.message.list", {"chat_dialog_id": dialog["_id"], "sort_desc": "date_sent"})
    (stored,) = [item for item in history["items"] if item["_id"] == sent]
    assert sorted(stored["delivered_ids"]) == sorted([ann.id, bob.id])
    assert stored["read_ids"] == [ann.id]
    assert stored["read"] == 0


async def test_messages_wait_for_somebody_who_is_offline(meeting: Meeting) -> None:
    ann = await meeting.come("ann")
    cyd = meeting.world["cyd"]
    dialog = await ann.call("chat.dialog.create", {"type": 3, "occupants_ids": [cyd.id]})
    ids = [await ann.send(cyd.id, f"while you were away {n}", dialog_id=dialog["_id"]) for n in range(3)]
    for message_id in ids:
        await ann.sent(message_id)
    late = await meeting.come("cyd")
    given = []
    for message_id in ids:
        sender, message = await late.message(message_id)
        assert sender == ann.id
        assert "urn:xmpp:delay" in message["delay"]
        given.append(message["body"])
    assert given == [f"while you were away {n}" for n in range(3)]


async def test_sent_status_covers_a_burst_in_order(meeting: Meeting) -> None:
    ann, bob = await meeting.come("ann"), await meeting.come("bob")
    dialog = await ann.call("chat.dialog.create", {"type": 3, "occupants_ids": [bob.id]})
    ids = await asyncio.gather(*(ann.send(bob.id, f"burst {n}", dialog_id=dialog["_id"]) for n in range(50)))
    for message_id in ids:
        await ann.sent(message_id)
    received = [await bob.sdk.event("message") for _ in ids]
    assert [message["body"] for _, message in received] == [f"burst {n}" for n in range(50)]


async def test_an_array_in_the_extension_arrives_repaired(meeting: Meeting) -> None:
    ann, bob = await meeting.come("ann"), await meeting.come("bob")
    message_id = await ann.send(bob.id, "list", arr=["p", "q"])  # the SDK writes <0>p</0><1>q</1>
    _, message = await bob.message(message_id)
    assert message["extension"]["arr"] == {"_0": "p", "_1": "q"}
    follow = await ann.send(bob.id, "still connected")
    assert (await bob.message(follow))[1]["body"] == "still connected"
