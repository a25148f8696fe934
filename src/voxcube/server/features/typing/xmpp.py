"""Relays chat states with stamped addresses and nothing added (XEP-0085, realtime §9.2)."""

from __future__ import annotations

from collections.abc import Awaitable

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.delivery.router import CHAT, GROUP_OTHERS, Parcel, Router
from voxcube.server.features.messages.encode import relayed_tail
from voxcube.server.features.messages.service import Facts
from voxcube.server.features.typing.service import TypingService
from voxcube.xmpp import ns
from voxcube.xmpp.payloads import chat_states
from voxcube.xmpp.xml import Element


class Typing:
    """Typing in private dialogs and in groups."""

    def __init__(self, service: TypingService, router: Router, domain: str) -> None:
        self._service = service
        self._router = router
        self._domain = domain

    def relay(self, session: Session, stanza: Element, to_user: int, dialog_id: str) -> Awaitable[None] | None:
        """Typing waits for nothing that is being stored; who may not say it is passed over in silence."""
        if to_user:
            return self._to_user(session, stanza, to_user)
        return self._to_room(session, stanza, dialog_id)

    def _to_user(self, session: Session, stanza: Element, to_user: int) -> Awaitable[None] | None:
        head = b'<message xmlns="jabber:client" from="' + session.address + b'" to="'
        parcel = Parcel(CHAT, session.app_id, to_user, "", 0, head, relayed_tail(stanza, "chat"))
        parcel.standard_only = not _is_typing(stanza)
        allowed = self._service.may_tell_user(session.app_id, session.user_id, to_user, session.address)
        if isinstance(allowed, Awaitable):
            return self._to_user_later(parcel, allowed)
        if allowed:
            self._router.send(parcel)
        return None

    async def _to_user_later(self, parcel: Parcel, allowed: Awaitable[bool]) -> None:
        if await allowed:
            self._router.send(parcel)

    def _to_room(self, session: Session, stanza: Element, dialog_id: str) -> Awaitable[None] | None:
        app_id, user_id = session.app_id, session.user_id
        occupant = f"{app_id}_{dialog_id}@muc.{self._domain}/{user_id}".encode()
        head = b'<message xmlns="jabber:client" from="' + occupant + b'" to="'
        tail = relayed_tail(stanza, "groupchat")
        parcel = Parcel(GROUP_OTHERS, app_id, user_id, dialog_id, 0, head, tail, session.address)
        parcel.standard_only = not _is_typing(stanza)
        allowed = self._service.may_tell_room(app_id, user_id, dialog_id)
        if isinstance(allowed, Awaitable):
            return self._to_room_later(parcel, allowed)
        self._send_to_room(parcel, allowed)
        return None

    async def _to_room_later(self, parcel: Parcel, allowed: Awaitable[Facts | None]) -> None:
        self._send_to_room(parcel, await allowed)

    def _send_to_room(self, parcel: Parcel, allowed: Facts | None) -> None:
        """To the members by whom it was allowed: not to one who has just been removed."""
        if allowed is not None:
            parcel.members_version = allowed.members_version
            self._router.send(parcel)


def _is_typing(stanza: Element) -> bool:
    """Whether it is one of the two states that JavaScript reads; it takes the others for a message without a text."""
    return chat_states.decode(stanza) in (chat_states.COMPOSING, chat_states.PAUSED)


def feature() -> Feature:
    return Feature("typing", disco=(ns.CHAT_STATES,))
