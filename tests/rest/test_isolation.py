"""Two applications with the same people and the same talk never see each other: every route that the server declares.

Sessions and accounts have their table in `tests/features/test_users_apart.py`; the other routes have it here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.features import test_users_apart as accounts
from tests.features.world import World, opened
from tests.support.node import running
from voxcube.server.core.models import App, User
from voxcube.server.rest.openapi import describe


class Case(NamedTuple):
    """A request of the one Ann that names what is the other one's: `{twin}`, `{friend}`, `{dialog}`, `{message}`.

    `echoed` are those names that may come back, since the request said them; `found` is how many items a list has.
    """

    route: str
    query: str
    status: int
    body: dict[str, Any] | None = None
    echoed: tuple[str, ...] = ()
    found: int | None = None


DIALOGS = "GET /chat/Dialog"
MESSAGES = "GET /chat/Message"
CASES = [
    Case("POST /chat/Dialog", "", 422, {"type": 3, "occupants_ids": ["{friend}"]}),
    Case("POST /chat/Dialog", "", 201, {"type": 2, "name": "G", "occupants_ids": ["{friend}", "{twin}"]}),
    Case("POST /chat/Dialog", "", 201, {"type": 2, "name": "G", "occupants_ids": "{friend}", "_id": "{dialog}"}),
    Case(DIALOGS, "", 200, found=1),
    Case(DIALOGS, "?_id={dialog}", 200, found=0),
    Case(DIALOGS, "?_id[in]={dialog}", 200, found=0),
    Case(DIALOGS, "?user_id={twin}", 200, found=0),
    Case(DIALOGS, "?name[start_with]=Plans", 200, found=1),
    Case(DIALOGS, "?last_message_date_sent[gt]=0&sort_desc=updated_at", 200, found=1),
    Case(DIALOGS, "?_id[ne]=000000000000000000000000", 200, found=1),
    Case("GET /chat/Dialog/{id}", "/{dialog}", 404),
    Case("POST /admin/chat", "", 401, {"type": 1, "name": "News", "user_id": "{friend}"}),
    Case("PUT /admin/chat/{id}", "/{dialog}", 401, {"name": "Mine"}),
    Case("DELETE /admin/chat/{id}", "/{dialog}", 401),
    Case("PUT /chat/Dialog/{id}", "/{dialog}", 404, {"name": "Mine"}),
    Case("PUT /chat/Dialog/{id}", "/{own}", 200, {"push_all": {"occupants_ids": ["{friend}", "{twin}"]}}),
    Case("PUT /chat/Dialog/{id}", "/{own}", 200, {"push_all": {"pinned_messages_ids": ["{message}"]}}),
    Case("PUT /chat/Dialog/{id}/admins", "", 404, {"push_all": {"admins_ids": ["{twin}"]}}),
    Case("GET /chat/Dialog/{id}/occupants", "", 404),
    Case("GET /chat/Dialog/{id}/notifications", "", 404),
    Case("PUT /chat/Dialog/{id}/notifications", "", 404, {"enabled": 0}),
    Case("POST /chat/Dialog/{id}/subscribe", "", 404),
    Case("DELETE /chat/Dialog/{id}/subscribe", "", 404),
    Case("DELETE /chat/Dialog/{id}", "/{dialog}", 404),
    Case("DELETE /chat/Dialog/{id}", "/{dialog}", 404, {"force": 1}),
    Case("DELETE /chat/Dialog/clearHistory/{id}", "/{dialog}", 404),
    Case("DELETE /chat/Dialog/clearHistory/{id}", "/{dialog}", 404, {"force": 1}),
    Case(MESSAGES, "?chat_dialog_id={dialog}", 404),
    Case(MESSAGES, "?chat_dialog_id={dialog}&preview=1", 404),
    Case(MESSAGES, "?chat_dialog_id={dialog}&count=1", 404),
    Case(MESSAGES, "?chat_dialog_id={own}&_id={message}", 200, found=0),
    Case(MESSAGES, "?chat_dialog_id={own}&sender_id={friend}", 200, found=0),
    Case(MESSAGES, "?chat_dialog_id={own}", 200, found=1),
    Case("GET /chat/Message/unread", "", 200),
    Case("POST /chat/Message", "", 404, {"chat_dialog_id": "{dialog}", "message": "x"}),
    Case("POST /chat/Message", "", 404, {"recipient_id": "{friend}", "message": "x"}),
    Case("POST /chat/Message", "", 404, {"recipient_id": "{twin}", "message": "x", "send_to_chat": 1}),
    Case("POST /chat/Message", "", 201, {"chat_dialog_id": "{own}", "message": "x", "_id": "{message}"}, ("message",)),
    Case("POST /chat/Message/system", "", 404, {"recipientId": "{twin}", "k": "v"}),
    Case("PUT /chat/Message", "", 404, {"chat_dialog_id": "{dialog}", "read": 1}),
    Case("PUT /chat/Message/{ids}", "/{message}", 404, {"chat_dialog_id": "{dialog}", "read": 1}),
    Case("PUT /chat/Message/{ids}", "/{message}", 404, {"chat_dialog_id": "{own}", "message": "x"}),
    Case("DELETE /chat/Message/{ids}", "/{message}?force=1", 200, echoed=("message",)),
    Case("DELETE /chat/Message/{ids}", "/{message}", 200, echoed=("message",)),
    Case("PUT /chat/Message/{id}/reactions", "", 404, {"add": "👍"}),
    Case("GET /chat/Message/{id}/reactions", "", 404),
    Case("GET /chat/search", "?search_text=secret", 200),
    Case("GET /chat/search", "?search_text=secret&chat_dialog_ids={dialog}", 200),
    Case("GET /chat/search", "?search_text=Plans&chat_dialog_ids={dialog},{own}", 200),
    Case("GET /chat/Message/unread", "?chat_dialog_ids={dialog}", 200, echoed=("dialog",)),
]


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with opened(database_url) as world:
        yield world


async def test_every_route_is_in_a_table(world: World) -> None:
    declared = {f"{route.method} {route.path}" for route in world.routes}
    assert {case.route for case in CASES} | {case.route for case in accounts.CASES} == declared


async def test_the_tests_know_every_route_of_the_server(world: World, tmp_path: Path) -> None:
    """A feature that `app.py` wires and `World` does not would be in no table."""
    async with running(tmp_path / "node") as node, node.rest() as http:
        served = (await http.get("/docs/openapi.json")).json()
    assert served["paths"] == json.loads(json.dumps(describe(world.routes, version="")["paths"]))


class Side(NamedTuple):
    """Ann and her friend in one application, with a group and a message in it."""

    ann: User
    friend: User
    dialog: str
    message: str


async def side(world: World, app: App, said: str) -> Side:
    ann, friend = await world.user("ann", app), await world.user("friend", app)
    client = await world.login(ann, app)
    answer = await client.post("/chat/Dialog", json={"type": 2, "name": "Plans", "occupants_ids": [friend.id]})
    dialog: str = answer.json()["_id"]
    sent = await world.send(dialog, friend, said)
    return Side(ann, friend, dialog, sent.message_id)


async def test_nobody_sees_or_changes_another_application(world: World) -> None:
    own, other = await side(world, world.app, "ours"), await side(world, world.other, "a secret of theirs")
    names = {"twin": other.ann.id, "friend": other.friend.id, "dialog": other.dialog, "message": other.message}
    client, before = await world.login(own.ann), await seen(world, other)
    first = {dialog["_id"] for dialog in (await client.get("/chat/Dialog")).json()["items"]}
    for case in sorted(CASES, key=lambda case: case.route.startswith("POST")):  # lists before there is more to list
        method, path = case.route.removesuffix("/{id}").removesuffix("/{ids}").split()
        path = path.replace("{id}", other.message if "/Message/" in path else other.dialog) + case.query.format(
            own=own.dialog, **names
        )
        answer = await client.request(method, path, json=filled(case.body, {**names, "own": own.dialog}))
        assert answer.status_code == case.status, (case, answer.text)
        theirs = {value for name, value in names.items() if name not in case.echoed}
        assert theirs.isdisjoint(scalars(answer.json())), case
        assert "secret" not in answer.text, case
        if case.found is not None:
            assert len(answer.json()["items"]) == case.found, case
        if case.echoed == ("dialog",):
            assert answer.json() == {"total": 0, other.dialog: 0}, case
        assert await seen(world, other) == before, case
    assert first == {own.dialog}


async def seen(world: World, side: Side) -> list[Any]:
    """What the other Ann and her friend see of their own."""
    found = []
    for user in (side.ann, side.friend):
        client = await world.login(user, world.other)
        for path in ("/chat/Dialog", f"/chat/Message?chat_dialog_id={side.dialog}&mark_as_read=0"):
            found.append((await client.get(path)).json())
        found.append((await client.get("/chat/Message/unread")).json())
    return found


def filled(body: Any, names: dict[str, Any]) -> Any:
    if isinstance(body, dict):
        return {key: filled(value, names) for key, value in body.items()}
    if isinstance(body, list):
        return [filled(value, names) for value in body]
    return body.format(**names) if isinstance(body, str) else body


def scalars(value: Any) -> Iterator[Any]:
    """Every key and every plain value inside a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from scalars(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from scalars(inner)
    else:
        yield value
