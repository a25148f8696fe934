"""`voxcube user …` and `app delete`: what they print and ask, and what becomes of people who are connected."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.commands.conftest import Voxcube
from tests.support.node import PASSWORD, Node, running
from voxcube.server.accounts import Accounts
from voxcube.server.core.errors import Invalid, NotFound
from voxcube.server.storage import app_rows
from voxcube.server.storage.schema import metadata
from voxcube.server.storage.sql import Query


def made(voxcube: Voxcube, *logins: str) -> list[int]:
    """An application with these users; returns their ids."""
    assert voxcube("app", "create", "Test")[0] == 0
    ids = []
    for login in logins:
        status, out, errors = voxcube(
            "user", "create", "--app", 1, "--login", login, "--password-stdin", "--json", given=f"{PASSWORD}\n"
        )
        assert (status, errors) == (0, "")
        ids.append(json.loads(out)["id"])
    return ids


def test_users_are_listed_in_pages(voxcube: Voxcube) -> None:
    ids = made(voxcube, "ann", "bob", "carol")
    status, out, errors = voxcube("user", "list", "--app", 1, "--limit", 2, "--json")
    assert status == 0
    assert [json.loads(line)["login"] for line in out.splitlines()] == ["ann", "bob"]
    assert errors == f"voxcube: there are more users: --after {ids[1]}\n"
    status, out, errors = voxcube("user", "list", "--app", 1, "--limit", 2, "--after", ids[1])
    assert (status, errors) == (0, "")
    assert out.startswith(f"id={ids[2]}  login=carol  is_guest=False  created_at=")
    assert voxcube("user", "list", "--app", 9) == (1, "", "voxcube: there is no application 9\n")
    assert voxcube("user", "list", "--app", 1, "--limit", 0) == (
        2, "", "voxcube: --limit 0 is not between 1 and 1000\n",
    )  # fmt: skip


def test_where_a_password_comes_from(voxcube: Voxcube) -> None:
    (ann,) = made(voxcube, "ann")
    new = ("user", "set-password", "--app", 1)
    assert voxcube(*new, "--id", ann, "--password-stdin", given="another one\nrest") == (
        0, f"the password of user {ann} is changed, and its sessions have ended\n", "",
    )  # fmt: skip
    assert voxcube(*new, "--login", "ANN", "--password", "a third one")[0] == 0
    for arguments, status, text in (
        (("--login", "ann"), 2, "there is no terminal to ask for the password: use --password-stdin or --password"),
        (("--login", "ann", "--password", "x", "--password-stdin"), 2, "give either --password or --password-stdin"),
        (("--password", "correct horse"), 2, "name the user by either --login or --id"),
        (("--login", "ann", "--id", ann, "--password", "x"), 2, "name the user by either --login or --id"),
        (("--login", "bob", "--password", "correct horse"), 1, "application 1 has no user with the login 'bob'"),
        (("--id", "99", "--password", "correct horse"), 1, "User does not exist"),
    ):
        assert voxcube(*new, *arguments) == (status, "", f"voxcube: {text}\n")
    status, _, errors = voxcube(*new, "--login", "ann", "--password", "short")
    assert status == 1
    assert "password" in errors


def test_deletions_ask(voxcube: Voxcube) -> None:
    ids = made(voxcube, "ann", "bob")
    for command in (("user", "delete", "--app", 1, "--login", "ann"), ("app", "delete", 1)):
        for given in ("n\n", ""):
            status, out, errors = voxcube(*command, given=given)
            assert (status, out.strip()) == (1, "")
            assert "Delete " in errors
    status, out, _ = voxcube("user", "delete", "--app", 1, "--login", "ann", given="y\n")
    assert (status, out.strip()) == (0, f"user {ids[0]} is deleted")
    assert voxcube("user", "delete", "--app", 1, "--id", ids[1], "--yes")[:2] == (0, f"user {ids[1]} is deleted\n")
    assert voxcube("user", "list", "--app", 1)[1] == ""
    assert voxcube("app", "delete", 1, "--yes") == (0, "application 1 is deleted\n", "")
    assert voxcube("app", "list") == (0, "", "")
    assert voxcube("app", "delete", 1, "--yes") == (1, "", "voxcube: there is no application 1\n")


# -- beside a running server ---------------------------------------------------------------------------------------


@pytest.fixture
async def node(tmp_path: Path, database_url: str) -> AsyncIterator[Node]:
    async with running(tmp_path / "data", "ann", "bob", database=database_url) as opened:
        yield opened


async def test_a_new_password_ends_sessions(node: Node) -> None:
    ann = node.people["ann"]
    peer, rest = await node.login(ann), await node.rest_login(ann)
    async with Accounts.open(node.config) as accounts:
        user = await accounts.user(ann.app_id, login="ann")
        await accounts.set_password(user, "a new password")
    await peer.end()
    assert (await rest.get(f"/users/{ann.id}")).status_code == 401
    await rest.aclose()


async def test_a_deleted_application_leaves_nothing_behind(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_rows, "ROWS", 3)
    ann, bob = node.people["ann"], node.people["bob"]
    peer = await node.login(ann)
    for dialog in (await node.dialog(ann, bob), await node.dialog(ann, bob, kind=3)):
        async with await node.rest_login(ann) as rest:
            for number in range(5):
                answer = await rest.post("/chat/Message", json={"chat_dialog_id": dialog, "message": f"text {number}"})
                assert answer.status_code == 201, answer.text
    async with Accounts.open(node.config) as accounts:
        with pytest.raises(NotFound):
            await accounts.delete_app(99)
        await accounts.delete_app(ann.app_id)
        with pytest.raises(NotFound):
            await accounts.apps.get(ann.app_id)
        with pytest.raises((NotFound, Invalid)):
            await accounts.create_user(ann.app_id, "new", PASSWORD)
        left: dict[str, Any] = {}
        for table in metadata.tables.values():
            if "app_id" in table.c:
                count = Query(select(func.count()).select_from(table).where(table.c.app_id == ann.app_id))
                left[table.name] = await accounts._database.value(count)
        assert {name: count for name, count in left.items() if count} == {}
    await peer.end()
    await (await node.login(node.stranger)).ping()  # the other application goes on
