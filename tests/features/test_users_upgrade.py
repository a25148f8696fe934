"""Accounts of a database that an older version made are found by the new ways as well."""

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


async def test_names_and_tags_are_filled_in(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = migrate._upgrade

    def older(connection: Connection) -> None:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(OLD))

    monkeypatch.setattr(migrate, "_upgrade", older)
    await migrate.upgrade(empty_database_url)
    monkeypatch.setattr(migrate, "_upgrade", real)
    assert (await migrate.check(empty_database_url))[0] == "0001"
    async with opened(empty_database_url) as world:
        app = world.app.id
        assert app == 1
        for tag in ("vip", "new"):
            assert [user.id for user in (await world.users.by_tags(app, [tag], Listing()))[1]] == [900]
        assert [user.id for user in (await world.users.by_full_name(app, "änn örtli", Listing()))[1]] == [900]
        assert (await world.users.look_up(app, "phone", "+4915123456789")).user_tags == ("vip", "new")
