"""Helpers of the abuse tests: memory of the server process, the latency of two bystanders, and a list of figures.

Each test runs in seconds with the default sizes. In the environment:
`ABUSE_SCALE=10` multiplies the sizes of the attack, `ABUSE_FIGURES=FILE` appends one JSON line per figure,
`SERVER_SOURCE=DIR` starts the server from another source tree, to compare two versions with the same attack.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.server_process import SOURCE, ServerProcess
from tests.support.xmpp_peer import Peer
from voxcube.bench.processes import usage

PASSWORD = "correct horse"


def scaled(size: int) -> int:
    """The size of an attack, multiplied by ABUSE_SCALE."""
    return max(1, round(size * float(os.environ.get("ABUSE_SCALE", "1"))))


def memory_mib(server: ServerProcess) -> float:
    """Proportional resident memory of the server process and its children, in MiB."""
    return usage([server.pid], proportional=True).pss / 1024


def cpu_seconds(server: ServerProcess) -> float:
    """CPU time that the server process has used, in seconds."""
    return usage([server.pid]).seconds


def report(item: str, **figures: float | str) -> None:
    """Print the figures of one attack, and append them to the file named by ABUSE_FIGURES."""
    line = json.dumps({"item": item, "source": str(SOURCE), **figures})
    print(line)  # noqa: T201
    if path := os.environ.get("ABUSE_FIGURES"):
        with open(path, "a") as file:
            file.write(line + "\n")


@dataclass
class Latency:
    """Round-trip times of the bystanders, in seconds."""

    times: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """The quantile `share` (0 to 1) in milliseconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    def figures(self) -> dict[str, float]:
        """Number of round trips, median, 99th percentile and maximum in milliseconds."""
        found = {"p50_ms": self.at(0.5), "p99_ms": self.at(0.99), "max_ms": self.at(1.0)}
        return {"round_trips": len(self.times), **{name: round(value, 1) for name, value in found.items()}}


@asynccontextmanager
async def bystanders(server: ServerProcess, app_id: int, pause: float = 0.02) -> AsyncIterator[Latency]:
    """Two users of the application chat while the block runs; yields the latencies of their stored messages.

    `pause`: seconds between two messages. At the end at least one message must have arrived.
    """
    ids = [server.create_user(app_id, login, PASSWORD) for login in ("bystander-a", "bystander-b")]
    peers = []
    for user_id in ids:
        peer = await Peer.connect(server.addresses["xmpps"], tls=True)
        await peer.login(f"{user_id}-{app_id}", PASSWORD)
        await peer.available()
        peer.seconds = 120.0  # a slow server is a figure, not a failure of the bystander
        peers.append(peer)
    sender, reader = peers
    found = Latency()
    stop = asyncio.Event()

    async def chat() -> None:
        number = 0
        while not stop.is_set() or not found.times:
            number += 1
            begun = time.perf_counter()
            sender.send(
                f'<message xmlns="jabber:client" type="chat" id="{number:024x}" to="{reader.jid}"><body>hello</body>'
                f'<extraParams xmlns="jabber:client"><save_to_history>1</save_to_history></extraParams></message>'
            )
            await reader.wait("message", id=f"{number:024x}")
            found.times.append(time.perf_counter() - begun)
            await asyncio.sleep(pause)

    task = asyncio.create_task(chat())
    try:
        yield found
    finally:
        stop.set()
        try:
            await task
        finally:
            for peer in peers:
                await peer.close()
