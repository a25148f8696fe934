"""The rules of contact lists and of subscriptions to presence (RFC 6121 §2 and §3).

Both users of a subscription have their accounts here, so both entries change in one transaction, by the tables of
`core/contacts.py`. Sessions are told afterwards: of the act itself here, of the entries by the words that say what has
changed (`pushes.py`), on all nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from voxcube.server.core.contacts import (
    ASKING,
    FROM,
    INBOUND,
    OUTBOUND,
    SUBSCRIBE,
    SUBSCRIBED,
    UNSUBSCRIBE,
    UNSUBSCRIBED,
    Contact,
    forgotten,
)
from voxcube.server.core.errors import BadRequest, Blocked, Invalid, NotFound
from voxcube.server.core.privacy import PRESENCE_IN
from voxcube.server.features.apps.service import Transactions
from voxcube.server.features.privacy.service import PrivacyService
from voxcube.server.storage import contacts
from voxcube.server.storage.cache import Key
from voxcube.server.storage.contacts import ContactStore
from voxcube.server.storage.database import Tx

MAX_CONTACTS = 1000  # of one user
MAX_REQUESTS = 1000  # of others that wait for one user
MAX_NAME = 255  # characters, of a contact or a group
MAX_GROUPS = 50  # of one contact
MAX_REQUEST = 4096  # characters of XML that come with a request


class Act(NamedTuple):
    """What sessions of `user_id` are told that `contact_id` has done; `inner` is the XML that came with it."""

    kind: str
    contact_id: int
    user_id: int
    inner: str = ""


class Telling(Protocol):
    """Tells the sessions of a user (`encode.py`)."""

    def tell(self, app_id: int, act: Act) -> None: ...


class Facts(Protocol):
    """The cache of hot facts (`storage.cache.Cache`)."""

    def forget(self, *keys: Key) -> None: ...


class ContactService:
    """Contact lists of all users."""

    def __init__(
        self,
        *,
        store: ContactStore,
        facts: Facts,
        privacy: PrivacyService,
        transactions: Transactions,
        telling: Telling,
    ) -> None:
        self._store = store
        self._facts = facts
        self._privacy = privacy
        self._transactions = transactions
        self._telling = telling

    async def all(self, app_id: int, user_id: int) -> list[Contact]:
        """The contacts of a user."""
        return [contact for contact in await self._store.all(app_id, user_id) if contact.listed]

    async def one(self, app_id: int, user_id: int, contact_id: int) -> Contact | None:
        """One contact of a user."""
        found = await self._store.one(app_id, user_id, contact_id)
        return found if found is not None and found.listed else None

    async def requests(self, app_id: int, user_id: int) -> list[Act]:
        """The requests that wait for the user's answer."""
        return [
            Act(SUBSCRIBE, contact.user_id, user_id, contact.request or "")
            for contact in await self._store.all(app_id, user_id)
            if contact.state & ASKING
        ]

    async def put(self, app_id: int, user_id: int, contact_id: int, name: str, groups: Sequence[str]) -> None:
        """Adds a contact, or gives it this name and these groups (RFC 6121 §2.3, §2.4).

        Raises BadRequest, Invalid (too long, too many), NotFound (no such user).
        """
        _check(user_id, contact_id, name, groups)

        async def run(tx: Tx) -> None:
            await self._lock(tx, app_id, user_id, contact_id)
            entry = await _entry(tx, app_id, user_id, contact_id)
            if not entry.listed:
                await _check_room(tx, app_id, user_id)
            await contacts.put(tx, app_id, user_id, replace(entry, name=name, groups=tuple(groups), listed=True))

        await self._transactions.run(run)
        self._facts.forget(*forgotten(app_id, {(user_id, contact_id)}))

    async def remove(self, app_id: int, user_id: int, contact_id: int) -> None:
        """Removes a contact, and with it the subscriptions in both directions (RFC 6121 §2.5). Raises NotFound."""

        async def run(tx: Tx) -> _Outcome:
            await self._lock(tx, app_id, user_id, contact_id)
            entry = await contacts.get(tx, app_id, user_id, contact_id)
            if entry is None or not entry.listed:
                raise NotFound("There is no such contact")
            outcome = _Outcome()
            for kind in (UNSUBSCRIBE, UNSUBSCRIBED):
                step = OUTBOUND[kind][entry.state]
                if step.state != entry.state:
                    entry = replace(entry, state=step.state)
                    await self._arrive(tx, app_id, Act(kind, user_id, contact_id), outcome)
            await contacts.remove(tx, app_id, user_id, contact_id)
            outcome.entries.add((user_id, contact_id))
            return outcome

        self._told(app_id, await self._transactions.run(run))

    async def act(
        self, app_id: int, user_id: int, contact_id: int, kind: str, *, inner: str = "", origin: bytes = b""
    ) -> None:
        """A user asks for a contact's presence, allows its own, or takes either back (RFC 6121 §3).

        `kind` is one of ACTS, `inner` the XML that comes with it, `origin` the address of the session. What makes no
        sense is passed over. Raises NotFound (no such user), Blocked, Invalid (too many).
        """
        if user_id == contact_id:
            return  # everybody sees the own presence anyway
        if kind == SUBSCRIBE and not await self._privacy.allows(
            app_id, user_id, contact_id, PRESENCE_IN, origin=origin
        ):
            raise Blocked
        act = Act(kind, user_id, contact_id, inner if len(inner) <= MAX_REQUEST else "")

        async def run(tx: Tx) -> _Outcome:
            await self._lock(tx, app_id, user_id, contact_id)
            outcome = _Outcome()
            await self._begin(tx, app_id, act, outcome)
            return outcome

        self._told(app_id, await self._transactions.run(run))

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _lock(self, tx: Tx, app_id: int, user_id: int, contact_id: int) -> None:
        if not await contacts.lock(tx, app_id, (user_id, contact_id)):
            raise NotFound("There is no such user")

    async def _begin(self, tx: Tx, app_id: int, act: Act, outcome: _Outcome) -> None:
        """The side of who acts, and then the other one."""
        kind, user_id, contact_id, _ = act
        entry = await _entry(tx, app_id, user_id, contact_id)
        step = OUTBOUND[kind][entry.state]
        if step.state != entry.state:
            listed = entry.listed or kind in (SUBSCRIBE, SUBSCRIBED)  # RFC 6121 §3.1.2, §3.1.5
            if listed and not entry.listed:
                await _check_room(tx, app_id, user_id)
            await outcome.save(tx, app_id, user_id, replace(entry, state=step.state, listed=listed))
        if step.goes_on:
            await self._arrive(tx, app_id, act, outcome)

    async def _arrive(self, tx: Tx, app_id: int, act: Act, outcome: _Outcome) -> None:
        """The side of whom an act is about."""
        kind, contact_id, user_id, inner = act
        entry = await _entry(tx, app_id, user_id, contact_id)
        if kind == SUBSCRIBE and entry.state & FROM:  # the answer is known (RFC 6121 §3.1.3)
            await self._arrive(tx, app_id, Act(SUBSCRIBED, user_id, contact_id), outcome)
            return
        step = INBOUND[kind][entry.state]
        if step.state != entry.state:
            if kind == SUBSCRIBE:
                if not entry.listed and await contacts.count(tx, app_id, user_id, listed=False) >= MAX_REQUESTS:
                    raise Invalid("Too many requests wait for this user")
                entry = replace(entry, request=inner)
            await outcome.save(tx, app_id, user_id, replace(entry, state=step.state))
        if step.goes_on:
            outcome.acts.append(act)

    def _told(self, app_id: int, outcome: _Outcome) -> None:
        for act in outcome.acts:
            self._telling.tell(app_id, act)
        if outcome.entries:
            self._facts.forget(*forgotten(app_id, outcome.entries))


