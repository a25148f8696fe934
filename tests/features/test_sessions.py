"""Sessions: who gets one, how long it lives, what its answers look like; and passwords at the chat's door."""

import asyncio
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.features.world import PASSWORD, World
from voxcube.server.core.errors import Unauthorized
from voxcube.server.features.sessions.service import REPLAYED, SIGNED_WITHIN, Credentials
from voxcube.server.features.sessions.signature import signature
from voxcube.server.features.users.passwords import Match, Passwords

EXPIRY = "CB-Token-ExpirationDate"


def keys(world: World, **more: Any) -> dict[str, Any]:
    return {"application_id": world.app.id, "auth_key": world.app.auth_key, **more}


async def create(world: World, **more: Any) -> httpx.Response:
    return await world.client().post("/session", json=keys(world, **more))


def failure(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["errors"]


async def test_session_by_login(world: World) -> None:
    user = await world.user("ann", full_name="Ann")
    answer = await create(world, user={"login": "ANN", "password": PASSWORD})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers[EXPIRY] == "2026-01-01 02:00:00 UTC"
    session = answer.json()["session"]
    assert set(session) == {"id", "user_id", "application_id", "token", "ts", "created_at", "updated_at", "user"}
    assert isinstance(session["id"], int)
    assert 0 < session["id"] < 2**53
    assert session["user_id"] == user.id
    assert session["application_id"] == world.app.id
    assert session["ts"] == 1767225600
    assert session["created_at"] == session["updated_at"] == "2026-01-01T00:00:00Z"
    assert len(session["token"]) >= 32
    assert session["user"] == {
        **dict.fromkeys(("email", "phone", "website", "custom_data", "avatar", "external_user_id", "external_id")),
        **dict.fromkeys(("facebook_id", "twitter_id", "blob_id", "user_tags", "timezone")),
        "id": user.id,
        "login": "ann",
        "full_name": "Ann",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "last_request_at": "2026-01-01T00:00:00Z",
        "is_guest": False,
    }


async def test_session_by_email_as_form_and_with_suffix(world: World) -> None:
    user = await world.user("ann", email="Ann@example.org")
    form = {
        "application_id": str(world.app.id),
        "auth_key": world.app.auth_key,
        "user[email]": "ann@EXAMPLE.org",
        "user[password]": PASSWORD,
    }
    answer = await world.client().post("/session.json", data=form)
    assert answer.status_code == 201
    assert answer.json()["session"]["user_id"] == user.id


async def test_application_session(world: World) -> None:
    answer = await create(world)
    session = answer.json()["session"]
    assert (session["user_id"], session["user"]) == (0, None)
    client = world.client(session["token"])
    assert failure(await client.get("/chat/Dialog")) == (403, {"base": ["Forbidden. Need user."]})


async def test_unknown_users_are_created_unless_switched_off(world: World) -> None:
    answer = await create(world, user={"login": "newcomer", "password": PASSWORD})
    assert answer.status_code == 201
    assert answer.json()["session"]["user"]["login"] == "newcomer"
    short = await create(world, user={"login": "other", "password": "short"})
    assert failure(short) == (422, {"password": ["is too short (minimum is 8 characters)"]})
    await world.setting(session_creates_user=False)
    answer = await create(world, user={"login": "nobody", "password": PASSWORD})
    assert failure(answer) == (401, {"base": ["Unauthorized"]})


async def test_two_first_sessions_at_once_make_one_user(world: World) -> None:
    answers = await asyncio.gather(*(create(world, user={"login": "twin", "password": PASSWORD}) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["session"]["user_id"] for answer in answers}) == 1


REFUSED: list[tuple[dict[str, Any], int, dict[str, Any]]] = [
    ({"auth_key": "wrong"}, 422, {"base": ["Bad credentials"]}),
    ({"application_id": 4711}, 422, {"base": ["Bad credentials"]}),
    ({"application_id": None, "auth_key": None}, 422, {"base": ["Bad credentials"]}),
    ({"application_id": "x"}, 422, {"application_id": ["must be an integer"]}),
    ({"user": {"login": "ann", "password": "wrong password"}}, 401, {"base": ["Unauthorized"]}),
    ({"user": {"login": "ann"}}, 422, {"password": ["can't be blank"]}),
    ({"user": {"password": "x"}}, 422, {"base": ["Login or email is required"]}),
    ({"user": 5}, 422, {"user": ["must be an object"]}),
    (
        {"provider": "facebook", "keys": {"token": "x"}},
        422,
        {"base": ["Login by facebook is not configured for this application"]},
    ),
    (
        {"provider": "firebase_phone", "firebase_phone": {"project_id": "x", "access_token": "y"}},
        422,
        {"base": ["Login by firebase_phone is not configured for this application"]},
    ),
    (
        {"provider": "myspace"},
        422,
        {"base": ["Unknown provider; these exist: facebook, twitter, firebase_phone, firebase_email"]},
    ),
]


async def test_refused(world: World) -> None:
    await world.user("ann")
    for change, status, errors in REFUSED:
        answer = await create(world, **change)
        assert failure(answer) == (status, errors)
        assert EXPIRY not in answer.headers


async def test_another_applications_user_is_unknown_here(world: World) -> None:
    await world.user("ann", world.other)
    await world.setting(session_creates_user=False)
    assert (await create(world, user={"login": "ann", "password": PASSWORD})).status_code == 401


async def test_signature_is_verified_when_sent(world: World) -> None:
    await world.user("ann")
    body = keys(world, nonce=33432, timestamp=1767225600, user={"login": "ann", "password": PASSWORD})
    good = signature(world.app.auth_secret or "", body)
    answer = await world.client().post("/session", json={**body, "signature": good})
    assert answer.status_code == 201
    answer = await world.client().post("/session", json={**body, "nonce": 1, "signature": good})
    assert failure(answer) == (422, {"base": ["Unexpected signature"]})
    late = {**body, "timestamp": 1767225600 - 7200}
    late["signature"] = signature(world.app.auth_secret or "", late)
    assert failure(await world.client().post("/session", json=late)) == (422, {"base": ["Unexpected timestamp"]})


def test_signature_flattens_and_sorts() -> None:
    social = {"provider": "facebook", "keys": {"token": "t", "secret": None}, "nonce": 1}
    text = "keys[token]=t&nonce=1&provider=facebook"
    assert signature("s", social) == hmac.new(b"s", text.encode(), hashlib.sha1).hexdigest()
    body = {"user": {"password": "p&w", "login": "ann", "email": None}, "nonce": 1, "signature": "no", "auth_key": "k"}
    text = "auth_key=k&nonce=1&user[login]=ann&user[password]=p&w"
    assert signature("s", body) == hmac.new(b"s", text.encode(), hashlib.sha1).hexdigest()


START = "application_id={app}&auth_key={key}&nonce=7&timestamp=1767225600"
SIGNED: list[tuple[dict[str, Any], str]] = [
    (
        {"user": {"login": "ann", "password": PASSWORD}},
        f"{START}&user[login]=ann&user[password]=correct horse",
    ),
    (
        {"user": {"email": "ann@example.org", "password": PASSWORD}},
        f"{START}&user[email]=ann@example.org&user[password]=correct horse",
    ),
    (
        {"user": {"guest": "1", "full_name": "Ünn & Co=1"}},
        f"{START}&user[full_name]=Ünn & Co=1&user[guest]=1",
    ),
    ({}, START),
]


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
async def test_signature_as_flutter_makes_it(world: World, form: bool) -> None:
    await world.user("ann", email="ann@example.org")
    for more, text in SIGNED:
        text = text.format(app=world.app.id, key=world.app.auth_key)
        signed = hmac.new((world.app.auth_secret or "").encode(), text.encode(), hashlib.sha1).hexdigest()
        body = keys(world, nonce="7", timestamp=1767225600, signature=signed, **more)
        if form:
            answer = await world.client().post("/session", data=dict(flat(body)))
        else:
            answer = await world.client().post("/session.json", json=body)
        assert answer.status_code == 201, answer.text
        wrong = {**body, "signature": signed[::-1]}
        assert failure(await world.client().post("/session", json=wrong)) == (422, {"base": ["Unexpected signature"]})


def flat(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in body.items():
        if isinstance(value, dict):
            yield from ((f"{name}[{inner}]", text) for inner, text in value.items())
        else:
            yield name, str(value)


async def test_no_session_outlives_a_user_deleted_meanwhile(world: World) -> None:
    client = await world.app_client()
    for _ in range(5):
        user = await world.user("ann")
        signed_in = create(world, user={"login": "ann", "password": PASSWORD})
        logged_in = client.post("/login", json={"login": "ann", "password": PASSWORD})
        results = await asyncio.gather(signed_in, logged_in, world.removal.remove(world.app.id, user.id))
        for answer in results[:2]:
            assert answer.status_code in (201, 202, 401), answer.text
        if results[0].status_code == 201:
            session = results[0].json()["session"]
            if session["user_id"] == user.id:  # otherwise it was made anew, as unknown users are
                assert (await world.client(session["token"]).get("/session")).status_code == 401
            else:
                await world.removal.remove(world.app.id, session["user_id"])
        if (await client.get("/session")).status_code == 401:
            client = await world.app_client()


async def test_show_end_and_the_text_of_401(world: World) -> None:
    client = await world.login(await world.user("ann"))
    shown = await client.get("/session")
    assert shown.status_code == 200
    assert shown.json()["session"]["token"] == client.headers["CB-Token"]
    assert shown.json()["session"]["user"]["login"] == "ann"
    ended = await client.delete("/session")
    assert (ended.status_code, ended.json()) == (200, {})
    required = (401, {"base": ["Required session does not exist"]})
    assert failure(await client.get("/session")) == required
    assert failure(await world.client().get("/chat/Dialog")) == required
    assert failure(await world.client("x" * 43).get("/chat/Dialog")) == required
    assert failure(await world.client().get("/users/1", headers={"CB-Token": ""})) == required


async def test_other_sessions_are_ended_by_list_or_id(world: World) -> None:
    user, stranger = await world.user("ann"), await world.user("bob")
    first, second, third = [await world.login(user) for _ in range(3)]
    other = await world.login(stranger)
    id_of_other = (await other.get("/session")).json()["session"]["id"]
    assert (await first.delete(f"/session/{id_of_other}")).status_code == 404
    id_of_second = (await second.get("/session")).json()["session"]["id"]
    assert (await first.delete(f"/session/{id_of_second}")).status_code == 200
    assert (await second.get("/session")).status_code == 401
    assert (await first.delete("/session/list")).status_code == 200
    assert (await third.get("/session")).status_code == 401
    assert (await first.get("/session")).status_code == 200
    assert (await other.get("/session")).status_code == 200


async def test_login_and_logout_change_the_session(world: World) -> None:
    await world.user("ann", email="ann@example.org")
    client = await world.app_client()
    answer = await client.post("/login", json={"login": "ann", "password": PASSWORD})
    assert (answer.status_code, answer.json()["user"]["login"]) == (202, "ann")
    assert EXPIRY in answer.headers
    assert (await client.get("/chat/Dialog")).status_code == 200
    answer = await client.delete("/login")
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await client.get("/session")).json()["session"]["user"] is None
    answer = await client.post("/login", data={"user[email]": "ann@example.org", "user[password]": PASSWORD})
    assert answer.status_code == 202
    answer = await client.post("/login", json={"login": "unknown", "password": PASSWORD})
    assert failure(answer) == (401, {"base": ["Unauthorized"]})
    assert failure(await client.post("/login", json={})) == (422, {"base": ["Login or email is required"]})
    assert (await world.client().post("/login", json={})).status_code == 401


async def test_life_slides_with_requests_and_ends(world: World) -> None:
    client = await world.login(await world.user("ann"))
    world.clock.advance(30)  # not worth a write yet
    assert (await client.get("/session")).headers[EXPIRY] == "2026-01-01 02:00:00 UTC"
    world.clock.advance(3600)
    assert (await client.get("/session")).headers[EXPIRY] == "2026-01-01 03:00:30 UTC"
    assert (await client.get("/nowhere")).headers[EXPIRY] == "2026-01-01 03:00:30 UTC"
    user = await world.user_store.by_login(world.app.id, "ann")
    assert user is not None
    assert user.last_request_at == 1767225600 + 3630
    world.clock.advance(7199)
    assert (await client.get("/session")).status_code == 200
    world.clock.advance(7200)
    answer = await client.get("/session")
    assert answer.status_code == 401
    assert EXPIRY not in answer.headers


async def test_the_chat_takes_password_or_any_live_token(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    check, app = world.sessions.check_credentials, world.app.id
    token = (await world.login(ann)).headers["CB-Token"]
    assert await check(app, ann.id, PASSWORD)
    assert await check(app, ann.id, PASSWORD)  # remembered
    assert await check(app, ann.id, token)
    assert not await check(app, bob.id, token)
    assert not await check(world.other.id, ann.id, token)
    assert not await check(world.other.id, ann.id, PASSWORD)
    assert not await check(app, ann.id, "wrong")
    assert not await check(app, 4711, PASSWORD)
    assert not await check(2**70, -1, "\ud800")
    world.clock.advance(7000)
    assert await check(app, ann.id, token)  # and its life is extended
    world.clock.advance(7000)
    assert await check(app, ann.id, token)
    world.clock.advance(7201)
    assert not await check(app, ann.id, token)


async def test_tokens_and_passwords_are_not_in_the_database(world: World) -> None:
    user = await world.user("ann")
    client = await world.login(user)
    stored = await world.user_store.by_id(world.app.id, user.id)
    assert stored is not None
    assert stored.password_hash is not None
    assert stored.password_hash.startswith("$argon2id$")
    session = await world.token_store.find(client.headers["CB-Token"])
    assert session is not None
    assert client.headers["CB-Token"] not in repr((session, stored))


async def test_expired_tokens_can_be_removed(world: World) -> None:
    client = await world.login(await world.user("ann"))
    assert await world.sessions.forget_ended() == 0
    world.clock.advance(7200)
    assert await world.sessions.forget_ended() == 1
    assert (await client.get("/session")).status_code == 401


async def test_service_says_unauthorized(world: World) -> None:
    await world.user("ann")
    with pytest.raises(Unauthorized):
        await world.sessions.create(
            app_id=world.app.id,
            auth_key=world.app.auth_key,
            credentials=Credentials(login="ann", password="wrong password"),
        )


async def test_equal_logins_at_once_are_one_piece_of_work(world: World) -> None:
    passwords = Passwords(clock=world.clock, time_cost=1, memory_cost=8)
    calls: list[str] = []
    check = passwords._check

    def counted(password_hash: str | None, password: str) -> Match:
        calls.append(password)
        return check(password_hash, password)

    passwords._check = counted  # type: ignore[method-assign]
    stored = await passwords.hash("right")
    first = asyncio.create_task(passwords.verify(stored, "right"))
    await asyncio.sleep(0)
    first.cancel()  # whoever leaves takes nothing from the others
    attempts = [passwords.verify(stored, word) for word in ["right", "wrong"] * 20]
    assert [bool(match) for match in await asyncio.gather(*attempts)] == [True, False] * 20
    assert sorted(calls) == ["right", "wrong"]
    passwords.close()


async def test_passwords_forget_what_was_changed_and_what_is_old(world: World) -> None:
    passwords = Passwords(clock=world.clock, time_cost=1, memory_cost=8, remember=60, capacity=1)
    calls: list[str] = []
    check = passwords._check

    def counted(password_hash: str | None, password: str) -> Match:
        calls.append(password)
        return check(password_hash, password)

    passwords._check = counted  # type: ignore[method-assign]
    old, new = await passwords.hash("old"), await passwords.hash("new")
    assert await passwords.verify(old, "old")
    assert await passwords.verify(old, "old")
    assert calls == ["old"]
    assert not await passwords.verify(new, "old")  # the stored hash has changed
    assert not await passwords.verify(None, "old")  # the same work for nobody
    assert calls == ["old"] * 3
    world.clock.advance(61)
    assert await passwords.verify(old, "old")
    assert calls == ["old"] * 4
    assert await passwords.verify(new, "new")  # takes the only place
    assert await passwords.verify(old, "old")
    assert calls == [*["old"] * 4, "new", "old"]
    passwords.close()


async def test_a_signed_request_opens_one_session(world: World) -> None:
    """Its nonce is remembered; what was refused may be sent again as it is."""
    secret = world.app.auth_secret or ""
    await world.users.create(world.app, {"login": "ann"}, "correct horse")

    def signed(nonce: str, password: str = "correct horse") -> dict[str, Any]:
        body = keys(world, nonce=nonce, timestamp=world.clock.now(), user={"login": "ann", "password": password})
        return {**body, "signature": signature(secret, body)}

    async with world.client() as client:
        first = signed("1")
        assert (await client.post("/session", json=first)).status_code == 201
        for replay in (first, {**first, "signature": first["signature"].upper()}):
            assert failure(await client.post("/session", json=replay)) == (422, {"base": [REPLAYED]})
        assert (await client.post("/session", json=signed("2"))).status_code == 201
        wrong = signed("3", "wrong password")
        for _ in range(2):
            assert (await client.post("/session", json=wrong)).status_code == 401
        both = signed("4")
        answers = await asyncio.gather(*(client.post("/session", json=both) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422, 422]
        plain = keys(world, user={"login": "ann", "password": "correct horse"})  # the JavaScript SDK signs nothing
        for _ in range(2):
            assert (await client.post("/session", json=plain)).status_code == 201
    world.clock.advance(2 * SIGNED_WITHIN + 1)
    await world.sessions.forget_ended()
    assert not await world.token_store.is_used(world.app.id, first["signature"], world.clock.now() - 3 * SIGNED_WITHIN)
