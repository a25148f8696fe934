"""Pushes of contacts to the sessions that have asked for the list (RFC 6121 §2.1.6).

Without `from`, and never to sessions that have not asked: JavaScript takes a push for a last activity (quirks A13).
What a session knows is remembered, so that a word of another node that was lost is made up for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from voxcube.server.c2s.session import Session
from voxcube.server.core.contacts import ASKED, Contact
from voxcube.server.core.ids import Ids
from voxcube.server.features.contacts.service import ContactService
from voxcube.xmpp.jid import user_jid
from voxcube.xmpp.payloads import roster
from voxcube.xmpp.payloads.roster import RosterItem
from voxcube.xmpp.stanza import iq
from voxcube.xmpp.xml import serialize

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds until contacts that could not be read are read again

Doubt = tuple[int, int, int | None]  # application, user, contact (None: all of them)


class Pushes:
    """What the sessions of this node know of their users' contacts."""

    def __init__(self, service: ContactService, ids: Ids, domain: str) -> None:
        self._service = service
        self._ids = ids
        self._domain = domain
        self._known: dict[int, dict[Session, dict[int, Contact]]] = {}  # by user
        self._doubtful: set[Doubt] = set()
        self._changes = 0
        self._task: asyncio.Task[None] | None = None

    async def begin(self, session: Session) -> list[Contact]:
        """The list for a session, which is told of changes from now on."""
        before = self._changes
        contacts = await self._service.all(session.app_id, session.user_id)
        if not session.ended:
            known = self._known.setdefault(session.user_id, {})
            known[session] = {contact.user_id: contact for contact in contacts}
            if self._changes != before:  # perhaps of these contacts, while they were read
                self._look({(session.app_id, session.user_id, None)})
        return contacts

    def gone(self, session: Session) -> None:
        """The session has ended."""
        known = self._known.get(session.user_id)
        if known is not None and known.pop(session, None) is not None and not known:
            del self._known[session.user_id]

    def changed(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """What is forgotten on all nodes: ("contact", app, user, contact) says that an entry has changed."""
        changed = {(key[1], key[2], key[3]) for key in keys if key[0] == "contact"}
        self._changes += len(changed)
        self._look(changed)

    def doubt(self) -> None:
        """Words of other nodes may have been missed."""
        self._look({(session.app_id, user_id, None) for user_id, known in self._known.items() for session in known})

    def item(self, app_id: int, contact: Contact) -> RosterItem:
        """A contact on the wire."""
        jid = user_jid(contact.user_id, app_id, self._domain)
        ask = "subscribe" if contact.state & ASKED else ""
        return RosterItem(jid, contact.name, contact.subscription, ask, contact.groups)

    def _look(self, doubtful: set[Doubt]) -> None:
        self._doubtful |= {doubt for doubt in doubtful if doubt[1] in self._known}
        if self._doubtful and self._task is None:
            self._task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        while self._doubtful:
            doubt = self._doubtful.pop()
            try:
                await self._tell(*doubt)
            except Exception as error:  # the database is away
                log.warning("contacts could not be read: %s", type(error).__name__)
                self._doubtful.add(doubt)
                await asyncio.sleep(AGAIN)
        self._task = None

    async def _tell(self, app_id: int, user_id: int, contact_id: int | None) -> None:
        if contact_id is None:
            now = {contact.user_id: contact for contact in await self._service.all(app_id, user_id)}
        else:
            found = await self._service.one(app_id, user_id, contact_id)
            now = {} if found is None else {contact_id: found}
        for session, known in self._known.get(user_id, {}).items():
            for id_ in known.keys() | now.keys() if contact_id is None else (contact_id,):
                self._compare(session, known, id_, now.get(id_))

    def _compare(self, session: Session, known: dict[int, Contact], contact_id: int, now: Contact | None) -> None:
        before = known.get(contact_id)
        if now is not None:
            known[contact_id] = now
            item = self.item(session.app_id, now)
            if before is None or item != self.item(session.app_id, before):
                self._push(session, item)
        elif before is not None:
            del known[contact_id]
            jid = user_jid(contact_id, session.app_id, self._domain)
            self._push(session, RosterItem(jid, subscription="remove"))

    def _push(self, session: Session, item: RosterItem) -> None:
        session.send(serialize(iq("set", f"contact-{self._ids.object_id()}", roster.encode([item]), to=session.full)))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
