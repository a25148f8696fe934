"""A commit whose answer is lost, and a database that stays away for longer than the writer waits.

The messages may be stored although their sender was refused. Every session that is connected throughout must be given
them once and in the order of the dialog, whether the sender sends them again or never comes back.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.reader import Reader
from tests.support import cluster, node
from tests.support.database_proxy import DatabaseProxy, cut_at_commit_of, database_proxy
from tests.support.postgres import PostgresServer
from voxcube.client import Client
from voxcube.server.app import App
from voxcube.server.storage.writer import PATIENCE

SHORT = 0.3  # seconds of patience with the database where the real one would only take time
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))  # 0: eight on one node whose answers take 2 ms, else two
PASSWORD = node.PASSWORD
KINDS = ("pair", "group")
USERS = ("ann", "bob", "cyd")
SAVE = '<extraParams xmlns="jabber:client"><save_to_history>1</save_to_history></extraParams>'

_ids = itertools.count(1)
pytestmark = pytest.mark.timeout(300)


def fresh_id() -> str:
    return f"65a1b2c4{next(_ids):016x}"


def stanza(to: str, id_: str) -> str:
    """A stored message; its body is its id."""
    kind = "groupchat" if "@muc." in to else "chat"
    return f'<message xmlns="jabber:client" type="{kind}" to="{to}" id="{id_}"><body>{id_}</body>{SAVE}</message>'


class Stage:
    """Servers on one PostgreSQL behind a proxy, three users, a private dialog of ann and bob, and a group of all."""

    def __init__(self, apps: Sequence[App], proxy: DatabaseProxy, app_id: int, users: dict[str, int]) -> None:
        self.apps = apps
        self.proxy = proxy
        self.app_id = app_id
        self.users = users
        self.group_id = ""
        self.sessions: list[Reader] = []

    def jid(self, name: str) -> str:
        return f"{self.users[name]}-{self.app_id}@localhost"

    def client(self, at: int, auth_key: str) -> Client:
        url = f"http://127.0.0.1:{self.apps[at].doors['http'][1]}"
        return Client(app_id=self.app_id, auth_key=auth_key, api_url=url, chat_host="localhost")

    async def enter(self, name: str, at: int, *, sm: bool, resource: str = "") -> Reader:
        """A session of a user at a node."""
        resource = resource or f"{name}{fresh_id()}"
        reader = await Reader.enter(
            self.apps[at].doors["xmpp"], f"{self.users[name]}-{self.app_id}", PASSWORD, resource=resource, sm=sm
        )
        self.sessions.append(reader)
        return reader

    async def leave(self, reader: Reader) -> None:
        self.sessions.remove(reader)
        await reader.close()

    def to(self, kind: str) -> str:
        """Where ann's messages go: to bob, or to the group."""
        return self.jid("bob") if kind == "pair" else f"{self.app_id}_{self.group_id}@muc.localhost"

    async def lose_commit(self, kind: str, id_: str, way: str = "after") -> None:
        """A session of ann sends a message whose commit is broken, and is refused; the database is away then."""
        sender = await self.enter("ann", 0, sm=True)
        sender.seconds += PATIENCE
        cut_at_commit_of(self.proxy, self.apps[0], way, id_)
        self.proxy.then_away = True
        cuts = self.proxy.cuts
        sender.send(stanza(self.to(kind), id_))
        await sender.end("internal-server-error")
        assert self.proxy.cuts == cuts + 1
        await self.leave(sender)


@asynccontextmanager
async def staged(
    postgres: PostgresServer, path: Path, nodes: int, *, patience: float = SHORT, answer_seconds: float = 0.0
) -> AsyncIterator[Stage]:
    url = postgres.create_database()
    proxy = DatabaseProxy(postgres.port)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(database_proxy(proxy))
        url = url.replace(f":{postgres.port}/", f":{port}/")
        if nodes == 1:
            alone = await stack.enter_async_context(node.running(path / "node", *USERS, database=url))
            people = {name: person.id for name, person in alone.people.items()}
            stage = Stage([alone.app], proxy, alone.people["ann"].app_id, people)
            auth_key = alone.auth_key
        else:
            several = await stack.enter_async_context(cluster.joined(url, path, *USERS, nodes=nodes))
            people = {name: several.user(name) for name in USERS}
            stage = Stage(several.nodes, proxy, several.application.id, people)
            auth_key = several.application.auth_key
        async with stage.client(0, auth_key) as ann:
            await ann.auth.create_session(login="ann", password=PASSWORD)
            await ann.dialogs.create_private(people["bob"])
            stage.group_id = (await ann.dialogs.create_group("All", [people["bob"], people["cyd"]])).id
        for app in stage.apps:
            writer: Any = app.writer
            writer._patience = patience
        proxy.answer_seconds = answer_seconds
        try:
            yield stage
        finally:
            proxy.back()
            for reader in stage.sessions:
                await reader.close()


