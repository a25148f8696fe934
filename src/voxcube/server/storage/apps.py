"""The store of applications: rows of `apps` as App values."""

import dataclasses
import hashlib
import json
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from voxcube.server.core.models import App, AppSettings
from voxcube.server.storage.database import Row, Tx
from voxcube.server.storage.schema import apps
from voxcube.server.storage.sql import Query

_COLUMNS = ("id", "name", "auth_key", "auth_secret", "admin_key_hash", "settings")
_SELECT = select(*(apps.c[name] for name in _COLUMNS))
_INSERT = Query(
    insert(apps).values({name: bindparam(name) for name in (*_COLUMNS, "created_at")}), *_COLUMNS, "created_at"
)
_ALL = Query(_SELECT.order_by(apps.c.id))
_BY_ID = Query(_SELECT.where(apps.c.id == bindparam("app")), "app")
_KEPT = Query(_SELECT.where(apps.c.id == bindparam("app")).with_for_update(read=True), "app")
_BY_AUTH_KEY = Query(_SELECT.where(apps.c.auth_key == bindparam("auth_key")), "auth_key")
_BY_ADMIN_KEY = Query(_SELECT.where(apps.c.admin_key_hash == bindparam("hash")), "hash")
_KEYS = ("auth_key", "auth_secret", "admin_key_hash")
_SET_KEYS = Query(
    update(apps).where(apps.c.id == bindparam("app")).values({name: bindparam(name) for name in _KEYS}), *_KEYS, "app"
)
_SET_SETTINGS = Query(
    update(apps).where(apps.c.id == bindparam("app")).values(settings=bindparam("settings")), "settings", "app"
)


async def add(tx: Tx, app: App, created_at: int) -> None:
    """Inserts a new application; `created_at` is Unix seconds. Raises UniqueViolation when a key is taken."""
    row = (app.id, app.name, app.auth_key, app.auth_secret or "", app.admin_key_hash, encode(app.settings))
    await tx.execute(_INSERT, *row, created_at)


async def every(tx: Tx) -> list[App]:
    """All applications by id."""
    return [_app(row) for row in await tx.fetch(_ALL)]


async def by_id(tx: Tx, app_id: int, *, keep: bool = False) -> App | None:
    """The application with this id; with ``keep`` its settings stay as they are until this is committed."""
    row = await tx.row(_KEPT if keep else _BY_ID, app_id)
    return None if row is None else _app(row)


async def by_auth_key(tx: Tx, auth_key: str) -> App | None:
    """The application that this `CB-AuthKey` names (rest §1.2)."""
    row = await tx.row(_BY_AUTH_KEY, auth_key)
    return None if row is None else _app(row)


def key_hash(admin_key: str) -> str:
    """What is stored of an administration key. A plain hash is enough: a key has 128 random bits."""
    return hashlib.sha256(admin_key.encode(errors="surrogatepass")).hexdigest()


async def by_admin_key(tx: Tx, hashed: str) -> App | None:
    """The application that the `CB-Administration-API-Key` with this hash stands for (rest §12)."""
    row = await tx.row(_BY_ADMIN_KEY, hashed)
    return None if row is None else _app(row)


async def set_keys(tx: Tx, app: App) -> None:
    """Replaces the keys of an application by those of `app`. Raises UniqueViolation when one is taken."""
    await tx.execute(_SET_KEYS, app.auth_key, app.auth_secret or "", app.admin_key_hash, app.id)


async def set_settings(tx: Tx, app_id: int, settings: AppSettings) -> None:
    """Replaces the settings of an application."""
    await tx.execute(_SET_SETTINGS, encode(settings), app_id)


def encode(settings: AppSettings) -> str:
    """The JSON of the settings that differ from their defaults, so that a later default reaches old applications."""
    default = dataclasses.asdict(AppSettings())
    return json.dumps({key: value for key, value in dataclasses.asdict(settings).items() if value != default[key]})


def decode(text: str) -> AppSettings:
    """The settings in such JSON."""
    stored: dict[str, Any] = json.loads(text)
    if isinstance(fields := stored.get("dialog_custom_fields"), list):
        stored["dialog_custom_fields"] = tuple(fields)
    return AppSettings(**stored)


def _app(row: Row) -> App:
    app_id, name, auth_key, auth_secret, admin_key_hash, settings = row
    return App(
        id=app_id,
        name=name,
        auth_key=auth_key,
        auth_secret=auth_secret or None,
        admin_key_hash=admin_key_hash,
        settings=decode(settings),
    )
