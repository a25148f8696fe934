"""Who may change and delete messages: the rows of rest §5.1 that are about them, for every role in every type."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.features.permissions import LEAST, ROLES
from tests.features.test_message_changes_rest import MESSAGE
from tests.features.world import World
from voxcube.server.core.models import User
from voxcube.server.features.dialogs.changes import Change, Lists
from voxcube.server.features.dialogs.service import NewDialog

TYPES = {"private": 3, "group": 2, "public": 4, "broadcast": 1}


class Operation(NamedTuple):
    """The least role for private, group, public and broadcast; `own`: of a message of one's own."""

    name: str
    own: bool
    allowed: str


OPERATIONS = [
    Operation("delete for oneself", True, "R R R A"),
    Operation("delete for everyone", True, "R R R A"),
    Operation("delete for oneself", False, "R R R A"),
    Operation("delete for everyone", False, "- A A A"),
    Operation("edit", True, "R R R A"),
    Operation("edit", False, "- - - -"),
    Operation("read", False, "R R R S"),
]


async def prepared(world: World, kind: str) -> tuple[str, dict[str, User]]:
    """A dialog of this type with everybody in their roles; the stranger has been in it before."""
    names = [role for role in ROLES if kind != "private" or role in ("foreign", "stranger", "member")]
    users = {role: await world.user(role, world.other if role == "foreign" else None) for role in names}
    owner = users["member" if kind == "private" else "owner"]
    users["other"] = await world.user("other")
    if kind == "broadcast":
        new = NewDialog(type=1, name="News", admins=[users["admin"].id])
        return (await world.dialogs.create_broadcast(world.app.id, owner.id, new)).id, users
    people = [users["other"].id, *(users[role].id for role in names if role not in ("foreign", "stranger"))]
    new = NewDialog(type=TYPES[kind], name="G", occupants=[id_ for id_ in people if id_ != owner.id])
    dialog_id = (await world.dialogs.create(world.app.id, owner.id, new)).view.dialog.id
    if kind == "public":
        for id_ in people:
            await world.changes.subscribe(world.app.id, id_, dialog_id)
    if kind != "private":
        change = Change(push=Lists(admins=frozenset({users["admin"].id})))
        await world.changes.update(world.app.id, owner.id, dialog_id, change)
    return dialog_id, users


def allowed(operation: Operation, kind: str, role: str) -> bool:
    letter = operation.allowed.split()[list(TYPES).index(kind)]
    if letter == "-" or role == "foreign":
        return False
    return ROLES.index(role) >= ROLES.index(LEAST[letter])


@pytest.mark.parametrize("kind", TYPES)
async def test_who_may_change_messages(world: World, kind: str) -> None:
    dialog_id, users = await prepared(world, kind)
    other = users.pop("other")
    for role, user in users.items():
        client = await world.login(user, world.other if role == "foreign" else None)
        readable = role not in ("foreign", "stranger") or (kind == "broadcast" and role == "stranger")
        for operation in OPERATIONS:
            if operation.own and role == "foreign":
                continue
            send = await world.send(dialog_id, user if operation.own else other)
            world.parcels.take()
            path, case = f"{MESSAGE}/{send.message_id}", (kind, role, operation)
            if operation.name.startswith("delete"):
                force = int(operation.name == "delete for everyone")
                answer = await client.delete(path, params={"force": force})
                found = next(key for key, value in answer.json().items() if value["ids"])
                refused = "WrongPermissions" if readable else "NotFound"
                assert found == ("SuccessfullyDeleted" if allowed(operation, kind, role) else refused), case
                told = bool(force) and found == "SuccessfullyDeleted"
            else:
                body = {"message": "new"} if operation.name == "edit" else {"read": 1}
                answer = await client.put(path, json={"chat_dialog_id": dialog_id, **body})
                refusal = 404 if role == "foreign" else 403
                assert answer.status_code == (200 if allowed(operation, kind, role) else refusal), case
                told = answer.status_code == 200 and (operation.name == "edit" or kind in ("private", "group"))
            assert bool(world.parcels.take()) == told, case
