"""What users change of their own accounts, and what goes with an account that is deleted."""

from typing import Any

import httpx
import pytest

from tests.features.test_users import errors
from tests.features.world import PASSWORD, World
from voxcube.server.core.errors import NotFound
from voxcube.server.core.models import User
from voxcube.server.storage.cache import Key


async def put(client: httpx.AsyncClient, user: User, **fields: Any) -> httpx.Response:
    return await client.put(f"/users/{user.id}", json={"user": fields})


async def test_own_fields_are_changed_and_cleared(world: World) -> None:
    ann = await world.user("ann", full_name="Ann", phone="+4915123456789", website="https://ann.example")
    client = await world.login(ann)
    world.clock.advance(100)
    answer = await put(
        client, ann, full_name="Ann Lee", website=None, phone="", tag_list="vip, early", timezone=60, id=4711, guest="1"
    )
    assert answer.status_code == 200
    user = answer.json()["user"]
    assert {
        "id": ann.id,
        "full_name": "Ann Lee",
        "website": None,
        "phone": None,
        "user_tags": "vip,early",
        "timezone": 60,
        "login": "ann",
        "is_guest": False,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:01:40Z",
    }.items() <= user.items()
    assert (await client.get(f"/users/{ann.id}")).json()["user"] == user


async def test_the_whole_model_as_flutter_sends_it(world: World) -> None:
    ann = await world.user("ann", email="ann@example.org")
    client = await world.login(ann)
    model = {key: value for key, value in (await client.get("/session")).json()["session"]["user"].items() if value}
    answer = await put(client, ann, **{**model, "full_name": "Ann", "login": "Ann"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["login"] == "Ann"


async def test_form_fields_are_changed_as_well(world: World) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    answer = await client.put(f"/users/{ann.id}.json", data={"user[full_name]": "Ann", "user[timezone]": "-60"})
    assert (answer.json()["user"]["full_name"], answer.json()["user"]["timezone"]) == ("Ann", -60)


async def test_only_the_own_account(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob", external_user_id=8)
    client = await world.login(ann)
    for user_id in (bob.id, 4711):
        answer = await client.put(f"/users/{user_id}", json={"user": {"full_name": "Mallory"}})
        assert errors(answer) == (403, {"base": ["Forbidden"]})
        assert errors(await client.delete(f"/users/{user_id}")) == (403, {"base": ["Forbidden"]})
    assert (await client.delete("/users/external/8")).status_code == 403
    assert (await client.delete("/users/external/9")).status_code == 404
    app = await world.app_client()
    assert (await put(app, ann, full_name="x")).status_code == 403
    assert (await app.delete(f"/users/{ann.id}")).status_code == 403
    assert (await world.users.get(world.app.id, bob.id)).full_name is None


WRONG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"login": "ab"}, {"login": ["is too short (minimum is 3 characters)"]}),
    ({"login": None}, {"base": ["Login or email is required"]}),
    ({"login": "BOB"}, {"login": ["has already been taken"]}),
    ({"email": "ann"}, {"email": ["should look like an email address"]}),
    ({"phone": "123"}, {"phone": ["should contain 10 to 15 digits"]}),
    ({"tag_list": ["a,b,c", "d,e,f"]}, {"user_tags": ["are too many (maximum is 5)"]}),
    ({"tag_list": "x" * 256}, {"user_tags": ["are too long (maximum is 255 characters)"]}),
    ({"custom_data": "x" * 16_385}, {"custom_data": ["is too long (maximum is 16384 characters)"]}),
    ({"password": "new password"}, {"old_password": ["can't be blank"]}),
    ({"password": "new password", "old_password": "wrong"}, {"old_password": ["is incorrect"]}),
    ({"password": "short", "old_password": PASSWORD}, {"password": ["is too short (minimum is 8 characters)"]}),
]


async def test_mistakes_change_nothing(world: World) -> None:
    ann = await world.user("ann")
    await world.user("bob")
    client = await world.login(ann)
    for fields, expected in WRONG:
        assert errors(await put(client, ann, full_name="Changed", **fields)) == (422, expected)
    assert errors(await client.put(f"/users/{ann.id}", json={})) == (422, {"user": ["is required"]})
    stored = await world.users.get(world.app.id, ann.id)
    assert (stored.full_name, stored.password_hash) == (None, ann.password_hash)


