"""Privacy lists as the SDK gives and takes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PrivacyAction(StrEnum):
    """What an item of a privacy list does."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class PrivacyItem:
    """One user in a privacy list.

    ``mutual``: in both directions, in private dialogs and in groups. Otherwise only what comes from the user is denied.
    """

    user_id: int
    action: PrivacyAction = PrivacyAction.DENY
    mutual: bool = True


@dataclass(frozen=True, slots=True)
class PrivacyLists:
    """The names of a user's privacy lists: the one this connection uses, the account's default, and all of them."""

    active: str | None
    default: str | None
    all: tuple[str, ...]
