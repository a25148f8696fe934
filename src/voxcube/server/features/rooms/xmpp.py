"""Joining and leaving rooms (XEP-0045 as far as clients use it, realtime §10.1–§10.2).

Who has joined is known on this node only, until the dialogs' realtime effects bring it to the others.
"""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from voxcube.server.c2s.errors import condition_of
from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import DomainError, Forbidden, NotFound
from voxcube.server.delivery.router import Router
from voxcube.server.features.rooms.service import RoomService, Standing
from voxcube.xmpp import ns
from voxcube.xmpp.jid import Jid, parse_room_local
from voxcube.xmpp.stanza import stanza_error
from voxcube.xmpp.xml import Element, serialize, to_xml

_MUC_USER = f"{ns.MUC}#user"


class Rooms:
    """The joined sessions of each room."""

    def __init__(self, service: RoomService, router: Router, domain: str) -> None:
        self._service = service
        self._router = router
        self._domain = domain
        self._joined: dict[str, set[Session]] = {}  # dialog → sessions

    async def join(self, session: Session, stanza: Element) -> None:
        """Presence to a room; the reply carries the request's id (quirks A16)."""
        try:
            dialog_id = self._dialog(session, stanza)
            standing = await self._service.standing(session.app_id, session.user_id, dialog_id)
        except DomainError as error:
            self._refuse(session, stanza, error)
            return
        if session.ended:
            return
        inside = self._joined.setdefault(dialog_id, set())
        first = not any(other.user_id == session.user_id for other in inside)
        inside.add(session)
        session.rooms.add(dialog_id)
        seen: set[int] = set()
        for other in list(inside):  # others come and go while we wait
            if other.user_id not in seen and other.user_id != session.user_id:
                seen.add(other.user_id)
                try:
                    their = await self._service.standing(other.app_id, other.user_id, dialog_id)
                except (Forbidden, NotFound):  # no member any more
                    continue
                session.send(self._presence(other, session, dialog_id, their))
        if first and session in inside:
            for other in inside:
                if other.user_id != session.user_id:
                    other.send(self._presence(session, other, dialog_id, standing))
        session.send(self._presence(session, session, dialog_id, standing, id_=stanza.get("id"), codes=("110",)))

    def leave(self, session: Session, stanza: Element) -> None:
        """Leaving a room is not leaving the dialog; it is answered whether or not the session had joined."""
        dialog_id = self._dialog(session, stanza)
        self._left(session, dialog_id)
        gone: Standing = ("member", "none")
        session.send(
            self._presence(session, session, dialog_id, gone, id_=stanza.get("id"), codes=("110",), kind="unavailable")
        )

    def gone(self, session: Session) -> None:
        """The session has ended, and with it what it had joined."""
        for dialog_id in list(session.rooms):
            self._left(session, dialog_id)

    def _left(self, session: Session, dialog_id: str) -> None:
        session.rooms.discard(dialog_id)
        inside = self._joined.get(dialog_id)
        if inside is None or session not in inside:
            return
        inside.discard(session)
        if not inside:
            del self._joined[dialog_id]
        elif not any(other.user_id == session.user_id for other in inside):
            for other in inside:
                other.send(self._presence(session, other, dialog_id, ("member", "none"), kind="unavailable"))

    def _dialog(self, session: Session, stanza: Element) -> str:
        try:
            room = parse_room_local(Jid.parse(stanza.attrs["to"]).local)
        except ValueError:
            room = None
        if room is None or room[0] != session.app_id:
            raise NotFound("The dialog does not exist")
        return room[1]

    def _presence(
        self,
        of: Session,
        to: Session,
        dialog_id: str,
        standing: Standing,
        *,
        id_: str | None = None,
        codes: tuple[str, ...] = (),
        kind: str | None = None,
    ) -> bytes:
        affiliation, role = standing
        x = Element("x", {"xmlns": _MUC_USER}, [Element("item", {"affiliation": affiliation, "role": role})])
        x.children.extend(Element("status", {"code": code}) for code in codes)
        attrs = f' type="{kind}"' if kind else ""
        if id_:
            attrs += f" id={quoteattr(id_)}"
        occupant = f"{of.app_id}_{dialog_id}@muc.{self._domain}/{of.user_id}"
        inner = to_xml(x)
        if codes and to.js:
            # JS looks for the codes in a child that is literally named `xmlns` (quirks A14).
            shim = "".join(f"<code>{code}</code>" for code in codes)
            inner = inner.removesuffix("</x>") + f"<xmlns>{shim}</xmlns></x>"
        return (
            f'<presence xmlns="jabber:client" from="{occupant}" to="'.encode()
            + to.address
            + f'"{attrs}>{inner}</presence>'.encode()
        )

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
    return Feature("rooms", disco=(ns.MUC,), room_presence={"": rooms.join, "unavailable": rooms.leave})
