"""A running server follows settings that the command line changes, within a second."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.support.server_process import ServerProcess

PASSWORD = "correct horse"
FOLLOWED = 3.0  # seconds: one, and what a busy machine adds


def until(answer: Callable[[], httpx.Response], good: Callable[[httpx.Response], bool]) -> httpx.Response:
    """Asks again until the answer is good; returns it, or the last one after FOLLOWED seconds."""
    end = time.monotonic() + FOLLOWED
    while not good(found := answer()) and time.monotonic() < end:
        pass
    return found


def test_custom_fields_and_the_right_to_join_groups(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "server", plaintext=True) as server:
        app = server.create_app()
        app_id = str(app["app_id"])

        def login(name: str) -> httpx.Client:
            server.create_user(app["app_id"], name, PASSWORD)
            client = httpx.Client(base_url=server.api_url)
            body: dict[str, Any] = {"application_id": app["app_id"], "auth_key": app["auth_key"]}
            session = client.post("/session", json=body | {"user": {"login": name, "password": PASSWORD}}).json()
            client.headers["CB-Token"] = session["session"]["token"]
            return client

        def create() -> httpx.Response:
            fields = {"city": "Oslo", "level": 3}
            return ann.post("/chat/Dialog", json={"type": 2, "name": "g", "extensions": fields})

        def join_another() -> httpx.Response:
            return bob.post(f"/chat/Dialog/{create().json()['_id']}/subscribe")

        ann, bob = login("ann"), login("bob")
        with contextlib.closing(ann), contextlib.closing(bob):
            group = create().json()
            assert group["extensions"] is None
            server.command("app", "set", app_id, "dialog_custom_fields=city,level")
            made = until(create, lambda answer: answer.json()["extensions"] is not None).json()
            assert made["extensions"] == {"city": "Oslo", "level": "3"}
            server.command("app", "set", app_id, "dialog_custom_fields=level", "group_subscribe=on")
            assert ann.get(f"/chat/Dialog/{made['_id']}").json()["extensions"] == {"level": "3"}
            made = until(create, lambda answer: "city" not in answer.json()["extensions"]).json()
            assert made["extensions"] == {"level": "3"}
            join = f"/chat/Dialog/{group['_id']}/subscribe"
            assert until(lambda: bob.post(join), lambda answer: answer.is_success).status_code == 200
            server.command("app", "set", app_id, "group_subscribe=off")
            assert until(join_another, lambda answer: answer.is_error).status_code == 403
