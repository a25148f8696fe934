"""Turns carbons on and off for a session, and wraps what was sent (XEP-0280; only sent carbons, only chat)."""

from __future__ import annotations

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element


def _enable(session: Session, stanza: Element) -> None:
    session.carbons = True


def _disable(session: Session, stanza: Element) -> None:
    session.carbons = False


def wrap_sent(bare: bytes, head: bytes, to: bytes, tail: bytes) -> tuple[bytes, bytes]:
    """The carbon of a stanza (head + to + tail), again as what comes before and after the receiver's address.

    `bare` is the sender's account; the inner `to` must be a user's address (XEP-0280 §8.3, realtime §8).
    """
    return (
        b'<message xmlns="jabber:client" from="' + bare + b'" to="',
        b'" type="chat"><sent xmlns="urn:xmpp:carbons:2"><forwarded xmlns="urn:xmpp:forward:0">'
        + head
        + to
        + tail
        + b"</forwarded></sent></message>",
    )


def feature() -> Feature:
    return Feature(
        "carbons",
        disco=(ns.CARBONS,),
        iq={("set", ns.CARBONS, "enable"): _enable, ("set", ns.CARBONS, "disable"): _disable},
    )
