"""Rooms at the XMPP door: joining, leaving, kicks and who is online, as clients use XEP-0045 (realtime §10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

from voxcube.server.c2s.addresses import room_of
from voxcube.server.c2s.errors import condition_of
from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import DomainError, Invalid, NotFound
from voxcube.server.delivery.router import Router
from voxcube.server.features.rooms.encode import RoomEncoder
from voxcube.server.features.rooms.joined import Joined, Occupant
from voxcube.server.features.rooms.presence import RoomPresence, Visibility
from voxcube.server.features.rooms.service import RoomService
from voxcube.xmpp import ns
from voxcube.xmpp.jid import Jid, user_jid
from voxcube.xmpp.payloads.disco import DiscoInfo, Identity, encode_info, encode_items
from voxcube.xmpp.stanza import stanza_error
from voxcube.xmpp.xml import Element, serialize

log = logging.getLogger(__name__)

DOUBT_SECONDS = 1.0  # after a change of a dialog; by then the word of who was removed by whom has come

_INFO = encode_info(DiscoInfo((Identity("conference", "text"),), (ns.DISCO_INFO, ns.DISCO_ITEMS, ns.MUC, ns.MAM)))
_HOST_INFO = encode_info(
    DiscoInfo((Identity("conference", "text", "Dialogs"),), (ns.DISCO_INFO, ns.DISCO_ITEMS, ns.MUC))
)


class Rooms:
    """The rooms of this node's sessions."""

    def __init__(self, service: RoomService, visibility: Visibility, router: Router, domain: str, *, name: str) -> None:
        """`name` is this run of this node's own."""
        self._service = service
        self._encoder = RoomEncoder(domain)
        self._domain = domain
        self.joined: Joined[Session] = Joined(router, name=name, came=self._came, left=self._left)
        self._presence: RoomPresence[Session] = RoomPresence(
            self.joined, visibility, show_joined=self._show_joined, show_left=self._show_left
        )
        self._doubtful: set[str] = set()  # rooms whose occupants may not be members any more
        self._checking: asyncio.Task[None] | None = None

    # -- requests ------------------------------------------------------------------------------------------------------

    async def join(self, session: Session, stanza: Element) -> None:
        """Presence to a room; the reply carries the request's id (quirks A16)."""
        try:
            dialog_id = self._dialog(session, stanza)
            standing = await self._service.standing(session.app_id, session.user_id, dialog_id)
            await self._presence.prepare(session.app_id, dialog_id, session.user_id)
        except DomainError as error:
            self._refuse(session, stanza, error)
            return
        if session.ended:
            return
        self.joined.enter(dialog_id, session, standing)
        session.rooms.add(dialog_id)
        for other in self._presence.shown(dialog_id, session):
            self._show_joined(dialog_id, other, [session])
        own = self._encoder.occupant(session.app_id, dialog_id, session.user_id)
        reply = self._encoder.joined(own, standing, own=True, js=session.js, id_=stanza.get("id"))
        session.deliver(*reply, "", 0)
        # Both SDKs would take it for a message.
        if not session.official_sdk:
            session.deliver(*self._encoder.subject(self._encoder.room(session.app_id, dialog_id)), "", 0)

    def leave(self, session: Session, stanza: Element) -> None:
        """Leaving a room is not leaving the dialog; it is answered whether or not the session had joined."""
        dialog_id = self._dialog(session, stanza)
        session.rooms.discard(dialog_id)
        self.joined.leave(dialog_id, session)
        own = self._encoder.occupant(session.app_id, dialog_id, session.user_id)
        session.deliver(*self._encoder.left(own, own=True, js=session.js, id_=stanza.get("id")), "", 0)

    async def info(self, session: Session, stanza: Element) -> Element:
        """What a room is (XEP-0045 §6.4), or the host of all rooms."""
        if not self._address(stanza).local:
            return _HOST_INFO
        await self._service.standing(session.app_id, session.user_id, self._dialog(session, stanza))
        return _INFO

    async def items(self, session: Session, stanza: Element) -> Element:
        """The members who are online (realtime §10.5). The host of all rooms does not tell which there are."""
        if not self._address(stanza).local:
            return encode_items(())
        dialog_id = self._dialog(session, stanza)
        users = await self._service.online(session.app_id, session.user_id, dialog_id)
        return encode_items(self._encoder.occupant(session.app_id, dialog_id, user_id) for user_id in sorted(users))

    def ping(self, session: Session, stanza: Element) -> None:
        """Whether this session is still in the room (XEP-0410 §3.1)."""
        if not self.joined.has_joined(self._dialog(session, stanza), session):
            raise Invalid("You have not joined this room")

    # -- what happens --------------------------------------------------------------------------------------------------

    def gone(self, session: Session) -> None:
        """The session has ended, and with it what it had joined."""
        for dialog_id in session.rooms:
            self.joined.leave(dialog_id, session)
        session.rooms.clear()

    def forgotten(self, keys: Collection[tuple[Any, ...]]) -> None:
        """Facts that have changed, here or on another node (`storage.cache.Cache.forget`)."""
        for key in keys:
            if key[0] == "left":
                self._removed(*key[1:])
            elif key[0] == "gone":
                for dialog_id in self.joined.rooms_of(key[1]):
                    self._removed(dialog_id, key[1], None)
            elif key[0] == "privacy":
                self._presence.list_changed(key[1], key[2])
            elif key[0] == "dialog" and self.joined.is_open(key[1]):
                self._check_later((key[1],))

    def doubt(self) -> None:
        """Words of other nodes may have been missed."""
        self.joined.doubt()

    def check_all(self) -> None:
        """Anything may have changed."""
        self._presence.resync()
        self._check_later(self.joined.rooms())

    def _removed(self, dialog_id: str, user_id: int, actor_id: int | None) -> None:
        """A user is not in a dialog any more (realtime §10.4). Who went by itself has left, whoever else was kicked."""
        for session in self.joined.remove(dialog_id, user_id):
            session.rooms.discard(dialog_id)
            own = self._encoder.occupant(session.app_id, dialog_id, user_id)
            if actor_id == user_id:
                stanza = self._encoder.left(own, own=True, member=False, js=session.js)
            else:
                actor = None if actor_id is None else user_jid(actor_id, session.app_id, self._domain)
                stanza = self._encoder.kicked(own, actor, js=session.js)
            session.deliver(*stanza, "", 0)

    def _came(self, dialog_id: str, occupant: Occupant) -> None:
        self._presence.joined(dialog_id, occupant)

    def _left(self, dialog_id: str, user_id: int) -> None:
        self._presence.left(dialog_id, user_id)

    def _show_joined(self, dialog_id: str, occupant: Occupant, sessions: list[Session]) -> None:
        self._show(
            dialog_id, occupant.user_id, sessions, lambda address: self._encoder.joined(address, occupant.standing)
        )

    def _show_left(self, dialog_id: str, user_id: int, sessions: list[Session]) -> None:
        self._show(dialog_id, user_id, sessions, self._encoder.left)

    def _show(
        self, dialog_id: str, user_id: int, sessions: list[Session], encode: Callable[[str], tuple[bytes, bytes]]
    ) -> None:
        """Write the presence of a user in a room to sessions of others."""
        if sessions:
            encoded = encode(self._encoder.occupant(sessions[0].app_id, dialog_id, user_id))
            for session in sessions:
                if not session.hub.stopping:
                    session.deliver(*encoded, "", 0)

    # -- doubts --------------------------------------------------------------------------------------------------------

    def _check_later(self, rooms: Collection[str]) -> None:
        self._doubtful.update(rooms)
        if self._doubtful and self._checking is None:
            self._checking = asyncio.create_task(self._check())

    async def _check(self) -> None:
        """Whoever is in a room must be a member, though nobody said that it was removed."""
        try:
            while self._doubtful:
                await asyncio.sleep(DOUBT_SECONDS)
                doubtful, self._doubtful = self._doubtful, set()
                for dialog_id in doubtful:
                    try:
                        await self._check_room(dialog_id)
                    except Exception as error:  # the database is away
                        log.warning("the members of a room could not be read: %s", type(error).__name__)
                        self._doubtful.add(dialog_id)
        finally:
            self._checking = None

    async def _check_room(self, dialog_id: str) -> None:
        session = next(self.joined.sessions(dialog_id), None)
        if session is not None:
            standings = await self._service.standings(session.app_id, dialog_id, self.joined.here(dialog_id))
            for user_id, standing in standings.items():
                if standing is None:
                    self._removed(dialog_id, user_id, None)
                else:
                    self.joined.set_standing(dialog_id, user_id, standing)

    async def close(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait([self._checking])
        await self._presence.close()
        await self.joined.close()

    # -- addresses -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _address(stanza: Element) -> Jid:
        try:
            return Jid.parse(stanza.attrs["to"])
        except ValueError:
            raise NotFound("The dialog does not exist") from None

    def _dialog(self, session: Session, stanza: Element) -> str:
        return room_of(stanza.attrs["to"], session.app_id)

    @staticmethod
    def _refuse(session: Session, stanza: Element, error: DomainError) -> None:
        """The `x` of the request comes back: JS rejects its promise only with it (quirks A22)."""
        attrs = {"xmlns": ns.CLIENT, "type": "error", "from": stanza.attrs["to"], "to": session.full}
        if id_ := stanza.get("id"):
            attrs["id"] = id_
        reply = Element("presence", attrs, [Element("x", {"xmlns": ns.MUC})])
        reply.children.append(stanza_error(condition_of(error), error.text))
        session.send(serialize(reply))


def feature(rooms: Rooms) -> Feature:
    return Feature(
        "rooms",
        disco=(ns.MUC,),
        room_presence={"": rooms.join, "unavailable": rooms.leave},
        room_iq={
            ("get", ns.DISCO_INFO, "query"): rooms.info,
            ("get", ns.DISCO_ITEMS, "query"): rooms.items,
            ("get", ns.PING, "ping"): rooms.ping,
        },
    )
