"""One server on a data directory and a SQLite file; nodes on one PostgreSQL only with a common bus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.bus import TestBus
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.server_process import SOURCE, ServerProcess
from voxcube.server.app import App
from voxcube.server.config import Config
from voxcube.server.storage.database import DatabaseInUse
from voxcube.server.storage.lease import HOLDERS, Lock, NodeLease, node_lock, server_lock

LISTENERS = ("http", "https", "xmpp", "xmpps", "ws", "wss")


def start(command: str, data: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Runs a server that is expected to refuse to start."""
    ports = [part for name in LISTENERS for part in (f"--{name}-port", str(free_port()))]
    return subprocess.run(
        [sys.executable, "-m", "voxcube.server.cli", command, "--data", str(data), *ports, *flags],
        env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("voxcube: ")]
    (line,) = [line for line in lines if not line.startswith("voxcube: created the data directory ")]
    return line


async def healthy(server: ServerProcess) -> bool:
    async with httpx.AsyncClient(base_url=server.api_url) as http:
        return (await http.get("/health")).status_code == 200


# -- one machine: file locks ---------------------------------------------------------------------------------------


async def test_a_second_server_on_a_data_directory_is_refused(tmp_path: Path) -> None:
    data, link = tmp_path / "data", tmp_path / "link"
    link.symlink_to(data)
    with ServerProcess(data) as server:
        for command, directory in (("serve", data), ("demo", data), ("serve", link)):
            line = refusal(start(command, directory))
            assert f"data directory {directory} is in use by another server (process {server.pid})" in line
            assert "--data" in line
        assert not (data / "demo.json").exists()
        app = server.create_app()  # the other commands work beside a server
        server.create_user(app["app_id"], "ann", "correct horse")
        assert await healthy(server)


