"""Login throttling and request rates at the HTTP door: what the offender sees, and that others are unharmed."""

import httpx
import pytest

from tests.features.world import PASSWORD, World
from voxcube.server.core.errors import TooManyRequests
from voxcube.server.core.rates import Rate
from voxcube.server.rest.app import create_app


async def attempt(world: World, login: str, password: str) -> httpx.Response:
    user = {"login": login, "password": password}
    return await world.client().post(
        "/session", json={"application_id": world.app.id, "auth_key": world.app.auth_key, "user": user}
    )


async def test_guessing_is_slowed_down(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    client = await world.login(ann)
    for _ in range(5):
        assert (await attempt(world, "ann", "wrong password")).status_code == 401
    refused = await attempt(world, "ann", PASSWORD)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "30"
    assert refused.json() == {"errors": {"base": ["Too many wrong passwords, try again in 30 seconds"]}}
    # The account's sessions live on, other accounts are not concerned, and the chat counts with the same keeper.
    assert (await client.get("/session")).status_code == 200
    assert (await attempt(world, "bob", PASSWORD)).status_code == 201
    with pytest.raises(TooManyRequests):
        await world.sessions.check_credentials(world.app.id, ann.id, PASSWORD, "127.0.0.1")
    token = client.headers["CB-Token"]
    assert await world.sessions.check_credentials(world.app.id, ann.id, token, "127.0.0.1") is not None
    assert await world.sessions.check_credentials(world.app.id, bob.id, PASSWORD, "127.0.0.1") is not None
    world.clock.advance(30)
    assert (await attempt(world, "ann", PASSWORD)).status_code == 201


async def test_an_ended_token_is_no_wrong_password(world: World) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    token = client.headers["CB-Token"]
    await client.delete("/session")
    for _ in range(10):  # a client that does not notice
        assert await world.sessions.check_credentials(world.app.id, ann.id, token, "127.0.0.1") is None
    assert (await attempt(world, "ann", PASSWORD)).status_code == 201


async def test_unknown_accounts_are_counted_alike(world: World) -> None:
    await world.setting(session_creates_user=False)
    statuses = [(await attempt(world, "nobody", "wrong password")).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_a_session_does_not_find_out_the_password(world: World) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    change = {"user": {"password": "another one", "old_password": "a guess"}}
    statuses = [(await client.put(f"/users/{ann.id}", json=change)).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]


async def test_requests_have_a_rate(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    tokens = [(await world.login(user)).headers["CB-Token"] for user in (ann, bob)]
    http = create_app(
        world.routes,
        sessions=world.sessions,
        user_rate=Rate(world.clock, 1, 3),
        address_rate=Rate(world.clock, 2, 10),
    )

    async def ask(token: str, path: str = "/session") -> httpx.Response:
        transport = httpx.ASGITransport(http, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            return await client.get(path, headers={"CB-Token": token})

    assert [(await ask(tokens[0])).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = await ask(tokens[0])
    assert refused.headers["Retry-After"] == "1"
    assert refused.json() == {"errors": {"base": ["Too many requests, try again in 1 seconds"]}}
    assert "CB-Token-ExpirationDate" in refused.headers  # Flutter would take the session for ended (quirks A1)
    assert (await ask(tokens[1])).status_code == 200
    # Without a session the address is counted; health checks are not.
    statuses = [(await ask("")).status_code for _ in range(10)]
    assert statuses == [401] * 6 + [429] * 4
    assert (await ask("", "/health")).status_code == 200
    world.clock.advance(1)
    assert (await ask(tokens[0])).status_code == 200
