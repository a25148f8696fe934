"""What users see of each other: the lists and look-ups of users, within the settings of their application."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from voxcube.server.core.errors import Invalid, NotFound
from voxcube.server.core.listing import Condition, Listing
from voxcube.server.core.models import App, User, Viewer
from voxcube.server.features.privacy.visibility import Visibility
from voxcube.server.features.users.service import UserService
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.users import UserStore

#: People in the dialogs of a guest, whom it may find: so many at most, those who have been users for longest.
AROUND_MAX = 10_000
_ACTIVITY = "last_request_at"


class Directory:
    """Finds users for users: without what the application hides, and for guests only people in their dialogs.

    Users who hide their presence from the viewer by a privacy list show no `last_request_at`, are not among those who
    are online, and are left out of lists that are filtered or sorted by `last_request_at`: the place would tell it.
    """

    def __init__(self, *, users: UserService, store: UserStore, cache: Cache, visibility: Visibility) -> None:
        self._users = users
        self._store = store
        self._cache = cache
        self._visibility = visibility

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
        listing = await self._checked(viewer, listing)
        listing, total, users = await self._users.page(viewer.app_id, listing, among=await self._around(viewer))
        return listing, total, await self.shown(viewer, users)

    async def walk(self, viewer: Viewer, listing: Listing) -> tuple[int, list[User]]:
        """The list of version 1, as `UserService.walk`."""
        listing = await self._checked(viewer, listing)
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
        among, hiding = await self._around(viewer), await self._hiding_online(viewer)
        users = await self._users.online(viewer.app_id, limit=limit, skip=skip, among=among, without=hiding)
        return await self.shown(viewer, users)

    async def count_online(self, viewer: Viewer) -> int:
        """How many users have an available chat session."""
        return await self._users.count_online(viewer.app_id, without=await self._hiding_online(viewer))

    async def _hiding_online(self, viewer: Viewer) -> list[int]:
        return await self._visibility.hiding_in_app(viewer.app_id, viewer.user_id, online_at=self._users.now())

    async def shown(self, viewer: Viewer, users: Iterable[User]) -> list[User]:
        """These users as the viewer sees them: without e-mail address, phone number and last activity where these are
        hidden."""
        users = list(users)
        hidden: dict[str, Any] = dict.fromkeys(await self._hidden(viewer))
        active = [user.id for user in users if user.last_request_at is not None]
        hiding = await self._visibility.hiding(viewer.app_id, viewer.user_id, active) if active else ()
        if hiding:
            users = [dataclasses.replace(user, last_request_at=None) if user.id in hiding else user for user in users]
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

    async def _checked(self, viewer: Viewer, listing: Listing) -> Listing:
        """The listing without users whose place in it would tell what they hide. Raises Invalid for hidden fields."""
        ordered = [] if listing.order is None else [listing.order.field]
        fields = [*(condition.field for condition in listing.conditions), *ordered]
        await self._check_fields(viewer, fields)
        if _ACTIVITY in fields:
            hiding = await self._visibility.hiding_in_app(viewer.app_id, viewer.user_id, scanning=True)
            if hiding:
                return dataclasses.replace(listing, conditions=[*listing.conditions, Condition("id", "nin", hiding)])
        return listing

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
