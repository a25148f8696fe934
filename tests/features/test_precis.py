"""Logins and passwords in every Unicode form that keyboards and systems produce, at both adapters (RFC 8265).

macOS and its browsers send decomposed letters (NFD), most others composed ones (NFC), East Asian input methods
full-width letters, and some keyboards a no-break space: these are one login, and (but for the width) one password.
"""

from __future__ import annotations

import asyncio
import unicodedata
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, update

from tests.features.world import PASSWORD, World
from tests.support.node import running
from voxcube.server.accounts import Accounts
from voxcube.server.core.errors import Conflict, Invalid, TooManyRequests, Unauthorized
from voxcube.server.core.models import User
from voxcube.server.features.sessions.service import Credentials
from voxcube.server.storage.schema import users
from voxcube.server.storage.sql import Query


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def wide(text: str) -> str:
    """In full-width letters, as an East Asian input method writes ASCII."""
    return "".join(
        chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else "\u3000" if char == " " else char for char in text
    )


#: Two ways to write one login: as it was registered, as it is typed later. Each pair is tried both ways round.
LOGINS = {
    "composed and decomposed": ("Zoë Müller", nfd("Zoë Müller")),
    "two marks in another order": ("a\u0323\u0307nn", "a\u0307\u0323nn"),
    "singletons": ("\u212bngstrom", "\u00c5ngstrom"),  # the sign and the letter
    "Hangul": ("김철수", nfd("김철수")),
    "Vietnamese, 70 letters": ("ệ" * 70, nfd("ệ") * 70),  # 210 code points
    "Greek case": ("ΐωάννης", nfd("ΐΩΆΝΝΗΣ".upper())),
    "full-width": ("ann.smith", wide("ann.smith")),
    "full-width in capitals": ("ann smith", wide("ANN SMITH")),
    "half-width katakana": ("パスタ", "\uff8a\uff9f\uff7d\uff80"),
    "no-break space": ("ann smith", "ann\u00a0smith"),
    "ideographic space": ("ann smith", "ann\u3000smith"),
    "right to left": ("שלום 12", "שלום\u00a012"),
    "emoji": ("ann 👩\u200d💻 é", nfd("ann 👩\u200d💻 é")),
    "like an address": ("zoë@example.org", wide("zo") + nfd("ë") + wide("@EXAMPLE.org")),
}
PASSWORDS = {
    "composed and decomposed": ("Pässwörter", nfd("Pässwörter")),
    "40 letters": ("ệ" * 40, nfd("ệ") * 40),
    "Hangul": ("비밀번호비밀번호", nfd("비밀번호비밀번호")),
    "no-break space": ("correct horse", "correct\u00a0horse"),
    "ideographic space": ("correct horse", "correct\u3000horse"),
    "emoji": ("passwort 👩\u200d💻❤\ufe0f é", nfd("passwort 👩\u200d💻❤\ufe0f é")),
    "right to left": ("סיסמה שלי", "סיסמה\u2003שלי"),
}
#: Passwords that are not the same, although a more liberal comparison would take them for it.
APART = {
    "width": ("correct horse", wide("correct") + " horse"),
    "case": ("Correct Horse", "correct horse"),
    "ligatures": ("office horse", "o\ufb03ce horse"),
    "superscripts": ("horse number 2", "horse number ²"),
}


def named(table: dict[str, tuple[str, str]]) -> list[Any]:
    return [pytest.param(pair, id=name) for name, pair in table.items()]


async def create(world: World, fields: dict[str, Any]) -> httpx.Response:
    client = await world.app_client()
    return await client.post("/users", json={"user": {"password": PASSWORD, **fields}})


async def rest(world: World, password: str = PASSWORD, **names: str) -> int | None:
    """The user's id; None when the login was refused."""
    try:
        opened = await world.sessions.create(
            app_id=world.app.id, auth_key=world.app.auth_key, credentials=Credentials(**names, password=password)
        )
    except Unauthorized:
        return None
    assert opened.user is not None
    return opened.user.id


