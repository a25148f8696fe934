"""Databases of every landed version are upgraded, and nobody sees a difference."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import PostgresServer
from tests.support.server_process import ServerProcess
from tests.upgrade.story import LANDED, client, differences, look
from voxcube.server.storage import migrate

REVISIONS = sorted(path.name.removesuffix(".sqlite.xz") for path in LANDED.glob("*.sqlite.xz"))


async def _restored(kind: str, revision: str, data: Path, request: pytest.FixtureRequest) -> str | None:
    """Put the data of a landed version where a server will find it; return the URL of its database, if not SQLite."""
    if kind == "sqlite":
        data.mkdir()
        (data / "voxcube.db").write_bytes(lzma.decompress((LANDED / f"{revision}.sqlite.xz").read_bytes()))
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    asyncpg = pytest.importorskip("asyncpg")
    url = server.create_empty_database()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute((LANDED / f"{revision}.postgresql.sql").read_text())
    finally:
        await connection.close()
    return url


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("revision", REVISIONS)
async def test_landed_data(kind: str, revision: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    told: dict[str, Any] = json.loads((LANDED / f"{revision}.{kind}.json").read_text())
    data = tmp_path / "data"
    url = await _restored(kind, revision, data, request)
    where = url or f"sqlite:///{data / 'voxcube.db'}"
    assert (await migrate.check(where))[0] == revision
    with ServerProcess(data, database=url, unlimited=True) as server:
        assert differences(told["seen"], await look(server, told)) == []
        async with client(server, told["app"]) as cube:  # and goes on from there
            await cube.auth.create_session(login="ann", password="correct horse")
            before = (await cube.messages.unread()).total
            message = await cube.messages.create(recipient_id=told["ids"]["bob"], body="after the upgrade")
            [newest, *_] = (await cube.dialogs.list()).items
            assert (newest.last_message, newest.last_message_id) == ("after the upgrade", message.id)
            assert (await cube.messages.unread()).total == before
        assert server.stop() == 0
    assert (await migrate.check(where))[0] == migrate.head()
