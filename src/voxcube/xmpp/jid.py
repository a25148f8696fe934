"""Addresses: parse, normalise, and the forms that users and rooms have here (RFC 7622, realtime §1)."""

import re
from typing import NamedTuple

__all__ = ["Jid", "parse_room_local", "parse_user_local", "room_local", "user_jid"]

_MAX_PART = 1023  # bytes, RFC 7622 §3.1
# RFC 7622 §3.3.1, and what no part may hold: controls and (outside the resource) white space.
_BAD_LOCAL = re.compile(r"[\"&'/:<>@\s\x00-\x1f\x7f]")
_BAD_DOMAIN = re.compile(r"[\"&'/<>@\s\x00-\x1f\x7f]")
_BAD_RESOURCE = re.compile(r"[\x00-\x1f\x7f]")

# At most 18 digits, so that an id always fits in 64 bits.
_USER_LOCAL = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_ROOM_LOCAL = re.compile(r"([0-9]{1,18})_([0-9a-f]{24})")


class Jid(NamedTuple):
    """An address; `local` and `resource` are "" when absent. Compares and hashes by its three parts."""

    local: str
    domain: str
    resource: str = ""

    @classmethod
    def parse(cls, text: str) -> "Jid":
        """Split and normalise an address; raises ValueError when it is not one.

        The resource is everything after the first "/" (Flutter's holds "/", realtime §2.4); local part and domain
        are lower-cased (RFC 7622 §3.2, §3.3).
        """
        rest, slash, resource = text.partition("/")
        local, at, domain = rest.rpartition("@")
        if (
            not domain
            or (at and not local)
            or (slash and not resource)
            or _BAD_DOMAIN.search(domain)
            or (local and _BAD_LOCAL.search(local))
            or (resource and _BAD_RESOURCE.search(resource))
        ):
            raise ValueError("malformed JID")
        parts = (local, domain, resource)
        if len(text) > 255 and any(len(part.encode(errors="replace")) > _MAX_PART for part in parts):
            raise ValueError("a part of the JID is longer than 1023 bytes")
        return cls(local.lower(), domain.lower(), resource)

    @property
    def bare(self) -> str:
        """The address without the resource, as text."""
        return f"{self.local}@{self.domain}" if self.local else self.domain

    @property
    def full(self) -> str:
        """The whole address as text (equal to `bare` when there is no resource)."""
        return f"{self.bare}/{self.resource}" if self.resource else self.bare

    def __str__(self) -> str:
        return self.full


def user_jid(user_id: int, app_id: int, domain: str) -> str:
    """The bare address of a user: `77-3@chat.example.org`."""
    return f"{user_id}-{app_id}@{domain}"


def parse_user_local(local: str) -> tuple[int, int] | None:
    """`77-3` → (user id 77, application id 3); None when it is not the local part of a user."""
    match = _USER_LOCAL.fullmatch(local)
    return (int(match[1]), int(match[2])) if match else None


def room_local(app_id: int, dialog_id: str) -> str:
    """The local part of a dialog's room: `3_64c0ffee64c0ffee64c0ffee`."""
    return f"{app_id}_{dialog_id}"


def parse_room_local(local: str) -> tuple[int, str] | None:
    """`3_64c0ffee64c0ffee64c0ffee` → (application id 3, dialog id); None when it is not the local part of a room."""
    match = _ROOM_LOCAL.fullmatch(local)
    return (int(match[1]), match[2]) if match else None
