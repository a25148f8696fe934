"""What the chat reports beside messages: receipts, typing, changes of messages, and the state of the connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from voxcube.client.models.contact import Contact


class ConnectionState(Enum):
    """The life of the chat connection."""

    IDLE = "idle"
    CONNECTING = "connecting"
    AUTHENTICATED = "authenticated"
    AUTHENTICATION_FAILURE = "authentication_failure"
    RECONNECTING = "reconnecting"
    """The connection was lost; the next attempt is due."""
    RESUMED = "resumed"
    """The session goes on where the connection broke: nothing was missed."""
    READY = "ready"
    CLOSING = "closing"
    FORCE_CLOSED = "force_closed"
    """The connection was lost, or an attempt to get it failed."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """``user_id`` received or read a message."""

    user_id: int
    message_id: str
    dialog_id: str | None


@dataclass(frozen=True, slots=True)
class TypingEvent:
    """``user_id`` began or ended typing. ``dialog_id`` is None in a private chat."""

    user_id: int
    dialog_id: str | None
    is_typing: bool


@dataclass(frozen=True, slots=True)
class EditEvent:
    """``user_id`` gave a message a new text, and set ``properties`` when there are any.

    ``dialog_id`` is None only when a server of another make left it out.
    """

    message_id: str
    dialog_id: str | None
    user_id: int
    body: str
    is_last: bool = False
    """Its sender takes it for the dialog's last message."""
    properties: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class DeleteEvent:
    """``user_id`` deleted a message for everybody."""

    message_id: str
    dialog_id: str | None
    user_id: int


@dataclass(frozen=True, slots=True)
class ReactionEvent:
    """``user_id`` added and removed reactions to a message."""

    message_id: str
    dialog_id: str | None
    user_id: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LastActivityEvent:
    """``user_id`` was here ``seconds`` ago; 0 is online."""

    user_id: int
    seconds: int


@dataclass(frozen=True, slots=True)
class JoinEvent:
    """``user_id`` is in the room of a dialog."""

    dialog_id: str
    user_id: int


@dataclass(frozen=True, slots=True)
class LeaveEvent:
    """``user_id`` is not in the room of a dialog any more."""

    dialog_id: str
    user_id: int


@dataclass(frozen=True, slots=True)
class KickEvent:
    """This user was removed from a dialog, or the dialog was deleted; by whom, where that is known."""

    dialog_id: str
    actor_id: int | None


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """A program of ``sender_id`` tells this one something."""

    id: str
    sender_id: int
    body: str | None = None
    properties: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Signal:
    """``sender_id`` sets up a call, or changes or ends it; ``data`` says how."""

    id: str
    sender_id: int
    data: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ContactRequest:
    """``user_id`` asks to be shown when this user is available; ``message`` is what it says about that."""

    user_id: int
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ContactChange:
    """An entry of the contact list is new or has changed; None: it is gone."""

    user_id: int
    contact: Contact | None


@dataclass(frozen=True, slots=True)
class PresenceEvent:
    """``user_id`` is available or not. ``show`` is ``away``, ``chat``, ``dnd`` or ``xa``, ``status`` a text."""

    user_id: int
    available: bool
    show: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionStateChange:
    """The chat connection went from one state to another; ``error`` says why when something failed."""

    old: ConnectionState
    new: ConnectionState
    error: Exception | None = None


class Event(Enum):
    """The kinds of events ``chat.on()`` can listen to, each with what its callback gets."""

    MESSAGE = "message"
    """``Message``: somebody wrote."""
    MESSAGE_ERROR = "message_error"
    """``StanzaError``: a message was refused."""
    SENT = "sent"
    """``Message``: the server has it."""
    LOST = "lost"
    """``Message``: it is unknown whether the server has it."""
    DELIVERED = "delivered"
    """``DeliveryStatus``: somebody received it."""
    READ = "read"
    """``DeliveryStatus``: somebody read it."""
    TYPING = "typing"
    """``TypingEvent``: somebody began or ended typing."""
    EDITED = "edited"
    """``EditEvent``: a message has a new text."""
    DELETED = "deleted"
    """``DeleteEvent``: a message is deleted for everybody."""
    REACTION = "reaction"
    """``ReactionEvent``: somebody reacted to a message, or no longer does."""
    STATE = "state"
    """``ConnectionStateChange``: the connection changed."""
