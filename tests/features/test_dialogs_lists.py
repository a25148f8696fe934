"""Lists of dialogs: every filter and operator, what the viewer can see of the last message, broadcasts, the count."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.features.test_dialogs import create, items
from tests.features.world import World
from voxcube.server.core.models import DialogType, User
from voxcube.server.features.dialogs.service import NewDialog
from voxcube.server.features.dialogs.settling import Settling
from voxcube.server.storage import inbox, receipts
from voxcube.server.storage.database import Tx


@pytest.fixture
async def ann(world: World) -> User:
    return await world.user("ann")


@pytest.fixture
async def client(world: World, ann: User) -> httpx.AsyncClient:
    return await world.login(ann)


async def names(client: httpx.AsyncClient, query: str) -> str:
    """The names that a list with this query has, in alphabetical order."""
    found = [item["name"] for item in await items(client, query)]
    counted = (await client.get(f"/chat/Dialog?count=1&{query}")).json()
    assert counted == {"items": {"count": len(found)}}, query
    return " ".join(sorted(found))


async def test_filters_by_texts_people_and_fields(world: World, client: httpx.AsyncClient) -> None:
    await world.setting(dialog_custom_fields=("city", "level"))
    bob, cyd = await world.user("bob", full_name="Bärbel"), await world.user("cyd")
    await create(client, type=3, occupants_ids=[bob.id], data={"seats": 4, "open": True})
    await create(client, type=3, occupants_ids=[cyd.id])
    for name, people, city, level, data in (
        ("ÄPFEL", [bob.id], "Oslo", 9, {"seats": 10, "7": "seven", "12": 12}),
        ("pears_100%", [bob.id, cyd.id], "OSLO Süd", 10, {"seats": 2.5, "open": False}),
        ("plums", [], "Bergen", "many", None),
    ):
        fields = {"city": city, "level": level}
        await create(client, type=2, name=name, occupants_ids=people, extensions=fields, data=data)
        world.clock.advance(1)
    public = await create(client, type=4, name="Public")
    for query, wanted in (
        ("name[ctn]=äpf", "ÄPFEL"),
        ("name[ctn]=BÄR", "Bärbel"),  # a private dialog is called like the opponent
        ("name=cyd", "cyd"),
        ("name[ctn]=s_1", "pears_100%"),
        ("name[ctn]=_1_", ""),
        ("name[ctn]=0%25", "pears_100%"),
        ("name[start_with]=p", "pears_100% plums"),
        ("name[start_with]=P", "Public"),
        ("name[or]=cyd,plums", "cyd plums"),
        ("name[ne]=plums&type=2", "pears_100% ÄPFEL"),
        ("name[nin][]=plums&name[nin][]=cyd&type[lte]=3", "Bärbel pears_100% ÄPFEL"),
        ("name[gte]=p&name[lt]=pf", "pears_100%"),
        (f"occupants_ids={bob.id}", "Bärbel pears_100% ÄPFEL"),
        (f"occupants_ids={bob.id},{cyd.id}", "Bärbel cyd pears_100% ÄPFEL"),
        (f"occupants_ids[in][]={cyd.id}", "cyd pears_100%"),
        (f"occupants_ids[all]={bob.id},{cyd.id}", "pears_100%"),
        (f"occupants_ids[nin]={bob.id},{cyd.id}", "Public plums"),
        (f"occupants_ids[ne]={bob.id}&type=2", "plums"),
        ("extensions[city]=Oslo", "ÄPFEL"),
        ("extensions[city][ctn]=osl", "pears_100% ÄPFEL"),
        ("extensions[city][ctn]=SÜD", "pears_100%"),
        ("extensions[city][start_with]=OS", "pears_100%"),
        ("extensions[city][in]=Oslo,Bergen", "plums ÄPFEL"),
        ("extensions[city][ne]=Oslo&type=2", "pears_100% plums"),
        ("extensions[level][gt]=9", "pears_100%"),  # as numbers
        ("extensions[level][gte]=9&extensions[city][ctn]=o", "pears_100% ÄPFEL"),
        ("extensions[nothing]=x", ""),
        ("data[seats]=4", "Bärbel"),
        ("data[seats][gt]=3", "Bärbel ÄPFEL"),
        ("data[seats][between]=2.5,4", "Bärbel pears_100%"),
        ("data[open]=true", "Bärbel"),
        ("data[7]=seven", "ÄPFEL"),
        ("data[7]=seven&data[12][gt]=11", "ÄPFEL"),
        ("data[0]=seven", ""),
        (f"_id[all]={public['_id']}", "Public"),
        (f"_id[ctn]={public['_id'][4:].upper()}", "Public"),
        ("type[or]=3,4", "Bärbel Public cyd"),
        ("type[between]=3,4&type[ge]=4&type[le]=4&type[eq]=4", "Public"),
        ("_=1767225600000&type=4", "Public"),  # jQuery's way around caches
    ):
        assert await names(client, query) == wanted, query


@pytest.mark.parametrize(
    "query",
    [
        *("name[foo]=x", "type[ctn]=2", "type[start_with]=2", "updated_at[ctn]=2", "occupants_ids[gt]=1"),
        *("occupants_ids=x", "created_at=yesterday", "type[between]=1", "extensions=x", "extensions[a]%22[b]=1"),
        *("data[city][foo]=x", "name[eq][a]=1"),
        # A name that is no filter is not ignored: the answer would be all dialogs.
        *("something[foo]=1&type=4", "_kind=yes", "last_message=x", "unread_messages_count[gt]=0", "occupants=1"),
        *("type[all]=", "extensions[]=", "9=1", "login=bob", "page=2"),
        # More than a statement holds: neither an error of the database's, nor a minute of building it.
        *("name[ctn]=" + "x" * 60_000, "type[all]=" + "2," * 2000, "&".join(f"data[k{n}]=1" for n in range(500))),
    ],
    ids=lambda query: query[:30],
)
async def test_what_cannot_be_asked(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/chat/Dialog?{query}")
    assert answer.status_code == 422, answer.text


async def test_json_filters(client: httpx.AsyncClient) -> None:
    """Flutter sends conditions as a JSON body too (rest §1.4)."""
    for name in ("one", "two"):
        await create(client, type=2, name=name, data={"seats": 2 if name == "one" else 3})
    body = {"data": {"seats": {"in": [2, 5]}}, "type": {"in": [2, 4]}}
    answer = await client.request("GET", "/chat/Dialog", json=body)
    assert [item["name"] for item in answer.json()["items"]] == ["one"]


def last(item: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(item[f"last_message{key}"] for key in ("", "_user_id", "_date_sent", "_status"))


async def test_the_last_message_is_the_newest_that_the_viewer_can_see(
    world: World, ann: User, client: httpx.AsyncClient
) -> None:
    bob = await world.user("bob")
    at_bob = await world.login(bob)
    dialog_id = (await create(client, type=2, name="g", occupants_ids=[bob.id]))["_id"]
    sent = []
    for number, sender in enumerate((ann, bob, bob)):
        sent.append(await world.send(dialog_id, sender, f"m{number}", date_sent=1000 + number))
    await world.mark(dialog_id, bob, sent[0].message_id)
    hide = receipts.hide_for
    await world.writer.run(lambda tx: hide(tx, dialog_id, ann.id, [3]))
    [seen] = await items(client)
    assert last(seen) == ("m1", bob.id, 1001, None)
    assert seen["unread_messages_count"] == 1
    await world.writer.run(lambda tx: hide(tx, dialog_id, ann.id, [2]))
    [seen] = await items(client)
    assert last(seen) == ("m0", ann.id, 1000, "read")
    assert seen["unread_messages_count"] == 0
    await world.writer.run(lambda tx: receipts.clear_for(tx, dialog_id, ann.id))
    assert last((await items(client))[0]) == (None,) * 4
    assert last((await items(at_bob))[0]) == ("m2", bob.id, 1002, "sent")
    assert (await client.get(f"/chat/Dialog/{dialog_id}")).json()["last_message_id"] is None


async def test_broadcasts_are_in_everybodys_list_and_count_from_first_sight(
    world: World, ann: User, client: httpx.AsyncClient
) -> None:
    boss = await world.user("boss")
    new = NewDialog(type=DialogType.BROADCAST, name="News")
    dialog_id = (await world.dialogs.create_broadcast(world.app.id, boss.id, new)).id
    await world.send(dialog_id, boss, "before", show_again=False)

    async def unread() -> tuple[int, int]:
        [seen] = await items(client)
        counted = (await client.get("/chat/Message/unread")).json()
        assert seen["last_message"] is not None
        return seen["unread_messages_count"], counted["total"]

    assert (await client.get("/chat/Message/unread")).json() == {"total": 0}
    assert await unread() == (0, 0)
    sent = await world.send(dialog_id, boss, "after", show_again=False)
    assert await unread() == (1, 1)
    await world.mark(dialog_id, ann, sent.message_id)
    assert await unread() == (0, 0)
    await world.send(dialog_id, boss, "later", show_again=False)
    page = (await client.get("/chat/Dialog")).json()
    assert (page["total_entries"], page["items"][0]["unread_messages_count"]) == (1, 1)
    facts = await world.cache.dialog(world.app.id, dialog_id)
    assert facts is not None
    assert ann.id not in facts.members
    at_boss = await world.login(boss)
    for change in ("push_all", "pull_all"):  # who may write to it has not read it for that
        body = {change: {"admins_ids": [ann.id]}}
        assert (await at_boss.put(f"/chat/Dialog/{dialog_id}/admins", json=body)).status_code == 200
        assert await unread() == (1, 1)
    eve = await world.login(await world.user("eve", world.other), world.other)
    assert await items(eve) == []


async def test_the_count_follows_what_comes_and_goes(world: World, ann: User, client: httpx.AsyncClient) -> None:
    bob = await world.user("bob")
    at_bob = await world.login(bob)

    async def counts() -> tuple[int, int]:
        found = [(await one.get("/chat/Dialog?count=1")).json()["items"]["count"] for one in (client, at_bob)]
        assert [(await one.get("/chat/Dialog?limit=1")).json()["total_entries"] for one in (client, at_bob)] == found
        return found[0], found[1]

    assert await counts() == (0, 0)
    group = (await create(client, type=2, name="g", occupants_ids=[bob.id]))["_id"]
    private = (await create(client, type=3, occupants_ids=[bob.id]))["_id"]
    assert await counts() == (2, 2)
    assert (await at_bob.delete(f"/chat/Dialog/{private}")).status_code == 200
    assert await counts() == (2, 1)
    await create(at_bob, type=3, occupants_ids=[ann.id])
    assert await counts() == (2, 2)
    assert (await at_bob.delete(f"/chat/Dialog/{group}")).status_code == 200
    assert await counts() == (2, 1)
    public = (await create(at_bob, type=4, name="p"))["_id"]
    assert (await client.post(f"/chat/Dialog/{public}/subscribe")).status_code == 200
    assert await counts() == (3, 2)
    assert (await at_bob.delete(f"/users/{bob.id}")).status_code == 200
    assert (await client.get("/chat/Dialog?count=1")).json() == {"items": {"count": 3}}


async def test_a_quiet_dialog_gets_its_copies_again(
    world: World, ann: User, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than one transaction writes, while in one dialog something goes on."""
    monkeypatch.setattr(inbox, "BATCH", 2)
    settling = Settling(database=world.database, transactions=world.writer, clock=world.clock)
    ids = [(await create(client, type=2, name=f"g{number}"))["_id"] for number in range(4)]
    for dialog_id in ids:
        await world.send(dialog_id, ann)
    world.clock.advance(inbox.QUIET_MS / 1000)
    await world.send(ids[3], ann)
    before = await items(client)
    await settling.turn()
    assert await items(client) == before

    async def copied(tx: Tx) -> list[str]:
        return sorted({dialog_id for dialog_id, _ in await inbox.copied_rows(tx, ids)})

    assert await world.database.read(copied) == sorted(ids[:3])


