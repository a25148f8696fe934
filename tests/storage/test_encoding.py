"""A PostgreSQL database that is not in UTF-8 is refused before anything is written into it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.support.postgres import PostgresServer
from voxcube.server.storage import migrate
from voxcube.server.storage.database import WrongEncoding


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_another_encoding_is_refused(postgres_server: PostgresServer, encoding: str) -> None:
    url = postgres_server.create_named(postgres_server.next_name(), encoding=encoding)
    for work in (migrate.upgrade, migrate.check, migrate.open_database):
        with pytest.raises(
            WrongEncoding, match=f"has the encoding {encoding}, and UTF8 is needed: create it with createdb"
        ):
            await work(url)
    connection = await asyncpg.connect(url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize("command", [("serve",), ("db", "upgrade")], ids=" ".join)
def test_the_command_says_so_in_one_line(
    postgres_server: PostgresServer, tmp_path: Path, command: tuple[str, ...]
) -> None:
    url = postgres_server.create_named(postgres_server.next_name(), encoding="SQL_ASCII")
    done = subprocess.run(
        [sys.executable, "-m", "voxcube.server.cli", *command, "--data", str(tmp_path), "--database", url],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    lines = done.stderr.strip().split("\n")
    assert len(lines) == 1, done.stderr
    assert "encoding SQL_ASCII" in lines[0]
