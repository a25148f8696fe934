"""Takes from a session whether its user looks at it (realtime §14); as XEP-0352 the stream says the same."""

from __future__ import annotations

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest
from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

_INACTIVE = {"true": True, "1": True, "false": False, "0": False}


def _mark(session: Session, stanza: Element) -> None:
    """JavaScript uses one form of id for both: only `enable` tells which it is (quirks B)."""
    enable = next(stanza.elements()).get("enable") or ""
    if enable not in _INACTIVE:
        raise BadRequest("enable is true or false")
    session.set_inactive(_INACTIVE[enable])


def feature() -> Feature:
    return Feature("mobile", disco=(ns.MOBILE,), iq={("set", ns.MOBILE, "mobile"): _mark})
