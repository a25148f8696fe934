"""Leaving and deleting dialogs, clearing their history, and what the database keeps of them (rest §6.4, §6.5, §6.8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, func, select

from tests.features.test_dialog_permissions import stored
from tests.features.world import World, opened
from voxcube.server.core.errors import DomainError
from voxcube.server.core.models import User
from voxcube.server.features.dialogs.ending import IDS_MAX
from voxcube.server.features.dialogs.service import NewDialog
from voxcube.server.storage import erasing, schema
from voxcube.server.storage.inbox import LISTED
from voxcube.server.storage.sql import Query

MISSING = "64c0ffee64c0ffee64c0ffee"


class Ann:
    """Ann with her friends Bob, Cyd and Dan, and a client for each of them."""

    def __init__(self, world: World, users: dict[str, User], clients: dict[str, httpx.AsyncClient]) -> None:
        self.world = world
        self.users = users
        self.clients = clients

    async def make(self, **body: Any) -> str:
        answer = await self.clients["ann"].post("/chat/Dialog", json=body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["_id"]
        return made

    async def group(self, *names: str, admins: tuple[str, ...] = ()) -> str:
        ids = {name: self.users[name].id for name in names}
        return await self.make(
            type=2, name="Trip", occupants_ids=list(ids.values()), admins_ids=[ids[name] for name in admins]
        )

    async def dialog(self, name: str, dialog_id: str) -> dict[str, Any]:
        answer = await self.clients[name].get(f"/chat/Dialog/{dialog_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def listed(self, name: str) -> list[str]:
        return [item["_id"] for item in (await self.clients[name].get("/chat/Dialog")).json()["items"]]

    async def history(self, name: str, dialog_id: str) -> list[str]:
        answer = await self.clients[name].get(f"/chat/Message?chat_dialog_id={dialog_id}&mark_as_read=0")
        assert answer.status_code == 200, answer.text
        return [item["message"] for item in answer.json()["items"]]

    async def delete(self, name: str, ids: str, **body: Any) -> dict[str, list[str]]:
        """JavaScript sends what belongs to a DELETE in its body."""
        answer = await self.clients[name].request("DELETE", f"/chat/Dialog/{ids}", json=body or None)
        assert answer.status_code == 200, answer.text
        return {what: found["ids"] for what, found in answer.json().items()}

    async def rows(self, table: str, dialog_id: str) -> int:
        key = schema.metadata.tables[table].c.dialog_id
        counted = Query(select(func.count()).where(key == bindparam("dialog")), "dialog")
        found: int = await self.world.database.value(counted, dialog_id)
        return found


@pytest.fixture
async def ann(world: World) -> Ann:
    users = {name: await world.user(name) for name in ("ann", "bob", "cyd", "dan")}
    return Ann(world, users, {name: await world.login(user) for name, user in users.items()})


async def test_a_group_is_left_and_passed_on(ann: Ann) -> None:
    group = await ann.group("bob", "cyd", "dan", admins=("cyd",))
    ids = {name: user.id for name, user in ann.users.items()}
    await ann.delete("ann", group)  # the owner: to the first admin
    found = await ann.dialog("bob", group)
    assert (found["user_id"], found["admins_ids"]) == (ids["cyd"], [])
    assert found["occupants_ids"] == sorted((ids["bob"], ids["cyd"], ids["dan"]))
    assert await ann.listed("ann") == []
    await ann.delete("dan", group)
    assert (await ann.dialog("bob", group))["user_id"] == ids["cyd"]
    body = {"pull_all": {"occupants_ids": [ids["cyd"]]}}
    answer = await ann.clients["cyd"].put(f"/chat/Dialog/{group}", json=body)  # leaving in other words
    assert (answer.status_code, answer.json()["occupants_ids"]) == (200, [ids["bob"]])
    assert (await ann.dialog("bob", group))["user_id"] == ids["bob"]
    await ann.world.send(group, ann.users["bob"])
    await ann.delete("bob", group)  # the last one out
    assert (await stored(ann.world, group))["dialogs"] == (await stored(ann.world, group))["members"] == []
    await ann.world.eraser.run()
    assert not any((await stored(ann.world, group)).values())


async def test_the_oldest_occupant_inherits(ann: Ann) -> None:
    group = await ann.group("dan")
    for name in ("cyd", "bob"):
        ann.world.clock.advance(1)
        body = {"push_all": {"occupants_ids": [ann.users[name].id]}}
        assert (await ann.clients["ann"].put(f"/chat/Dialog/{group}", json=body)).status_code == 200
    for owner in ("dan", "cyd", "bob"):
        leaver = (await ann.world.dialogs.seen(ann.world.app.id, 0, group)).view.dialog.owner_id
        await ann.world.endings.delete(ann.world.app.id, leaver, group, force=False)
        assert (await ann.dialog("bob", group))["user_id"] == ann.users[owner].id


async def test_the_owner_appoints_an_heir_and_leaves_in_one_request(ann: Ann) -> None:
    group = await ann.group("bob", "cyd")
    body = {"push_all": {"admins_ids": [ann.users["cyd"].id]}, "pull_all": {"occupants_ids": [ann.users["ann"].id]}}
    found = (await ann.clients["ann"].put(f"/chat/Dialog/{group}", json=body)).json()
    assert (found["user_id"], found["admins_ids"]) == (ann.users["cyd"].id, [])
    alone = await ann.make(type=2, name="Alone")
    body = {"pull_all": {"occupants_ids": [ann.users["ann"].id]}}
    answer = await ann.clients["ann"].put(f"/chat/Dialog/{alone}", json=body)
    assert (answer.status_code, answer.json()["occupants_ids"]) == (200, [])
    assert (await ann.clients["ann"].get(f"/chat/Dialog/{alone}")).status_code == 404


async def test_many_at_once(ann: Ann) -> None:
    own, others = await ann.group("bob"), await ann.group("bob")
    strange = await ann.group("cyd")
    private = await ann.make(type=3, occupants_ids=[ann.users["bob"].id])
    found = await ann.delete("bob", f"{own}, {others},{strange},{MISSING},no-id,{private},{own}")
    assert found == {
        "SuccessfullyDeleted": [own, others, private],
        "NotFound": [MISSING, "no-id"],
        "WrongPermissions": [strange],
    }
    found = await ann.delete("cyd", f"{own},{strange}", force=1)
    assert found == {"SuccessfullyDeleted": [], "NotFound": [], "WrongPermissions": [own, strange]}
    found = await ann.delete("ann", f"{own}%2C{strange}", force="1")
    assert found["SuccessfullyDeleted"] == [own, strange]
    assert await ann.listed("cyd") == []
    assert await ann.delete("ann", others) == {"SuccessfullyDeleted": [others], "NotFound": [], "WrongPermissions": []}
    for dialog_id, status in ((MISSING, 404), ("no-id", 404), (strange, 404)):
        assert (await ann.clients["ann"].delete(f"/chat/Dialog/{dialog_id}")).status_code == status
    many = ",".join(f"{number:024x}" for number in range(IDS_MAX + 1))
    assert (await ann.clients["ann"].delete(f"/chat/Dialog/{many}")).status_code == 422


async def test_a_private_dialog_comes_back_with_the_next_message(ann: Ann) -> None:
    dialog = await ann.make(type=3, occupants_ids=[ann.users["bob"].id])
    pair = {"recipient_id": ann.users["bob"].id}
    await ann.world.send(dialog, ann.users["ann"], "before", **pair)
    facts = await ann.world.cache.dialog(ann.world.app.id, dialog)
    assert facts is not None
    assert not facts.hidden
    await ann.delete("bob", dialog)
    facts = await ann.world.cache.dialog(ann.world.app.id, dialog)
    assert facts is not None
    assert facts.hidden  # so that the next message shows it
    assert (await ann.listed("bob"), await ann.listed("ann")) == ([], [dialog])
    assert await ann.history("ann", dialog) == ["before"]
    ann.world.clock.advance(1)
    await ann.world.send(dialog, ann.users["ann"], "after", **pair)
    ann.world.cache.forget((LISTED, ann.users["bob"].id))  # as the messages service does
    assert await ann.listed("bob") == [dialog]
    assert await ann.history("bob", dialog) == ["after"]
    found = await ann.dialog("bob", dialog)
    assert (found["last_message"], found["unread_messages_count"]) == ("after", 1)
    # Starting it again shows it too, and what was cleared stays so.
    await ann.delete("bob", dialog)
    body = {"type": 3, "occupants_ids": [ann.users["ann"].id]}
    found = (await ann.clients["bob"].post("/chat/Dialog", json=body)).json()
    assert (found["_id"], found["last_message"], found["unread_messages_count"]) == (dialog, None, 0)
    assert await ann.listed("bob") == [dialog]
    assert await ann.history("bob", dialog) == []


async def test_a_message_shows_a_dialog_whose_hiding_the_node_has_not_heard_of(ann: Ann, database_url: str) -> None:
    dialog = await ann.make(type=3, occupants_ids=[ann.users["bob"].id])
    async with opened(database_url, apps=False) as other:
        at_ann = other.client(ann.clients["ann"].headers["CB-Token"])
        at_bob = other.client(ann.clients["bob"].headers["CB-Token"])
        body = {"recipient_id": ann.users["bob"].id, "message": "before"}
        assert (await at_ann.post("/chat/Message", json=body)).status_code == 201
        await ann.delete("bob", dialog)
        facts = other.cache.peek_dialog(dialog)
        assert not facts.hidden  # the word has not come
        other.cache.drop(((LISTED, ann.users["bob"].id),))
        assert (await at_bob.get("/chat/Dialog")).json()["items"] == []
        body["message"] = "after"
        assert (await at_ann.post("/chat/Message", json=body)).status_code == 201
        listed = (await at_bob.get("/chat/Dialog")).json()["items"]
        assert [(item["_id"], item["last_message"]) for item in listed] == [(dialog, "after")]
        facts = await other.cache.dialog(ann.world.app.id, dialog)
        assert facts is not None
        assert not facts.hidden
    assert await ann.history("bob", dialog) == ["after"]


async def test_for_everyone(ann: Ann) -> None:
    dialog = await ann.make(type=3, occupants_ids=[ann.users["bob"].id])
    sent = await ann.world.send(dialog, ann.users["ann"], recipient_id=ann.users["bob"].id)
    assert (await ann.clients["bob"].delete(f"/chat/Dialog/{dialog}?force=1")).status_code == 403
    await ann.delete("ann", dialog, force=True)
    assert (await ann.listed("ann"), await ann.listed("bob")) == ([], [])
    assert (await ann.clients["bob"].get(f"/chat/Message?chat_dialog_id={dialog}")).status_code == 404
    await ann.world.eraser.run()
    assert not any((await stored(ann.world, dialog)).values())
    again = await ann.make(type=3, occupants_ids=[ann.users["bob"].id])
    assert again != dialog
    # The id of an erased message is free: a resend does not look stored.
    resent = await ann.world.send(again, ann.users["ann"], message_id=sent.message_id, recipient_id=ann.users["bob"].id)
    assert resent.fresh
    assert await ann.history("bob", again) == ["hello"]


async def test_much_is_erased_in_steps(ann: Ann, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "BATCH", 3)
    group, kept = await ann.group("bob"), await ann.group("bob")
    for number in range(10):
        sent = await ann.world.send(group, ann.users["ann"], str(number))
        await ann.world.send(kept, ann.users["ann"], str(number))
    await ann.world.mark(group, ann.users["bob"], sent.message_id)
    await ann.delete("ann", f"{group},{MISSING}", force=1)
    left = [await ann.rows("messages", group)]
    while await ann.world.writer.run(lambda tx: erasing.erase_some(tx, 0)):
        left.append(await ann.rows("messages", group))
    assert left == [10, 7, 4, 1, 0]
    assert not any((await stored(ann.world, group)).values())
    assert len(await ann.history("bob", kept)) == 10
    assert await ann.rows("message_ids", kept) == 10


async def test_clearing_for_oneself(ann: Ann) -> None:
    group = await ann.group("bob")
    for number in range(3):
        await ann.world.send(group, ann.users["ann"], str(number))
    answer = await ann.clients["bob"].delete(f"/chat/Dialog/clearHistory/{group}")
    assert (answer.status_code, answer.json()) == (200, {})
    found = await ann.dialog("bob", group)
    assert (found["last_message"], found["unread_messages_count"]) == (None, 0)
    assert (await ann.history("bob", group), len(await ann.history("ann", group))) == ([], 3)
    assert (await ann.dialog("ann", group))["last_message"] == "2"
    await ann.world.send(group, ann.users["ann"], "next")
    assert await ann.history("bob", group) == ["next"]
    assert (await ann.dialog("bob", group))["unread_messages_count"] == 1


@pytest.mark.parametrize("erased", [False, True])
async def test_clearing_for_everyone(ann: Ann, erased: bool) -> None:
    """What is gone is gone at once, whether or not the background job has been there."""
    group = await ann.group("bob")
    sent = [await ann.world.send(group, ann.users["ann"], str(number)) for number in range(3)]
    await ann.world.mark(group, ann.users["bob"], sent[0].message_id)
    pins = {"push_all": {"pinned_messages_ids": [sent[1].message_id]}, "permissions": {"allow_preview": True}}
    await ann.clients["ann"].put(f"/chat/Dialog/{group}", json=pins)
    seen_at = (await ann.world.dialogs.seen(ann.world.app.id, 0, group)).view.dialog.updated_at_ms
    answer = await ann.clients["ann"].request("DELETE", f"/chat/Dialog/clearHistory/{group}", json={"force": 1})
    assert (answer.status_code, answer.json()) == (200, {})
    if erased:
        await ann.world.eraser.run()
        assert await ann.rows("messages", group) == 0
    body = {"push_all": {"occupants_ids": [ann.users["cyd"].id]}}
    assert (await ann.clients["ann"].put(f"/chat/Dialog/{group}", json=body)).status_code == 200
    for name in ("ann", "bob", "cyd"):
        found = await ann.dialog(name, group)
        assert (found["last_message"], found["last_message_date_sent"], found["pinned_messages_ids"]) == (
            None,
            None,
            [],
        )
        assert found["unread_messages_count"] == 0
        assert await ann.history(name, group) == []
        counted = await ann.clients[name].get(f"/chat/Message?chat_dialog_id={group}&count=1")
        assert counted.json() == {"items": {"count": 0}}
    preview = await ann.clients["dan"].get(f"/chat/Message?chat_dialog_id={group}&preview=1")
    assert preview.json()["items"] == []
    assert (await ann.world.dialogs.seen(ann.world.app.id, 0, group)).view.dialog.updated_at_ms > seen_at
    # Old markers, pins and resends bring nothing back.
    await ann.world.mark(group, ann.users["bob"], sent[2].message_id)
    again = await ann.clients["ann"].put(f"/chat/Dialog/{group}", json=pins)
    assert again.json()["pinned_messages_ids"] == []
    await ann.world.send(group, ann.users["ann"], "next")
    for name, unread in (("ann", 0), ("bob", 1), ("cyd", 1)):
        assert (await ann.dialog(name, group))["unread_messages_count"] == unread
        assert await ann.history(name, group) == ["next"]


async def test_public_dialogs(ann: Ann) -> None:
    dialog = await ann.make(type=4, name="News")
    path = f"/chat/Dialog/{dialog}/subscribe"
    await ann.world.send(dialog, ann.users["ann"], "before")
    ann.world.clock.advance(1)
    for _ in range(2):
        answer = await ann.clients["bob"].post(path, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200
        assert {**answer.json(), "occupants_count": 2, "unread_messages_count": 0} == answer.json()
    assert await ann.listed("bob") == [dialog]
    assert await ann.history("bob", dialog) == ["before"]
    await ann.world.send(dialog, ann.users["ann"], "after")
    assert (await ann.dialog("bob", dialog))["unread_messages_count"] == 1
    for _ in range(2):
        answer = await ann.clients["bob"].delete(path)
        assert (answer.status_code, answer.json()) == (200, {})
    assert await ann.listed("bob") == []
    await ann.clients["bob"].post(path)
    assert (await ann.dialog("bob", dialog))["unread_messages_count"] == 0
    await ann.delete("bob", dialog)
    assert await ann.listed("bob") == []
    await ann.delete("ann", dialog)  # stays hers, though she reads it no more
    assert (await ann.clients["bob"].post(path)).json()["user_id"] == ann.users["ann"].id
    await ann.delete("ann", dialog, force=1)


async def test_groups_can_be_joined_where_the_application_says_so(ann: Ann) -> None:
    group = await ann.group("bob")
    path = f"/chat/Dialog/{group}/subscribe"
    assert (await ann.clients["cyd"].post(path)).status_code == 403
    await ann.world.setting(group_subscribe=True)
    await ann.world.send(group, ann.users["ann"])
    answer = await ann.clients["cyd"].post(path)
    assert (answer.status_code, answer.json()["unread_messages_count"]) == (200, 1)
    assert ann.users["cyd"].id in answer.json()["occupants_ids"]
    for _ in range(2):
        assert (await ann.clients["cyd"].delete(path)).status_code == 200
    assert await ann.listed("cyd") == []
    private = await ann.make(type=3, occupants_ids=[ann.users["bob"].id])
    assert (await ann.clients["bob"].post(f"/chat/Dialog/{private}/subscribe")).status_code == 422


async def test_broadcasts_are_hidden_and_shown(ann: Ann) -> None:
    new = NewDialog(type=1, name="News")
    dialog = (await ann.world.dialogs.create_broadcast(ann.world.app.id, ann.users["ann"].id, new)).id
    await ann.world.send(dialog, ann.users["ann"], "one")
    assert await ann.listed("bob") == [dialog]
    for _ in range(2):
        await ann.delete("bob", dialog)
        assert await ann.listed("bob") == []
    facts = await ann.world.cache.dialog(ann.world.app.id, dialog)
    assert facts is not None
    assert facts.away == {ann.users["bob"].id}  # it delivers nothing there
    answer = await ann.clients["bob"].post(f"/chat/Dialog/{dialog}/subscribe")
    assert (answer.status_code, answer.json()["_id"]) == (200, dialog)
    assert await ann.listed("bob") == [dialog]
    facts = await ann.world.cache.dialog(ann.world.app.id, dialog)
    assert facts is not None
    assert not facts.away
    assert await ann.history("bob", dialog) == ["one"]


async def test_nobody_is_put_into_a_dialog_after_its_account_is_gone(ann: Ann) -> None:
    group = await ann.group("bob")
    await ann.world.removal.remove(ann.world.app.id, ann.users["cyd"].id)
    body = {"push_all": {"occupants_ids": [ann.users["cyd"].id]}}
    found = (await ann.clients["ann"].put(f"/chat/Dialog/{group}", json=body)).json()
    assert found["occupants_ids"] == [ann.users["ann"].id, ann.users["bob"].id]
    with pytest.raises(DomainError):
        await ann.world.changes.subscribe(ann.world.app.id, ann.users["cyd"].id, await ann.make(type=4, name="News"))


async def test_whose_account_goes_while_a_dialog_is_made_is_not_in_it(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at who exists comes before the transaction."""
    cyd, app = ann.users["cyd"].id, ann.world.app.id
    await ann.world.removal.remove(app, cyd)

    async def everybody(app_id: int, ids: Sequence[int]) -> set[int]:
        return set(ids)

    monkeypatch.setattr(ann.world.users, "existing", everybody)
    group = await ann.group("bob", "cyd")
    assert (await ann.dialog("bob", group))["occupants_ids"] == [ann.users["ann"].id, ann.users["bob"].id]
    answer = await ann.clients["ann"].post("/chat/Dialog", json={"type": 3, "occupants_ids": [cyd]})
    assert answer.status_code == 404
    assert await ann.listed("ann") == [group]


async def test_an_owner_who_has_left_a_public_dialog_is_no_member(ann: Ann) -> None:
    public = await ann.make(type=4, name="Square")
    await ann.clients["bob"].post(f"/chat/Dialog/{public}/subscribe")
    await ann.clients["ann"].delete(f"/chat/Dialog/{public}/subscribe")
    for path in (f"Message?chat_dialog_id={public}", f"Dialog/{public}/occupants", f"Dialog/{public}/notifications"):
        assert (await ann.clients["ann"].get(f"/chat/{path}")).status_code == 403, path
        assert (await ann.clients["bob"].get(f"/chat/{path}")).status_code == 200, path
    assert (await ann.clients["ann"].put(f"/chat/Dialog/{public}/notifications?enabled=0")).status_code == 403
    # The dialog is the owner's all the same.
    assert (await ann.clients["ann"].put(f"/chat/Dialog/{public}", json={"name": "Park"})).json()["name"] == "Park"