async def xmpp(world: World, user_id: int, password: str) -> bool:
    return await world.sessions.check_credentials(world.app.id, user_id, password) is not None


@pytest.fixture
async def strict(world: World) -> World:
    """Without accounts made by logins: a login that is not found is refused."""
    await world.setting(session_creates_user=False)
    return world


# -- logins and addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", named(LOGINS))
async def test_one_login(strict: World, pair: tuple[str, str]) -> None:
    for registered, typed in (pair, pair[::-1]):
        answer = await create(strict, {"login": registered})
        assert answer.status_code == 201, answer.text
        user = answer.json()["user"]
        assert user["login"] == registered  # shown as it was typed
        assert await rest(strict, login=registered) == user["id"]
        assert await rest(strict, login=typed) == user["id"]
        assert (await create(strict, {"login": typed})).json()["errors"] == {"login": ["has already been taken"]}
        async with await strict.login(await strict.users.get(strict.app.id, user["id"])) as client:
            found = await client.get("/users/by_login", params={"login": typed})
            assert found.json()["user"]["id"] == user["id"]
            listed = await client.get("/users/v2", params={"login[in]": f"{typed},nobody"})
            assert [one["id"] for one in listed.json()["items"]] == [user["id"]]
        await strict.removal.remove(strict.app.id, user["id"])


@pytest.mark.parametrize(
    ("registered", "typed"),
    [
        ("zoë@müller.example", nfd("zoë@müller.example")),
        (nfd("zoë@müller.example"), "ZOË@MÜLLER.example"),
        ("ann@example.org", wide("ann@example.org")),
    ],
)
async def test_one_address(strict: World, registered: str, typed: str) -> None:
    answer = await create(strict, {"email": registered})
    assert answer.status_code == 201, answer.text
    assert await rest(strict, email=typed) == answer.json()["user"]["id"]
    assert (await create(strict, {"login": "another", "email": typed})).status_code == 422


@pytest.mark.parametrize(("registered", "typed"), [("Zoë Müller", nfd("müller")), (nfd("Zoë Müller"), "zoë")])
async def test_names_are_found_in_either_form(world: World, registered: str, typed: str) -> None:
    user = await world.user("zoe", full_name=registered)
    async with await world.login(user) as client:
        found = await client.get("/users/by_full_name", params={"full_name": typed})
        assert [one["user"]["id"] for one in found.json()["items"]] == [user.id]


@pytest.mark.parametrize("login", ["ann\x00smith", "ann\x07smith", "ann\tsmith", "ann\x85smith", "ann\x7fsmith"])
async def test_no_control_characters_in_new_logins(world: World, login: str) -> None:
    for names in ({"login": login}, {"email": f"{login}@example.org"}):
        with pytest.raises(Invalid) as refused:
            await world.users.create(world.app, names, PASSWORD)
        assert list(refused.value.errors) == list(names)


@pytest.mark.parametrize("login", ["", "  ", nfd("éà")])
async def test_too_short_is_counted_in_composed_letters(world: World, login: str) -> None:
    assert (await create(world, {"login": login})).status_code == 422


@pytest.mark.parametrize("field", ["login", "email", "password"])
async def test_long_runs_of_marks_are_refused_at_once(world: World, field: str) -> None:
    """Putting many marks in their order takes time that grows with the square of their number."""
    text = "a" + "\u0301\u0316" * 100_000
    given = {"login": "zoe", "password": PASSWORD, field: text}
    assert (await create(world, given)).status_code == 422
    credentials = {"login": text} if field == "login" else {"email": text} if field == "email" else {"login": "zoe"}
    with pytest.raises((Invalid, Unauthorized)):
        await world.sessions.create(
            app_id=world.app.id,
            auth_key=world.app.auth_key,
            credentials=Credentials(**credentials, password=given["password"]),
        )
    user = await world.user("cyd")
    assert not await xmpp(world, user.id, text)
    async with await world.login(user) as client:
        assert (await client.get("/users/by_login", params={"login": text[:2000]})).status_code == 404


