"""The throw-away PostgreSQL of the tests: that of the benchmarks, and as durable, with less memory."""

from pathlib import Path

from voxcube.bench.postgres import Postgres


class PostgresServer(Postgres):
    """`create_database()` gives each test its own."""

    def __init__(self, binaries: Path) -> None:
        super().__init__(binaries, shared_buffers="32MB")
