"""The presence of a session as stanza: to the user's own sessions, and to others."""

from __future__ import annotations

from typing import Final

from voxcube.server.c2s.session import Session
from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element, to_xml

UNAVAILABLE: Final = "unavailable"


def presence_of(session: Session, stanza: Element) -> tuple[bytes, bytes]:
    """What the session has said, before and after the receiver's address, without what only rooms say: JavaScript
    would take it for an occupant who joins one."""
    return from_address(session.address, Element("presence", stanza.attrs, for_others(stanza)))


def for_others(stanza: Element) -> list[Element]:
    """The children that others are shown."""
    return [child for child in stanza.elements() if not child.xmlns.startswith(ns.MUC)]


def from_address(address: bytes, stanza: Element) -> tuple[bytes, bytes]:
    """A presence from an address that is escaped already."""
    kind = stanza.attrs.get("type")
    inner = "".join(to_xml(child) for child in stanza.elements())
    tail = '"' + (f' type="{kind}"' if kind else "") + (f">{inner}</presence>" if inner else "/>")
    return b'<presence xmlns="jabber:client" from="' + address + b'" to="', tail.encode()
