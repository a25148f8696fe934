"""Reads the scalars of the REST API and of stanzas: times, numbers, lists."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

# Times above this are milliseconds: as seconds it would be the year 5138.
_MILLISECONDS_FROM = 100_000_000_000


class Clear(Enum):
    """The type of ``CLEAR``."""

    CLEAR = "clear"

    def __repr__(self) -> str:
        return "CLEAR"


CLEAR: Final = Clear.CLEAR
"""Empties a field in an update, where None leaves it as it is."""


def changed(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an update as they are sent: without what stays, null for what is cleared."""
    return {name: None if value is CLEAR else value for name, value in fields.items() if value is not None}


def time_from_seconds(value: float) -> datetime:
    """The UTC time of unix seconds, or of unix milliseconds when the number is too large for seconds."""
    return datetime.fromtimestamp(value / 1000 if abs(value) > _MILLISECONDS_FROM else value, UTC)


def time_or_none(value: Any) -> datetime | None:
    """An ISO 8601 text, unix seconds or milliseconds as aware UTC time; None for null. Raises ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, (int, float)):
        return time_from_seconds(value)
    try:
        return time_from_seconds(float(value))
    except ValueError:
        time = datetime.fromisoformat(value)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def unix_seconds(value: datetime | int) -> int:
    """Whole unix seconds of an aware datetime or of a number that is that already.

    Raises ValueError for a datetime without a time zone: its meaning would depend on this machine.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a datetime needs a time zone, e.g. datetime.now(UTC)")
        return int(value.timestamp())
    return int(value)


def int_or_none(value: Any) -> int | None:
    """An integer, also when written as text; None for null."""
    return None if value is None or value == "" else int(value)


def ints(value: Any) -> tuple[int, ...]:
    """A list of integers; empty for null."""
    return tuple(int(item) for item in value or ())


def strings(value: Any) -> tuple[str, ...]:
    """A list of texts, or one comma-separated text; empty for null."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(str(item) for item in value or ())


def others(data: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The keys a newer server sends that this version has no field for."""
    return {key: value for key, value in data.items() if key not in known}
