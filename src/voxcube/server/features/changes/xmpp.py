"""Edits and deletions over the chat connection: persisted, then relayed to the others (realtime §7.3, §9.4)."""

from __future__ import annotations

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest
from voxcube.server.core.models import Turn
from voxcube.server.delivery.router import GROUP, OWN, Parcel, Router
from voxcube.server.features.changes.service import ChangeService, NewText
from voxcube.server.features.messages.encode import check_size, relay_to_user, relayed_tail
from voxcube.server.features.messages.service import Facts
from voxcube.xmpp import ns
from voxcube.xmpp.payloads import changes, extra_params
from voxcube.xmpp.xml import Element


class ChangeStanzas:
    """Takes changes from clients."""

    def __init__(self, service: ChangeService, router: Router, domain: str) -> None:
        self._service = service
        self._router = router
        self._domain = domain

    async def change(self, session: Session, stanza: Element, to_user: int, dialog_id: str) -> None:
        """An edit or a deletion, to a user or to a room. What was never stored is relayed only.

        The session's next stanza waits for it, and so does its acknowledgement. Raises BadRequest, NotFound, Forbidden.
        """
        change = changes.decode(stanza)
        app_id, user_id = session.app_id, session.user_id
        if not isinstance(change, changes.Edit | changes.Delete):
            raise BadRequest("It names no message")  # or is a reaction, which is made by REST alone
        facts = await self._service.place(app_id, user_id, to_user, dialog_id, origin=session.address)
        extra = stanza.find("extraParams")
        if facts is not None:
            self._complete(stanza, extra, facts)
        check_size(relayed_tail(stanza, "chat"))
        if isinstance(change, changes.Edit):
            body = stanza.find("body")
            params = extra_params.decode(extra)
            text = NewText(
                body="" if body is None else body.text,
                properties=params.properties or None,
                attachments=params.attachments or None,
            )
            turn = await self._service.edit(app_id, user_id, facts, change.message_id, text)
        else:
            turn = await self._service.delete(app_id, user_id, facts, change.message_id, to_user)
        if to_user:
            self._relay(session, stanza, to_user, "" if facts is None else facts.id, turn)
        else:
            self._relay_to_room(session, stanza, dialog_id, turn)

    @staticmethod
    def _complete(stanza: Element, extra: Element | None, facts: Facts) -> None:
        """JavaScript and Flutter find the dialog by the `dialog_id` of what they get (quirks A23)."""
        stamped = extra_params.stamp(extra, {"dialog_id": facts.id})
        stanza.children = [stamped if child is extra else child for child in stanza.children]
        if extra is None:
            stanza.children.append(stamped)

    def _relay(self, session: Session, stanza: Element, to_user: int, dialog_id: str, turn: Turn) -> None:
        if to_user == session.user_id:
            head = b'<message xmlns="jabber:client" from="' + session.address + b'" to="'
            tail = relayed_tail(stanza, "chat")
            self._router.send(Parcel(OWN, session.app_id, to_user, "", 0, head, tail, session.address))
        else:
            relay_to_user(self._router, session, stanza, to_user, dialog_id=dialog_id, turn=turn)

    def _relay_to_room(self, session: Session, stanza: Element, dialog_id: str, turn: Turn) -> None:
        """To all members, and back to its own session: Flutter waits for the echo (quirks A16)."""
        app_id, user_id = session.app_id, session.user_id
        occupant = f"{app_id}_{dialog_id}@muc.{self._domain}/{user_id}".encode()
        head = b'<message xmlns="jabber:client" from="' + occupant + b'" to="'
        tail = relayed_tail(stanza, "groupchat")
        self._router.change(Parcel(GROUP, app_id, user_id, dialog_id, 0, head, tail), turn)
        if not session.available:
            session.deliver(head, tail, "", 0)


def feature() -> Feature:
    """What clients look for before they offer to edit."""
    return Feature("changes", disco=(ns.MESSAGE_CORRECT,))
