"""Several servers in one process on one PostgreSQL, joined by a test bus, with SDK users on any of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.bus import TestBus, Weather
from tests.support.ports import free_port
from voxcube.client import Client, DialogType, Event, Message
from voxcube.client.receipts import Receipt
from voxcube.server.accounts import Accounts
from voxcube.server.app import App
from voxcube.server.config import Config
from voxcube.server.core.models import App as Application
from voxcube.server.storage.late import LateStore
from voxcube.xmpp.xml import Element

PASSWORD = "correct horse"
MUCH = 2**31
WAIT_SECONDS = 60.0


class Written(NamedTuple):
    """A message that a seat was given on the wire, by itself or as the copy of what another seat sent."""

    dialog_id: str
    id: str
    body: str
    copy: bool
    late: bool


def _taken(event: object) -> None:
    """A listener for events that the test sees in `Seat.wire`."""


class Seat:
    """A user at one node: an SDK client, and everything the server wrote to it."""

    def __init__(self, cube: Client, user_id: int, node: int) -> None:
        self.cube = cube
        self.user_id = user_id
        self.node = node
        self.wire: list[Written] = []
        self.sent: set[str] = set()
        life: Any = cube.chat._life
        self._inner: Callable[[Element, Receipt], None] = life._on_stanza
        life._on_stanza = self._note  # below the SDK, which drops what it was given before
        for event in Event:  # what no listener takes is not acknowledged, and comes again with the next session
            cube.chat.on(event, _taken)

    async def send(self, body: str, *, to: Seat | None = None, dialog_id: str | None = None, **other: Any) -> Message:
        message = await self.cube.chat.send(body=body, to_user=to.user_id if to else None, dialog_id=dialog_id, **other)
        self.sent.add(message.id)
        return message

    def got(self, dialog_id: str) -> list[str]:
        """Ids of the messages of a dialog in the order they came, repetitions included."""
        return [written.id for written in self.wire if written.dialog_id == dialog_id]

    async def until(self, met: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Waits until a condition on what came is met."""
        try:
            async with asyncio.timeout(seconds):
                while not met():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"user {self.user_id} at node {self.node} was given only {self.wire}") from None

    def _note(self, stanza: Element, receipt: Receipt) -> None:
        copy = stanza.find("sent")
        inner = stanza
        if copy is not None:
            forwarded = copy.find("forwarded")
            assert forwarded is not None
            inner = next(iter(forwarded.elements()))
        body, extra = inner.find("body"), inner.find("extraParams")
        if inner.name == "message" and body is not None and inner.get("type") != "error":
            dialog = extra.find("dialog_id") if extra is not None else None
            dialog_id = dialog.text if dialog is not None else ""
            late = inner.find("delay") is not None
            self.wire.append(Written(dialog_id, inner.get("id") or "", body.text, copy is not None, late))
        self._inner(stanza, receipt)


class Cluster:
    """The nodes, their bus, and the users."""

    def __init__(self, bus: TestBus) -> None:
        self.bus = bus
        self.nodes: list[App] = []
        self.application: Application
        self._users: dict[str, int] = {}
        self._seats: list[Seat] = []

    def client(self, node: int, **options: Any) -> Client:
        doors = self.nodes[node].doors
        return Client(
            app_id=self.application.id,
            auth_key=self.application.auth_key,
            api_url=f"http://127.0.0.1:{doors['http'][1]}",
            chat_host="localhost",
            chat_address="127.0.0.1",
            chat_port=doors["xmpp"][1],
            transport="tcp",
            auto_mark_delivered=False,
            **options,
        )

    async def seat(self, login: str, node: int, *, rest: bool = False) -> Seat:
        """A session of a user at a node, ready; with `rest` it may use the REST API as well."""
        cube = self.client(node)
        seat = Seat(cube, self._users[login], node)
        self._seats.append(seat)
        if rest:
            await cube.auth.create_session(login=login, password=PASSWORD)
        await cube.chat.connect(seat.user_id, PASSWORD)
        await cube.chat.ping()  # the answer comes after all that presence brought
        return seat

    def user(self, login: str) -> int:
        return self._users[login]

    async def stored(self, dialog_id: str) -> list[str]:
        """The ids of a dialog's messages in the order of their numbers."""
        found = await LateStore(self.nodes[0].database).range(dialog_id, 0, MUCH)
        return [message.id for message in found]

    async def private(self, a: Seat, b: Seat) -> str:
        """The private dialog of two users."""
        dialog = await a.cube.dialogs.create(type=DialogType.PRIVATE, occupants_ids=[b.user_id])
        return dialog.id

    async def complete(self, dialog_id: str, *seats: Seat, group: bool) -> list[str]:
        """Waits until the seats were given the whole dialog, and checks that each was given it once and in order.

        The weather clears up: what was lost stays lost, but what is said from now on arrives.
        """
        self.bus.weather.drop = 0.0
        stored = await self.stored(dialog_id)
        for seat in seats:
            due = stored if group else [id_ for id_ in stored if id_ not in seat.sent]
            await seat.until(lambda seat=seat, due=due: set(seat.got(dialog_id)) >= set(due))  # type: ignore[misc]
        await asyncio.sleep(0.1)  # for what should not come
        for seat in seats:
            due = stored if group else [id_ for id_ in stored if id_ not in seat.sent]
            assert seat.got(dialog_id) == due, f"user {seat.user_id} at node {seat.node}"
        return stored

    async def leave(self, seat: Seat) -> None:
        self._seats.remove(seat)
        await seat.cube.close()

    async def stop(self, node: int) -> None:
        """Ends one node in good order; its sessions end with it."""
        await self.nodes[node].__aexit__()

    async def close(self) -> None:
        for seat in self._seats:
            await seat.cube.close()


@contextlib.asynccontextmanager
async def joined(
    url: str, data: Path, *logins: str, nodes: int = 2, weather: Weather | None = None, seed: int = 1
) -> AsyncIterator[Cluster]:
    """Nodes on the database at `url`, with these users."""
    cluster = Cluster(TestBus(weather, seed=seed))
    async with contextlib.AsyncExitStack() as stack:
        for number in range(nodes):
            config = Config(
                data=data / f"node{number}",
                node=f"node{number}",
                database=url,
                http_port=free_port(),
                https_port=0,
                xmpp_port=free_port(),
                xmpps_port=0,
                ws_port=0,
                wss_port=0,
                plaintext=True,
                unlimited=True,
            )
            config.data.mkdir(parents=True, exist_ok=True)
            if not number:
                async with Accounts.open(config) as accounts:
                    cluster.application = await accounts.apps.create("First")
                    for login in logins:
                        user = await accounts.create_user(cluster.application.id, login, PASSWORD)
                        cluster._users[login] = user.id
            cluster.nodes.append(await stack.enter_async_context(App(config, bus=cluster.bus.join())))
        stack.push_async_callback(cluster.close)
        yield cluster
