"""What a step costs does not depend on how long a dialog is: counted in instructions of SQLite's machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from voxcube.server.storage import changes, dialogs, migrate
from voxcube.server.storage.database import Tx
from voxcube.server.storage.receipts import READ, hide_for, mark_all, mark_seqs
from voxcube.server.storage.sqlite import connect, write

SHORT, LONG = "a" * 24, "b" * 24
SIZES = {SHORT: 1_000, LONG: 50_000}
READERS = 1_000


@pytest.fixture
async def connection(tmp_path: Path) -> sqlite3.Connection:
    """Two dialogs of two people, all sent by the first of them."""
    await migrate.upgrade(f"sqlite:///{tmp_path / 'voxcube.db'}")
    connection = connect(tmp_path / "voxcube.db", read_only=False)
    for dialog, size in SIZES.items():
        connection.execute(
            "INSERT INTO dialogs (id, app_id, type, owner_id, created_at, updated_at, seq, live, last_seq)"
            " VALUES (?, 1, 2, 1, 0, 0, ?, ?, ?)",
            (dialog, size, size, size),
        )
        connection.executemany(
            "INSERT INTO members (dialog_id, user_id, app_id, type, active, admin, hidden, muted, joined_at, settled)"
            " VALUES (?, ?, 1, 2, true, false, false, false, 0, ?)",
            [(dialog, 1, size), (dialog, 2, 0)],
        )
        connection.execute(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)"
            " INSERT INTO messages"
            " (dialog_id, seq, id, app_id, sender_id, recipient_id, body, date_sent, created_at, updated_at)"
            " SELECT ?, n, printf('%s%08x', substr(?, 1, 16), n), 1, 1, 0, 'hello', n, n * 1000, n * 1000 FROM n",
            (size, dialog, dialog),
        )
        connection.execute(
            "INSERT INTO message_ids (app_id, id, dialog_id, seq, sender_id)"
            " SELECT 1, id, dialog_id, seq, 1 FROM messages WHERE dialog_id = ?",
            (dialog,),
        )
    return connection


@contextmanager
def counted(connection: sqlite3.Connection, counts: list[int]) -> Iterator[None]:
    """Appends how many instructions (by tens) were executed."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(step, 10)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
        counts.append(steps)


async def unread(tx: Tx, dialog: str) -> int:
    rows = await tx.fetch(dialogs._UNREAD_OF, 1, 2, [dialog])
    count: int = rows[0][1]
    return count


STEPS: dict[str, Callable[[Tx, str], Coroutine[Any, Any, Any]]] = {
    "unread": unread,
    "read one": lambda tx, dialog: mark_seqs(tx, dialog, 2, READ, [SIZES[dialog] // 2]),
    "hide one": lambda tx, dialog: hide_for(tx, dialog, 2, [SIZES[dialog] // 3]),
    "delete one": lambda tx, dialog: changes.remove(tx, dialog, [SIZES[dialog] // 4], 0),
    "delete the last": lambda tx, dialog: changes.remove(tx, dialog, [SIZES[dialog]], 0),
    "read all": lambda tx, dialog: mark_all(tx, dialog, 2, READ),
}


async def test_counts_and_changes_cost_the_same_in_a_long_dialog(connection: sqlite3.Connection) -> None:
    for name, step in STEPS.items():
        counts: list[int] = []
        for dialog in SIZES:
            with counted(connection, counts):
                result = write(connection, lambda tx, step=step, dialog=dialog: step(tx, dialog))  # type: ignore[misc]
            if name == "unread":
                assert result == SIZES[dialog]
        assert counts[1] <= 1.3 * counts[0] + 5, (name, counts)
    connection.close()


async def test_a_thousand_readers_of_one_message_each_write_two_rows(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO members (dialog_id, user_id, app_id, type, active, admin, hidden, muted, joined_at, settled)"
        " VALUES (?, ?, 1, 2, true, false, false, false, 0, 0)",
        [(SHORT, user) for user in range(3, 3 + READERS)],
    )
    before = connection.total_changes
    for user in range(3, 3 + READERS):
        write(connection, partial(mark_seqs, dialog_id=SHORT, user_id=user, kind=READ, seqs=[500]))
    assert connection.total_changes - before == 2 * READERS  # an interval, and the member's counter
    # Whoever reads on makes its interval longer: what is kept does not grow with what is read.
    for user in range(3, 13):
        write(connection, partial(mark_seqs, dialog_id=SHORT, user_id=user, kind=READ, seqs=range(501, 601)))
    assert connection.execute("SELECT count(*) FROM receipts").fetchone()[0] == READERS
    connection.close()
