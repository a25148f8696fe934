"""Chat markers: the wish for them, *delivered* and *read* (XEP-0333, realtime §6, §9.3)."""

from dataclasses import dataclass

from voxcube.xmpp import ns
from voxcube.xmpp.payloads import extra_params
from voxcube.xmpp.xml import Element

__all__ = ["DELIVERED", "READ", "Marker", "decode", "encode", "is_markable", "markable"]

DELIVERED = "received"
READ = "displayed"


@dataclass(frozen=True, slots=True)
class Marker:
    """`kind` is DELIVERED or READ, `message_id` the message it is about."""

    kind: str
    message_id: str


def decode(message: Element) -> Marker | None:
    """The marker that a message carries; None when there is none, or it names no message."""
    for child in message.elements():
        if child.name in (DELIVERED, READ) and child.xmlns == ns.CHAT_MARKERS:
            message_id = child.get("id")
            return Marker(child.name, message_id) if message_id else None
    return None


def encode(marker: Marker) -> Element:
    """The child of a message that is this marker."""
    return Element(marker.kind, {"xmlns": ns.CHAT_MARKERS, "id": marker.message_id})


def markable() -> Element:
    """The child of a message that asks for markers in Flutter's way; extraParams/markable=1 is JavaScript's."""
    return Element("markable", {"xmlns": ns.CHAT_MARKERS})


def is_markable(message: Element) -> bool:
    """Whether a message asks for markers, in either way (relay it in both, realtime §6)."""
    if message.find("markable", ns.CHAT_MARKERS) is not None:
        return True
    return extra_params.decode(message.find("extraParams")).markable
