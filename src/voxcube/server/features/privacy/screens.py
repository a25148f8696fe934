"""What a session is shown of what comes for its user: a look at the sender before a stanza is written to it.

Sending refuses what the recipient's default list denies. Everything else that a list keeps out is kept out here, where
it would be shown: group messages, typing, markers, reactions, on whatever node they were made. Only sessions of users
with a list have a screen; the others pay for one comparison.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import Any, Protocol
from xml.sax.saxutils import unescape

from voxcube.server.core.errors import NotFound
from voxcube.server.core.privacy import IQ, MESSAGE, PRESENCE_IN, Address, Rules
from voxcube.server.delivery import sessions as delivery
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.features.privacy.service import PrivacyFacts
from voxcube.server.storage.cache import MISSING
from voxcube.server.storage.privacy import PrivacyStore

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds until a list that could not be read is read again
REMEMBERED = 4096  # senders of one session
_KINDS = {b"<m": MESSAGE, b"<i": IQ, b"<p": PRESENCE_IN}


class Screen:
    """Passes or keeps back stanzas for one session, by what comes before the receiver's address."""

    __slots__ = ("_own", "_rooms", "_rules", "_seen", "active")

    def __init__(self, rules: Rules, own: Address, *, active: bool) -> None:
        """`own` is the bare address of the session's user. `active`: the list is this session's only."""
        self._rules = rules
        self._own = own
        self._rooms = f"muc.{own.domain}"
        self._seen: dict[tuple[bytes, bytes], bool] = {}
        self.active = active

    def passes(self, head: bytes) -> bool:
        """Whether the session shall have a stanza that begins like this, up to the receiver's address."""
        start = head.find(b' from="') + 7
        key = (head[:2], head[start : head.find(b'"', start)])
        known = self._seen.get(key)
        if known is None:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            sender = Address.parse(unescape(key[1].decode(), {"&quot;": '"'}))
            known = self._seen[key] = self._is_own(sender) or self._rules.allows(sender, _KINDS.get(key[0], MESSAGE))
        return known

    def _is_own(self, sender: Address) -> bool:
        """The user's own sessions and own words in groups; the server itself has no list that stops it."""
        own = self._own
        if sender.domain == own.domain:
            return sender.local in ("", own.local)
        return sender.domain == self._rooms and f"{sender.resource}-" == own.local[: len(sender.resource) + 1]


class Screened(Protocol):
    """A session, as far as screens know it."""

    app_id: int
    user_id: int
    address: bytes
    bare: str
    screen: delivery.Screen | None


class Screens:
    """The screens of this node's sessions, and the active lists they are made from."""

    def __init__(self, facts: PrivacyFacts, store: PrivacyStore, sessions: Sessions) -> None:
        self._facts = facts
        self._store = store
        self._sessions = sessions
        self._active: dict[bytes, tuple[str, Rules, Screened]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def active(self, origin: bytes) -> Rules | None:
        """The active list of the session with this address."""
        found = self._active.get(origin) if self._active else None
        return None if found is None else found[1]

    def active_name(self, session: Screened) -> str | None:
        """The name of a session's active list."""
        found = self._active.get(session.address)
        return None if found is None else found[0]

    async def came(self, session: Screened) -> None:
        """The session is about to become available."""
        self._put_up(session, await self._default(session.app_id, session.user_id))

    def gone(self, session: Screened) -> None:
        """The session has ended, and with it what it had chosen (XEP-0016 §2.4)."""
        found = self._active.get(session.address)
        if found is not None and found[2] is session:
            del self._active[session.address]

    async def activate(self, session: Screened, name: str | None) -> None:
        """Puts a list in the place of the default one for a session, or none. Raises NotFound."""
        if name is None:
            self.gone(session)
        else:
            items = await self._store.items(session.app_id, session.user_id, name)
            if items is None:
                raise NotFound("There is no such list")
            self._active[session.address] = (name, Rules(items), session)
        self._put_up(session, await self._default(session.app_id, session.user_id))

    # -- changes ---------------------------------------------------------------------------------------------------

    def changed(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """What is forgotten on all nodes: ("privacy", app, user) says that a user's lists have changed."""
        for key in keys:
            if key[0] == "privacy" and (self._sessions.of(key[2]) or self._active):
                self._start(self._renew([(key[1], key[2])]))

    def doubt(self) -> None:
        """Words of other nodes may have been missed."""
        self._start(self._renew_all())

    async def renew(self, app_id: int, user_id: int) -> None:
        """Applies the lists of a user as they are now."""
        for found in [found for found in self._active.values() if found[2].user_id == user_id]:
            name, _, session = found
            items = await self._store.items(app_id, user_id, name)
            if self._active.get(session.address) is found:
                if items is None:
                    del self._active[session.address]
                else:
                    self._active[session.address] = (name, Rules(items), session)
        rules = await self._default(app_id, user_id)
        for target in self._sessions.of(user_id):
            if target.app_id == app_id:
                self._put_up(target, rules)  # type: ignore[arg-type]  # every target of this node is a session

    async def _renew(self, users: Collection[tuple[int, int]]) -> None:
        for app_id, user_id in users:
            while True:
                try:
                    await self.renew(app_id, user_id)
                    break
                except Exception as error:  # the database is away
                    log.warning("a privacy list could not be read: %s", type(error).__name__)
                    await asyncio.sleep(AGAIN)

    async def _renew_all(self) -> None:
        screened = {
            (target.app_id, user_id)
            for user_id, targets in list(self._sessions.by_user.items())
            for target in targets
            if target.screen is not None
        }
        while True:
            try:
                listed = await self._store.users_with_default(list(self._sessions.by_user))
                break
            except Exception as error:  # the database is away
                log.warning("privacy lists could not be read: %s", type(error).__name__)
                await asyncio.sleep(AGAIN)
        await self._renew(screened | set(listed))

    async def _default(self, app_id: int, user_id: int) -> Rules | None:
        """The default list as it is now: a read that was overtaken by a change is done again."""
        while True:
            await self._facts.privacy(app_id, user_id)
            found = self._facts.peek_privacy(app_id, user_id)
            if found is not MISSING:
                return found  # type: ignore[no-any-return]

    def _put_up(self, session: Screened, default: Rules | None) -> None:
        active = self.active(session.address)
        rules = default if active is None else active
        own = Address.parse(session.bare)
        session.screen = None if rules is None else Screen(rules, own, active=active is not None)

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
