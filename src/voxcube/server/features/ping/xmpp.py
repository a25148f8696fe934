"""Answers pings to the server and to the own account (XEP-0199)."""

from __future__ import annotations

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element


def pong(session: Session, stanza: Element) -> None:
    """An empty result is the answer (XEP-0199 §4.2)."""


def feature() -> Feature:
    return Feature("ping", disco=(ns.PING,), iq={("get", ns.PING, "ping"): pong})
