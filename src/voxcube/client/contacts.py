"""``cube.chat.contacts``: the contact list, requests to be in touch, and which contacts are available."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from voxcube.client import wire
from voxcube.client.connection import Connection
from voxcube.client.events import ContactChange, ContactRequest, PresenceEvent
from voxcube.client.ids import new_message_id
from voxcube.client.lifecycle import Lifecycle
from voxcube.client.models.contact import Contact, Subscription
from voxcube.client.outbox import Outbox
from voxcube.client.sends import Sends
from voxcube.client.streams import EventStream, Feed, Unsubscribe
from voxcube.xmpp import ns
from voxcube.xmpp.jid import user_jid
from voxcube.xmpp.payloads import roster
from voxcube.xmpp.payloads.roster import RosterItem
from voxcube.xmpp.stanza import iq
from voxcube.xmpp.xml import Element

_SUBSCRIPTIONS = {each.value: each for each in Subscription}


class Contacts:
    """A list of users that the server keeps. A contact that consents shows this user when it is available, and each
    direction has a consent of its own.

    Sessions of this user that have called ``list()`` are told of changes made by its other ones.
    """

    def __init__(
        self, life: Lifecycle, outbox: Outbox, sends: Sends, app_id: int, domain: str, *, timeout: float
    ) -> None:
        self._life = life
        self._outbox = outbox
        self._sends = sends
        self._app_id = app_id
        self._domain = domain
        self._timeout = timeout
        self._known: dict[int, Contact] | None = None  # since `list` was called
        self._sessions: dict[int, dict[str, PresenceEvent]] = {}  # user → available sessions, the latest last
        self._requests: Feed[ContactRequest] = Feed(life.line, hold=True)
        self._presences: Feed[PresenceEvent] = Feed(life.line)
        self._changes: Feed[ContactChange] = Feed(life.line)

    # The list

    async def list(self) -> tuple[Contact, ...]:
        """This user's contacts; from now on ``changes()`` tells of them, also after reconnecting.

        Raises:
            ChatTimeout: no answer in time (60 seconds by default).
            NotConnected: not connected, or the connection ended meanwhile.

        Source: RFC 6121 §2.2.

        Example:
            >>> await cube.chat.contacts.list()
            (Contact(user_id=88, name='Bob', subscription=<Subscription.BOTH: 'both'>, asked=False, groups=()),)
        """
        self._known = await self._fetch(self._life.connection)
        return tuple(self._known.values())

    async def add(self, user_id: int, name: str | None = None, groups: Iterable[str] = ()) -> None:
        """Puts a user into the list and asks for its consent to be shown when it is available.

        For a contact it sets the name and the groups, and asks again where there is no consent yet.

        Args:
            user_id: the user.
            name: what this user calls it, at most 255 characters.
            groups: where to show it, at most 50 of up to 255 characters.

        Raises:
            StanzaError: 404 when there is no such user, 503 when one of the two blocks the other (it is in the list all
                the same), 406 when something is too long, or there are 1,000 contacts.
            MessageLost: the connection ended before the request was confirmed, and its session did not go on.
            ChatTimeout: no answer in time.
            NotConnected: not connected, or the connection ended meanwhile.
            ValueError: characters that XML forbids.

        Source: RFC 6121 §2.3, §3.1.

        Example:
            >>> await cube.chat.contacts.add(88, "Bob")
        """
        await self._set(RosterItem(self._jid(user_id), name or "", groups=tuple(groups)))
        await self._present(user_id, "subscribe")

    async def remove(self, user_id: int) -> None:
        """Takes a contact out of the list; neither is shown to the other any more.

        Args:
            user_id: the contact.

        Raises:
            StanzaError: 404 when it is no contact.
            ChatTimeout: no answer in time.
            NotConnected: not connected, or the connection ended meanwhile.

        Source: RFC 6121 §2.5.

        Example:
            >>> await cube.chat.contacts.remove(88)
        """
        await self._set(RosterItem(self._jid(user_id), subscription="remove"))

    # Requests

    async def accept(self, user_id: int) -> None:
        """Consents to a request: the user is in the list and is shown when this user is available.

        For the other direction call ``add``. Does nothing without a request.

        Args:
            user_id: who asks.

        Raises:
            StanzaError: 404 when there is no such user, 406 when there are 1,000 contacts.
            MessageLost: the connection ended before it was confirmed, and its session did not go on.
            ChatTimeout: no answer in time.
            NotConnected: not connected.

        Source: RFC 6121 §3.1.4.

        Example:
            >>> cube.chat.contacts.on_request(lambda request: cube.chat.contacts.accept(request.user_id))
        """
        await self._present(user_id, "subscribed")

    async def decline(self, user_id: int) -> None:
        """Declines a request, or takes back the consent to an earlier one. Arguments and errors as ``accept``.

        Source: RFC 6121 §3.2.

        Example:
            >>> await cube.chat.contacts.decline(88)
        """
        await self._present(user_id, "unsubscribed")

    def requests(self) -> EventStream[ContactRequest]:
        """Who asks for this user's consent: when it asks, and after each connect until it is answered.

        Source: RFC 6121 §3.1.3.

        Example:
            >>> async for request in cube.chat.contacts.requests():
            ...     await cube.chat.contacts.accept(request.user_id)
        """
        return self._requests.open()

    def on_request(self, fn: Callable[[ContactRequest], Any]) -> Unsubscribe:
        """Calls ``fn`` with requests, as ``requests()``.

        Example:
            >>> stop = cube.chat.contacts.on_request(lambda request: print(request.user_id))
        """
        return self._requests.subscribe(fn)

    # What happens

    def presences(self) -> EventStream[PresenceEvent]:
        """Which contacts are available: soon after connecting, and whenever that changes.

        A contact with several sessions is available until the last one ends; ``show`` and ``status`` are those of the
        session that was last heard of. When a new session of this user begins, all are unavailable first.

        Source: RFC 6121 §4.

        Example:
            >>> async for event in cube.chat.contacts.presences():
            ...     print(event.user_id, "is here" if event.available else "is away")
        """
        return self._presences.open()

    def on_presence(self, fn: Callable[[PresenceEvent], Any]) -> Unsubscribe:
        """Calls ``fn`` with what contacts are, as ``presences()``.

        Example:
            >>> stop = cube.chat.contacts.on_presence(lambda event: print(event.user_id, event.available))
        """
        return self._presences.subscribe(fn)

    def changes(self) -> EventStream[ContactChange]:
        """What changes in the list after ``list()``, whoever has done it.

        Source: RFC 6121 §2.1.6.

        Example:
            >>> async for change in cube.chat.contacts.changes():
            ...     print(change.user_id, "is gone" if change.contact is None else change.contact.subscription)
        """
        return self._changes.open()

    def on_changed(self, fn: Callable[[ContactChange], Any]) -> Unsubscribe:
        """Calls ``fn`` with changes of the list, as ``changes()``.

        Example:
            >>> stop = cube.chat.contacts.on_changed(lambda change: print(change.user_id))
        """
        return self._changes.subscribe(fn)

    # Inside

    def _jid(self, user_id: int) -> str:
        return user_jid(int(user_id), self._app_id, self._domain)

    async def _fetch(self, connection: Connection) -> dict[int, Contact]:
        answer = await connection.request(iq("get", "", Element("query", {"xmlns": ns.ROSTER})), self._timeout)
        query = answer.find("query", ns.ROSTER)
        items = () if query is None else roster.decode(query)
        return {user_id: _contact(user_id, item) for item in items if (user_id := wire.user(item.jid))}

    async def _set(self, item: RosterItem) -> None:
        request = iq("set", "", roster.encode([item]))
        await self._life.connection.request(request, self._timeout)

    async def _present(self, user_id: int, kind: str) -> None:
        """Sends a subscription stanza and returns when the server has handled it."""
        stanza_id, target = new_message_id(), wire.user_target(int(user_id), self._app_id, self._domain)
        stanza = wire.encode(Element("presence", {"id": stanza_id, "type": kind, "to": target.jid}))
        await self._outbox.confirmed(stanza, stanza_id, target, lambda: self._sends.start_change(stanza_id, stanza_id))

    def _receive(self, stanza: Element) -> None:
        """Takes a presence, or a change of the list."""
        if stanza.name == "iq":
            query = stanza.find("query", ns.ROSTER)
            for item in () if query is None else roster.decode(query):
                user_id = wire.user(item.jid)
                self._change(user_id, None if item.subscription == "remove" else _contact(user_id, item))
            return
        user_id, dialog_id = wire.occupant(stanza.get("from") or "")
        if dialog_id is not None or not user_id:
            return
        kind = stanza.get("type")
        if kind == "error":
            error = wire.stanza_error(stanza)
            self._sends.refuse(error.stanza_id or "", error)
        elif user_id == self._life.user_id:
            return
        elif kind == "subscribe":
            self._requests.emit(ContactRequest(user_id, _text(stanza, "status")))
        elif kind in (None, "unavailable"):
            self._present_is(stanza, user_id, available=kind is None)

    def _present_is(self, stanza: Element, user_id: int, *, available: bool) -> None:
        sessions = self._sessions.setdefault(user_id, {})
        known = sessions.pop(stanza.get("from") or "", None)
        event = PresenceEvent(user_id, available, _text(stanza, "show"), _text(stanza, "status"))
        if available:
            sessions[stanza.get("from") or ""] = event
        elif sessions:
            event = next(reversed(sessions.values()))
        else:
            del self._sessions[user_id]
        if available or known is not None:
            self._presences.emit(event)

    def _change(self, user_id: int, contact: Contact | None) -> None:
        if self._known is None or not user_id or self._known.get(user_id) == contact:
            return
        if contact is None:
            del self._known[user_id]
        else:
            self._known[user_id] = contact
        self._changes.emit(ContactChange(user_id, contact))

    def _logged_in(self) -> None:
        """A new session begins: what the last one was shown does not count any more."""
        gone, self._sessions = self._sessions, {}
        for user_id in gone:
            self._presences.emit(PresenceEvent(user_id, available=False))

    async def _renew(self, connection: Connection) -> None:
        """A new session is told of no changes yet, and some may have been missed (`lifecycle.Renewal`)."""
        if self._known is not None:
            now = await self._fetch(connection)
            for user_id in self._known.keys() | now.keys():
                self._change(user_id, now.get(user_id))

    def _forget(self) -> None:
        """Another user's contacts are not this one's."""
        self._known = None
        self._sessions.clear()

    def _end_listening(self) -> None:
        self._forget()
        for feed in (self._requests, self._presences, self._changes):
            feed.close()


def _text(stanza: Element, name: str) -> str | None:
    found = stanza.find(name)
    return (found.text if found is not None else "") or None


def _contact(user_id: int, item: RosterItem) -> Contact:
    return Contact(
        user_id,
        item.name or None,
        _SUBSCRIPTIONS.get(item.subscription, Subscription.NONE),
        item.ask == "subscribe",
        item.groups,
    )
