"""Changing dialogs: what one request may hold, and what becomes of fields, people, admins and pins (rest §6.3)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.features.world import World
from voxcube.server.core.models import User
from voxcube.server.features.dialogs import fields

NAMES = ("ann", "bob", "cyd", "dan", "eve", "fay", "gil")


class Group:
    """A group of Ann's with Bob and Cyd, of whom Bob is an admin; the others are outside."""

    def __init__(self, world: World, users: dict[str, User], clients: dict[str, httpx.AsyncClient], id_: str) -> None:
        self.world = world
        self.users = users
        self.clients = clients
        self.id = id_

    def __getitem__(self, name: str) -> int:
        return self.users[name].id

    async def put(self, name: str, body: Any, *, status: int = 200, path: str = "") -> dict[str, Any]:
        answer = await self.clients[name].put(f"/chat/Dialog/{self.id}{path}", json=body)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def get(self, name: str = "ann") -> dict[str, Any]:
        answer = await self.clients[name].get(f"/chat/Dialog/{self.id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
async def group(world: World) -> Group:
    await world.setting(dialog_custom_fields=("city", "level"))
    users = {name: await world.user(name) for name in NAMES}
    clients = {name: await world.login(user) for name, user in users.items()}
    inside = [users[name].id for name in ("bob", "cyd")]
    body = {"type": 2, "name": "Trip", "occupants_ids": inside, "admins_ids": inside[:1]}
    answer = await clients["ann"].post("/chat/Dialog", json=body)
    return Group(world, users, clients, answer.json()["_id"])


@pytest.mark.parametrize("form", ["json", "brackets"])
async def test_the_update_of_the_guide(group: Group, form: str) -> None:
    """Everything in one request; Dan becomes an occupant and an admin at once."""
    kept, old = [(await group.world.send(group.id, group.users[name])).message_id for name in ("ann", "cyd")]
    await group.put("ann", {"push_all": {"pinned_messages_ids": [old]}})
    group.world.clock.advance(10)
    if form == "json":
        body: dict[str, Any] = {
            "name": "Crossfit",
            "description": "Mondays",
            "photo": "uid",
            "data": {"class_name": "Trip", "days": 3, "paid": True},
            "push_all": {
                "occupants_ids": [group["dan"], group["eve"]],
                "admins_ids": [group["dan"]],
                "pinned_messages_ids": [kept],
            },
            "pull_all": {"occupants_ids": [group["cyd"]], "admins_ids": [group["bob"]], "pinned_messages_ids": [old]},
        }
        changed = await group.put("ann", body)
    else:
        pairs = [
            *(("name", "Crossfit"), ("description", "Mondays"), ("photo", "uid"), ("data[class_name]", "Trip")),
            *(("push_all[occupants_ids][]", group["dan"]), ("push_all[occupants_ids][]", group["eve"])),
            *(("push_all[admins_ids]", group["dan"]), ("push_all[pinned_messages_ids][]", kept)),
            *(("pull_all[occupants_ids][]", group["cyd"]), ("pull_all[admins_ids]", group["bob"])),
            ("pull_all[pinned_messages_ids]", old),
        ]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await group.clients["ann"].put(
            f"/chat/Dialog/{group.id}.json", content=urlencode(pairs), headers=headers
        )
        assert answer.status_code == 200, answer.text
        changed = answer.json()
    assert changed == {
        **changed,
        "name": "Crossfit",
        "description": "Mondays",
        "photo": "uid",
        "data": {"class_name": "Trip", "days": 3, "paid": True} if form == "json" else {"class_name": "Trip"},
        "occupants_ids": sorted(group[name] for name in ("ann", "bob", "dan", "eve")),
        "admins_ids": [group["dan"]],
        "pinned_messages_ids": [kept],
        "updated_at": "2026-01-01T00:00:10Z",
    }
    assert await group.get("dan") == {**changed, "last_message_status": None, "unread_messages_count": 2}
    assert (await group.clients["cyd"].get(f"/chat/Dialog/{group.id}")).status_code == 404


async def test_all_or_nothing(group: Group) -> None:
    before = await group.get()
    good: dict[str, Any] = {"name": "New", "description": "New", "push_all": {"occupants_ids": [group["dan"]]}}
    for wrong in (
        {"push_all": {"admins_ids": [group["gil"]]}},
        {"pull_all": {"occupants_ids": [group["dan"]]}},
        {"push_all": {"occupants_ids": [group["dan"], "x"]}},
        {"name": ""},
        {"name": "x" * 256},
        {"photo": "x" * 2049},
        {"data": {"long": "x" * fields.DATA_MAX}},
    ):
        assert (await group.put("ann", _merged(good, wrong), status=422))["errors"]
        assert await group.get() == before


async def test_people(group: Group) -> None:
    async def people(name: str, status: int = 200, **lists: list[int]) -> tuple[list[int], list[int]]:
        body: dict[str, Any] = {"push_all": {}, "pull_all": {}}
        for key, ids in lists.items():
            verb, _, what = key.partition("_")
            body[f"{verb}_all"][f"{what}_ids"] = ids
        await group.put(name, body, status=status)
        found = await group.get()
        return found["occupants_ids"], found["admins_ids"]

    ann, bob, cyd, dan = (group[name] for name in ("ann", "bob", "cyd", "dan"))
    trio = sorted((ann, bob, cyd))
    # Unknown users are dropped, and the owner is no admin. Adding whom there is, or removing whom not, changes nothing.
    assert await people("ann", push_occupants=[4711, 10**30, -1, bob], push_admins=[ann, 4711]) == (trio, [bob])
    assert await people("ann", pull_occupants=[dan, 4711], pull_admins=[dan, cyd]) == (trio, [bob])
    # A member adds, an admin removes; whoever is removed is no admin any more.
    assert await people("cyd", push_occupants=[dan]) == (sorted((*trio, dan)), [bob])
    assert await people("ann", push_admins=[dan]) == (sorted((*trio, dan)), sorted((bob, dan)))
    assert await people("bob", pull_occupants=[dan]) == (trio, [bob])
    assert await people("cyd", push_occupants=[dan]) == (sorted((*trio, dan)), [bob])
    # The owner is removed by nobody else; nobody is added and removed at once.
    assert await people("bob", 403, pull_occupants=[ann]) == (sorted((*trio, dan)), [bob])
    assert await people("ann", 422, push_occupants=[dan], pull_occupants=[dan]) == (sorted((*trio, dan)), [bob])
    assert await people("dan", pull_occupants=[dan]) == (trio, [bob])


async def test_five_admins_and_no_more(group: Group) -> None:
    five = [group[name] for name in ("bob", "cyd", "dan", "eve", "fay")]
    six = [*five, group["gil"]]
    await group.put("ann", {"push_all": {"occupants_ids": six}})
    assert (await group.put("ann", {"push_all": {"admins_ids": six}}, status=422, path="/admins"))["errors"]
    found = await group.put("ann", {"push_all": {"admins_ids": five}}, path="/admins")
    assert found["admins_ids"] == sorted(five)
    body = {"push_all": {"admins_ids": [group["gil"]]}, "pull_all": {"admins_ids": [group["bob"]]}}
    assert (await group.put("ann", body, path="/admins"))["admins_ids"] == sorted([*five[1:], group["gil"]])


async def test_pins_are_live_messages_of_the_dialog(group: Group) -> None:
    other = (await group.clients["ann"].post("/chat/Dialog", json={"type": 2, "name": "Other"})).json()["_id"]
    foreign = (await group.world.send(other, group.users["ann"])).message_id
    first, second = [(await group.world.send(group.id, group.users["ann"])).message_id for _ in range(2)]
    pins = {"pinned_messages_ids": [second, foreign, "no id", first, second]}
    assert (await group.put("bob", {"push_all": pins}))["pinned_messages_ids"] == [second, first]
    before = await group.get("bob")
    group.world.clock.advance(5)
    assert await group.put("bob", {"push_all": {"pinned_messages_ids": [first]}}) == before  # nothing has changed
    assert (await group.put("bob", {"pull_all": pins}))["pinned_messages_ids"] == []


async def test_fields_are_cleared_reset_and_merged(group: Group) -> None:
    given = {"photo": "uid", "description": "d", "extensions": {"city": "Rome", "level": 3, "unknown": 1}}
    found = await group.put(
        "ann", {**given, "data": {"class_name": "Trip", "a": 1}, "permissions": {"allow_preview": 1}}
    )
    assert (found["extensions"], found["permissions"]) == ({"city": "Rome", "level": "3"}, {"allow_preview": True})
    found = await group.put("ann", {"photo": "", "description": None, "name": None, "data": {"b": [2]}})
    assert (found["name"], found["photo"], found["description"]) == ("Trip", None, None)
    assert found["data"] == {"class_name": "Trip", "a": 1, "b": [2]}
    found = await group.put("cyd", {"extensions": None, "data": None})
    assert (found["extensions"], found["data"]) == (None, None)
    found = await group.put("ann", {"permissions": None})
    assert found["permissions"] is None
    for large in ({"extensions": {"city": "x" * 5000}}, {"data": {"a": "x" * 5000}}):
        await group.put("ann", large, status=422)
        answer = await group.clients["ann"].post("/chat/Dialog", json={"type": 2, "name": "Large", **large})
        assert answer.status_code == 422


async def test_a_field_that_the_application_loses_is_gone_from_its_dialogs(group: Group) -> None:
    await group.put("ann", {"extensions": {"city": "Rome", "level": 3}})
    body = {"type": 2, "name": "G", "extensions": {"level": 1}}
    only = (await group.clients["bob"].post("/chat/Dialog", json=body)).json()
    await group.world.apps.change(group.world.app.id, {"dialog_custom_fields": "colour,city"})
    # A server that has not noticed yet (it looks every second) brings none back.
    assert (await group.put("ann", {"extensions": {"city": "Rome", "level": 3}}))["extensions"] == {"city": "Rome"}
    late = (await group.clients["bob"].post("/chat/Dialog", json=body)).json()
    assert late["extensions"] is None
    assert (await group.clients["bob"].get(f"/chat/Dialog/{only['_id']}")).json()["extensions"] is None
    await group.world.apps.change(group.world.app.id, {"dialog_custom_fields": "colour,city,level"})
    assert (await group.get())["extensions"] == {"city": "Rome"}  # and does not come back
    found = await group.put("ann", {"extensions": {"level": 4, "colour": "red"}})
    assert found["extensions"] == {"level": "4", "colour": "red"}


async def test_a_change_is_noticed_by_its_time(group: Group) -> None:
    """`updated_at[gt]` of the last change seen finds the next one, though no millisecond has passed."""
    before = await group.world.dialogs.get(group.world.app.id, group["ann"], group.id)
    for number in range(3):
        await group.put("ann", {"description": f"change {number}"})
        after = await group.world.dialogs.get(group.world.app.id, group["ann"], group.id)
        assert after.view.dialog.updated_at_ms > before.view.dialog.updated_at_ms
        before = after


async def test_who_is_added_reads_everything_and_who_comes_back_goes_on(group: Group) -> None:
    world, dan = group.world, group["dan"]
    for number in range(3):
        await world.send(group.id, group.users["ann"], str(number))
    await group.put("ann", {"push_all": {"occupants_ids": [dan]}})
    assert (await group.get("dan"))["unread_messages_count"] == 3
    history = f"/chat/Message?chat_dialog_id={group.id}"
    assert len((await group.clients["dan"].get(history)).json()["items"]) == 3
    assert (await group.get("dan"))["unread_messages_count"] == 0
    await group.put("bob", {"pull_all": {"occupants_ids": [dan]}})
    assert (await group.clients["dan"].get(history)).status_code == 403
    assert (await group.clients["dan"].get("/chat/Dialog")).json()["items"] == []
    facts = await world.cache.dialog(world.app.id, group.id)
    assert facts is not None
    assert dan not in facts.members
    await world.send(group.id, group.users["ann"], "while Dan is away")
    await group.put("ann", {"push_all": {"occupants_ids": [dan]}})
    assert (await group.get("dan"))["unread_messages_count"] == 1
    assert len((await group.clients["dan"].get(history)).json()["items"]) == 4


async def test_a_private_dialog_has_no_name_of_its_own(group: Group) -> None:
    made = (await group.clients["ann"].post("/chat/Dialog", json={"type": 3, "occupants_ids": [group["bob"]]})).json()
    body = {"name": "x", "photo": "x", "description": "x", "extensions": {"city": "Rome"}, "data": {"a": 1}}
    answer = await group.clients["bob"].put(f"/chat/Dialog/{made['_id']}", json=body)
    found = answer.json()
    assert (found["name"], found["photo"], found["description"]) == ("ann", None, None)
    assert (found["extensions"], found["data"]) == ({"city": "Rome"}, {"a": 1})


async def test_too_many_people(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("changes", "service"):
        monkeypatch.setattr(f"voxcube.server.features.dialogs.{module}.OCCUPANTS_MAX", 4)
    both = [group["dan"], group["eve"]]
    answer = await group.put("ann", {"push_all": {"occupants_ids": both}}, status=422)
    assert answer == {"errors": {"occupants_ids": ["are too many (maximum is 4)"]}}
    body: dict[str, Any] = {"push_all": {"occupants_ids": both}, "pull_all": {"occupants_ids": [group["cyd"]]}}
    assert len((await group.put("ann", body))["occupants_ids"]) == 4
    everybody = [group[name] for name in NAMES]
    body = {"type": 2, "name": "G", "occupants_ids": everybody}
    assert (await group.clients["ann"].post("/chat/Dialog", json=body)).status_code == 422


async def test_occupants_are_paged(group: Group) -> None:
    path = f"/chat/Dialog/{group.id}/occupants"
    found = (await group.clients["cyd"].get(f"{path}?limit=2&skip=1")).json()
    assert (found["total_entries"], found["skip"], found["limit"]) == (3, 1, 2)
    assert [item["id"] for item in found["items"]] == [group["bob"], group["cyd"]]
    assert found["items"][0]["login"] == "bob"
    assert found["items"][0]["user"] == {key: value for key, value in found["items"][0].items() if key != "user"}
    assert (await group.clients["dan"].get(path)).status_code == 403


async def test_notifications_are_everybodys_own(group: Group) -> None:
    path = f"/chat/Dialog/{group.id}/notifications"
    on, off = {"notifications": {"enabled": 1}}, {"notifications": {"enabled": 0}}
    before = await group.get("bob")
    assert (await group.clients["bob"].get(path)).json() == on
    assert (await group.clients["bob"].put(path, json={"enabled": "0"})).json() == off
    assert (await group.clients["bob"].get(path)).json() == off
    assert (await group.clients["cyd"].get(path)).json() == on
    assert await group.get("bob") == {**before, "is_muted": True}
    assert (await group.clients["bob"].put(path, json={})).status_code == 422
    assert (await group.clients["bob"].put(path, json={"enabled": True})).json() == on


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict):
            merged[key] = {**one[key], **other[key]}
    return merged
