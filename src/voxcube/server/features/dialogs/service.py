"""The rules of dialogs: who may make which kind, and who sees them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Forbidden, Invalid, NotFound
from voxcube.server.core.ids import Ids
from voxcube.server.core.listing import Listing
from voxcube.server.core.models import Dialog, DialogType, Member, User, pair_key
from voxcube.server.features.apps.service import Transactions
from voxcube.server.features.dialogs.fields import ADMINS_MAX, OCCUPANTS_MAX, data_of, extensions_of, problems
from voxcube.server.features.dialogs.roles import check_inside
from voxcube.server.features.privacy.visibility import Visibility
from voxcube.server.features.users.service import UserService
from voxcube.server.storage import broadcasts, extensions, membership
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.database import DatabaseError, Tx, UniqueViolation
from voxcube.server.storage.dialogs import DialogStore, DialogView
from voxcube.server.storage.inbox import LISTED

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDialog:
    """What somebody asks for. Ids of users that do not exist, or who block the creator of a group, are dropped."""

    type: int
    occupants: Sequence[int] = ()
    admins: Sequence[int] = ()
    name: str | None = None
    description: str | None = None
    photo: str | None = None
    extensions: Mapping[str, Any] | None = None
    permissions: Mapping[str, bool] | None = None
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDialog:
    """A dialog as one user sees it; ``opponent`` is the other one in a private dialog."""

    view: DialogView
    viewer: int
    opponent: User | None = None

    @property
    def unread(self) -> int:
        """Unread messages by arithmetic."""
        member = self.view.member
        return 0 if member is None else max(0, self.view.dialog.live - member.settled)


class DialogService:
    """Makes dialogs, finds them, and says who may read them."""

    def __init__(
        self,
        *,
        dialogs: DialogStore,
        users: UserService,
        cache: Cache,
        transactions: Transactions,
        clock: Clock,
        ids: Ids,
        visibility: Visibility,
    ) -> None:
        self._visibility = visibility
        self._dialogs = dialogs
        self._users = users
        self._cache = cache
        self._transactions = transactions
        self._clock = clock
        self._ids = ids

    # -- making --------------------------------------------------------------------------------------------------------

    async def create(self, app_id: int, user_id: int, new: NewDialog) -> SeenDialog:
        """A new dialog of ``user_id``; of a private one the existing dialog of the two. Raises Invalid."""
        if new.type == DialogType.BROADCAST:
            raise Invalid("Broadcast dialogs can only be created by an administrator; public dialogs have type 4")
        if new.type == DialogType.PRIVATE:
            return await self._create_private(app_id, user_id, new)
        if new.type not in (DialogType.GROUP, DialogType.PUBLIC):
            raise Invalid({"type": ["must be 2 (group), 3 (private) or 4 (public)"]})
        _, view = await self._make_room(app_id, user_id, DialogType(new.type), new, viewer=user_id)
        return await self.as_seen(app_id, user_id, view)

    async def private_between(self, app_id: int, a: int, b: int, *, create: bool) -> Dialog | None:
        """The private dialog of two users: the one there is, or with ``create`` a new one. There are never two.

        Whether the users exist and may talk is the caller's to know.
        """
        known = await self._cache.pair(app_id, a, b)
        if known is not None:
            return await self._dialogs.by_id(app_id, known)
        return (await self._make_private(app_id, a, b))[0] if create else None

    async def _create_private(self, app_id: int, user_id: int, new: NewDialog) -> SeenDialog:
        others = [other for other in dict.fromkeys(new.occupants) if other != user_id]
        if len(others) != 1:
            raise Invalid({"occupants_ids": ["must name exactly one other user for a private dialog"]})
        if not await self._users.existing(app_id, others):
            raise Invalid({"occupants_ids": ["names a user that does not exist"]})
        hidden = await self.refusing(app_id, user_id, others)
        _, view = await self._make_private(app_id, user_id, others[0], shown_to=user_id, new=new, hidden=hidden)
        return await self.as_seen(app_id, user_id, view)

    async def _make_private(
        self,
        app_id: int,
        a: int,
        b: int,
        *,
        shown_to: int | None = None,
        new: NewDialog | None = None,
        hidden: Collection[int] = (),
    ) -> tuple[Dialog, DialogView | None]:
        """The dialog, and how ``shown_to`` sees it; a new one is not in the lists of ``hidden`` until its next
        message."""

        async def find_or_make(tx: Tx) -> tuple[Dialog, DialogView | None]:
            dialog = await self._dialogs.by_pair(tx, app_id, a, b)
            if dialog is None:
                dialog = self._new(app_id, shown_to or a, DialogType.PRIVATE, pair=pair_key(a, b), new=new)
                rows = [self._member(dialog, user, hidden=user in hidden) for user in sorted({a, b})]
                await self._insert(tx, dialog, rows)
            elif shown_to is not None:
                await self._dialogs.show(tx, dialog.id, shown_to)
            view = None if shown_to is None else await self.view_in(tx, app_id, dialog.id, shown_to)
            return dialog, view

        try:
            dialog, view = await self._transactions.run(find_or_make)
        except UniqueViolation:  # both started it at once, on two nodes: now theirs is there
            dialog, view = await self._transactions.run(find_or_make)
        self._cache.forget(("pair", app_id, min(a, b), max(a, b)), ("dialog", dialog.id), (LISTED, a), (LISTED, b))
        return dialog, view

    async def create_broadcast(self, app_id: int, owner_id: int, new: NewDialog) -> Dialog:
        """A new broadcast dialog, made by the administrator. Raises Invalid."""
        return (await self.make_broadcast(app_id, owner_id, new))[0]

    async def make_broadcast(self, app_id: int, owner_id: int, new: NewDialog) -> tuple[Dialog, DialogView | None]:
        """The same, with how the administrator sees it."""
        if not await self._users.existing(app_id, [owner_id]):
            raise Invalid({"user_id": ["names a user that does not exist"]})
        return await self._make_room(app_id, owner_id, DialogType.BROADCAST, new, viewer=0)

    async def _make_room(
        self, app_id: int, owner_id: int, kind: DialogType, new: NewDialog, *, viewer: int
    ) -> tuple[Dialog, DialogView | None]:
        """The dialog, and how ``viewer`` sees it."""
        people = {owner_id}
        admins = set(new.admins) - {owner_id}
        if kind is DialogType.GROUP:
            others = await self._users.existing(app_id, list(dict.fromkeys(new.occupants)))
            refusing = await self.refusing(app_id, owner_id, others)
            people |= others - refusing
            admins -= refusing
        if kind is DialogType.BROADCAST:
            admins = await self._users.existing(app_id, sorted(admins))
            people |= admins
        wrong = problems({"name": new.name, "description": new.description, "photo": new.photo})
        if len(people) > OCCUPANTS_MAX:
            wrong["occupants_ids"] = [f"are too many (maximum is {OCCUPANTS_MAX})"]
        if len(admins) > ADMINS_MAX:
            wrong["admins_ids"] = [f"are too many (maximum is {ADMINS_MAX})"]
        elif not admins <= people:
            wrong["admins_ids"] = ["must be members of the dialog"]
        if wrong:
            raise Invalid(wrong)
        dialog = self._new(app_id, owner_id, kind, new=new)
        rows = [self._member(dialog, member, admin=member in admins) for member in sorted(people)]

        async def make(tx: Tx) -> DialogView | None:
            await self._insert(tx, dialog, rows)
            return await self.view_in(tx, app_id, dialog.id, viewer)

        view = await self._transactions.run(make)
        joined = (("member", dialog.id, member, dialog.seq) for member in sorted(people))
        self._cache.forget(("dialog", dialog.id), *joined, *((LISTED, member) for member in sorted(people)))
        return dialog, view

    async def refusing(self, app_id: int, user_id: int, others: Collection[int]) -> set[int]:
        """Those of these users whom the user cannot add to a group, as they block it; nobody is told."""
        return await self._visibility.refusing(app_id, user_id, others) if others else set()

    async def _insert(self, tx: Tx, dialog: Dialog, rows: Sequence[Member]) -> None:
        """With those of the members whose accounts are still there, as they were a moment ago, and with those of the
        extensions that the application has. Raises NotFound, Invalid."""
        if dialog.extensions is not None:
            kept = extensions_of(await extensions.names(tx, dialog.app_id), dialog.extensions)
            dialog = replace(dialog, extensions=kept)
        there = await membership.existing(tx, dialog.app_id, {row.user_id for row in rows})
        if dialog.owner_id not in there or (dialog.pair is not None and len(there) < len(rows)):
            raise NotFound("There is no such user")
        await self._dialogs.insert(tx, dialog, [row for row in rows if row.user_id in there])

    def _new(
        self,
        app_id: int,
        owner_id: int,
        kind: DialogType,
        *,
        new: NewDialog | None,
        pair: str | None = None,
    ) -> Dialog:
        now = self._clock.now_ms()
        shared = kind is not DialogType.PRIVATE  # name, photo and description of a private dialog are ignored
        return Dialog(
            id=self._ids.object_id(),
            app_id=app_id,
            type=kind,
            owner_id=owner_id,
            pair=pair,
            name=new.name if new and shared else None,
            description=new.description or None if new and shared else None,
            photo=new.photo or None if new and shared else None,
            extensions=new.extensions if new else None,
            permissions=new.permissions if new and shared else None,
            data=data_of(new.data) if new else None,
            created_at_ms=now,
            updated_at_ms=now,
        )

    def _member(self, dialog: Dialog, user_id: int, *, admin: bool = False, hidden: bool = False) -> Member:
        return Member(dialog_id=dialog.id, user_id=user_id, admin=admin, hidden=hidden, joined_at=self._clock.now())

    # -- finding -------------------------------------------------------------------------------------------------------

    async def get(self, app_id: int, user_id: int, dialog_id: str) -> SeenDialog:
        """One dialog of the user. Raises NotFound, also when it is somebody else's."""
        seen = await self.seen(app_id, user_id, dialog_id)
        [seen] = await self._at_first_sight(app_id, user_id, [seen])
        member = seen.view.member
        if seen.view.dialog.type is not DialogType.BROADCAST and (member is None or not member.active):
            raise NotFound("Dialog does not exist")
        return seen

    async def page(self, app_id: int, user_id: int, listing: Listing) -> tuple[int, list[SeenDialog]]:
        """How many dialogs of the user's list match, and one page of them; newest activity first unless ordered."""
        total, views = await self._dialogs.page(app_id, user_id, listing, await self._cache.listed(user_id))
        opponents = {view.dialog.id: _opponent(view, user_id) for view in views}
        users = await self._users.find(app_id, [other for other in opponents.values() if other is not None])
        seen = [
            SeenDialog(view=view, viewer=user_id, opponent=users.get(opponents[view.dialog.id] or 0)) for view in views
        ]
        return total, await self._at_first_sight(app_id, user_id, seen)

    async def count(self, app_id: int, user_id: int, listing: Listing) -> int:
        """How many dialogs of the user's list match."""
        return await self._dialogs.count(app_id, user_id, listing, await self._cache.listed(user_id))

    async def readable(
        self, app_id: int, user_id: int, dialog_id: str, *, preview: bool = False
    ) -> tuple[Dialog, Member | None]:
        """The dialog and the user's row in it, if the user may read its messages (rest §5.1, §7.2).

        A broadcast that the user sees for the first time gets a row. With ``preview`` a stranger may, where the
        dialog's permissions allow it. Raises NotFound, Forbidden.
        """
        dialog = await self._dialogs.by_id(app_id, dialog_id)
        if dialog is None:
            raise NotFound("Dialog does not exist")
        member = await self._dialogs.member(dialog_id, user_id)
        if preview:
            if not (dialog.permissions or {}).get("allow_preview"):
                raise Forbidden("Preview is not allowed")
            return dialog, member
        check_inside(dialog, member)
        if member is None:
            member = (await self.ensure_seen(app_id, user_id, [dialog_id])).get(dialog_id)
        return dialog, member

    async def ensure_seen(self, app_id: int, user_id: int, dialog_ids: Collection[str]) -> dict[str, Member]:
        """The rows of a user who sees these broadcasts, and has no row in them, for the first time (rest §5)."""
        now = self._clock.now()
        return await self._transactions.run(lambda tx: broadcasts.see(tx, app_id, user_id, dialog_ids, now))

    async def _at_first_sight(self, app_id: int, user_id: int, seen: Sequence[SeenDialog]) -> list[SeenDialog]:
        new = [
            one.view.dialog.id
            for one in seen
            if one.view.dialog.type is DialogType.BROADCAST and one.view.member is None
        ]
        rows = await self.ensure_seen(app_id, user_id, new) if new else {}
        return [
            replace(one, view=replace(one.view, member=rows.get(one.view.dialog.id, one.view.member))) for one in seen
        ]

    async def seen(self, app_id: int, user_id: int, dialog_id: str) -> SeenDialog:
        """One dialog as the user sees it; whether it may is not decided here. Raises NotFound."""
        view = await self._dialogs.view(app_id, dialog_id, user_id)
        if view is None:
            raise NotFound("Dialog does not exist")
        other = _opponent(view, user_id)
        users = {} if other is None else await self._users.find(app_id, [other])
        return SeenDialog(view=view, viewer=user_id, opponent=users.get(other or 0))

    async def view_in(self, tx: Tx, app_id: int, dialog_id: str, viewer: int) -> DialogView | None:
        """One dialog as it will be seen after the transaction that changes it."""
        return await self._dialogs.view_in(tx, app_id, dialog_id, viewer)

    async def as_seen(self, app_id: int, user_id: int, view: DialogView | None) -> SeenDialog:
        """The answer to a change that is committed. Raises NotFound where the change has found no dialog."""
        if view is None:
            raise NotFound("Dialog does not exist")
        other, opponent = _opponent(view, user_id), None
        if other is not None:
            try:
                opponent = (await self._users.find(app_id, [other])).get(other)
            except DatabaseError as error:  # the change is made all the same; only the other's name is missing
                log.warning("the other user of a dialog could not be read: %s", type(error).__name__)
        return SeenDialog(view=view, viewer=user_id, opponent=opponent)


def _opponent(view: DialogView, user_id: int) -> int | None:
    if view.dialog.type is not DialogType.PRIVATE or view.dialog.pair is None:
        return None
    pair = [int(part) for part in view.dialog.pair.split(":")]
    return pair[0] if pair[1] == user_id else pair[1]
