"""What an account's fields must look like (rest §4.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.core.precis import composed_length, has_controls

#: Fields that an account's owner may write.
WRITABLE = (
    "login",
    "email",
    "full_name",
    "phone",
    "website",
    "custom_data",
    "avatar",
    "external_user_id",
    "external_id",
    "facebook_id",
    "twitter_id",
    "blob_id",
    "user_tags",
    "timezone",
)
#: An empty text in these means that there is none: it must not take a place under a unique key.
_BLANK_IS_NONE = ("login", "email", "phone", "external_id", "facebook_id", "twitter_id")

LOGIN_MAX = 70
EMAIL_MAX = 254
PASSWORD_MAX = 40
DECOMPOSED_MAX = 4  # characters that one letter may have in NFD
TAGS_MAX = 5
#: Bounds that the vendor leaves open, in characters: a page of users must not weigh tens of megabytes.
_LONGEST = {
    "full_name": 255,
    **dict.fromkeys(("external_id", "facebook_id", "twitter_id"), 255),
    **dict.fromkeys(("website", "avatar"), 2048),
    "custom_data": 16_384,
}
TAG_LONGEST = 255
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_PHONE = re.compile(r"\+?[0-9]{10,15}")


def cleaned(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The writable ones of ``fields``, blanks as None, tags as a tuple."""
    kept = {name: fields[name] for name in WRITABLE if name in fields}
    for name in _BLANK_IS_NONE:
        if kept.get(name) == "":
            kept[name] = None
    if "user_tags" in kept:
        tags = (tag.strip() for given in kept["user_tags"] or () for tag in given.split(","))
        kept["user_tags"] = tuple(dict.fromkeys(tag for tag in tags if tag))
    return kept


def problems(fields: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is wrong with ``cleaned`` fields, by field name."""
    found: dict[str, list[str]] = {}
    login, email, phone = fields.get("login"), fields.get("email"), fields.get("phone")
    if login is not None:
        found["login"] = _composed(login, 3, LOGIN_MAX) or _controls(login)
    if email is not None and (_composed(email, 0, EMAIL_MAX) or has_controls(email) or not _EMAIL.fullmatch(email)):
        found["email"] = ["should look like an email address"]
    if phone is not None and not _PHONE.fullmatch(phone):
        found["phone"] = ["should contain 10 to 15 digits"]
    for name, longest in _LONGEST.items():
        if fields.get(name) is not None:
            found[name] = _length(fields[name], 0, longest)
    if any(len(tag) > TAG_LONGEST for tag in fields.get("user_tags") or ()):
        found["user_tags"] = [f"are too long (maximum is {TAG_LONGEST} characters)"]
    if len(fields.get("user_tags") or ()) > TAGS_MAX:
        found["user_tags"] = [f"are too many (maximum is {TAGS_MAX})"]
    for name in ("external_user_id", "blob_id", "timezone"):
        if fields.get(name) is not None and abs(fields[name]) > MAX_INTEGER_ID:
            found[name] = ["is too large"]
    return {name: texts for name, texts in found.items() if texts}


def name_problems(login: str | None, email: str | None) -> dict[str, list[str]]:
    """What is wrong with the names of a login, before anything is done with them: nobody can be called so."""
    found = {"login": _composed(login or "", 0, LOGIN_MAX), "email": _composed(email or "", 0, EMAIL_MAX)}
    return {name: texts for name, texts in found.items() if texts}


def password_problems(password: str | None, minimum: int) -> list[str]:
    """What is wrong with a new password."""
    if not password:
        return ["can't be blank"]
    return _composed(password, minimum, PASSWORD_MAX) or _controls(password)


def is_too_long_for_a_password(text: str) -> bool:
    """Whether no account can have this password, in whatever Unicode form it is typed."""
    return len(text) > PASSWORD_MAX and bool(_composed(text, 0, PASSWORD_MAX))


def _controls(text: str) -> list[str]:
    return ["must not contain control characters"] if has_controls(text) else []


def _composed(text: str, minimum: int, maximum: int) -> list[str]:
    """Bounds of the length in NFC; what a text may have in another form is bounded too."""
    raw = len(text)
    return _bounds(raw if raw > maximum * DECOMPOSED_MAX else composed_length(text), minimum, maximum)


def _length(text: str, minimum: int, maximum: int) -> list[str]:
    return _bounds(len(text), minimum, maximum)


def _bounds(length: int, minimum: int, maximum: int) -> list[str]:
    if length < minimum:
        return [f"is too short (minimum is {minimum} characters)"]
    if length > maximum:
        return [f"is too long (maximum is {maximum} characters)"]
    return []
