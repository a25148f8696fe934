"""Finding users: every operator of version 2, version 1, look-ups, and who is online."""

from urllib.parse import quote

import httpx
import pytest

from tests.features.test_users import errors
from tests.features.world import World
from voxcube.server.storage import presence
from voxcube.server.storage.database import Tx


async def people(world: World) -> httpx.AsyncClient:
    """Four users, made ten seconds apart, and one of the same kind in the other application."""
    ann = await world.user(
        "Annabel",
        email="ann@example.org",
        full_name="Änn B",
        phone="+4915123456789",
        user_tags=["vip", "new"],
        facebook_id="f1",
        external_user_id=7,
    )
    world.clock.advance(10)
    await world.user("annalena", full_name="änn b", user_tags=["vip"], twitter_id="t1", external_id="x-7")
    world.clock.advance(10)
    await world.user("bob", full_name="Bob 100%", phone="4915100000000", user_tags=["old"])
    world.clock.advance(10)
    await world.user("carol_x", website="https://carol.example")
    await world.user("Annabel", world.other, full_name="Änn B", user_tags=["vip"], facebook_id="f1", twitter_id="t1")
    return await world.login(ann)


V2 = [
    ("login=ANNABEL", ["Annabel"]),
    ("login[in]=annabel,bob", ["Annabel", "bob"]),
    ("login[in][]=annabel&login[in][]=bob", ["Annabel", "bob"]),
    ("login[start_with]=ANNA", ["Annabel", "annalena"]),
    ("login[start_with]=anna&login[nin]=annabel", ["annalena"]),
    ("email[start_with]=ann@EX", ["Annabel"]),
    ("full_name=ÄNN B", ["Annabel", "annalena"]),
    ("full_name[start_with]=bob 1", ["bob"]),
    ("full_name[start_with]=b%25 1", []),
    ("phone=%2B4915123456789", ["Annabel"]),
    ("phone=+4915123456789", ["Annabel"]),
    ("phone[in]=4915123456789,%2B4915100000000", ["Annabel", "bob"]),
    ("facebook_id=f1", ["Annabel"]),
    ("twitter_id[in]=t1", ["annalena"]),
    ("external_id=x-7", ["annalena"]),
    ("user_tags=vip", ["Annabel", "annalena"]),
    ("user_tags=vi", []),
    ("user_tags=vip,new", []),
    ("user_tags[in]=new,old", ["Annabel", "bob"]),
    ("user_tags[in][]=new&user_tags[in][]=old", ["Annabel", "bob"]),
    ("user_tags=vip&login[nin]=annabel", ["annalena"]),
    ("login[in]=annabel,bob,carol_x&user_tags[nin]=vip", ["bob", "carol_x"]),
    ("full_name=änn b&user_tags[nin][]=new", ["annalena"]),
    ("login[in]=annabel,annalena,bob&created_at[gt]=1767225600", ["annalena", "bob"]),
    ("login[in]=annabel,annalena,bob&created_at[gte]=1767225600&created_at[lt]=1767225620", ["Annabel", "annalena"]),
    ("login[in]=annabel,annalena,bob&updated_at[lte]=2026-01-01T00:00:10Z", ["Annabel", "annalena"]),
    ("login[in]=annabel,bob&last_request_at[gt]=0", ["Annabel"]),
    ("login[in]=annabel,bob&sort_desc=created_at", ["bob", "Annabel"]),
    ("login[in]=annabel,bob,carol_x&sort_asc=phone", ["carol_x", "Annabel", "bob"]),
    ("login[in]=annabel,bob&sort_desc=full_name", ["Annabel", "bob"]),
    ("login[in]=annabel,bob&_=1767225600&sort_asc=password_hash", ["Annabel", "bob"]),
]


async def test_version_2(world: World) -> None:
    client = await people(world)
    for query, expected in V2:
        answer = await client.get(f"/users/v2?{query}")
        assert answer.status_code == 200, (query, answer.text)
        page = answer.json()
        assert [user["login"] for user in page["items"]] == expected, query
        assert page["total_entries"] == len(expected), query
        assert page["limit"] == (5 if "start_with" in query else 100)


