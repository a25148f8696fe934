"""What a blocked user sees of the blocker, and cannot do to it, over REST: last activity, who is online, groups."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.features.world import World
from voxcube.server.core.models import DialogType, User
from voxcube.server.core.privacy import KINDS, PrivacyItem
from voxcube.server.features.blocking.service import BlockingService
from voxcube.server.features.dialogs.service import NewDialog
from voxcube.server.storage import presence
from voxcube.server.storage.database import Tx
from voxcube.server.storage.privacy import PrivacyStore

DOMAIN = "chat.example.org"
LOOK_UPS = {
    "id": "/users/{ann}",
    "external": "/users/external/7",
    "login": "/users/by_login?login=ann",
    "name": "/users/by_full_name?full_name=ann",
    "tags": "/users/by_tags?tags=t",
    "v1": "/users?per_page=100",
    "v2": "/users/v2?login[in]=ann,bob,cyd",
}
#: These would tell the value, or that there is one, by the place of a user in the answer.
BY_ACTIVITY = {
    "v1 order": "/users?order=desc date last_request_at",
    "v1 filter": "/users?filter[]=date last_request_at gt 2000-01-01T00:00:00Z",
    "v2 filter": "/users/v2?login=ann&last_request_at[gt]=1",
    "v2 sort": "/users/v2?login[in]=ann,bob,cyd&sort_asc=last_request_at",
    "online": "/users/online",
}


def item(order: int, value: str, *kinds: str, deny: bool = True) -> PrivacyItem:
    return PrivacyItem(order, deny, "jid", value, kinds)


class People:
    """Ann blocks bob; cyd is a third user."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.users: dict[str, User] = {}
        self.clients: dict[str, httpx.AsyncClient] = {}

    def jid(self, name: str) -> str:
        return f"{self.users[name].id}-{self.world.app.id}@{DOMAIN}"

    def nick(self, name: str) -> str:
        return f"muc.{DOMAIN}/{self.users[name].id}"

    async def block(self, *items: PrivacyItem) -> None:
        """Ann's default list holds these items."""
        app_id, user_id = self.world.app.id, self.users["ann"].id
        await self.world.privacy.put(app_id, user_id, "list", items)
        await self.world.privacy.set_default(app_id, user_id, "list")

    async def one_way(self, *, mutual: bool = False) -> None:
        """As the official SDKs block."""
        kinds = () if mutual else tuple(KINDS)
        await self.block(item(1, self.jid("bob"), *kinds), item(2, self.nick("bob"), *kinds))

    async def xep_0191(self) -> None:
        service = BlockingService(self.world.privacy, PrivacyStore(self.world.database), DOMAIN)
        await service.block(self.world.app.id, self.users["ann"].id, [self.jid("bob")])

    async def seen(self, who: str, path: str) -> dict[str, Any]:
        """`last_request_at` of the users in the answer, by login."""
        answer = await self.clients[who].get(path.format(ann=self.users["ann"].id))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found = body.get("items", body.get("users", [body]))
        return {(user := one.get("user", one))["login"]: user["last_request_at"] for one in found}

    async def group(self, who: str, *names: str, **other: Any) -> dict[str, Any]:
        """A new group by REST."""
        ids = [self.users[name].id for name in names]
        answer = await self.clients[who].post(
            "/chat/Dialog", json={"type": 2, "name": "Group", "occupants_ids": ids, **other}
        )
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def names(self, dialog: dict[str, Any], key: str = "occupants_ids") -> set[str]:
        return {name for name, user in self.users.items() if user.id in dialog[key]}


@pytest.fixture
async def people(world: World) -> People:
    found = People(world)
    for name in ("ann", "bob", "cyd"):
        external = 7 if name == "ann" else None
        user = await world.user(name, full_name=f"{name} B", user_tags=["t"], external_user_id=external)
        found.users[name] = user
        found.clients[name] = await world.login(user)

    async def online(tx: Tx) -> None:
        await presence.renew(tx, "node", world.clock.now() + 1000)
        await presence.show(tx, "node", [(user.id, 1, 1) for user in found.users.values()])

    await world.writer.run(online)
    return found


