"""Plans of the statements that PostgreSQL really runs, with the rows they really read (auto_explain)."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from voxcube.server.storage.database import Database, Row, Tx
from voxcube.server.storage.postgres import PostgresTx
from voxcube.server.storage.sql import Query

T = TypeVar("T")
Node = dict[str, Any]

_SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}


@dataclass(slots=True)
class Explained:
    """One statement that was run."""

    text: str
    plan: Node

    def nodes(self) -> Iterator[Node]:
        return nodes(self.plan)

    @property
    def read(self) -> float:
        """Rows read from tables and indexes: those returned and those filtered out, in all loops."""
        return sum(rows_of(node) for node in self.nodes() if node["Node Type"] in _SCANS)

    @property
    def buffers(self) -> int:
        """Pages touched."""
        return int(self.plan.get("Shared Hit Blocks", 0)) + int(self.plan.get("Shared Read Blocks", 0))

    def __str__(self) -> str:
        lines = [self.text]
        for node in self.nodes():
            lines.append(
                f"   {node['Node Type']} {node.get('Relation Name', '')} {node.get('Index Name', '')}"
                f" loops={node.get('Actual Loops')} rows={node.get('Actual Rows')}"
                f" removed={node.get('Rows Removed by Filter', 0)} cond={node.get('Index Cond')}"
            )
        return "\n".join(lines)


def nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_of(node: Node) -> float:
    filtered = sum(node.get(name, 0) for name in ("Rows Removed by Filter", "Rows Removed by Index Recheck"))
    found: float = (node.get("Actual Rows", 0) + filtered) * node.get("Actual Loops", 1)
    return found


class ExplainedDatabase(Database):
    """One connection whose every statement is explained; transactions are undone."""

    backend = "postgresql"
    lanes = 1

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.seen: list[Explained] = []
        connection.add_log_listener(self._log)

    @classmethod
    async def open(cls, url: str, **settings: str) -> ExplainedDatabase:
        """`settings`: of the session, as production sets them on its connections."""
        connection = await asyncpg.connect(url, server_settings=settings)
        await connection.execute("LOAD 'auto_explain'")
        for name, value in {
            "auto_explain.log_min_duration": "0",
            "auto_explain.log_analyze": "on",
            "auto_explain.log_buffers": "on",
            "auto_explain.log_timing": "off",
            "auto_explain.log_format": "json",
            "auto_explain.log_nested_statements": "off",
            "log_min_messages": "panic",
            "client_min_messages": "log",
        }.items():
            await connection.execute(f"SET {name} = {value}")
        return cls(connection)

    def _log(self, _: Any, message: Any) -> None:
        _, mark, text = message.message.partition("plan:\n")
        if mark:
            found = json.loads(text)
            self.seen.append(Explained(found["Query Text"], found["Plan"]))

    def take(self) -> list[Explained]:
        """What was run since the last call."""
        seen, self.seen = self.seen, []
        return seen

    async def row(self, query: Query, *args: Any) -> Row | None:
        return await PostgresTx(self.connection).row(query, *args)

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        return await PostgresTx(self.connection).fetch(query, *args)

    async def read(self, fn: Callable[[Tx], Coroutine[Any, Any, T]]) -> T:
        return await fn(PostgresTx(self.connection))

    async def scan(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, user: int) -> T:
        return await fn(PostgresTx(self.connection))

    async def transaction(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], *, lane: int = 0) -> T:
        await self.connection.execute("BEGIN")
        try:
            return await fn(PostgresTx(self.connection))
        finally:
            await self.connection.execute("ROLLBACK")

    async def close(self) -> None:
        await self.connection.close()
