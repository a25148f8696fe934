"""The archive at the XMPP door: queries, and the messages that answer them (XEP-0313).

It is advertised on accounts and rooms, never on the host: Flutter would query it before it becomes ready (quirks A6).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from xml.sax.saxutils import quoteattr

from voxcube.server.c2s.addresses import parsed, room_of
from voxcube.server.c2s.feature import Feature, IqHandler
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest, Forbidden
from voxcube.server.features.archive.service import ArchiveService, LateMessage, Span
from voxcube.server.features.messages.encode import Encoded
from voxcube.xmpp import ns
from voxcube.xmpp.jid import parse_user_local, room_local
from voxcube.xmpp.payloads import archive
from voxcube.xmpp.payloads.disco import DiscoInfo, Identity, encode_info
from voxcube.xmpp.xml import Element

_FORM = archive.encode_form()
_ACCOUNT = encode_info(DiscoInfo((Identity("account", "registered"),), (ns.DISCO_INFO, ns.MAM, ns.HINTS)))


class Archive:
    """Requests to the archives of accounts and of rooms."""

    def __init__(self, service: ArchiveService, encode: Callable[[LateMessage], Encoded], domain: str) -> None:
        """`encode` makes the stanza of a stored message."""
        self._service = service
        self._encode = encode
        self._domain = domain

    async def own(self, session: Session, stanza: Element) -> Element:
        """A query of the own archive. Who asks for it wants to be in it: see `Session.archives`."""
        self._check_own(session, stanza)
        query = _query(stanza)
        other = None
        if query.with_ is not None:
            other = self._user(session, query.with_)
            if other is None:
                return archive.encode_fin(None, None, complete=True)
        span = _span(query)
        found, complete = await self._service.own(
            session.app_id, session.user_id, span, other=other, limit=query.max, sending=list(session.pending)
        )
        session.archives = True
        return self._answer(session, query, found, complete, session.bare)

    async def room(self, session: Session, stanza: Element) -> Element:
        """A query of a room's archive."""
        query = _query(stanza)
        dialog_id = room_of(stanza.attrs["to"], session.app_id)
        found, complete = await self._service.room(
            session.app_id, session.user_id, dialog_id, _span(query), limit=query.max
        )
        room = f"{room_local(session.app_id, dialog_id)}@muc.{self._domain}"
        return self._answer(session, query, found, complete, room)

    def form(self, session: Session, stanza: Element) -> Element:
        """Which fields a query can fill in."""
        return _FORM

    def account(self, session: Session, stanza: Element) -> Element:
        """What the own account can (XEP-0313 §6)."""
        self._check_own(session, stanza)
        return _ACCOUNT

    def _check_own(self, session: Session, stanza: Element) -> None:
        to = stanza.get("to")
        if to and to.partition("/")[0].lower() != session.bare:
            raise Forbidden("This is somebody else's account")

    def _user(self, session: Session, address: str) -> int | None:
        """The user of an address; None for one who cannot have written."""
        jid = parsed(address)
        user = parse_user_local(jid.local)
        return user[0] if user is not None and jid.domain == self._domain and user[1] == session.app_id else None

    def _answer(
        self, session: Session, query: archive.Query, found: list[LateMessage], complete: bool, from_: str
    ) -> Element:
        """The messages go out one by one, before the end of the page (XEP-0313 §4.2)."""
        attrs = "" if query.query_id is None else f" queryid={quoteattr(query.query_id)}"
        for message in found:
            head, tail = self._encode(message)
            to = f"{message.recipient_id}-{message.app_id}@{self._domain}" if message.recipient_id else session.bare
            stamp = datetime.fromtimestamp(message.created_at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
            session.send(
                f'<message xmlns="jabber:client" from="{from_}" to="'.encode()
                + session.address
                + f'"><result xmlns="{ns.MAM}"{attrs} id="{message.id}"><forwarded xmlns="{ns.FORWARD}">'
                f'<delay xmlns="{ns.DELAY}" stamp="{stamp}"/>'.encode()
                + head
                + to.encode()
                + tail
                + b"</forwarded></result></message>"
            )
        ends = (found[0].id, found[-1].id) if found else (None, None)
        return archive.encode_fin(*ends, complete=complete)


def _query(stanza: Element) -> archive.Query:
    try:
        return archive.decode_query(next(stanza.elements()))
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _span(query: archive.Query) -> Span:
    return Span(
        start=query.start,
        end=query.end,
        after=query.after or None,
        before=query.before or None,
        backwards=query.before is not None,
    )


def feature(requests: Archive) -> Feature:
    own: dict[tuple[str, str, str], IqHandler] = {
        ("set", ns.MAM, "query"): requests.own,
        ("get", ns.MAM, "query"): requests.form,
    }
    return Feature(
        "archive",
        iq=own,
        account_iq={("get", ns.DISCO_INFO, "query"): requests.account},
        user_iq={**own, ("get", ns.DISCO_INFO, "query"): requests.account},
        room_iq={("set", ns.MAM, "query"): requests.room, ("get", ns.MAM, "query"): requests.form},
    )
