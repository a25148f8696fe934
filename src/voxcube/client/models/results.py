"""What deleting, counting and searching give back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from voxcube.client.models.account import User
from voxcube.client.models.dialog import Dialog
from voxcube.client.models.message import Message
from voxcube.client.values import strings


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """Which of several dialogs or messages were deleted, and why the others were not."""

    deleted: tuple[str, ...] = ()
    not_found: tuple[str, ...] = ()
    """They are not there, or this user cannot see them."""
    wrong_permissions: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DeleteResult:
        """Reads the server's lists. Raises AttributeError or TypeError when it has none."""
        found = ((data.get(key) or {}).get("ids") for key in ("SuccessfullyDeleted", "NotFound", "WrongPermissions"))
        return cls(*(strings(ids) for ids in found))

    @classmethod
    def joined(cls, results: Iterable[DeleteResult]) -> DeleteResult:
        """Several results as one."""
        lists = zip(*((part.deleted, part.not_found, part.wrong_permissions) for part in results), strict=True)
        return cls(*(tuple(one for part in parts for one in part) for parts in lists))


@dataclass(frozen=True, slots=True)
class UnreadCounts:
    """Unread messages: over all dialogs asked for, and of each."""

    total: int
    by_dialog: dict[str, int] = field(hash=False)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Where a text was found: names of dialogs and texts of messages. ``users`` is filled by some servers only."""

    dialogs: tuple[Dialog, ...] = ()
    messages: tuple[Message, ...] = ()
    users: tuple[User, ...] = ()

    @classmethod
    def from_json(cls, data: dict[str, Any], viewer_id: int = 0) -> SearchResult:
        """Reads the server's answer. Raises KeyError, TypeError or ValueError when it is none."""
        found = data["results"]
        return cls(
            dialogs=tuple(Dialog.from_json(item, viewer_id) for item in found.get("dialogs") or ()),
            messages=tuple(Message.from_json(item, viewer_id) for item in found.get("messages") or ()),
            users=tuple(User.from_json(item) for item in found.get("users") or ()),
        )
