"""The throw-away PostgreSQL of the tests: that of the benchmarks, with less memory."""

from pathlib import Path

from tests.support.templates import make_schema
from voxcube.bench.postgres import Postgres

_TEMPLATE = "voxcube_template"


class PostgresServer(Postgres):
    """`create_database()` gives each test its own.

    With `template` the databases are copies of one that has the schema, and the server does not sync its files: for
    tests that do not crash it. Without, the databases are empty and as durable as in production.
    """

    def __init__(self, binaries: Path, *, template: bool = False) -> None:
        settings = {"fsync": "off", "full_page_writes": "off"} if template else {}
        super().__init__(binaries, shared_buffers="32MB", settings=settings)
        self._template = template
        self._made = False

    def create_database(self) -> str:
        """A new database without rows; returns its URL."""
        if not self._template:
            return super().create_database()
        if not self._made:
            make_schema(self.create_named(_TEMPLATE))
            self._made = True
        return self.create_named(self.next_name(), template=_TEMPLATE)

    def create_empty_database(self) -> str:
        """A new database without tables; returns its URL."""
        return super().create_database()
