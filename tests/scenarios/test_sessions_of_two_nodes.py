"""The sessions of one user on two nodes know of each other, and of one name only the newest stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.cluster import PASSWORD, Cluster, joined
from tests.support.postgres import PostgresServer
from tests.support.xmpp_peer import Peer


@asynccontextmanager
async def two(postgres: PostgresServer, data: Path) -> AsyncIterator[Cluster]:
    async with joined(postgres.create_database(), data, "alice", "bob") as cluster:
        yield cluster


async def login(cluster: Cluster, user: str, node: int, resource: str | None = None) -> Peer:
    peer = await Peer.connect(cluster.nodes[node].doors["xmpp"])
    return await peer.login(f"{cluster.user(user)}-{cluster.application.id}", PASSWORD, resource)


async def test_they_see_each_other(postgres_server: PostgresServer, tmp_path: Path) -> None:
    async with two(postgres_server, tmp_path) as cluster:
        phone, other = await login(cluster, "alice", 0), await login(cluster, "bob", 0)
        phone.send("<presence><show>away</show></presence>")
        await phone.wait("presence", from_=phone.jid)
        await other.available()
        desk, laptop = await login(cluster, "alice", 1), await login(cluster, "alice", 1)
        await desk.available()
        seen = await desk.wait("presence", from_=phone.jid, to=desk.jid)
        assert seen.find("show") is not None
        await phone.wait("presence", from_=desk.jid, to=phone.jid)
        await laptop.available()
        for one in (phone, desk):
            await laptop.wait("presence", from_=one.jid, to=laptop.jid)
            await one.wait("presence", from_=laptop.jid, to=one.jid)
        await laptop.close()
        for one in (phone, desk):
            await one.wait("presence", type="unavailable", from_=laptop.jid)
            await one.ping()
            assert one.take_all("presence") == []  # nobody was told what another one asked for
        assert other.take_all("presence") == []
        for peer in (phone, desk, other):
            await peer.close()


async def test_one_name_is_one_session(postgres_server: PostgresServer, tmp_path: Path) -> None:
    async with two(postgres_server, tmp_path) as cluster:
        old = await login(cluster, "alice", 0, "flutter_A/b+c")
        await old.available()
        someone = await login(cluster, "bob", 0, "flutter_A/b+c")
        await someone.available()
        new = await login(cluster, "alice", 1, "flutter_A/b+c")
        assert new.jid == old.jid
        await new.available()
        await old.end("conflict")
        again = await login(cluster, "alice", 0, "flutter_A/b+c")
        await again.available()
        await new.end("conflict")
        for peer in (someone, again):
            await peer.ping()
            await peer.close()
