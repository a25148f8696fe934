"""The schema of this version, for databases that are made once and copied for each test."""

from tests.support.threads import run_in_thread
from voxcube.server.storage import migrate


def make_schema(url: str) -> None:
    """Run the migrations on the database at `url`."""
    run_in_thread(migrate.upgrade(url))
