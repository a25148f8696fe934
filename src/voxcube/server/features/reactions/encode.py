"""The notice of changed reactions: to all sessions of all who are in the dialog, the reactor's too (realtime §9.5)."""

from __future__ import annotations

from voxcube.server.core.ids import Ids
from voxcube.server.core.models import Dialog, Turn
from voxcube.server.delivery.router import CHAT, GROUP, OWN, Parcel, Router
from voxcube.server.features.messages.encode import frame
from voxcube.xmpp.payloads import changes, extra_params
from voxcube.xmpp.xml import to_xml


class ReactionNotices:
    """`service.Notices`; what it tells is not stored."""

    def __init__(self, router: Router, domain: str, ids: Ids) -> None:
        self._router = router
        self._domain = domain
        self._ids = ids

    def tell(
        self, dialog: Dialog, user_id: int, message_id: str, turn: Turn, *, added: str | None, removed: str | None
    ) -> None:
        extra = extra_params.encode(dialog_id=dialog.id)
        change = changes.Reactions(message_id, user_id, (added,) if added else (), (removed,) if removed else ())
        inner = to_xml(extra) + to_xml(changes.encode(change))
        app_id, send = dialog.app_id, self._router.change
        if dialog.pair is None:
            room = f"{app_id}_{dialog.id}@muc.{self._domain}/{user_id}"
            head, tail = frame(room, False, self._ids.object_id(), inner)
            send(Parcel(GROUP, app_id, user_id, dialog.id, 0, head, tail), turn)
            return
        head, tail = frame(f"{user_id}-{app_id}@{self._domain}", True, self._ids.object_id(), inner)
        send(Parcel(OWN, app_id, user_id, dialog.id, 0, head, tail), turn)
        for other in map(int, dialog.pair.split(":")):
            if other != user_id:
                send(Parcel(CHAT, app_id, other, dialog.id, 0, head, tail), turn)