class _Outcome:
    """What a transaction has changed: whose entries about whom, and what is to be told."""

    def __init__(self) -> None:
        self.entries: set[tuple[int, int]] = set()
        self.acts: list[Act] = []

    async def save(self, tx: Tx, app_id: int, user_id: int, contact: Contact) -> None:
        self.entries.add((user_id, contact.user_id))
        await contacts.put(tx, app_id, user_id, contact if contact.state & ASKING else replace(contact, request=None))


async def _entry(tx: Tx, app_id: int, user_id: int, contact_id: int) -> Contact:
    return await contacts.get(tx, app_id, user_id, contact_id) or Contact(contact_id, listed=False)


def _check(user_id: int, contact_id: int, name: str, groups: Sequence[str]) -> None:
    """RFC 6121 §2.3.3."""
    if contact_id == user_id:
        raise Invalid("Nobody is one's own contact")
    if len(set(groups)) < len(groups):
        raise BadRequest("A contact is in a group once")
    if len(groups) > MAX_GROUPS:
        raise Invalid(f"A contact is in at most {MAX_GROUPS} groups")
    if len(name) > MAX_NAME:
        raise Invalid(f"The name of a contact has at most {MAX_NAME} characters")
    if not all(0 < len(group) <= MAX_NAME for group in groups):
        raise Invalid(f"The name of a group has 1 to {MAX_NAME} characters")


async def _check_room(tx: Tx, app_id: int, user_id: int) -> None:
    if await contacts.count(tx, app_id, user_id, listed=True) >= MAX_CONTACTS:
        raise Invalid(f"At most {MAX_CONTACTS} contacts")
