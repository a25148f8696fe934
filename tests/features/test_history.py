"""Reading messages: pages, what a message looks like, read marks, unread counts, and who may."""

from typing import Any

import httpx

from tests.features.world import World
from voxcube.server.core.models import User
from voxcube.server.storage import receipts


async def dialog(world: World, owner: User, *others: User, kind: int = 2, **more: Any) -> str:
    body = {"type": kind, "occupants_ids": [other.id for other in others], **more}
    if kind != 3:
        body.setdefault("name", "Group")
    answer = await (await world.login(owner)).post("/chat/Dialog", json=body)
    assert answer.status_code == 201, answer.text
    dialog_id: str = answer.json()["_id"]
    return dialog_id


async def items(client: httpx.AsyncClient, dialog_id: str, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/chat/Message?chat_dialog_id={dialog_id}&{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_message_has_all_its_keys_and_custom_ones_beside_them(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob, kind=3)
    properties = {"city": "Oslo", "meta": {"a": "1"}, "sender_id": "99", "read": "1"}
    attachments = [{"type": "image", "uid": "9a8b", "width": "640"}]
    sent = await world.send(
        dialog_id, ann, "Hei 👋", recipient_id=bob.id, properties=properties, attachments=attachments, date_sent=100
    )
    [found] = await items(await world.login(bob), dialog_id, "mark_as_read=0")
    assert found == {
        "_id": sent.message_id,
        "chat_dialog_id": dialog_id,
        "message": "Hei 👋",
        "date_sent": 100,
        "sender_id": ann.id,
        "recipient_id": bob.id,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "attachments": attachments,
        "read_ids": [ann.id],
        "delivered_ids": [ann.id],
        "reactions": None,
        "views_count": 0,
        "edited_at": None,
        "read": 0,
        "city": "Oslo",
        "meta": {"a": "1"},
    }


async def test_pages_are_by_date_then_by_arrival(world: World) -> None:
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann)
    for body, date in (("c", 30), ("a", 10), ("b1", 20), ("b2", 20), ("b3", 20)):
        await world.send(dialog_id, ann, body, date_sent=date)
        world.clock.advance(1)
    client = await world.login(ann)

    async def bodies(query: str = "") -> list[str]:
        return [item["message"] for item in await items(client, dialog_id, query)]

    assert await bodies() == ["a", "b1", "b2", "b3", "c"]
    assert await bodies("sort_desc=date_sent") == ["c", "b3", "b2", "b1", "a"]
    assert await bodies("sort_desc=date_sent&limit=2&skip=1") == ["b3", "b2"]
    assert await bodies("sort_asc=created_at") == ["c", "a", "b1", "b2", "b3"]
    assert await bodies("date_sent[gt]=10&date_sent[lt]=30") == ["b1", "b2", "b3"]
    assert await bodies("date_sent[gte]=20000000000000&date_sent[ge]=30") == []
    assert await bodies("date_sent[ge]=30") == ["c"]
    assert await bodies("date_sent=20&limit=1") == ["b1"]
    assert await bodies(f"sender_id={ann.id}&limit=1") == ["a"]
    assert await bodies("sender_id=4711") == []
    assert await bodies("created_at[gt]=1767225602") == ["b2", "b3"]
    page = (await client.get(f"/chat/Message.json?chat_dialog_id={dialog_id}&limit=5000")).json()
    assert (page["skip"], page["limit"]) == (0, 1000)
    ids = [item["_id"] for item in page["items"]]
    assert await bodies(f"_id={ids[2]}") == ["b2"]
    assert await bodies(f"_id[in]={ids[0]},{ids[1]}") == ["a", "b1"]
    assert await bodies(f"_id={ids[0]},{ids[1]}") == ["a", "b1"]
    count = f"/chat/Message?chat_dialog_id={dialog_id}&count=1"
    assert (await client.get(count)).json() == {"items": {"count": 5}}
    assert (await client.get(f"{count}&date_sent[gt]=15")).json() == {"items": {"count": 4}}


async def test_listing_marks_as_read_once_and_for_good(world: World) -> None:
    ann, bob, carol = [await world.user(login) for login in ("ann", "bob", "carol")]
    dialog_id = await dialog(world, ann, bob, carol)
    for number in range(3):
        await world.send(dialog_id, ann, str(number))
    at_bob = await world.login(bob)
    unread = f"/chat/Message/unread?chat_dialog_ids={dialog_id}"
    assert (await at_bob.get(unread)).json() == {"total": 3, dialog_id: 3}
    assert len(await items(at_bob, dialog_id, "mark_as_read=0")) == 3
    assert (await at_bob.get(unread)).json() == {"total": 3, dialog_id: 3}
    first = await items(at_bob, dialog_id, "limit=2")
    assert [(item["read_ids"], item["delivered_ids"], item["read"]) for item in first] == [
        ([ann.id, bob.id], [ann.id, bob.id], 1)
    ] * 2
    assert (await at_bob.get(unread)).json() == {"total": 1, dialog_id: 1}
    await items(at_bob, dialog_id)
    assert (await at_bob.get(unread)).json() == {"total": 0, dialog_id: 0}
    at_ann = await world.login(ann)
    assert [item["read_ids"] for item in await items(at_ann, dialog_id)] == [[ann.id, bob.id]] * 3
    carols = await (await world.login(carol)).get(unread)
    assert carols.json() == {"total": 3, dialog_id: 3}


async def test_delivered_and_read_follow_the_markers(world: World) -> None:
    ann, bob, carol = [await world.user(login) for login in ("ann", "bob", "carol")]
    dialog_id = await dialog(world, ann, bob, carol)
    first = await world.send(dialog_id, ann, "1")
    own = await world.send(dialog_id, bob, "2")
    third = await world.send(dialog_id, ann, "3")
    await world.mark(dialog_id, bob, first.message_id)
    await world.mark(dialog_id, bob, third.message_id)
    await world.mark(dialog_id, carol, own.message_id, receipts.DELIVERED)
    found = await items(await world.login(ann), dialog_id, "mark_as_read=0")
    assert [(item["read_ids"], item["delivered_ids"]) for item in found] == [
        ([ann.id, bob.id], [ann.id, bob.id]),
        ([bob.id], [bob.id, carol.id]),
        ([ann.id, bob.id], [ann.id, bob.id]),
    ]


async def test_views_are_counted_in_public_dialogs(world: World) -> None:
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann, kind=4)
    await world.send(dialog_id, ann)
    [found] = await items(await world.login(ann), dialog_id)
    assert (found["views_count"], found["recipient_id"]) == (0, 0)


