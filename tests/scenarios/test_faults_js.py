"""The official JavaScript SDK, unmodified, on a bad network and over a restart of the server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.test_js_sdk import PASSWORD, World
from tests.support.bad_network import BadNetwork
from tests.support.js_user import JsUser
from tests.support.server_process import ServerProcess
from voxcube.client import Client

AGAIN = 12.0  # seconds: it dials again by itself, after five
SAVED = {"save_to_history": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ServerProcess(tmp_path_factory.mktemp("js-faults"), plaintext=True, ping_seconds=1) as server:
        yield World(server)


def user_behind(network: BadNetwork, world: World) -> JsUser:
    config = world.config()
    config["endpoints"]["chat_url"] = f"ws://{network.address[0]}:{network.address[1]}"
    return JsUser(world.app["app_id"], world.app["auth_key"], config)


def sdk_user(world: World) -> Client:
    host, port = world.server.addresses["xmpp"]
    return Client(
        app_id=world.app["app_id"],
        auth_key=world.app["auth_key"],
        api_url=world.server.api_url,
        chat_host="localhost",
        chat_address=host,
        chat_port=port,
        transport="tcp",
    )


async def come(js: JsUser, login: str, user_id: int) -> None:
    await js.call("createSession", {"login": login, "password": PASSWORD})
    await js.call("chat.connect", {"userId": user_id, "password": PASSWORD})
    await js.settle()


async def say(js: JsUser, to: int, body: str) -> str:
    message_id: str = await js.call("chat.send", to, {"type": "chat", "body": body, "extension": SAVED})
    return message_id


async def bodies(js: JsUser, count: int) -> list[str]:
    return [(await js.event("message", timeout=AGAIN))[1]["body"] for _ in range(count)]


def claimed(js: JsUser) -> set[str]:
    """The ids of messages that were reported as sent."""
    return {sent["id"] for _, sent in js.waiting("sent") if sent}


async def test_a_bad_network(world: World) -> None:
    ann, bob = world["ann"], world["bob"]
    network = BadNetwork(world.server.addresses["ws"], random.Random(1))
    async with network.open(), user_behind(network, world) as js, sdk_user(world) as cube:
        await come(js, "ann", ann.id)
        session = await cube.auth.create_session(login="bob", password=PASSWORD)
        await cube.chat.connect(session.user_id, PASSWORD)
        got: list[str | None] = []
        cube.chat.on_message(lambda message: got.append(message.id))
        honest: set[str] = {await say(js, bob.id, "heard")}
        await js.event("sent", lambda _, sent: bool(sent) and sent["id"] in honest)

        for fault in ("black hole", "cut"):
            (link,) = network.links
            unheard: set[str] = set()
            if fault == "black hole":
                network.black_hole(link)
                unheard = {await say(js, bob.id, f"unheard {number}") for number in range(3)}
            else:
                link.cut()
            await js.event("disconnected", timeout=AGAIN)
            assert not claimed(js) & unheard
            for number in range(5):  # while it is away
                await cube.chat.send(to_user=ann.id, body=f"{fault} {number}")
            await js.event("reconnected", timeout=AGAIN)
            assert await bodies(js, 5) == [f"{fault} {number}" for number in range(5)]
            await js.settle()
            assert js.waiting("message") == []
            assert not claimed(js) & unheard
            assert not unheard & set(got)
        # From here on its claims are wrong: it keeps what was not acknowledged, and takes the next count for that.
        last = await say(js, bob.id, "heard again")
        async with asyncio.timeout(AGAIN):
            while got != [*honest, last]:
                await asyncio.sleep(0.02)


async def test_a_server_that_starts_again(world: World) -> None:
    ann, cyd = world["ann"], world["cyd"]
    async with world.user() as first, world.user() as second:
        await come(first, "ann", ann.id)
        await come(second, "cyd", cyd.id)
        await asyncio.to_thread(world.server.kill)
        both: tuple[Any, Any] = (first, second)
        for js in both:
            await js.event("disconnected", timeout=AGAIN)
        await asyncio.to_thread(world.server.start)
        for js in both:
            await js.event("reconnected", timeout=AGAIN)
            await js.settle()
        for number in range(3):
            await say(first, cyd.id, f"back {number}")
        assert await bodies(second, 3) == [f"back {number}" for number in range(3)]
