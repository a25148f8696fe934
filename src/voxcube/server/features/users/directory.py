"""What users see of each other: the lists and look-ups of users, within the settings of their application."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from voxcube.server.core.errors import Invalid, NotFound
from voxcube.server.core.listing import Listing
from voxcube.server.core.models import App, User, Viewer
from voxcube.server.features.users.service import UserService
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.users import UserStore

#: People in the dialogs of a guest, whom it may find: so many at most, those who have been users for longest.
AROUND_MAX = 10_000


class Directory:
    """Finds users for users: without what the application hides, and for guests only people in their dialogs."""

    def __init__(self, *, users: UserService, store: UserStore, cache: Cache) -> None:
        self._users = users
        self._store = store
        self._cache = cache

    async def get(self, viewer: Viewer, user_id: int) -> User:
        """One user by id. Raises NotFound."""
        await self._check_around(viewer, user_id)
        return await self._shown_one(viewer, await self._users.get(viewer.app_id, user_id))

    async def by_external(self, viewer: Viewer, external: str) -> User:
        """One user by the id in another system. Raises NotFound."""
        user = await self._users.by_external(viewer.app_id, external)
        await self._check_around(viewer, user.id)
        return await self._shown_one(viewer, user)

    async def look_up(self, viewer: Viewer, field: str, value: str) -> User:
        """The one user whose field (of LOOK_UPS) has this value. Raises NotFound, Invalid."""
        await self._check_fields(viewer, [field])
        among = await self._around(viewer)
        user = await self._users.look_up(viewer.app_id, field, value, among=among)
        return await self._shown_one(viewer, user)

    async def page(self, viewer: Viewer, listing: Listing) -> tuple[Listing, int, list[User]]:
        """The list of version 2, as `UserService.page`."""
        await self._check_listing(viewer, listing)
        listing, total, users = await self._users.page(viewer.app_id, listing, among=await self._around(viewer))
        return listing, total, await self.shown(viewer, users)

    async def walk(self, viewer: Viewer, listing: Listing) -> tuple[int, list[User]]:
        """The list of version 1, as `UserService.walk`."""
        await self._check_listing(viewer, listing)
        total, users = await self._users.walk(viewer.app_id, listing, among=await self._around(viewer))
        return total, await self.shown(viewer, users)

    async def by_full_name(self, viewer: Viewer, full_name: str, listing: Listing) -> tuple[int, list[User]]:
        """Users whose name contains a text. Raises Invalid."""
        among = await self._around(viewer)
        total, users = await self._users.by_full_name(viewer.app_id, full_name, listing, among=among)
        return total, await self.shown(viewer, users)

    async def by_tags(self, viewer: Viewer, tags: Sequence[str], listing: Listing) -> tuple[int, list[User]]:
        """Users with any of these tags. Raises Invalid."""
        total, users = await self._users.by_tags(viewer.app_id, tags, listing, among=await self._around(viewer))
        return total, await self.shown(viewer, users)

    async def online(self, viewer: Viewer, *, limit: int, skip: int) -> list[User]:
        """Users who have an available chat session."""
        among = await self._around(viewer)
        return await self.shown(viewer, await self._users.online(viewer.app_id, limit=limit, skip=skip, among=among))

    async def shown(self, viewer: Viewer, users: Iterable[User]) -> list[User]:
        """These users as the viewer sees them: without e-mail address or phone number where these are hidden."""
        hidden: dict[str, Any] = dict.fromkeys(await self._hidden(viewer))
        return [
            user if user.id == viewer.user_id or not hidden else dataclasses.replace(user, **hidden) for user in users
        ]

    async def _shown_one(self, viewer: Viewer, user: User) -> User:
        return (await self.shown(viewer, [user]))[0]

    async def _app(self, viewer: Viewer) -> App:
        app = await self._cache.app(viewer.app_id)
        if app is None:
            raise NotFound
        return app

    async def _hidden(self, viewer: Viewer) -> list[str]:
        """Fields of other users that the viewer does not see."""
        settings = (await self._app(viewer)).settings
        audiences = {"everyone"} if viewer.guest else {"everyone", "users"}
        return [
            field
            for field, visible_to in (("email", settings.email_visible_to), ("phone", settings.phone_visible_to))
            if visible_to not in audiences
        ]

    async def _check_fields(self, viewer: Viewer, fields: Iterable[str]) -> None:
        """A hidden field cannot be searched or sorted by either: the answer would tell what it holds."""
        hidden = await self._hidden(viewer)
        if wrong := [field for field in fields if field in hidden]:
            raise Invalid(
                {field: ["is not visible here, so that it cannot be searched or sorted by"] for field in wrong}
            )

    async def _check_listing(self, viewer: Viewer, listing: Listing) -> None:
        ordered = [] if listing.order is None else [listing.order.field]
        await self._check_fields(viewer, [*(condition.field for condition in listing.conditions), *ordered])

    async def _around(self, viewer: Viewer) -> list[int] | None:
        """The users whom the viewer may find; None: all."""
        if not viewer.guest or (await self._app(viewer)).settings.guests_list_users:
            return None
        return await self._store.around(viewer.app_id, viewer.user_id, AROUND_MAX)

    async def _check_around(self, viewer: Viewer, user_id: int) -> None:
        """Raises NotFound, whether or not there is such a user."""
        around = await self._around(viewer)
        if around is not None and user_id not in around:
            raise NotFound("User does not exist")
