"""Relays iq stanzas and error messages between sessions, by full JID (RFC 6121 §8.5.3.1).

A request is delivered to a session of a standard client whose presence its sender may see, unless a privacy list is in
the way. In every other case the server answers with the same error, so that it does not tell whether there is such a
session. Sessions of official SDKs are left out at both ends: JavaScript takes any iq with a `query` for a last activity
(quirks A13). A reply reaches only a session that waits for it: many clients look at its id alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import msgspec

from voxcube.server.c2s.session import Session
from voxcube.server.core.privacy import IQ
from voxcube.server.delivery.router import Router
from voxcube.xmpp.jid import Jid, parse_user_local
from voxcube.xmpp.xml import Element, to_xml

MARK = b"i"
MAX_WAITING = 100  # requests of one session that are not answered yet
WAITING_SECONDS = 300.0  # after which an unanswered request makes place for another one
PATIENCE = 2.0  # seconds in which another node must have taken a request


class Kind(IntEnum):
    """What one node sends to another."""

    REQUEST = 0
    REPLY = 1
    ERROR = 2  # an error message
    TAKEN = 3  # the request was delivered


class _Word(msgspec.Struct, array_like=True):
    """A stanza (`head` + the receiver's address + `tail`) for a session that is not on the sender's node."""

    node: str
    kind: int
    app_id: int
    sender_id: int
    sender: str  # full JID
    to: str  # full JID
    key: str  # id of the iq
    head: bytes = b""
    tail: bytes = b""


@dataclass(slots=True)
class _Waiting:
    """A request that was relayed and is not answered."""

    since: float
    timer: asyncio.TimerHandle | None = None  # until another node has taken it


class Privacy(Protocol):
    """Privacy lists (`features.privacy.service`)."""

    async def allows(self, app_id: int, sender_id: int, user_id: int, kind: int = ..., *, origin: bytes = b"") -> bool:
        """Whether a stanza of one user may go to another."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Word).decode


class DirectStanzas:
    """Stanzas between the sessions of all nodes."""

    def __init__(
        self,
        router: Router,
        privacy: Privacy,
        *,
        bound: Callable[[str], Session | None],
        sees: Callable[[Session, int], bool],
        domain: str,
        name: str,
    ) -> None:
        """`bound(full JID)` finds a session of this node, `sees(session, user)` says whether a user is shown the
        session's presence. `name` is this run of this node's own."""
        self._router = router
        self._privacy = privacy
        self._bound = bound
        self._sees = sees
        self._domain = domain
        self._name = name
        self._waiting: dict[Session, dict[int, _Waiting]] = {}
        if not router.alone:
            router.on_word(MARK, self._heard)

    # -- from a session of this node -------------------------------------------------------------------------------

    async def request(self, session: Session, stanza: Element) -> None:
        """Delivers a get or set, or has the server answer it."""
        refuse = session.hub.dispatch.refuse
        to = self._user(session, stanza)
        if session.official_sdk or to is None:
            refuse(session, stanza, "service-unavailable")
            return
        user_id, full = to
        app_id, sender_id = session.app_id, session.user_id
        if not await self._privacy.allows(app_id, sender_id, user_id, IQ, origin=session.address):
            refuse(session, stanza, "service-unavailable")
            return
        if session.ended:
            return
        key = stanza.attrs["id"]
        waiting = self._place(session)
        if waiting is None:
            refuse(session, stanza, "resource-constraint", "Too many requests wait for an answer")
            return
        head, tail = _encoded(session, stanza)
        number = hash((full, key))  # not the text, which may be long
        target = self._reachable(full, app_id, sender_id, head)
        if target is not None:
            waiting[number] = _Waiting(_now())
            target.deliver(head, tail, "", 0)
        elif self._router.alone:
            refuse(session, stanza, "service-unavailable")
        else:
            timer = asyncio.get_running_loop().call_later(PATIENCE, self._not_taken, session, stanza, number)
            waiting[number] = _Waiting(_now(), timer)
            self._say(user_id, _Word(self._name, Kind.REQUEST, app_id, sender_id, session.full, full, key, head, tail))

    def reply(self, session: Session, stanza: Element) -> None:
        """Delivers a result or error iq to the session that waits for it; all others are dropped."""
        self._send(session, stanza, Kind.REPLY)

    def error(self, session: Session, stanza: Element) -> None:
        """Delivers an error message to a session that its sender may reach; it is never answered (RFC 6120 §8.3.1)."""
        self._send(session, stanza, Kind.ERROR)

    def gone(self, session: Session) -> None:
        """The session has ended."""
        for waiting in self._waiting.pop(session, {}).values():
            if waiting.timer is not None:
                waiting.timer.cancel()

    def _send(self, session: Session, stanza: Element, kind: Kind) -> None:
        to = self._user(session, stanza)
        if to is None or session.official_sdk:
            return
        user_id, full = to
        head, tail = _encoded(session, stanza)
        word = _Word(
            *(self._name, kind, session.app_id, session.user_id, session.full, full),
            *(stanza.attrs.get("id", ""), head, tail),
        )
        if self._bound(full) is not None:
            self._deliver(word)
        elif not self._router.alone:
            self._say(user_id, word)

    def _user(self, session: Session, stanza: Element) -> tuple[int, str] | None:
        """The user and the full JID that a stanza is for; None for what cannot be a session of this application."""
        try:
            jid = Jid.parse(stanza.attrs.get("to", ""))
        except ValueError:
            return None
        user = parse_user_local(jid.local)
        if user is None or jid.domain != self._domain or user[1] != session.app_id or not jid.resource:
            return None
        return user[0], jid.full

    def _place(self, session: Session) -> dict[int, _Waiting] | None:
        """Where a further request of a session is noted; None when too many are."""
        waiting = self._waiting.setdefault(session, {})
        if len(waiting) >= MAX_WAITING:
            old = _now() - WAITING_SECONDS
            for number in [number for number, request in waiting.items() if request.since < old]:
                del waiting[number]
        return waiting if len(waiting) < MAX_WAITING else None

    def _not_taken(self, session: Session, stanza: Element, number: int) -> None:
        if self._waiting.get(session, {}).pop(number, None) is not None:
            session.hub.dispatch.refuse(session, stanza, "service-unavailable")

    # -- to a session of this node ---------------------------------------------------------------------------------

    def _reachable(self, full: str, app_id: int, sender_id: int, head: bytes) -> Session | None:
        target = self._bound(full)
        if (
            target is None
            or target.app_id != app_id
            or target.presence is None
            or target.official_sdk
            or target.detached
            or not (target.user_id == sender_id or self._sees(target, sender_id))
            or not (target.screen is None or target.screen.passes(head))
        ):
            return None
        return target

    def _deliver(self, word: _Word) -> bool:
        """Whether the stanza was written to a session of this node."""
        if word.kind == Kind.REPLY:
            asker = self._bound(word.to)
            if asker is None or self._take(asker, word) is None:
                return False
            asker.deliver(word.head, word.tail, "", 0)
            return True
        target = self._reachable(word.to, word.app_id, word.sender_id, word.head)
        if target is None:
            return False
        target.deliver(word.head, word.tail, "", 0)
        return True

    def _take(self, asker: Session, word: _Word) -> _Waiting | None:
        """The request that a reply is for, which waits no more."""
        waiting = self._waiting.get(asker, {}).pop(hash((word.sender, word.key)), None)
        if waiting is not None and waiting.timer is not None:
            waiting.timer.cancel()
        return waiting

    # -- between nodes ---------------------------------------------------------------------------------------------

    def _say(self, user_id: int, word: _Word) -> None:
        self._router.say_to_user(MARK, user_id, _encode(word))

    def _heard(self, payload: bytes) -> None:
        word = _decode(payload)
        if word.node == self._name:
            return
        if word.kind == Kind.TAKEN:
            asker = self._bound(word.to)
            waiting = None if asker is None else self._waiting.get(asker, {}).get(hash((word.sender, word.key)))
            if waiting is not None and waiting.timer is not None:
                waiting.timer.cancel()
                waiting.timer = None
        elif self._deliver(word) and word.kind == Kind.REQUEST:
            taken = _Word(self._name, Kind.TAKEN, word.app_id, 0, word.to, word.sender, word.key)
            self._say(word.sender_id, taken)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _encoded(session: Session, stanza: Element) -> tuple[bytes, bytes]:
    """The stanza as it is, before and after the receiver's address."""
    attrs = {key: value for key, value in stanza.attrs.items() if key in ("type", "id")}
    envelope = to_xml(Element(stanza.name, attrs, stanza.elements()))
    head = f'<{stanza.name} xmlns="jabber:client" from="'.encode() + session.address + b'" to="'
    return head, ('" ' + envelope.removeprefix(f"<{stanza.name} ")).encode()
