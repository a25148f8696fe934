"""Service discovery: what an entity is, what it can, what it has (XEP-0030, realtime §3, §10.5)."""

from collections.abc import Iterable
from dataclasses import dataclass

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

__all__ = ["DiscoInfo", "Identity", "decode_info", "decode_items", "encode_info", "encode_items"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Like `server/im`."""

    category: str
    type: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class DiscoInfo:
    """`features` are namespaces, in the order they are written."""

    identities: tuple[Identity, ...]
    features: tuple[str, ...]


def encode_info(info: DiscoInfo) -> Element:
    """The `<query>` that answers disco#info."""
    query = Element("query", {"xmlns": ns.DISCO_INFO})
    for identity in info.identities:
        attrs = {"category": identity.category, "type": identity.type}
        if identity.name:
            attrs["name"] = identity.name
        query.children.append(Element("identity", attrs))
    query.children += [Element("feature", {"var": feature}) for feature in info.features]
    return query


def decode_info(query: Element) -> DiscoInfo:
    """Read the answer to disco#info."""
    return DiscoInfo(
        tuple(
            Identity(child.get("category") or "", child.get("type") or "", child.get("name") or "")
            for child in query.elements()
            if child.name == "identity"
        ),
        tuple(child.get("var") or "" for child in query.elements() if child.name == "feature"),
    )


def encode_items(jids: Iterable[str]) -> Element:
    """The `<query>` that answers disco#items."""
    return Element("query", {"xmlns": ns.DISCO_ITEMS}, [Element("item", {"jid": jid}) for jid in jids])


def decode_items(query: Element) -> list[str]:
    """The JIDs in an answer to disco#items."""
    return [child.get("jid") or "" for child in query.elements() if child.name == "item"]
