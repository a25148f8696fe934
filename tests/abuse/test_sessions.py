"""One user with many sessions that do not read."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tests.abuse.support import PASSWORD, bystanders, memory_mib, report, scaled
from tests.support.server_process import ServerProcess
from tests.support.xmpp_peer import Peer

MESSAGES = 24
SIZE = 250_000


async def test_sessions_that_do_not_read(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", unlimited=True) as server:
        app_id = server.create_app()["app_id"]
        reader_id, sender_id = (server.create_user(app_id, login, PASSWORD) for login in ("reader", "sender"))
        readers: list[Peer] = []
        async with bystanders(server, app_id) as latency:
            before = memory_mib(server)
            for _ in range(scaled(200)):
                peer = await Peer.connect(server.addresses["ws"], websocket=True, narrow=True)
                peer.seconds = 60.0
                await peer.login(f"{reader_id}-{app_id}", PASSWORD)
                peer.send('<presence xmlns="jabber:client"/>')
                peer.paused.clear()
                readers.append(peer)
            idle = memory_mib(server) - before
            sender = await Peer.connect(server.addresses["ws"], websocket=True)
            sender.seconds = 60.0
            await sender.login(f"{sender_id}-{app_id}", PASSWORD)
            grown = 0.0
            for number in range(MESSAGES):
                to = f"{reader_id}-{app_id}@localhost"
                sender.send(
                    f'<message xmlns="jabber:client" type="chat" id="{number:024x}" to="{to}">'
                    f"<body>{'x' * SIZE}</body></message>"
                )
                await sender.ping()
                grown = max(grown, memory_mib(server) - before)
            report("A8", sessions=len(readers), idle_mib=round(idle, 1), grown_mib=round(grown, 1), **latency.figures())
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(*(peer.close() for peer in (*readers, sender)))
        assert grown < 150  # MiB
        assert latency.at(1.0) < 20_000
