"""When a stanza was really sent (XEP-0203, realtime §7.4)."""

from dataclasses import dataclass
from datetime import UTC, datetime

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

__all__ = ["Delay", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class Delay:
    """`stamp` in unix seconds; `from_` is who delayed it, "" when unknown."""

    stamp: int
    from_: str = ""


def encode(delay: Delay) -> Element:
    """The child of a delayed stanza."""
    stamp = datetime.fromtimestamp(delay.stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Element("delay", {"xmlns": ns.DELAY, "from": delay.from_, "stamp": stamp})


def decode(stanza: Element) -> Delay | None:
    """The delay of a stanza; None when there is none or its stamp is not a time (XEP-0082)."""
    element = stanza.find("delay", ns.DELAY)
    if element is None:
        return None
    try:
        stamp = datetime.fromisoformat(element.get("stamp") or "")
        if stamp.tzinfo is None:
            stamp = stamp.replace(tzinfo=UTC)
        return Delay(int(stamp.timestamp()), element.get("from") or "")
    except (ValueError, OverflowError):
        return None
