"""``cube.chat.privacy``: lists of users who may, and may not, reach this user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from voxcube.client import wire
from voxcube.client.connection import Connection
from voxcube.client.errors import StanzaError
from voxcube.client.lifecycle import Lifecycle
from voxcube.client.models.privacy import PrivacyAction, PrivacyItem, PrivacyLists
from voxcube.xmpp.jid import user_jid
from voxcube.xmpp.payloads import privacy
from voxcube.xmpp.stanza import iq
from voxcube.xmpp.xml import Element

BLOCK_LIST = "ConnectyCubeBlockList"


class Privacy:
    """A list says of users whether they may reach this user. It does nothing until it is the account's default, or the
    active one of a connection, which stands in place of the default one there.

    Whoever is denied gets an error for private messages; what they say in groups is not shown to this user, and nobody
    is told. Most applications need ``block``, ``unblock`` and ``blocked`` alone.
    """

    def __init__(self, life: Lifecycle, app_id: int, domain: str, *, timeout: float) -> None:
        self._life = life
        self._app_id = app_id
        self._domain = domain
        self._timeout = timeout
        self._active: str | None = None

    # Whole lists

    async def create(self, name: str, items: Iterable[PrivacyItem]) -> None:
        """Makes a list, or puts it in the place of the one of that name, in use or not.

        Args:
            name: 1 to 128 characters.
            items: users, each once; the first of several items of one user counts. At most 1,000.

        Raises:
            StanzaError: the server refused it, code 406 when there are too many items or lists.
            ChatTimeout: no answer in time (60 seconds by default).
            NotConnected: not connected, or the connection ended meanwhile.
            ValueError: no items, or no name.

        Source: XEP-0016 §2.6.

        Example:
            >>> await cube.chat.privacy.create("strangers", [PrivacyItem(34), PrivacyItem(48, mutual=False)])
            >>> await cube.chat.privacy.set_default("strangers")
        """
        await self._put(name, [wired for item in _unique(items) for wired in self._encode(item)])

    async def update(self, name: str, items: Iterable[PrivacyItem]) -> None:
        """Puts items into a list, in the place of those of the same users, and makes it the default list.

        Arguments and errors as ``create``; StanzaError 404 when there is no such list.

        Source: XEP-0016 §2.6.

        Example:
            >>> await cube.chat.privacy.update("strangers", [PrivacyItem(18, PrivacyAction.ALLOW)])
        """
        new = _unique(items)
        kept = _without(await self._get(name), [address for item in new for address in self._addresses(item.user_id)])
        await self._put(name, [*kept, *(wired for item in new for wired in self._encode(item))])
        await self.set_default(name)

    async def get(self, name: str) -> list[PrivacyItem]:
        """The users in a list, in its order. Items that name no user (hosts, everybody) are left out.

        Args:
            name: the list's.

        Raises:
            StanzaError: 404 when there is no such list.
            ChatTimeout: no answer in time.
            NotConnected: not connected, or the connection ended meanwhile.

        Source: XEP-0016 §2.3.

        Example:
            >>> await cube.chat.privacy.get("strangers")
            [PrivacyItem(user_id=34, action=<PrivacyAction.DENY: 'deny'>, mutual=True)]
        """
        return self._decode(await self._get(name))

    async def remove(self, name: str) -> None:
        """Removes a list; if it was the default or the active one, there is none then.

        Arguments and errors as ``get``.

        Source: XEP-0016 §2.7.

        Example:
            >>> await cube.chat.privacy.remove("strangers")
        """
        await self._ask("set", privacy.encode(name))

    async def names(self) -> PrivacyLists:
        """The names of this user's lists.

        Raises:
            ChatTimeout: no answer in time.
            NotConnected: not connected, or the connection ended meanwhile.

        Source: XEP-0016 §2.3.

        Example:
            >>> (await cube.chat.privacy.names()).default
            'strangers'
        """
        query = await self._ask("get")
        found = {kind: query.find(kind) for kind in ("active", "default")}
        active, default = (None if element is None else element.get("name") for element in found.values())
        return PrivacyLists(active, default, tuple(e.get("name") or "" for e in query.elements() if e.name == "list"))

    # Which one counts

    async def set_default(self, name: str) -> None:
        """Makes a list the default one: it counts on all devices of this user, and while none is connected.

        Arguments and errors as ``get``.

        Source: XEP-0016 §2.5.

        Example:
            >>> await cube.chat.privacy.set_default("strangers")
        """
        await self._ask("set", Element("default", {"name": name}))

    async def decline_default(self) -> None:
        """There is no default list then: everybody may reach this user. Errors as ``names``.

        Source: XEP-0016 §2.5.

        Example:
            >>> await cube.chat.privacy.decline_default()
        """
        await self._ask("set", Element("default"))

    async def set_active(self, name: str) -> None:
        """Uses a list for this connection in place of the default one, also after reconnecting.

        It decides what this connection may send and is shown. Whether others are refused, and what is stored, remains
        with the default list. Arguments and errors as ``get``.

        Source: XEP-0016 §2.4.

        Example:
            >>> await cube.chat.privacy.set_active("strangers")
        """
        await self._ask("set", Element("active", {"name": name}))
        self._active = name

    async def decline_active(self) -> None:
        """Uses the default list for this connection again. Errors as ``names``.

        Source: XEP-0016 §2.4.

        Example:
            >>> await cube.chat.privacy.decline_active()
        """
        await self._ask("set", Element("active"))
        self._active = None

    # Blocking

    async def block(self, user_id: int, mutual: bool = True) -> None:
        """Blocks a user, by the default list ``ConnectyCubeBlockList``, which official applications use too.

        Args:
            user_id: the user.
            mutual: neither can reach the other; otherwise only this user is not reached.

        Raises:
            StanzaError: the server refused it, code 406 when too many are blocked.
            ChatTimeout: no answer in time.
            NotConnected: not connected, or the connection ended meanwhile.

        Source: XEP-0016 §2.6.

        Example:
            >>> await cube.chat.privacy.block(34)
        """
        items = _without(await self._blocking(), self._addresses(user_id))
        await self._put(BLOCK_LIST, [*self._encode(PrivacyItem(user_id, mutual=mutual)), *items])
        await self.set_default(BLOCK_LIST)

    async def unblock(self, user_id: int) -> None:
        """Takes a block back; does nothing for a user who is not blocked. Arguments and errors as ``block``.

        Source: XEP-0016 §2.6.

        Example:
            >>> await cube.chat.privacy.unblock(34)
        """
        before = await self._blocking()
        items = _without(before, self._addresses(user_id))
        if items:
            await self._put(BLOCK_LIST, items)
        elif before:
            await self.remove(BLOCK_LIST)

    async def blocked(self) -> list[int]:
        """The ids of the users in the block list. Errors as ``names``.

        Source: XEP-0016 §2.3.

        Example:
            >>> await cube.chat.privacy.blocked()
            [34]
        """
        items = self._decode(await self._blocking())
        return [item.user_id for item in items if item.action is PrivacyAction.DENY]

    # Inside

    async def _ask(self, kind: str, *children: Element) -> Element:
        request = iq(kind, "", privacy.query(*children))
        answer = await self._life.connection.request(request, self._timeout)
        return answer.find("query") or Element("query")

    async def _get(self, name: str) -> list[privacy.Item]:
        found = (await self._ask("get", privacy.encode(name))).find("list")
        return [] if found is None else privacy.decode(found)

    async def _blocking(self) -> list[privacy.Item]:
        try:
            return await self._get(BLOCK_LIST)
        except StanzaError as error:
            if error.code != 404:
                raise
            return []

    async def _put(self, name: str, items: list[privacy.Item]) -> None:
        if not items or not name:
            raise ValueError("a list has a name and items")
        numbered = [replace(item, order=order) for order, item in enumerate(items, 1)]
        await self._ask("set", privacy.encode(name, numbered))

    def _addresses(self, user_id: int) -> tuple[str, str]:
        """A user's in private dialogs, and in groups."""
        return user_jid(user_id, self._app_id, self._domain), f"muc.{self._domain}/{user_id}"

    def _encode(self, item: PrivacyItem) -> list[privacy.Item]:
        """Two adjacent items for each user, the way other clients read them (realtime §15)."""
        kinds = () if item.mutual else privacy.KINDS
        return [privacy.Item(0, item.action.value, "jid", value, kinds) for value in self._addresses(item.user_id)]

    def _decode(self, items: Iterable[privacy.Item]) -> list[PrivacyItem]:
        users: dict[int, PrivacyItem] = {}
        for item in items:
            user_id = wire.privacy_user(item.value) if item.type == "jid" else 0
            if user_id and user_id not in users:
                users[user_id] = PrivacyItem(user_id, PrivacyAction(item.action), mutual=not item.kinds)
        return list(users.values())

    async def _renew(self, connection: Connection) -> None:
        """A new session uses the default list (`lifecycle.Renewal`)."""
        if self._active is not None:
            request = iq("set", "", privacy.query(Element("active", {"name": self._active})))
            await connection.request(request, self._timeout)

    def _forget(self) -> None:
        self._active = None


def _unique(items: Iterable[PrivacyItem]) -> list[PrivacyItem]:
    users: dict[int, PrivacyItem] = {}
    for item in items:
        users.setdefault(item.user_id, item)
    return list(users.values())


def _without(items: Iterable[privacy.Item], values: Iterable[str]) -> list[privacy.Item]:
    """The other items, in the order in which they count."""
    gone = set(values)
    return sorted((item for item in items if item.value not in gone), key=lambda item: item.order)
