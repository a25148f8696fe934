"""Two applications with the same people never see each other: every route of sessions and accounts."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from tests.features.world import PASSWORD, World
from voxcube.server.core.models import User
from voxcube.server.features.sessions import rest as sessions_rest
from voxcube.server.features.users import rest as users_rest
from voxcube.server.storage import presence
from voxcube.server.storage.database import Tx

SAME: dict[str, Any] = {
    "email": "ann@example.org",
    "full_name": "Ann",
    "phone": "+4915123456789",
    "external_user_id": 7,
    "external_id": "x7",
    "facebook_id": "f7",
    "twitter_id": "t7",
    "user_tags": ["vip"],
}


class Case(NamedTuple):
    """A request of the one Ann that names what is the other one's too. `{twin}` and `{session}` are the other's ids."""

    route: str
    path: str
    status: int
    body: dict[str, Any] | None = None


ANN = {"user": {"login": "ann", "password": PASSWORD}}
CASES = [
    Case("POST /session", "/session", 201, {**ANN}),
    Case("GET /session", "/session", 200),
    Case("DELETE /session", "/session", 200),
    Case("DELETE /session/list", "/session/list", 200),
    Case("DELETE /session/{id:int}", "/session/{session}", 404),
    Case("POST /login", "/login", 202, {"login": "ann", "password": PASSWORD}),
    Case("POST /login", "/login", 202, {"email": "ann@example.org", "password": PASSWORD}),
    Case("DELETE /login", "/login", 200),
    Case("POST /users", "/users", 201, {"user": {"login": "zed", "password": PASSWORD}}),
    Case("GET /users", "/users", 200),
    Case("GET /users", "/users?filter[]=number id in {twin}", 200),
    Case("GET /users/v2", "/users/v2?id={twin}", 200),
    Case("GET /users/v2", "/users/v2?login=ann", 200),
    Case("GET /users/v2", "/users/v2?user_tags[in]=vip&full_name=Ann", 200),
    Case("GET /users/v2", "/users/v2?login=ann&user_tags[nin]=none", 200),
    Case("GET /users/online", "/users/online", 200),
    Case("GET /users/online", "/users/online?count=1", 200),
    Case("GET /users/by_login", "/users/by_login?login=ann", 200),
    Case("GET /users/by_email", "/users/by_email?email=ann@example.org", 200),
    Case("GET /users/by_phone", "/users/by_phone?phone=4915123456789", 200),
    Case("GET /users/phone", "/users/phone?phone=4915123456789", 200),
    Case("GET /users/by_facebook_id", "/users/by_facebook_id?facebook_id=f7", 200),
    Case("GET /users/by_twitter_id", "/users/by_twitter_id?twitter_id=t7", 200),
    Case("GET /users/by_full_name", "/users/by_full_name?full_name=ann", 200),
    Case("GET /users/by_tags", "/users/by_tags?tags=vip", 200),
    Case("GET /users/external/{external}", "/users/external/7", 200),
    Case("GET /users/external/{external}", "/users/external/x7", 200),
    Case("GET /users/{id:int}", "/users/{twin}", 404),
    Case("PUT /users/{id:int}", "/users/{twin}", 403, {"user": {"full_name": "Mallory"}}),
    Case("PUT /users/{id:int}", "/users/{ann}", 200, {"user": {"full_name": "Ann", "tag_list": "vip", **SAME}}),
    Case("DELETE /users/{id:int}", "/users/{twin}", 403),
    Case("DELETE /users/external/{external}", "/users/external/7", 200),
    Case("DELETE /users/{id:int}", "/users/{ann}", 200),
]


def test_every_route_is_in_the_table(world: World) -> None:
    routes = [
        *sessions_rest.routes(world.sessions),
        *users_rest.routes(world.users, world.directory, world.removal, world.doorkeeper),
    ]
    assert {f"{route.method} {route.path}" for route in routes} == {case.route for case in CASES}


async def test_nobody_sees_or_changes_another_application(world: World) -> None:
    twin = await world.user("ann", world.other, **SAME)
    theirs = await world.login(twin, world.other)
    session = (await theirs.get("/session")).json()["session"]["id"]
    before = await settled(world, twin)
    for case in CASES:
        ann = await world.user_store.by_login(world.app.id, "ann") or await world.user("ann", **SAME)
        await online(world, ann, twin)
        client = await world.login(ann)
        path = case.path.format(twin=twin.id, ann=ann.id, session=session)
        body = case.body
        if case.route == "POST /session":
            body = {**(body or {}), "application_id": world.app.id, "auth_key": world.app.auth_key}
        answer = await client.request(case.route.split()[0], path, json=body)
        assert answer.status_code == case.status, (case, answer.text)
        ids = set(found_ids(answer.json()))
        assert twin.id not in ids, case
        if case.route.startswith("GET") and "{twin}" not in case.path and "count" not in case.path:
            assert ann.id in ids, case
        if "count" in case.path:
            assert answer.json() == {"count": 1}
        assert await settled(world, twin) == before, case
        assert (await theirs.get("/session")).status_code == 200, case


async def test_a_token_and_key_of_one_application_are_nothing_in_the_other(world: World) -> None:
    ann, twin = await world.user("ann"), await world.user("ann", world.other)
    token = (await world.login(ann)).headers["CB-Token"]
    assert not await world.sessions.check_credentials(world.other.id, ann.id, token)
    assert not await world.sessions.check_credentials(world.other.id, twin.id, token)
    body = {"application_id": world.other.id, "auth_key": world.app.auth_key, **ANN}
    assert (await world.client().post("/session", json=body)).status_code == 422
    user = {"user": {"login": "new", "password": PASSWORD}}
    headers = {"CB-AuthKey": world.other.auth_key}
    answer = await world.client(token).post("/users", json=user, headers=headers)
    assert await world.user_store.by_login(world.other.id, "new") is None
    assert answer.status_code == 201


async def settled(world: World, user: User) -> User:
    """The account without what its own requests change."""
    return dataclasses.replace(await world.users.get(user.app_id, user.id), last_request_at=None)


async def online(world: World, *users: User) -> None:
    async def show(tx: Tx) -> None:
        await presence.renew(tx, "node", world.clock.now() + 30)
        await presence.show(tx, "node", [(user.id, 1, 1) for user in users])

    await world.writer.run(show)


def found_ids(value: Any) -> list[int]:
    """All user ids anywhere in an answer."""
    if isinstance(value, list):
        return [found for item in value for found in found_ids(item)]
    if isinstance(value, dict):
        if "login" in value:
            return [value["id"]]
        return [found for item in value.values() for found in found_ids(item)]
    return []
