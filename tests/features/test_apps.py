"""Applications: keys of their own, settings from texts, and a generation that rises with each change."""

import dataclasses
from collections.abc import AsyncIterator

import pytest

from voxcube.server.accounts import Accounts
from voxcube.server.config import Config
from voxcube.server.core.errors import Invalid, NotFound
from voxcube.server.core.models import App, AppSettings, NewApp
from voxcube.server.features.apps.service import KEYS, changed
from voxcube.server.storage import apps, counters
from voxcube.server.storage.database import UniqueViolation


@pytest.fixture
async def accounts(database_url: str) -> AsyncIterator[Accounts]:
    async with Accounts.open(Config(database=database_url)) as opened:
        yield opened


async def generation(accounts: Accounts) -> int:
    return await accounts.run(lambda tx: counters.current_value(tx, counters.GENERATION))


async def test_each_has_an_id_and_keys_of_its_own(accounts: Accounts) -> None:
    first, second = await accounts.apps.create("First"), await accounts.apps.create(" Second ")
    assert (first.id, second.id, second.name) == (1, 2, "Second")
    keys = {first.auth_key, first.auth_secret, first.admin_api_key, second.auth_key, second.admin_api_key}
    assert len(keys) == 5
    assert await accounts.apps.every() == [stored(first), stored(second)]
    assert await accounts.run(lambda tx: apps.by_auth_key(tx, second.auth_key)) == stored(second)
    assert await accounts.run(lambda tx: apps.by_auth_key(tx, "unknown")) is None


def stored(new: NewApp) -> App:
    """The application as the database has it: without the administration key."""
    return App(**{field.name: getattr(new, field.name) for field in dataclasses.fields(App)})


async def test_administration_keys_are_stored_as_hashes(accounts: Accounts) -> None:
    app = await accounts.apps.create("App")
    hashed = apps.key_hash(app.admin_api_key)
    assert app.admin_key_hash == hashed != app.admin_api_key
    assert await accounts.run(lambda tx: apps.by_admin_key(tx, hashed)) == stored(app)
    assert await accounts.run(lambda tx: apps.by_admin_key(tx, app.admin_api_key)) is None


@pytest.mark.parametrize("names", [{"admin_api_key"}, {"auth_key", "auth_secret"}, set(KEYS)])
async def test_keys_are_rotated(accounts: Accounts, names: set[str]) -> None:
    app, other = await accounts.apps.create("App"), await accounts.apps.create("Other")
    before = await generation(accounts)
    new = await accounts.apps.rotate_keys(app.id, names)
    assert set(new) == names
    after = await accounts.apps.get(app.id)
    assert {name for name in ("auth_key", "auth_secret") if getattr(after, name) != getattr(app, name)} == names - {
        "admin_api_key"
    }
    assert (after.admin_key_hash != app.admin_key_hash) is ("admin_api_key" in names)
    for name in names - {"admin_api_key"}:
        assert getattr(after, name) == new[name]
    if "admin_api_key" in names:
        assert after.admin_key_hash == apps.key_hash(new["admin_api_key"])
    assert await generation(accounts) == before + 1
    assert await accounts.apps.get(other.id) == stored(other)


async def test_unknown_keys_and_applications_are_not_rotated(accounts: Accounts) -> None:
    app = await accounts.apps.create("App")
    with pytest.raises(Invalid, match="there are auth_key, auth_secret, admin_api_key"):
        await accounts.apps.rotate_keys(app.id, ["colour"])
    with pytest.raises(NotFound):
        await accounts.apps.rotate_keys(9, ["auth_key"])


async def test_settings_are_kept_and_raise_the_generation(accounts: Accounts) -> None:
    app = await accounts.apps.create("App")
    before = await generation(accounts)
    changed_app = await accounts.apps.change(
        app.id, {"dialog_custom_fields": "city, level", "session_creates_user": "off", "password_min_length": "6"}
    )
    assert changed_app.settings.dialog_custom_fields == ("city", "level")
    assert await accounts.apps.get(app.id) == changed_app
    assert await generation(accounts) == before + 1
    with pytest.raises(Invalid):
        await accounts.apps.change(app.id, {"password_min_length": "6", "unknown": "1"})
    assert await generation(accounts) == before + 1


async def test_an_auth_key_belongs_to_one_application(accounts: Accounts) -> None:
    app = await accounts.apps.create("App")
    with pytest.raises(UniqueViolation):
        await accounts.run(lambda tx: apps.add(tx, app, 0))


async def test_unknown_application_and_bad_names(accounts: Accounts) -> None:
    with pytest.raises(NotFound):
        await accounts.apps.change(9, {"chat_alerts": "off"})
    for name in ("", "   ", "x" * 256, "a\0b"):
        with pytest.raises(Invalid):
            await accounts.apps.create(name)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("dialog_custom_fields", "a,b,c,d", "at most 3"),
        ("dialog_custom_fields", "a b", "not a name"),
        ("session_creates_user", "maybe", "true or false"),
        ("password_min_length", "0", "whole number"),
        ("password_min_length", "-1", "whole number"),
        ("password_min_length", "٣", "whole number"),
        ("colour", "red", "not a setting"),
    ],
)
def test_unacceptable_settings(key: str, text: str, said: str) -> None:
    with pytest.raises(Invalid) as error:
        changed(AppSettings(), {key: text})
    assert said in error.value.errors[key][0]


def test_lists_may_be_empty() -> None:
    settings = changed(AppSettings(dialog_custom_fields=("a",)), {"dialog_custom_fields": ""})
    assert settings.dialog_custom_fields == ()
    assert apps.decode(apps.encode(settings)) == settings
