"""Which users hide their presence from a viewer, and which refuse to be added to a group by an actor.

Only the default list of the user who is looked at decides: it is the account's, and known to all nodes. Lists of users
are evaluated with one read for all default lists that are not cached.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from voxcube.server.core.privacy import MESSAGE, PRESENCE_OUT, Rules
from voxcube.server.storage.privacy import PrivacyStore


class RuleCache(Protocol):
    """The cache of default privacy lists (`storage.cache.Cache`)."""

    def peek_privacy(self, app_id: int, user_id: int) -> Any: ...
    async def privacy_of(self, app_id: int, user_ids: Collection[int]) -> dict[int, Rules]: ...


class Visibility:
    """Evaluates the default privacy lists of many users for one viewer or actor."""

    def __init__(self, facts: RuleCache, store: PrivacyStore, domain: str) -> None:
        self._facts = facts
        self._store = store
        self._domain = domain
        self._rooms = f"muc.{domain}"

    async def hiding(self, app_id: int, viewer_id: int, users: Collection[int]) -> set[int]:
        """Those of these users who deny presence-out to the viewer (XEP-0016 §2.11)."""
        lists = await self._facts.privacy_of(app_id, users)
        return {user_id for user_id, rules in lists.items() if self._hides(rules, app_id, user_id, viewer_id)}

    async def hiding_in_room(self, app_id: int, viewer_id: int, dialog_id: str, users: Collection[int]) -> set[int]:
        """Those of these users whose presence the viewer does not see in the room of a dialog."""
        lists = await self._facts.privacy_of(app_id, users)
        return {
            user_id
            for user_id, rules in lists.items()
            if self._hides_in_room(rules, app_id, user_id, viewer_id, dialog_id)
        }

    async def hiding_in_app(
        self, app_id: int, viewer_id: int, *, online_at: int | None = None, scanning: bool = False
    ) -> list[int]:
        """All users of the application who hide from the viewer; `online_at` (Unix seconds): of those online then."""
        lists = await self._store.naming(app_id, viewer_id, self._domain, online_at=online_at, scanning=scanning)
        return sorted(user_id for user_id, rules in lists if self._hides(rules, app_id, user_id, viewer_id))

    async def refusing(self, app_id: int, actor_id: int, users: Collection[int]) -> set[int]:
        """Those of these users who deny messages of the actor, in private or in groups."""
        lists = await self._facts.privacy_of(app_id, users)
        actor, nick = (f"{actor_id}-{app_id}", self._domain, ""), ("", self._rooms, str(actor_id))
        return {
            user_id
            for user_id, rules in lists.items()
            if user_id != actor_id and not (rules.allows(actor, MESSAGE) and rules.allows(nick, MESSAGE))
        }

    def knows(self, app_id: int, user_id: int) -> bool:
        """Whether the default list of a user is cached (`load`)."""
        rules = self._facts.peek_privacy(app_id, user_id)
        return rules is None or type(rules) is Rules

    def peek_hides_in_room(self, app_id: int, user_id: int, viewer_id: int, dialog_id: str) -> bool:
        """Whether a user hides from the viewer in a room; so does a user whose list is not cached."""
        rules = self._facts.peek_privacy(app_id, user_id)
        if rules is None:
            return False
        return type(rules) is not Rules or self._hides_in_room(rules, app_id, user_id, viewer_id, dialog_id)

    async def load(self, app_id: int, users: Collection[int]) -> None:
        """Read the default lists of these users into the cache."""
        await self._facts.privacy_of(app_id, users)

    def _hides(self, rules: Rules, app_id: int, user_id: int, viewer_id: int) -> bool:
        return user_id != viewer_id and not rules.allows((f"{viewer_id}-{app_id}", self._domain, ""), PRESENCE_OUT)

    def _hides_in_room(self, rules: Rules, app_id: int, user_id: int, viewer_id: int, dialog_id: str) -> bool:
        """By the item for private stanzas or by the one for rooms: official SDKs and XEP-0191 blocks write both."""
        if self._hides(rules, app_id, user_id, viewer_id):
            return True
        occupant = (f"{app_id}_{dialog_id}", self._rooms, str(viewer_id))
        return user_id != viewer_id and not rules.allows(occupant, PRESENCE_OUT)
