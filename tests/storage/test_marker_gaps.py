"""A marker costs the same however many gaps its reader has left: counted in rows and instructions, not in time.

`GAPS_TABLE=1` prints milliseconds per marker as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.postgres import PostgresServer
from voxcube.server.storage import migrate
from voxcube.server.storage.messages import apply_batch
from voxcube.server.storage.postgres import PLANNER, PostgresTx
from voxcube.server.storage.receipts import READ, Mark
from voxcube.server.storage.sqlite import connect, write

GAPS = (0, 80, 320, 1_280, 5_000)
MARKERS = 32  # in one batch, each beyond a new gap
DIALOG = "d" * 24
SENDER, READER = 1, 2


def setup(gaps: int, clear: str) -> list[str]:
    """Statements that make a dialog whose reader has read every second message, up to `gaps` gaps."""
    size = 2 * (gaps + MARKERS) + 2
    numbers = f"WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {size})"
    return [
        *(f"{clear} {table}" for table in ("receipts", "message_ids", "messages", "members", "dialogs")),
        (
            "INSERT INTO dialogs (id, app_id, type, owner_id, created_at, updated_at, seq, live, last_seq)"
            f" VALUES ('{DIALOG}', 1, 2, 1, 0, 0, {size}, {size}, {size})"
        ),
        *(
            "INSERT INTO members (dialog_id, user_id, app_id, type, active, joined_at, settled)"
            f" VALUES ('{DIALOG}', {user}, 1, 2, true, 0, {settled})"
            for user, settled in ((SENDER, size), (READER, gaps))
        ),
        (
            f"INSERT INTO messages"
            f" (dialog_id, seq, id, app_id, sender_id, recipient_id, body, date_sent, created_at, updated_at)"
            f" {numbers} SELECT '{DIALOG}', n, substr('{'0' * 24}', 1, 24 - length(CAST(n AS TEXT)))"
            f" || n, 1, {SENDER}, 0,"
            f" 'hello', n, n, n FROM n"
        ),
        (
            "INSERT INTO message_ids (app_id, id, dialog_id, seq, sender_id)"
            " SELECT app_id, id, dialog_id, seq, sender_id FROM messages"
        ),
        (
            "INSERT INTO receipts (dialog_id, user_id, kind, low, high)"
            f" SELECT dialog_id, {READER}, {READ}, seq, seq FROM messages WHERE seq % 2 = 0 AND seq <= {2 * gaps}"
        ),
    ]


def markers(gaps: int) -> list[Mark]:
    """One batch: every second message behind those that were read."""
    return [
        Mark(app_id=1, user_id=READER, kind=READ, message_id=f"{2 * (gaps + n + 1):024d}", done=lambda _: None)
        for n in range(MARKERS)
    ]


def table(figures: dict[int, tuple[float, float]], unit: str) -> None:
    if os.environ.get("GAPS_TABLE"):
        print(f"\n{'gaps':>6} {unit + ' per marker':>26} {'ms per marker':>14}")  # noqa: T201
        for gaps, (work, seconds) in figures.items():
            print(f"{gaps:>6} {work / MARKERS:>26.1f} {1000 * seconds / MARKERS:>14.3f}")  # noqa: T201


def check(figures: dict[int, tuple[float, float]], marks: Sequence[Mark], most: int) -> None:
    """At most so much work for each marker."""
    assert all(mark.changed for mark in marks)
    assert {gaps: round(work / MARKERS) for gaps, (work, _) in figures.items() if work > most * MARKERS} == {}


async def test_a_marker_beyond_many_gaps_reads_no_more_rows_on_postgresql(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    await migrate.upgrade(url)
    connection = await asyncpg.connect(url, server_settings=PLANNER)
    figures: dict[int, tuple[float, float]] = {}
    try:
        for gaps in GAPS:
            for statement in setup(gaps, "TRUNCATE"):
                await connection.execute(statement)
            await connection.execute("VACUUM ANALYZE")
            marks = markers(gaps)
            await connection.execute("BEGIN")
            begun = time.perf_counter()
            await apply_batch(PostgresTx(connection), marks)
            seconds = time.perf_counter() - begun
            read: int = await connection.fetchval(
                "SELECT seq_tup_read + idx_tup_fetch + (SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid))"
                " FROM pg_index WHERE indrelid = 'receipts'::regclass)"
                " FROM pg_stat_xact_user_tables WHERE relname = 'receipts'"
            )
            await connection.execute("ROLLBACK")
            figures[gaps] = float(read), seconds
    finally:
        await connection.close()
    table(figures, "index entries and rows")
    check(figures, marks, 24)


async def test_a_marker_beyond_many_gaps_takes_no_more_steps_on_sqlite(tmp_path: Path) -> None:
    await migrate.upgrade(f"sqlite:///{tmp_path / 'voxcube.db'}")
    connection = connect(tmp_path / "voxcube.db", read_only=False)
    figures: dict[int, tuple[float, float]] = {}
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    try:
        for gaps in GAPS:
            for statement in setup(gaps, "DELETE FROM"):
                connection.execute(statement)
            marks = markers(gaps)
            steps = 0
            connection.set_progress_handler(step, 1)
            begun = time.perf_counter()

            async def work(tx: Any, marks: list[Mark] = marks) -> None:
                await apply_batch(tx, marks)

            write(connection, work)
            figures[gaps] = float(steps), time.perf_counter() - begun
            connection.set_progress_handler(None, 0)
    finally:
        connection.close()
    table(figures, "instructions")
    check(figures, marks, 500)
