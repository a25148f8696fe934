"""A request whose change is stored is not answered with an error because of what is read afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.node import Node
from voxcube.server.features.history.service import HistoryService
from voxcube.server.storage.database import Unreachable
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.users import UserStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHAPES: list[dict[str, Any]] = [
    {"message": "text"},
    {"message": "live <&>\r\n", "send_to_chat": 1, "markable": 1},
    {"attachments": [{"type": "image", "id": "17", "size": 12}]},
    {"message": "custom", "city": "Oslo", "nested": {"a": 1, "b": [True, None]}},
]


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The history cannot be read while this is in force; `undo()` ends it."""

    async def away(self: HistoryService, **_: Any) -> Any:
        raise Unreachable("away")

    monkeypatch.setattr(HistoryService, "page", away)
    return monkeypatch


@pytest.mark.parametrize("kind", [2, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_message_that_cannot_be_read_back(
    stage: Node, blind: pytest.MonkeyPatch, kind: int, shape: dict[str, Any]
) -> None:
    ann, bob = await stage.person(), await stage.person()
    dialog_id = await stage.dialog(ann, bob, kind=kind)
    async with await stage.rest_login(ann) as client:
        answer = await client.post("/chat/Message", json={"chat_dialog_id": dialog_id, **shape})
        assert answer.status_code == 201, answer.text
        body = answer.json()
        again = await client.post("/chat/Message", json={"chat_dialog_id": dialog_id, "_id": body["_id"], **shape})
        assert again.status_code == 201, again.text
    blind.undo()
    assert [body] == await stage.history(ann, dialog_id)


async def test_an_account_that_cannot_be_read_back(stage: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await stage.person()
    written = False
    update, by_id = UserStore.update, UserStore.by_id

    async def updated(self: UserStore, *args: Any) -> Any:
        nonlocal written
        written = True
        return await update(self, *args)

    async def looked_up(self: UserStore, *args: Any) -> Any:
        if written:
            raise Unreachable("away")
        return await by_id(self, *args)

    async with await stage.rest_login(ann) as client:
        monkeypatch.setattr(UserStore, "update", updated)
        monkeypatch.setattr(UserStore, "by_id", looked_up)
        answer = await client.put(f"/users/{ann.id}", json={"user": {"full_name": "Ann Other", "website": "x.org"}})
        assert answer.status_code == 200, answer.text
        monkeypatch.undo()
        assert (await client.get(f"/users/{ann.id}")).json() == answer.json()


CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/chat/Dialog", {"type": 2, "name": "New", "occupants_ids": ["bob"]}),
    ("POST", "/chat/Dialog", {"type": 4, "name": "New"}),
    ("POST", "/chat/Dialog", {"type": 3, "occupants_ids": ["bob"]}),
    ("PUT", "/chat/Dialog/{group}", {"name": "Other", "push_all": {"occupants_ids": ["cyd"]}}),
    ("PUT", "/chat/Dialog/{group}/admins", {"push_all": {"admins_ids": ["bob"]}}),
    ("POST", "/chat/Dialog/{public}/subscribe", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_dialog_that_cannot_be_read_back(
    stage: Node, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: dict[str, Any]
) -> None:
    people = {name: await stage.person() for name in ("ann", "bob", "cyd")}
    ann, bob, cyd = people.values()
    group, public = await stage.dialog(ann, bob), await stage.dialog(cyd, kind=4)

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        return [filled(inner) for inner in value] if isinstance(value, list) else ids.get(value, value)

    ids: dict[Any, Any] = {name: person.id for name, person in people.items()}

    async def away(self: DialogStore, app_id: int, dialog_id: str, viewer: int) -> Any:
        raise Unreachable("away")

    async with await stage.rest_login(ann) as client:
        with monkeypatch.context() as patch:
            patch.setattr(DialogStore, "view", away)  # what is read by itself, not in the transaction
            answer = await client.request(method, path.format(group=group, public=public), json=filled(body))
        assert answer.status_code in (200, 201), answer.text
        made = answer.json()
        listed = await client.get("/chat/Dialog", params={"_id": made["_id"]})
        assert listed.json()["items"] == [made]