class Audience:
    """Sessions that stay connected: bob twice, cyd, and another one of ann; on two nodes they are on both."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.of: dict[str, list[Reader]] = {}

    async def enter(self) -> None:
        last = len(self.stage.apps) - 1
        phone = await self.stage.enter("bob", 0, sm=True)
        desk = await self.stage.enter("bob", last, sm=False)
        cyd = await self.stage.enter("cyd", last, sm=True)
        ann = await self.stage.enter("ann", last, sm=True)
        self.of = {"pair": [phone, desk, ann], "group": [phone, desk, cyd, ann]}

    async def check(self, kind: str, ids: Sequence[str]) -> None:
        """Wait until everybody has these messages; then they must be there once and in this order."""
        for reader in self.of[kind]:
            await reader.until(lambda reader=reader: set(ids) <= set(reader.got), ids)  # type: ignore[misc]
        for reader in self.of[kind]:
            await reader.ping()
            assert reader.of(ids) == list(ids), reader.jid


async def one_round(stage: Stage, audience: Audience, kind: str, *, away_seconds: float = 0.0) -> None:
    ids = [fresh_id() for _ in range(4)]
    began = asyncio.get_running_loop().time()
    await stage.lose_commit(kind, ids[0])
    await asyncio.sleep(max(0.0, began + away_seconds - asyncio.get_running_loop().time()))
    stage.proxy.back()
    sender = await stage.enter("ann", 0, sm=True)
    # As SDKs do: first what was not acknowledged, with the same ids, then what was written meanwhile.
    sender.send("".join(stanza(stage.to(kind), id_) for id_ in ids))
    assert await sender.request() == 2 + 4  # carbons and presence, and the messages
    await audience.check(kind, ids)
    await stage.leave(sender)


@pytest.mark.parametrize("answer_seconds", [0.0, 0.002, 0.03], ids=["0ms", "2ms", "30ms"])
@pytest.mark.parametrize("nodes", [1, 2], ids=["one node", "two nodes"])
async def test_a_resend_takes_its_place(
    postgres_server: PostgresServer, tmp_path: Path, nodes: int, answer_seconds: float
) -> None:
    async with staged(postgres_server, tmp_path, nodes, answer_seconds=answer_seconds) as stage:
        audience = Audience(stage)
        await audience.enter()
        for number in range(ROUNDS or (8 if nodes == 1 and answer_seconds == 0.002 else 2)):
            await one_round(stage, audience, KINDS[number % 2])


@pytest.mark.parametrize("nodes", [1, 2], ids=["one node", "two nodes"])
async def test_an_outage_of_twenty_seconds(postgres_server: PostgresServer, tmp_path: Path, nodes: int) -> None:
    """With the patience of every installation."""
    async with staged(postgres_server, tmp_path, nodes, patience=PATIENCE, answer_seconds=0.002) as stage:
        audience = Audience(stage)
        await audience.enter()
        await one_round(stage, audience, KINDS[nodes % 2], away_seconds=20.0)


@pytest.mark.parametrize("nodes", [1, 2], ids=["one node", "two nodes"])
async def test_the_sender_never_comes_back(postgres_server: PostgresServer, tmp_path: Path, nodes: int) -> None:
    """Connected sessions get what was stored when the database is back, though nothing follows."""
    async with staged(postgres_server, tmp_path, nodes) as stage:
        audience = Audience(stage)
        await audience.enter()
        for kind in KINDS:
            id_ = fresh_id()
            await stage.lose_commit(kind, id_)
            stage.proxy.back()
            await audience.check(kind, [id_])


@pytest.mark.parametrize("nodes", [1, 2], ids=["one node", "two nodes"])
async def test_messages_of_others_follow(postgres_server: PostgresServer, tmp_path: Path, nodes: int) -> None:
    """What bob writes next, from the other node, comes behind what ann's session had stored."""
    async with staged(postgres_server, tmp_path, nodes) as stage:
        audience = Audience(stage)
        await audience.enter()
        for kind in KINDS * 2:
            ids = [fresh_id(), fresh_id()]
            await stage.lose_commit(kind, ids[0])
            stage.proxy.back()
            bob = await stage.enter("bob", nodes - 1, sm=True)
            bob.send(stanza(stage.jid("ann") if kind == "pair" else stage.to(kind), ids[1]))
            await audience.check(kind, ids)
            await stage.leave(bob)


@pytest.mark.parametrize("nodes", [1, 2], ids=["one node", "two nodes"])
async def test_what_was_not_stored_is_new_when_it_is_sent_again(
    postgres_server: PostgresServer, tmp_path: Path, nodes: int
) -> None:
    """The connection broke before COMMIT arrived; to the server this looks the same."""
    async with staged(postgres_server, tmp_path, nodes) as stage:
        audience = Audience(stage)
        await audience.enter()
        for kind in KINDS * 2:
            ids = [fresh_id(), fresh_id()]
            await stage.lose_commit(kind, ids[0], "before")
            stage.proxy.back()
            sender = await stage.enter("ann", 0, sm=True)
            sender.send("".join(stanza(stage.to(kind), id_) for id_ in ids))
            await audience.check(kind, ids)
            await stage.leave(sender)


async def test_the_sender_is_given_its_own_group_message(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """By the answer to the resend, or with everybody else when it had not gone out yet; not by both."""
    async with staged(postgres_server, tmp_path, 1) as stage:
        for _ in range(4):
            ids = [fresh_id(), fresh_id()]
            await stage.lose_commit("group", ids[0])
            stage.proxy.back()
            sender = await stage.enter("ann", 0, sm=False)
            sender.send("".join(stanza(stage.to("group"), id_) for id_ in ids))
            await sender.until(lambda sender=sender, ids=ids: set(ids) <= set(sender.got))  # type: ignore[misc]
            for _ in range(3):
                await sender.ping()
            assert sender.of(ids)[-1] == ids[1]
            assert len(sender.of(ids)) <= 3  # the first may have gone out to everybody before it was sent again
            await stage.leave(sender)
