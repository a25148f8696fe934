"""Who may join the room of a dialog, and as what; which of a dialog's members are online."""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from enum import IntEnum
from typing import Any, Protocol

from voxcube.server.core.errors import Forbidden, NotFound
from voxcube.server.core.models import DialogType
from voxcube.server.features.messages.service import Facts

ONLINE_MAX = 1000  # users in one answer


class Standing(IntEnum):
    """What a user is in a room."""

    OWNER = 0
    ADMIN = 1
    MEMBER = 2
    READER = 3  # of a broadcast dialog


class FactSource(Protocol):
    """The cache of hot facts (`storage.cache.Cache`)."""

    def peek_dialog(self, dialog_id: str) -> Any: ...
    async def dialog(self, app_id: int, dialog_id: str) -> Any: ...
    def doubt(self, user_id: int, key: tuple[Any, ...]) -> bool: ...


class Online(Protocol):
    """Who has an available session on any node (`features.presence.service`)."""

    def among(self, users: Collection[int], most: int) -> Awaitable[list[int]]: ...
    def in_app(self, app_id: int, most: int) -> Awaitable[list[int]]: ...


class Visibility(Protocol):
    """Privacy lists (`features.privacy.visibility`)."""

    def hiding_in_room(
        self, app_id: int, viewer_id: int, dialog_id: str, users: Collection[int]
    ) -> Awaitable[set[int]]: ...


class RoomService:
    """Permissions of rooms."""

    def __init__(self, facts: FactSource, online: Online, visibility: Visibility) -> None:
        self._facts = facts
        self._online = online
        self._visibility = visibility

    async def standing(self, app_id: int, user_id: int, dialog_id: str) -> Standing:
        """What a user is in a room. Raises NotFound, Forbidden."""
        return (await self._admitted(app_id, user_id, dialog_id))[1]

    async def online(self, app_id: int, user_id: int, dialog_id: str) -> list[int]:
        """The members with an available session, joined or not; at most ONLINE_MAX. Raises NotFound, Forbidden.

        To a broadcast dialog belongs everybody in the application. Members who hide from the user are left out.
        """
        facts, _ = await self._admitted(app_id, user_id, dialog_id)
        if facts.type == DialogType.BROADCAST:
            found = await self._online.in_app(app_id, ONLINE_MAX)
        else:
            found = await self._online.among(facts.members, ONLINE_MAX)
        hiding = await self._visibility.hiding_in_room(app_id, user_id, dialog_id, found)
        return [member for member in found if member not in hiding]

    async def standings(self, app_id: int, dialog_id: str, users: Collection[int]) -> dict[int, Standing | None]:
        """What these users are in a room now; None for who does not belong to it (any more)."""
        facts = await self._fresh(app_id, dialog_id)
        return {user_id: _standing(facts, user_id) for user_id in users}

    async def _admitted(self, app_id: int, user_id: int, dialog_id: str) -> tuple[Facts, Standing]:
        known = self._facts.peek_dialog(dialog_id)
        facts = await self._fresh(app_id, dialog_id)
        standing = _standing(facts, user_id)
        if standing is None and facts is known and self._facts.doubt(user_id, ("dialog", dialog_id)):
            facts = await self._fresh(app_id, dialog_id)
            standing = _standing(facts, user_id)
        if facts is None or facts.type == DialogType.PRIVATE:
            raise NotFound("The dialog does not exist")
        if standing is None:
            raise Forbidden("You are not in this dialog")
        return facts, standing

    async def _fresh(self, app_id: int, dialog_id: str) -> Facts | None:
        """The facts as they are when this returns: what was forgotten while it was read is read again."""
        while True:
            facts: Facts | None = await self._facts.dialog(app_id, dialog_id)
            if facts is None or self._facts.peek_dialog(dialog_id) is facts:
                return facts


def _standing(facts: Facts | None, user_id: int) -> Standing | None:
    if facts is None or facts.type == DialogType.PRIVATE:
        return None
    if facts.type == DialogType.BROADCAST or user_id in facts.members:
        if user_id == facts.owner_id:
            return Standing.OWNER
        if user_id in facts.admins:
            return Standing.ADMIN
        return Standing.READER if facts.type == DialogType.BROADCAST else Standing.MEMBER
    return None
