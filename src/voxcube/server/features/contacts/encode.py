"""Subscription stanzas for a user's sessions (RFC 6121 §3): from the other one's bare address."""

from __future__ import annotations

from voxcube.server.delivery.router import CHAT, Parcel, Router
from voxcube.server.features.contacts.service import Act
from voxcube.xmpp.jid import user_jid


class ActStanzas:
    """`service.Telling`."""

    def __init__(self, router: Router, domain: str) -> None:
        self._router = router
        self._domain = domain

    def tell(self, app_id: int, act: Act) -> None:
        """To all available sessions of the user."""
        self._router.send(Parcel(CHAT, app_id, act.user_id, "", 0, *self.encode(app_id, act)))

    def encode(self, app_id: int, act: Act) -> tuple[bytes, bytes]:
        """Before and after the receiver's address."""
        head = f'<presence xmlns="jabber:client" from="{user_jid(act.contact_id, app_id, self._domain)}" to="'
        tail = f'" type="{act.kind}"' + (f">{act.inner}</presence>" if act.inner else "/>")
        return head.encode(), tail.encode()
