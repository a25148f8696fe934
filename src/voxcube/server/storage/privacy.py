"""Privacy lists: a row per list, and which one of a user's is the default (XEP-0016)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from sqlalchemy import and_, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert  # SQLite's compiler renders its ON CONFLICT as well

from voxcube.server.core.privacy import PrivacyItem, Rules
from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.schema import nodes, presence, users
from voxcube.server.storage.schema import privacy_defaults as defaults
from voxcube.server.storage.schema import privacy_lists as lists
from voxcube.server.storage.sql import Query, among, in_list

_OWN = and_(lists.c.app_id == bindparam("app"), lists.c.user_id == bindparam("user"))
_NAMED = and_(_OWN, lists.c.name == bindparam("name"))
_IN_FORCE = and_(
    defaults.c.user_id == lists.c.user_id, defaults.c.app_id == lists.c.app_id, defaults.c.name == lists.c.name
)
_NAMES = Query(select(lists.c.name).where(_OWN).order_by(lists.c.name), "app", "user")
_COUNT = Query(select(func.count()).select_from(lists).where(_OWN), "app", "user")
_ITEMS = Query(select(lists.c.rules).where(_NAMED), "app", "user", "name")
_DEFAULT = Query(
    select(lists.c.name, lists.c.rules).select_from(lists.join(defaults, _IN_FORCE)).where(_OWN), "app", "user"
)
_DEFAULTS_OF = Query(
    select(lists.c.user_id, lists.c.rules)
    .select_from(lists.join(defaults, _IN_FORCE))
    .where(in_list(defaults.c.user_id, "users"), defaults.c.app_id == bindparam("app")),
    *("app", "users"),
)
# Default lists in which an item denies something to one user, to its domain or to everybody (the text of `_to_text`):
# what such a list really denies is then evaluated by `Rules`.
_NAMING = (
    select(lists.c.user_id, lists.c.rules)
    .select_from(lists.join(defaults, _IN_FORCE))
    .where(
        defaults.c.app_id == bindparam("app"),
        or_(
            func.lower(lists.c.rules).like(bindparam("user")),
            func.lower(lists.c.rules).like(bindparam("domain")),
            lists.c.rules.like(bindparam("everybody")),
            lists.c.rules.like(bindparam("strangers")),
        ),
    )
)
_NAMING_ARGS = ("app", "user", "domain", "everybody", "strangers")
_NAMING_ALL = Query(_NAMING, *_NAMING_ARGS)
_NAMING_ONLINE = Query(
    _NAMING.where(
        among(
            defaults.c.user_id,
            select(presence.c.user_id)
            .join(nodes, nodes.c.node == presence.c.node)
            .where(presence.c.sessions > 0, nodes.c.lease_until >= bindparam("now")),
        )
    ),
    *(*_NAMING_ARGS, "now"),
)
_DEFAULTS = Query(select(defaults.c.app_id, defaults.c.user_id).where(in_list(defaults.c.user_id, "users")), "users")
_PUT = Query(
    insert(lists)
    .values(user_id=bindparam("user"), name=bindparam("name"), app_id=bindparam("app"), rules=bindparam("rules"))
    .on_conflict_do_update(index_elements=["user_id", "name"], set_={"rules": bindparam("rules")}),
    *("app", "user", "name", "rules"),
)
_REMOVE = Query(delete(lists).where(_NAMED), "app", "user", "name")
_SET_DEFAULT = Query(
    insert(defaults)
    .values(user_id=bindparam("user"), app_id=bindparam("app"), name=bindparam("name"))
    .on_conflict_do_update(index_elements=["user_id"], set_={"name": bindparam("name")}),
    *("app", "user", "name"),
)
_DECLINE = Query(
    delete(defaults).where(defaults.c.user_id == bindparam("user"), defaults.c.app_id == bindparam("app")),
    *("app", "user"),
)
_DECLINE_NAMED = Query(
    delete(defaults).where(
        defaults.c.user_id == bindparam("user"),
        defaults.c.app_id == bindparam("app"),
        defaults.c.name == bindparam("n"),
    ),
    *("app", "user", "n"),
)
# Changes of one user's lists wait for each other at the account's row.
_LOCK = Query(
    select(users.c.id).where(users.c.app_id == bindparam("app"), users.c.id == bindparam("user")).with_for_update(),
    *("app", "user"),
)


def _to_text(items: Sequence[PrivacyItem]) -> str:
    return json.dumps(
        [[item.order, item.deny, item.type, item.value, *item.kinds] for item in items], ensure_ascii=False
    )


def _from_text(text: str) -> list[PrivacyItem]:
    return [
        PrivacyItem(order, deny, type_, value, tuple(kinds)) for order, deny, type_, value, *kinds in json.loads(text)
    ]


class PrivacyStore:
    """Reads of privacy lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def names(self, app_id: int, user_id: int) -> tuple[list[str], str | None]:
        """The names of a user's lists, and that of the default one."""

        async def read(tx: Tx) -> tuple[list[str], str | None]:
            names = [row[0] for row in await tx.fetch(_NAMES, app_id, user_id)]
            default = await tx.row(_DEFAULT, app_id, user_id)
            return names, None if default is None else default[0]

        return await self._database.read(read)

    async def items(self, app_id: int, user_id: int, name: str) -> list[PrivacyItem] | None:
        """The rules of a list in the order they were written, or None."""
        text = await self._database.value(_ITEMS, app_id, user_id, name)
        return None if text is None else _from_text(text)

    async def default(self, app_id: int, user_id: int) -> list[PrivacyItem]:
        """The rules of the default list, none without one."""
        row = await self._database.row(_DEFAULT, app_id, user_id)
        return [] if row is None else _from_text(row[1])

    async def users_with_default(self, user_ids: Sequence[int]) -> list[tuple[int, int]]:
        """Which of these users have a default list: (application, user)."""
        return [(row[0], row[1]) for row in await self._database.fetch(_DEFAULTS, list(user_ids))]

    async def naming(
        self, app_id: int, user_id: int, domain: str, *, online_at: int | None = None, scanning: bool = False
    ) -> list[tuple[int, Rules]]:
        """Default lists that may deny something to a user, by owner; ``online_at``: of owners who are online then.

        ``scanning`` runs the read apart from those that use an index.
        """
        given = [
            app_id,
            f'%, true, "jid", "{user_id}-{app_id}@{domain}%',
            f'%, true, "jid", "{domain}%',
            '%, true, "", %',
            '%, true, "subscription", "none"%',
        ]
        query = _NAMING_ALL
        if online_at is not None:
            query = _NAMING_ONLINE
            given.append(online_at)

        async def read(tx: Tx) -> list[tuple[int, str]]:
            return [(row[0], row[1]) for row in await tx.fetch(query, *given)]

        rows = await self._database.look(read, scanning=scanning, user=user_id)
        return [(owner, await _compiled(text)) for owner, text in rows]


