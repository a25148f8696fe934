"""Users: statements and row → model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, insert, not_, or_, select, union_all, update

from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.core.listing import Condition, Listing, Order
from voxcube.server.core.models import DialogType, User
from voxcube.server.core.precis import comparison_key
from voxcube.server.storage.counters import next_value
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.listing import OwnClause, Shape, memoised, paged, shape, starts_with, values, where
from voxcube.server.storage.scans import FAR
from voxcube.server.storage.schema import dialogs, members, nodes, presence, user_tags, users
from voxcube.server.storage.sql import Query, among, bulk_insert, in_list

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
    "password_version",
)
_COLUMNS = tuple(users.c[name] for name in _NAMES)
_APP = users.c.app_id == bindparam("app")
_BY_ID = Query(select(*_COLUMNS).where(_APP, users.c.id == bindparam("id")), "app", "id")
# The sum hides `app_id` from its indexes: a list of ids starts at the ids, not at all users of the application.
_SAME_APP = users.c.app_id + 0 == bindparam("app", type_=users.c.app_id.type)
_BY_IDS = Query(select(*_COLUMNS).where(_SAME_APP, in_list(users.c.id, "ids")).order_by(users.c.id), "app", "ids")
_BY_LOGIN = Query(select(*_COLUMNS).where(_APP, users.c.login_key == bindparam("key")), "app", "key")
_BY_EMAIL = Query(select(*_COLUMNS).where(_APP, users.c.email_key == bindparam("key")), "app", "key")
_BY_EXTERNAL = Query(select(*_COLUMNS).where(_APP, users.c.external_id == bindparam("key")), "app", "key")
_EXISTING = Query(select(users.c.id).where(_SAME_APP, in_list(users.c.id, "ids")), "app", "ids")

_BY_EXTERNAL_USER = Query(
    select(*_COLUMNS).where(_APP, users.c.external_user_id == bindparam("key")).order_by(users.c.id).limit(1),
    *("app", "key"),
)
_STORED = (*_NAMES, "login_key", "email_key", "name_key")
_INSERT = Query(insert(users).values({name: bindparam(name) for name in _STORED}), *_STORED)
_TOUCH = Query(
    update(users).where(_APP, users.c.id == bindparam("id")).values(last_request_at=bindparam("now")),
    "app",
    "id",
    "now",
)
# Of a login by password: in the same transaction as its session, so that none outlives a change of the password.
_TOUCH_VERSION = Query(
    update(users)
    .where(_APP, users.c.id == bindparam("id"), users.c.password_version == bindparam("version"))
    .values(last_request_at=bindparam("now")),
    *("app", "id", "version", "now"),
)
_VERSIONS = Query(
    select(users.c.id, users.c.password_version).where(_SAME_APP, in_list(users.c.id, "ids")), "app", "ids"
)
_RAISE_VERSION = Query(
    update(users)
    .where(_APP, users.c.id == bindparam("id"))
    .values(
        password_hash=bindparam("hash"),
        password_version=users.c.password_version + 1,
        updated_at=bindparam("now"),
    )
    .returning(users.c.password_version),
    *("app", "id", "hash", "now"),
)
_REPLACE_HASH = Query(
    update(users)
    .where(_APP, users.c.id == bindparam("id"), users.c.password_hash == bindparam("old"))
    .values(password_hash=bindparam("new")),
    *("app", "id", "old", "new"),
)
_DELETE = Query(delete(users).where(_APP, users.c.id == bindparam("id")), "app", "id")
_UNTAG = Query(delete(user_tags).where(user_tags.c.user_id == bindparam("id")), "id")
_TAG = bulk_insert(user_tags, "user_id", "tag", "app_id")
_ENDED_GUESTS = Query(
    select(users.c.app_id, users.c.id)
    .where(users.c.is_guest, users.c.created_at <= bindparam("before"))
    .order_by(users.c.created_at)
    .limit(bindparam("limit")),
    *("before", "limit"),
)
# Rows of a node whose lease has run out count as offline.
_IS_ONLINE = among(
    users.c.id,
    select(presence.c.user_id)
    .join(nodes, nodes.c.node == presence.c.node)
    .where(presence.c.sessions > 0, nodes.c.lease_until >= bindparam("now")),
)
_SEEN_ONLINE = and_(_SAME_APP, _IS_ONLINE, not_(in_list(users.c.id, "without")))
_ONLINE = paged(select(*_COLUMNS).where(_SEEN_ONLINE).order_by(users.c.id), "app", "now", "without")
_ONLINE_AMONG = paged(
    select(*_COLUMNS).where(_SEEN_ONLINE, in_list(users.c.id, "ids")).order_by(users.c.id),
    *("app", "now", "without", "ids"),
)
_own, _other = members.alias(), members.alias()
_IN_OWN_DIALOGS = (
    select(_other.c.user_id)
    .select_from(_own.join(_other, _other.c.dialog_id == _own.c.dialog_id))
    .where(
        *(_own.c.user_id == bindparam("user"), _own.c.active, _own.c.type != int(DialogType.BROADCAST)),
        _other.c.active,
    )
)
# Everybody in the application reads its broadcasts; those who write to them are their people.
_IN_BROADCASTS = (
    select(members.c.user_id)
    .select_from(members.join(dialogs, dialogs.c.id == members.c.dialog_id))
    .where(
        *(dialogs.c.app_id == bindparam("app"), dialogs.c.type == int(DialogType.BROADCAST), members.c.active),
        or_(members.c.admin, members.c.user_id == dialogs.c.owner_id),
    )
)
_AROUND = Query(
    select(users.c.id)
    .where(_SAME_APP, among(users.c.id, union_all(_IN_OWN_DIALOGS, _IN_BROADCASTS)))
    .order_by(users.c.id)
    .limit(bindparam("limit")),
    *("app", "user", "limit"),
)
_ONLINE_COUNT = Query(select(func.count()).select_from(users).where(_SEEN_ONLINE), "app", "now", "without")


#: What a list can be filtered and sorted by; logins, addresses and names are compared by their keys.
FILTERS: dict[str, ColumnElement[Any]] = {
    "id": users.c.id,
    "login": users.c.login_key,
    "email": users.c.email_key,
    "full_name": users.c.name_key,
    **{name: users.c[name] for name in ("phone", "website", "external_id", "facebook_id", "twitter_id", "user_tags")},
    **{name: users.c[name] for name in ("external_user_id", "last_request_at", "created_at", "updated_at")},
}
#: Fields with an index, of which hardly two users have the same value.
_NAMING = ("id", "login", "email", "phone", "external_id", "external_user_id", "facebook_id", "twitter_id")
_FOLDED = ("login", "email", "full_name")
_NUMBERS = ("external_user_id", "last_request_at", "created_at", "updated_at")


def _tagged(condition: Any) -> Any:
    return among(users.c.id, select(user_tags.c.user_id).where(user_tags.c.app_id == bindparam("app"), condition))


#: A user's tags are compared one by one (rest §4.3).
_TAGS: dict[tuple[str, str], OwnClause] = {
    ("user_tags", "eq"): lambda name: _tagged(user_tags.c.tag == bindparam(name)),
    ("user_tags", "in"): lambda name: _tagged(in_list(user_tags.c.tag, name)),
    ("user_tags", "nin"): lambda name: not_(_tagged(in_list(user_tags.c.tag, name))),
    ("user_tags", "start_with"): lambda name: _tagged(starts_with(user_tags.c.tag, name)),
}


def _app(wanted: Shape) -> Any:
    """The application's condition: hidden from its indexes where ids or tags alone lead to the users."""
    named = {field for field, operation in wanted if operation in ("eq", "in")}
    return _SAME_APP if named and named <= {"id", "user_tags"} else _APP