V2_REFUSED = [
    "",
    "user_tags[nin]=vip",
    "login[nin]=bob",
    "created_at[gt]=1",
    "last_request_at=5&login=bob",
    "login=bob&created_at[in]=1,2",
    "login[start_with]=ann",
    "login=bob&full_name[start_with]=bo",
    "login[gt]=bob",
    "login[ne]=bob",
    "login[ctn]=bo",
    "user_tags[gt]=a",
    "id[start_with]=1000",
    "sort_asc=login",
    "login=bob&unknown=1",
    "login=bob&_unknown=1",
    "login=bob&website=x",
    "login=bob&password_hash[start_with]=argo",
    "login=bob&filter[]=string login eq ann",
    "login=bob&page=2",
]


async def test_version_2_refuses(world: World) -> None:
    client = await people(world)
    for query in V2_REFUSED:
        assert (await client.get(f"/users/v2?{query}")).status_code == 422, query


V1: list[tuple[str, list[str]]] = [
    ("", ["Annabel", "annalena", "bob", "carol_x"]),
    ("filter[]=string login eq BOB", ["bob"]),
    ("filter[]=string+login+in+bob,annabel", ["Annabel", "bob"]),
    ("filter[]=" + quote("string+login+in+bob,annabel"), ["Annabel", "bob"]),
    ("filter[eq]=string full_name eq Bob 100%25", ["bob"]),
    ("filter=" + quote("string full_name ne änn b"), ["bob", "carol_x"]),
    ("filter=number external_user_id eq 7,string login in annabel,bob", ["Annabel"]),
    ("filter[]=string phone eq %2B4915123456789", ["Annabel"]),
    ("filter[]=date created_at gt 2026-01-01T00:00:00Z&filter[]=date created_at lt 1767225630", ["annalena", "bob"]),
    ("filter[ge]=date created_at ge 1767225610&filter[le]=date created_at le 1767225620", ["annalena", "bob"]),
    ("filter[]=date created_at between 1767225610,1767225620", ["annalena", "bob"]),
    ("filter[]=number external_user_id eq 7", ["Annabel"]),
    ("filter[]=string website eq https://carol.example", ["carol_x"]),
    ("order=desc string login", ["carol_x", "bob", "annalena", "Annabel"]),
    ("order=" + quote("desc+date+created_at"), ["carol_x", "bob", "annalena", "Annabel"]),
    ("order=asc number external_user_id&filter[]=string login in annabel,bob", ["bob", "Annabel"]),
    ("per_page=2&page=2", ["bob", "carol_x"]),
]


async def test_version_1(world: World) -> None:
    client = await people(world)
    for query, expected in V1:
        answer = await client.get(f"/users?{query}")
        assert answer.status_code == 200, (query, answer.text)
        page = answer.json()
        assert set(page) == {"current_page", "per_page", "total_entries", "items"}
        assert [item["user"]["login"] for item in page["items"]] == expected, query
    page = (await client.get("/users.json?per_page=3&page=2")).json()
    assert (page["current_page"], page["per_page"], page["total_entries"], len(page["items"])) == (2, 3, 4, 1)
    assert (await client.get("/users?per_page=1000")).json()["per_page"] == 100
    assert (await client.get("/users")).json()["per_page"] == 10
    ids = [item["user"]["id"] for item in page["items"]]
    page = (await client.get("/users", params={"filter[]": f"number id in {ids[0]},4711"})).json()
    assert [item["user"]["id"] for item in page["items"]] == ids


V1_REFUSED = [
    "filter[]=login eq bob",
    "filter[]=string password_hash eq x",
    "filter[]=string login like bob",
    "filter[]=blob login eq bob",
    "filter[]=number id eq one",
    "filter[]=date created_at gt yesterday",
    "filter[]=date created_at between 5",
    "filter[a][b]=5",
    "filter=",
    "filter[]=",
    "login=bob",
    "filters[]=string login eq bob",
    "_page=2",
    "order=login",
    "order=up string login",
    "order=asc string password_hash",
    "page=0",
    "per_page=-1",
    "page=100000&per_page=100",
]


async def test_version_1_refuses(world: World) -> None:
    client = await people(world)
    for query in V1_REFUSED:
        assert (await client.get(f"/users?{query}")).status_code == 422, query
    refused: tuple[object, ...] = (5, [], {})
    for given in refused:
        assert (await client.request("GET", "/users", json={"filter": given})).status_code == 422


async def test_version_1_can_be_switched_off(world: World) -> None:
    client = await people(world)
    await world.setting(disable_users_list_v1=True)
    status, found = errors(await client.get("/users"))
    assert status == 403
    assert found["base"][0].startswith("Users retrieving forbidden in admin panel, application settings. ")
    assert (await client.get("/users/v2?login=bob")).status_code == 200


