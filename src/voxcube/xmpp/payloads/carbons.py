"""Carbons of one's own messages to one's other sessions (XEP-0280, realtime §8).

Only *sent* ones are made: JavaScript takes any child named `received` for a delivery marker (quirks A12).
"""

from dataclasses import dataclass

from voxcube.xmpp import ns, stanza
from voxcube.xmpp.xml import Element

__all__ = ["Carbon", "decode", "encode_sent"]


@dataclass(frozen=True, slots=True)
class Carbon:
    """A copied message; `sent` tells our own from a received one."""

    sent: bool
    message: Element


def encode_sent(message: Element, *, from_: str, to: str) -> Element:
    """Wrap a message that the bare JID `from_` has sent, for the session with the full JID `to`."""
    if message.xmlns != ns.CLIENT:  # inside `forwarded` it would inherit another namespace
        message = Element(message.name, {"xmlns": ns.CLIENT, **message.attrs}, message.children)
    forwarded = Element("forwarded", {"xmlns": ns.FORWARD}, [message])
    sent = Element("sent", {"xmlns": ns.CARBONS}, [forwarded])
    return stanza.message(sent, type_=message.get("type"), from_=from_, to=to)


def decode(message: Element) -> Carbon | None:
    """The carbon that a message carries, None when it is none. Whether the wrapper comes from one's own bare JID
    (XEP-0280 §11) is for the caller to check."""
    for child in message.elements():
        if child.name in ("sent", "received") and child.xmlns == ns.CARBONS:
            forwarded = child.find("forwarded", ns.FORWARD)
            inner = forwarded.find("message") if forwarded is not None else None
            return Carbon(child.name == "sent", inner) if inner is not None else None
    return None
