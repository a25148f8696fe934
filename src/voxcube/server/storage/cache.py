"""The hot facts: who exists, who is in which dialog, what an application has set. One bounded cache for all services.

A fact is filled by one read and forgotten after the commit that changed it, here and (through `on_forget`) on the other
nodes. A read that was under way when its fact was forgotten answers its callers but is not kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import bindparam, select

from voxcube.server.core.contacts import ContactFacts
from voxcube.server.core.models import App, DialogType, pair_key
from voxcube.server.core.privacy import Rules
from voxcube.server.storage import apps, contacts, counters, inbox, privacy
from voxcube.server.storage.database import Database
from voxcube.server.storage.inbox import LISTED
from voxcube.server.storage.schema import dialogs, members, users
from voxcube.server.storage.sql import Query

T = TypeVar("T")
Key = tuple[Any, ...]

CAPACITY = 100_000  # facts
KEPT_AT_ONCE = 1000  # facts of one read of many; more would displace what is in use
DOUBT_SECONDS = 1.0  # between two reads by which one user asks whether it is still refused
DOUBTS = 10_000  # remembered
MISSING: Final = object()
# Anybody may ask for these before a login: only those that exist are kept, or made-up ones would fill the memory.
_NAMED_BY_STRANGERS = ("app", "auth_key", "admin_key")

_DIALOG = Query(
    select(dialogs.c.app_id, dialogs.c.type, dialogs.c.owner_id, dialogs.c.members_version).where(
        dialogs.c.id == bindparam("dialog")
    ),
    "dialog",
)
_MEMBERS = Query(
    select(members.c.user_id, members.c.admin, members.c.hidden).where(
        members.c.dialog_id == bindparam("dialog"), members.c.active
    ),
    "dialog",
)
# Of a broadcast, which all users see, these alone are known: who writes to it, and who does not want to see it.
_ADMINS = Query(select(members.c.user_id).where(members.c.dialog_id == bindparam("dialog"), members.c.admin), "dialog")
_AWAY = Query(select(members.c.user_id).where(members.c.dialog_id == bindparam("dialog"), members.c.hidden), "dialog")
_PAIR = Query(
    select(dialogs.c.id).where(dialogs.c.app_id == bindparam("app"), dialogs.c.pair == bindparam("pair")),
    *("app", "pair"),
)
_USER = Query(
    select(users.c.id).where(users.c.app_id == bindparam("app"), users.c.id == bindparam("user")), "app", "user"
)


@dataclass(frozen=True, slots=True)
class DialogFacts:
    """What sending to a dialog needs to know of it."""

    id: str
    app_id: int
    type: int
    owner_id: int
    members: frozenset[int]  # active ones
    admins: frozenset[int]
    hidden: bool  # whether it is private, and one of the two has put it away until its next message
    members_version: int = 0
    away: frozenset[int] = frozenset()  # who has hidden it, if it is a broadcast: it is not delivered to them


class _ReaderGone(Exception):
    """Who read a fact was cancelled; those who waited for it read it themselves."""


class Cache:
    """Bounded facts by key; `peek` methods are plain look-ups for the hot path, the others read what is missing."""

    def __init__(self, database: Database, *, capacity: int = CAPACITY) -> None:
        self._database = database
        self._capacity = capacity
        self._facts: dict[Key, Any] = {}
        self._loading: dict[Key, asyncio.Future[Any]] = {}
        self._doubts: dict[tuple[int, Key], float] = {}
        self._generation: int | None = None
        self.on_forget: Callable[[tuple[Key, ...]], None] | None = None  # tells the other nodes
        self.on_clear: Callable[[], None] = lambda: None  # nobody knows what has changed

    @property
    def size(self) -> int:
        """How many facts are kept."""
        return len(self._facts)

    # -- look-ups --------------------------------------------------------------------------------------------------

    def peek_dialog(self, dialog_id: str) -> Any:
        """The dialog's facts, None when there is no such dialog, MISSING when they must be read."""
        return self._facts.get(("dialog", dialog_id), MISSING)

    def peek_pair(self, app_id: int, a: int, b: int) -> Any:
        """The id of the private dialog of two users, None, or MISSING."""
        return self._facts.get(("pair", app_id, a, b) if a < b else ("pair", app_id, b, a), MISSING)

    def peek_user(self, app_id: int, user_id: int) -> Any:
        """Whether the user exists in the application, or MISSING."""
        return self._facts.get(("user", app_id, user_id), MISSING)

    def peek_privacy(self, app_id: int, user_id: int) -> Any:
        """The user's default privacy list, compiled, None without one, or MISSING."""
        return self._facts.get(("privacy", app_id, user_id), MISSING)

    def peek_contacts(self, app_id: int, user_id: int) -> Any:
        """Whom the user's presence concerns, or MISSING."""
        return self._facts.get(("contacts", app_id, user_id), MISSING)

    async def dialog(self, app_id: int, dialog_id: str) -> DialogFacts | None:
        """The facts of a dialog of this application."""
        facts: DialogFacts | None = await self._get(("dialog", dialog_id), lambda: self._read_dialog(dialog_id))
        return facts if facts is not None and facts.app_id == app_id else None

    async def pair(self, app_id: int, a: int, b: int) -> str | None:
        """The id of the private dialog of two users."""
        a, b = min(a, b), max(a, b)
        return await self._get(("pair", app_id, a, b), lambda: self._database.value(_PAIR, app_id, pair_key(a, b)))

    async def user(self, app_id: int, user_id: int) -> bool:
        """Whether the user exists in the application."""

        async def read() -> bool:
            return await self._database.value(_USER, app_id, user_id) is not None

        return await self._get(("user", app_id, user_id), read)

    async def privacy(self, app_id: int, user_id: int) -> Rules | None:
        """The user's default privacy list, compiled."""
        return await self._get(
            ("privacy", app_id, user_id), lambda: privacy.default_rules(self._database, app_id, user_id)
        )

    async def privacy_of(self, app_id: int, user_ids: Collection[int]) -> dict[int, Rules]:
        """The default privacy lists of those of these users who have one, with one read for all that are missing."""
        found = {user_id: self.peek_privacy(app_id, user_id) for user_id in user_ids}
        if missing := [user_id for user_id, rules in found.items() if rules is MISSING]:
            loop = asyncio.get_running_loop()
            keys: list[Key] = [("privacy", app_id, user_id) for user_id in missing[:KEPT_AT_ONCE]]
            claimed: dict[Key, asyncio.Future[Any]] = {
                key: loop.create_future() for key in keys if key not in self._loading
            }
            self._loading.update(claimed)
            try:
                read = await privacy.default_rules_of(self._database, app_id, missing)
            except BaseException as error:
                for key, future in claimed.items():
                    self._fail(key, future, error)
                raise
            for key, future in claimed.items():
                self._finish(key, future, read.get(key[2]))
            found |= {user_id: read.get(user_id) for user_id in missing}
        return {user_id: rules for user_id, rules in found.items() if rules is not None}

    async def contacts(self, app_id: int, user_id: int) -> ContactFacts:
        """Whom the user's presence concerns."""
        return await self._get(("contacts", app_id, user_id), lambda: contacts.facts(self._database, app_id, user_id))

    async def listed(self, user_id: int) -> int:
        """How many dialogs, broadcasts apart, are in the user's list."""
        return await self._get((LISTED, user_id), lambda: self._database.read(lambda tx: inbox.count(tx, user_id)))

    async def app(self, app_id: int) -> App | None:
        """The application with its settings."""
        return await self._get(("app", app_id), lambda: self._database.read(lambda tx: apps.by_id(tx, app_id)))

    async def app_by_auth_key(self, auth_key: str) -> App | None:
        """The application that an authorisation key names."""
        return await self._get(
            ("auth_key", auth_key), lambda: self._database.read(lambda tx: apps.by_auth_key(tx, auth_key))
        )

    async def app_by_admin_key(self, admin_key: str) -> App | None:
        """The application that an administration key stands for."""
        hashed = apps.key_hash(admin_key)
        return await self._get(
            ("admin_key", hashed), lambda: self._database.read(lambda tx: apps.by_admin_key(tx, hashed))
        )

    # -- keeping and forgetting ------------------------------------------------------------------------------------

    def forget(self, *keys: Key) -> None:
        """Called after the commit that changed these facts.

        Keys: ("dialog", id), ("pair", app, low, high), ("user", app, id), ("privacy", app, user),
        ("contacts", app, user), ("app", id), ("auth_key", key), ("admin_key", hash), (LISTED, user) when a dialog came
        into the user's list or went from it,
        and ("member", dialog, user, seq) for each user who joined a dialog that is not private, with its seq then.
        ("token", user, hash), ("password", user, version), ("gone", user), ("left", dialog, user, actor) and
        ("contact", app, user, contact) are no facts in here: they tell the nodes that a user's session token was
        destroyed, the password changed, the user deleted, or taken out of a dialog by somebody, and which entry of a
        user's contact list has changed.
        """
        self.drop(keys)
        if self.on_forget is not None:
            self.on_forget(keys)

    def doubt(self, user_id: int, key: Key) -> bool:
        """Forgets here the fact by which a user is about to be refused: the word of a change on another node may be
        late. False when that was done for this user a moment ago: then the fact stands."""
        now = time.monotonic()
        if now < self._doubts.get((user_id, key), 0.0):
            return False
        if len(self._doubts) >= DOUBTS:
            self._doubts.clear()
        self._doubts[user_id, key] = now + DOUBT_SECONDS
        self.drop((key,))
        return True

    def drop(self, keys: tuple[Key, ...]) -> None:
        """Forgets here only (another node has said so)."""
        for key in keys:
            self._facts.pop(key, None)
            self._loading.pop(key, None)

    def clear(self) -> None:
        """Forgets everything: words of other nodes may have been missed."""
        self._facts.clear()
        self._loading.clear()
        self.on_clear()

    async def follow_generation(self) -> None:
        """Notices what the command line tools changed; called once a second."""
        generation = await self._database.read(lambda tx: counters.current_value(tx, counters.GENERATION))
        if self._generation is not None and generation != self._generation:
            self.clear()
        self._generation = generation

    async def _get(self, key: Key, read: Callable[[], Awaitable[T]]) -> T:
        found = self._facts.get(key, MISSING)
        if found is not MISSING:
            return found  # type: ignore[no-any-return]
        while (waiting := self._loading.get(key)) is not None:
            try:
                return await asyncio.shield(waiting)
            except _ReaderGone:  # then this one reads, or waits for the next who does
                continue
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._loading[key] = future
        try:
            fact = await read()
        except BaseException as error:
            self._fail(key, future, error)
            raise
        self._finish(key, future, fact)
        return fact

    def _fail(self, key: Key, future: asyncio.Future[Any], error: BaseException) -> None:
        """A fact could not be read: those who waited for it get the error, or read it themselves."""
        if self._loading.get(key) is future:
            del self._loading[key]
        future.set_exception(error if isinstance(error, Exception) else _ReaderGone())
        future.exception()  # whether or not somebody else waited for it

    def _finish(self, key: Key, future: asyncio.Future[Any], fact: Any) -> None:
        """A fact was read; it is kept unless it was forgotten meanwhile."""
        future.set_result(fact)
        if self._loading.get(key) is future:
            del self._loading[key]
            if fact is not None or key[0] not in _NAMED_BY_STRANGERS:
                self._keep(key, fact)

    def _keep(self, key: Key, fact: Any) -> None:
        facts = self._facts
        if len(facts) >= self._capacity:  # the oldest eighth goes; what is in use comes back by one read
            for old in list(facts)[: max(1, self._capacity // 8)]:
                del facts[old]
        facts[key] = fact

    async def _read_dialog(self, dialog_id: str) -> DialogFacts | None:
        async def read(tx: Any) -> DialogFacts | None:
            row = await tx.row(_DIALOG, dialog_id)
            if row is None:
                return None
            away: frozenset[int] = frozenset()
            if row[1] == DialogType.BROADCAST:
                away = frozenset(member[0] for member in await tx.fetch(_AWAY, dialog_id))
                rows = [(admin[0], True, False) for admin in await tx.fetch(_ADMINS, dialog_id)]
            else:
                rows = await tx.fetch(_MEMBERS, dialog_id)
            return DialogFacts(
                dialog_id,
                row[0],
                row[1],
                row[2],
                frozenset(member[0] for member in rows),
                frozenset(member[0] for member in rows if member[1]),
                row[1] == DialogType.PRIVATE and any(member[2] for member in rows),
                row[3],
                away,
            )

        return await self._database.read(read)
