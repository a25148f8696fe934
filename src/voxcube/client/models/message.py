"""Messages and what they carry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypedDict, Unpack
from urllib.parse import quote, unquote

from voxcube.client.values import ints, others, strings, time_or_none


class MessageState(Enum):
    """How far a message has come: the server has it, somebody received it, somebody read it."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"


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
    extra: dict[str, str] = field(default_factory=dict, hash=False)

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
    total: dict[str, int] = field(default_factory=dict, hash=False)


class SendOptions(TypedDict, total=False):
    """What ``message.reply`` takes beside the text, as ``chat.send`` does."""

    markable: bool
    save_to_history: bool
    attachments: Iterable[Attachment]
    properties: Mapping[str, Any] | None
    silent: bool
    destroy_after: int | None
    id: str | None
    date_sent: datetime | int | None


class _Chat(Protocol):
    @property
    def send(self) -> Callable[..., Awaitable[Message]]:
        """As ``chat.send``."""
        ...


class _OfChat:
    """Remembers the chat of the client that made the object: no field, so that copies and comparisons leave it out."""

    __slots__ = ("_chat",)

    _chat: _Chat


@dataclass(frozen=True, slots=True)
class Message(_OfChat):
    """A chat message, from the history or from the chat. ``properties`` are the application's own parameters.

    Numbers in ``properties`` are text: everything is text on the wire. Messages can be members of sets and keys.
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
    properties: dict[str, Any] = field(default_factory=dict, hash=False)
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
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

    def __hash__(self) -> int:
        return hash((self.sender_id, self.id))

    async def reply(self, body: str | None = None, **options: Unpack[SendOptions]) -> Message:
        """Sends a message to the dialog of this one, over the chat of the client that it came from.

        Args:
            body: the text; may be left out with attachments.
            options: as in ``chat.send``.

        Returns:
            The message sent. Errors as ``chat.send``; ``ValueError`` also for a message that no client has given out.

        Example:
            >>> async for message in cube.chat.messages():
            ...     await message.reply("Thank you!")
        """
        chat: _Chat | None = getattr(self, "_chat", None)
        if chat is None:
            raise ValueError("this message came from no client; use chat.send(message, …)")
        return await chat.send(self, body, **options)

    def of_chat(self, chat: _Chat | None) -> Message:
        """This message, which ``reply`` answers over that chat (the SDK's side)."""
        if chat is not None:
            object.__setattr__(self, "_chat", chat)
        return self

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
