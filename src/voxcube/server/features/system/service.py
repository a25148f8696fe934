"""Who may send a headline to whom (realtime §11)."""

from __future__ import annotations

from typing import Any, Protocol

from voxcube.server.core.errors import Blocked, Invalid, NotFound
from voxcube.server.core.ids import Ids
from voxcube.server.features.messages.service import LARGEST, FactSource
from voxcube.server.features.privacy.service import PrivacyService


class Headlines(Protocol):
    """Sends what was made by REST (`features.system.encode`)."""

    def send(self, app_id: int, user_id: int, to_user: int, message_id: str, parameters: Any, largest: int) -> None:
        """To all available sessions of `to_user`. Raises ValueError for what XML cannot carry or is too large."""


class SystemService:
    """Permissions of headlines."""

    def __init__(self, *, facts: FactSource, privacy: PrivacyService, headlines: Headlines, ids: Ids) -> None:
        self._facts = facts
        self._privacy = privacy
        self._headlines = headlines
        self._ids = ids

    async def check(self, app_id: int, user_id: int, to_user: int, *, origin: bytes = b"") -> None:
        """Raises NotFound for an unknown user, Blocked where one of the two has blocked the other."""
        if not await self._facts.user(app_id, to_user):
            raise NotFound("There is no such user")
        if not await self._privacy.allows(app_id, user_id, to_user, origin=origin):
            raise Blocked

    async def send(self, app_id: int, user_id: int, to_user: int, parameters: dict[str, Any]) -> str:
        """Sends a headline in a user's name and returns its id. Raises Invalid, NotFound, Blocked."""
        await self.check(app_id, user_id, to_user)
        message_id = self._ids.object_id()
        try:
            self._headlines.send(app_id, user_id, to_user, message_id, parameters, LARGEST)
        except ValueError as error:
            raise Invalid(str(error)) from None
        return message_id
