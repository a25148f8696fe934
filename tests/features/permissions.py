"""The permission matrix of rest §5.1 as a table: the least role that may do an operation in each type of dialog.

A test runs every row for every role: `test_dialog_permissions.py`. A row is one request; whoever is refused must have
changed nothing, and whoever is not must have changed something where the row says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: From nobody to the owner; each may do what those before it may. `foreign`: a user of another application.
ROLES = ("foreign", "stranger", "member", "admin", "owner")
#: The least role, in the letters of rest §5.1: S any user of the application, R member, A admin, O owner, - nobody.
LEAST = {"S": "stranger", "R": "member", "A": "admin", "O": "owner"}
TYPES = {"private": 3, "group": 2, "public": 4, "broadcast": 1}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One request. `{dialog}`, `{message}` (the owner's, not pinned), `{pinned}`, and the roles name what they say;
    `{caller}` is who asks, `{other}` a further member, `{newcomer}` somebody who is not in the dialog."""

    name: str
    request: str  # method and path
    body: dict[str, Any] = field(default_factory=dict)
    allowed: str  # letters for private, group, public, broadcast
    changes: str = "yyyy"  # whether it changes what is stored, in the same order
    refused: int = 403
    impossible: dict[str, int] = field(default_factory=dict)  # what everybody is told in such dialogs, if not 403

    def status(self, kind: str, role: str) -> int:
        """What a role is answered."""
        if role == "foreign":
            return 404
        letter = self.allowed.split()[list(TYPES).index(kind)]
        if letter == "-":
            return self.impossible.get(kind, 403)
        if kind == "broadcast" and role == "stranger":
            role = "member"  # every user of the application is
        return 200 if ROLES.index(role) >= ROLES.index(LEAST[letter]) else self.refused

    def leaves_a_trace(self, kind: str) -> bool:
        return self.changes[list(TYPES).index(kind)] == "y"


def _change(name: str, allowed: str, body: dict[str, Any], changes: str = "yyyy") -> Operation:
    return Operation(name=name, request="PUT /chat/Dialog/{dialog}", body=body, allowed=allowed, changes=changes)


DIALOG_OPERATIONS = [
    #                              3 2 4 1
    _change("rename", "R R A A", {"name": "New"}, "nyyy"),
    _change("describe", "R R A A", {"description": "New"}, "nyyy"),
    _change("set photo", "R R A A", {"photo": "uid"}, "nyyy"),
    _change("clear photo", "R R A A", {"photo": ""}, "nyyy"),
    _change("extend", "R R A A", {"extensions": {"city": "Rome"}}),
    _change("set data", "R R A A", {"data": {"class_name": "Trip", "days": 3}}),
    _change("permit", "- A A A", {"permissions": {"allow_preview": True}}),
    _change("add an occupant", "- R - -", {"push_all": {"occupants_ids": ["{newcomer}"]}}),
    _change("remove an occupant", "- A A -", {"pull_all": {"occupants_ids": ["{other}"]}}),
    _change("remove oneself", "- R R -", {"pull_all": {"occupants_ids": ["{caller}"]}}),
    _change("remove the owner", "- O O -", {"pull_all": {"occupants_ids": ["{owner}"]}}),
    _change("pin", "- A A A", {"push_all": {"pinned_messages_ids": ["{message}"]}}),
    _change("unpin", "- A A A", {"pull_all": {"pinned_messages_ids": ["{pinned}"]}}),
    _change("add an admin", "- O O O", {"push_all": {"admins_ids": ["{other}"]}}),
    _change("remove an admin", "- O O O", {"pull_all": {"admins_ids": ["{admin}"]}}),
    _change("rename and add an admin", "- O O O", {"name": "New", "push_all": {"admins_ids": ["{other}"]}}),
    Operation(
        name="appoint",
        request="PUT /chat/Dialog/{dialog}/admins",
        body={"push_all": {"admins_ids": ["{other}"]}, "pull_all": {"admins_ids": ["{admin}"]}},
        allowed="- O O O",
    ),
    Operation(name="delete for oneself", request="DELETE /chat/Dialog/{dialog}", allowed="R R R R"),
    Operation(name="delete for everyone", request="DELETE /chat/Dialog/{dialog}?force=1", allowed="O O O O"),
    Operation(name="clear for oneself", request="DELETE /chat/Dialog/clearHistory/{dialog}", allowed="R R R R"),
    Operation(
        name="clear for everyone", request="DELETE /chat/Dialog/clearHistory/{dialog}?force=1", allowed="O O O O"
    ),
    Operation(
        name="subscribe",
        request="POST /chat/Dialog/{dialog}/subscribe",
        allowed="- - S S",
        changes="nnnn",  # nothing for those who are in it
        impossible={"private": 422},
    ),
    Operation(
        name="unsubscribe",
        request="DELETE /chat/Dialog/{dialog}/subscribe",
        allowed="- R S S",
        changes="nyny",
        impossible={"private": 422},
    ),
    Operation(
        name="read the occupants", request="GET /chat/Dialog/{dialog}/occupants", allowed="R R R R", changes="nnnn"
    ),
    Operation(name="mute", request="PUT /chat/Dialog/{dialog}/notifications", body={"enabled": 0}, allowed="R R R R"),
    Operation(
        name="ask whether it is muted",
        request="GET /chat/Dialog/{dialog}/notifications",
        allowed="R R R R",
        changes="nnnn",
    ),
    Operation(name="read", request="GET /chat/Dialog/{dialog}", allowed="R R R R", changes="nnnn", refused=404),
    Operation(
        name="read the history",
        request="GET /chat/Message?chat_dialog_id={dialog}&mark_as_read=0",
        allowed="R R R R",
        changes="nnnn",
    ),
]
