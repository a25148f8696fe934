"""Presence: its values as RFC 6121 §4.7.2 has them; strict receivers end their stream for others."""

import re
from typing import Final

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

__all__ = ["SHOWS", "TYPES", "correct", "priority"]

TYPES: Final = frozenset(
    {"", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"}
)
SHOWS: Final = frozenset({"away", "chat", "dnd", "xa"})
LOWEST, HIGHEST = -128, 127

_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")


def priority(presence: Element) -> int:
    """The priority of a presence, 0 where it says none that can be read; what is out of range is its nearest end."""
    element = presence.find("priority")
    return (None if element is None else _number(element.text)) or 0


def correct(presence: Element) -> None:
    """Put right or drop what the schema of presence does not allow, in place (RFC 6121 §4.7.2, §A.1).

    At most one `show` of the four, one `priority` from -128 to 127, one `status` for each language, all of them plain
    text; white space around a value does not count. Other children stay as they are.
    """
    kept: list[Element | str] = []
    seen: set[tuple[str, str]] = set()
    for child in presence.elements():
        if child.name not in ("show", "status", "priority") or child.xmlns not in ("", ns.CLIENT):
            kept.append(child)
            continue
        language = child.attrs.get("xml:lang", "") if child.name == "status" else ""
        text = _value(child)
        if text is None or (child.name, language) in seen:
            continue
        seen.add((child.name, language))
        kept.append(Element(child.name, {"xml:lang": language} if language else None, [text] if text else ()))
    presence.children = kept


def _value(child: Element) -> str | None:
    if child.name == "status":
        return child.text
    if child.name == "show":
        text = child.text.strip()
        return text if text in SHOWS else None
    number = _number(child.text)
    return None if number is None else str(number)


def _number(text: str) -> int | None:
    match = _INTEGER.fullmatch(text.strip())
    if match is None:
        return None
    sign, digits = match.groups()
    size = int(digits[:4]) if len(digits) <= 4 else 9999  # no number of any length is worked out
    return max(LOWEST, -size) if sign == "-" else min(HIGHEST, size)
