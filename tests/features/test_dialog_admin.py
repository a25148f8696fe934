"""Dialogs as the application's administrator makes and sees them (rest §12), and how a member sees those."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.features.test_dialogs import KEYS
from tests.features.world import World


def administrator(world: World, key: str | None) -> httpx.AsyncClient:
    client = world.client()
    if key is not None:
        client.headers["CB-Administration-API-Key"] = key
    return client


async def test_a_broadcast_is_made_by_the_administrator(world: World) -> None:
    ann, bob, cyd = [await world.user(name) for name in ("ann", "bob", "cyd")]
    stranger = await world.user("eve", world.other)
    body = {
        "type": "1",
        "name": "News",
        "user_id": ann.id,
        "admins_ids": f"{bob.id}, {ann.id}, 4711, {stranger.id}",
        "description": "Daily",
        "photo": "uid",
        "permissions": {"allow_preview": 1},
        "unknown": 1,
    }
    answer = await administrator(world, world.app.admin_api_key).post("/admin/chat", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert set(made) == KEYS | {"deleted_ids", "silent_ids"}
    assert made == {
        **made,
        "type": 1,
        "name": "News",
        "user_id": ann.id,
        "admins_ids": [bob.id],
        "occupants_ids": [],
        "occupants_count": None,
        "description": "Daily",
        "photo": "uid",
        "permissions": {"allow_preview": True},
        "unread_messages_count": None,
        "is_muted": None,
        "last_message_status": None,
        "deleted_ids": [],
        "silent_ids": [],
    }
    at_cyd = await world.login(cyd)
    assert [item["_id"] for item in (await at_cyd.get("/chat/Dialog")).json()["items"]] == [made["_id"]]
    occupants = (await at_cyd.get(f"/chat/Dialog/{made['_id']}/occupants")).json()
    assert [item["id"] for item in occupants["items"]] == [ann.id, bob.id]
    await at_cyd.delete(f"/chat/Dialog/{made['_id']}")
    await at_cyd.put(f"/chat/Dialog/{made['_id']}/notifications", json={"enabled": 0})
    seen = await world.dialog_admin.get(world.app.id, made["_id"])
    assert (seen.away, seen.silent) == ([cyd.id], [cyd.id])
    for user, app in ((ann, world.app), (stranger, world.other)):
        listed = (await (await world.login(user, app)).get("/chat/Dialog")).json()["items"]
        assert [item["_id"] for item in listed] == ([made["_id"]] if user is ann else [])


@pytest.mark.parametrize("key", [None, "", "wrong", "{auth_key}"])
async def test_without_the_key_nothing(world: World, key: str | None) -> None:
    ann = await world.user("ann")
    client = administrator(world, None if key is None else key.format(auth_key=world.app.auth_key))
    session = await world.login(ann)  # which helps nobody here
    client.headers["CB-Token"] = session.headers["CB-Token"]
    answer = await client.post("/admin/chat", json={"type": 1, "name": "News", "user_id": ann.id})
    assert (answer.status_code, answer.json()) == (401, {"errors": {"base": ["Unauthorized"]}})


async def test_what_an_administrator_cannot_make(world: World) -> None:
    ann, stranger = await world.user("ann"), await world.user("eve", world.other)
    good: dict[str, Any] = {"type": 1, "name": "News", "user_id": ann.id}
    client = administrator(world, world.app.admin_api_key)
    for wrong in (
        {"type": 2},
        {"type": 5},
        {"name": ""},
        {"name": None},
        {"user_id": stranger.id},
        {"user_id": 4711},
        {"user_id": None},
        {"admins_ids": [(await world.user(f"user{number}")).id for number in range(6)]},
    ):
        answer = await client.post("/admin/chat", json={**good, **wrong})
        assert answer.status_code == 422, (wrong, answer.text)
    ours = administrator(world, world.other.admin_api_key)
    assert (await ours.post("/admin/chat", json=good)).status_code == 422  # Ann is nobody there
    # Users make none, whatever key they send.
    at_ann = await world.login(ann)
    at_ann.headers["CB-Administration-API-Key"] = world.app.admin_api_key
    answer = await at_ann.post("/chat/Dialog", json=good)
    assert answer.status_code == 422
    assert "administrator" in answer.text


async def test_an_administrator_needs_no_role(world: World) -> None:
    ann, bob, cyd = [await world.user(name) for name in ("ann", "bob", "cyd")]
    at_ann, client = await world.login(ann), administrator(world, world.app.admin_api_key)
    group = (await at_ann.post("/chat/Dialog", json={"type": 2, "name": "G", "occupants_ids": [bob.id]})).json()["_id"]
    body = {
        "name": "H",
        "push_all": {"occupants_ids": [cyd.id], "admins_ids": [cyd.id]},
        "user_id": bob.id,
        "is_muted": 1,
    }
    found = (await client.put(f"/admin/chat/{group}", json=body)).json()
    assert (found["name"], found["admins_ids"], found["silent_ids"]) == ("H", [cyd.id], [bob.id])
    assert (await (await world.login(bob)).get(f"/chat/Dialog/{group}")).json()["is_muted"] is True
    # The owner goes too, and the admin inherits; each is told to all nodes, by nobody in particular.
    told: list[Any] = []
    world.cache.on_forget = told.extend
    body = {"pull_all": {"occupants_ids": [ann.id]}, "user_id": bob.id, "is_muted": False}
    found = (await client.put(f"/admin/chat/{group}", json=body)).json()
    assert (found["user_id"], found["occupants_ids"], found["silent_ids"]) == (cyd.id, [bob.id, cyd.id], [])
    assert ("left", group, ann.id, None) in told
    private = (await at_ann.post("/chat/Dialog", json={"type": 3, "occupants_ids": [bob.id]})).json()["_id"]
    for dialog, wrong, status in (
        (group, {"user_id": ann.id, "is_muted": 1}, 403),
        (group, {"is_muted": 1}, 422),
        (group, {"push_all": {"admins_ids": [ann.id]}}, 422),
        (private, {"push_all": {"occupants_ids": [cyd.id]}}, 403),
        ("64c0ffee64c0ffee64c0ffee", {"name": "H"}, 404),
    ):
        assert (await client.put(f"/admin/chat/{dialog}", json=wrong)).status_code == status, wrong
    theirs = administrator(world, world.other.admin_api_key)
    assert (await theirs.put(f"/admin/chat/{group}", json={"name": "Theirs"})).status_code == 404


async def test_an_administrator_deletes_what_nobody_owns_any_more(world: World) -> None:
    ann, bob = [await world.user(name) for name in ("ann", "bob")]
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    client = administrator(world, world.app.admin_api_key)
    body = {"type": 1, "name": "News", "user_id": ann.id}
    news = (await client.post("/admin/chat", json=body)).json()["_id"]
    public = (await at_ann.post("/chat/Dialog", json={"type": 4, "name": "Square"})).json()["_id"]
    assert (await at_bob.post(f"/chat/Dialog/{public}/subscribe")).status_code == 200
    assert (await at_ann.delete(f"/users/{ann.id}")).status_code == 200
    theirs = administrator(world, world.other.admin_api_key)
    told: list[Any] = []
    world.cache.on_forget = told.extend
    for dialog in (news, public):
        assert (await at_bob.delete(f"/chat/Dialog/{dialog}?force=1")).status_code == 403
        assert (await at_bob.get(f"/chat/Dialog/{dialog}")).status_code == 200
        assert (await theirs.delete(f"/admin/chat/{dialog}")).status_code == 404
        answer = await client.delete(f"/admin/chat/{dialog}")
        assert (answer.status_code, answer.json()) == (200, {})
        assert (await client.delete(f"/admin/chat/{dialog}")).status_code == 404
        assert (await at_bob.get(f"/chat/Dialog/{dialog}")).status_code == 404
    assert ("left", public, bob.id, None) in told
    assert (await at_bob.get("/chat/Dialog")).json()["items"] == []
