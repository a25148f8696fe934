"""Who is in a dialog, and whether it may ring for somebody (rest §6.7, §6.9)."""

from __future__ import annotations

from voxcube.server.core.errors import NotFound
from voxcube.server.core.models import Dialog, Member, User, Viewer
from voxcube.server.features.dialogs.roles import check_inside
from voxcube.server.features.users.directory import Directory
from voxcube.server.features.users.service import UserService
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.occupants import OccupantStore


class DialogPeople:
    """Reads for the members of a dialog."""

    def __init__(
        self, *, dialogs: DialogStore, occupants: OccupantStore, users: UserService, directory: Directory
    ) -> None:
        self._dialogs = dialogs
        self._occupants = occupants
        self._users = users
        self._directory = directory

    async def page(self, viewer: Viewer, dialog_id: str, *, limit: int, skip: int) -> tuple[int, list[User]]:
        """How many are in the dialog, and a page of them; of a broadcast dialog the owner and the admins.

        Raises NotFound, Forbidden.
        """
        await self._standing(viewer.app_id, viewer.user_id, dialog_id)
        total, ids = await self._occupants.page(dialog_id, limit=limit, skip=skip)
        found = await self._users.find(viewer.app_id, ids)
        return total, await self._directory.shown(viewer, [found[id_] for id_ in ids if id_ in found])

    async def is_muted(self, app_id: int, user_id: int, dialog_id: str) -> bool:
        """Whether the user has switched its notifications off. Raises NotFound, Forbidden."""
        _, member = await self._standing(app_id, user_id, dialog_id)
        return member is not None and member.muted

    async def _standing(self, app_id: int, user_id: int, dialog_id: str) -> tuple[Dialog, Member | None]:
        dialog = await self._dialogs.by_id(app_id, dialog_id)
        if dialog is None:
            raise NotFound("Dialog does not exist")
        member = await self._dialogs.member(dialog_id, user_id)
        check_inside(dialog, member)
        return dialog, member
