"""Dialogs as the application's administrator makes and sees them (rest §12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voxcube.server.core.errors import Invalid, NotFound
from voxcube.server.core.models import DialogType
from voxcube.server.features.dialogs.changes import Change, DialogChanges
from voxcube.server.features.dialogs.ending import DialogEndings
from voxcube.server.features.dialogs.service import DialogService, NewDialog
from voxcube.server.storage.database import Tx
from voxcube.server.storage.dialogs import DialogStore, DialogView
from voxcube.server.storage.occupants import OccupantStore


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminView:
    """A dialog as nobody in particular sees it; ``away`` have put it away, ``silent`` have muted it."""

    view: DialogView
    away: Sequence[int]
    silent: Sequence[int]


class DialogAdmin:
    """What an administrator may do with the dialogs of an application."""

    def __init__(
        self,
        *,
        service: DialogService,
        changes: DialogChanges,
        endings: DialogEndings,
        dialogs: DialogStore,
        occupants: OccupantStore,
    ) -> None:
        self._service = service
        self._changes = changes
        self._endings = endings
        self._dialogs = dialogs
        self._occupants = occupants

    async def create(self, app_id: int, owner_id: int, new: NewDialog) -> AdminView:
        """A new broadcast dialog: only an administrator makes those, and nothing else. Raises Invalid."""
        if new.type != DialogType.BROADCAST:
            raise Invalid({"type": ["must be 1 (broadcast)"]})
        _, view = await self._service.make_broadcast(app_id, owner_id, new)
        if view is None:
            raise NotFound("Dialog does not exist")
        return AdminView(view=view, away=[], silent=[])

    async def update(self, app_id: int, dialog_id: str, change: Change, *, muted: Mapping[int, bool]) -> AdminView:
        """Changes a dialog whatever the roles in it, and mutes it for those users, or not. Raises NotFound, Forbidden
        (for what there is not in its type of dialog), Invalid."""
        found: list[AdminView] = []

        async def read(tx: Tx) -> None:
            view = await self._dialogs.view_in(tx, app_id, dialog_id, 0)
            found.clear()  # of a transaction that is run again
            if view is not None:
                away, silent = await self._occupants.marked_in(tx, dialog_id)
                found.append(AdminView(view=view, away=away, silent=silent))

        await self._changes.administer(app_id, dialog_id, change, muted=muted, then=read)
        if not found:
            raise NotFound("Dialog does not exist")
        return found[0]

    async def delete(self, app_id: int, dialog_id: str) -> None:
        """Deletes a dialog for everyone: nobody else can when its owner's account is gone. Raises NotFound."""
        await self._endings.administer(app_id, dialog_id)

    async def get(self, app_id: int, dialog_id: str) -> AdminView:
        """One dialog. Raises NotFound."""
        view = await self._dialogs.view(app_id, dialog_id, viewer=0)
        if view is None:
            raise NotFound("Dialog does not exist")
        away, silent = await self._occupants.marked(dialog_id)
        return AdminView(view=view, away=away, silent=silent)
