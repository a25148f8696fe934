"""The official JavaScript SDK, unmodified: guests, every users method it has, sessions and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.test_js_sdk import PASSWORD, World
from tests.support.js_user import JsError
from tests.support.server_process import ServerProcess


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ServerProcess(tmp_path_factory.mktemp("js-accounts")) as server:
        yield World(server)
        assert server.stop() == 0


async def test_users(world: World) -> None:
    ann, bob = world["ann"], world["bob"]
    async with world.user() as js, world.user() as other:
        new = {"login": "dora", "password": PASSWORD, "full_name": "Dora Lee", "email": "d@x.org"}
        dora = (await js.call("users.signup", new))["user"]["id"]
        await js.call("createSession", {"login": "dora", "password": PASSWORD})
        more = {"external_user_id": 7, "phone": "4915123456789"}
        changed = await js.call("users.update", {"full_name": "Dora L", "tag_list": "vip,new", **more})
        assert (changed["user"]["full_name"], changed["user"]["user_tags"]) == ("Dora L", "vip,new")
        for wrong, field in (({"password": "new password"}, "old_password"), ({"login": "ann"}, "login")):
            with pytest.raises(JsError) as refused:
                await js.call("users.update", wrong)
            assert refused.value.reason["code"] == 422
            assert field in refused.value.reason["info"]["errors"]
        await js.call("users.update", {"password": "new password", "old_password": PASSWORD})

        one: Any
        for one in (
            *({"login": "dora"}, {"email": "d@x.org"}, {"phone": "4915123456789"}, {"external": 7}),
            dora,
        ):
            assert (await js.call("users.get", one))["user"]["id"] == dora, one

        async def listed(**params: Any) -> list[int]:
            return [item["user"]["id"] for item in (await js.call("users.get", params))["items"]]

        assert await listed(full_name="dora") == [dora]
        assert await listed(tags="vip") == [dora]
        assert await listed(filter={"field": "id", "param": "in", "value": [ann.id, bob.id]}) == [ann.id, bob.id]
        order = {"sort": "desc", "field": "created_at"}
        several = [
            {"field": "login", "param": "in", "value": ["ann", "bob", "dora"]},
            {"field": "id", "param": "gt", "value": ann.id},
        ]
        assert set(await listed(filter=several, order=order, per_page=5, page=1)) == {bob.id, dora}

        async def found(**params: Any) -> list[int]:
            return [user["id"] for user in (await js.call("users.getV2", params))["items"]]

        assert await found(id={"in": [ann.id, dora]}) == [ann.id, dora]
        assert await found(user_tags={"in": ["vip", "none"]}, sort_desc="id") == [dora]
        assert await found(full_name={"start_with": "dora"}) == [dora]
        with pytest.raises(JsError):
            await js.call("users.getV2", {"created_at": {"gt": 1}})

        await other.call("createSession", {"login": "ann", "password": PASSWORD})
        await other.call("chat.connect", {"userId": ann.id, "password": PASSWORD})
        await other.settle()
        async with asyncio.timeout(30):
            while not (await js.call("users.getOnlineCount"))["count"]:
                await asyncio.sleep(0.1)  # the table of who is online follows within a second
        assert [user["id"] for user in (await js.call("users.listOnline"))["users"]] == [ann.id]

        assert await js.call("users.delete") is not None
        with pytest.raises(JsError) as ended:
            await js.call("users.listOnline")
        assert ended.value.reason["code"] == 401


async def test_a_guest_chats_and_is_disconnected_with_the_session(world: World) -> None:
    async with world.user() as js, world.user() as other:
        session = await js.call("createSession", {"guest": "1", "full_name": "Passer-by"})
        assert session["user"]["is_guest"] is True
        who = {"userId": session["user_id"], "password": session["token"]}
        assert await js.call("chat.connect", who) is True
        await js.settle()
        cyd = world["cyd"]
        await other.call("createSession", {"login": "cyd", "password": PASSWORD})
        await other.call("chat.connect", {"userId": cyd.id, "password": PASSWORD})
        await other.settle()
        await js.call("chat.send", cyd.id, {"type": "chat", "body": "hello", "extension": {"save_to_history": 1}})
        sender, message = await other.event("message", lambda _, found: found["body"] == "hello")
        assert sender == session["user_id"]
        assert message["body"] == "hello"
        await js.call("destroySession")
        await js.event("disconnected")
