"""Answers disco#info and disco#items to the server (XEP-0030); the feature list decides what Flutter offers its app."""

from __future__ import annotations

from collections.abc import Sequence

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import NotFound
from voxcube.xmpp import ns
from voxcube.xmpp.payloads.disco import DiscoInfo, Identity, encode_info
from voxcube.xmpp.xml import Element


def feature(others: Sequence[Feature], domain: str) -> Feature:
    """`others`: the features whose namespaces are listed beside discovery's own."""
    spaces = sorted({ns.DISCO_INFO, ns.DISCO_ITEMS, *(space for other in others for space in other.disco)})
    info = encode_info(DiscoInfo((Identity("server", "im", "Voxcube"),), tuple(spaces)))
    rooms = Element("item", {"jid": f"muc.{domain}", "name": "Dialogs"})
    items = Element("query", {"xmlns": ns.DISCO_ITEMS}, [rooms])

    def get_info(session: Session, stanza: Element) -> Element:
        return _of_no_node(stanza, info)

    def get_items(session: Session, stanza: Element) -> Element:
        return _of_no_node(stanza, items)

    return Feature(
        "disco",
        disco=(ns.DISCO_INFO, ns.DISCO_ITEMS),
        iq={("get", ns.DISCO_INFO, "query"): get_info, ("get", ns.DISCO_ITEMS, "query"): get_items},
    )


def _of_no_node(stanza: Element, answer: Element) -> Element:
    """We have no nodes, such as commands (XEP-0030 §3.2)."""
    if any(child.get("node") for child in stanza.elements()):
        raise NotFound("There is no such node")
    return answer
