"""Users of both SDKs at a server in the test's own event loop (`tests.support.node`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.js_user import JsUser
from tests.support.node import PASSWORD, Node, Person
from voxcube.client import Client
from voxcube.client.http import SessionRestorer


@asynccontextmanager
async def browser(node: Node, person: Person) -> AsyncIterator[JsUser]:
    """A user of the JavaScript SDK with a session and a chat connection, with acknowledgements."""
    doors = node.app.doors
    endpoints = {
        "api": "localhost",
        "api_url": f"http://localhost:{doors['http'][1]}",
        "chat": "localhost",
        "chat_url": f"ws://localhost:{doors['ws'][1]}",
    }
    config = {"endpoints": endpoints, "chat": {"streamManagement": {"enable": True}}}
    async with JsUser(person.app_id, node.auth_key, config) as user:
        await user.call("createSession", {"login": person.login, "password": PASSWORD})
        await user.call("chat.connect", {"userId": person.id, "password": PASSWORD})
        await user.settle()
        yield user


@asynccontextmanager
async def client(
    node: Node, person: Person, *, on_session_expired: SessionRestorer | None = None
) -> AsyncIterator[Client]:
    """A user of our SDK with a session and a chat connection in clear."""
    async with Client(
        app_id=person.app_id,
        auth_key=node.auth_key,
        api_url=f"http://localhost:{node.app.doors['http'][1]}",
        chat_host="localhost",
        chat_address="127.0.0.1",
        chat_port=node.app.doors["xmpp"][1],
        transport="tcp",
        on_session_expired=on_session_expired,
    ) as cube:
        await cube.auth.create_session(login=person.login, password=PASSWORD)
        await cube.chat.connect(person.id, PASSWORD)
        yield cube
