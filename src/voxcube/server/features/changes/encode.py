"""The stanzas of what was changed by REST, to everybody whom it concerns (realtime §9.3–§9.5).

They come from the user's bare address or as an occupant of the room, with an id of the server's.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from voxcube.server.core.ids import Ids
from voxcube.server.core.models import DialogType
from voxcube.server.delivery.router import CHAT, COPY, GROUP, Parcel, Router
from voxcube.server.features.carbons.xmpp import wrap_sent
from voxcube.server.features.messages.encode import frame
from voxcube.server.features.messages.service import Facts
from voxcube.xmpp.payloads import changes, extra_params, markers
from voxcube.xmpp.xml import to_xml


class ChangeNotices:
    """`service.Notices`."""

    def __init__(self, router: Router, domain: str, ids: Ids) -> None:
        self._router = router
        self._domain = domain
        self._ids = ids

    def edited(self, facts: Facts, user_id: int, message_id: str, body: str, *, last: bool) -> None:
        """The message has a new text; `last`: it is the dialog's last one."""
        self.tell(
            facts, user_id, f"<body>{escape(body)}</body>{to_xml(changes.encode(changes.Edit(message_id, last)))}"
        )

    def deleted(self, facts: Facts, user_id: int, message_id: str) -> None:
        """The message is gone for everyone."""
        self.tell(facts, user_id, to_xml(changes.encode(changes.Delete(message_id))))

    def marked(self, facts: Facts, user_id: int, message_id: str, sender_id: int, *, read: bool) -> None:
        """The user has had or read the message: its sender learns it, in groups of people who know each other."""
        if facts.type not in (DialogType.PRIVATE, DialogType.GROUP):
            return
        marker = markers.Marker(markers.READ if read else markers.DELIVERED, message_id)
        self._to_user(facts, user_id, sender_id, to_xml(markers.encode(marker)))

    def tell(self, facts: Facts, user_id: int, inner: str) -> None:
        """Says something (children of a message, as XML) to all members of a dialog in the name of one of them."""
        if facts.type == DialogType.PRIVATE:
            for other in facts.members - {user_id}:
                self._to_user(facts, user_id, other, inner)
            return
        room = f"{facts.app_id}_{facts.id}@muc.{self._domain}/{user_id}"
        head, tail = frame(room, False, self._ids.object_id(), inner + _named(facts))
        self._router.send(Parcel(GROUP, facts.app_id, user_id, facts.id, 0, head, tail))

    def _to_user(self, facts: Facts, user_id: int, other: int, inner: str) -> None:
        bare, recipient = (f"{id_}-{facts.app_id}@{self._domain}" for id_ in (user_id, other))
        head, tail = frame(bare, True, self._ids.object_id(), inner + _named(facts))
        self._router.send(Parcel(CHAT, facts.app_id, other, "", 0, head, tail))
        if self._router.has_others(user_id, b""):
            head, tail = wrap_sent(bare.encode(), head, recipient.encode(), tail)
            self._router.send(Parcel(COPY, facts.app_id, user_id, "", 0, head, tail))


def _named(facts: Facts) -> str:
    return to_xml(extra_params.encode(dialog_id=facts.id))
