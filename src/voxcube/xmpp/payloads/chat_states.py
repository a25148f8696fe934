"""Chat states: typing and its end (XEP-0085, realtime §9.2)."""

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

__all__ = ["COMPOSING", "PAUSED", "STATES", "decode", "encode"]

COMPOSING = "composing"
PAUSED = "paused"
STATES = frozenset({"active", COMPOSING, PAUSED, "inactive", "gone"})


def decode(message: Element) -> str | None:
    """The chat state that a message carries, one of STATES; None when there is none."""
    for child in message.elements():
        if child.name in STATES and child.xmlns == ns.CHAT_STATES:
            return child.name
    return None


def encode(state: str) -> Element:
    """The child of a message that is this state."""
    return Element(state, {"xmlns": ns.CHAT_STATES})
