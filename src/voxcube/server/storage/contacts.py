"""Contact lists: a row for each entry of a user about another (RFC 6121 §2)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import and_, bindparam, delete, func, not_, or_, select
from sqlalchemy.dialects.postgresql import insert  # SQLite's compiler renders its ON CONFLICT as well

from voxcube.server.core.contacts import ASKING, FROM, NOBODY, TO, Contact, ContactFacts
from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.schema import contacts, users
from voxcube.server.storage.sql import Query, in_list

_OWN = and_(contacts.c.app_id == bindparam("app"), contacts.c.user_id == bindparam("user"))
_ENTRY = and_(_OWN, contacts.c.contact_id == bindparam("contact"))
_VALUES = (contacts.c.name, contacts.c.group_names, contacts.c.state, contacts.c.listed, contacts.c.request)
_ALL = Query(select(contacts.c.contact_id, *_VALUES).where(_OWN).order_by(contacts.c.contact_id), "app", "user")
_ONE = Query(select(contacts.c.contact_id, *_VALUES).where(_ENTRY), "app", "user", "contact")
_STATES = Query(select(contacts.c.contact_id, contacts.c.state).where(_OWN, contacts.c.state > 0), "app", "user")
_LISTED = Query(select(func.count()).select_from(contacts).where(_OWN, contacts.c.listed), "app", "user")
_UNLISTED = Query(select(func.count()).select_from(contacts).where(_OWN, not_(contacts.c.listed)), "app", "user")
_NAMES = ("name", "group_names", "state", "listed", "request")
_PUT = Query(
    insert(contacts)
    .values(
        user_id=bindparam("user"),
        contact_id=bindparam("contact"),
        app_id=bindparam("app"),
        **{name: bindparam(f"new_{name}", type_=contacts.c[name].type) for name in _NAMES},
    )
    .on_conflict_do_update(
        index_elements=["user_id", "contact_id"],
        set_={name: bindparam(f"new_{name}", type_=contacts.c[name].type) for name in _NAMES},
    ),
    *("app", "user", "contact", *(f"new_{name}" for name in _NAMES)),
)
_REMOVE = Query(delete(contacts).where(_ENTRY), "app", "user", "contact")
# Changes between two users wait for each other at the accounts' rows, and so does the end of either account.
_LOCK = Query(
    select(users.c.id)
    .where(users.c.app_id + 0 == bindparam("app", type_=users.c.app_id.type), in_list(users.c.id, "users"))
    .order_by(users.c.id)
    .with_for_update(),
    *("app", "users"),
)
_CONCERNED = Query(select(contacts.c.user_id).where(contacts.c.contact_id == bindparam("user")), "user")
_FORGET = Query(
    delete(contacts).where(or_(contacts.c.user_id == bindparam("user"), contacts.c.contact_id == bindparam("user"))),
    "user",
)


def _contact(row: Row) -> Contact:
    return Contact(row[0], row[1], tuple(json.loads(row[2])), row[3], bool(row[4]), row[5])


class ContactStore:
    """Reads of contact lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, app_id: int, user_id: int) -> list[Contact]:
        """Every entry of a user, also those that only keep a request."""
        return [_contact(row) for row in await self._database.read(lambda tx: tx.fetch(_ALL, app_id, user_id))]

    async def one(self, app_id: int, user_id: int, contact_id: int) -> Contact | None:
        row = await self._database.row(_ONE, app_id, user_id, contact_id)
        return None if row is None else _contact(row)


async def facts(database: Database, app_id: int, user_id: int) -> ContactFacts:
    """Whom the user's presence concerns (a hot fact)."""
    rows = await database.fetch(_STATES, app_id, user_id)
    if not rows:
        return NOBODY
    by_bit = [frozenset(row[0] for row in rows if row[1] & bit) for bit in (FROM, TO, ASKING)]
    return ContactFacts(*by_bit)


async def lock(tx: Tx, app_id: int, user_ids: Sequence[int]) -> bool:
    """Comes before every change; returns whether all these accounts exist."""
    return len(await tx.fetch(_LOCK, app_id, sorted(user_ids))) == len(user_ids)


async def get(tx: Tx, app_id: int, user_id: int, contact_id: int) -> Contact | None:
    row = await tx.row(_ONE, app_id, user_id, contact_id)
    return None if row is None else _contact(row)


async def count(tx: Tx, app_id: int, user_id: int, *, listed: bool) -> int:
    """How many contacts a user has; otherwise, how many requests of others."""
    found: int = await tx.value(_LISTED if listed else _UNLISTED, app_id, user_id)
    return found


async def put(tx: Tx, app_id: int, user_id: int, contact: Contact) -> None:
    """Makes the entry or replaces it; one that says nothing is removed."""
    if not contact.listed and not contact.state:
        await remove(tx, app_id, user_id, contact.user_id)
        return
    groups = json.dumps(contact.groups, ensure_ascii=False)
    values = (contact.name, groups, contact.state, contact.listed, contact.request)
    await tx.execute(_PUT, app_id, user_id, contact.user_id, *values)


async def remove(tx: Tx, app_id: int, user_id: int, contact_id: int) -> None:
    await tx.execute(_REMOVE, app_id, user_id, contact_id)


async def forget_user(tx: Tx, user_id: int) -> list[int]:
    """Removes a user's contacts, and the user from all contact lists; returns whose these were."""
    concerned = [row[0] for row in await tx.fetch(_CONCERNED, user_id)]
    await tx.execute(_FORGET, user_id)
    return concerned