def test_a_second_demo_leaves_the_file_of_the_first_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ports = [part for name in LISTENERS for part in (f"--{name}-port", str(free_port()))]
    command = [sys.executable, "-m", "voxcube.server.cli", "demo", "--data", str(data), *ports]
    with subprocess.Popen(command, env={"PYTHONPATH": str(SOURCE)}, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            assert any(line.startswith("ready ") for line in first.stdout)
            before = (data / "demo.json").read_text()
            assert json.loads(before)["users"]
            refusal(start("demo", data))
            assert (data / "demo.json").read_text() == before
        finally:
            first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0


def test_a_sqlite_file_belongs_to_one_server_whatever_its_data_directory(tmp_path: Path) -> None:
    database = tmp_path / "data" / "voxcube.db"
    with ServerProcess(tmp_path / "data") as server:
        line = refusal(start("serve", tmp_path / "other", "--database", f"sqlite:///{database}"))
        assert f"database {database} is in use by another server (process {server.pid})" in line
        (tmp_path / "link.db").symlink_to(database)
        line = refusal(start("serve", tmp_path / "other", "--database", f"sqlite:///{tmp_path / 'link.db'}"))
        assert f"(process {server.pid})" in line
    # Two files in one directory are two databases.
    one, two = (f"sqlite:///{tmp_path / name}" for name in ("a.db", "b.db"))
    with ServerProcess(tmp_path / "a", database=one), ServerProcess(tmp_path / "b", database=two):
        pass


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_killed_server_starts_again_at_once(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    database = None
    if kind == "postgresql":
        database = request.getfixturevalue("postgres_server").create_database()
    with ServerProcess(tmp_path / "data", database=database) as server:
        for _ in range(2):
            server.kill()
            server.start()
        assert await healthy(server)
        assert server.stop() == 0
        server.start()


# -- nodes on one PostgreSQL ---------------------------------------------------------------------------------------


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database()


def config(tmp_path: Path, name: str, database: str, **options: Any) -> Config:
    data = tmp_path / f"data-{free_port()}"
    data.mkdir()
    ports: dict[str, Any] = {f"{listener}_port": 0 for listener in LISTENERS}
    ports["http_port"] = free_port()
    return Config(**{"data": data, "node": name, "database": database, **ports, **options})


async def test_a_second_server_on_a_database_is_refused(tmp_path: Path, database: str) -> None:
    with ServerProcess(tmp_path / "one", database=database) as server:
        line = refusal(start("serve", tmp_path / "two", "--database", database, "--node", "two"))
        assert "another server (node 'one', connected from 127.0.0.1) uses this database" in line
        assert "common bus" in line
        refusal(start("demo", tmp_path / "two", "--database", database, "--node", "two"))
        assert not (tmp_path / "two" / "demo.json").exists()
        assert len(server.command("app", "list")) == 0  # nor has it made an application
        assert await healthy(server)
    with ServerProcess(tmp_path / "two", database=database) as server:  # the first is gone
        assert await healthy(server)


async def test_nodes_with_a_common_bus_are_allowed_but_not_twice_by_one_name(tmp_path: Path, database: str) -> None:
    bus = TestBus()
    async with contextlib.AsyncExitStack() as stack:
        for name in ("one", "two"):
            await stack.enter_async_context(App(config(tmp_path, name, database), bus=bus.join()))
        with pytest.raises(DatabaseInUse, match=r"a node named 'two' \(connected from .*\) uses this database.*--node"):
            await App(config(tmp_path, "two", database), bus=bus.join()).__aenter__()
        with pytest.raises(DatabaseInUse, match="common bus"):  # one that does not hear the others
            await App(config(tmp_path, "three", database)).__aenter__()
    async with App(config(tmp_path, "three", database)):
        with pytest.raises(DatabaseInUse, match="common bus"):
            await App(config(tmp_path, "one", database), bus=bus.join()).__aenter__()


async def test_databases_of_one_server_are_apart(tmp_path: Path, postgres_server: PostgresServer) -> None:
    first, second = postgres_server.create_database(), postgres_server.create_database()
    async with App(config(tmp_path, "one", first)), App(config(tmp_path, "one", second)):
        pass


# -- a lease that is lost while the node runs ----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def administrator(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def holder(admin: Any, lock: Lock) -> int | None:
    """The PostgreSQL process whose session has the lock."""
    rows = await admin.fetch(HOLDERS, *lock.parts)
    return rows[0]["pid"] if rows else None


async def until(met: Any, seconds: float = 30.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await met()):
            await asyncio.sleep(0.02)
    return found


async def test_a_cut_connection_is_replaced_and_the_node_reads_everything_anew(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with App(config(tmp_path, "one", database)) as app, administrator(database) as admin:
        lock = server_lock("public")
        cleared: list[int] = []
        monkeypatch.setattr(app.router, "_forget_all", lambda: cleared.append(1))
        for cuts in (1, 2):
            before = await holder(admin, lock)
            await admin.execute("SELECT pg_terminate_backend($1)", before)

            async def another(before: int | None = before) -> bool:
                return await holder(admin, lock) not in (None, before)

            await until(another)
            async with asyncio.timeout(30):
                while len(cleared) < cuts:
                    await asyncio.sleep(0.02)
        assert not app.failed.done()
        with pytest.raises(DatabaseInUse):
            await App(config(tmp_path, "two", database)).__aenter__()


async def test_a_node_that_lost_its_place_ends(tmp_path: Path, database: str) -> None:
    """Another takes the lease while the connection is down: two nodes must not serve."""
    lock = server_lock("public")
    with ServerProcess(tmp_path / "one", database=database) as server:
        async with administrator(database) as admin, administrator(database) as intruder:
            waiting = asyncio.create_task(intruder.execute("SELECT pg_advisory_lock($1)", lock.number))

            async def queued() -> bool:
                return bool(await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

            await until(queued)
            await admin.execute("SELECT pg_terminate_backend($1)", await holder(admin, lock))
            await waiting
            status = await asyncio.to_thread(server.wait, 40)
        assert status == 2
        assert "voxcube: another server" in server.log()


async def test_an_outage_of_the_database_ends_no_node(tmp_path: Path, own_postgres: PostgresServer) -> None:
    database = own_postgres.create_database()
    async with App(config(tmp_path, "one", database)) as app:
        await asyncio.to_thread(own_postgres.restart, crash=True)
        async with administrator(database) as admin:
            await until(lambda: holder(admin, server_lock("public")))
            assert await holder(admin, node_lock("public", "one"))
        assert not app.failed.done()


async def test_the_ghost_of_an_own_connection_is_ended(database: str) -> None:
    """The connection is lost for the node, and PostgreSQL does not know it yet."""
    lease = await NodeLease.take(database, node="one", shared=False)
    async with administrator(database) as admin:
        lock = server_lock("public")
        ghost, before = lease._connection, await holder(admin, lock)
        lease._connection = None  # it stays open on the other side
        lease._lost.set()

        async def another() -> bool:
            return await holder(admin, lock) not in (None, before)

        await until(another)
        assert not lease.ended.done()
        ghost.terminate()
    await lease.close()
    await (await NodeLease.take(database, node="one", shared=False)).close()


async def test_a_lock_that_the_session_no_longer_holds_is_noticed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that hands each transaction to another session."""
    monkeypatch.setattr("voxcube.server.storage.lease.HEARTBEAT_SECONDS", 0.05)
    lease = await NodeLease.take(database, node="one", shared=False)
    async with administrator(database) as admin:
        await lease._connection.execute("SELECT pg_advisory_unlock_all()")
        await until(lambda: holder(admin, server_lock("public")))
    await lease.close()
