"""Finds the handler of a stanza in tables made from the features, and makes every reply and error reply."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from voxcube.server.c2s.errors import condition_of, is_outage
from voxcube.server.c2s.feature import Direct, Feature, IqHandler, MessageHandler, PresenceHandler
from voxcube.server.core.errors import DomainError
from voxcube.xmpp.payloads import presence
from voxcube.xmpp.sm import Ticket
from voxcube.xmpp.stanza import error_reply, iq_result
from voxcube.xmpp.xml import Element, serialize

if TYPE_CHECKING:
    from voxcube.server.c2s.session import Session

log = logging.getLogger(__name__)

NORMAL = "normal"  # type of messages

# Never answered, RFC 6120 §8.1 and §8.3.1.
_SILENT = frozenset({"error", "result"})


class Dispatch:
    """The tables of all features."""

    def __init__(self, domain: str, features: Iterable[Feature], direct: Direct | None = None) -> None:
        self._domain = domain
        self._rooms = f"muc.{domain}"
        self._iq: dict[tuple[str, str, str], IqHandler] = {}
        self._room_iq: dict[tuple[str, str, str], IqHandler] = {}
        self._user_iq: dict[tuple[str, str, str], IqHandler] = {}
        self._account_iq: dict[tuple[str, str, str], IqHandler] = {}
        self._session_iq: dict[tuple[str, str, str], IqHandler] = {}
        self._direct = direct
        self._messages: dict[str, MessageHandler] = {}
        self._presence: dict[str, PresenceHandler] = {}
        self._room_presence: dict[str, PresenceHandler] = {}
        self._user_presence: dict[str, PresenceHandler] = {}
        for feature in features:
            tables: tuple[tuple[dict[Any, Any], Mapping[Any, Any]], ...] = (
                (self._iq, feature.iq),
                (self._room_iq, feature.room_iq),
                (self._user_iq, feature.user_iq),
                (self._account_iq, feature.account_iq),
                (self._session_iq, feature.session_iq),
                (self._messages, feature.messages),
                (self._presence, feature.presence),
                (self._room_presence, feature.room_presence),
                (self._user_presence, feature.user_presence),
            )
            for table, rows in tables:
                for key, handler in rows.items():
                    if key in table:
                        raise ValueError(f"two features handle {key}, one of them {feature.name}")
                    table[key] = handler

    def message(self, session: Session, stanza: Element, ticket: Ticket | None) -> Awaitable[Any] | None:
        """Handles a message; an awaitable must be finished before the session's next stanza."""
        attrs = stanza.attrs
        if not attrs.get("to"):
            attrs["to"] = session.bare  # RFC 6120 §10.3.1
        kind = attrs.get("type", NORMAL)
        if kind == "error":
            if self._direct is not None and "/" in attrs["to"]:
                self._direct.error(session, stanza)
            session.handled(ticket)
            return None
        # RFC 6121 §5.2.2: no type, and one that is not known, mean normal.
        handler = self._messages.get(kind) or self._messages[NORMAL]
        try:
            result = handler(session, stanza, ticket)
        except Exception as error:
            self.failed(session, stanza, ticket, error)
            return None
        if result is None:
            session.handled(ticket)
            return None
        if isinstance(result, Awaitable):
            return self._finish_message(session, stanza, ticket, result)
        return None

    async def _finish_message(
        self, session: Session, stanza: Element, ticket: Ticket | None, result: Awaitable[Any]
    ) -> None:
        try:
            if await result is None:
                session.handled(ticket)
        except Exception as error:
            self.failed(session, stanza, ticket, error)

    def iq(self, session: Session, stanza: Element, ticket: Ticket | None) -> Awaitable[None] | None:
        """Handles an iq; every get or set is answered (Flutter waits 60 s for it, realtime §3)."""
        kind = stanza.attrs.get("type", "")
        to = stanza.attrs.get("to")
        if kind in _SILENT:
            if self._direct is not None and to:
                self._direct.reply(session, stanza)
            session.handled(ticket)
            return None
        children = [child for child in stanza.children if isinstance(child, Element)]
        if kind not in ("get", "set") or len(children) != 1 or not stanza.attrs.get("id"):
            self.refuse(session, stanza, "bad-request")
            session.handled(ticket)
            return None
        child = children[0]
        key = (kind, child.xmlns, child.name)
        if to and self._direct is not None and key not in self._session_iq and self._is_other_session(session, to):
            return self._finish_message(session, stanza, ticket, self._direct.request(session, stanza))
        handler, from_ = self._iq_handler(session, key, to)
        if handler is None:
            self.refuse(session, stanza, "service-unavailable")
            session.handled(ticket)
            return None
        try:
            answer = handler(session, stanza)
        except Exception as error:
            self.failed(session, stanza, ticket, error)
            return None
        if isinstance(answer, Awaitable):
            return self._finish_iq(session, stanza, ticket, from_, answer)
        self._answer(session, stanza, from_, answer)
        session.handled(ticket)
        return None

    async def _finish_iq(
        self, session: Session, stanza: Element, ticket: Ticket | None, from_: str, answer: Awaitable[Element | None]
    ) -> None:
        try:
            self._answer(session, stanza, from_, await answer)
        except Exception as error:
            self.failed(session, stanza, ticket, error)
        else:
            session.handled(ticket)

    def _iq_handler(self, session: Session, key: tuple[str, str, str], to: str | None) -> tuple[IqHandler | None, str]:
        """The handler of a request and the sender of the reply: the address that was asked, by the name that it was
        called; a request without an address is one to the account (RFC 6120 §8.1.2.1, §10.3.3)."""
        if not to:
            account = None if session.official_sdk else self._account_iq.get(key)
            return account or self._iq.get(key), session.bare
        if self._is_room(to):
            return self._room_iq.get(key), to
        if key in self._session_iq and self._is_user(to):
            return self._session_iq[key], to
        if key in self._user_iq and self._is_user(to):
            return self._user_iq[key], to
        return (self._iq.get(key) if self._is_ours(session, to) else None), to

    def presence(self, session: Session, stanza: Element, ticket: Ticket | None) -> Awaitable[None] | None:
        """Handles a presence to the server, a room or a user; other addresses are passed over in silence."""
        kind = stanza.attrs.get("type", "")
        if kind not in presence.TYPES:
            self.refuse(session, stanza, "bad-request", "There is no such type of presence")
            session.handled(ticket)
            return None
        presence.correct(stanza)
        to = stanza.attrs.get("to")
        if not to or to.lower() == self._domain:
            handler = self._presence.get(kind)
        elif self._is_room(to):
            handler = self._room_presence.get(kind)
        else:
            handler = self._user_presence.get(kind) if self._is_user(to) else None
        if handler is None:
            session.handled(ticket)
            return None
        try:
            result = handler(session, stanza)
        except Exception as error:
            self.failed(session, stanza, ticket, error)
            return None
        if isinstance(result, Awaitable):
            return self._finish_message(session, stanza, ticket, result)
        session.handled(ticket)
        return None

    def failed(self, session: Session, stanza: Element, ticket: Ticket | None, error: Exception) -> None:
        """Answers a stanza that was refused, and counts it; an outage ends the stream and counts nothing."""
        if is_outage(error):
            log.warning("a stanza could not be handled: %s", type(error).__name__)
            session.refused(ticket)
        elif isinstance(error, DomainError):
            self.refuse(session, stanza, condition_of(error), error.text)
            session.handled(ticket)
        else:
            log.error("a stanza handler failed", exc_info=error)
            self.refuse(session, stanza, "internal-server-error")
            session.handled(ticket)

    def _is_ours(self, session: Session, to: str) -> bool:
        lowered = to.lower()
        return lowered == self._domain or lowered.partition("/")[0] == session.bare or lowered in session.hub.aliases

    def _is_other_session(self, session: Session, to: str) -> bool:
        """Whether it is the full JID of a user here, but not the session's own."""
        return to != session.full and "/" in to and self._is_user(to)

    def _is_user(self, to: str) -> bool:
        return to.partition("/")[0].lower().endswith(f"@{self._domain}")

    def _is_room(self, to: str) -> bool:
        """Whether it is the address of a room or in one, or that of the host of all rooms."""
        return to.partition("/")[0].rpartition("@")[2].lower() == self._rooms

    def _answer(self, session: Session, stanza: Element, from_: str, payload: Element | None) -> None:
        children = () if payload is None else (payload,)
        session.send(serialize(iq_result(stanza, *children, from_=from_)))

    def refuse(self, session: Session, stanza: Element, condition: str, text: str | None = None) -> None:
        """Answers a stanza with an error."""
        session.hub.counts.refused.add(condition)
        kind = stanza.attrs.get("type")
        if kind == "error" or (kind == "result" and stanza.name == "iq"):
            return
        from_ = stanza.attrs.get("to") or session.bare
        session.send(serialize(error_reply(stanza, condition, text, from_=from_)))
