"""Guests: let in without an account, for one day."""

from tests.features.test_sessions import EXPIRY, create, failure
from tests.features.world import PASSWORD, World
from voxcube.server.features.sessions.service import LogIn, SessionService

DAY = 24 * 3600


async def test_a_guest_gets_a_session_for_a_day(world: World) -> None:
    answer = await create(world, user={"guest": "1", "full_name": "Passer-by"})
    assert answer.status_code == 201
    assert answer.headers[EXPIRY] == "2026-01-02 00:00:00 UTC"
    session = answer.json()["session"]
    user = session["user"]
    assert (user["is_guest"], user["full_name"], user["email"]) == (True, "Passer-by", None)
    assert user["login"].startswith("guest_login_")
    assert session["user_id"] == user["id"]
    client = world.client(session["token"])
    assert (await client.get("/chat/Dialog")).status_code == 200
    second = (await create(world, user={"guest": True})).json()["session"]["user"]
    assert second["login"] != user["login"]
    assert second["full_name"] is None


async def test_a_guest_has_no_password(world: World) -> None:
    session = (await create(world, user={"guest": 1})).json()["session"]
    login = session["user"]["login"]
    for password in ("", PASSWORD, session["token"]):
        assert (await create(world, user={"login": login, "password": password})).status_code in (401, 422)
        assert not await world.passwords.verify(None, password)
    check = world.sessions.check_credentials
    assert await check(world.app.id, session["user_id"], session["token"])
    assert not await check(world.app.id, session["user_id"], PASSWORD)
    change = {"user": {"password": PASSWORD, "old_password": "anything"}}
    answer = await world.client(session["token"]).put(f"/users/{session['user_id']}", json=change)
    assert failure(answer) == (422, {"old_password": ["is incorrect"]})


async def test_neither_requests_nor_the_chat_extend_a_guest(world: World) -> None:
    session = (await create(world, user={"guest": "1"})).json()["session"]
    client = world.client(session["token"])
    world.clock.advance(DAY - 10)
    assert (await client.get("/session")).headers[EXPIRY] == "2026-01-02 00:00:00 UTC"
    assert await world.sessions.check_credentials(world.app.id, session["user_id"], session["token"])
    world.clock.advance(10)
    assert (await client.get("/session")).status_code == 401
    assert not await world.sessions.check_credentials(world.app.id, session["user_id"], session["token"])


async def test_guests_go_when_their_day_is_over(world: World) -> None:
    ann = await world.user("ann")
    old = (await create(world, user={"guest": "1"})).json()["session"]["user_id"]
    world.clock.advance(60)
    young = (await create(world, user={"guest": "1"})).json()["session"]["user_id"]
    world.clock.advance(DAY - 61)
    assert await world.removal.remove_ended_guests() == 0
    world.clock.advance(1)
    assert await world.removal.remove_ended_guests() == 1
    assert await world.user_store.existing(world.app.id, [ann.id, old, young]) == {ann.id, young}
    world.clock.advance(60)
    assert await world.removal.remove_ended_guests() == 1
    assert await world.user_store.existing(world.app.id, [ann.id, young]) == {ann.id}


async def test_a_guest_who_logs_in_is_a_guest_no_more(world: World) -> None:
    await world.user("ann")
    session = (await create(world, user={"guest": "1"})).json()["session"]
    client = world.client(session["token"])
    assert (await client.post("/login", json={"login": "ann", "password": PASSWORD})).status_code == 202
    world.clock.advance(DAY - 60)
    assert (await client.get("/session")).headers[EXPIRY] == "2026-01-02 01:59:00 UTC"
    await world.removal.remove_ended_guests()
    assert (await client.get("/session")).json()["session"]["user"]["login"] == "ann"


async def test_guests_and_external_tokens_do_not_log_in(world: World) -> None:
    client = await world.app_client()
    answer = await client.post("/login", json={"user": {"guest": "1"}})
    assert failure(answer) == (422, {"base": ["Guests get in by POST /session"]})
    status, errors = failure(await client.post("/login", json={"login": "external-token"}))
    assert status == 422
    assert "identity provider" in errors["base"][0]
    answer = await client.post("/login", json={"provider": "twitter", "keys": {"token": "a", "secret": "b"}})
    assert failure(answer) == (422, {"base": ["Login by twitter is not configured for this application"]})


async def test_connected_sessions_keep_their_tokens(world: World) -> None:
    ann = await world.user("ann")
    sessions: SessionService = world.sessions
    token = (await world.login(ann)).headers["CB-Token"]
    admission = await sessions.check_credentials(world.app.id, ann.id, token)
    assert admission is not None
    login = LogIn(world.app.id, ann.id, admission.token_hash)
    by_password, nobody = LogIn(world.app.id, ann.id, None), LogIn(world.app.id, 4711, None)
    elsewhere = LogIn(world.other.id, ann.id, None)
    for _ in range(3):
        world.clock.advance(7000)
        assert await sessions.keep_alive([login, by_password, nobody, elsewhere]) == {nobody, elsewhere}
    world.clock.advance(7200)
    assert await sessions.keep_alive([login, by_password]) == {login}
