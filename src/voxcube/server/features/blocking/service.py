"""Blocking as a view of the default privacy list: people and hosts that a user has nothing to do with (XEP-0191 §5).

Who is blocked here is blocked in both directions and in groups, as a mutual block of the official SDKs is; shown is
everybody whose messages the list stops, however it came to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from voxcube.server.core.privacy import MESSAGE, Address, PrivacyItem
from voxcube.server.features.privacy.service import PrivacyService
from voxcube.server.storage.privacy import PrivacyStore


class BlockingService:
    """Who is blocked by whom."""

    def __init__(self, lists: PrivacyService, store: PrivacyStore, domain: str) -> None:
        self._lists = lists
        self._store = store
        self._rooms = f"muc.{domain}"
        self._domain = domain

    async def blocked(self, app_id: int, user_id: int) -> list[str]:
        """The addresses that a user blocks."""
        return self._blocked(await self._store.default(app_id, user_id))

    async def block(self, app_id: int, user_id: int, jids: Sequence[str]) -> None:
        """Blocks these addresses, before any other rule of the default list; without one there is one then.

        Raises Invalid (too many).
        """

        def edit(items: list[PrivacyItem]) -> list[PrivacyItem]:
            targets = [value for jid in jids for value in self._with_twin(app_id, jid)]
            new = [PrivacyItem(0, True, "jid", value) for value in dict.fromkeys(targets)]
            return _renumbered([*new, *_without(items, targets)], len(new))

        await self._lists.edit_default(app_id, user_id, edit)

    async def unblock(self, app_id: int, user_id: int, jids: Sequence[str] | None) -> None:
        """Blocks these addresses no more; None: nobody."""

        def edit(items: list[PrivacyItem]) -> list[PrivacyItem]:
            chosen = self._blocked(items) if jids is None else jids
            targets = [value for jid in chosen for value in self._with_twin(app_id, jid)]
            return _without(items, targets, lambda item: item.deny)

        await self._lists.edit_default(app_id, user_id, edit)

    def _blocked(self, items: Iterable[PrivacyItem]) -> list[str]:
        stopped = [item.value for item in items if item.deny and item.type == "jid" and item.mask & MESSAGE]
        return list(dict.fromkeys(jid for jid in stopped if Address.parse(jid).domain != self._rooms))

    def _with_twin(self, app_id: int, jid: str) -> list[str]:
        """A user is blocked in groups too, by another item (realtime §15)."""
        local, domain, resource = Address.parse(jid)
        number, _, app = local.partition("-")
        is_user = domain == self._domain and not resource and app == str(app_id) and number.isdecimal()
        return [jid, f"{self._rooms}/{number}"] if is_user else [jid]


def _without(
    items: Iterable[PrivacyItem], values: Collection[str], which: Callable[[PrivacyItem], bool] = lambda item: True
) -> list[PrivacyItem]:
    addresses = {Address.parse(value) for value in values}
    return [
        item for item in items if item.type != "jid" or Address.parse(item.value) not in addresses or not which(item)
    ]


def _renumbered(items: list[PrivacyItem], new: int) -> list[PrivacyItem]:
    """The first `new` items come first in the evaluation, the others keep their order behind them."""
    ranks = sorted(range(len(items)), key=lambda place: (place >= new, items[place].order if place >= new else place))
    order = {place: rank for rank, place in enumerate(ranks, 1)}
    return [replace(item, order=order[place]) for place, item in enumerate(items)]
