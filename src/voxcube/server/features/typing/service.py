"""Who may tell whom that he is typing."""

from __future__ import annotations

from voxcube.server.core.models import DialogType
from voxcube.server.features.messages.service import FactSource


class TypingService:
    """Permissions of chat states; a refusal is silent (realtime §9.2)."""

    def __init__(self, facts: FactSource) -> None:
        self._facts = facts

    async def may_tell_user(self, app_id: int, user_id: int) -> bool:
        return await self._facts.user(app_id, user_id)

    async def may_tell_room(self, app_id: int, sender_id: int, dialog_id: str) -> bool:
        facts = await self._facts.dialog(app_id, dialog_id)
        if facts is None or facts.type == DialogType.PRIVATE:
            return False
        if facts.type == DialogType.BROADCAST:
            return sender_id == facts.owner_id or sender_id in facts.admins
        return sender_id in facts.members
