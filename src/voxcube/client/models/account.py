"""Users and sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from voxcube.client.values import int_or_none, others, strings, time_or_none


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
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

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
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

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
