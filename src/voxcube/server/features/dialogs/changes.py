"""The rules of changing dialogs: fields, members, admins and pins in one step, or nothing of it (rest §6.3–§6.8).

Each change is one transaction that locks the dialog, decides under the lock, and then writes. What was decided is
known everywhere before the caller is answered: whoever was removed can neither read nor send any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Forbidden, Invalid, NotFound
from voxcube.server.core.models import DialogType
from voxcube.server.features.apps.service import Transactions
from voxcube.server.features.dialogs.effects import Effects, locked_for
from voxcube.server.features.dialogs.fields import (
    ADMINS_MAX,
    OCCUPANTS_MAX,
    PINS_MAX,
    data_of,
    extensions_of,
    problems,
)
from voxcube.server.features.dialogs.roles import Role, check, check_inside, role_of
from voxcube.server.features.dialogs.service import DialogService, SeenDialog
from voxcube.server.storage import extensions, leaving, membership
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.database import Tx
from voxcube.server.storage.dialogs import DialogView
from voxcube.server.storage.membership import Locked

_DESCRIBED = ("name", "description", "photo")
_EXTENDED = ("extensions", "data")
_NOTHING: Mapping[int, bool] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What is added to, or taken from, the lists of a dialog."""

    occupants: frozenset[int] = frozenset()
    admins: frozenset[int] = frozenset()
    pins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One request. ``fields`` holds those that are given: name, photo, description, extensions, permissions, data."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    push: Lists = Lists()
    pull: Lists = Lists()

    @property
    def people(self) -> frozenset[int]:
        """All users that are named."""
        return self.push.occupants | self.push.admins | self.pull.occupants | self.pull.admins

    def operations(self, user_id: int | None, kind: DialogType) -> list[str]:
        """What of the permission matrix is asked for (rest §5.1). Leaving needs no right where one can leave."""
        fields = self.fields.keys()
        freely = {user_id} if kind in (DialogType.GROUP, DialogType.PUBLIC) else set()
        asked = {
            "describe": bool(fields & set(_DESCRIBED)),
            "extend": bool(fields & set(_EXTENDED)),
            "permit": "permissions" in fields,
            "add": bool(self.push.occupants),
            "remove": bool(self.pull.occupants - freely),
            "pin": bool(self.push.pins or self.pull.pins),
            "appoint": bool(self.push.admins or self.pull.admins),
        }
        return ["read", *(operation for operation, is_asked in asked.items() if is_asked)]


