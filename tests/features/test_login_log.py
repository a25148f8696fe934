"""What the log says of logins and refusals: who and from where, and nothing that a client typed."""

from __future__ import annotations

import contextlib
import logging
import re

import pytest

from tests.features.world import PASSWORD, World
from voxcube.server.core.errors import TooManyRequests, Unauthorized
from voxcube.server.features.sessions.service import Credentials

ADDRESS = "192.0.2.1"


async def test_logins_and_refusals_are_logged_without_secrets(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="voxcube")
    ann = await world.user("ann")

    async def rest(login: str, password: str) -> str:
        credentials = Credentials(login=login, password=password)
        opened = await world.sessions.create(
            app_id=world.app.id, auth_key=world.app.auth_key, credentials=credentials, address=ADDRESS
        )
        return opened.token

    async def xmpp(password: str) -> bool:
        return await world.sessions.check_credentials(world.app.id, ann.id, password, ADDRESS) is not None

    async def lines() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.name.startswith("voxcube.server.features")]
        caplog.clear()
        return found

    who = f"user {ann.id} of application {world.app.id} from {ADDRESS}"
    token = await rest("ann", PASSWORD)
    assert await xmpp(PASSWORD)
    assert await xmpp(token)
    assert await lines() == [f"login: {who}", f"login: {who}", f"login by token: {who}"]
    assert not await xmpp("hunter2 hunter2")
    assert not await xmpp("f" * 64)
    with pytest.raises(Unauthorized):
        await rest("ann", "hunter2 hunter2")
    assert await lines() == [
        f"login refused: wrong password for {who}",
        f"login refused: unknown or ended token from {ADDRESS}",
        f"login refused: wrong password for {who}",
    ]
    with contextlib.suppress(TooManyRequests):
        for _ in range(50):
            await xmpp("hunter2 hunter2")
    said = await lines()
    assert said[-1] == f"login refused after too many wrong passwords: {who}"
    assert not any(re.search("hunter2|ffff", line) for line in said)
