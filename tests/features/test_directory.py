"""What users and guests see of others: by every list, look-up and list of occupants."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.features.test_sessions import create
from tests.features.world import World
from voxcube.server.core.models import DialogType, User
from voxcube.server.features.dialogs.service import NewDialog
from voxcube.server.storage import presence
from voxcube.server.storage.database import Tx

PHONE = "4915123456789"
#: Requests that find bob, and nobody else where there is only bob.
WAYS = {
    "id": "/users/{bob}",
    "external": "/users/external/7",
    "login": "/users/by_login?login=bob",
    "facebook": "/users/by_facebook_id?facebook_id=f-bob",
    "twitter": "/users/by_twitter_id?twitter_id=t-bob",
    "name": "/users/by_full_name?full_name=bob",
    "tags": "/users/by_tags?tags=t-bob",
    "v1": "/users?per_page=100",
    "v1 filter": "/users?filter[]=string login eq bob",
    "v2 id": "/users/v2?id={bob}",
    "v2 login": "/users/v2?login[in]=bob,cyd",
    "v2 name": "/users/v2?full_name[start_with]=bob b",
    "v2 tags": "/users/v2?user_tags=t-bob",
    "online": "/users/online",
}
BY_EMAIL = {
    "look-up": "/users/by_email?email=bob@example.org",
    "v1": "/users?filter[]=string email eq bob@example.org",
    "v1 order": "/users?order=asc string email",
    "v2": "/users/v2?email[start_with]=bob@",
    "v2 and": "/users/v2?login=bob&email[nin]=x@example.org",
    "v2 sort": "/users/v2?login=bob&sort_asc=email",
}


class People:
    def __init__(self, world: World) -> None:
        self.world = world
        self.bob: User
        self.clients: dict[str, httpx.AsyncClient] = {}
        self.guest_id = 0

    async def found(self, who: str, path: str) -> dict[int, dict[str, Any]] | int:
        """Users in the answer by id, or the status when it is not 200."""
        answer = await self.clients[who].get(path.format(bob=self.bob.id))
        if answer.status_code != 200:
            return answer.status_code
        body = answer.json()
        items = body.get("items", body.get("users")) or [body]
        users = [item.get("user", item) for item in items if item]
        found = {user["id"]: user for user in users if "id" in user}
        if "total_entries" in body:
            assert body["total_entries"] == len(found)
        return found

    async def met(self) -> None:
        """Bob and the guest are in one group."""
        new = NewDialog(type=DialogType.GROUP, name="Group", occupants=[self.guest_id])
        await self.world.dialogs.create(self.world.app.id, self.bob.id, new)


@pytest.fixture
async def people(world: World) -> People:
    found = People(world)
    for name in ("ann", "bob", "cyd"):
        user = await world.user(
            name,
            email=f"{name}@example.org",
            full_name=f"{name} B",
            phone=PHONE if name == "bob" else None,
            user_tags=[f"t-{name}"],
            facebook_id=f"f-{name}",
            twitter_id=f"t-{name}",
            external_user_id=7 if name == "bob" else None,
        )
        if name == "bob":
            found.bob = user
        else:
            found.clients[name] = await world.login(user)
    session = (await create(world, user={"guest": "1"})).json()["session"]
    found.guest_id = session["user_id"]
    found.clients["guest"] = world.client(session["token"])

    async def online(tx: Tx) -> None:
        await presence.renew(tx, "node", world.clock.now() + 1000)
        await presence.show(tx, "node", [(found.bob.id, 1, 1)])

    await world.writer.run(online)
    return found


async def test_guests_find_people_of_their_dialogs_only(people: People) -> None:
    for way, path in WAYS.items():
        nobody = await people.found("guest", path)
        assert nobody == 404 or (isinstance(nobody, dict) and set(nobody) <= {people.guest_id}), way
    await people.met()
    for way, path in WAYS.items():
        found = await people.found("guest", path)
        assert isinstance(found, dict), way
        assert set(found) - {people.guest_id} == {people.bob.id}, way
        assert (found[people.bob.id]["email"], found[people.bob.id]["phone"]) == (None, None), way
        assert found[people.bob.id]["login"] == "bob"


async def test_users_see_all_by_default(people: People) -> None:
    for way, path in WAYS.items():
        found = await people.found("ann", path)
        assert isinstance(found, dict), way
        assert (found[people.bob.id]["email"], found[people.bob.id]["phone"]) == ("bob@example.org", PHONE), way


async def finds_bob(people: People, who: str, path: str) -> bool:
    found = await people.found(who, path)
    assert found == 422 or (isinstance(found, dict) and people.bob.id in found), (who, path, found)
    return found != 422


async def test_what_is_hidden_is_not_searched_or_sorted_by(people: People) -> None:
    await people.met()
    by_phone = (f"/users/phone?phone={PHONE}", f"/users/by_phone?phone={PHONE}", f"/users/v2?phone={PHONE}")
    by_email = tuple(BY_EMAIL.values())
    for path in (*by_email, *by_phone):
        assert not await finds_bob(people, "guest", path)
        assert await finds_bob(people, "ann", path)
    await people.world.setting(email_visible_to="nobody")
    assert [path for path in (*by_email, *by_phone) if await finds_bob(people, "ann", path)] == [*by_phone]
    await people.world.setting(email_visible_to="everyone", guests_list_users=True)
    assert [path for path in (*by_email, *by_phone) if await finds_bob(people, "guest", path)] == [*by_email]


SETTINGS: list[tuple[dict[str, str], Any, Any]] = [
    ({}, ("bob@example.org", PHONE), (None, None)),
    ({"email_visible_to": "nobody"}, (None, PHONE), (None, None)),
    ({"phone_visible_to": "nobody"}, ("bob@example.org", None), (None, None)),
    ({"email_visible_to": "everyone"}, ("bob@example.org", PHONE), ("bob@example.org", None)),
    ({"phone_visible_to": "everyone", "email_visible_to": "nobody"}, (None, PHONE), (None, PHONE)),
]


async def test_settings(people: People) -> None:
    await people.met()
    for settings, ann_sees, guest_sees in SETTINGS:
        changes: dict[str, Any] = dict(settings)
        await people.world.setting(**changes)
        for who, expected in (("ann", ann_sees), ("guest", guest_sees)):
            for way in ("id", "v1 filter", "v2 login", "name", "online"):
                found = await people.found(who, WAYS[way])
                assert isinstance(found, dict)
                bob = found[people.bob.id]
                assert (bob["email"], bob["phone"]) == expected, (settings, who, way)
    own = (await people.clients["ann"].get("/users/by_login?login=ann")).json()["user"]
    assert own["email"] == "ann@example.org"


async def test_occupants_of_a_dialog(people: People) -> None:
    world = people.world
    new = NewDialog(type=DialogType.GROUP, name="Group", occupants=[people.guest_id])
    dialog = await world.dialogs.create(world.app.id, people.bob.id, new)
    body = (await people.clients["guest"].get(f"/chat/Dialog/{dialog.view.dialog.id}/occupants")).json()
    users = {item["id"]: item for item in body["items"]}
    assert set(users) == {people.bob.id, people.guest_id}
    assert users[people.bob.id]["email"] is users[people.bob.id]["user"]["email"] is None


async def test_writers_of_broadcasts_are_found(people: People) -> None:
    world = people.world
    await world.dialogs.create_broadcast(world.app.id, people.bob.id, NewDialog(type=1, name="News"))
    assert await people.found("guest", WAYS["id"]) != 404
    found = await people.found("guest", WAYS["v2 login"])
    assert isinstance(found, dict)
    assert set(found) == {people.bob.id}


async def test_who_has_left_is_not_found(people: People) -> None:
    await people.met()
    await people.world.removal.remove(people.world.app.id, people.bob.id)
    assert await people.found("guest", WAYS["id"]) == 404
