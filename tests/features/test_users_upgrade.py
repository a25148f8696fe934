"""Accounts of a database that an older version made are found by the new ways as well."""

import unicodedata
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from tests.features.world import opened
from voxcube.server.core.listing import Listing
from voxcube.server.storage import migrate

OLD = (
    "INSERT INTO users (id, app_id, login, login_key, full_name, user_tags, phone, created_at, updated_at)"
    " VALUES (900, 1, 'Old', 'old', 'Änn ÖRTLI', 'vip,new', '4915123456789', 1, 1)"
)


async def older(
    url: str, monkeypatch: pytest.MonkeyPatch, revision: str, statement: str, *rows: dict[str, Any]
) -> None:
    """Make a database of an older version with what a statement stores."""

    def upgrade(connection: Connection) -> None:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.execute(text(statement), rows or None)

    with monkeypatch.context() as patched:
        patched.setattr(migrate, "_upgrade", upgrade)
        await migrate.upgrade(url)
    assert (await migrate.check(url))[0] == revision


async def test_names_and_tags_are_filled_in(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await older(empty_database_url, monkeypatch, "0001", OLD)
    async with opened(empty_database_url) as world:
        app = world.app.id
        assert app == 1
        for tag in ("vip", "new"):
            assert [user.id for user in (await world.users.by_tags(app, [tag], Listing()))[1]] == [900]
        assert [user.id for user in (await world.users.by_full_name(app, "änn örtli", Listing()))[1]] == [900]
        assert (await world.users.look_up(app, "phone", "+4915123456789")).user_tags == ("vip", "new")


AS_TYPED = (
    "INSERT INTO users (id, app_id, login, login_key, email, email_key, full_name, name_key, created_at, updated_at)"
    " VALUES (:id, :app_id, :login, :login_key, :email, :email_key, :full_name, :name_key, 1, 1)"
)


def as_typed(user_id: int, login: str, email: str, app_id: int = 1) -> dict[str, Any]:
    names = {"login": login, "email": email, "full_name": login}
    keys = {"login_key": login.casefold(), "email_key": email.casefold(), "name_key": login.casefold()}
    return {"id": user_id, "app_id": app_id, **names, **keys}


async def test_keys_are_rewritten_where_that_makes_no_collision(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed, decomposed, wide = "Zo\u00eb", unicodedata.normalize("NFD", "Zo\u00eb"), "\uff21\uff2e\uff2e Lee"
    rows = [
        as_typed(901, decomposed, f"{decomposed}@example.org"),
        as_typed(902, wide, "ann@example.org"),
        as_typed(903, "K\u00f6ln", "k@example.org"),
        as_typed(904, unicodedata.normalize("NFD", "K\u00f6ln"), "k2@example.org"),  # 903 has its key
        as_typed(905, "e\u0323\u0302ve", "e1@example.org"),
        as_typed(906, "e\u0302\u0323ve", "e2@example.org"),  # 905 gets their key first
        as_typed(907, composed, f"{composed}@example.org", app_id=2),  # another application
    ]
    await older(empty_database_url, monkeypatch, "0015", AS_TYPED, *rows)
    async with opened(empty_database_url) as world:
        store, app = world.user_store, world.app.id
        assert app == 1

        async def found(login: str) -> int | None:
            user = await store.by_login(app, login)
            return None if user is None else user.id

        assert [await found(login) for login in (composed, decomposed, "ann lee", wide.lower())] == [901, 901, 902, 902]
        assert [await found(row["login"]) for row in rows[:6]] == [901, 902, 903, 904, 905, 906]
        assert await found("\u1ec7ve") == 905
        user = await store.by_email(app, f"{composed}@example.org")
        assert user is not None
        assert user.id == 901
        assert [user.login, user.email] == [decomposed, f"{decomposed}@example.org"]  # shown as before
        _, users = await world.users.by_full_name(app, "k\u00f6ln", Listing())
        assert [user.id for user in users] == [903, 904]  # names need not be unique
        assert [user.id for user in (await world.users.by_full_name(app, "ann lee", Listing()))[1]] == [902]
