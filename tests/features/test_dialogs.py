"""Dialogs: making each kind, who sees them and what they look like to each viewer."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.features.world import World, opened
from voxcube.server.core.errors import Forbidden, NotFound
from voxcube.server.storage import receipts

KEYS = {
    *("_id", "type", "user_id", "name", "description", "photo", "created_at", "updated_at", "xmpp_room_jid"),
    *("occupants_ids", "occupants_count", "admins_ids", "pinned_messages_ids", "last_message", "last_message_id"),
    *("last_message_date_sent", "last_message_user_id", "last_message_status", "unread_messages_count"),
    *("extensions", "permissions", "data", "is_muted", "is_e2ee"),
}


async def items(client: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/chat/Dialog?{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def create(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/chat/Dialog", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert set(made) == KEYS
    return made


async def test_private_dialog_is_named_after_the_opponent_and_is_one_for_both(world: World) -> None:
    ann, bob = await world.user("ann", full_name="Ann"), await world.user("bob")
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    made = await create(at_ann, type=3, occupants_ids=[bob.id], name="ignored", photo="ignored")
    assert made == {
        **made,
        "type": 3,
        "user_id": ann.id,
        "name": "bob",
        "photo": None,
        "created_at": "2026-01-01T00:00:00Z",
        "xmpp_room_jid": None,
        "occupants_ids": [ann.id, bob.id],
        "occupants_count": None,
        "admins_ids": [],
        "pinned_messages_ids": [],
        "last_message": None,
        "last_message_status": None,
        "unread_messages_count": 0,
        "is_muted": False,
        "is_e2ee": None,
    }
    again = await create(at_bob, type="3", occupants_ids=f"{ann.id}, {bob.id}")
    assert (again["_id"], again["name"], again["user_id"]) == (made["_id"], "Ann", ann.id)
    assert [item["_id"] for item in await items(at_bob)] == [made["_id"]]


async def test_one_private_dialog_although_both_start_it_at_once(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    clients = [(await world.login(ann), bob), (await world.login(bob), ann)] * 4
    made = await asyncio.gather(*(create(client, type=3, occupants_ids=[other.id]) for client, other in clients))
    assert len({dialog["_id"] for dialog in made}) == 1
    found = await world.dialogs.private_between(world.app.id, bob.id, ann.id, create=True)
    assert found is not None
    assert found.id == made[0]["_id"]


async def test_one_private_dialog_although_two_nodes_start_it_at_once(world: World, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("one server process per SQLite file")
    async with opened(database_url, apps=False) as other_node:
        for number in range(20):
            ann, bob = await world.user(f"ann{number}"), await world.user(f"bob{number}")
            made = await asyncio.gather(
                world.dialogs.private_between(world.app.id, ann.id, bob.id, create=True),
                other_node.dialogs.private_between(world.app.id, bob.id, ann.id, create=True),
            )
            assert made[0] is not None
            assert made[0] == made[1]


async def test_private_between_finds_and_makes(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    between = world.dialogs.private_between
    assert await between(world.app.id, ann.id, bob.id, create=False) is None
    made = await between(world.app.id, ann.id, bob.id, create=True)
    assert made is not None
    assert await between(world.app.id, bob.id, ann.id, create=False) == made
    assert await between(world.other.id, bob.id, ann.id, create=False) is None
    facts = await world.cache.dialog(world.app.id, made.id)
    assert facts is not None
    assert facts.members == {ann.id, bob.id}


async def test_group(world: World) -> None:
    await world.setting(dialog_custom_fields=("city", "level"))
    ann, bob, carol = [await world.user(login) for login in ("ann", "bob", "carol")]
    stranger = await world.user("eve", world.other)
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    made = await create(
        at_ann,
        type=2,
        name="Lunch",
        description="Where?",
        photo="uid",
        occupants_ids=[bob.id, carol.id, stranger.id, 4711, -1, 10**30],
        admins_ids=[bob.id, ann.id],
        extensions={"city": "Oslo", "level": 3, "unknown": "x"},
        permissions={"allow_preview": 1},
        data={"class_name": "Place", "seats": 4},
        _id="64c0ffee64c0ffee64c0ffee",
        unread_messages_count=7,
    )
    assert made["_id"] != "64c0ffee64c0ffee64c0ffee"
    assert made["xmpp_room_jid"] == f"{world.app.id}_{made['_id']}@muc.chat.example.org"
    assert made["occupants_ids"] == [ann.id, bob.id, carol.id]
    assert made["admins_ids"] == [bob.id]
    assert made["extensions"] == {"city": "Oslo", "level": "3"}
    assert made["permissions"] == {"allow_preview": True}
    assert made["data"] == {"class_name": "Place", "seats": 4}
    assert (made["name"], made["description"], made["photo"]) == ("Lunch", "Where?", "uid")
    assert await items(at_bob) == [made]
    assert (await at_bob.get(f"/chat/dialog/{made['_id']}.json")).json() == made


async def test_group_as_form_may_hold_its_creator_alone(world: World) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    answer = await client.post("/chat/dialog", data={"type": "2", "name": "Me", "occupants_ids[]": ["4711"]})
    assert answer.status_code == 201
    made = answer.json()
    assert made["occupants_ids"] == [ann.id]
    assert (made["extensions"], made["permissions"], made["data"]) == (None, None, None)


async def test_public_dialog_has_its_creator_as_first_subscriber(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    made = await create(at_ann, type=4, name="News", occupants_ids=[bob.id])
    assert (made["occupants_ids"], made["occupants_count"], made["admins_ids"]) == ([], 1, [])
    assert [item["_id"] for item in await items(at_ann)] == [made["_id"]]
    assert await items(at_bob) == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "type"),
    ({"type": 1, "name": "x"}, "base"),
    ({"type": 5, "name": "x"}, "type"),
    ({"type": "two", "name": "x"}, "type"),
    ({"type": 10**40}, "type"),
    ({"type": 2}, "name"),
    ({"type": 2, "name": "  "}, "name"),
    ({"type": 2, "name": "x" * 256}, "name"),
    ({"type": 2, "name": "x", "occupants_ids": ["a"]}, "occupants_ids"),
    ({"type": 2, "name": "x", "occupants_ids": {"a": "b"}}, "occupants_ids"),
    ({"type": 2, "name": "x", "admins_ids": [4711]}, "admins_ids"),
    ({"type": 2, "name": "x", "admins_ids": [1, 2, 3, 4, 5, 6, 7]}, "admins_ids"),
    ({"type": 2, "name": "x", "data": {"x": "y" * 5000}}, "data"),
    ({"type": 2, "name": "x", "extensions": "x"}, "extensions"),
    ({"type": 3}, "occupants_ids"),
    ({"type": 3, "occupants_ids": []}, "occupants_ids"),
    ({"type": 3, "occupants_ids": [4711]}, "occupants_ids"),
    ({"type": 3, "occupants_ids": [10**30]}, "occupants_ids"),
    ({"type": 3, "occupants_ids": [4711, 4712]}, "occupants_ids"),
]


async def test_refused(world: World) -> None:
    client = await world.login(await world.user("ann"))
    for body, field in REFUSED:
        answer = await client.post("/chat/Dialog", json=body)
        assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])
        assert await items(client) == []


async def test_broadcasts_are_refused_with_a_hint(world: World) -> None:
    client = await world.login(await world.user("ann"))
    answer = await client.post("/chat/Dialog", json={"type": 1, "name": "x"})
    hint = "Broadcast dialogs can only be created by an administrator; public dialogs have type 4"
    assert answer.json() == {"errors": {"base": [hint]}}


async def test_no_private_dialog_with_oneself_or_a_stranger(world: World) -> None:
    ann, stranger = await world.user("ann"), await world.user("eve", world.other)
    client = await world.login(ann)
    for other in (ann.id, stranger.id):
        answer = await client.post("/chat/Dialog", json={"type": 3, "occupants_ids": [other]})
        assert answer.status_code == 422


async def test_last_message_and_counters_are_the_viewers(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    dialog_id = (await create(at_ann, type=3, occupants_ids=[bob.id]))["_id"]
    world.clock.advance(10)
    sent = await world.send(dialog_id, ann, "Lunch?", recipient_id=bob.id)

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        return (await items(at_ann))[0], (await items(at_bob))[0]

    mine, theirs = await both()
    assert mine == {
        **mine,
        "last_message": "Lunch?",
        "last_message_id": sent.message_id,
        "last_message_date_sent": 1767225610,
        "last_message_user_id": ann.id,
        "last_message_status": "sent",
        "unread_messages_count": 0,
        "updated_at": "2026-01-01T00:00:10Z",
    }
    assert (theirs["last_message_status"], theirs["unread_messages_count"]) == (None, 1)
    await world.mark(dialog_id, bob, sent.message_id, receipts.DELIVERED)
    assert (await both())[0]["last_message_status"] == "delivered"
    await world.mark(dialog_id, bob, sent.message_id, receipts.READ)
    mine, theirs = await both()
    assert (mine["last_message_status"], theirs["unread_messages_count"]) == ("read", 0)


async def test_cleared_history_does_not_come_back_as_last_message(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    dialog_id = (await create(at_ann, type=3, occupants_ids=[bob.id]))["_id"]
    await world.send(dialog_id, ann)
    await world.writer.run(lambda tx: receipts.clear_for(tx, dialog_id, bob.id))
    [seen] = await items(at_bob)
    assert [seen[key] for key in sorted(KEYS) if key.startswith("last_")] == [None] * 5
    assert seen["unread_messages_count"] == 0
    assert (await items(at_ann))[0]["last_message"] == "hello"


async def test_list_is_paged_counted_and_ordered_by_activity(world: World) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    ids = []
    for name in ("One", "Two", "Three"):
        ids.append((await create(client, type=2, name=name))["_id"])
        world.clock.advance(1)
    await world.send(ids[0], ann)
    page = (await client.get("/chat/Dialog?limit=2")).json()
    assert (page["total_entries"], page["skip"], page["limit"]) == (3, 0, 2)
    assert [item["name"] for item in page["items"]] == ["One", "Three"]
    assert [item["name"] for item in await items(client, "limit=2&skip=2")] == ["Two"]
    assert [item["name"] for item in await items(client, "sort_asc=name")] == ["One", "Three", "Two"]
    assert [item["name"] for item in await items(client, "sort_desc=date_sent&limit=1")] == ["One"]
    assert [item["name"] for item in await items(client, "sort_desc=nonsense&limit=1")] == ["One"]
    assert (await client.get("/chat/Dialog?count=1")).json() == {"items": {"count": 3}}
    assert (await client.get("/chat/Dialog?limit=1000")).json()["limit"] == 100
    assert (await client.request("GET", "/chat/Dialog", data={"limit": 1})).json()["limit"] == 1
    assert (await client.get("/chat/Dialog?limit=x")).json() == {"errors": {"limit": ["must be an integer"]}}


async def test_list_filters(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    client = await world.login(ann)
    private = (await create(client, type=3, occupants_ids=[bob.id]))["_id"]
    world.clock.advance(1.5)
    group = (await create(client, type=2, name="Group"))["_id"]
    public = (await create(client, type=4, name="Public"))["_id"]

    async def found(query: str) -> set[str]:
        return {item["_id"] for item in await items(client, query)}

    assert await found("type=3") == {private}
    assert await found("type[in]=2,4") == {group, public}
    assert await found("type[ne]=3") == {group, public}
    assert await found("type[nin][]=2&type[nin][]=3") == {public}
    assert await found(f"_id={group}") == {group}
    assert await found(f"_id[]={group}&_id[]={public}") == {group, public}
    assert await found(f"_id={group}%2C{public}") == {group, public}
    assert await found(f"id[in]={group}") == {group}
    assert await found("_id=64c0ffee64c0ffee64c0ffee") == set()
    assert await found("name=Group") == {group}
    assert await found("updated_at[gt]=1767225601") == {group, public}  # kept in milliseconds
    assert await found("updated_at=1767225601") == {group, public}
    assert await found("updated_at[ne]=1767225601") == {private}
    assert await found("updated_at[in]=1767225601,1767225605") == {group, public}
    assert await found("updated_at[nin]=1767225601") == {private}
    assert await found("updated_at[in]=1767225601500") == {group, public}
    assert await found("updated_at[in]=1767225601501") == set()
    assert await found("updated_at[ne]=1767225601501") == {private, group, public}
    assert await found("created_at[between]=1767225600,1767225601") == {private}
    assert (await client.get("/chat/Dialog?type=3&count=1")).json() == {"items": {"count": 1}}
    assert (await client.get("/chat/Dialog?type[foo]=3")).status_code == 422
    assert (await client.get("/chat/Dialog?type=x")).status_code == 422


async def test_hidden_private_dialogs_come_back_when_started_again(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    at_ann = await world.login(ann)
    dialog_id = (await create(at_ann, type=3, occupants_ids=[bob.id]))["_id"]

    from sqlalchemy import update

    from voxcube.server.storage.schema import members
    from voxcube.server.storage.sql import Query

    async def hide(tx: Any) -> None:
        await tx.execute(Query(update(members).values(hidden=True)))

    await world.writer.run(hide)
    assert await items(at_ann) == []
    assert (await create(at_ann, type=3, occupants_ids=[bob.id]))["_id"] == dialog_id
    assert len(await items(at_ann)) == 1
    assert await items(await world.login(bob)) == []


async def test_nobody_sees_what_is_not_theirs(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    stranger = await world.user("eve", world.other)
    dialog_id = (await create(await world.login(ann), type=2, name="Mine"))["_id"]
    for client in (await world.login(bob), await world.login(stranger, world.other)):
        assert (await client.get(f"/chat/Dialog/{dialog_id}")).status_code == 404
        assert await items(client, f"_id={dialog_id}") == []
    with pytest.raises(NotFound):
        await world.dialogs.get(world.other.id, ann.id, dialog_id)
    with pytest.raises(NotFound):
        await world.dialogs.readable(world.other.id, ann.id, dialog_id)
    with pytest.raises(Forbidden):
        await world.dialogs.readable(world.app.id, bob.id, dialog_id)
    assert (await (await world.login(ann)).get("/chat/Dialog/not-an-id")).status_code == 404


async def test_a_group_of_many(world: World) -> None:
    ann = await world.user("ann")
    people = [(await world.user(f"user{number}")).id for number in range(150)]
    made = await create(await world.login(ann), type=2, name="crowd", occupants_ids=people)
    assert made["occupants_ids"] == [ann.id, *people]
    facts = await world.cache.dialog(world.app.id, made["_id"])
    assert facts is not None
    assert facts.members == {ann.id, *people}