@pytest.mark.parametrize("settled", [False, True], ids=["lately", "settled"])
async def test_the_newest_activity_is_first_within_one_millisecond(
    world: World, ann: User, client: httpx.AsyncClient, settled: bool
) -> None:
    made = {name: (await create(client, type=2, name=name))["_id"] for name in "ABC"}
    world.clock.advance(60)
    for written, wanted in (("AB", "BAC"), ("A", "ABC"), ("CBA", "ABC"), ("BCBC", "CBA")):
        for name in written:
            await world.send(made[name], ann)
        if settled:
            world.clock.advance(inbox.QUIET_MS / 1000)
            await Settling(transactions=world.writer, database=world.database, clock=world.clock).turn()
        for query in ("", "sort_desc=last_message_date_sent", "sort_desc=date_sent"):
            found = [item["name"] for item in await items(client, query)]
            assert "".join(found) == wanted, (written, query)
            page = [item["name"] for item in await items(client, f"{query}&limit=1&skip=1")]
            assert "".join(page) == wanted[1], (written, query)
        found = [item["name"] for item in await items(client, "sort_asc=last_message_date_sent")]
        assert "".join(found) == wanted[::-1], written


async def test_after_a_deletion_the_newest_message_that_is_left_counts(
    world: World, ann: User, client: httpx.AsyncClient
) -> None:
    made = {name: (await create(client, type=2, name=name))["_id"] for name in "AB"}
    world.clock.advance(60)
    sent = []
    for name in "ABA":
        sent.append(await world.send(made[name], ann))
        world.clock.advance(0.01)
    assert [item["name"] for item in await items(client)] == ["A", "B"]
    assert (await client.delete(f"/chat/Message/{sent[-1].message_id}?force=1")).status_code == 200
    assert [item["name"] for item in await items(client)] == ["B", "A"]
