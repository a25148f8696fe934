"""The stanzas of what was changed by REST, to everybody whom it concerns (realtime §9.3–§9.5).

They come from the user's bare address or as an occupant of the room, with an id of the server's.
"""

from __future__ import annotations

from voxcube.server.core.ids import Ids
from voxcube.server.core.models import NO_TURN, DialogType, Turn
from voxcube.server.delivery.router import CHAT, COPY, GROUP, Parcel, Router
from voxcube.server.features.carbons.xmpp import wrap_sent
from voxcube.server.features.messages.encode import body_element, frame
from voxcube.server.features.messages.service import Facts
from voxcube.xmpp.payloads import changes, extra_params, markers
from voxcube.xmpp.xml import is_text, to_xml

LARGEST = 240 * 1024  # bytes of a text, so that its stanza is within 256 KiB


class ChangeNotices:
    """`service.Notices`."""

    def __init__(self, router: Router, domain: str, ids: Ids) -> None:
        self._router = router
        self._domain = domain
        self._ids = ids

    def check(self, body: str) -> None:
        """Raises ValueError for a text that no stanza can carry: it would stall Flutter for good (quirks A19)."""
        if not is_text(body):
            raise ValueError("holds a character that XML forbids")
        if len(body_element(body).encode()) > LARGEST:
            raise ValueError(f"is too long (maximum is {LARGEST} bytes)")

    def edited(self, facts: Facts, user_id: int, message_id: str, turn: Turn, body: str, *, last: bool) -> None:
        """The message has a new text; `last`: it is the dialog's last one."""
        edit = to_xml(changes.encode(changes.Edit(message_id, last)))
        self._tell(facts, user_id, turn, body_element(body) + edit)

    def deleted(self, facts: Facts, user_id: int, message_id: str, turn: Turn) -> None:
        """The message is gone for everyone."""
        self._tell(facts, user_id, turn, to_xml(changes.encode(changes.Delete(message_id))))

    def marked(self, facts: Facts, user_id: int, message_id: str, sender_id: int, *, read: bool) -> None:
        """The user has had or read the message: its sender learns it, in groups of people who know each other."""
        if facts.type not in (DialogType.PRIVATE, DialogType.GROUP):
            return
        marker = markers.Marker(markers.READ if read else markers.DELIVERED, message_id)
        self._to_user(facts, user_id, sender_id, "", NO_TURN, to_xml(markers.encode(marker)))

    def _tell(self, facts: Facts, user_id: int, turn: Turn, inner: str) -> None:
        """Says something of a message (children of a stanza, as XML) to all members, behind the message itself."""
        if facts.type == DialogType.PRIVATE:
            for other in facts.members - {user_id}:
                self._to_user(facts, user_id, other, facts.id, turn, inner)
            return
        room = f"{facts.app_id}_{facts.id}@muc.{self._domain}/{user_id}"
        head, tail = frame(room, False, self._ids.object_id(), inner + _named(facts))
        self._router.change(Parcel(GROUP, facts.app_id, user_id, facts.id, 0, head, tail), turn)

    def _to_user(self, facts: Facts, user_id: int, other: int, dialog_id: str, turn: Turn, inner: str) -> None:
        app_id = facts.app_id
        bare, recipient = (f"{id_}-{app_id}@{self._domain}" for id_ in (user_id, other))
        head, tail = frame(bare, True, self._ids.object_id(), inner + _named(facts))
        self._router.change(Parcel(CHAT, app_id, other, dialog_id, 0, head, tail), turn)
        if self._router.has_others(user_id, b""):
            head, tail = wrap_sent(bare.encode(), head, recipient.encode(), tail)
            self._router.change(Parcel(COPY, app_id, user_id, dialog_id, 0, head, tail), turn)


def _named(facts: Facts) -> str:
    return to_xml(extra_params.encode(dialog_id=facts.id))
