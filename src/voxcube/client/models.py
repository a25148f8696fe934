"""The objects the SDK gives out: frozen dataclasses, made from the server's JSON.

Times are aware UTC datetimes, lists are tuples, and keys unknown to this version are kept in ``extra``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any, Generic, TypeVar, overload
from urllib.parse import quote, unquote

from voxcube.client.values import int_or_none, ints, others, strings, time_or_none

T = TypeVar("T")


class DialogType(IntEnum):
    """The kinds of dialogs, as the server numbers them."""

    BROADCAST = 1
    GROUP = 2
    PRIVATE = 3
    PUBLIC = 4


class MessageState(Enum):
    """How far a message has come: the server has it, somebody received it, somebody read it."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"


@dataclass(frozen=True, slots=True)
class User:
    """A user account. ``user_tags`` are the tags one by one; ``timezone`` is in minutes from UTC."""

    id: int
    login: str | None = None
    email: str | None = None
    full_name: str | None = None
    phone: str | None = None
    website: str | None = None
    avatar: str | None = None
    custom_data: str | None = None
    external_id: str | None = None
    facebook_id: str | None = None
    twitter_id: str | None = None
    user_tags: tuple[str, ...] = ()
    timezone: int | None = None
    is_guest: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_request_at: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> User:
        """Reads the server's user object. Raises KeyError, TypeError or ValueError when it is none."""
        return cls(
            id=int(data["id"]),
            **{key: None if data.get(key) is None else str(data[key]) for key in _USER_TEXTS},
            user_tags=strings(data.get("user_tags")),
            timezone=int_or_none(data.get("timezone")),
            is_guest=bool(data.get("is_guest")),
            created_at=time_or_none(data.get("created_at")),
            updated_at=time_or_none(data.get("updated_at")),
            last_request_at=time_or_none(data.get("last_request_at")),
            extra=others(data, _USER_KEYS),
        )


_USER_TEXTS = (
    *("login", "email", "full_name", "phone", "website"),
    *("avatar", "custom_data", "external_id", "facebook_id", "twitter_id"),
)
_USER_KEYS = frozenset(_USER_TEXTS) | {
    *("id", "user_tags", "timezone", "is_guest"),
    *("created_at", "updated_at", "last_request_at"),
}


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the REST API. ``user_id`` is 0 and ``user`` None in a session of the application itself.

    ``token`` is a secret: it stands for the user, also as chat password. It is not part of the repr.
    """

    id: int
    user_id: int
    app_id: int
    token: str = field(repr=False)
    user: User | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Session:
        """Reads the server's session object. Raises KeyError, TypeError or ValueError when it is none."""
        user = data.get("user")
        return cls(
            id=int(data["id"]),
            user_id=int(data.get("user_id") or 0),
            app_id=int(data["application_id"]),
            token=str(data["token"]),
            user=User.from_json(user) if user else None,
            created_at=time_or_none(data.get("created_at")),
            updated_at=time_or_none(data.get("updated_at")),
            extra=others(data, _SESSION_KEYS),
        )


_SESSION_KEYS = frozenset(("id", "user_id", "application_id", "token", "user", "created_at", "updated_at"))


