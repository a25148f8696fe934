"""Who may tell whom that he is typing."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from voxcube.server.core.models import DialogType
from voxcube.server.features.messages.service import Facts, FactSource, may_write


class Privacy(Protocol):
    """Whom a user's own list keeps out of what the user does (`features.privacy.service`)."""

    def peek_telling(self, app_id: int, sender_id: int, user_id: int, *, origin: bytes) -> bool | None: ...
    async def load(self, app_id: int, user_id: int) -> None: ...


class TypingService:
    """Permissions of chat states; a refusal is silent (realtime §9.2)."""

    def __init__(self, facts: FactSource, privacy: Privacy) -> None:
        self._facts = facts
        self._privacy = privacy

    def may_tell_user(self, app_id: int, sender_id: int, user_id: int, origin: bytes) -> bool | Awaitable[bool]:
        """Whether, at once where the facts are in memory. `origin` is the sending session's address."""
        if user_id == sender_id:
            return False
        known = self._facts.peek_user(app_id, user_id)
        allowed = self._privacy.peek_telling(app_id, sender_id, user_id, origin=origin)
        if isinstance(known, bool) and allowed is not None:
            return known and allowed
        return self._may_tell_user_later(app_id, sender_id, user_id, origin)

    async def _may_tell_user_later(self, app_id: int, sender_id: int, user_id: int, origin: bytes) -> bool:
        await self._privacy.load(app_id, sender_id)
        known = await self._facts.user(app_id, user_id)
        return known and self._privacy.peek_telling(app_id, sender_id, user_id, origin=origin) is True

    def may_tell_room(self, app_id: int, sender_id: int, dialog_id: str) -> Facts | Awaitable[Facts | None] | None:
        """The facts that allow it, at once where they are in memory; None: it may not."""
        facts = self._facts.peek_dialog(dialog_id)
        if facts is None or hasattr(facts, "members"):
            return self._may_tell(app_id, sender_id, facts)
        return self._may_tell_later(app_id, sender_id, dialog_id)

    async def _may_tell_later(self, app_id: int, sender_id: int, dialog_id: str) -> Facts | None:
        return self._may_tell(app_id, sender_id, await self._facts.dialog(app_id, dialog_id))

    @staticmethod
    def _may_tell(app_id: int, sender_id: int, facts: Facts | None) -> Facts | None:
        if facts is None or facts.app_id != app_id or facts.type == DialogType.PRIVATE:
            return None
        return facts if may_write(facts, sender_id) else None