async def sees_nothing(people: People) -> None:
    group = people.names(await people.group("bob", "cyd"))
    assert group == {"bob", "cyd"}
    for way, path in LOOK_UPS.items():
        assert (await people.seen("bob", path))["ann"] is None, way
        assert (await people.seen("cyd", path))["ann"] is not None, way
    for way, path in BY_ACTIVITY.items():
        assert "ann" not in await people.seen("bob", path), way
        assert "ann" in await people.seen("cyd", path), way
    assert (await people.clients["bob"].get("/users/v2?login=ann&last_request_at[gt]=1&offset=1")).json()[
        "total_entries"
    ] == 0
    assert (await people.clients["bob"].get("/users/online?count=1")).json() == {"count": 2}
    assert (await people.clients["cyd"].get("/users/online?count=1")).json() == {"count": 3}


@pytest.mark.parametrize("way", ["one way", "mutual", "xep-0191", "everybody but cyd", "domain but cyd"])
async def test_last_activity_is_hidden_and_nobody_is_pulled_into_groups(people: People, way: str) -> None:
    await people.world.user("dan")
    for path in (*LOOK_UPS.values(), *BY_ACTIVITY.values()):
        assert "ann" in await people.seen("bob", path)
    before = await people.group("bob", "ann", "cyd")
    if way == "xep-0191":
        await people.xep_0191()
    elif way.endswith("but cyd"):
        allow = (item(1, people.jid("cyd"), deny=False), item(2, people.nick("cyd"), deny=False))
        rest = PrivacyItem(3, True) if way.startswith("everybody") else item(3, DOMAIN)
        await people.block(*allow, rest)
    else:
        await people.one_way(mutual=way == "mutual")
    await sees_nothing(people)
    # Whoever shares a group remains in it, and its last activity is hidden there too.
    occupants = f"/chat/Dialog/{before['_id']}/occupants"
    assert (await people.seen("bob", occupants))["ann"] is None
    assert (await people.seen("cyd", occupants))["ann"] is not None
    body = (await people.clients["bob"].get(occupants)).json()
    assert [one["user"]["last_request_at"] for one in body["items"] if one["login"] == "ann"] == [None]
    # The list taken back, everything is as before.
    await people.world.privacy.set_default(people.world.app.id, people.users["ann"].id, None)
    for path in (*LOOK_UPS.values(), *BY_ACTIVITY.values()):
        assert (await people.seen("bob", path))["ann"] is not None
    assert people.names(await people.group("bob", "ann")) == {"ann", "bob"}


async def test_the_blocker_sees_the_blocked_and_itself(people: People) -> None:
    await people.one_way()
    for path in (*LOOK_UPS.values(), *BY_ACTIVITY.values()):
        seen = await people.seen("ann", path)
        assert seen["ann"] is not None
    assert people.names(await people.group("ann", "bob")) == {"ann", "bob"}


async def test_messages_alone_may_be_denied(people: People) -> None:
    await people.block(item(1, people.jid("bob"), "message"))
    for path in (*LOOK_UPS.values(), *BY_ACTIVITY.values()):
        assert (await people.seen("bob", path))["ann"] is not None
    assert people.names(await people.group("bob", "ann")) == {"bob"}
    await people.block(item(1, people.jid("bob"), "presence-out"))
    assert (await people.seen("bob", LOOK_UPS["id"]))["ann"] is None
    assert people.names(await people.group("bob", "ann")) == {"ann", "bob"}


