"""Contacts at the XMPP door: the contact list, subscriptions, and presence to one user (RFC 6121 §2, §3, §4.6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from voxcube.server.c2s.addresses import user_of
from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.contacts import ACTS
from voxcube.server.core.errors import BadRequest
from voxcube.server.features.contacts.encode import ActStanzas
from voxcube.server.features.contacts.pushes import Pushes
from voxcube.server.features.contacts.service import ContactService
from voxcube.server.features.contacts.showing import Showing
from voxcube.server.features.presence.encode import for_others
from voxcube.xmpp import ns
from voxcube.xmpp.payloads import roster
from voxcube.xmpp.xml import Element, to_xml


class Contacts:
    """Requests about a user's own contacts."""

    def __init__(self, service: ContactService, pushes: Pushes, stanzas: ActStanzas, domain: str) -> None:
        self._service = service
        self._pushes = pushes
        self._stanzas = stanzas
        self._domain = domain

    async def get(self, session: Session, stanza: Element) -> Element:
        """The contact list; from now on the session is pushed what changes."""
        contacts = await self._pushes.begin(session)
        return roster.encode(self._pushes.item(session.app_id, contact) for contact in contacts)

    async def set(self, session: Session, stanza: Element) -> None:
        """Adds, changes or removes one contact. What else the client says of the subscription does not count."""
        items = roster.decode(next(stanza.elements()))
        if len(items) != 1:
            raise BadRequest("One contact at a time can be changed")
        (item,) = items
        contact_id = user_of(item.jid, session.app_id, self._domain)
        if item.subscription == "remove":
            await self._service.remove(session.app_id, session.user_id, contact_id)
        else:
            await self._service.put(session.app_id, session.user_id, contact_id, item.name, item.groups)

    def act(self, kind: str) -> Callable[[Session, Element], Awaitable[None]]:
        """The handler of a subscription stanza."""

        async def handle(session: Session, stanza: Element) -> None:
            contact_id = user_of(stanza.attrs["to"], session.app_id, self._domain)
            inner = "".join(to_xml(child) for child in for_others(stanza))
            await self._service.act(
                session.app_id, session.user_id, contact_id, kind, inner=inner, origin=session.address
            )

        return handle

    async def give_requests(self, session: Session) -> None:
        """Those that wait for the user's answer (RFC 6121 §3.1.3)."""
        for act in await self._service.requests(session.app_id, session.user_id):
            session.deliver(*self._stanzas.encode(session.app_id, act), "", 0)

    def direct(self, showing: Showing) -> Callable[[Session, Element], Awaitable[None]]:
        """The handler of presence to one user."""

        async def handle(session: Session, stanza: Element) -> None:
            await showing.direct(session, user_of(stanza.attrs["to"], session.app_id, self._domain), stanza)

        return handle


def feature(contacts: Contacts, showing: Showing) -> Feature:
    direct = contacts.direct(showing)
    return Feature(
        "contacts",
        disco=(ns.ROSTER,),
        iq={("get", ns.ROSTER, "query"): contacts.get, ("set", ns.ROSTER, "query"): contacts.set},
        user_presence={"": direct, "unavailable": direct, **{kind: contacts.act(kind) for kind in ACTS}},
    )
