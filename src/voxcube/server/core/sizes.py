"""How many bytes a stored message takes on the wire, computed without the XML (storage knows none)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_ESCAPES = {"&": 4, "<": 3, ">": 3, "\r": 4}  # bytes that each adds: `&` → `&amp;`
_ATTRIBUTE_ESCAPES = {**_ESCAPES, '"': 5, "\t": 3, "\n": 4}


def message_size(body: str, properties: str | None, attachments: str | None, extras: str | None) -> int:
    """Bytes of the children of a message's stanza, where `properties` and `attachments` are JSON and `extras` is XML.

    The parts that every message has (addresses, ids, dates) are not counted.
    """
    size = _text(body)
    if properties:
        size += _properties(json.loads(properties))
    if attachments:
        size += _attachments(json.loads(attachments))
    return size + len((extras or "").encode())


def _text(text: str, escapes: Mapping[str, int] = _ESCAPES) -> int:
    return len(text.encode("utf-8", "surrogatepass")) + sum(text.count(char) * more for char, more in escapes.items())


def _properties(properties: Mapping[str, Any]) -> int:
    """`<name>value</name>` for each."""
    return sum(
        2 * len(name.encode()) + 5 + (_text(value) if isinstance(value, str) else _properties(value))
        for name, value in properties.items()
    )


def _attachments(attachments: Iterable[Mapping[str, str]]) -> int:
    """`<attachment name="value"/>` for each."""
    return sum(
        13 + sum(len(name.encode()) + 4 + _text(str(value), _ATTRIBUTE_ESCAPES) for name, value in one.items())
        for one in attachments
    )
