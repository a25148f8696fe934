"""A server whose database cannot be written: 503 and an uncounted, ended stream, nothing that looks like a defect."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx

from tests.support.postgres import PostgresServer
from tests.support.server_process import ServerProcess
from tests.support.xmpp_peer import Peer

PASSWORD = "correct horse"
SECONDS = 60.0  # for the server to find the database well again


@asynccontextmanager
async def read_only(url: str) -> AsyncIterator[None]:
    name = url.rpartition("/")[2]

    async def run(*statements: str) -> None:
        connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    await run(
        f"ALTER DATABASE {name} SET default_transaction_read_only = on",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()",
    )
    yield
    await run(f"ALTER DATABASE {name} RESET default_transaction_read_only")


@asynccontextmanager
async def no_space(server: ServerProcess) -> AsyncIterator[None]:
    """Files cannot grow, as on a full disk."""
    log = server.data / "voxcube.db-wal"
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert log.exists()


async def check(server: ServerProcess, fault: AsyncIterator[None] | object) -> None:
    app = server.create_app()
    ann, bob = (server.create_user(app["app_id"], login, PASSWORD) for login in ("ann", "bob"))
    async with httpx.AsyncClient(base_url=server.api_url, timeout=60) as client:
        user = {"login": "ann", "password": PASSWORD}
        body = {"application_id": app["app_id"], "auth_key": app["auth_key"], "user": user}
        token = (await client.post("/session", json=body)).json()["session"]["token"]
        headers = {"CB-Token": token}
        assert (await client.get("/health")).status_code == 200
        peer = await Peer.connect(server.addresses["xmpps"], tls=True)
        await peer.login(f"{ann}-{app['app_id']}", PASSWORD)
        await peer.enable()
        await peer.available()
        counted = await peer.request()
        peer.seconds = SECONDS
        async with fault:  # type: ignore[union-attr]
            writing = asyncio.create_task(
                client.post("/chat/Dialog", json={"type": 3, "occupants_ids": [bob]}, headers=headers)
            )
            peer.send(
                f'<message xmlns="jabber:client" type="chat" id="{1:024x}" to="{bob}-{app["app_id"]}@localhost">'
                '<body>hello</body><extraParams xmlns="jabber:client"><save_to_history>1</save_to_history>'
                "</extraParams></message>"
            )
            answer = await writing
            assert (answer.status_code, answer.json()) == (503, {"errors": {"base": ["Service unavailable"]}})
            await peer.end("internal-server-error")
            assert not [error for error in peer.take_all("message") if error.attrs.get("type") == "error"]
            acknowledged = [int(answer.attrs["h"]) for answer in peer.take_all("a")]
            assert all(h <= counted for h in acknowledged)
            answer = await client.get("/health")
            assert answer.status_code == 503, answer.text
        async with asyncio.timeout(SECONDS):
            while (await client.get("/health")).status_code != 200:
                await asyncio.sleep(0.2)
            while True:
                answer = await client.post("/chat/Dialog", json={"type": 3, "occupants_ids": [bob]}, headers=headers)
                if answer.status_code == 201:
                    break
                assert answer.status_code == 503
    assert "Traceback" not in server.log()


async def test_a_read_only_postgresql(own_postgres: PostgresServer, tmp_path: Path) -> None:
    url = own_postgres.create_database()
    with ServerProcess(tmp_path / "data", database=url, unlimited=True) as server:
        await check(server, read_only(url))


async def test_a_full_disk_under_sqlite(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", unlimited=True) as server:
        await check(server, no_space(server))