@dataclass(frozen=True, slots=True)
class DialogPermissions:
    """``allow_preview``: whether people who are not members may see the last messages."""

    allow_preview: bool = False


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
    extensions: dict[str, str] | None = None
    permissions: DialogPermissions | None = None
    is_muted: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any], viewer_id: int = 0) -> Dialog:
        """Reads the server's dialog object. Raises KeyError, TypeError or ValueError when it is none."""
        number = int(data["type"])
        status = data.get("last_message_status")
        permissions = data.get("permissions")
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
        *("extensions", "permissions", "is_muted", "created_at", "updated_at"),
    )
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file or a place attached to a message. Sizes are bytes and pixels, ``duration`` is seconds.

    ``data`` is free text, e.g. JSON with a place; it travels percent-encoded. Other attributes are in ``extra``.
    """

    type: str
    uid: str | None = None
    id: str | None = None
    url: str | None = None
    name: str | None = None
    content_type: str | None = None
    data: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    duration: int | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_attributes(cls, attributes: dict[str, Any]) -> Attachment:
        """Reads the attributes of an ``<attachment/>`` or the same object of the REST API."""
        texts: dict[str, str | None] = {}
        numbers: dict[str, int | None] = {}
        extra: dict[str, str] = {}
        for name, value in attributes.items():
            if value is None or name == "xmlns":
                continue
            text = str(value)
            if name in _ATTACHMENT_NUMBERS and text.isascii() and text.isdigit():
                numbers[name] = int(text)
            elif name == "content-type":
                texts["content_type"] = text
            elif name == "data":
                texts["data"] = unquote(text)
            elif name in _ATTACHMENT_TEXTS:
                texts[name] = text
            elif name != "type":
                extra[name] = text
        return cls(type=str(attributes.get("type") or ""), **texts, **numbers, extra=extra)  # type: ignore[arg-type]

    def to_attributes(self) -> dict[str, str]:
        """The attributes to send; everything is text on the wire."""
        attributes = {"type": self.type}
        for name in (*_ATTACHMENT_TEXTS, *_ATTACHMENT_NUMBERS):
            value = getattr(self, name)
            if value is not None:
                attributes[name] = str(value)
        if self.content_type is not None:
            attributes["content-type"] = self.content_type
        if self.data is not None:
            # What encodeURIComponent of the other SDKs leaves alone.
            attributes["data"] = quote(self.data, safe="-_.!~*'()")
        return attributes | self.extra


_ATTACHMENT_TEXTS = ("uid", "id", "url", "name")
_ATTACHMENT_NUMBERS = ("size", "width", "height", "duration")


@dataclass(frozen=True, slots=True)
class Reactions:
    """Reactions to a message: the viewer's own, and how many of each there are."""

    own: tuple[str, ...] = ()
    total: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """A chat message, from the history or from the chat. ``properties`` are the application's own parameters.

    Numbers in ``properties`` are text: everything is text on the wire.
    """

    id: str
    dialog_id: str | None
    """None only in a message one just sent to a user without naming the dialog."""
    body: str | None
    sender_id: int
    recipient_id: int | None
    """The opponent in a private dialog, None in all others."""
    date_sent: datetime
    """By the sender's clock, whole seconds."""
    attachments: tuple[Attachment, ...] = ()
    properties: dict[str, Any] = field(default_factory=dict)
    markable: bool = False
    """Whether the sender wants to know when it is delivered."""
    save_to_history: bool = True
    silent: bool = False
    """Without a push alert."""
    destroy_after: int | None = None
    """Seconds after display at which the receiver shall delete it."""
    delayed: bool = False
    """It waited on the server until this user came online (XEP-0203)."""
    delayed_since: datetime | None = None
    """When it began to wait."""
    is_group: bool = False
    is_own: bool = False
    """This user sent it, from here or from another device."""
    is_carbon: bool = False
    """A copy of what another device of this user sent (XEP-0280)."""
    state: MessageState | None = None
    """How far it has come; None in a message that just arrived from somebody else."""
    read_ids: tuple[int, ...] = ()
    delivered_ids: tuple[int, ...] = ()
    reactions: Reactions | None = None
    views_count: int = 0
    edited_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any], viewer_id: int = 0) -> Message:
        """Reads the server's message object. Raises KeyError, TypeError or ValueError when it is none.

        The application's parameters are top-level keys there, always texts or objects; any other unknown key
        comes from a newer server and goes to ``extra``.
        """
        sender = int(data["sender_id"])
        recipient = int(data.get("recipient_id") or 0)
        read, delivered = ints(data.get("read_ids")), ints(data.get("delivered_ids"))
        reactions = data.get("reactions")
        date_sent = time_or_none(data["date_sent"])
        if date_sent is None:
            raise ValueError("date_sent is empty")
        rest = others(data, _MESSAGE_KEYS)
        return cls(
            id=str(data["_id"]),
            dialog_id=str(data["chat_dialog_id"]),
            body=data.get("message"),
            sender_id=sender,
            recipient_id=recipient or None,
            date_sent=date_sent,
            attachments=tuple(Attachment.from_attributes(item) for item in data.get("attachments") or ()),
            properties={key: value for key, value in rest.items() if isinstance(value, (str, dict))},
            is_group=recipient == 0,
            is_own=sender == viewer_id,
            state=_state(sender, read, delivered),
            read_ids=read,
            delivered_ids=delivered,
            reactions=_reactions(reactions) if reactions else None,
            views_count=int(data.get("views_count") or 0),
            edited_at=time_or_none(data.get("edited_at")),
            created_at=time_or_none(data.get("created_at")),
            updated_at=time_or_none(data.get("updated_at")),
            extra={key: value for key, value in rest.items() if not isinstance(value, (str, dict))},
        )


_MESSAGE_KEYS = frozenset(
    (
        *("_id", "chat_dialog_id", "message", "date_sent", "sender_id", "recipient_id", "attachments", "read_ids"),
        *("delivered_ids", "reactions", "views_count", "edited_at", "created_at", "updated_at", "read"),
    )
)


def _state(sender: int, read: tuple[int, ...], delivered: tuple[int, ...]) -> MessageState:
    # Both lists contain the sender from the start.
    if any(user != sender for user in read):
        return MessageState.READ
    return MessageState.DELIVERED if any(user != sender for user in delivered) else MessageState.SENT


def _reactions(data: dict[str, Any]) -> Reactions:
    total = data.get("total") or {}
    return Reactions(strings(data.get("own")), {str(key): int(count) for key, count in total.items()})


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: iterate it, index it, take its ``len()``.

    ``total`` counts all entries of the list, where the server says so.
    """

    items: tuple[T, ...]
    skip: int = 0
    limit: int = 0
    total: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> Page[T]:
        """Reads a page whose items ``read`` understands. Raises KeyError, TypeError or ValueError."""
        return cls(
            items=tuple(read(item) for item in data["items"]),
            skip=int(data.get("skip") or 0),
            limit=int(data.get("limit") or 0),
            total=int_or_none(data.get("total_entries")),
            extra=others(data, frozenset(("items", "skip", "limit", "total_entries"))),
        )

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.items[index]


@dataclass(frozen=True, slots=True)
class UnreadCounts:
    """Unread messages: over all dialogs asked for, and of each."""

    total: int
    by_dialog: dict[str, int]
