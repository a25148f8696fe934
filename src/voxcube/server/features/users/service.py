"""The rules of accounts: who may be made, and who is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Conflict, Invalid, NotFound, SessionRequired, Unauthorized
from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.core.listing import Listing
from voxcube.server.core.models import App, User
from voxcube.server.features.apps.service import Transactions
from voxcube.server.features.users.fields import cleaned, password_problems, problems
from voxcube.server.features.users.passwords import Passwords
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.database import Tx, UniqueViolation
from voxcube.server.storage.users import UserStore

#: Fields by which users may be looked for on their own (rest §4.3).
STAND_ALONE = ("id", "login", "email", "full_name", "phone", "external_id", "facebook_id", "twitter_id")
START_WITH_MIN = 4  # characters
START_WITH_LIMIT = 5  # users


class UserService:
    """Makes accounts and finds them."""

    def __init__(
        self,
        *,
        users: UserStore,
        passwords: Passwords,
        transactions: Transactions,
        clock: Clock,
        cache: Cache | None = None,
    ) -> None:
        """``cache`` is that of a running server; the command line has none."""
        self._users = users
        self._passwords = passwords
        self._transactions = transactions
        self._clock = clock
        self._cache = cache

    async def create(self, app: App, fields: Mapping[str, Any], password: str | None) -> User:
        """A new account with ``fields`` (names of `User`); no session is made.

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
        hashed = await self._passwords.hash(password or "")
        now = self._clock.now()

        async def make(tx: Tx) -> User:
            user = User(id=0, app_id=app.id, password_hash=hashed, created_at=now, updated_at=now, **values)
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
            self._cache.forget(("user", app.id, user.id))
        return user

    async def sign_up(
        self, *, app_id: int | None, auth_key: str, fields: Mapping[str, Any], password: str | None
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
        return await self.create(app, fields, password)

    async def get(self, app_id: int, user_id: int) -> User:
        """One account. Raises NotFound, also for another application's."""
        user = await self._users.by_id(app_id, user_id)
        if user is None:
            raise NotFound("User does not exist")
        return user

    async def page(self, app_id: int, listing: Listing) -> tuple[Listing, int, list[User]]:
        """One page of users: the listing that was applied, how many match it, and the page.

        Raises Invalid unless one of the conditions names users closely enough (rest §4.3): nobody may walk through all.
        """
        conditions = listing.conditions
        if not any(condition.operator in ("eq", "in", "start_with") for condition in conditions):
            raise Invalid("At least one of these fields is required: " + ", ".join(STAND_ALONE))
        for condition in conditions:
            if condition.operator == "start_with":
                if len(condition.value) < START_WITH_MIN:
                    raise Invalid({condition.field: [f"start_with needs at least {START_WITH_MIN} characters"]})
                listing = dataclasses.replace(listing, limit=min(listing.limit, START_WITH_LIMIT))
        total, users = await self._users.page(app_id, listing)
        return listing, total, users

    async def existing(self, app_id: int, ids: Sequence[int]) -> set[int]:
        """Those of ``ids`` that are users of the application."""
        return await self._users.existing(app_id, _possible(ids))

    async def find(self, app_id: int, ids: Sequence[int]) -> dict[int, User]:
        """Those of ``ids`` that are users of the application, by id."""
        return {user.id: user for user in await self._users.by_ids(app_id, _possible(ids))}


def _possible(ids: Sequence[int]) -> list[int]:
    """Those of ``ids`` that a user can have at all; the database has no place for others."""
    return [user_id for user_id in ids if 0 < user_id <= MAX_INTEGER_ID]