@memoised
def _page(wanted: Shape, order: str, descending: bool) -> Query:
    clauses, names = where(FILTERS, wanted, _TAGS)
    column = func.coalesce(FILTERS[order], 0 if order in _NUMBERS else "") if order != "id" else users.c.id
    keys = (column.desc(), users.c.id.desc()) if descending else (column, users.c.id)
    return paged(select(*_COLUMNS).where(_app(wanted), *clauses).order_by(*keys), "app", *names)


@memoised
def _total(wanted: Shape) -> Query:
    clauses, names = where(FILTERS, wanted, _TAGS)
    return Query(select(func.count()).select_from(users).where(_app(wanted), *clauses), "app", *names)


@memoised
def _update(names: tuple[str, ...]) -> Query:
    values = {name: bindparam(f"new_{name}", type_=users.c[name].type) for name in names}
    return Query(
        update(users).where(_APP, users.c.id == bindparam("key")).values(values),
        *(f"new_{name}" for name in names),
        *("app", "key"),
    )


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
        return await self._by_key(_BY_LOGIN, app_id, login)

    async def by_email(self, app_id: int, email: str) -> User | None:
        return await self._by_key(_BY_EMAIL, app_id, email)

    async def _by_key(self, query: Query, app_id: int, text: str) -> User | None:
        """Looked for as typed first where that makes a difference: of two accounts that are one by their keys now, one
        has kept the key of an older version (migration 0016)."""
        key, typed = comparison_key(text), text.casefold()
        if typed != key and (row := await self._database.row(query, app_id, typed)) is not None:
            return _user(row)
        return _one(await self._database.row(query, app_id, key))

    async def by_external(self, app_id: int, external: str) -> User | None:
        """By the integer ``external_user_id``, otherwise by ``external_id``."""
        if external.isascii() and external.isdigit() and int(external) <= MAX_INTEGER_ID:
            row = await self._database.row(_BY_EXTERNAL_USER, app_id, int(external))
            if row is not None:
                return _user(row)
        return _one(await self._database.row(_BY_EXTERNAL, app_id, external))

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

        return await self._database.look(read, scanning=_scans(listing), user=listing.asker)

    async def taken(self, tx: Tx, user: User, before: User | None = None) -> list[str]:
        """Which of a user's unique fields belong to another user; only fields that differ from ``before``."""
        checks = (
            ("login", _BY_LOGIN, user.login and comparison_key(user.login)),
            ("email", _BY_EMAIL, user.email and comparison_key(user.email)),
            ("external_id", _BY_EXTERNAL, user.external_id),
        )
        found = [
            (name, await tx.row(query, user.app_id, key))
            for name, query, key in checks
            if key and (before is None or getattr(before, name) != getattr(user, name))
        ]
        return [name for name, row in found if row is not None and row[0] != user.id]

    async def next_id(self, tx: Tx) -> int:
        """A new user's id; ids are never used again."""
        return await next_value(tx, "users")

    async def insert(self, tx: Tx, user: User) -> None:
        values = _stored({name: getattr(user, name) for name in _NAMES})
        await tx.execute(_INSERT, *(values[name] for name in _STORED))
        await tx.many(_TAG, [(user.id, tag, user.app_id) for tag in user.user_tags])

    async def update(self, tx: Tx, app_id: int, user_id: int, changes: Mapping[str, Any]) -> int:
        """Writes these attributes of `User`; returns how many users there were (0 or 1)."""
        values = _stored(changes)
        names = tuple(sorted(values))
        touched = await tx.execute(_update(names), *(values[name] for name in names), app_id, user_id)
        if touched and "user_tags" in changes:
            await tx.execute(_UNTAG, user_id)
            await tx.many(_TAG, [(user_id, tag, app_id) for tag in changes["user_tags"]])
        return touched

    async def delete(self, tx: Tx, app_id: int, user_id: int) -> int:
        """Removes the account and its tags; returns how many there were (0 or 1)."""
        touched = await tx.execute(_DELETE, app_id, user_id)
        if touched:
            await tx.execute(_UNTAG, user_id)
        return touched

    async def ended_guests(self, before: int, limit: int) -> list[tuple[int, int]]:
        """(application, id) of guests made at ``before`` or earlier, oldest first."""

        async def read(tx: Tx) -> list[Row]:
            return await tx.fetch(_ENDED_GUESTS, before, limit)

        return [(row[0], row[1]) for row in await self._database.read(read)]

    async def around(self, app_id: int, user_id: int, limit: int) -> list[int]:
        """The user itself and those in its dialogs, in the order of their ids."""

        async def read(tx: Tx) -> list[int]:
            return [row[0] for row in await tx.fetch(_AROUND, app_id, user_id, limit)]

        return sorted({user_id, *await self._database.read(read)})

    async def online(
        self,
        app_id: int,
        now: int,
        *,
        limit: int,
        skip: int,
        among: Sequence[int] | None = None,
        without: Sequence[int] = (),
    ) -> list[User]:
        """Users with an available chat session on a living node, in the order of their ids; ``among``: of these,
        ``without``: but these."""

        async def read(tx: Tx) -> list[User]:
            given = (app_id, now, list(without))
            if among is not None:
                return [_user(row) for row in await tx.fetch(_ONLINE_AMONG, *given, list(among), limit, skip)]
            return [_user(row) for row in await tx.fetch(_ONLINE, *given, limit, skip)]

        return await self._database.read(read)

    async def count_online(self, app_id: int, now: int, *, without: Sequence[int] = ()) -> int:
        """How many users have an available chat session on a living node; ``without``: but these."""

        async def read(tx: Tx) -> int:
            return int(await tx.value(_ONLINE_COUNT, app_id, now, list(without)))

        return await self._database.read(read)

    async def password_versions(self, app_id: int, ids: Sequence[int]) -> dict[int, int]:
        """The versions of the passwords of those of ``ids`` that are users of the application."""
        return {row[0]: row[1] for row in await self._database.fetch(_VERSIONS, app_id, list(ids))} if ids else {}

    async def set_password(self, tx: Tx, app_id: int, user_id: int, password_hash: str, now: int) -> int:
        """Replaces the password; returns its new version, 0 when there is no such user."""
        rows = await tx.fetch(_RAISE_VERSION, app_id, user_id, password_hash, now)
        return int(rows[0][0]) if rows else 0

    async def replace_hash(self, tx: Tx, app_id: int, user_id: int, old: str, new: str) -> None:
        """Store another hash of the same password, unless the password has been changed since."""
        await tx.execute(_REPLACE_HASH, app_id, user_id, old, new)

    async def touch(self, tx: Tx, app_id: int, user_id: int, now: int, *, version: int | None = None) -> int:
        """Remembers that the user made a request at ``now``; returns how many users there were (0 or 1).

        With ``version`` only a user counts whose password is still of that version.
        """
        if version is not None:
            return await tx.execute(_TOUCH_VERSION, app_id, user_id, version, now)
        return await tx.execute(_TOUCH, app_id, user_id, now)


def _scans(listing: Listing) -> bool:
    """Whether the page is not one of few users that their ids, logins, addresses or numbers name."""
    named = any(one.field in _NAMING and one.operator in ("eq", "in") for one in listing.conditions)
    return not named or listing.skip > FAR


def _folded(condition: Condition) -> Condition:
    if condition.field not in _FOLDED:
        return condition
    value = condition.value
    folded = [comparison_key(item) for item in value] if isinstance(value, list) else comparison_key(value)
    return dataclasses.replace(condition, value=folded)


def _stored(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of `User` as columns."""
    values = dict(attributes)
    if "user_tags" in values:
        values["user_tags"] = ",".join(values["user_tags"]) or None
    for name, key in (("login", "login_key"), ("email", "email_key"), ("full_name", "name_key")):
        if name in values:
            values[key] = None if values[name] is None else comparison_key(values[name])
    return values


def _one(row: Row | None) -> User | None:
    return None if row is None else _user(row)


def _user(row: Row) -> User:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    values["user_tags"] = tuple(values["user_tags"].split(",")) if values["user_tags"] else ()
    values["is_guest"] = bool(values["is_guest"])
    return User(**values)