async def default_rules(database: Database, app_id: int, user_id: int) -> Rules | None:
    """The default list, compiled; None without one (a hot fact)."""
    row = await database.row(_DEFAULT, app_id, user_id)
    return None if row is None else Rules(_from_text(row[1]))


async def default_rules_of(database: Database, app_id: int, user_ids: Sequence[int]) -> dict[int, Rules]:
    """The default lists of those of these users who have one, compiled."""
    rows = await database.fetch(_DEFAULTS_OF, app_id, list(user_ids))
    return {row[0]: await _compiled(row[1]) for row in rows}


async def _compiled(text: str) -> Rules:
    """Compile a list; other work runs between lists, as each takes some milliseconds at its greatest length."""
    await asyncio.sleep(0)
    return Rules(_from_text(text))


async def lock(tx: Tx, app_id: int, user_id: int) -> bool:
    """Comes before every change; returns whether the account exists."""
    return await tx.row(_LOCK, app_id, user_id) is not None


async def count(tx: Tx, app_id: int, user_id: int) -> int:
    """How many lists a user has."""
    found: int = await tx.value(_COUNT, app_id, user_id)
    return found


async def exists(tx: Tx, app_id: int, user_id: int, name: str) -> bool:
    """Whether the user has a list of this name."""
    return await tx.row(_ITEMS, app_id, user_id, name) is not None


async def default_of(tx: Tx, app_id: int, user_id: int) -> tuple[str, list[PrivacyItem]] | None:
    """Name and rules of the default list."""
    row = await tx.row(_DEFAULT, app_id, user_id)
    return None if row is None else (row[0], _from_text(row[1]))


async def items_of(tx: Tx, app_id: int, user_id: int, name: str) -> list[PrivacyItem]:
    """The rules of a list, none without it."""
    text = await tx.value(_ITEMS, app_id, user_id, name)
    return [] if text is None else _from_text(text)


async def put(tx: Tx, app_id: int, user_id: int, name: str, items: Sequence[PrivacyItem]) -> None:
    """Makes a list, or puts it in the place of the one of its name."""
    await tx.execute(_PUT, app_id, user_id, name, _to_text(items))


async def remove(tx: Tx, app_id: int, user_id: int, name: str) -> bool:
    """Removes a list, which is then no default either; returns whether there was one."""
    await tx.execute(_DECLINE_NAMED, app_id, user_id, name)
    return bool(await tx.execute(_REMOVE, app_id, user_id, name))


async def set_default(tx: Tx, app_id: int, user_id: int, name: str | None) -> None:
    """Makes a list that exists the default; None: there is none."""
    if name is None:
        await tx.execute(_DECLINE, app_id, user_id)
    else:
        await tx.execute(_SET_DEFAULT, app_id, user_id, name)
