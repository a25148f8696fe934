"""Delivered and read markers: persisted, then relayed to the message's sender (XEP-0333, realtime §9.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voxcube.server.c2s.feature import LATER, Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.ids import is_object_id
from voxcube.server.core.models import DELIVERED, READ
from voxcube.server.delivery.router import Router
from voxcube.server.features.messages.encode import relay_to_user
from voxcube.server.features.typing.service import Privacy
from voxcube.xmpp import ns
from voxcube.xmpp.payloads import markers
from voxcube.xmpp.sm import Ticket
from voxcube.xmpp.xml import Element

# Queues a marker: (application, user, kind, message id, done(sender of the message or 0, error)).
MarkQueue = Callable[[int, int, int, str, Callable[[int, Exception | None], None]], None]


class Receipts:
    """Takes markers from clients."""

    def __init__(self, put: MarkQueue, privacy: Privacy, router: Router) -> None:
        self._put = put
        self._privacy = privacy
        self._router = router

    def marker(
        self, session: Session, stanza: Element, marker: markers.Marker, to_user: int, ticket: Ticket | None
    ) -> Any:
        """A marker to a user (`to_user`), or to a room (0): then it goes to the message's sender all the same."""
        if self._may_tell(session, to_user) is None:
            return self._mark_later(session, stanza, marker, to_user, ticket)
        return self._mark(session, stanza, marker, to_user, ticket)

    async def _mark_later(
        self, session: Session, stanza: Element, marker: markers.Marker, to_user: int, ticket: Ticket | None
    ) -> Any:
        await self._privacy.load(session.app_id, session.user_id)
        return self._mark(session, stanza, marker, to_user, ticket)

    def _may_tell(self, session: Session, to_user: int) -> bool | None:
        return self._privacy.peek_telling(session.app_id, session.user_id, to_user, origin=session.address)

    def _mark(
        self, session: Session, stanza: Element, marker: markers.Marker, to_user: int, ticket: Ticket | None
    ) -> Any:
        if not is_object_id(marker.message_id):
            if to_user:  # of a message that was never stored
                self._relay(session, stanza, to_user)
            return None

        def done(sender_id: int, error: Exception | None) -> None:
            if error is not None:
                session.hub.dispatch.failed(session, stanza, ticket, error)
                return
            if recipient := to_user or sender_id:
                self._relay(session, stanza, recipient)
            session.handled(ticket)

        kind = READ if marker.kind == markers.READ else DELIVERED
        self._put(session.app_id, session.user_id, kind, marker.message_id, done)
        return LATER

    def _relay(self, session: Session, stanza: Element, to_user: int) -> None:
        """From the user's full JID as chat, never from the room: Flutter parses `from` as a user (quirks A17)."""
        if to_user == session.user_id or not self._may_tell(session, to_user):
            return
        relay_to_user(self._router, session, stanza, to_user)


def feature() -> Feature:
    return Feature("receipts", disco=(ns.CHAT_MARKERS,))
