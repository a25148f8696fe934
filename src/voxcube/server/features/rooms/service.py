"""Who may join the room of a dialog, and as what."""

from __future__ import annotations

from voxcube.server.core.errors import Forbidden, NotFound
from voxcube.server.core.models import DialogType
from voxcube.server.features.messages.service import FactSource

Standing = tuple[str, str]  # affiliation, role (XEP-0045 §5)


class RoomService:
    """Permissions of rooms."""

    def __init__(self, facts: FactSource) -> None:
        self._facts = facts

    async def standing(self, app_id: int, user_id: int, dialog_id: str) -> Standing:
        """Affiliation and role of a user in a room. Raises NotFound, Forbidden."""
        facts = await self._facts.dialog(app_id, dialog_id)
        if facts is None or facts.type == DialogType.PRIVATE:
            raise NotFound("The dialog does not exist")
        if user_id == facts.owner_id:
            return "owner", "moderator"
        if user_id in facts.admins:
            return "admin", "moderator"
        if facts.type == DialogType.BROADCAST:
            return "member", "visitor"
        if user_id not in facts.members:
            raise Forbidden("You are not in this dialog")
        return "member", "participant"
