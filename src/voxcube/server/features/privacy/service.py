"""The rules of privacy lists (XEP-0016, realtime §15): what a list may hold, and who may reach whom.

The default list is the account's: it decides what is refused, for all sessions and for REST. A session may put another
one in its place for itself, its active list (XEP-0016 §2.2): that decides what the session may send, and what of what
comes for the account it is shown (`screens.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from voxcube.server.core.errors import BadRequest, Invalid, NotFound
from voxcube.server.core.privacy import MESSAGE, OUT, PRESENCE_OUT, SUBSCRIPTIONS, PrivacyItem, Rules
from voxcube.server.features.apps.service import Transactions
from voxcube.server.storage import privacy
from voxcube.server.storage.database import Tx
from voxcube.server.storage.privacy import PrivacyStore

BLOCK_LIST = "ConnectyCubeBlockList"  # as the official React hook names it
MAX_NAME = 128  # characters
MAX_LISTS = 50  # of one user
MAX_ITEMS = 2000  # in one list: a thousand people, in private and in groups
MAX_ORDER = 2**32 - 1  # XEP-0016 §2.3: an unsigned integer


class PrivacyFacts(Protocol):
    """The cache of hot facts (`storage.cache.Cache`)."""

    def peek_privacy(self, app_id: int, user_id: int) -> Any: ...
    async def privacy(self, app_id: int, user_id: int) -> Rules | None: ...
    def forget(self, *keys: tuple[Any, ...]) -> None: ...


class Applied(Protocol):
    """What lists do to the sessions of this node (`screens.py`)."""

    def active(self, origin: bytes) -> Rules | None:
        """The active list of the session with this address."""

    async def renew(self, app_id: int, user_id: int) -> None:
        """Applies the lists of a user as they are now."""


class PrivacyService:
    """Privacy lists of all users."""

    def __init__(
        self,
        *,
        facts: PrivacyFacts,
        store: PrivacyStore,
        transactions: Transactions,
        domain: str,
        screens: Applied,
    ) -> None:
        self._facts = facts
        self._store = store
        self._transactions = transactions
        self._domain = domain
        self._rooms = f"muc.{domain}"
        self._active = screens.active
        self._renew = screens.renew

    # -- who may reach whom ----------------------------------------------------------------------------------------

    def peek(
        self, app_id: int, sender_id: int, user_id: int, kind: int = MESSAGE, *, origin: bytes = b""
    ) -> bool | None:
        """Whether a stanza of one user may go to another; None when that must be read first (`allows`).

        `origin` is the address of the sending session, if it has one.
        """
        mine = self._active(origin) or self._facts.peek_privacy(app_id, sender_id)
        theirs = self._facts.peek_privacy(app_id, user_id)
        if mine is None and theirs is None:
            return True
        if not _known(mine) or not _known(theirs):
            return None
        return self._decide(app_id, sender_id, user_id, kind, origin, mine, theirs)

    async def allows(
        self, app_id: int, sender_id: int, user_id: int, kind: int = MESSAGE, *, origin: bytes = b""
    ) -> bool:
        """Whether a stanza of one user may go to another."""
        mine = self._active(origin) or await self._facts.privacy(app_id, sender_id)
        theirs = await self._facts.privacy(app_id, user_id)
        return self._decide(app_id, sender_id, user_id, kind, origin, mine, theirs)

    def _decide(
        self,
        app_id: int,
        sender_id: int,
        user_id: int,
        kind: int,
        origin: bytes,
        mine: Rules | None,
        theirs: Rules | None,
    ) -> bool:
        if sender_id == user_id:
            return True
        if theirs is not None:
            resource = origin.decode().partition("/")[2]
            if not theirs.allows((f"{sender_id}-{app_id}", self._domain, resource), kind):
                return False
        return mine is None or mine.allows((f"{user_id}-{app_id}", self._domain, ""), OUT)

    def peek_telling(self, app_id: int, sender_id: int, user_id: int, *, origin: bytes = b"") -> bool | None:
        """Whether a user's own list lets typing and markers go to another; None when it must be read first (`load`).

        The other's list is not asked: it screens what it does not want, and nobody is told (realtime §15).
        """
        mine = self._active(origin) or self._facts.peek_privacy(app_id, sender_id)
        if mine is None:
            return True
        return mine.allows((f"{user_id}-{app_id}", self._domain, ""), OUT) if _known(mine) else None

    def peek_room(self, app_id: int, sender_id: int, dialog_id: str, *, origin: bytes = b"") -> bool | None:
        """Whether a user may say anything in a group; None when that must be read first (`allows_room`)."""
        mine = self._active(origin) or self._facts.peek_privacy(app_id, sender_id)
        if mine is None:
            return True
        return mine.allows((f"{app_id}_{dialog_id}", self._rooms, ""), OUT) if _known(mine) else None

    async def allows_room(self, app_id: int, sender_id: int, dialog_id: str, *, origin: bytes = b"") -> bool:
        """Whether a user may say anything in a group."""
        mine = self._active(origin) or await self._facts.privacy(app_id, sender_id)
        return mine is None or mine.allows((f"{app_id}_{dialog_id}", self._rooms, ""), OUT)

    def hidden_from(self, app_id: int, sender_id: int, origin: bytes) -> frozenset[int] | None:
        """The users to whom nothing goes that a user says in a group; None when that must be read (`load`)."""
        mine = self._active(origin) or self._facts.peek_privacy(app_id, sender_id)
        if mine is None:
            return frozenset()
        return mine.hidden.get(self._rooms, frozenset()) if _known(mine) else None

    async def load(self, app_id: int, user_id: int) -> None:
        """Reads the facts of a user into memory."""
        await self._facts.privacy(app_id, user_id)

    async def may_watch(self, app_id: int, watcher_id: int, user_id: int, kind: int) -> bool:
        """Whether one user may know when the other was here: an inbound request, and outbound presence."""
        if not await self.allows(app_id, watcher_id, user_id, kind):
            return False
        theirs = await self._facts.privacy(app_id, user_id)
        watcher = (f"{watcher_id}-{app_id}", self._domain, "")
        return theirs is None or watcher_id == user_id or theirs.allows(watcher, PRESENCE_OUT)

    # -- lists -----------------------------------------------------------------------------------------------------

    async def names(self, app_id: int, user_id: int) -> tuple[list[str], str | None]:
        """The names of a user's lists, and that of the default one."""
        return await self._store.names(app_id, user_id)

    async def items(self, app_id: int, user_id: int, name: str) -> list[PrivacyItem]:
        """The rules of a list as they were written. Raises NotFound."""
        items = await self._store.items(app_id, user_id, name)
        if items is None:
            raise NotFound("There is no such list")
        return items

    async def put(self, app_id: int, user_id: int, name: str, items: Sequence[PrivacyItem]) -> None:
        """Makes or replaces a list, in use or not; without rules it is removed.

        Raises BadRequest, Invalid (too many), NotFound (none to remove).
        """
        _check_name(name)
        _check_items(items)

        async def write(tx: Tx) -> None:
            if not items:
                if not await privacy.remove(tx, app_id, user_id, name):
                    raise NotFound("There is no such list")
                return
            if not await privacy.exists(tx, app_id, user_id, name):
                await _check_room(tx, app_id, user_id)
            await privacy.put(tx, app_id, user_id, name, items)

        await self._change(app_id, user_id, write)

    async def set_default(self, app_id: int, user_id: int, name: str | None) -> None:
        """Makes a list the default, None: there is none. Raises NotFound."""

        async def write(tx: Tx) -> None:
            if name is not None and not await privacy.exists(tx, app_id, user_id, name):
                raise NotFound("There is no such list")
            await privacy.set_default(tx, app_id, user_id, name)

        await self._change(app_id, user_id, write)

    async def edit_default(
        self, app_id: int, user_id: int, edit: Callable[[list[PrivacyItem]], list[PrivacyItem]]
    ) -> None:
        """Changes the default list; one of the usual name becomes it where there is none. Raises Invalid (too many)."""

        async def write(tx: Tx) -> None:
            default = await privacy.default_of(tx, app_id, user_id)
            name, items = default or (BLOCK_LIST, await privacy.items_of(tx, app_id, user_id, BLOCK_LIST))
            edited = edit(items)
            _check_items(edited)
            if edited:
                if not items:
                    await _check_room(tx, app_id, user_id)
                await privacy.put(tx, app_id, user_id, name, edited)
                await privacy.set_default(tx, app_id, user_id, name)
            else:
                await privacy.remove(tx, app_id, user_id, name)

        await self._change(app_id, user_id, write)

    async def _change(self, app_id: int, user_id: int, write: Callable[[Tx], Any]) -> None:
        async def run(tx: Tx) -> None:
            if not await privacy.lock(tx, app_id, user_id):
                raise NotFound("User does not exist")
            await write(tx)

        await self._transactions.run(run)
        self._facts.forget(("privacy", app_id, user_id))
        await self._renew(app_id, user_id)  # what is answered is in force


def _known(rules: Any) -> bool:
    """Whether it was read: None, or a compiled list."""
    return rules is None or type(rules) is Rules


def _check_name(name: str) -> None:
    if not name or len(name) > MAX_NAME:
        raise BadRequest(f"The name of a list has 1 to {MAX_NAME} characters")


async def _check_room(tx: Tx, app_id: int, user_id: int) -> None:
    if await privacy.count(tx, app_id, user_id) >= MAX_LISTS:
        raise Invalid(f"At most {MAX_LISTS} lists")


def _check_items(items: Sequence[PrivacyItem]) -> None:
    """XEP-0016 §2.3, as far as it does not hang on the form of addresses."""
    if len(items) > MAX_ITEMS:
        raise Invalid(f"At most {MAX_ITEMS} items in a list")
    orders = {item.order for item in items}
    if len(orders) < len(items) or any(not 0 <= order <= MAX_ORDER for order in orders):
        raise BadRequest("Every item needs an order of its own")
    for item in items:
        if item.type == "group":
            raise NotFound("There are no groups of contacts")
        if item.type == "subscription" and item.value not in SUBSCRIPTIONS:
            raise BadRequest("There is no such subscription")
