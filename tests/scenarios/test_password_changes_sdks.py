"""A password that another session changes, as the applications of both SDKs see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.js_user import JsError
from tests.support.node import PASSWORD, Node, Person, running
from tests.support.sdk_users import browser, client
from voxcube.client import (
    AuthenticationFailed,
    ChatClosed,
    ConnectionState,
    Session,
    SessionExpired,
    Unauthorized,
    ValidationFailed,
)
from voxcube.server.accounts import Accounts
from voxcube.server.core.models import Admission

NEW = "another horse"
WATCHED_SECONDS = 25.0


class Attempts:
    """The passwords that were tried at the chat adapter."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passwords: list[str] = []
        real = node.app.hub.authenticate

        async def counted(app_id: int, user_id: int, password: str, address: str) -> Admission | None:
            self.passwords.append(password)
            return await real(app_id, user_id, password, address)

        monkeypatch.setattr(node.app.hub, "authenticate", counted)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running(tmp_path / "node", "ann", "bob", unlimited=False) as node:
        yield node


@pytest.fixture
def attempts(node: Node, monkeypatch: pytest.MonkeyPatch) -> Attempts:
    return Attempts(node, monkeypatch)


async def change_elsewhere(node: Node, person: Person) -> None:
    async with await node.rest_login(person) as rest:
        body = {"user": {"old_password": PASSWORD, "password": NEW}}
        answer = await rest.put(f"/users/{person.id}", json=body)
        assert answer.status_code == 200, answer.text


async def test_the_javascript_sdk(node: Node, attempts: Attempts) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    async with browser(node, ann) as js, browser(node, bob) as other:
        attempts.passwords.clear()
        await change_elsewhere(node, ann)
        await js.event("disconnected")
        await js.event("connectionError", lambda error: error["condition"] == "not-authorized")
        assert (await js.call("chatState"))["connected"] is False
        with pytest.raises(JsError) as ended:
            await js.call("users.listOnline")
        assert ended.value.reason["code"] == 401
        await js.event("sessionExpired")

        async with asyncio.timeout(60):
            await js.event("connectionError", lambda error: error["name"] == "SASLError")
        await asyncio.sleep(WATCHED_SECONDS)
        assert attempts.passwords == [PASSWORD]  # one attempt to reconnect, and no more

        with pytest.raises(JsError):
            await js.call("createSession", {"login": "ann", "password": PASSWORD})
        await js.call("createSession", {"login": "ann", "password": NEW})
        await js.call("chat.disconnect")  # the SDK's stream waits for another login, and refuses a second connection
        await js.call("chat.connect", {"userId": ann.id, "password": NEW})
        await js.settle()
        await js.call("chat.send", bob.id, {"type": "chat", "body": "back", "extension": {"save_to_history": 1}})
        await other.event("message", lambda sender, message: (sender, message["body"]) == (ann.id, "back"))
        assert attempts.passwords == [PASSWORD, NEW]


@pytest.mark.parametrize("logs_in_by", ["password", "token", "renewed token"])
async def test_our_sdk(node: Node, attempts: Attempts, logs_in_by: str) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    renewals = 0

    async def renew() -> Session | None:
        nonlocal renewals
        renewals += 1
        return await cube.auth.create_session(login=ann.login, password=PASSWORD)  # the one it knows

    restorer = renew if logs_in_by == "renewed token" else None
    async with client(node, ann, on_session_expired=restorer) as cube, client(node, bob) as other:
        if logs_in_by != "password":
            await cube.chat.disconnect()
            await cube.chat.connect(ann.id)
        attempts.passwords.clear()
        messages = cube.chat.messages()
        waiting = asyncio.create_task(anext(messages))
        await change_elsewhere(node, ann)
        async with asyncio.timeout(60):
            reason = await cube.chat.closed()
            with pytest.raises(ChatClosed) as closed:
                await waiting
        # The application's own attempt to renew the session says what is wrong as well.
        assert isinstance(reason, Unauthorized if restorer else AuthenticationFailed)
        assert closed.value.reason is reason
        assert cube.chat.state is ConnectionState.CLOSED
        with pytest.raises((SessionExpired, Unauthorized)):
            await cube.users.online_count()
        await asyncio.sleep(WATCHED_SECONDS)
        assert len(attempts.passwords) == 1
        assert renewals <= 2  # for the chat and for the request above

        with pytest.raises(Unauthorized):
            await cube.auth.create_session(login=ann.login, password=PASSWORD)
        await cube.auth.create_session(login=ann.login, password=NEW)
        await cube.chat.connect(ann.id, NEW)
        incoming = other.chat.messages()
        await cube.chat.send(to_user=bob.id, body="back")
        async with asyncio.timeout(60):
            assert (await anext(incoming)).body == "back"
        assert attempts.passwords[1:] == [NEW]


# -- require_password_for_account_changes ------------------------------------------------------------------------------


@pytest.fixture
async def careful(node: Node) -> Node:
    """That server, where another login, e-mail or phone needs the password."""
    async with Accounts.open(node.config) as accounts:
        await accounts.apps.change(node.people["ann"].app_id, {"require_password_for_account_changes": "on"})
    bob = node.people["bob"]
    async with await node.rest_login(bob) as rest, asyncio.timeout(30):
        phones = (f"49151234567{number}" for number in range(10, 1000))
        while (await rest.put(f"/users/{bob.id}", json={"user": {"phone": next(phones)}})).status_code != 422:
            await asyncio.sleep(0.1)  # running servers follow the command line within a second or two
    return node


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "can't be blank"),
    ({"old_password": "a wrong guess"}, "is incorrect"),
]
CHANGES: list[dict[str, Any]] = [{"login": "anne"}, {"email": "anne@example.org"}, {"phone": "4915123456789"}]


async def test_account_changes_of_the_javascript_sdk(careful: Node) -> None:
    async with browser(careful, careful.people["ann"]) as js:
        for change in CHANGES:
            for given, text in REFUSED:
                with pytest.raises(JsError) as refused:
                    await js.call("users.update", {**change, **given})
                assert refused.value.reason["code"] == 422
                assert refused.value.reason["info"]["errors"] == {"old_password": [text]}
            user = (await js.call("users.update", {**change, "old_password": PASSWORD}))["user"]
            assert user.items() >= change.items()
        assert (await js.call("users.update", {"full_name": "Anne"}))["user"]["full_name"] == "Anne"
        await js.settle()  # nothing has ended


async def test_account_changes_of_our_sdk(careful: Node) -> None:
    async with client(careful, careful.people["ann"]) as cube:
        for change in CHANGES:
            for given, text in REFUSED:
                with pytest.raises(ValidationFailed) as refused:
                    await cube.users.update(**change, **given)
                assert refused.value.errors == {"old_password": [text]}
            user = await cube.users.update(**change, old_password=PASSWORD)
            ((name, value),) = change.items()
            assert getattr(user, name) == value
        assert (await cube.users.update(full_name="Anne")).full_name == "Anne"
        assert cube.chat.state is ConnectionState.READY
