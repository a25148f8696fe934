"""What a change of a dialog does to people: the facts that all nodes forget after the commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from voxcube.server.core.errors import NotFound
from voxcube.server.core.models import Dialog, DialogType
from voxcube.server.storage import membership
from voxcube.server.storage.cache import Key
from voxcube.server.storage.database import Tx
from voxcube.server.storage.dialogs import DialogView
from voxcube.server.storage.inbox import LISTED
from voxcube.server.storage.membership import Locked


@dataclass(slots=True)
class Effects:
    """What one transaction has done to the people of a dialog."""

    dialog: Dialog
    actor_id: int | None  # None: an administrator
    joined: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)  # of a dialog that is gone: all its members
    shown: set[int] = field(default_factory=set)  # into whose list the dialog came, or from whose it went, all the same
    gone: bool = False  # the dialog is no more
    view: DialogView | None = None  # how the acting user sees it afterwards, where it is answered with that

    @property
    def keys(self) -> list[Key]:
        """What `Cache.forget` gets after the commit, before the caller is answered."""
        dialog, left = self.dialog, sorted(self.left)
        keys: list[Key] = [("dialog", dialog.id)]
        keys += [(LISTED, user_id) for user_id in sorted(self.joined | self.left | self.shown)]
        if dialog.type is not DialogType.PRIVATE:
            keys += [("member", dialog.id, user_id, dialog.seq) for user_id in sorted(self.joined)]
            keys += [("left", dialog.id, user_id, self.actor_id) for user_id in left]
        elif self.gone and dialog.pair is not None:
            low, high = dialog.pair.split(":")
            keys.append(("pair", dialog.app_id, int(low), int(high)))
        return keys


async def locked_for(
    tx: Tx, app_id: int, dialog_id: str, user_ids: Iterable[int], *, everybody: bool = False
) -> Locked:
    """A dialog under its lock, with the rows of these users; with ``everybody`` all member rows are locked as well.
    Raises NotFound."""
    locked = await membership.lock(tx, app_id, dialog_id, user_ids, everybody=everybody)
    if locked is None:
        raise NotFound("Dialog does not exist")
    return locked
