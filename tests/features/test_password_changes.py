"""What ends with a changed password, and what an account change needs a password for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.features.world import PASSWORD, World
from voxcube.server.core.errors import Invalid, NotFound, Unauthorized
from voxcube.server.core.models import User
from voxcube.server.features.sessions.service import Credentials, LogIn

NEW = "another horse"


@pytest.fixture
def told(world: World) -> list[tuple[Any, ...]]:
    """What the other nodes are told."""
    found: list[tuple[Any, ...]] = []
    world.cache.on_forget = found.extend
    return found


async def test_other_tokens_end_and_the_changing_one_stays(world: World, told: list[tuple[Any, ...]]) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    clients = [await world.login(ann) for _ in range(3)]
    at_bob = await world.login(bob)
    told.clear()
    body = {"user": {"password": NEW, "old_password": PASSWORD}}
    assert (await clients[0].put(f"/users/{ann.id}", json=body)).status_code == 200
    assert [(await client.get("/session")).status_code for client in (*clients, at_bob)] == [200, 401, 401, 200]
    assert [key[:2] for key in told] == [("password", ann.id), ("token", ann.id), ("token", ann.id)]
    told.clear()
    assert (await clients[0].put(f"/users/{ann.id}", json={"user": {"full_name": "Ann"}})).status_code == 200
    assert not told


async def test_a_refused_change_ends_nothing(world: World, told: list[tuple[Any, ...]]) -> None:
    ann = await world.user("ann")
    await world.user("bob")
    first, second = await world.login(ann), await world.login(ann)
    told.clear()
    for user in (
        {"password": NEW},
        {"password": NEW, "old_password": "wrong horse"},
        {"password": "short", "old_password": PASSWORD},
        {"password": NEW, "old_password": PASSWORD, "login": "bob"},
    ):
        assert (await first.put(f"/users/{ann.id}", json={"user": user})).status_code == 422
    assert (await second.get("/session")).status_code == 200
    assert not told


async def test_chat_sessions_of_the_old_password_are_found(world: World) -> None:
    ann = await world.user("ann")
    admission = await world.sessions.check_credentials(world.app.id, ann.id, PASSWORD)
    assert admission is not None
    login = LogIn(world.app.id, ann.id, admission.token_hash, admission.password_version)
    assert await world.sessions.keep_alive([login]) == set()
    await world.users.set_password(world.app, ann.id, NEW)
    assert await world.sessions.keep_alive([login]) == {login}
    assert await world.sessions.check_credentials(world.app.id, ann.id, PASSWORD) is None
    admission = await world.sessions.check_credentials(world.app.id, ann.id, NEW)
    assert admission is not None
    assert await world.sessions.keep_alive([login._replace(password_version=admission.password_version)]) == set()


async def test_a_login_under_way_does_not_outlive_the_change(world: World) -> None:
    """The password was right when it was checked; then it was changed; then the session is to be opened."""
    ann = await world.user("ann")
    client = await world.app_client()
    token = client.headers["CB-Token"]
    identify = world.sessions._identify

    async def slow(*args: Any, **named: Any) -> User:
        user = await identify(*args, **named)
        await world.users.set_password(world.app, ann.id, named_password.pop())
        return user

    named_password = ["second horse", "third horse!"]
    world.sessions._identify = slow  # type: ignore[method-assign]
    with pytest.raises(Unauthorized):
        await world.sessions.create(
            app_id=world.app.id,
            auth_key=world.app.auth_key,
            credentials=Credentials(login="ann", password=PASSWORD),
        )
    session = await world.sessions.authenticate(token)
    assert session is not None
    with pytest.raises(Unauthorized):
        await world.sessions.login(session, token, Credentials(login="ann", password="third horse!"))


async def test_an_administrator_replaces_a_password(world: World, told: list[tuple[Any, ...]]) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    told.clear()
    await world.users.set_password(world.app, ann.id, NEW)
    assert (await client.get("/session")).status_code == 401
    assert [key[:2] for key in told] == [("password", ann.id), ("token", ann.id)]
    with pytest.raises(Invalid):
        await world.users.set_password(world.app, ann.id, "short")
    with pytest.raises(NotFound):
        await world.users.set_password(world.app, 4711, NEW)
    with pytest.raises(NotFound):
        await world.users.set_password(world.other, ann.id, NEW)


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        ({"login": "anne"}, True),
        ({"email": "anne@example.org"}, True),
        ({"phone": "4915123456789"}, True),
        ({"email": None}, True),
        ({"login": "ann", "email": "ann@example.org"}, False),  # as they are
        ({"full_name": "Anne", "custom_data": "{}"}, False),
    ],
)
async def test_login_email_and_phone(world: World, required: bool, change: dict[str, Any], concerned: bool) -> None:
    ann = await world.user("ann", email="ann@example.org")
    await world.setting(require_password_for_account_changes=required)
    client = await world.login(ann)
    if required and concerned:
        for given, text in ((None, "can't be blank"), ("wrong horse", "is incorrect")):
            answer = await client.put(f"/users/{ann.id}", json={"user": {**change, "old_password": given}})
            assert answer.status_code == 422
            assert answer.json()["errors"] == {"old_password": [text]}
        change = {**change, "old_password": PASSWORD}
    answer = await client.put(f"/users/{ann.id}", json={"user": change})
    assert answer.status_code == 200, answer.text


async def test_the_password_cannot_be_guessed_by_account_changes(world: World) -> None:
    ann = await world.user("ann")
    await world.setting(require_password_for_account_changes=True)
    client = await world.login(ann)
    statuses = [
        (await client.put(f"/users/{ann.id}", json={"user": {"login": "anne", "old_password": "wrong"}})).status_code
        for _ in range(7)
    ]
    assert statuses == [422] * 5 + [429] * 2


async def test_a_user_changes_the_password_five_times_at_once(world: World) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    passwords = [f"horse number {number}" for number in range(7)]
    statuses, current = [], PASSWORD
    for password in passwords:
        answer = await client.put(f"/users/{ann.id}", json={"user": {"password": password, "old_password": current}})
        statuses.append(answer.status_code)
        current = password if answer.status_code == 200 else current
    assert statuses == [200] * 5 + [429] * 2
    assert answer.headers["Retry-After"] == "60"
