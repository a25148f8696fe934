"""`<extraParams>`: what a chat message says beside its body (realtime §6, rest §7.1)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element, is_name, is_text

__all__ = ["CORE_KEYS", "UNSTORED_KEYS", "ExtraParams", "Properties", "decode", "encode", "normalise_date", "stamp"]

# A custom parameter: text, or a nested object of them.
Properties: TypeAlias = dict[str, "str | Properties"]

# Never custom parameters (rest §7.1): what has a meaning of its own …
UNSTORED_KEYS = frozenset(
    {
        "save_to_history",
        "date_sent",
        "dialog_id",
        "markable",
        "silent",
        "send_to_chat",
        "moduleIdentifier",
        "message_id",
    }
)
# … and what would collide with a key of the message object.
CORE_KEYS = frozenset(
    {
        "_id",
        "chat_dialog_id",
        "message",
        "sender_id",
        "recipient_id",
        "created_at",
        "updated_at",
        "attachments",
        "read_ids",
        "delivered_ids",
        "deleted_for_ids",
        "reactions",
        "views_count",
        "edited_at",
        "read",
    }
)
_TRUE = frozenset({"1", "true"})
_MILLISECONDS = 10**11  # seconds reach this in the year 5138
_MAX_DATE = 10**11


@dataclass(frozen=True, slots=True)
class ExtraParams:
    """The meaning of `<extraParams>`.

    `save`: keep in the history; `date_sent`: unix seconds, None when absent or no number; `properties`: the custom
    parameters; `attachments`: the attributes of each `<attachment/>`, byte for byte.
    """

    save: bool = False
    date_sent: int | None = None
    dialog_id: str | None = None
    markable: bool = False
    silent: bool = False
    properties: Properties = field(default_factory=dict)
    attachments: list[dict[str, str]] = field(default_factory=list)


def decode(extra: Element | None) -> ExtraParams:
    """Read `<extraParams>`; None (there is none) gives the defaults.

    A child that holds elements becomes an object (text between them is dropped), any other its text. Of several with
    one name the last counts, as in a JSON object; JavaScript arrays come as `_0`, `_1`, … (realtime §6). The depth of
    objects is bounded by the parser.
    """
    if extra is None:
        return ExtraParams()
    attachments: list[dict[str, str]] = []
    values: dict[str, str] = {}
    properties: Properties = {}
    for child in extra.elements():
        name = child.name
        if name == "attachment":
            attachments.append({key: value for key, value in child.attrs.items() if key != "xmlns"})
        elif name in UNSTORED_KEYS:
            values[name] = child.text.strip()
        elif name not in CORE_KEYS:
            properties[name] = _value(child)
    return ExtraParams(
        save=values.get("save_to_history") in _TRUE,
        date_sent=normalise_date(values.get("date_sent")),
        dialog_id=values.get("dialog_id") or None,
        markable=values.get("markable") in _TRUE,
        silent=values.get("silent") in _TRUE,
        properties=properties,
        attachments=attachments,
    )


def _value(element: Element) -> "str | Properties":
    nested: Properties = {child.name: _value(child) for child in element.elements()}
    return nested or element.text


def normalise_date(text: str | None) -> int | None:
    """Unix seconds from what clients send: Flutter's milliseconds are divided, fractions cut; None for no number."""
    if not text or len(text) > 40:
        return None
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or (fraction and not (fraction.isascii() and fraction.isdigit())):
        return None
    seconds = int(whole)
    if seconds > _MILLISECONDS:
        seconds //= 1000
    return seconds if seconds <= _MAX_DATE else None


def encode(
    *,
    save: bool = False,
    date_sent: int | None = None,
    dialog_id: str | None = None,
    markable: bool = False,
    silent: bool = False,
    properties: Mapping[str, "str | Properties"] | None = None,
    attachments: Iterable[Mapping[str, str]] = (),
    parsed: bool = False,
) -> Element:
    """Make `<extraParams>` from what `ExtraParams` describes.

    Raises ValueError for a property whose name cannot be an element's or whose text XML cannot carry; a name that
    begins with a digit is written with `_` before it, as it would be repaired on the way in. What was `parsed` before
    is not looked at: XML allows more names than we make ourselves.
    """
    check = _unchecked if parsed else _check
    element = Element("extraParams", {"xmlns": ns.CLIENT})
    fixed = (
        ("save_to_history", "1" if save else None),
        ("date_sent", str(date_sent) if date_sent is not None else None),
        ("dialog_id", dialog_id),
        ("markable", "1" if markable else None),
        ("silent", "1" if silent else None),
    )
    element.children += [Element(name, None, [value]) for name, value in fixed if value is not None]
    element.children += _elements(properties or {}, check)
    for attachment in attachments:
        for name, value in attachment.items():
            check(name, value)
        element.children.append(Element("attachment", dict(attachment)))
    return element


def _elements(properties: Mapping[str, "str | Properties"], check: Callable[[str, str], None]) -> list[Element]:
    elements = []
    for name, value in properties.items():
        if name[:1].isdigit():
            name = f"_{name}"
        if isinstance(value, str):
            check(name, value)
            elements.append(Element(name, None, [value] if value else []))
        else:
            check(name, "")
            elements.append(Element(name, None, _elements(value, check)))
    return elements


def _unchecked(name: str, value: str) -> None:
    pass


def _check(name: str, value: str) -> None:
    if not is_name(name):
        raise ValueError(f"{name!r} cannot be the name of a parameter")
    if not is_text(value):
        raise ValueError(f"{name!r} holds a character that XML forbids")


def stamp(extra: Element | None, values: Mapping[str, str]) -> Element:
    """A copy of `<extraParams>` for relaying in which these children have these texts.

    Known ones are replaced in place (once), missing ones added at the end; everything else is the same object in the
    same order. None gives a new element.
    """
    if extra is None:
        extra = Element("extraParams")
    missing = dict(values)
    children: list[Element | str] = []
    for child in extra.children:
        if isinstance(child, str) or child.name not in values:
            children.append(child)
        elif child.name in missing:
            children.append(Element(child.name, None, [missing.pop(child.name)]))
    children += [Element(name, None, [value]) for name, value in missing.items()]
    return Element("extraParams", {**extra.attrs, "xmlns": ns.CLIENT}, children)
