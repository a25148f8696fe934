"""Who may do what in a dialog (rest §5.1): every row of the table, in every type of dialog, for every role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, select

from tests.features.permissions import DIALOG_OPERATIONS, ROLES, TYPES, Operation
from tests.features.world import World
from voxcube.server.core.models import User
from voxcube.server.features.dialogs.service import NewDialog
from voxcube.server.storage import schema
from voxcube.server.storage.sql import Query

KEPT = ("dialogs", "members", "messages", "message_ids", "receipts", "hidden_messages", "erasing")


@dataclass
class Cast:
    """Everybody who takes part, with a session each."""

    world: World
    users: dict[str, User]
    clients: dict[str, httpx.AsyncClient]

    async def stage(self, kind: str) -> dict[str, Any]:
        """A new dialog of this type with everybody in their roles, three messages and a pin: names → ids."""
        world, users = self.world, self.users
        names = {name: user.id for name, user in users.items()}
        if kind == "private":
            body: dict[str, Any] = {"type": 3, "occupants_ids": [names["member"]]}
            before = (await self.clients["owner"].post("/chat/Dialog", json=body)).json()["_id"]
            assert (await self.clients["owner"].delete(f"/chat/Dialog/{before}?force=1")).status_code == 200
            dialog = (await self.clients["owner"].post("/chat/Dialog", json=body)).json()["_id"]
            assert dialog != before
        elif kind == "group":
            inside = [names[name] for name in ("admin", "member", "other")]
            body = {"type": 2, "name": "Trip", "photo": "old", "occupants_ids": inside, "admins_ids": [names["admin"]]}
            dialog = (await self.clients["owner"].post("/chat/Dialog", json=body)).json()["_id"]
        elif kind == "public":
            body = {"type": 4, "name": "Trip", "photo": "old"}
            dialog = (await self.clients["owner"].post("/chat/Dialog", json=body)).json()["_id"]
            for name in ("admin", "member", "other"):
                await self.clients[name].post(f"/chat/Dialog/{dialog}/subscribe")
            appointed = {"push_all": {"admins_ids": [names["admin"]]}}
            assert (await self.clients["owner"].put(f"/chat/Dialog/{dialog}/admins", json=appointed)).status_code == 200
        else:
            new = NewDialog(type=1, name="Trip", photo="old", admins=[names["admin"]])
            dialog = (await world.dialogs.create_broadcast(world.app.id, names["owner"], new)).id
        private: dict[str, Any] = {"recipient_id": names["member"]} if kind == "private" else {}
        message = await world.send(dialog, users["owner"], **private)
        pinned = await world.send(dialog, users["owner"], **private)
        await world.send(dialog, users["member" if kind == "private" else "admin"], **private)
        if kind != "private":
            pins = {"push_all": {"pinned_messages_ids": [pinned.message_id]}}
            assert (await self.clients["owner"].put(f"/chat/Dialog/{dialog}", json=pins)).status_code == 200
        return {**names, "dialog": dialog, "message": message.message_id, "pinned": pinned.message_id}

    async def ask(self, operation: Operation, role: str, names: dict[str, Any]) -> httpx.Response:
        names = {**names, "caller": names[role]}
        method, path = operation.request.format(**names).split()
        body = _filled(operation.body, names) if operation.body else None
        return await self.clients[role].request(method, path, json=body)


@pytest.fixture
async def cast(world: World) -> Cast:
    await world.setting(dialog_custom_fields=("city",))
    users = {name: await world.user(name) for name in (*ROLES[1:], "other", "newcomer")}
    users["foreign"] = await world.user("foreign", world.other)
    clients = {
        name: await world.login(user, world.other if name == "foreign" else world.app) for name, user in users.items()
    }
    return Cast(world, users, clients)


@pytest.mark.parametrize("kind", TYPES)
async def test_dialog_operations(cast: Cast, kind: str) -> None:
    roles = [role for role in ROLES if not (kind == "private" and role == "admin")]
    names = await cast.stage(kind)
    for operation in DIALOG_OPERATIONS:
        for role in roles:
            wanted = operation.status(kind, role)
            if wanted == 200:
                continue
            before = await stored(cast.world, names["dialog"])
            answer = await cast.ask(operation, role, names)
            assert answer.status_code == wanted, (kind, operation.name, role, answer.text)
            assert answer.json()["errors"], (kind, operation.name, role)
            assert await stored(cast.world, names["dialog"]) == before, (kind, operation.name, role)
    for operation in DIALOG_OPERATIONS:
        for role in roles:
            if operation.status(kind, role) != 200:
                continue
            names = await cast.stage(kind)
            before = await stored(cast.world, names["dialog"])
            answer = await cast.ask(operation, role, names)
            assert answer.status_code == 200, (kind, operation.name, role, answer.text)
            if operation.leaves_a_trace(kind):
                assert await stored(cast.world, names["dialog"]) != before, (kind, operation.name, role)


async def stored(world: World, dialog_id: str) -> dict[str, list[Any]]:
    """All that the database holds of a dialog."""

    async def read(tx: Any) -> dict[str, list[Any]]:
        found = {}
        for name in KEPT:
            table = schema.metadata.tables[name]
            key = table.c.id if name == "dialogs" else table.c.dialog_id
            rows = await tx.fetch(Query(select(table).where(key == bindparam("dialog")), "dialog"), dialog_id)
            found[name] = sorted(map(tuple, rows), key=repr)
        return found

    return await world.database.read(read)


def _filled(body: Any, names: dict[str, Any]) -> Any:
    if isinstance(body, dict):
        return {key: _filled(value, names) for key, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, names) for value in body]
    return body.format(**names) if isinstance(body, str) else body
