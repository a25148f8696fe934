"""Who may do what in a dialog: the permission matrix of rest §5.1 as a table."""

from __future__ import annotations

from enum import IntEnum

from voxcube.server.core.errors import Forbidden
from voxcube.server.core.models import Dialog, DialogType, Member


class Role(IntEnum):
    """What somebody is in a dialog; each may do what those before it may."""

    STRANGER = 0
    MEMBER = 1  # in a broadcast dialog: every user of the application
    ADMIN = 2
    OWNER = 3
    NOBODY = 4  # as a need: there is no such operation in this type of dialog


_S, _M, _A, _O, _N = Role

#: The least role for each operation in private, group, public and broadcast dialogs.
_NEEDS: dict[str, tuple[Role, Role, Role, Role]] = {
    #                   3   2   4   1
    "read": (_M, _M, _M, _M),
    "describe": (_M, _M, _A, _A),  # name, photo, description; ignored in private dialogs
    "extend": (_M, _M, _A, _A),  # extensions and custom data
    "permit": (_N, _A, _A, _A),  # permissions
    "add": (_N, _M, _N, _N),  # occupants
    "remove": (_N, _A, _A, _N),  # occupants; anybody may remove itself
    "pin": (_N, _A, _A, _A),
    "appoint": (_N, _O, _O, _O),  # admins
    "put away": (_M, _M, _M, _M),  # delete for oneself
    "delete": (_O, _O, _O, _O),  # delete for everyone
    "clear": (_M, _M, _M, _M),  # the history, for oneself
    "clear for all": (_O, _O, _O, _O),
}
_PLACES = {DialogType.PRIVATE: 0, DialogType.GROUP: 1, DialogType.PUBLIC: 2, DialogType.BROADCAST: 3}


def role_of(dialog: Dialog, user_id: int, member: Member | None) -> Role:
    """What a user of the dialog's application is in it; ``member`` is the user's row."""
    if user_id == dialog.owner_id:
        return Role.OWNER
    if member is not None and member.active:
        return Role.ADMIN if member.admin else Role.MEMBER
    return Role.MEMBER if dialog.type is DialogType.BROADCAST else Role.STRANGER


def check_inside(dialog: Dialog, member: Member | None) -> None:
    """Raises Forbidden for who is not in it, be it the owner who has left a public dialog; all are in a broadcast."""
    if dialog.type is not DialogType.BROADCAST and (member is None or not member.active):
        raise Forbidden("You are not a member of this dialog")


def check(operation: str, kind: DialogType, role: Role) -> None:
    """Raises Forbidden when the role is too small for the operation."""
    if role < _NEEDS[operation][_PLACES[kind]]:
        if role is Role.STRANGER:
            raise Forbidden("You are not a member of this dialog")
        raise Forbidden(f"You may not do this in the dialog: {operation}")
