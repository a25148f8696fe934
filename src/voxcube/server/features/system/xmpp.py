"""Headlines from one user's session to all of another's: relayed as they are, with nothing added (realtime §11)."""

from __future__ import annotations

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest, NotFound
from voxcube.server.delivery.router import CHAT, OWN, Parcel, Router
from voxcube.server.features.messages.encode import check_size, relayed_tail
from voxcube.server.features.messages.xmpp import drop_changes
from voxcube.server.features.system.service import SystemService
from voxcube.xmpp.jid import Jid, parse_user_local
from voxcube.xmpp.sm import Ticket
from voxcube.xmpp.xml import Element


class SystemStanzas:
    """Takes headlines from clients."""

    def __init__(self, service: SystemService, router: Router, domain: str) -> None:
        self._service = service
        self._router = router
        self._domain = domain

    async def headline(self, session: Session, stanza: Element, ticket: Ticket | None) -> None:
        """To a user only. Raises BadRequest for a room, NotFound, Blocked."""
        app_id, user_id = session.app_id, session.user_id
        to_user = self._recipient(session, stanza)
        await self._service.check(app_id, user_id, to_user, origin=session.address)
        drop_changes(stanza)
        head = b'<message xmlns="jabber:client" from="' + session.address + b'" to="'
        kind, origin = (OWN, session.address) if to_user == user_id else (CHAT, b"")
        tail = relayed_tail(stanza, "headline")
        check_size(tail)
        self._router.send(Parcel(kind, app_id, to_user, "", 0, head, tail, origin))

    def _recipient(self, session: Session, stanza: Element) -> int:
        try:
            jid = Jid.parse(stanza.attrs.get("to", ""))
        except ValueError:
            raise BadRequest("System messages go to users") from None
        user = parse_user_local(jid.local) if jid.domain == self._domain else None
        if user is None:
            raise BadRequest("System messages go to users")
        if user[1] != session.app_id:
            raise NotFound("There is no such user")
        return user[0]


def feature(stanzas: SystemStanzas) -> Feature:
    """Headlines."""
    return Feature("system", messages={"headline": stanzas.headline})
