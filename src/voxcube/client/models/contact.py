"""Contacts as the SDK gives them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Subscription(StrEnum):
    """Who is shown whose presence."""

    NONE = "none"
    TO = "to"
    """This user is shown the contact's."""
    FROM = "from"
    """The contact is shown this user's."""
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Contact:
    """An entry of the contact list. ``asked``: the contact has not answered yet whether it shows its presence."""

    user_id: int
    name: str | None = None
    subscription: Subscription = Subscription.NONE
    asked: bool = False
    groups: tuple[str, ...] = ()
