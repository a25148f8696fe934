"""Answers the request for the contact list (RFC 6121 §2.1.3)."""

from __future__ import annotations

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element


def _get(session: Session, stanza: Element) -> Element:
    session.roster = True  # pushes go only to sessions that asked (realtime §3)
    return Element("query", {"xmlns": ns.ROSTER})


def feature() -> Feature:
    return Feature("roster", disco=(ns.ROSTER,), iq={("get", ns.ROSTER, "query"): _get})
