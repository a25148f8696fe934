"""A network that breaks, with people who go on talking: every message arrives once and in order, whatever happens.

`FAULT_SECONDS=300` makes it minutes instead of seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_network import BadNetwork
from tests.support.server_process import ServerProcess
from voxcube.client import (
    ChatError,
    ChatTimeout,
    Client,
    ConnectionState,
    Message,
    MessageLost,
    NotConnected,
    ReconnectPolicy,
    TransportError,
)
from voxcube.client import connection as connection_module
from voxcube.client.ids import new_message_id

log = logging.getLogger(__name__)

SECONDS = float(os.environ.get("FAULT_SECONDS", "6"))
PASSWORD = "long enough for all"
BATCH = 10  # messages that one sender has under way to one dialog
PAUSE = 0.05  # seconds between two batches, so that the machine has time for the network's faults

pytestmark = pytest.mark.timeout(120 + 4 * SECONDS)


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead connections are noticed soon."""
    monkeypatch.setattr(connection_module, "KEEP_ALIVE", 0.7)
    monkeypatch.setattr(connection_module, "KEEP_ALIVE_TIMEOUT", 0.7)


class Talker:
    """A user on the bad network. All the application does about it: what was not confirmed is sent again."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.user_id = 0
        self.sent: defaultdict[str, list[str]] = defaultdict(list)  # dialog → ids, in order
        self.got: defaultdict[tuple[str, int], list[str]] = defaultdict(list)  # dialog and sender → ids, in order
        self.states: Counter[ConnectionState] = Counter()
        self.sent_again = 0

    async def come(self) -> None:
        session = await self.client.auth.create_session(login=self.name, password=PASSWORD)
        self.user_id = session.user_id
        self.client.chat.on_message(self._receive)
        self.client.chat.on_state(lambda change: self.states.update([change.new]))
        await self.client.chat.connect(self.user_id, PASSWORD)

    def _receive(self, message: Message) -> None:
        assert message.dialog_id is not None
        self.got[message.dialog_id, message.sender_id].append(message.id)

    async def talk(self, dialog_id: str, enough: asyncio.Event, to: dict[str, Any]) -> None:
        """Writes to one dialog, batch by batch, until it is enough; ends when all is confirmed."""
        while not enough.is_set():
            await asyncio.sleep(PAUSE)
            batch = [new_message_id() for _ in range(BATCH)]
            self.sent[dialog_id] += batch
            while batch:
                await self.ready()
                results = await asyncio.gather(*(self._send(message_id, to) for message_id in batch))
                batch = [message_id for message_id, confirmed in zip(batch, results, strict=True) if not confirmed]
                self.sent_again += len(batch)

    async def _send(self, message_id: str, to: dict[str, Any]) -> bool:
        try:
            message = await self.client.chat.send(body=message_id, id=message_id, **to)
        except (MessageLost, NotConnected, ChatTimeout):
            return False
        assert message.id == message_id
        return True

    async def ready(self) -> None:
        """The chat comes back by itself; only when it has given up somebody must ask."""
        while not self.client.chat.is_ready:
            if self.client.chat.state is ConnectionState.CLOSED:
                try:
                    await self.client.chat.reconnect()
                except (ChatError, TransportError):
                    pass
            await asyncio.sleep(0.01)


class Town:
    """People on one bad network, with a private dialog of each two and one group."""

    def __init__(self, server: ServerProcess, network: BadNetwork) -> None:
        self.server = server
        self.network = network
        self.people: list[Talker] = []
        self.enough = asyncio.Event()
        self._app = server.create_app()
        self.private: dict[tuple[int, int], str] = {}
        self.group = ""

    def client(self) -> Client:
        address, port = self.network.address
        return Client(
            app_id=self._app["app_id"],
            auth_key=self._app["auth_key"],
            api_url=self.server.api_url,
            chat_host="localhost",
            chat_address=address,
            chat_port=port,
            transport="tcp",
            reconnect=ReconnectPolicy(max_attempts=1000, delay=0.05, factor=1.5, max_delay=0.5),
            timeout=5.0,
        )

    @asynccontextmanager
    async def gathered(self, size: int) -> AsyncIterator[Town]:
        async with AsyncExitStack() as stack:
            for number in range(size):
                client = await stack.enter_async_context(self.client())
                await client.auth.create_session()
                await client.users.signup(login=f"user{number}", password=PASSWORD)
                self.people.append(Talker(client, f"user{number}"))
            await asyncio.gather(*(person.come() for person in self.people))
            first, *others = self.people
            group = await first.client.dialogs.create_group("All", [each.user_id for each in others])
            self.group = group.id
            for one in self.people:
                for other in self.people:
                    if one.user_id < other.user_id:
                        dialog = await one.client.dialogs.create_private(other.user_id)
                        self.private[one.user_id, other.user_id] = dialog.id
            yield self

    def conversations(self) -> Iterator[asyncio.Task[None]]:
        for person in self.people:
            yield asyncio.create_task(person.talk(self.group, self.enough, {"dialog_id": self.group}))
            for other in self.people:
                if other is not person:
                    pair = (min(person.user_id, other.user_id), max(person.user_id, other.user_id))
                    yield asyncio.create_task(person.talk(self.private[pair], self.enough, {"to_user": other.user_id}))

    def expected(self, person: Talker) -> dict[tuple[str, int], list[str]]:
        found = {}
        for other in self.people:
            if other is not person:
                pair = (min(person.user_id, other.user_id), max(person.user_id, other.user_id))
                for dialog_id in (self.private[pair], self.group):
                    found[dialog_id, other.user_id] = other.sent[dialog_id]
        return found

    async def settle(self, seconds: float = 20.0) -> None:
        """The network is well again: until everything has arrived."""
        self.network.heal()
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            if all(
                len(person.got[key]) >= len(ids) for person in self.people for key, ids in self.expected(person).items()
            ):
                break
            await asyncio.sleep(0.02)
        for person in self.people:
            await person.ready()
            await person.client.chat.ping()

    async def check(self) -> None:
        """Once and in order, at every receiver and in the history."""
        for person in self.people:
            expected = self.expected(person)
            for key, ids in expected.items():
                got = person.got[key]
                assert len(got) == len(set(got)), "the SDK gave out a message twice"
                assert set(ids) - set(got) == set(), f"{person.name} misses {len(set(ids) - set(got))} of {len(ids)}"
                assert got == ids, f"{person.name} got messages in another order than they were sent"
            assert person.got.keys() <= expected.keys()
        for dialog_id in (self.group, *self.private.values()):
            reader = next(person for person in self.people if person.sent[dialog_id])
            history = [m async for m in reader.client.messages.iterate(dialog_id, newest_first=False, by="created_at")]
            for person in self.people:
                assert [m.id for m in history if m.sender_id == person.user_id] == person.sent[dialog_id]

    def tell(self) -> None:
        states = sum((person.states for person in self.people), Counter())
        log.info(
            "%d messages, %d sent again; %d breaks, %d times resumed; %s",
            sum(len(ids) for person in self.people for ids in person.sent.values()),
            sum(person.sent_again for person in self.people),
            states[ConnectionState.FORCE_CLOSED],
            states[ConnectionState.RESUMED],
            dict(self.network.faults),
        )


async def kill_now_and_then(server: ServerProcess, seconds: float, dice: random.Random) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(dice.uniform(1.5, 3))
        if dice.random() < 0.5:
            await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.restart)


@pytest.mark.parametrize("way", ["resumed", "caught up", "the server is killed"])  # how the sessions go on
async def test_everything_arrives_once_and_in_order(tmp_path: Path, way: str) -> None:
    dice = random.Random(2026)
    options: dict[str, Any] = {"resume_seconds": 0 if way == "caught up" else 300, "ping_seconds": 1}
    with ServerProcess(tmp_path / "node", plaintext=True, unlimited=True, **options) as server:
        network = BadNetwork(server.addresses["xmpp"], dice)
        async with network.open(), Town(server, network).gathered(4) as town:
            talking = list(town.conversations())
            breaking = [asyncio.create_task(network.break_for(SECONDS, every=0.15))]
            if way == "the server is killed":
                breaking.append(asyncio.create_task(kill_now_and_then(server, SECONDS, dice)))
            await asyncio.gather(*breaking)
            town.enough.set()
            async with asyncio.timeout(60):
                await asyncio.gather(*talking)
            await town.settle()
            town.tell()
            await town.check()
            resumed = sum(person.states[ConnectionState.RESUMED] for person in town.people)
            assert (resumed > 0) is (way != "caught up")
        assert network.faults.total() > SECONDS / 2  # of several a second; a busy machine has fewer