async def test_forms_of_an_unknown_login_are_counted_together(strict: World) -> None:
    forms = ["Zoë Müller", nfd("zoë müller"), wide("Zo") + "ë\u00a0müller"]
    for number in range(5):
        assert await rest(strict, "a wrong guess", login=forms[number % 3]) is None
    for form in forms:
        with pytest.raises(TooManyRequests):
            await rest(strict, "a wrong guess", login=form)


# -- passwords ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", named(PASSWORDS))
async def test_one_password(strict: World, pair: tuple[str, str]) -> None:
    for registered, typed in (pair, pair[::-1]):
        answer = await create(strict, {"login": "zoe", "email": "zoe@example.org", "password": registered})
        assert answer.status_code == 201, answer.text
        user_id = answer.json()["user"]["id"]
        for password in (typed, registered):
            strict.clock.advance(3600)  # nothing remembers the password any more
            assert await rest(strict, password, login="zoe") == user_id
            assert await rest(strict, password, email="zoe@example.org") == user_id
            strict.clock.advance(3600)
            assert await xmpp(strict, user_id, password)
        async with await strict.login(await strict.users.get(strict.app.id, user_id), password=registered) as client:
            for password, status in (("a wrong guess é", 422), (typed, 200)):
                body = {"user": {"old_password": password, "password": "another horse"}}
                assert (await client.put(f"/users/{user_id}", json=body)).status_code == status
        assert not await xmpp(strict, user_id, typed)
        assert await xmpp(strict, user_id, "another horse")
        await strict.removal.remove(strict.app.id, user_id)


@pytest.mark.parametrize("pair", named(APART))
async def test_two_passwords(strict: World, pair: tuple[str, str]) -> None:
    user = await strict.user("zoe")
    for registered, typed in (pair, pair[::-1]):
        await strict.users.set_password(strict.app, user.id, registered)
        assert await rest(strict, typed, login="zoe") is None
        assert not await xmpp(strict, user.id, typed)
        assert await rest(strict, registered, login="zoe") == user.id


@pytest.mark.parametrize("password", ["", "\x00password", "pass\x07word", "pass\tword", "pass\x85word", "pass\x7fword"])
async def test_new_passwords_that_are_refused(world: World, password: str) -> None:
    user = await world.user("zoe")
    with pytest.raises(Invalid):
        await world.users.create(world.app, {"login": "ann"}, password)
    with pytest.raises(Invalid):
        await world.users.set_password(world.app, user.id, password)


async def test_the_length_of_a_password_is_that_of_its_composed_form(world: World) -> None:
    user = await world.user("zoe")
    for password, accepted in ((nfd("é") * 7, False), (nfd("é") * 8, True), (nfd("é") * 40, True), ("é" * 41, False)):
        try:
            await world.users.set_password(world.app, user.id, password)
        except Invalid:
            assert not accepted
        else:
            assert accepted


# -- accounts of older versions ----------------------------------------------------------------------------------------


async def old_hash(world: World, user: User, password: str) -> str:
    """Store a hash of the password as it was typed."""
    hashed = world.passwords._hasher.hash(password)
    await world.writer.run(lambda tx: world.user_store.update(tx, user.app_id, user.id, {"password_hash": hashed}))
    return hashed


@pytest.mark.parametrize("pair", named({name: PASSWORDS[name] for name in PASSWORDS if name != "40 letters"}))
async def test_a_password_hashed_as_typed(strict: World, pair: tuple[str, str]) -> None:
    other, stored = pair

    async def log_in(way: str, password: str) -> bool:
        strict.clock.advance(3600)
        if way == "xmpp":
            return await xmpp(strict, user.id, password)
        names = {"login": way} if way == "rest" else {"email": "zoe@example.org"}
        return await rest(strict, password, **names) == user.id

    for way in ("rest", "email", "xmpp"):
        user = await strict.user(way, email="zoe@example.org")
        hashed = await old_hash(strict, user, stored)
        assert not await log_in(way, "a wrong guess é")
        assert await log_in(way, stored)
        after = await strict.users.get(strict.app.id, user.id)
        assert after.password_hash != hashed  # of the prepared form from now on
        assert after.password_version == user.password_version  # nothing ends: it is the same password
        assert await log_in(way, other)
        assert await log_in(way, stored)
        assert (await strict.users.get(strict.app.id, user.id)).password_hash == after.password_hash
        await strict.removal.remove(strict.app.id, user.id)


