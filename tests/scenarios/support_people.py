"""People with our own SDK at a server process: who comes in for one test, and what they share."""

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

from tests.support.server_process import ServerProcess
from voxcube.client import Client, EventStream

PASSWORD = "correct horse"


class World:
    """A server with an application, whose dialogs may have a location and seats, and a maker of clients and users."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.app = server.create_app()
        server.command("app", "set", str(self.app["app_id"]), "dialog_custom_fields=location,seats")
        self.numbers = count(1)

    def client(self, **more: Any) -> Client:
        """A client without a session."""
        given: dict[str, Any] = {
            "app_id": self.app["app_id"],
            "auth_key": self.app["auth_key"],
            "api_url": self.server.api_url,
            "chat_host": "localhost",
            "chat_port": self.server.addresses["xmpps"][1],
            "ca_file": self.server.certificate,
        }
        return Client(**(given | more))

    def login(self) -> str:
        """A login that nobody has."""
        return f"somebody {next(self.numbers)}"


class Meeting:
    """Brings people in for one test."""

    def __init__(self, world: World, stack: AsyncExitStack) -> None:
        self.world = world
        self._stack = stack

    async def come(self, *, online: bool = True, **more: Any) -> Client:
        """Somebody new, who signed up, has a session and is connected."""
        cube = await self._stack.enter_async_context(self.world.client(**more))
        login = self.world.login()
        await cube.users.signup(login=login, password=PASSWORD, full_name=login.title())
        session = await cube.auth.create_session(login=login, password=PASSWORD)
        if online:
            await cube.chat.connect(session.user_id, PASSWORD)
        return cube


def me(cube: Client) -> int:
    assert cube.session is not None
    return cube.session.user_id


async def next_of(stream: EventStream[Any]) -> Any:
    return await asyncio.wait_for(anext(stream), 30)
