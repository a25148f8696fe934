"""A proxy in front of PostgreSQL that delays answers, refuses connections, and breaks them around a COMMIT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from voxcube.server.app import App
from voxcube.server.storage.messages import Send


class DatabaseProxy:
    """Forwards to a PostgreSQL on loopback.

    `arm` is "before" or "after": the next COMMIT breaks its connection before it arrives, or before its answer comes
    back. `armed_ports` limits that to connections from these ports. With `then_away` the proxy refuses everything from
    the cut on, until `back()`. `answer_seconds` is added to each answer; `stalled` holds all traffic back.
    """

    def __init__(self, port: int) -> None:
        self.arm = ""
        self.armed_ports: dict[int, str] = {}
        self.then_away = False
        self.away = False
        self.answer_seconds = 0.0
        self.cuts = 0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._target = port

    def leave(self) -> None:
        """Break all connections and refuse new ones."""
        self.away = True
        for link in tuple(self._links):
            for end in link:
                end.transport.abort()

    def back(self) -> None:
        """Accept connections again."""
        self.away = False

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _way(self, port: int) -> str:
        if port in self.armed_ports:
            return self.armed_ports.pop(port)
        way, self.arm = self.arm, ""
        return way

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the database itself is stopped
            writer.transport.abort()
            return
        link = (writer, forth)
        self._links.add(link)
        port = writer.get_extra_info("peername")[1]
        answers = asyncio.create_task(self._copy(back, writer))
        try:
            while data := await reader.read(65536):
                await self.flowing.wait()
                if b"COMMIT" in data and (way := self._way(port)):
                    self.cuts += 1
                    answers.cancel()
                    await asyncio.wait([answers])
                    if way == "after":
                        forth.write(data)
                        await back.read(1)  # it is committed, and the server does not learn of it
                    if self.then_away:
                        self.leave()
                    break
                forth.write(data)
        except OSError:
            pass
        finally:
            self._links.discard(link)
            answers.cancel()
            writer.transport.abort()
            forth.transport.abort()
            await asyncio.gather(answers, forth.wait_closed(), writer.wait_closed(), return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.answer_seconds:
                await asyncio.sleep(self.answer_seconds)
            await self.flowing.wait()
            writer.write(data)
        writer.close()


@asynccontextmanager
async def database_proxy(proxy: DatabaseProxy) -> AsyncIterator[int]:
    """Run a proxy; yields its port."""
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        proxy.flowing.set()
        proxy.leave()
        if proxy.tasks:
            await asyncio.wait(tuple(proxy.tasks), timeout=5)
        await server.wait_closed()


def cut_at_commit_of(proxy: DatabaseProxy, app: App, way: str, body: str) -> None:
    """Break the connection of an in-process server at the COMMIT of the batch that stores this message.

    Once: what the server tries again, or its sender sends again, passes.
    """
    writer: Any = app.writer
    apply = writer._apply

    async def applied(tx: Any, changes: Any) -> None:
        await apply(tx, changes)
        if any(isinstance(change, Send) and change.body == body for change in changes):
            writer._apply = apply
            proxy.armed_ports[tx._connection._transport.get_extra_info("sockname")[1]] = way

    writer._apply = applied