async def test_what_was_deleted_or_cleared_for_me_is_gone_for_me(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob)
    for number in range(4):
        await world.send(dialog_id, ann, str(number))
    await world.writer.run(lambda tx: receipts.hide_for(tx, dialog_id, bob.id, [2]))
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    count = f"/chat/Message?chat_dialog_id={dialog_id}&count=1"

    async def bodies(client: httpx.AsyncClient) -> list[str]:
        return [item["message"] for item in await items(client, dialog_id, "mark_as_read=0")]

    assert await bodies(at_bob) == ["0", "2", "3"]
    assert (await at_bob.get(count)).json() == {"items": {"count": 3}}
    await world.writer.run(lambda tx: receipts.clear_for(tx, dialog_id, bob.id))
    await world.send(dialog_id, ann, "new")
    assert await bodies(at_bob) == ["new"]
    assert (await at_bob.get(count)).json() == {"items": {"count": 1}}
    assert await bodies(at_ann) == ["0", "1", "2", "3", "new"]
    assert (await at_ann.get(count)).json() == {"items": {"count": 5}}


async def test_unread_over_all_dialogs(world: World) -> None:
    ann, bob, eve = await world.user("ann"), await world.user("bob"), await world.user("eve", world.other)
    one, two, quiet = [await dialog(world, ann, bob, name=name) for name in ("1", "2", "3")]
    foreign = await dialog(world, ann)
    await world.send(one, ann)
    await world.send(two, ann)
    await world.send(two, ann)
    await world.send(foreign, ann)
    client = await world.login(bob)
    answer = await client.get("/chat/Message/unread")
    assert answer.json() == {"total": 3, one: 1, two: 2}
    for query in (f"chat_dialog_ids={two}, {quiet},{foreign}", f"dialogs_ids[]={two}&dialogs_ids[]={quiet}"):
        found = (await client.get(f"/chat/Message/unread.json?{query}")).json()
        assert found == {"total": 2, two: 2, quiet: 0} | ({foreign: 0} if foreign in query else {})
    stranger = await world.login(eve, world.other)
    assert (await stranger.get(f"/chat/Message/unread?chat_dialog_ids={two}")).json() == {"total": 0, two: 0}


async def test_who_may_read(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    stranger = await world.user("eve", world.other)
    dialog_id = await dialog(world, ann)
    await world.send(dialog_id, ann)
    path = f"/chat/Message?chat_dialog_id={dialog_id}"
    for query in ("", "&count=1"):
        assert (await (await world.login(bob)).get(path + query)).status_code == 403
        assert (await (await world.login(stranger, world.other)).get(path + query)).status_code == 404
    assert (await (await world.login(bob)).get(f"{path}&preview=1")).status_code == 403
    client = await world.login(ann)
    assert (await client.get("/chat/Message?chat_dialog_id=64c0ffee64c0ffee64c0ffee")).status_code == 404
    assert (await client.get("/chat/Message?chat_dialog_id=nonsense")).status_code == 404
    answer = await client.get("/chat/Message")
    assert (answer.status_code, answer.json()) == (422, {"errors": {"chat_dialog_id": ["is required"]}})


async def test_preview_shows_the_newest_twenty_to_strangers(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, permissions={"allow_preview": True})
    for number in range(25):
        await world.send(dialog_id, ann, str(number), date_sent=number)
    client = await world.login(bob)
    found = await items(client, dialog_id, "preview=1&limit=3&skip=3&sort_desc=date_sent")
    assert [item["message"] for item in found] == [str(number) for number in range(5, 25)]
    assert {tuple(item["read_ids"]) for item in found} == {(ann.id,)}
    assert (await client.get(f"/chat/Message?chat_dialog_id={dialog_id}")).status_code == 403


REFUSED = ["limit=-1", "limit=x", "skip=100001", "date_sent[gt]=soon", "date_sent[foo]=1", "mark_as_read=maybe"]


async def test_refused(world: World) -> None:
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann)
    client = await world.login(ann)
    for query in REFUSED:
        answer = await client.get(f"/chat/Message?chat_dialog_id={dialog_id}&{query}")
        assert answer.status_code == 422, query


async def test_unread_of_something_called_total_does_not_hide_the_total(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog = await world.dialogs.private_between(world.app.id, ann.id, bob.id, create=True)
    assert dialog is not None
    await world.send(dialog.id, ann)
    answer = await (await world.login(bob)).get(f"/chat/Message/unread?chat_dialog_ids=total,{dialog.id}")
    assert answer.json() == {dialog.id: 1, "total": 1}