LOOK_UPS = [
    ("by_login?login=ANNABEL", "Annabel"),
    ("by_email?email=Ann@Example.org", "Annabel"),
    ("by_facebook_id?facebook_id=f1", "Annabel"),
    ("by_twitter_id?twitter_id=t1", "annalena"),
    ("by_phone?phone=%2B4915123456789", "Annabel"),
    ("by_phone?phone=4915123456789", "Annabel"),
    ("phone?phone=+4915123456789", "Annabel"),
    ("phone.json?phone=4915100000000", "bob"),
    ("external/7", "Annabel"),
    ("external/x-7", "annalena"),
]


async def test_look_ups(world: World) -> None:
    client = await people(world)
    for query, login in LOOK_UPS:
        answer = await client.get(f"/users/{query}")
        assert answer.status_code == 200, (query, answer.text)
        assert answer.json()["user"]["login"] == login
    for query in ("by_login?login=eve", "by_twitter_id?twitter_id=f1", "external/8", "external/" + "9" * 40):
        assert errors(await client.get(f"/users/{query}")) == (404, {"base": ["User does not exist"]})
    for query in ("by_login", "by_email?email=", "phone?phone=%20"):
        assert (await client.get(f"/users/{query}")).status_code == 422


async def test_by_full_name_and_by_tags(world: World) -> None:
    client = await people(world)

    async def logins(query: str) -> list[str]:
        answer = await client.get(f"/users/{query}")
        assert answer.status_code == 200, (query, answer.text)
        return [item["user"]["login"] for item in answer.json()["items"]]

    assert await logins("by_full_name?full_name=NN b") == ["Annabel", "annalena"]
    assert await logins("by_full_name?full_name=Ä&per_page=1&page=2") == ["annalena"]
    assert await logins("by_full_name?full_name=0%25") == ["bob"]
    assert await logins("by_full_name?full_name=%25") == ["bob"]
    assert await logins("by_full_name?full_name=_") == []
    assert await logins("by_full_name?full_name=%5C") == []
    assert await logins("by_tags?tags=vip") == ["Annabel", "annalena"]
    assert await logins("by_tags?tags=new, old") == ["Annabel", "bob"]
    assert await logins("by_tags?tags[]=none") == []
    assert (await client.get("/users/by_full_name")).status_code == 422
    assert (await client.get("/users/by_tags?tags=")).status_code == 422


async def test_tags_follow_changes(world: World) -> None:
    client = await people(world)
    me = (await client.get("/session")).json()["session"]["user_id"]
    await client.put(f"/users/{me}", json={"user": {"tag_list": ["blue"]}})
    assert (await client.get("/users/v2?user_tags=new")).json()["items"] == []
    assert [user["id"] for user in (await client.get("/users/v2?user_tags=blue")).json()["items"]] == [me]
    await client.put(f"/users/{me}", json={"user": {"full_name": "Zoe", "tag_list": None}})
    assert (await client.get("/users/v2?user_tags=blue")).json()["items"] == []
    assert (await client.get("/users/v2?full_name=ZOE")).json()["total_entries"] == 1


@pytest.mark.parametrize("count", ["true", "1"])
async def test_online(world: World, count: str) -> None:
    ann, bob, cid = await world.user("ann"), await world.user("bob"), await world.user("cid")
    zed = await world.user("zed", world.other)
    client = await world.login(ann)
    assert (await client.get("/users/online")).json() == {"users": []}
    now = world.clock.now()

    async def show(tx: Tx) -> None:
        await presence.renew(tx, "one", now + 30)
        await presence.renew(tx, "two", now + 30)
        await presence.renew(tx, "dead", now - 1)
        await presence.show(tx, "one", [(ann.id, 1, 1), (bob.id, 2, 1), (zed.id, 1, 1)])
        await presence.show(tx, "two", [(bob.id, 1, 1)])
        await presence.show(tx, "dead", [(cid.id, 1, 1)])

    await world.writer.run(show)
    users = (await client.get("/users/online")).json()["users"]
    assert [user["login"] for user in users] == ["ann", "bob"]
    assert [user["id"] for user in (await client.get("/users/online?limit=1&offset=1")).json()["users"]] == [bob.id]
    assert (await client.get(f"/users/online?count={count}")).json() == {"count": 2}
    assert (await client.get("/users/online?limit=-1")).status_code == 422
    theirs = await world.login(zed, world.other)
    assert (await theirs.get("/users/online?count=1")).json() == {"count": 1}
