"""Users: statements and row → model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from voxcube.server.core.listing import Condition, Listing, Order
from voxcube.server.core.models import User
from voxcube.server.storage.counters import next_value
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.listing import Shape, memoised, paged, shape, values, where
from voxcube.server.storage.schema import users
from voxcube.server.storage.sql import Query, in_list

#: In the order of `User`'s constructor arguments below.
_NAMES = (
    "id",
    "app_id",
    "login",
    "email",
    "full_name",
    "phone",
    "website",
    "custom_data",
    "avatar",
    "external_user_id",
    "external_id",
    "facebook_id",
    "twitter_id",
    "blob_id",
    "user_tags",
    "timezone",
    "is_guest",
    "created_at",
    "updated_at",
    "last_request_at",
    "password_hash",
)
_COLUMNS = tuple(users.c[name] for name in _NAMES)
_APP = users.c.app_id == bindparam("app")
_BY_ID = Query(select(*_COLUMNS).where(_APP, users.c.id == bindparam("id")), "app", "id")
_BY_IDS = Query(select(*_COLUMNS).where(_APP, in_list(users.c.id, "ids")).order_by(users.c.id), "app", "ids")
_BY_LOGIN = Query(select(*_COLUMNS).where(_APP, users.c.login_key == bindparam("key")), "app", "key")
_BY_EMAIL = Query(select(*_COLUMNS).where(_APP, users.c.email_key == bindparam("key")), "app", "key")
_BY_EXTERNAL = Query(select(*_COLUMNS).where(_APP, users.c.external_id == bindparam("key")), "app", "key")
_EXISTING = Query(select(users.c.id).where(_APP, in_list(users.c.id, "ids")), "app", "ids")

_STORED = (*_NAMES, "login_key", "email_key")
_INSERT = Query(insert(users).values({name: bindparam(name) for name in _STORED}), *_STORED)
_TOUCH = Query(
    update(users).where(_APP, users.c.id == bindparam("id")).values(last_request_at=bindparam("now")),
    "app",
    "id",
    "now",
)


#: What a list can be filtered and sorted by; logins and addresses are compared without case.
FILTERS = {
    "id": users.c.id,
    "login": users.c.login_key,
    "email": users.c.email_key,
    **{name: users.c[name] for name in ("full_name", "phone", "external_id", "facebook_id", "twitter_id")},
    **{name: users.c[name] for name in ("last_request_at", "created_at", "updated_at")},
}


@memoised
def _page(wanted: Shape, order: str, descending: bool) -> Query:
    clauses, names = where(FILTERS, wanted)
    column = func.coalesce(FILTERS[order], 0 if order.endswith("_at") else "") if order != "id" else users.c.id
    keys = (column.desc(), users.c.id.desc()) if descending else (column, users.c.id)
    return paged(select(*_COLUMNS).where(_APP, *clauses).order_by(*keys), "app", *names)


@memoised
def _total(wanted: Shape) -> Query:
    clauses, names = where(FILTERS, wanted)
    return Query(select(func.count()).select_from(users).where(_APP, *clauses), "app", *names)


def name_key(text: str) -> str:
    """How logins and e-mail addresses are compared: without case (rest §4.1)."""
    return text.casefold()


class UserStore:
    """Reads and writes accounts. Every query carries the application."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_id(self, app_id: int, user_id: int) -> User | None:
        return _one(await self._database.row(_BY_ID, app_id, user_id))

    async def by_ids(self, app_id: int, ids: Sequence[int]) -> list[User]:
        """Those of ``ids`` that exist, in the order of their ids."""
        return [_user(row) for row in await self._database.fetch(_BY_IDS, app_id, list(ids))] if ids else []

    async def by_login(self, app_id: int, login: str) -> User | None:
        return _one(await self._database.row(_BY_LOGIN, app_id, name_key(login)))

    async def by_email(self, app_id: int, email: str) -> User | None:
        return _one(await self._database.row(_BY_EMAIL, app_id, name_key(email)))

    async def existing(self, app_id: int, ids: Sequence[int]) -> set[int]:
        """Those of ``ids`` that are users of the application."""
        return {row[0] for row in await self._database.fetch(_EXISTING, app_id, list(ids))} if ids else set()

    async def page(self, app_id: int, listing: Listing) -> tuple[int, list[User]]:
        """How many users meet the conditions, and one page of them; fields are those of FILTERS."""
        conditions = [_folded(condition) for condition in listing.conditions]
        wanted, given = shape(conditions), values(conditions)
        order = listing.order or Order("id")

        async def read(tx: Tx) -> tuple[int, list[User]]:
            total: int = await tx.value(_total(wanted), app_id, *given)
            query = _page(wanted, order.field, order.descending)
            rows = await tx.fetch(query, app_id, *given, listing.limit, listing.skip)
            return total, [_user(row) for row in rows]

        return await self._database.read(read)

    async def taken(self, tx: Tx, user: User) -> list[str]:
        """Which of a new user's unique fields belong to somebody else already."""
        checks = (
            ("login", _BY_LOGIN, user.login and name_key(user.login)),
            ("email", _BY_EMAIL, user.email and name_key(user.email)),
            ("external_id", _BY_EXTERNAL, user.external_id),
        )
        found = [(name, await tx.row(query, user.app_id, key)) for name, query, key in checks if key]
        return [name for name, row in found if row is not None and row[0] != user.id]

    async def next_id(self, tx: Tx) -> int:
        """A new user's id; ids are never used again."""
        return await next_value(tx, "users")

    async def insert(self, tx: Tx, user: User) -> None:
        values: dict[str, Any] = {name: getattr(user, name) for name in _NAMES}
        values["user_tags"] = ",".join(user.user_tags) or None
        values["login_key"] = user.login and name_key(user.login)
        values["email_key"] = user.email and name_key(user.email)
        await tx.execute(_INSERT, *(values[name] for name in _STORED))

    async def touch(self, tx: Tx, app_id: int, user_id: int, now: int) -> None:
        """Remembers that the user made a request at ``now``."""
        await tx.execute(_TOUCH, app_id, user_id, now)


def _folded(condition: Condition) -> Condition:
    if condition.field not in ("login", "email"):
        return condition
    value = condition.value
    folded = [name_key(item) for item in value] if isinstance(value, list) else name_key(value)
    return dataclasses.replace(condition, value=folded)


def _one(row: Row | None) -> User | None:
    return None if row is None else _user(row)


def _user(row: Row) -> User:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    values["user_tags"] = tuple(values["user_tags"].split(",")) if values["user_tags"] else ()
    values["is_guest"] = bool(values["is_guest"])
    return User(**values)
