"""The nouns of the domain as values. Times are Unix seconds (UTC) unless the name ends in ``_ms``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

#: What a member has had of a message: kinds of receipts, as they are stored.
DELIVERED = 1
READ = 2


class DialogType(IntEnum):
    """Kinds of dialogs, numbered as the vendor's server does (quirks B: the JS enum swaps 1 and 4)."""

    BROADCAST = 1
    GROUP = 2
    PRIVATE = 3
    PUBLIC = 4


class Turn(NamedTuple):
    """When a change of a message is told: as the `number`th of its dialog, behind the message `seq`, and to the members
    of that version. All are 0 for what was never stored."""

    number: int = 0
    seq: int = 0
    members_version: int = 0


NO_TURN = Turn()


#: Who sees a field of other users: guests too, users with an account, or only the user itself.
VISIBLE_TO = ("everyone", "users", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """What an operator may switch per application (rest §2)."""

    session_creates_user: bool = True
    disable_users_list_v1: bool = False
    dialog_custom_fields: tuple[str, ...] = ()
    chat_alerts: bool = True
    group_subscribe: bool = False
    password_min_length: int = 8
    email_visible_to: str = "users"  # of VISIBLE_TO: who sees other users' e-mail addresses
    phone_visible_to: str = "users"
    guests_list_users: bool = False  # whether guests find users who are in none of their dialogs
    require_password_for_account_changes: bool = False  # to change login, e-mail or phone
    message_days: int = 0  # how long messages are kept; 0 = for ever
    erase_messages: bool = False  # whether those of a deleted user go with it


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application: a world of users and dialogs that no other application sees."""

    id: int
    name: str
    auth_key: str
    auth_secret: str | None
    admin_key_hash: str = field(repr=False)
    settings: AppSettings = AppSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApp(App):
    """An application that has just been made: the only time its administration key is known."""

    admin_api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account. ``password_hash`` (argon2id, PHC text) never leaves the server; None = cannot log in by password.

    ``password_version`` rises with every change of the password, and ends what the old one let in.
    """

    id: int
    app_id: int
    login: str | None = None
    email: str | None = None
    full_name: str | None = None
    phone: str | None = None
    website: str | None = None
    custom_data: str | None = None
    avatar: str | None = None
    external_user_id: int | None = None
    external_id: str | None = None
    facebook_id: str | None = None
    twitter_id: str | None = None
    blob_id: int | None = None
    user_tags: tuple[str, ...] = ()
    timezone: int | None = None
    is_guest: bool = False
    created_at: int = 0
    updated_at: int = 0
    last_request_at: int | None = None
    password_hash: str | None = field(default=None, repr=False)
    password_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session token's state; the token itself is stored as a hash only. ``user_id`` None = application session.

    ``fixed``: requests do not move its end (a guest's).
    """

    id: int
    app_id: int
    user_id: int | None
    created_at: int
    updated_at: int
    expires_at: int
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks."""

    app_id: int
    user_id: int
    guest: bool

    @classmethod
    def of(cls, session: Session) -> Viewer:
        """The user of a session; a guest's session is one that requests do not extend (rest §3.1)."""
        return cls(session.app_id, session.user_id or 0, session.fixed)


@dataclass(frozen=True, slots=True)
class Admission:
    """What let a user into the chat: the hash of a session token, or None for the password of this version."""

    token_hash: str | None = None
    password_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A stored message. ``recipient_id`` is the opponent in a private dialog, 0 otherwise (rest §7.1)."""

    id: str
    app_id: int
    dialog_id: str
    seq: int
    sender_id: int
    recipient_id: int
    body: str
    date_sent: int
    created_at_ms: int
    updated_at_ms: int
    edited_at: int | None = None
    attachments: tuple[Mapping[str, str], ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reactions:
    """Reactions to a message as one viewer sees them: ``own``, and how many of each there are, oldest kind first."""

    own: tuple[str, ...]
    total: Mapping[str, int]


@dataclass(slots=True)
class StoredMessage:
    """A message as one viewer sees it, with who has had it.

    ``read_ids`` and ``delivered_ids`` begin with the sender (rest §7.1); messages of a page share lists, which are
    therefore replaced and not changed. ``seen``: whether the viewer is among ``read_ids``. ``reactions`` None = none.
    """

    message: Message
    read_ids: Sequence[int] = ()
    delivered_ids: Sequence[int] = ()
    seen: bool = False
    reactions: Reactions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """A conversation.

    ``pair``       "lower:higher" user ids of a private dialog, None otherwise
    ``seq``        of the newest message ever stored here
    ``live``       how many messages are not deleted for everyone
    ``last_seq``   of the newest live message, 0 = none
    ``cleared``    messages up to this seq are gone for everyone
    """

    id: str
    app_id: int
    type: DialogType
    owner_id: int
    pair: str | None = None
    name: str | None = None
    description: str | None = None
    photo: str | None = None
    extensions: Mapping[str, str] | None = None
    permissions: Mapping[str, bool] | None = None
    data: Mapping[str, Any] | None = None
    pinned: tuple[str, ...] = ()
    created_at_ms: int = 0
    updated_at_ms: int = 0
    seq: int = 0
    live: int = 0
    last_seq: int = 0
    last_date_sent: int | None = None
    cleared: int = 0


def pair_key(a: int, b: int) -> str:
    """The one name of the private dialog of two users, whoever of them asks."""
    return f"{min(a, b)}:{max(a, b)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One user's place in one dialog; it outlives leaving (``active`` False), so a rejoin continues.

    ``handed``         highest seq handed to one of the user's sessions
    ``settled``        live messages that are own, read, deleted for the member or before ``base``
    ``base``           messages up to this seq count as settled from the start (a public dialog's subscription)
    ``hidden_before``  messages up to this seq are cleared for the member
    ``hidden``         the dialog is not in the member's list until its next message
    """

    dialog_id: str
    user_id: int
    active: bool = True
    admin: bool = False
    hidden: bool = False
    muted: bool = False
    joined_at: int = 0
    handed: int = 0
    settled: int = 0
    base: int = 0
    hidden_before: int = 0
