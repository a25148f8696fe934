"""Applications, users and dialogs for the command line: the services on the database itself, with a server or not."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from voxcube.server.config import Config
from voxcube.server.core.clock import SystemClock
from voxcube.server.core.errors import NotFound
from voxcube.server.core.ids import Ids
from voxcube.server.core.listing import Condition, Listing, Order
from voxcube.server.core.models import Dialog, User
from voxcube.server.features.apps.removal import AppRemoval
from voxcube.server.features.apps.service import AppService
from voxcube.server.features.dialogs.ending import DialogEndings
from voxcube.server.features.dialogs.service import DialogService, NewDialog
from voxcube.server.features.privacy.visibility import Visibility
from voxcube.server.features.users.passwords import Passwords
from voxcube.server.features.users.removal import Removal
from voxcube.server.features.users.service import UserService
from voxcube.server.storage import app_rows, counters
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.migrate import open_database
from voxcube.server.storage.privacy import PrivacyStore
from voxcube.server.storage.tokens import TokenStore
from voxcube.server.storage.users import UserStore

T = TypeVar("T")


class Accounts:
    """The services that the commands use, over one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clock = SystemClock()
        self._passwords = Passwords(clock=self._clock)
        self._users = UserStore(database)
        self.apps = AppService(self, self._clock)
        self.users = UserService(
            users=self._users,
            passwords=self._passwords,
            transactions=self,
            clock=self._clock,
            tokens=TokenStore(database),
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, config: Config) -> AsyncIterator[Self]:
        """Opens the configured database, creating or upgrading its tables. Raises DatabaseError."""
        database = await open_database(config.database_url)
        self = cls(database)
        try:
            yield self
        finally:
            self._passwords.close()
            await database.close()

    async def find_user(self, app_id: int, login: str) -> User | None:
        """The user of an application with this login."""
        return await self._users.by_login(app_id, login)

    async def create_user(
        self, app_id: int, login: str, password: str, *, email: str | None = None, full_name: str | None = None
    ) -> User:
        """A new user. Raises NotFound for an unknown application, Invalid, Conflict."""
        app = await self.apps.get(app_id)
        given = {"login": login, "email": email, "full_name": full_name}
        fields = {name: value for name, value in given.items() if value is not None}
        return await self.users.create(app, fields, password)

    async def user(self, app_id: int, *, login: str | None = None, user_id: int | None = None) -> User:
        """A user of an application by login or id. Raises NotFound."""
        await self.apps.get(app_id)
        if login is None:
            return await self.users.get(app_id, user_id or 0)
        user = await self.find_user(app_id, login)
        if user is None:
            raise NotFound(f"application {app_id} has no user with the login {login!r}")
        return user

    async def list_users(self, app_id: int, *, after: int, limit: int) -> tuple[list[User], bool]:
        """A page of users by id, above the id `after`, and whether there are more. Raises NotFound."""
        await self.apps.get(app_id)
        listing = Listing(conditions=[Condition("id", "gt", after)], order=Order("id"), limit=limit)
        total, users = await self._users.page(app_id, listing)
        return users, total > len(users)

    async def count_users(self, app_id: int) -> int:
        """How many users an application has."""
        return await self._database.read(lambda tx: app_rows.count_users(tx, app_id))

    async def set_password(self, user: User, password: str) -> None:
        """Replace a password; the user's sessions end, also on running servers. Raises Invalid, NotFound."""
        await self.users.set_password(await self.apps.get(user.app_id), user.id, password)

    async def delete_user(self, user: User) -> None:
        """Delete an account; its sessions end, also on running servers. Raises NotFound."""
        await self._removal().remove(user.app_id, user.id)

    async def delete_app(self, app_id: int) -> None:
        """Delete an application with its users, dialogs and messages. Raises NotFound."""
        followed = _Followed(self)
        endings = DialogEndings(cache=Cache(self._database), transactions=followed, clock=self._clock)
        removal = AppRemoval(
            apps=self.apps, users=self._removal(), dialogs=endings, transactions=self, clock=self._clock
        )
        await removal.remove(app_id)

    def _removal(self) -> Removal:
        return Removal(
            users=self._users,
            tokens=TokenStore(self._database),
            cache=Cache(self._database),
            transactions=_Followed(self),
            clock=self._clock,
        )

    async def create_broadcast(self, app_id: int, owner_id: int, new: NewDialog) -> Dialog:
        """A new broadcast dialog, which running servers follow. Raises NotFound for an unknown application, Invalid."""
        await self.apps.get(app_id)
        cache = Cache(self._database)
        dialogs = DialogService(
            dialogs=DialogStore(self._database),
            users=self.users,
            cache=cache,
            transactions=_Followed(self),
            clock=self._clock,
            ids=Ids(self._clock),
            visibility=Visibility(cache, PrivacyStore(self._database), ""),  # broadcasts ask for no lists
        )
        return await dialogs.create_broadcast(app_id, owner_id, new)

    async def run(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], /, *, dialog: str | None = None) -> T:
        """One transaction; takes the place of the server's writer (SQLite: BEGIN IMMEDIATE with a busy timeout)."""
        return await self._database.transaction(fn)


class _Followed:
    """Transactions after which running servers read everything anew."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def run(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], /, *, dialog: str | None = None) -> T:
        async def and_tell(tx: Tx) -> T:
            result = await fn(tx)
            await counters.raise_generation(tx)
            return result

        return await self._accounts.run(and_tell, dialog=dialog)
