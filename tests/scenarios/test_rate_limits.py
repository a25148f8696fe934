"""Rates at the doors of a whole server: what the offender sees, and that others are unharmed."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.node import PASSWORD, Node, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = 20  # stanzas per second


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    data = tmp_path_factory.mktemp("limited") / "node"
    limits: dict[str, Any] = {
        "stanzas_per_second": RATE,
        "wrong_passwords": 3,
        "requests_per_second": 2,
        "sign_ups_per_minute": 1,
    }
    async with running(data, "ann", "bob", "eve", "sam", unlimited=False, **limits) as node:
        yield node


def pings(count: int) -> str:
    return "".join(
        f'<iq type="get" id="p{number}" to="localhost"><ping xmlns="urn:xmpp:ping"/></iq>' for number in range(count)
    )


async def test_a_fast_sender_is_read_slowly_and_loses_nothing(node: Node) -> None:
    eve, bob = await node.login(node.people["eve"]), await node.login(node.people["bob"])
    began = time.monotonic()
    count = 11 * RATE  # a second's worth more than what may come at once
    eve.send(pings(count))
    eve.send(pings(1).replace("p0", "last"))
    await bob.ping()
    others = time.monotonic() - began
    for number in range(count):
        await eve.wait("iq", id=f"p{number}", type="result")
    await eve.wait("iq", id="last", type="result")
    assert others < 0.5 < time.monotonic() - began
    await eve.ping()


async def test_a_flood_ends_the_connection(node: Node) -> None:
    sam, bob = await node.login(node.people["sam"]), await node.login(node.people["bob"])
    sam.send(pings(500 * RATE))
    error = await sam.wait("stream:error")
    assert error.find("policy-violation") is not None
    await bob.ping()


async def test_guessing_at_the_chat_is_slowed_down(node: Node) -> None:
    ann = node.people["ann"]
    async with await node.rest_login(ann) as client:
        token = client.headers["CB-Token"]
    texts = []
    for _ in range(2):
        peer = await node.connect()
        await peer.open()
        for _ in range(2):
            peer.auth(ann.name, "a guess")
            failure = await peer.wait("failure")
            text = failure.find("text")
            assert text is not None
            texts.append((next(failure.elements()).name, text.text))
        await peer.close()
    assert texts[:3] == [("not-authorized", "Password not verified")] * 3
    assert texts[3] == ("temporary-auth-failure", "Too many wrong passwords, try again in 30 seconds")
    # At the other door it is the same account; a session token is no password.
    user = {"login": "ann", "password": PASSWORD}
    async with node.rest() as client:
        answer = await client.post(
            "/session", json={"application_id": ann.app_id, "auth_key": node.auth_key, "user": user}
        )
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    peer = await node.connect()
    await peer.open()
    peer.auth(ann.name, token)
    await peer.wait("success")
    await node.login(node.people["bob"])


async def test_requests_and_sign_ups_have_rates(node: Node) -> None:
    bob = node.people["bob"]
    async with await node.rest_login(bob) as client, await node.rest_login(node.people["sam"]) as other:
        answers = await asyncio.gather(*(client.get("/session") for _ in range(25)))
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(200) in (20, 21)
        assert statuses.count(429) == 25 - statuses.count(200)
        assert (await other.get("/session")).status_code == 200
    async with node.rest() as stranger:
        statuses = []
        for number in range(12):
            user = {"login": f"new {number}", "password": PASSWORD}
            answer = await stranger.post("/users", json={"user": user}, headers={"CB-AuthKey": node.auth_key})
            statuses.append(answer.status_code)
    assert statuses == [201] * 10 + [429] * 2
