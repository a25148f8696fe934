"""The contact list (RFC 6121 §2, realtime §16)."""

from collections.abc import Iterable
from dataclasses import dataclass

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

__all__ = ["RosterItem", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class RosterItem:
    """One contact; `subscription` is none, to, from, both or (in a set) remove; `ask` is "subscribe" or ""."""

    jid: str
    name: str = ""
    subscription: str = "none"
    ask: str = ""
    groups: tuple[str, ...] = ()


def encode(items: Iterable[RosterItem]) -> Element:
    """The `<query>` with these contacts."""
    query = Element("query", {"xmlns": ns.ROSTER})
    for item in items:
        attrs = {"jid": item.jid, "subscription": item.subscription}
        if item.name:
            attrs["name"] = item.name
        if item.ask:
            attrs["ask"] = item.ask
        query.children.append(Element("item", attrs, [Element("group", None, [group]) for group in item.groups]))
    return query


def decode(query: Element) -> list[RosterItem]:
    """Read the contacts of a `<query>`; those without a JID are left out."""
    return [
        RosterItem(
            jid,
            child.get("name") or "",
            child.get("subscription") or "none",
            child.get("ask") or "",
            tuple(group.text for group in child.elements() if group.name == "group"),
        )
        for child in query.elements()
        if child.name == "item" and (jid := child.get("jid"))
    ]
