"""The rules of accounts: who may be made, and who is found."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Conflict, Forbidden, Invalid, NotFound, SessionRequired, Unauthorized
from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.core.listing import Condition, Listing
from voxcube.server.core.models import App, User
from voxcube.server.features.apps.service import Transactions
from voxcube.server.features.users.fields import cleaned, password_problems, problems
from voxcube.server.features.users.hash_queue import Lane
from voxcube.server.features.users.passwords import Passwords
from voxcube.server.storage import counters
from voxcube.server.storage.cache import Cache, Key
from voxcube.server.storage.database import DatabaseError, Tx, UniqueViolation
from voxcube.server.storage.tokens import TokenStore
from voxcube.server.storage.users import UserStore

#: Fields by which users may be looked for on their own (rest §4.3), and operators that name users closely enough.
STAND_ALONE = ("id", "login", "email", "full_name", "phone", "external_id", "facebook_id", "twitter_id", "user_tags")
PRIMARY = ("eq", "in", "start_with")
#: Fields by which a single user is looked up (rest §4.4).
LOOK_UPS = ("login", "email", "phone", "facebook_id", "twitter_id")
START_WITH_MIN = 4  # characters
START_WITH_LIMIT = 5  # users
KEYS_AT_ONCE = 1000  # told to other nodes in one event


class UserService:
    """Makes accounts and finds them; lists with ``among`` are of those users only."""

    def __init__(
        self,
        *,
        users: UserStore,
        passwords: Passwords,
        transactions: Transactions,
        clock: Clock,
        tokens: TokenStore,
        cache: Cache | None = None,
    ) -> None:
        """``cache`` is that of a running server; the command line has none."""
        self._users = users
        self._passwords = passwords
        self._transactions = transactions
        self._clock = clock
        self._tokens = tokens
        self._cache = cache

    async def create(self, app: App, fields: Mapping[str, Any], password: str | None, *, address: str = "") -> User:
        """A new account with ``fields`` (names of `User`); no session is made. ``address`` is the client's.

        Raises Invalid with every mistake by field, Conflict when a login, e-mail or external id is taken.
        """
        values = cleaned(fields)
        wrong = problems(values)
        if texts := password_problems(password, app.settings.password_min_length):
            wrong["password"] = texts
        if not values.get("login") and not values.get("email"):
            wrong["base"] = ["Login or email is required"]
        if wrong:
            raise Invalid(wrong)
        hashed = await self._passwords.hash(password or "", address=address)
        now = self._clock.now()

        return await self._insert(
            User(id=0, app_id=app.id, password_hash=hashed, created_at=now, updated_at=now, **values)
        )

    async def create_guest(self, app: App, full_name: str | None) -> User:
        """A new guest: without a password, and with a login that was made up (rest §3.4). Raises Invalid."""
        values = cleaned({"full_name": full_name or None})
        if wrong := problems(values):
            raise Invalid(wrong)
        now = self._clock.now()
        login = f"guest_login_{secrets.token_hex(12)}"
        return await self._insert(
            User(id=0, app_id=app.id, login=login, is_guest=True, created_at=now, updated_at=now, **values)
        )

    async def _insert(self, new: User) -> User:
        async def make(tx: Tx) -> User:
            user = new
            if taken := await self._users.taken(tx, user):
                raise Conflict({name: ["has already been taken"] for name in taken})
            user = dataclasses.replace(user, id=await self._users.next_id(tx))
            await self._users.insert(tx, user)
            return user

        try:
            user = await self._transactions.run(make)
        except UniqueViolation:  # another node was faster between our look and our insert: look again
            user = await self._transactions.run(make)
        if self._cache is not None:
            self._cache.forget(("user", user.app_id, user.id))
        return user

    async def update(
        self,
        app_id: int,
        user_id: int,
        fields: Mapping[str, Any],
        *,
        password: str | None = None,
        old_password: str | None = None,
        token: str = "",
        address: str = "",
    ) -> User:
        """Changes ``fields`` of an account, None clears one; a new ``password`` needs the old one.

        A new password ends all sessions of the user but that of ``token``, and the chat sessions that they or the old
        password let in. With the setting `require_password_for_account_changes` another login, e-mail or phone needs
        the old password too.

        Raises Invalid with every mistake by field, Conflict, NotFound.
        """
        assert self._cache is not None
        user, app = await self.get(app_id, user_id), await self._cache.app(app_id)
        changes = cleaned(fields)
        for name in ("login", "email"):
            if name in changes and changes[name] == getattr(user, name):
                del changes[name]  # or the key of an older version would be written anew, which another user may have
        wrong = problems(changes)
        after = dataclasses.replace(user, **changes)
        if not after.login and not after.email:
            wrong["base"] = ["Login or email is required"]
        minimum = 0 if app is None else app.settings.password_min_length
        if password is not None and (texts := password_problems(password, minimum)):
            wrong["password"] = texts
        if "password" not in wrong and (password is not None or await self.needs_password(user, changes)):
            lane = Lane.CHANGE
            if not old_password:
                wrong["old_password"] = ["can't be blank"]
            elif not await self._passwords.verify(user.password_hash, old_password, address=address, lane=lane):
                wrong["old_password"] = ["is incorrect"]
        if wrong:
            raise Invalid(wrong)
        hashed = None if password is None else await self._passwords.hash(password, address=address)
        changes["updated_at"] = now = self._clock.now()

        async def change(tx: Tx) -> list[Key]:
            if taken := await self._users.taken(tx, after, user):
                raise Conflict({name: ["has already been taken"] for name in taken})
            if not await self._users.update(tx, app_id, user_id, changes):
                raise NotFound("User does not exist")
            return [] if hashed is None else await self._replace_password(tx, app_id, user_id, hashed, now, token)

        try:
            ended = await self._transactions.run(change)
        except UniqueViolation:  # another node was faster between our look and our change: look again
            ended = await self._transactions.run(change)
        self._tell(ended)
        try:
            return await self.get(app_id, user_id)
        except DatabaseError:  # it is changed all the same, and no error may say otherwise
            return dataclasses.replace(after, updated_at=now)

    async def needs_password(self, user: User, changes: Mapping[str, Any]) -> bool:
        """Whether ``changes`` of an account need its password, by the application's setting."""
        assert self._cache is not None
        app = await self._cache.app(user.app_id)
        return (
            app is not None
            and app.settings.require_password_for_account_changes
            and user.password_hash is not None
            and any(name in changes and changes[name] != getattr(user, name) for name in ("login", "email", "phone"))
        )

    async def set_password(self, app: App, user_id: int, password: str) -> None:
        """Replaces a password without the old one, for an administrator; ends all sessions of the user.

        Raises Invalid for an unacceptable password, NotFound.
        """
        if texts := password_problems(password, app.settings.password_min_length):
            raise Invalid({"password": texts})
        hashed = await self._passwords.hash(password)

        async def change(tx: Tx) -> list[Key]:
            ended = await self._replace_password(tx, app.id, user_id, hashed, self._clock.now(), "")
            if self._cache is None:
                await counters.raise_generation(tx)  # running servers then look at the chat sessions
            return ended

        self._tell(await self._transactions.run(change))

    async def _replace_password(
        self, tx: Tx, app_id: int, user_id: int, password_hash: str, now: int, token: str
    ) -> list[Key]:
        """Returns what to tell all nodes: what the old password let in ends (realtime §17), but for ``token``."""
        version = await self._users.set_password(tx, app_id, user_id, password_hash, now)
        if not version:
            raise NotFound("User does not exist")
        ended = await self._tokens.delete_others(tx, token, app_id=app_id, user_id=user_id)
        return [("password", user_id, version), *(("token", user_id, hashed) for _, hashed in ended)]

    def _tell(self, keys: Sequence[Key]) -> None:
        if self._cache is not None:
            for start in range(0, len(keys), KEYS_AT_ONCE):
                self._cache.forget(*keys[start : start + KEYS_AT_ONCE])

    async def sign_up(
        self,
        *,
        app_id: int | None,
        auth_key: str,
        fields: Mapping[str, Any],
        password: str | None,
        address: str = "",
    ) -> User:
        """A new account in the application of a session, or in the one that ``auth_key`` names (rest §4.2).

        Raises as ``create``; SessionRequired when neither is there, Unauthorized for an unknown key.
        """
        assert self._cache is not None
        if app_id is None and not auth_key:
            raise SessionRequired
        if app_id is not None:
            app = await self._cache.app(app_id)
        else:
            app = await self._cache.app_by_auth_key(auth_key)
        if app is None:
            raise Unauthorized
        return await self.create(app, fields, password, address=address)

    async def get(self, app_id: int, user_id: int) -> User:
        """One account. Raises NotFound, also for another application's."""
        user = await self._users.by_id(app_id, user_id)
        if user is None:
            raise NotFound("User does not exist")
        return user

    async def look_up(self, app_id: int, field: str, value: str, *, among: Sequence[int] | None = None) -> User:
        """The one user whose ``field`` (of LOOK_UPS) is ``value``. Raises NotFound, Invalid for a blank value."""
        if not value.strip():
            raise Invalid({field: ["can't be blank"]})
        listing = Listing(conditions=[_phones(Condition(field, "eq", value))], limit=1)
        _, users = await self._users.page(app_id, _among(listing, among))
        if not users:
            raise NotFound("User does not exist")
        return users[0]

    async def by_external(self, app_id: int, external: str) -> User:
        """By the integer ``external_user_id``, otherwise by ``external_id``. Raises NotFound."""
        user = await self._users.by_external(app_id, external)
        if user is None:
            raise NotFound("User does not exist")
        return user

    async def page(
        self, app_id: int, listing: Listing, *, among: Sequence[int] | None = None
    ) -> tuple[Listing, int, list[User]]:
        """One page of users: the listing that was applied, how many match it, and the page.

        Raises Invalid unless one of the conditions names users closely enough (rest §4.3): nobody may walk through all.
        """
        if not any(one.field in STAND_ALONE and one.operator in PRIMARY for one in listing.conditions):
            raise Invalid("At least one of these fields is required: " + ", ".join(STAND_ALONE))
        for condition in listing.conditions:
            if condition.operator == "start_with":
                if len(condition.value) < START_WITH_MIN:
                    raise Invalid({condition.field: [f"start_with needs at least {START_WITH_MIN} characters"]})
                listing = dataclasses.replace(listing, limit=min(listing.limit, START_WITH_LIMIT))
        total, users = await self._users.page(app_id, _among(_with_phones(listing), among))
        return listing, total, users

    async def walk(
        self, app_id: int, listing: Listing, *, among: Sequence[int] | None = None
    ) -> tuple[int, list[User]]:
        """How many users match, and one page of them, whatever the conditions: the list of version 1 (rest §4.4).

        Raises Forbidden where the application's setting has switched it off.
        """
        assert self._cache is not None
        app = await self._cache.app(app_id)
        if app is None or app.settings.disable_users_list_v1:
            raise Forbidden(
                "Users retrieving forbidden in admin panel, application settings. Use GET /users/v2 (Retrieve users V2)"
            )
        return await self._users.page(app_id, _among(_with_phones(listing), among))

    async def by_full_name(
        self, app_id: int, full_name: str, listing: Listing, *, among: Sequence[int] | None = None
    ) -> tuple[int, list[User]]:
        """Users whose name contains ``full_name``, in any case. Raises Invalid."""
        if not full_name.strip():
            raise Invalid({"full_name": ["can't be blank"]})
        condition = Condition("full_name", "ctn", full_name.strip()[:256])
        return await self._users.page(app_id, _among(dataclasses.replace(listing, conditions=[condition]), among))

    async def by_tags(
        self, app_id: int, tags: Sequence[str], listing: Listing, *, among: Sequence[int] | None = None
    ) -> tuple[int, list[User]]:
        """Users with any of ``tags``. Raises Invalid."""
        if not tags:
            raise Invalid({"tags": ["can't be blank"]})
        conditions = [Condition("user_tags", "in", list(tags))]
        return await self._users.page(app_id, _among(dataclasses.replace(listing, conditions=conditions), among))

    async def online(
        self, app_id: int, *, limit: int, skip: int, among: Sequence[int] | None = None, without: Sequence[int] = ()
    ) -> list[User]:
        """Users who have an available chat session, on whatever node, but those of ``without``."""
        return await self._users.online(app_id, self.now(), limit=limit, skip=skip, among=among, without=without)

    async def count_online(self, app_id: int, *, without: Sequence[int] = ()) -> int:
        """How many users have an available chat session, but those of ``without``."""
        return await self._users.count_online(app_id, self.now(), without=without)

    def now(self) -> int:
        """The time by which nodes live (Unix seconds)."""
        return self._clock.now()

    async def existing(self, app_id: int, ids: Sequence[int]) -> set[int]:
        """Those of ``ids`` that are users of the application."""
        return await self._users.existing(app_id, _possible(ids))

    async def find(self, app_id: int, ids: Sequence[int]) -> dict[int, User]:
        """Those of ``ids`` that are users of the application, by id."""
        return {user.id: user for user in await self._users.by_ids(app_id, _possible(ids))}


def _among(listing: Listing, ids: Sequence[int] | None) -> Listing:
    """The list of those of these users only; None: of all."""
    if ids is None:
        return listing
    return dataclasses.replace(listing, conditions=[*listing.conditions, Condition("id", "in", list(ids))])


def _with_phones(listing: Listing) -> Listing:
    return dataclasses.replace(listing, conditions=[_phones(condition) for condition in listing.conditions])


def _phones(condition: Condition) -> Condition:
    """A number is the same with and without its ``+``, which is a space where an URL does not encode it."""
    if condition.field != "phone" or condition.operator not in ("eq", "in", "nin"):
        return condition
    given = condition.value if isinstance(condition.value, list) else [condition.value]
    digits = [number.strip().removeprefix("+") for number in given]
    spelled = [*digits, *(f"+{number}" for number in digits)]
    return Condition("phone", "in" if condition.operator == "eq" else condition.operator, spelled)


def _possible(ids: Sequence[int]) -> list[int]:
    """Those of ``ids`` that a user can have at all; the database has no place for others."""
    return [user_id for user_id in ids if 0 < user_id <= MAX_INTEGER_ID]
