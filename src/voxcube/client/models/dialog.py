"""Dialogs: private chats, groups, public chats and broadcasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from voxcube.client.models.message import MessageState
from voxcube.client.values import int_or_none, ints, others, strings, time_or_none


class DialogType(IntEnum):
    """The kinds of dialogs, as the server numbers them."""

    BROADCAST = 1
    GROUP = 2
    PRIVATE = 3
    PUBLIC = 4


@dataclass(frozen=True, slots=True)
class DialogPermissions:
    """``allow_preview``: whether people who are not members may see the last messages."""

    allow_preview: bool = False


@dataclass(frozen=True, slots=True)
class CustomData:
    """Data of the application's own kept with a dialog: values that JSON can hold, under the name of their class."""

    class_name: str
    fields: dict[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CustomData:
        """Reads the server's object."""
        return cls(str(data.get("class_name") or ""), others(data, frozenset(("class_name",))))

    def to_json(self) -> dict[str, Any]:
        """The object to send."""
        return self.fields | {"class_name": self.class_name}


@dataclass(frozen=True, slots=True)
class Dialog:
    """A dialog as one user sees it: a private chat, a group, a public chat or a broadcast."""

    id: str
    type: DialogType | int
    user_id: int
    """The owner, who created it."""
    viewer_id: int = 0
    """The user whose session fetched it; 0 when unknown."""
    name: str | None = None
    description: str | None = None
    photo: str | None = None
    room_jid: str | None = None
    """Where its messages are sent in the chat; None for private dialogs."""
    occupants_ids: tuple[int, ...] = ()
    """The members of a group or private dialog, with the owner."""
    occupants_count: int | None = None
    """The number of subscribers of a public dialog."""
    admins_ids: tuple[int, ...] = ()
    pinned_messages_ids: tuple[str, ...] = ()
    last_message: str | None = None
    last_message_id: str | None = None
    last_message_date_sent: datetime | None = None
    last_message_user_id: int | None = None
    last_message_status: MessageState | None = None
    """Only when the viewer sent the last message."""
    unread_messages_count: int = 0
    extensions: dict[str, str] | None = field(default=None, hash=False)
    custom_data: CustomData | None = None
    permissions: DialogPermissions | None = None
    is_muted: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, data: dict[str, Any], viewer_id: int = 0) -> Dialog:
        """Reads the server's dialog object. Raises KeyError, TypeError or ValueError when it is none."""
        number = int(data["type"])
        status = data.get("last_message_status")
        custom_data, permissions = data.get("data"), data.get("permissions")
        return cls(
            id=str(data["_id"]),
            type=DialogType(number) if number in _DIALOG_TYPES else number,
            user_id=int(data["user_id"]),
            viewer_id=viewer_id,
            name=data.get("name"),
            description=data.get("description"),
            photo=data.get("photo"),
            room_jid=data.get("xmpp_room_jid"),
            occupants_ids=ints(data.get("occupants_ids")),
            occupants_count=int_or_none(data.get("occupants_count")),
            admins_ids=ints(data.get("admins_ids")),
            pinned_messages_ids=strings(data.get("pinned_messages_ids")),
            last_message=data.get("last_message"),
            last_message_id=data.get("last_message_id"),
            last_message_date_sent=time_or_none(data.get("last_message_date_sent")),
            last_message_user_id=int_or_none(data.get("last_message_user_id")),
            last_message_status=MessageState(status) if status in ("sent", "delivered", "read") else None,
            unread_messages_count=int(data.get("unread_messages_count") or 0),
            extensions=data.get("extensions"),
            custom_data=CustomData.from_json(custom_data) if custom_data else None,
            permissions=DialogPermissions(bool(permissions.get("allow_preview"))) if permissions else None,
            is_muted=bool(data.get("is_muted")),
            created_at=time_or_none(data.get("created_at")),
            updated_at=time_or_none(data.get("updated_at")),
            extra=others(data, _DIALOG_KEYS),
        )

    def opponent_id(self, me: int | None = None) -> int:
        """The other user of a private dialog; ``me`` is the viewer unless given.

        Raises:
            ValueError: the dialog is not private, or ``me`` is not in it.
        """
        if self.type != DialogType.PRIVATE:
            raise ValueError("only a private dialog has an opponent")
        own = self.viewer_id if me is None else me
        rest = [user for user in self.occupants_ids if user != own]
        if len(rest) != 1:
            raise ValueError(f"user {own} is not in this dialog")
        return rest[0]

    @property
    def chat_target(self) -> int | str:
        """Where its messages go: the opponent's user id in a private dialog, else the address of the room."""
        if self.type == DialogType.PRIVATE:
            return self.opponent_id()
        if self.room_jid is None:
            raise ValueError("this dialog has no room address")
        return self.room_jid


_DIALOG_TYPES = frozenset(DialogType)
_DIALOG_KEYS = frozenset(
    (
        *("_id", "type", "user_id", "name", "description", "photo", "xmpp_room_jid", "occupants_ids"),
        *("occupants_count", "admins_ids", "pinned_messages_ids", "last_message", "last_message_id"),
        *("last_message_date_sent", "last_message_user_id", "last_message_status", "unread_messages_count"),
        *("extensions", "data", "permissions", "is_muted", "created_at", "updated_at"),
    )
)
