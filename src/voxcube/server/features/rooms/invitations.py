"""Invitations that go through a room (XEP-0045 §7.8.2).

Membership is changed by REST alone, so an invitation adds nobody: it tells a member of the dialog about its room.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from voxcube.server.c2s.addresses import user_of
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest, Forbidden
from voxcube.server.delivery.router import CHAT, Parcel, Router
from voxcube.server.features.messages.encode import relayed_tail
from voxcube.server.features.rooms.service import RoomService
from voxcube.xmpp import ns
from voxcube.xmpp.jid import room_local
from voxcube.xmpp.xml import Element


class Permission(Protocol):
    """Who may write to whom (`features.system.service`)."""

    def check(self, app_id: int, user_id: int, to_user: int, *, origin: bytes = b"") -> Awaitable[None]:
        """Raises NotFound for an unknown user, Blocked where one of the two has blocked the other."""


class Invitations:
    """Relays invitations, and that they are declined."""

    def __init__(self, rooms: RoomService, permission: Permission, router: Router, domain: str) -> None:
        self._rooms = rooms
        self._permission = permission
        self._router = router
        self._domain = domain

    async def relay(self, session: Session, stanza: Element, _: int, dialog_id: str) -> None:
        """From the room to one member of its dialog. Raises BadRequest, NotFound, Forbidden, Blocked."""
        app_id, user_id = session.app_id, session.user_id
        await self._rooms.standing(app_id, user_id, dialog_id)
        asked = [
            child
            for x in stanza.elements()
            if x.name == "x" and x.xmlns == ns.MUC_USER
            for child in x.elements()
            if child.name in ("invite", "decline")
        ]
        if len(asked) != 1 or not asked[0].get("to"):
            raise BadRequest("Name one user to invite")
        (request,) = asked
        invited = user_of(request.attrs["to"], app_id, self._domain)
        await self._permission.check(app_id, user_id, invited, origin=session.address)
        try:
            await self._rooms.standing(app_id, invited, dialog_id)
        except Forbidden:
            raise Forbidden("The user is not in this dialog: add the user by REST first") from None
        content = Element(request.name, {"from": session.bare}, request.elements())
        message = Element("message", {}, [Element("x", {"xmlns": ns.MUC_USER}, [content])])
        if (id_ := stanza.get("id")) is not None:
            message.attrs["id"] = id_
        room = f"{room_local(app_id, dialog_id)}@muc.{self._domain}"
        head = f'<message xmlns="jabber:client" from="{room}" to="'.encode()
        parcel = Parcel(CHAT, app_id, invited, "", 0, head, relayed_tail(message, "normal"))
        parcel.standard_only = True
        self._router.send(parcel)
