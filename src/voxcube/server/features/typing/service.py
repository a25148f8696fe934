"""Who may tell whom that he is typing."""

from __future__ import annotations

from collections.abc import Awaitable

from voxcube.server.core.models import DialogType
from voxcube.server.features.messages.service import Facts, FactSource


class TypingService:
    """Permissions of chat states; a refusal is silent (realtime §9.2)."""

    def __init__(self, facts: FactSource) -> None:
        self._facts = facts

    def may_tell_user(self, app_id: int, sender_id: int, user_id: int) -> bool | Awaitable[bool]:
        """Whether, at once where the facts are in memory."""
        if user_id == sender_id:
            return False
        known = self._facts.peek_user(app_id, user_id)
        return known if isinstance(known, bool) else self._facts.user(app_id, user_id)

    def may_tell_room(self, app_id: int, sender_id: int, dialog_id: str) -> bool | Awaitable[bool]:
        """Whether, at once where the facts are in memory."""
        facts = self._facts.peek_dialog(dialog_id)
        if facts is None or hasattr(facts, "members"):
            return self._may_tell(app_id, sender_id, facts)
        return self._may_tell_later(app_id, sender_id, dialog_id)

    async def _may_tell_later(self, app_id: int, sender_id: int, dialog_id: str) -> bool:
        return self._may_tell(app_id, sender_id, await self._facts.dialog(app_id, dialog_id))

    @staticmethod
    def _may_tell(app_id: int, sender_id: int, facts: Facts | None) -> bool:
        if facts is None or facts.app_id != app_id or facts.type == DialogType.PRIVATE:
            return False
        if facts.type == DialogType.BROADCAST:
            return sender_id == facts.owner_id or sender_id in facts.admins
        return sender_id in facts.members
