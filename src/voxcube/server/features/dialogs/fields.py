"""What a dialog's own fields may hold, for making and for changing it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from voxcube.server.core.errors import Invalid

ADMINS_MAX = 5
OCCUPANTS_MAX = 10_000  # of a group
PINS_MAX = 100
DATA_MAX = 4096  # bytes of JSON, of the custom data and of the extensions (rest §5)
LONGEST = {"name": 255, "description": 5000, "photo": 2048}  # characters


def problems(texts: Mapping[str, str | None]) -> dict[str, list[str]]:
    """What is wrong with name, description and photo, by field; a name that is given must say something."""
    wrong: dict[str, list[str]] = {}
    for name, longest in LONGEST.items():
        text = texts.get(name)
        if name == "name" and name in texts and (text is None or not text.strip()):
            wrong[name] = ["can't be blank"]
        if text is not None and len(text) > longest:
            wrong[name] = [f"is too long (maximum is {longest} characters)"]
    return wrong


def extensions_of(names: Collection[str], given: Mapping[str, Any] | None) -> Mapping[str, str] | None:
    """Only the configured keys, values as strings: Flutter takes no others (rest §5). Raises Invalid."""
    given = given or {}
    kept = {name: _as_text(given[name]) for name in names if given.get(name) is not None}
    return _small("extensions", kept or None)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def data_of(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Custom data that is not too large. Raises Invalid."""
    return _small("data", given)


def _small(name: str, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A list holds a hundred of them."""
    if given is not None and len(json.dumps(given, ensure_ascii=False).encode()) > DATA_MAX:
        raise Invalid({name: [f"is too large (maximum is {DATA_MAX} bytes)"]})
    return given
