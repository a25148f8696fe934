"""Initial presence, unavailable, and the request for a session (RFC 6121 §4, RFC 3921 §3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.delivery.router import CHAT, Parcel, Router
from voxcube.server.features.presence.encode import UNAVAILABLE, presence_of
from voxcube.xmpp import ns
from voxcube.xmpp.payloads import presence
from voxcube.xmpp.xml import Element

MARK = b"o"


class _Word(msgspec.Struct, array_like=True):
    """What a session that came says to its user's sessions on other nodes; with `head` and `tail`, their answer."""

    node: str
    user_id: int
    address: bytes  # of the session that came
    at: int  # ms
    head: bytes = b""
    tail: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Word).decode


class Others(Protocol):
    """The user's contacts, who are shown its sessions (`features.contacts.showing`)."""

    async def available(self, session: Session, *, first: bool) -> None:
        """The session has become available, or says something new about it."""

    def gone(self, session: Session, stanza: Element) -> None:
        """The session is unavailable or has ended; `stanza` says so."""


class Presence:
    """Availability of sessions."""

    def __init__(
        self,
        router: Router,
        late: Callable[[Session], Awaitable[None]],
        screen: Callable[[Session], Awaitable[None]],
        others: Others,
        written: Callable[[], Awaitable[None]],
        *,
        name: str,
        now_ms: Callable[[], int],
    ) -> None:
        """`late(session)` delivers what came for the user while no session was available (realtime §7.4);
        `screen(session)` lets the privacy list apply to a session that becomes available; `written()` waits until all
        nodes can read who is online here. `name` is this run of this node's own.
        """
        self._router = router
        self._name = name
        self._now_ms = now_ms
        self._came_at: dict[bytes, int] = {}  # address → ms, where there are other nodes
        if not router.alone:
            router.on_word(MARK, self._heard)
        self._late = late
        self._screen = screen
        self._others = others
        self._written = written

    async def available(self, session: Session, stanza: Element) -> None:
        """Makes the session a target of delivery; the first time it gets what came before."""
        first = session.presence is None
        session.presence = stanza
        target = presence.priority(stanza) >= 0
        if target and not session.available:
            await self._router.user_came(session.app_id, session.user_id)
            await self._screen(session)
            if session.ended:
                if not self._router.sessions.of(session.user_id):
                    self._router.user_went(session.user_id)  # it was not yet known when the session ended
                return
            # What arrives while the late messages are read waits behind them: one order for the receiver.
            session.held = []
            session.available = True
            self._router.sessions.add(session)
            if not (self._router.alone or await self._is_seen(session)):
                return
        elif not target and session.available:
            session.available = False
            self._router.sessions.remove(session)
        self._tell_own(session, stanza)
        if first:
            self._show_others(session)
            self._tell_other_nodes(session)
        await self._others.available(session, first=first)
        if session.held is not None:
            await self._late(session)

    async def _is_seen(self, session: Session) -> bool:
        """Waits until other nodes can read that the user is online; whether the session is still there."""
        await self._written()
        return not session.ended

    def unavailable(self, session: Session, stanza: Element) -> None:
        """The session stays connected but is no target any more (RFC 6121 §4.5)."""
        if session.presence is not None:
            self.gone(session, stanza)

    def gone(self, session: Session, stanza: Element | None = None) -> None:
        """The session is unavailable or has ended."""
        if session.available:
            session.available = False
            self._router.sessions.remove(session)
        self._came_at.pop(session.address, None)
        if session.presence is not None:
            session.presence = None
            said = stanza or Element("presence", {"type": UNAVAILABLE})
            self._tell_own(session, said)
            self._others.gone(session, said)

    def _tell_own(self, session: Session, stanza: Element) -> None:
        """RFC 6121 §4.2.2: the account's own available sessions see it, the sender included."""
        self._router.send(Parcel(CHAT, session.app_id, session.user_id, "", 0, *presence_of(session, stanza)))

    def _show_others(self, session: Session) -> None:
        """A session that becomes available learns of the account's other ones (RFC 6121 §4.2.2)."""
        for other in self._router.sessions.of(session.user_id):
            if isinstance(other, Session) and other is not session and other.presence is not None:
                session.deliver(*presence_of(other, other.presence), "", 0)

    # -- the user's sessions on other nodes ----------------------------------------------------------------------------

    def _tell_other_nodes(self, session: Session) -> None:
        """They answer with their presence, and one of the same name ends. A lost word is no great harm."""
        if not self._router.alone:
            at = self._came_at[session.address] = self._now_ms()
            word = _Word(self._name, session.user_id, session.address, at)
            self._router.say_to_user(MARK, session.user_id, _encode(word))

    def _heard(self, payload: bytes) -> None:
        word = _decode(payload)
        for session in list(self._router.sessions.of(word.user_id)):
            if not isinstance(session, Session):
                continue
            if session.address != word.address:
                if not word.head and session.presence is not None:
                    answer = _Word(self._name, word.user_id, word.address, 0, *presence_of(session, session.presence))
                    self._router.say_to_user(MARK, word.user_id, _encode(answer))
            elif word.head:
                session.deliver(word.head, word.tail, "", 0)
            elif (self._came_at.get(session.address, 0), self._name) < (word.at, word.node):
                session.fail("conflict")  # the newer one stays (realtime §2.4)


def _session_request(session: Session, stanza: Element) -> None:
    """RFC 3921 §3: a no-op, but Flutter becomes ready only after the result (quirks A5)."""


def feature(presence: Presence) -> Feature:
    return Feature(
        "presence",
        iq={("set", ns.SESSION, "session"): _session_request},
        presence={"": presence.available, "unavailable": presence.unavailable},
    )
