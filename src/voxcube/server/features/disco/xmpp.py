"""Answers disco#info and disco#items to the server (XEP-0030); the feature list decides what Flutter offers its app."""

from __future__ import annotations

from collections.abc import Sequence

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element


def feature(others: Sequence[Feature]) -> Feature:
    """`others`: the features whose namespaces are listed beside discovery's own."""
    spaces = sorted({ns.DISCO_INFO, ns.DISCO_ITEMS, *(space for other in others for space in other.disco)})
    info = Element("query", {"xmlns": ns.DISCO_INFO})
    info.children.append(Element("identity", {"category": "server", "type": "im", "name": "Voxcube"}))
    info.children.extend(Element("feature", {"var": space}) for space in spaces)
    items = Element("query", {"xmlns": ns.DISCO_ITEMS})

    def get_info(session: Session, stanza: Element) -> Element:
        return info

    def get_items(session: Session, stanza: Element) -> Element:
        return items

    return Feature(
        "disco",
        disco=(ns.DISCO_INFO, ns.DISCO_ITEMS),
        iq={("get", ns.DISCO_INFO, "query"): get_info, ("get", ns.DISCO_ITEMS, "query"): get_items},
    )
