"""A whole server in the test's own event loop, with users, dialogs, and raw clients on any of its doors."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.xmpp_peer import Peer
from voxcube.server.accounts import Accounts
from voxcube.server.app import App
from voxcube.server.c2s.hub import Limits
from voxcube.server.config import Config

PASSWORD = "correct horse"
DOORS = ("xmpp", "xmpps", "ws", "wss")


@dataclass(frozen=True)
class Person:
    """A user; `name` is the local part of the address."""

    id: int
    app_id: int
    login: str

    @property
    def name(self) -> str:
        return f"{self.id}-{self.app_id}"

    @property
    def jid(self) -> str:
        return f"{self.name}@localhost"

    def room(self, dialog_id: str) -> str:
        """The address of a dialog's room."""
        return f"{self.app_id}_{dialog_id}@muc.localhost"


class Node:
    """A server with two applications."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.app: App
        self.auth_key = ""
        self.people: dict[str, Person] = {}
        self.stranger: Person  # a user of the other application
        self._peers: list[Peer] = []
        self._kept: list[Peer] = []
        self._ids = itertools.count(1)

    def message_id(self) -> str:
        """A fresh 24-hex id."""
        return f"65a1b2c3{next(self._ids):016x}"

    async def connect(self, door: str = "xmpp", *, narrow: bool = False) -> Peer:
        """A connection on which nothing was said yet."""
        peer = await Peer.connect(
            self.app.doors[door], websocket=door in ("ws", "wss"), tls=door in ("xmpps", "wss"), narrow=narrow
        )
        return self.adopt(peer)

    def adopt(self, peer: Peer) -> Peer:
        """Has a connection ended with the others."""
        self._peers.append(peer)
        return peer

    async def login(
        self,
        person: Person,
        *,
        door: str = "xmpp",
        resource: str | None = None,
        sm: bool = False,
        js: bool = False,
        carbons: bool = False,
        presence: bool = True,
        narrow: bool = False,
    ) -> Peer:
        """A session. `js`: in the order and with the ids of the JavaScript SDK."""
        peer = await self.connect(door, narrow=narrow)
        await peer.login(person.name, PASSWORD, resource)
        if sm:
            await peer.enable()
        if js or carbons:
            suffix = ":enableCarbons" if js else ""
            peer.send(f'<iq type="set" id="c1{suffix}" xmlns="jabber:client"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
            await peer.wait("iq", id=f"c1{suffix}", type="result")
        if presence:
            await peer.available()
        return peer

    async def person(self) -> Person:
        """A new user of the first application, to whom nothing has happened yet."""
        login, app_id = f"user{next(self._ids)}", next(iter(self.people.values())).app_id
        async with Accounts.open(self.config) as accounts:
            user = await accounts.create_user(app_id, login, PASSWORD)
        return Person(user.id, app_id, login)

    @contextlib.asynccontextmanager
    async def again(self, limits: Limits | None = None) -> AsyncIterator[Node]:
        """Starts the server on its data and ports; at the end all connections are ended, by the server first."""
        try:
            async with App(self.config, limits=limits) as self.app:
                yield self
        finally:
            self.keep()
            await asyncio.gather(*(peer.close() for peer in self._kept))

    def keep(self) -> None:
        """The connections made so far stay when others hang up."""
        self._kept += self._peers
        self._peers = []

    async def hang_up(self) -> None:
        """Ends the connections that are not to be kept."""
        peers, self._peers = self._peers, []
        for peer in peers:
            await peer.close()

    def rest(self, token: str = "") -> httpx.AsyncClient:
        """The HTTP door."""
        host, port = self.app.doors["http"]
        headers = {"CB-Token": token} if token else {}
        return httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=headers)

    async def rest_login(self, person: Person) -> httpx.AsyncClient:
        """The HTTP door with a session of a person."""
        user = {"login": person.login, "password": PASSWORD}
        body = {"application_id": person.app_id, "auth_key": self.auth_key, "user": user}
        async with self.rest() as client:
            answer = await client.post("/session", json=body)
        assert answer.status_code == 201, answer.text
        return self.rest(answer.json()["session"]["token"])

    async def dialog(self, owner: Person, *others: Person, kind: int = 2) -> str:
        """A new dialog; returns its id."""
        body = {"type": kind, "name": "Group", "occupants_ids": [other.id for other in others]}
        async with await self.rest_login(owner) as client:
            answer = await client.post("/chat/Dialog", json=body)
        assert answer.status_code == 201, answer.text
        dialog_id: str = answer.json()["_id"]
        return dialog_id

    async def history(self, person: Person, dialog_id: str, **query: Any) -> list[dict[str, Any]]:
        """The messages of a dialog as REST shows them, over as many pages as they fill; by default they are not marked
        as read by this."""
        parameters = {"chat_dialog_id": dialog_id, "mark_as_read": 0, **query}
        items: list[dict[str, Any]] = []
        async with await self.rest_login(person) as client:
            while True:
                answer = await client.get("/chat/Message", params={**parameters, "skip": len(items)})
                assert answer.status_code == 200, answer.text
                page = answer.json()
                items += page["items"]
                if len(page["items"]) < page["limit"] or "limit" in query:
                    return items


@contextlib.asynccontextmanager
async def running(data: Path, *logins: str, limits: Limits | None = None, **options: Any) -> AsyncIterator[Node]:
    """A server on free ports, with these users and `zed` in another application; `options` are those of Config."""
    doors = ("http", "https", *DOORS)
    ports: dict[str, Any] = {f"{door}_port": free_port() for door in doors}
    config = Config(**{"data": data, "plaintext": True, "unlimited": True, "node": data.name, **ports, **options})
    config.check()
    data.mkdir(parents=True, exist_ok=True)
    node = Node(config)
    async with Accounts.open(config) as accounts:
        app, other = await accounts.apps.create("First"), await accounts.apps.create("Other")
        node.auth_key = app.auth_key
        for login in logins:
            user = await accounts.create_user(app.id, login, PASSWORD)
            node.people[login] = Person(user.id, app.id, login)
        zed = await accounts.create_user(other.id, "zed", PASSWORD)
        node.stranger = Person(zed.id, other.id, "zed")
    async with node.again(limits):
        yield node