@pytest.mark.parametrize("form", [False, True])
async def test_nobody_adds_the_blocker_later(people: People, form: bool) -> None:
    await people.one_way()
    ann, cyd = people.users["ann"].id, people.users["cyd"].id
    group = await people.group("bob", "ann", admins_ids=[ann])  # 422 would tell
    assert people.names(group) == {"bob"}
    path = f"/chat/Dialog/{group['_id']}"
    if form:
        change: dict[str, Any] = {
            "data": {"push_all[occupants_ids][]": [ann, cyd], "push_all[admins_ids][]": [ann, cyd]}
        }
    else:
        change = {"json": {"push_all": {"occupants_ids": [ann, cyd], "admins_ids": [ann, cyd]}}}
    answer = await people.clients["bob"].put(path, **change)
    assert answer.status_code == 200, answer.text
    assert people.names(answer.json()) == {"bob", "cyd"}
    assert people.names(answer.json(), "admins_ids") == {"cyd"}
    # A third member may add it; then it stays, and roles are changed as those of others.
    answer = await people.clients["cyd"].put(path, json={"push_all": {"occupants_ids": [ann]}})
    assert people.names(answer.json()) == {"ann", "bob", "cyd"}
    answer = await people.clients["bob"].put(path, json={"push_all": {"occupants_ids": [ann], "admins_ids": [ann]}})
    assert people.names(answer.json(), "admins_ids") == {"ann", "cyd"}
    # Whoever has left is not pulled back.
    assert (await people.clients["ann"].delete(path)).status_code == 200
    answer = await people.clients["bob"].put(path, json={"push_all": {"occupants_ids": [ann]}})
    assert people.names(answer.json()) == {"bob", "cyd"}


async def test_a_private_dialog_stays_out_of_the_list_of_the_blocker(people: People) -> None:
    await people.one_way()
    ann, bob = people.clients["ann"], people.clients["bob"]
    answer = await bob.post("/chat/Dialog", json={"type": 3, "occupants_ids": [people.users["ann"].id]})
    assert answer.status_code == 201
    dialog_id = answer.json()["_id"]
    message = {"chat_dialog_id": dialog_id, "message": "hello", "send_to_chat": 1}
    assert (await bob.post("/chat/Message", json=message)).status_code == 403
    assert [one["_id"] for one in (await bob.get("/chat/Dialog")).json()["items"]] == [dialog_id]
    assert (await ann.get("/chat/Dialog")).json()["items"] == []
    await people.world.privacy.set_default(people.world.app.id, people.users["ann"].id, None)
    assert (await bob.post("/chat/Message", json=message)).status_code == 201
    assert [one["_id"] for one in (await ann.get("/chat/Dialog")).json()["items"]] == [dialog_id]


async def test_administrators_are_not_blocked(people: People) -> None:
    await people.block(PrivacyItem(1, True))
    world, ann = people.world, people.users["ann"].id
    group = await people.group("bob")
    answer = await world.client().put(
        f"/admin/chat/{group['_id']}",
        json={"push_all": {"occupants_ids": [ann]}},
        headers={"CB-Administration-API-Key": world.app.admin_api_key},
    )
    assert answer.status_code == 200, answer.text
    new = NewDialog(type=DialogType.BROADCAST, name="News", admins=[ann])
    dialog = await world.dialogs.create_broadcast(world.app.id, people.users["bob"].id, new)
    assert (await people.clients["ann"].get(f"/chat/Dialog/{dialog.id}")).json()["admins_ids"] == [ann]


async def test_a_page_of_many_users_reads_their_lists_once(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    world = people.world
    for number in range(97):
        await world.user(f"user{number}", full_name="many")
    await people.one_way()
    world.cache.clear()
    client, reads = people.clients["bob"], 0
    path = "/users?per_page=100"
    original = type(world.database).fetch

    async def counted(self: Any, *args: Any) -> Any:
        nonlocal reads
        reads += 1
        return await original(self, *args)

    monkeypatch.setattr(type(world.database), "fetch", counted)
    users = (await client.get(path)).json()["items"]
    assert len(users) == 100
    first, reads = reads, 0
    assert first <= 3
    await client.get(path)
    assert reads < first  # the lists are cached
