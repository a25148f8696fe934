"""Privacy lists on the wire (XEP-0016 §2, realtime §15)."""

from collections.abc import Iterable
from dataclasses import dataclass

from voxcube.xmpp.jid import Jid
from voxcube.xmpp.xml import Element

__all__ = ["ALLOW", "DENY", "KINDS", "NAMESPACE", "Item", "decode", "encode", "query"]

NAMESPACE = "jabber:iq:privacy"
ALLOW, DENY = "allow", "deny"
#: The stanzas that an item may be restricted to; the first three are inbound. In the order in which JavaScript writes.
KINDS = ("message", "presence-in", "presence-out", "iq")
TYPES = ("jid", "group", "subscription")


@dataclass(frozen=True, slots=True)
class Item:
    """One rule. `type` "" is everybody; without `kinds` it is about everything, in both directions."""

    order: int
    action: str
    type: str = ""
    value: str = ""
    kinds: tuple[str, ...] = ()


def query(*children: Element) -> Element:
    """The `<query>` around them."""
    return Element("query", {"xmlns": NAMESPACE}, children)


def encode(name: str, items: Iterable[Item] = ()) -> Element:
    """The `<list>`, its items in this order."""
    return Element("list", {"name": name}, [_encode(item) for item in items])


def _encode(item: Item) -> Element:
    attrs = {"type": item.type, "value": item.value} if item.type else {}
    attrs |= {"action": item.action, "order": str(item.order)}
    return Element("item", attrs, [Element(kind) for kind in item.kinds])


def decode(element: Element) -> list[Item]:
    """The items of a `<list>` in document order; raises ValueError for what is not one (XEP-0016 §2.1)."""
    return [_decode(child) for child in element.elements()]


def _decode(element: Element) -> Item:
    attrs = element.attrs
    order, action, type_ = attrs.get("order", ""), attrs.get("action", ""), attrs.get("type", "")
    value = attrs.get("value", "").strip()
    if element.name != "item":
        raise ValueError("a list holds items only")
    if not (order.isascii() and order.isdigit() and len(order) <= 10):
        raise ValueError("the order of an item is a number")
    if action not in (ALLOW, DENY):
        raise ValueError("the action of an item is allow or deny")
    if type_ not in ("", *TYPES) or bool(type_) is not bool(value):
        raise ValueError("an item has a type and a value, or neither")
    if type_ == "jid":
        Jid.parse(value)
    kinds = tuple(child.name for child in element.elements())
    if not set(kinds) <= set(KINDS):
        raise ValueError("an item may be restricted to message, iq, presence-in and presence-out")
    return Item(int(order), action, type_, value, tuple(dict.fromkeys(kinds)))
