"""Who is shown the presence of this node's sessions, and whose these are shown (RFC 6121 §4).

A session remembers whom it was shown to, so that whoever may not see it any more is told that it is gone. Between nodes
presence goes as words to the receiver's node, which remembers from where each came: it ends with its node.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, Protocol

import msgspec

from voxcube.server.c2s.session import Session
from voxcube.server.core.contacts import ContactFacts
from voxcube.server.core.errors import Invalid
from voxcube.server.core.privacy import PRESENCE_OUT, Rules
from voxcube.server.delivery.router import Router
from voxcube.server.features.presence.encode import UNAVAILABLE, from_address, presence_of
from voxcube.xmpp.xml import Element

log = logging.getLogger(__name__)

SHOWN, PROBE = b"s", b"?"
MAX_DIRECTED = 500  # users beside the contacts that one session shows itself to
LATE = 10.0  # seconds that a word may be under way
AGAIN = 1.0  # seconds until what could not be read is read again


class Facts(Protocol):
    """The cache of hot facts (`storage.cache.Cache`)."""

    def peek_contacts(self, app_id: int, user_id: int) -> Any: ...
    def peek_privacy(self, app_id: int, user_id: int) -> Any: ...
    async def contacts(self, app_id: int, user_id: int) -> ContactFacts: ...
    async def privacy(self, app_id: int, user_id: int) -> Rules | None: ...


class _Shown(msgspec.Struct, array_like=True):
    """The presence of a session, for a user's sessions or, as the answer to a probe, one of them (`to_address`)."""

    node: str
    number: int  # rising, for words may overtake each other
    app_id: int
    to_user: int
    to_address: bytes
    address: bytes
    here: bool
    head: bytes
    tail: bytes


class _Probe(msgspec.Struct, array_like=True):
    """A session asks for the presence of the sessions of a user."""

    of_user: int
    user_id: int
    address: bytes


class _Last(NamedTuple):
    """What was last heard of a session elsewhere."""

    node: str
    number: int
    here: bool


class _Seen:
    """Whom a session was shown to: its user's followers, and others that it has chosen itself (RFC 6121 §4.6)."""

    __slots__ = ("chosen", "followers")

    def __init__(self) -> None:
        self.followers: frozenset[int] = frozenset()
        self.chosen: set[int] = set()

    def by(self, user_id: int) -> bool:
        return user_id in self.followers or user_id in self.chosen


_encode = msgspec.msgpack.Encoder().encode
_decode_shown = msgspec.msgpack.Decoder(_Shown).decode
_decode_probe = msgspec.msgpack.Decoder(_Probe).decode