async def test_a_password_hashed_as_typed_can_be_changed(world: World) -> None:
    user = await world.user("zoe")
    async with await world.login(user) as client:
        await old_hash(world, user, nfd("Pässwörter"))
        body = {"user": {"old_password": nfd("Pässwörter"), "password": "another horse"}}
        assert (await client.put(f"/users/{user.id}", json=body)).status_code == 200
    assert await xmpp(world, user.id, "another horse")


async def test_equal_logins_at_once_in_two_forms(world: World) -> None:
    """Checks that are under way are shared: between equal texts only, as the stored form is not known yet."""
    stored = world.passwords._hasher.hash(nfd("Pässwörter"))
    forms = ["Pässwörter", nfd("Pässwörter"), "Pässwörter", nfd("Pässwörter")]
    results = await asyncio.gather(*(world.passwords.verify(stored, form) for form in forms))
    assert [bool(result) for result in results] == [False, True, False, True]
    assert world.passwords.remembers(stored, nfd("Pässwörter"))


async def old_key(world: World, user: User, login: str) -> None:
    """Store a login as older versions did: its key is without case, and otherwise as typed."""
    statement = Query(
        update(users).where(users.c.id == bindparam("id")).values(login=bindparam("login"), login_key=bindparam("key")),
        *("id", "login", "key"),
    )
    await world.writer.run(lambda tx: tx.execute(statement, user.id, login, login.casefold()))


async def test_two_accounts_whose_logins_were_two(strict: World) -> None:
    """Made before: the key of one could not be rewritten. Each is found by its own form, as before."""
    first = await strict.user("Zoë Müller")
    second = await strict.users.create(strict.app, {"login": "temporary"}, "second horse")
    await old_key(strict, second, nfd("Zoë Müller"))
    assert await rest(strict, login="zoë müller") == first.id
    assert await rest(strict, "second horse", login=nfd("zoë müller")) == second.id
    with pytest.raises(Conflict):
        await strict.user(nfd("ZOË MÜLLER"))
    opened = await strict.sessions.create(
        app_id=strict.app.id,
        auth_key=strict.app.auth_key,
        credentials=Credentials(login=nfd("Zoë Müller"), password="second horse"),
    )
    async with strict.client(opened.token) as client:  # as an app sends its whole form
        user = {"login": nfd("Zoë Müller"), "full_name": "The second"}
        answer = await client.put(f"/users/{second.id}", json={"user": user})
        assert answer.status_code == 200, answer.text
    assert await rest(strict, "second horse", login=nfd("zoë müller")) == second.id


# -- over the wire -----------------------------------------------------------------------------------------------------


async def test_plain_over_the_wire(tmp_path: Path) -> None:
    async with running(tmp_path / "node", "ann") as node:
        app_id = node.people["ann"].app_id
        async with Accounts.open(node.config) as accounts:
            zoe = await accounts.create_user(app_id, nfd("Zoë Müller"), nfd("Pässwörter 비밀"))
        name = f"{zoe.id}-{app_id}"
        for door in ("xmpp", "ws"):
            for username in (name, wide(name)):
                for password in ("Pässwörter 비밀", nfd("Pässwörter 비밀"), "Pässwörter\u00a0비밀"):
                    peer = await node.connect(door)
                    await peer.open()
                    peer.auth(username, password)
                    await peer.wait("success")
                    await peer.close()
            peer = await node.connect(door)
            await peer.open()
            peer.auth(name, "Passworter 비밀")
            await peer.wait("failure")
        async with node.rest() as client:
            body = {
                "application_id": app_id,
                "auth_key": node.auth_key,
                "user": {"login": wide("zo") + "ë müller", "password": "Pässwörter 비밀"},
            }
            answer = await client.post("/session", json=body)
            assert answer.status_code == 201, answer.text
            assert answer.json()["session"]["user_id"] == zoe.id
