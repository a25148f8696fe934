"""`/users/online` is true at the moment that it is asked, on every node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scenarios.test_sessions_of_two_nodes import login, two
from tests.support.cluster import Cluster
from tests.support.node import running
from tests.support.postgres import PostgresServer
from voxcube.server import app as server


async def online(client: httpx.AsyncClient) -> tuple[list[int], int]:
    """Who is listed, and the count."""
    users = (await client.get("/users/online")).json()["users"]
    count: int = (await client.get("/users/online", params={"count": 1})).json()["count"]
    return [user["id"] for user in users], count


async def test_logins_and_logouts_count_at_once(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PRESENCE_SECONDS", 3600.0)  # nothing is written unless it is asked for
    async with running(tmp_path / "node", "ann", "bob", database=database_url) as node:
        ann, bob = node.people["ann"], node.people["bob"]
        async with await node.rest_login(ann) as client:
            assert await online(client) == ([], 0)
            for _ in range(3):
                first = await node.login(ann)
                assert await online(client) == ([ann.id], 1)
                second, third = await node.login(bob), await node.login(bob)
                assert await online(client) == (sorted([ann.id, bob.id]), 2)
                second.send('<presence type="unavailable"/>')
                await second.ping()
                assert (await online(client))[1] == 2
                third.send("<presence><priority>-1</priority></presence>")
                await third.ping()
                assert await online(client) == ([ann.id], 1)
                first.send('<presence type="unavailable"/>')
                await first.ping()
                assert await online(client) == ([], 0)
                await node.hang_up()


async def test_asking_again_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PRESENCE_SECONDS", 3600.0)
    async with running(tmp_path / "node", "ann") as node:
        await node.login(node.people["ann"])
        async with await node.rest_login(node.people["ann"]) as client:
            await online(client)
            runs: list[Any] = []
            run = node.app.writer.run

            async def counted(work: Any) -> Any:
                runs.append(work)
                return await run(work)

            monkeypatch.setattr(node.app.writer, "run", counted)
            for _ in range(5):
                assert (await online(client))[1] == 1
            assert [work for work in runs if "OnlineTable" in work.__qualname__] == []
        await node.hang_up()


async def elsewhere(cluster: Cluster, node: int) -> httpx.AsyncClient:
    """REST at a node with a session of alice."""
    seat = await cluster.seat("alice", node, rest=True)
    session = seat.cube.session
    assert session is not None
    await seat.cube.chat.disconnect()
    host, port = cluster.nodes[node].doors["http"]
    return httpx.AsyncClient(base_url=f"http://{host}:{port}", headers={"CB-Token": session.token})


async def test_on_another_node_a_login_counts_when_it_is_answered(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PRESENCE_SECONDS", 3600.0)
    async with two(postgres_server, tmp_path) as cluster, await elsewhere(cluster, 0) as client:
        for _ in range(3):
            bob = await login(cluster, "bob", 1)
            await bob.available()
            assert cluster.user("bob") in (await online(client))[0]
            bob.send('<presence type="unavailable"/>')
            await bob.ping()
            while cluster.user("bob") in (await online(client))[0]:  # a commit at the other node later
                pass
            await bob.close()
