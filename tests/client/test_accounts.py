"""Sessions of guests and of external tokens, the own account, look-ups; against a server in memory."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.client.fake_rest import EXPIRED, EXPIRY, USER, Answer, FakeRest, session_json, with_session
from voxcube.client import CLEAR, Client, NotFound, Session, SessionExpired, Unauthorized, User, ValidationFailed

PAGE = {"current_page": 3, "per_page": 2, "total_entries": 5, "items": [{"user": USER}]}


async def test_a_guest() -> None:
    rest = FakeRest({"POST /session": (201, session_json(user=USER | {"is_guest": True}))})
    async with rest.client() as cube:
        session = await cube.auth.create_session(guest=True, full_name="Passer-by")
        assert session.user is not None
        assert session.user.is_guest
        assert rest.body()["user"] == {"guest": "1", "full_name": "Passer-by"}
        await cube.auth.create_session(guest=True)
        assert rest.body()["user"] == {"guest": "1"}


async def test_a_session_by_an_external_token() -> None:
    rest = FakeRest(
        {
            "POST /session": (201, session_json("fresh", user=None)),
            "POST /login": [(401, {"errors": {"base": ["Unauthorized"]}}), (202, {"user": USER}, EXPIRY)],
        }
    )
    async with rest.client() as cube:
        with pytest.raises(Unauthorized):
            await cube.auth.create_session(external_token="unknown")
        assert cube._http.user_id == 0
        session = await cube.auth.create_session(external_token="from-elsewhere")
        assert rest.body() == {"login": "from-elsewhere"}
        assert rest.requests[-1].headers["CB-Token"] == "fresh"
        assert session == cube.session
        assert (session.user_id, session.token, session.user) == (77, "fresh", User.from_json(USER))
        assert cube.session_expires_at == datetime(2999, 1, 31, 10, 15, tzinfo=UTC)


async def test_login_by_an_external_token() -> None:
    rest = FakeRest({"POST /login": (202, {"user": USER})})
    async with with_session(rest.client()) as cube:
        assert (await cube.auth.login(external_token="from-elsewhere")).id == 77
        assert rest.body() == {"login": "from-elsewhere"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"guest": True, "login": "ann"},
        {"guest": True, "password": "s3cret-pass"},
        {"full_name": "Ann"},
        {"external_token": "x", "guest": True},
        {"external_token": "x", "password": "s3cret-pass"},
        {"external_token": "x", "full_name": "Ann"},
    ],
)
async def test_two_ways_into_a_session_are_refused(arguments: dict[str, Any]) -> None:
    async with FakeRest().client() as cube:
        with pytest.raises(ValueError, match=r"guest|alone"):
            await cube.auth.create_session(**arguments)


async def test_two_ways_to_log_in_are_refused() -> None:
    async with FakeRest().client() as cube:
        with pytest.raises(ValueError, match="alone"):
            await cube.auth.login(external_token="x", login="ann")


async def test_ending_sessions() -> None:
    rest = FakeRest(
        {
            "DELETE /session/7": (200, "{}"),
            "DELETE /session/8": (404, {"errors": {"base": ["Session not found"]}}),
            "DELETE /session/list": (200, "{}"),
            "DELETE /session": (200, "{}"),
        }
    )
    async with with_session(rest.client()) as cube:
        await cube.auth.destroy_session(7)
        with pytest.raises(NotFound):
            await cube.auth.destroy_session(8)
        await cube.auth.destroy_other_sessions()
        assert cube.session is not None
        await cube.auth.destroy_session(cube.session.id)
        assert rest.requests[-1].url.path == "/session"
        left: tuple[Any, Any] = (cube.session, cube.session_expires_at)
        assert left == (None, None)


async def test_signup_with_tags_and_more() -> None:
    rest = FakeRest({"POST /users": (201, {"user": USER})})
    async with rest.client() as cube:
        user = await cube.users.signup(login="ann", password="s3cret-pass", tags=("vip", "early"), phone="4722334455")
        assert user.user_tags == ("vip", "early")
        with pytest.raises(ValueError, match="comma"):
            await cube.users.signup(login="ann", password="s3cret-pass", tags=["a,b"])
    body = {"login": "ann", "password": "s3cret-pass", "tag_list": ["vip", "early"], "phone": "4722334455"}
    assert rest.body() == {"user": body}


async def test_update_sends_what_is_given() -> None:
    rest = FakeRest({"PUT /users/77": (200, {"user": USER | {"full_name": "Ann Ray"}})})
    async with with_session(rest.client()) as cube:
        user = await cube.users.update(full_name="Ann Ray", phone=CLEAR, tags=[], timezone=0)
        assert rest.body() == {"user": {"full_name": "Ann Ray", "phone": None, "timezone": 0, "tag_list": []}}
        assert cube.session is not None
        assert cube.session.user == user
        await cube.users.update(tags=CLEAR)
        assert rest.body() == {"user": {"tag_list": None}}
        await cube.users.update(password="n3w-secret", old_password="s3cret-pass")
        assert rest.body() == {"user": {"password": "n3w-secret", "old_password": "s3cret-pass"}}
        await cube.users.update(login="anne", old_password="s3cret-pass")
        assert rest.body() == {"user": {"login": "anne", "old_password": "s3cret-pass"}}
        for half in ({"password": "n3w-secret"}, {"old_password": "s3cret-pass"}, {}):
            with pytest.raises(ValueError, match="give"):
                await cube.users.update(**half)  # type: ignore[arg-type]
    assert repr(CLEAR) == "CLEAR"


async def test_a_refused_change_names_the_field() -> None:
    rest = FakeRest({"PUT /users/77": (422, {"errors": {"old_password": ["is incorrect"]}})})
    async with with_session(rest.client()) as cube:
        with pytest.raises(ValidationFailed, match="old_password is incorrect") as refused:
            await cube.users.update(password="n3w-secret", old_password="wrong one")
        assert refused.value.errors == {"old_password": ["is incorrect"]}


async def test_deleting_oneself_ends_the_session_and_never_deletes_another() -> None:
    calls = 0

    async def restore() -> Session:
        nonlocal calls
        calls += 1
        return Session.from_json(session_json("other")["session"])

    rest = FakeRest({"DELETE /users/77": [EXPIRED, (200, "{}")]})
    async with with_session(rest.client(on_session_expired=restore)) as cube:
        with pytest.raises(SessionExpired):
            await cube.users.delete()
        assert calls == 0
        await cube.users.delete()
        assert cube.session is None


@pytest.mark.parametrize("field", ["login", "email", "phone", "facebook_id", "twitter_id"])
async def test_looking_one_up(field: str) -> None:
    rest = FakeRest(
        {f"GET /users/by_{field}": [(200, {"user": USER}), (404, {"errors": {"base": ["User does not exist"]}})]}
    )
    async with with_session(rest.client()) as cube:
        look_up: Callable[[str], Any] = getattr(cube.users, f"by_{field}")
        assert (await look_up("+ a&b/ü")).id == 77
        assert rest.query() == [(field, "+ a&b/ü")]
        with pytest.raises(NotFound):
            await look_up("x")


async def test_looking_one_up_by_external_id() -> None:
    found = {"limit": 1, "skip": 0, "total_entries": 1, "items": [USER | {"external_id": "crm/88"}]}
    rest = FakeRest({"GET /users/v2": [(200, found), (200, found | {"items": []})]})
    async with with_session(rest.client()) as cube:
        assert (await cube.users.by_external_id("crm/88")).external_id == "crm/88"
        assert ("external_id", "crm/88") in rest.query()
        with pytest.raises(NotFound, match="crm/89"):
            await cube.users.by_external_id("crm/89")


async def test_searching_by_name_and_by_tags() -> None:
    rest = FakeRest({"GET /users/by_full_name": (200, PAGE), "GET /users/by_tags": (200, PAGE)})
    async with with_session(rest.client()) as cube:
        page = await cube.users.by_full_name("lee", page=3, per_page=2)
        assert ([user.login for user in page], page.skip, page.limit, page.total) == (["ann"], 4, 2, 5)
        assert rest.query() == [("full_name", "lee"), ("page", "3"), ("per_page", "2")]
        await cube.users.by_tags(["vip", "early"])
        assert rest.query() == [("tags", "vip,early"), ("page", "1"), ("per_page", "10")]
        with pytest.raises(ValueError, match="begin at 1"):
            await cube.users.by_tags("vip", page=0)


async def test_who_is_online() -> None:
    def answer(request: httpx.Request) -> Answer:
        return (200, {"count": 12}) if request.url.params.get("count") else (200, {"users": [USER]})

    rest = FakeRest({"GET /users/online": answer})
    async with with_session(rest.client()) as cube:
        page = await cube.users.online(limit=5, skip=2)
        assert ([user.id for user in page], page.skip, page.limit, page.total) == ([77], 2, 5, None)
        assert rest.query() == [("limit", "5"), ("offset", "2")]
        assert await cube.users.online_count() == 12


async def test_the_list_takes_every_operator() -> None:
    rest = FakeRest({"GET /users/v2": (200, {"limit": 100, "skip": 0, "total_entries": 0, "items": []})})
    since = datetime(2026, 1, 1, tzinfo=UTC)
    async with with_session(rest.client()) as cube:
        await cube.users.list(
            login__start_with="anna", id__nin=[1, 2], user_tags__in=["vip"], created_at__gte=since, sort="-created_at"
        )
    assert rest.query() == [
        ("limit", "100"),
        ("offset", "0"),
        ("sort_desc", "created_at"),
        ("login[start_with]", "anna"),
        ("id[nin][]", "1"),
        ("id[nin][]", "2"),
        ("user_tags[in][]", "vip"),
        ("created_at[gte]", "1767225600"),
    ]


async def test_a_known_end_is_noticed_before_the_request_and_once_for_all() -> None:
    calls = 0
    cube: Client

    async def restore() -> Session:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return await cube.auth.create_session(login="ann", password="s3cret-pass")

    rest = FakeRest({"POST /session": (201, session_json("new"), EXPIRY), "GET /users/88": (200, {"user": USER})})
    async with with_session(rest.client(on_session_expired=restore), "old") as cube:
        cube._http.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        await asyncio.gather(*(cube.users.get(88) for _ in range(5)))
        assert calls == 1
        tokens = [request.headers.get("CB-Token") for request in rest.requests]
        assert tokens == [None, *["new"] * 5]
        assert cube.session_expires_at == datetime(2999, 1, 31, 10, 15, tzinfo=UTC)