class Showing:
    """Presence between users."""

    def __init__(
        self,
        router: Router,
        facts: Facts,
        *,
        active: Callable[[bytes], Rules | None],
        requests: Callable[[Session], Awaitable[None]],
        alive: Callable[[str], None],
        domain: str,
        name: str,
    ) -> None:
        """`active(address)` is the active privacy list of a session. `requests(session)` gives a session that has come
        the requests that wait for its user. `alive(node)` is told who has said something. `name` is this run of this
        node's own."""
        self._router = router
        self._facts = facts
        self._active = active
        self._requests = requests
        self._alive = alive
        self._domain = domain
        self._name = name
        self._seen: dict[int, dict[Session, _Seen]] = {}  # by the user of the session
        self._from: dict[int, dict[bytes, _Last]] = {}  # user here → sessions elsewhere that it was shown
        self._numbers = itertools.count(1)
        self._doubtful: dict[tuple[int, int], bool] = {}  # users → whether their contacts are asked again, too
        self._task: asyncio.Task[None] | None = None
        if not router.alone:
            router.on_word(SHOWN, self._heard)
            router.on_word(PROBE, self._probed)

    # -- sessions of this node -------------------------------------------------------------------------------------

    async def available(self, session: Session, *, first: bool) -> None:
        """The session has become available, or says something new about it."""
        contacts = await self._show(session, again=True)
        if first and session.presence is not None:
            self._probe(session, contacts)
            if contacts.asking:
                await self._requests(session)

    def gone(self, session: Session, stanza: Element) -> None:
        """The session is unavailable or has ended; `stanza` says so."""
        sessions = self._seen.get(session.user_id)
        seen = None if sessions is None else sessions.pop(session, None)
        if sessions is not None and not sessions:
            del self._seen[session.user_id]
        if not self._router.sessions.of(session.user_id):
            self._from.pop(session.user_id, None)
        if seen is not None and not session.hub.stopping:  # who is told of the node needs not be told of each session
            self._say(session, seen.followers | seen.chosen, stanza)

    def sees(self, session: Session, user_id: int) -> bool:
        """Whether a user is shown the presence of a session of this node."""
        seen = self._seen.get(session.user_id, {}).get(session)
        return seen is not None and seen.by(user_id)

    async def direct(self, session: Session, user_id: int, stanza: Element) -> None:
        """Presence to a user of the session's own choice (RFC 6121 §4.6), which ends with that of the session; without
        one of its own there is nothing to show. Raises Invalid (to too many)."""
        if stanza.attrs.get("type") == UNAVAILABLE:
            seen = self._seen.get(session.user_id, {}).get(session)
            if seen is not None:
                seen.chosen.discard(user_id)
            self._say(session, (user_id,), stanza)
            return
        _, default = await self._current(session)
        if session.presence is not None and self._allowed(session, default, frozenset((user_id,))):
            chosen = self._seen_of(session).chosen
            if user_id not in chosen and len(chosen) >= MAX_DIRECTED:
                raise Invalid(f"Presence to at most {MAX_DIRECTED} users")
            chosen.add(user_id)
            self._say(session, (user_id,), stanza)

    def _seen_of(self, session: Session) -> _Seen:
        return self._seen.setdefault(session.user_id, {}).setdefault(session, _Seen())

    async def _current(self, session: Session) -> tuple[ContactFacts, Rules | None]:
        """The contacts and the default list of a session's user as they are now: a read that was overtaken by a change
        is done again, or what it says would undo what the change has led to."""
        user = (session.app_id, session.user_id)
        while True:
            await self._facts.privacy(*user)
            await self._facts.contacts(*user)
            contacts, rules = self._facts.peek_contacts(*user), self._facts.peek_privacy(*user)
            if isinstance(contacts, ContactFacts) and (rules is None or isinstance(rules, Rules)):
                return contacts, rules

    def _allowed(self, session: Session, default: Rules | None, users: frozenset[int]) -> frozenset[int]:
        """Those to whom the privacy lists of the session's user let its presence go."""
        rules = self._active(session.address) or default
        if rules is None:
            return users
        app_id, domain = session.app_id, self._domain
        return frozenset(user for user in users if rules.allows((f"{user}-{app_id}", domain, ""), PRESENCE_OUT))

    async def _show(self, session: Session, *, again: bool) -> ContactFacts:
        """Shows a session to those who may see it now: to all of them `again`, or to those who did not so far."""
        contacts, default = await self._current(session)
        followers = self._allowed(session, default, contacts.followers)
        before = self._seen.get(session.user_id, {}).get(session)
        if session.presence is not None and (followers or before is not None):
            seen = self._seen_of(session)
            lost = seen.followers - followers - seen.chosen
            new = followers if again else followers - seen.followers
            seen.followers = followers
            self._say(session, new, session.presence)
            self._say(session, lost, Element("presence", {"type": UNAVAILABLE}))
        return contacts

    def _probe(self, session: Session, contacts: ContactFacts) -> None:
        """The session is shown its contacts' sessions (RFC 6121 §4.3)."""
        for user_id in contacts.following:
            self._answer(user_id, session.user_id, lambda other, stanza: session.deliver(*stanza, "", 0))
            if not self._router.alone:
                word = _Probe(user_id, session.user_id, session.address)
                self._router.say_to_user(PROBE, user_id, _encode(word))

    def _answer(self, user_id: int, to_user: int, answer: Callable[[Session, tuple[bytes, bytes]], None]) -> None:
        """Gives the sessions of a user that another may see."""
        for other, seen in list(self._seen.get(user_id, {}).items()):
            if other.presence is not None and seen.by(to_user):
                answer(other, presence_of(other, other.presence))

    # -- from and to other nodes -----------------------------------------------------------------------------------

    def _say(self, session: Session, users: Iterable[int], stanza: Element) -> None:
        """Shows a stanza of a session to the sessions of users, wherever they are."""
        head, tail = presence_of(session, stanza)
        here = stanza.attrs.get("type") != UNAVAILABLE
        for user_id in users:
            number = next(self._numbers)
            word = _Shown(self._name, number, session.app_id, user_id, b"", session.address, here, head, tail)
            self._deliver(word)
            if not self._router.alone:
                self._router.say_to_user(SHOWN, user_id, _encode(word))

    def _deliver(self, word: _Shown) -> bool:
        """Whether the user has a session here."""
        found = False
        for target in list(self._router.sessions.of(word.to_user)):
            if target.app_id == word.app_id and word.to_address in (b"", target.address):
                found = True
                target.deliver(word.head, word.tail, "", 0)
        return found

    def _heard(self, payload: bytes) -> None:
        word = _decode_shown(payload)
        self._alive(word.node)
        known = self._from.get(word.to_user, {}).get(word.address)
        if (known is None or known.number < word.number) and self._deliver(word):
            last = _Last(word.node, word.number, word.here)
            self._from.setdefault(word.to_user, {})[word.address] = last
            if not word.here:
                asyncio.get_running_loop().call_later(LATE, self._forget, word.to_user, word.address, last)

    def _forget(self, user_id: int, address: bytes, last: _Last) -> None:
        """No word about a session that is gone is on its way any more."""
        shown = self._from.get(user_id, {})
        if shown.get(address) == last:
            del shown[address]

    def _probed(self, payload: bytes) -> None:
        probe = _decode_probe(payload)

        def answer(other: Session, stanza: tuple[bytes, bytes]) -> None:
            head, tail = stanza
            number = next(self._numbers)
            word = _Shown(
                self._name, number, other.app_id, probe.user_id, probe.address, other.address, True, head, tail
            )
            self._router.say_to_user(SHOWN, probe.user_id, _encode(word))

        self._answer(probe.of_user, probe.user_id, answer)

    def node(self, name: str, lives: bool) -> None:
        """Another node is silent, or is heard again."""
        if lives:
            self.doubt()
        else:
            self._ended(name)

    def _ended(self, node: str) -> None:
        """Another node has stopped or died, and its sessions with it."""
        gone = Element("presence", {"type": UNAVAILABLE})
        for user_id, shown in self._from.items():
            for address in [address for address, last in shown.items() if last.node == node and last.here]:
                del shown[address]
                for target in list(self._router.sessions.of(user_id)):
                    target.deliver(*from_address(address, gone), "", 0)

    # -- changes ---------------------------------------------------------------------------------------------------

    def changed(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """What is forgotten on all nodes: contacts and privacy lists of users; and nodes that stop."""
        for key in keys:
            if key[0] in ("contacts", "privacy"):
                self._look(key[1], key[2], ask=False)
            elif key[0] == "stopped":
                self._ended(key[1])

    def doubt(self) -> None:
        """Words of other nodes may have been missed."""
        for user_id, targets in self._router.sessions.by_user.items():
            self._look(targets[0].app_id, user_id, ask=True)

    def _look(self, app_id: int, user_id: int, *, ask: bool) -> None:
        if self._router.sessions.of(user_id) or user_id in self._seen:
            self._doubtful[app_id, user_id] = ask or self._doubtful.get((app_id, user_id), False)
            if self._task is None:
                self._task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        while self._doubtful:
            (app_id, user_id), ask = self._doubtful.popitem()
            try:
                await self._renew(user_id, ask=ask)
            except Exception as error:  # the database is away
                log.warning("contacts could not be read: %s", type(error).__name__)
                self._look(app_id, user_id, ask=ask)
                await asyncio.sleep(AGAIN)
        self._task = None

    async def _renew(self, user_id: int, *, ask: bool) -> None:
        """Shows the sessions of a user to who may see them now."""
        for session in {*self._router.sessions.of(user_id), *self._seen.get(user_id, ())}:
            if isinstance(session, Session):
                contacts = await self._show(session, again=ask)
                if ask and session.presence is not None:
                    self._probe(session, contacts)

    async def close(self) -> None:
        """The node stops."""
        self._router.tell_forgotten((("stopped", self._name),))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