class DialogChanges:
    """Changes dialogs for their users."""

    def __init__(
        self,
        *,
        dialogs: DialogService,
        cache: Cache,
        transactions: Transactions,
        clock: Clock,
    ) -> None:
        self._dialogs = dialogs
        self._cache = cache
        self._transactions = transactions
        self._clock = clock

    # -- one request ---------------------------------------------------------------------------------------------------

    async def update(self, app_id: int, user_id: int, dialog_id: str, change: Change) -> SeenDialog:
        """Changes a dialog as ``user_id`` may, all or nothing. Raises NotFound, Forbidden, Invalid."""
        effects = await self._update(app_id, user_id, dialog_id, change)
        if effects.gone:
            return SeenDialog(view=DialogView(dialog=effects.dialog, member=None), viewer=user_id)
        return await self._dialogs.as_seen(app_id, user_id, effects.view)

    async def administer(
        self,
        app_id: int,
        dialog_id: str,
        change: Change,
        *,
        muted: Mapping[int, bool] | None = None,
        then: Callable[[Tx], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Changes a dialog whatever the roles in it, and mutes it for members. Raises NotFound, Forbidden (for what
        there is not in its type), Invalid. `then` runs last in the transaction, to read what the answer is made of."""
        await self._update(app_id, None, dialog_id, change, muted or {}, then)

    async def _update(
        self,
        app_id: int,
        actor_id: int | None,
        dialog_id: str,
        change: Change,
        muted: Mapping[int, bool] = _NOTHING,
        then: Callable[[Tx], Coroutine[Any, Any, None]] | None = None,
    ) -> Effects:
        pushed = change.push.occupants | change.push.admins
        refusing = set() if actor_id is None else await self._dialogs.refusing(app_id, actor_id, pushed)

        async def run(tx: Tx) -> Effects:
            names = await extensions.names(tx, app_id) if change.fields.get("extensions") else ()
            locked = await locked_for(tx, app_id, dialog_id, {actor_id or 0, *change.people, *muted})
            dialog = locked.dialog
            role = Role.OWNER if actor_id is None else role_of(dialog, actor_id, locked.members.get(actor_id))
            for operation in change.operations(actor_id, dialog.type):
                check(operation, dialog.type, role)
            known = await membership.existing(tx, app_id, pushed)
            known -= {other for other in refusing if not locked.active(other)}
            live = await membership.live_messages(tx, dialog, change.push.pins)
            _set_fields(locked, names, change.fields)
            effects = await self._regroup(tx, locked, actor_id, _those(change, known))
            _pin(locked, [pin for pin in change.push.pins if pin in live], change.pull.pins)
            for user_id, is_muted in muted.items():
                _mute(locked, user_id, is_muted)
            await self._finish(tx, locked, effects)
            if actor_id is not None and not effects.gone:
                effects.view = await self._dialogs.view_in(tx, app_id, dialog_id, actor_id)
            if then is not None:
                await then(tx)
            return effects

        return await self._run(run, dialog_id)

    async def subscribe(self, app_id: int, user_id: int, dialog_id: str) -> SeenDialog:
        """Joins a public dialog (a group where the application allows it), or shows a broadcast again (rest §6.8)."""

        async def join(tx: Tx, locked: Locked, effects: Effects, free: bool) -> None:
            if not free:
                raise Forbidden("The application lets nobody join a group by itself")
            if not await membership.existing(tx, app_id, {user_id}):
                raise NotFound("User does not exist")
            if not locked.active(user_id):
                await _check_room(tx, locked, 1)
                locked.join(user_id, self._clock.now())
                effects.joined.add(user_id)

        effects = await self._by_itself(app_id, user_id, dialog_id, join, hide=False)
        return await self._dialogs.as_seen(app_id, user_id, effects.view)

    async def unsubscribe(self, app_id: int, user_id: int, dialog_id: str) -> None:
        """Leaves a public dialog or a group, or hides a broadcast; who is not in stays out (rest §6.8)."""

        async def leave(tx: Tx, locked: Locked, effects: Effects, free: bool) -> None:
            if locked.active(user_id):
                effects.left.add(user_id)
                locked.leave(user_id)
            elif not free:
                raise Forbidden("You are not a member of this dialog")

        await self._by_itself(app_id, user_id, dialog_id, leave, hide=True)

    async def _by_itself(
        self,
        app_id: int,
        user_id: int,
        dialog_id: str,
        move: Callable[[Tx, Locked, Effects, bool], Coroutine[Any, Any, None]],
        *,
        hide: bool,
    ) -> Effects:
        """A user comes or goes alone: `move` it (told whether anybody may come); in a broadcast, `hide` it or not."""
        app = await self._cache.app(app_id)
        assert app is not None

        async def run(tx: Tx) -> Effects:
            locked = await locked_for(tx, app_id, dialog_id, {user_id})
            effects, kind = Effects(locked.dialog, user_id), locked.dialog.type
            if kind is DialogType.PRIVATE:
                raise Invalid("Nobody can subscribe to a private dialog")
            if kind is DialogType.BROADCAST:
                effects = await _hide(tx, locked, user_id, hide)
            else:
                await move(tx, locked, effects, kind is not DialogType.GROUP or app.settings.group_subscribe)
                await self._finish(tx, locked, effects)
            if not hide:
                effects.view = await self._dialogs.view_in(tx, app_id, dialog_id, user_id)
            return effects

        return await self._run(run, dialog_id)

    async def mute(self, app_id: int, user_id: int, dialog_id: str, *, muted: bool) -> None:
        """Switches the user's notifications of a dialog (rest §6.7). Raises NotFound, Forbidden."""

        async def run(tx: Tx) -> Effects:
            locked = await locked_for(tx, app_id, dialog_id, {user_id})
            _mute(locked, user_id, muted)
            await membership.save(tx, locked)
            return Effects(locked.dialog, user_id)

        await self._run(run, dialog_id)

    # -- the steps -----------------------------------------------------------------------------------------------------

    async def _regroup(self, tx: Tx, locked: Locked, actor_id: int | None, change: Change) -> Effects:
        """Occupants and admins as they will be. Whatever is raised on the way undoes everything."""
        dialog, now = locked.dialog, self._clock.now()
        for name, both in (
            ("occupants_ids", change.push.occupants & change.pull.occupants),
            ("admins_ids", change.push.admins & change.pull.admins),
        ):
            if both:
                raise Invalid({name: [f"are added and removed at once: {min(both)}"]})
        effects = Effects(dialog, actor_id)
        effects.joined = {other for other in change.push.occupants if not locked.active(other)}
        effects.left = {other for other in change.pull.occupants if locked.active(other)}
        if dialog.owner_id in effects.left and actor_id not in (dialog.owner_id, None):
            raise Forbidden("Nobody may remove the owner")
        await _check_room(tx, locked, len(effects.joined) - len(effects.left))
        for other in effects.joined:
            locked.join(other, now)
        for other in effects.left:
            locked.leave(other)
        _appoint(locked, change.push.admins - {dialog.owner_id}, change.pull.admins, now)
        return effects

    async def _finish(self, tx: Tx, locked: Locked, effects: Effects) -> Effects:
        """Writes everything; a group whose owner has left gets another one, or ends."""
        effects.gone = not await leaving.save(tx, locked, effects.left, self._clock.now_ms())
        effects.dialog = locked.dialog
        return effects

    async def _run(self, run: Callable[[Tx], Coroutine[Any, Any, Effects]], dialog_id: str) -> Effects:
        effects = await self._transactions.run(run, dialog=dialog_id)
        self._cache.forget(*effects.keys)
        return effects


async def _hide(tx: Tx, locked: Locked, user_id: int, hidden: bool) -> Effects:
    """A broadcast leaves the user's list, or comes back; to everybody else nothing has happened."""
    locked.hide(user_id, hidden)
    await membership.save(tx, locked)
    return Effects(locked.dialog, user_id)


def _those(change: Change, known: set[int]) -> Change:
    """Unknown users are dropped (rest §6.2), and like them users who block the actor."""
    push = dataclasses.replace(change.push, occupants=change.push.occupants & known, admins=change.push.admins & known)
    return dataclasses.replace(change, push=push)


def _set_fields(locked: Locked, names: Collection[str], given: Mapping[str, Any]) -> None:
    fields = dict(given)
    described = {name: fields.pop(name) for name in _DESCRIBED if name in fields}
    if locked.dialog.type is not DialogType.PRIVATE:  # there they are ignored (rest §5.1)
        if wrong := problems(described):
            raise Invalid(wrong)
        fields |= {name: text or None for name, text in described.items()}
    if "extensions" in fields:
        fields["extensions"] = extensions_of(names, fields["extensions"])
    if fields.get("data") is not None:
        fields["data"] = data_of({**(locked.dialog.data or {}), **fields["data"]})
    locked.set(**fields)


def _mute(locked: Locked, user_id: int, muted: bool) -> None:
    """Raises Forbidden for somebody who is not in it."""
    check_inside(locked.dialog, locked.members.get(user_id))
    locked.put(dataclasses.replace(locked.row(user_id), muted=muted))


def _appoint(locked: Locked, added: frozenset[int], removed: frozenset[int], now: int) -> None:
    for user_id in added:
        if not locked.active(user_id):
            if locked.dialog.type is not DialogType.BROADCAST:
                raise Invalid({"admins_ids": ["must be members of the dialog"]})
            locked.join(user_id, now)
        locked.put(dataclasses.replace(locked.members[user_id], admin=True))
    in_it = locked.dialog.type is not DialogType.BROADCAST  # whose readers are not its members
    for user_id in removed:
        if locked.active(user_id):
            locked.put(dataclasses.replace(locked.members[user_id], admin=False, active=in_it))
    if added and len(locked.admins) > ADMINS_MAX:
        raise Invalid({"admins_ids": [f"are too many (maximum is {ADMINS_MAX})"]})


def _pin(locked: Locked, added: Collection[str], removed: Collection[str]) -> None:
    pinned = dict.fromkeys([*locked.dialog.pinned, *added])
    kept = tuple(pin for pin in pinned if pin not in removed)
    if added and len(kept) > PINS_MAX:
        raise Invalid({"pinned_messages_ids": [f"are too many (maximum is {PINS_MAX})"]})
    locked.set(pinned=kept)


async def _check_room(tx: Tx, locked: Locked, more: int) -> None:
    """Whether so many more may be in it; asked before anything is written."""
    if more <= 0 or locked.dialog.type is not DialogType.GROUP:
        return
    if await membership.count(tx, locked.dialog.id) + more > OCCUPANTS_MAX:
        raise Invalid({"occupants_ids": [f"are too many (maximum is {OCCUPANTS_MAX})"]})