@pytest.mark.parametrize("name", ["old_password", "oldPassword"])
async def test_a_new_password_needs_the_old_one(world: World, name: str) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    answer = await put(client, ann, **{"password": "another horse", name: PASSWORD})
    assert answer.status_code == 200
    assert "another" not in answer.text
    assert not await world.sessions.check_credentials(world.app.id, ann.id, PASSWORD)
    assert await world.sessions.check_credentials(world.app.id, ann.id, "another horse")
    assert (await client.get("/session")).status_code == 200


async def test_removal_takes_what_was_the_users_own(world: World) -> None:
    ann, bob = await world.user("ann", tag_list=["vip"]), await world.user("bob")
    first, second, other = await world.login(ann), await world.login(ann), await world.login(bob)
    told: list[tuple[Key, ...]] = []
    world.cache.on_forget = told.append
    assert await world.cache.user(world.app.id, ann.id)
    answer = await first.delete(f"/users/{ann.id}")
    assert (answer.status_code, answer.json()) == (200, {})
    assert told == [(("user", world.app.id, ann.id), ("gone", ann.id), ("privacy", world.app.id, ann.id))]
    for client in (first, second):
        assert (await client.get("/session")).status_code == 401
    assert not await world.cache.user(world.app.id, ann.id)
    assert (await other.get(f"/users/{ann.id}")).status_code == 404
    assert (await other.get("/users/v2?user_tags=vip")).json()["items"] == []
    assert not await world.sessions.check_credentials(world.app.id, ann.id, PASSWORD)
    again = await world.user("ann")
    assert again.id not in (ann.id, bob.id)
    with pytest.raises(NotFound):
        await world.removal.remove(world.app.id, ann.id)
    with pytest.raises(NotFound):
        await world.removal.remove(world.other.id, bob.id)


async def test_removal_by_external_id(world: World) -> None:
    ann = await world.user("ann", external_user_id=8)
    client = await world.login(ann)
    assert (await client.get("/users/external/8")).json()["user"]["id"] == ann.id
    assert (await client.delete("/users/external/8")).status_code == 200
    assert (await client.get("/session")).status_code == 401


async def group(client: httpx.AsyncClient, *occupants: User, admins: tuple[User, ...] = (), kind: int = 2) -> str:
    body = {
        "type": kind,
        "name": "Room",
        "occupants_ids": [user.id for user in occupants],
        "admins_ids": [user.id for user in admins],
    }
    answer = await client.post("/chat/Dialog", json=body)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["_id"]
    return found


async def test_removal_leaves_groups_and_passes_them_on(world: World) -> None:
    ann, bob, cid = await world.user("ann"), await world.user("bob"), await world.user("cid")
    hers, his = await world.login(ann), await world.login(bob)
    with_admin = await group(hers, bob, cid, admins=(cid,))
    without = await group(hers, cid, bob)
    alone = await group(hers)
    public = await group(hers, kind=4)
    theirs = await group(his, ann, cid)
    private = (await hers.post("/chat/Dialog", json={"type": 3, "occupants_ids": [bob.id]})).json()["_id"]
    for dialog in (with_admin, private, alone):
        await world.send(dialog, ann, "still here")
    world.clock.advance(10)
    assert (await hers.delete(f"/users/{ann.id}")).status_code == 200

    dialogs = {item["_id"]: item for item in (await his.get("/chat/Dialog")).json()["items"]}
    assert set(dialogs) == {with_admin, without, theirs, private}
    assert (dialogs[with_admin]["user_id"], dialogs[with_admin]["admins_ids"]) == (cid.id, [])
    assert dialogs[without]["user_id"] == bob.id  # of those who came at once the first account
    assert dialogs[theirs]["user_id"] == bob.id
    assert all(dialogs[dialog]["occupants_ids"] == [bob.id, cid.id] for dialog in (with_admin, without, theirs))
    assert dialogs[theirs]["updated_at"] == "2026-01-01T00:00:10Z"
    assert dialogs[private]["occupants_ids"] == [ann.id, bob.id]
    for dialog in (with_admin, private):
        page = (await his.get(f"/chat/Message?chat_dialog_id={dialog}")).json()
        assert [message["message"] for message in page["items"]] == ["still here"]
    assert await world.dialog_store.by_id(world.app.id, alone) is None
    assert await world.dialog_store.by_id(world.app.id, public) is not None
    assert await world.cache.dialog(world.app.id, with_admin) is not None
    facts = await world.cache.dialog(world.app.id, with_admin)
    assert facts is not None
    assert (facts.owner_id, facts.members, facts.admins) == (cid.id, frozenset({bob.id, cid.id}), frozenset())
