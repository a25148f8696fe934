"""Privacy and last activity as users of both SDKs meet them, on one node and on two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.bus import Weather
from tests.support.cluster import Cluster, Seat, joined
from tests.support.js_user import JsError, JsUser
from tests.support.node import Node, running
from tests.support.postgres import PostgresServer
from tests.support.sdk_users import browser, client
from voxcube.client import DialogType, LastActivityEvent, PrivacyAction, PrivacyItem, StanzaError

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = "ConnectyCubeBlockList"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("privacy") / "node", "someone") as node:
        yield node


async def write(user: JsUser, to: int | str, body: str) -> str:
    kind = "chat" if isinstance(to, int) else "groupchat"
    message: dict[str, Any] = {"type": kind, "body": body, "extension": {"save_to_history": 1}}
    message_id: str = await user.call("chat.send", to, message)
    return message_id


async def refusal(user: JsUser, message_id: str) -> Any:
    """The error that the SDK tells of a message."""
    _, error = await user.event("messageError", lambda found, _: found == message_id)
    return error["code"]


async def arrived(user: JsUser, message_id: str) -> None:
    await user.event("message", lambda _, message: message["id"] == message_id)


async def test_lists_of_the_javascript_sdk(node: Node) -> None:
    """What the guide of the SDK does: create, read, update, choose, decline and delete lists."""
    ann, bob, cyd = [await node.person() for _ in range(3)]
    async with browser(node, ann) as mine, browser(node, bob) as theirs:
        lists = "chat.privacylist"
        items = [
            {"user_id": bob.id, "action": "deny"},
            {"user_id": cyd.id, "action": "deny", "mutualBlock": True},
        ]
        await mine.call(f"{lists}.create", {"name": LIST, "items": items})
        assert await mine.call(f"{lists}.getNames") == {"default": None, "active": None, "names": [LIST]}
        found = await mine.call(f"{lists}.getList", LIST)
        assert sorted((item["user_id"], item["action"]) for item in found["items"]) == [
            (bob.id, "deny"),
            (cyd.id, "deny"),
        ]
        await arrived(mine, await write(theirs, ann.id, "not in force yet"))
        await mine.call(f"{lists}.setAsDefault", LIST)
        assert (await mine.call(f"{lists}.getNames"))["default"] == LIST
        assert await refusal(theirs, await write(theirs, ann.id, "blocked")) == 503
        await arrived(theirs, await write(mine, bob.id, "one-way"))
        # The SDK's update takes an allowed user out.
        await mine.call(f"{lists}.update", {"name": LIST, "items": [{"user_id": bob.id, "action": "allow"}]})
        assert [item["user_id"] for item in (await mine.call(f"{lists}.getList", LIST))["items"]] == [cyd.id]
        await arrived(mine, await write(theirs, ann.id, "again"))
        await mine.call(f"{lists}.setAsDefault", None)
        assert (await mine.call(f"{lists}.getNames"))["default"] is None
        await mine.call(f"{lists}.delete", LIST)
        assert (await mine.call(f"{lists}.getNames"))["names"] == []
        for call in ("setAsDefault", "delete"):
            with pytest.raises(JsError) as error:
                await mine.call(f"{lists}.{call}", "none")
            assert error.value.reason["code"] == 404
        await mine.settle()
        assert mine.waiting("lastActivity") == []  # nothing was pushed that the SDK takes for one


async def test_a_mutual_block_of_the_javascript_sdk(node: Node) -> None:
    ann, bob, cyd = [await node.person() for _ in range(3)]
    group = await node.dialog(ann, bob, cyd)
    async with browser(node, ann) as mine, browser(node, bob) as theirs, client(node, cyd) as third:
        seen = third.chat.messages(dialog_id=group)
        items = [{"user_id": bob.id, "action": "deny", "mutualBlock": True}]
        await mine.call("chat.privacylist.create", {"name": LIST, "items": items})
        await mine.call("chat.privacylist.setAsDefault", LIST)
        assert await refusal(mine, await write(mine, bob.id, "I may not either")) == 503
        assert await refusal(theirs, await write(theirs, ann.id, "nor may he")) == 503
        with pytest.raises(JsError):
            await theirs.call("chat.getLastUserActivity", ann.id)
        for user, body in ((mine, "from ann"), (theirs, "from bob")):
            await write(user, group, body)
            assert (await asyncio.wait_for(anext(seen), 30)).body == body
        await theirs.call("chat.sendIsTypingStatus", ann.id)
        await theirs.call("chat.sendIsTypingStatus", group)
        for user in (mine, theirs):
            await user.settle()
            others = [args for args in user.waiting("message") if args[0] != {mine: ann, theirs: bob}[user].id]
            assert others == user.waiting("typing") == []
        page = await third.messages.list(group)
        assert [message.body for message in page.items] == ["from ann", "from bob"]


@pytest.mark.parametrize("mutual", [False, True])
async def test_the_blocker_is_out_of_sight_in_the_javascript_sdk(node: Node, mutual: bool) -> None:
    ann, bob, cyd = [await node.person() for _ in range(3)]
    group = await node.dialog(ann, bob, cyd)
    async with browser(node, ann) as mine, browser(node, bob) as theirs, browser(node, cyd) as third:
        for user in (theirs, third):
            await user.call("chat.muc.join", group)
            found = await user.call("users.get", {"login": ann.login})
            assert found["user"]["last_request_at"] is not None
        items = [{"user_id": bob.id, "action": "deny", "mutualBlock": mutual}]
        await mine.call("chat.privacylist.create", {"name": LIST, "items": items})
        await mine.call("chat.privacylist.setAsDefault", LIST)
        await mine.call("chat.muc.join", group)
        assert await third.event("joined", lambda _, user: user == ann.id) == [group, ann.id]
        assert sorted(await theirs.call("chat.muc.listOnlineUsers", group)) == [bob.id, cyd.id]
        assert sorted(await third.call("chat.muc.listOnlineUsers", group)) == [ann.id, bob.id, cyd.id]
        for params in ({"login": ann.login}, {"filter": {"field": "id", "param": "in", "value": [ann.id]}}):
            found = await theirs.call("users.get", params)
            (user,) = [item["user"] for item in found.get("items", [found])]
            assert (user["id"], user["last_request_at"]) == (ann.id, None)
        found = await theirs.call("users.getV2", {"id": {"in": [ann.id, cyd.id]}})
        assert {one["id"]: one["last_request_at"] is None for one in found["items"]} == {ann.id: True, cyd.id: False}
        listed = {one["id"] for one in (await theirs.call("users.listOnline"))["users"]}
        assert listed >= {bob.id, cyd.id}
        assert ann.id not in listed
        ids = [ann.id, cyd.id]
        dialog = await theirs.call("chat.dialog.create", {"type": 2, "name": "Pulled", "occupants_ids": ids})
        assert sorted(dialog["occupants_ids"]) == [bob.id, cyd.id]
        dialog = await theirs.call("chat.dialog.update", dialog["_id"], {"push_all": {"occupants_ids": [ann.id]}})
        assert sorted(dialog["occupants_ids"]) == [bob.id, cyd.id]
        await mine.call("chat.muc.leave", group)
        assert await third.event("left", lambda _, user: user == ann.id) == [group, ann.id]
        await theirs.settle()
        assert [args for kind in ("joined", "left") for args in theirs.waiting(kind) if args[1] == ann.id] == []


async def test_last_activity_of_the_javascript_sdk(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with browser(node, ann) as mine:
        with pytest.raises(JsError):
            await mine.call("chat.getLastUserActivity", bob.id)  # never here
        await mine.call("chat.subscribeToUserLastActivityStatus", bob.id)
        await mine.settle()
        async with browser(node, bob) as theirs:
            assert await mine.event("lastActivity", lambda user, seconds: user == bob.id) == [bob.id, 0]
            assert await mine.call("chat.getLastUserActivity", bob.id) == {"userId": bob.id, "seconds": 0}
            await mine.event("lastActivity")  # the SDK reports its own answers, too
            await theirs.call("chat.markInactive")
            await theirs.call("chat.markActive")
            await theirs.settle()
        _, seconds = await mine.event("lastActivity", lambda user, seconds: user == bob.id)
        assert 1 <= seconds <= 5
        answer = await mine.call("chat.getLastUserActivity", bob.id)
        assert 1 <= answer["seconds"] <= 10
        await mine.event("lastActivity")
        await mine.call("chat.unsubscribeFromUserLastActivityStatus", bob.id)
        async with client(node, bob):
            await mine.settle()
            assert mine.waiting("lastActivity") == []


async def test_our_sdk_against_the_javascript_one(node: Node) -> None:
    """Lists that one SDK has written are read by the other, and mean the same."""
    ann, bob = await node.person(), await node.person()
    async with client(node, ann) as cube, browser(node, ann) as mine, browser(node, bob) as theirs:
        lists = cube.chat.privacy
        assert await lists.blocked() == []
        await lists.block(bob.id)
        assert await mine.call("chat.privacylist.getNames") == {"default": LIST, "active": None, "names": [LIST, LIST]}
        found = await mine.call("chat.privacylist.getList", LIST)
        assert found["items"] == [{"user_id": bob.id, "action": "deny"}]
        assert await refusal(theirs, await write(theirs, ann.id, "blocked")) == 503
        with pytest.raises(StanzaError) as refused:
            await cube.chat.send(to_user=bob.id, body="mutual")
        assert refused.value.code == 503
        with pytest.raises(StanzaError) as unknown:
            await cube.chat.last_activity.get(bob.id)
        assert unknown.value.code == 503
        await lists.unblock(bob.id)
        assert await cube.chat.last_activity.get(bob.id) == 0
        await cube.chat.send(to_user=bob.id, body="hello")
        assert (await lists.names()).all == ()
        items = [{"user_id": bob.id, "action": "deny", "mutualBlock": True}]
        await mine.call("chat.privacylist.create", {"name": "theirs", "items": items})
        assert await lists.get("theirs") == [PrivacyItem(bob.id)]
        await lists.update("theirs", [PrivacyItem(bob.id, PrivacyAction.ALLOW), PrivacyItem(99, mutual=False)])
        assert await lists.get("theirs") == [
            PrivacyItem(bob.id, PrivacyAction.ALLOW),
            PrivacyItem(99, mutual=False),
        ]
        assert (await lists.names()).default == "theirs"
        await lists.set_active("theirs")
        assert (await lists.names()).active == "theirs"
        await lists.decline_active()
        await lists.decline_default()
        await lists.remove("theirs")
        with pytest.raises(StanzaError) as missing:
            await lists.get("theirs")
        assert missing.value.code == 404
        await cube.chat.set_inactive()
        await cube.chat.set_active()


# -- two nodes ---------------------------------------------------------------------------------------------------------


async def until(met: Any) -> None:
    async with asyncio.timeout(30):
        while not met():
            await asyncio.sleep(0.01)


async def in_force(cluster: Cluster, seat: Seat) -> None:
    """What one node says of facts has reached the other (the test bus is a queue)."""
    await asyncio.sleep(0.1)
    await seat.cube.chat.ping()


@pytest.mark.parametrize("weather", [Weather(), Weather(delay=0.02)], ids=["perfect", "late"])
async def test_lists_on_two_nodes(postgres_server: PostgresServer, tmp_path: Path, weather: Weather) -> None:
    url = postgres_server.create_database()
    async with joined(url, tmp_path, "alice", "bob", "carol", weather=weather) as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        carol, alice_too = await cluster.seat("carol", 1), await cluster.seat("alice", 1)
        ids = [bob.user_id, carol.user_id]
        group = (await alice.cube.dialogs.create(type=DialogType.GROUP, name="All", occupants_ids=ids)).id
        private = await cluster.private(alice, bob)
        await bob.send("before", to=alice)
        await bob.send("group before", dialog_id=group)
        await until(lambda: all(len(one.got(group)) == len(one.got(private)) == 1 for one in (alice, alice_too)))
        await alice.cube.chat.privacy.block(bob.user_id)
        await in_force(cluster, bob)
        for sender, to in ((bob, alice), (alice_too, bob)):
            with pytest.raises(StanzaError) as refused:
                await sender.send("refused", to=to)
            assert refused.value.code == 503
        await bob.send("not for alice", dialog_id=group)
        await alice_too.send("not for bob", dialog_id=group)
        await alice.send("nor this", dialog_id=group)
        await until(lambda: len(carol.got(group)) == 4)
        await until(lambda: len(alice.got(group)) == len(alice_too.got(group)) == 3)
        await asyncio.sleep(0.1)
        assert len(bob.got(group)) == 2
        assert len(await cluster.stored(group)) == 4
        await alice_too.cube.chat.privacy.unblock(bob.user_id)
        await in_force(cluster, bob)
        await bob.send("again", to=alice)
        await alice.send("again", dialog_id=group)
        await until(lambda: len(alice.got(private)) == 2 and len(bob.got(group)) == 3)


async def test_a_list_whose_word_was_lost(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """The other node learns of a new list by the interruption that the loss of its word is taken for."""
    async with joined(postgres_server.create_database(), tmp_path, "alice", "bob") as cluster:
        alice, bob = await cluster.seat("alice", 0, rest=True), await cluster.seat("bob", 1)
        alice_too = await cluster.seat("alice", 1)
        await bob.send("before", to=alice)
        cluster.bus.interrupt()
        await alice.cube.chat.privacy.block(bob.user_id)
        cluster.bus.restore()
        await in_force(cluster, bob)
        with pytest.raises(StanzaError):
            await bob.send("refused", to=alice)
        await bob.cube.chat.typing(to_user=alice.user_id)
        await in_force(cluster, bob)
        assert len(alice_too.wire) == 1


async def test_last_activity_on_two_nodes(postgres_server: PostgresServer, tmp_path: Path) -> None:
    async with joined(postgres_server.create_database(), tmp_path, "alice", "bob") as cluster:
        alice, bob = await cluster.seat("alice", 0), await cluster.seat("bob", 1)
        told: asyncio.Queue[LastActivityEvent] = asyncio.Queue()
        activity = alice.cube.chat.last_activity

        async def next_seconds() -> int:
            return (await asyncio.wait_for(told.get(), 30)).seconds

        await activity.subscribe(bob.user_id, told.put_nowait)
        assert await next_seconds() == 0
        assert await activity.get(bob.user_id) == 0
        at_home = await cluster.seat("bob", 0)
        await cluster.leave(bob)
        await asyncio.sleep(0.7)  # it is in the table that bob has left the one node
        assert told.empty()
        await cluster.leave(at_home)
        assert await next_seconds() >= 1
        assert await activity.get(bob.user_id) >= 1
        await cluster.seat("bob", 1)
        assert await next_seconds() == 0
        await cluster.stop(1)
        assert await next_seconds() >= 1
