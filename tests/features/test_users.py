"""Accounts: sign-up by key or session, what their fields must be, and finding them."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.features.world import PASSWORD, World
from voxcube.server.core.errors import Conflict, NotFound


def errors(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["errors"]


async def sign_up(world: World, **user: Any) -> httpx.Response:
    headers = {"CB-AuthKey": world.app.auth_key}
    return await world.client().post("/users", json={"user": {"password": PASSWORD, **user}}, headers=headers)


async def test_sign_up_by_key(world: World) -> None:
    answer = await sign_up(world, login="ann", full_name="Ann", custom_data='{"a":1}', tag_list=["vip", "new"], id=99)
    assert answer.status_code == 201
    assert "CB-Token-ExpirationDate" not in answer.headers
    user = answer.json()["user"]
    assert (user["login"], user["full_name"], user["custom_data"], user["user_tags"]) == (
        "ann",
        "Ann",
        '{"a":1}',
        "vip,new",
    )
    assert (user["id"], user["last_request_at"], user["is_guest"]) != (99, None, True)
    assert "password" not in answer.text
    client = await world.login(await world.users.get(world.app.id, user["id"]))
    assert (await client.get(f"/users/{user['id']}.json")).json()["user"]["user_tags"] == "vip,new"


async def test_sign_up_by_session_of_the_application_or_a_user(world: World) -> None:
    for number, client in enumerate([await world.app_client(), await world.login(await world.user("ann"))]):
        answer = await client.post("/users", data={"user[login]": f"user{number}", "user[password]": PASSWORD})
        assert answer.status_code == 201
        assert "CB-Token-ExpirationDate" in answer.headers


async def test_sign_up_needs_a_key_or_a_session(world: World) -> None:
    body = {"user": {"login": "ann", "password": PASSWORD}}
    required = (401, {"base": ["Required session does not exist"]})
    assert errors(await world.client().post("/users", json=body)) == required
    key = {"CB-AuthKey": world.app.auth_key}
    assert errors(await world.client("expired").post("/users", json=body, headers=key)) == required
    wrong = {"CB-AuthKey": "wrong"}
    assert errors(await world.client().post("/users", json=body, headers=wrong)) == (401, {"base": ["Unauthorized"]})


MISTAKES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"login": "ab"}, {"login": ["is too short (minimum is 3 characters)"]}),
    ({"login": "a" * 71}, {"login": ["is too long (maximum is 70 characters)"]}),
    ({"login": None}, {"base": ["Login or email is required"]}),
    ({"login": "", "email": ""}, {"base": ["Login or email is required"]}),
    ({"email": "ann at home"}, {"email": ["should look like an email address"]}),
    ({"password": "1234567"}, {"password": ["is too short (minimum is 8 characters)"]}),
    ({"password": "x" * 41}, {"password": ["is too long (maximum is 40 characters)"]}),
    ({"password": None}, {"password": ["can't be blank"]}),
    ({"phone": "12345"}, {"phone": ["should contain 10 to 15 digits"]}),
    ({"full_name": "x" * 256}, {"full_name": ["is too long (maximum is 255 characters)"]}),
    ({"tag_list": "a,b,c,d,e,f"}, {"user_tags": ["are too many (maximum is 5)"]}),
    ({"timezone": "late"}, {"timezone": ["must be an integer"]}),
    ({"blob_id": 10**30}, {"blob_id": ["is too large"]}),
    ({"full_name": {"first": "Ann"}}, {"full_name": ["must be a string"]}),
    (
        {"login": "ab", "phone": "1"},
        {"login": ["is too short (minimum is 3 characters)"], "phone": ["should contain 10 to 15 digits"]},
    ),
]


async def test_mistakes_are_told_by_field(world: World) -> None:
    for change, expected in MISTAKES:
        status, found = errors(await sign_up(world, **{"login": "ann", **change}))
        assert status == 422
        assert found == expected


async def test_numbers_are_texts_where_texts_belong(world: World) -> None:
    answer = await sign_up(world, login=12345, phone=4915123456789, external_id=7, timezone="60")
    user = answer.json()["user"]
    assert (user["login"], user["phone"], user["external_id"], user["timezone"]) == ("12345", "4915123456789", "7", 60)


async def test_the_shortest_password_is_a_setting(world: World) -> None:
    await world.setting(password_min_length=6)
    assert (await sign_up(world, login="ann", password="123456")).status_code == 201


async def test_unique_fields_are_taken_without_case_and_by_application(world: World) -> None:
    await world.user("Ann", email="ann@example.org", external_id="x1")
    answer = await sign_up(world, login="aNN", email="ANN@example.org", external_id="x1")
    taken = ["has already been taken"]
    assert errors(answer) == (422, {"login": taken, "email": taken, "external_id": taken})
    assert (await world.user("ann", world.other)).app_id == world.other.id
    assert (await sign_up(world, login="anna", external_id="X1")).status_code == 201


async def test_two_sign_ups_at_once_make_one_user(world: World) -> None:
    answers = await asyncio.gather(*(sign_up(world, login="twin") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 5


async def test_a_new_user_is_known_although_it_was_looked_for_before(world: World) -> None:
    first = await world.user("ann")
    assert not await world.cache.user(world.app.id, first.id + 1)
    second = await world.user("bob")
    assert second.id == first.id + 1
    assert await world.cache.user(world.app.id, second.id)


async def test_get_shows_users_of_the_own_application_only(world: World) -> None:
    ann, stranger = await world.user("ann"), await world.user("eve", world.other)
    client = await world.login(ann)
    assert (await client.get(f"/users/{ann.id}")).json()["user"]["id"] == ann.id
    for user_id in (stranger.id, 4711, 0, 10**30):
        assert errors(await client.get(f"/users/{user_id}"))[0] == 404
    assert (await (await world.app_client()).get(f"/users/{ann.id}")).status_code == 403
    with pytest.raises(NotFound):
        await world.users.get(world.app.id, stranger.id)


async def test_list_by_ids_in_every_spelling(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    stranger = await world.user("eve", world.other)
    client = await world.login(ann)
    for query in (
        f"id[in][]={ann.id}&id[in][]={bob.id}&id[in][]={stranger.id}",
        f"id%5Bin%5D={ann.id}%2C%20{bob.id}",
        f"id[]={ann.id}&id[]={bob.id}",
        f"id[in][0]={ann.id}&id[in][1]={bob.id}",
    ):
        answer = await client.get(f"/users/v2?{query}")
        assert answer.status_code == 200, query
        page = answer.json()
        assert set(page) == {"limit", "skip", "total_entries", "items"}
        assert (page["limit"], page["skip"], page["total_entries"]) == (100, 0, 2)
        assert [user["id"] for user in page["items"]] == [ann.id, bob.id]
    answer = await client.get(f"/users/v2?id={bob.id}")
    assert [user["login"] for user in answer.json()["items"]] == ["bob"]


async def test_list_by_other_fields(world: World) -> None:
    ann = await world.user("Annabel", email="ann@example.org", full_name="Ann B", phone="+4915123456789")
    await world.user("annalena")
    await world.user("bob", full_name="Ann B")
    client = await world.login(ann)

    async def logins(query: str) -> list[str]:
        answer = await client.get(f"/users/v2?{query}")
        assert answer.status_code == 200, answer.text
        return [user["login"] for user in answer.json()["items"]]

    assert await logins("login=ANNABEL") == ["Annabel"]
    assert await logins("login[start_with]=anna") == ["Annabel", "annalena"]
    assert await logins("full_name=Ann B&sort_desc=login") == ["bob", "Annabel"]
    assert await logins("full_name=Ann B&email[in]=ANN@example.org,x@y.z") == ["Annabel"]
    assert await logins("full_name=Ann B&limit=1&offset=1") == ["bob"]
    assert await logins("phone=%2B4915123456789&created_at[lte]=2026-01-01T00:00:00Z") == ["Annabel"]
    assert await logins("full_name=Ann B&created_at[gt]=1767225600000") == []
    answer = await client.get("/users/v2?login[start_with]=anna&limit=50")
    assert answer.json()["limit"] == 5


REFUSED_LISTS = [
    "",
    "created_at[gt]=5",
    "login[start_with]=ann",
    "login[foo]=ann",
    "id=abc",
    "id[gt]=5",
    "id=1&limit=-1",
    "id=1&offset=100001",
    "id=1&created_at[gt]=yesterday",
    "login[start_with][]=anna",
]


async def test_lists_that_are_refused(world: World) -> None:
    client = await world.login(await world.user("ann"))
    for query in REFUSED_LISTS:
        assert (await client.get(f"/users/v2?{query}")).status_code == 422, query


async def test_service_raises_conflict(world: World) -> None:
    await world.user("ann")
    with pytest.raises(Conflict):
        await world.user("ann")
