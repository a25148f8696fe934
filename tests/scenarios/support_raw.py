"""What is in the database itself, read past the server."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import asyncpg

_MESSAGES = "SELECT dialog_id, seq, id, sender_id FROM messages ORDER BY dialog_id, seq"
_IDS = "SELECT dialog_id, seq, id, sender_id FROM message_ids ORDER BY dialog_id, seq"
_DIALOGS = "SELECT id, seq, live, last_seq FROM dialogs"


async def rows(url: str, *queries: str) -> list[list[tuple[Any, ...]]]:
    """The rows of each query. An SQLite database is copied first, so that nothing of a killed server is touched."""
    if not url.startswith("sqlite:"):
        connection = await asyncpg.connect(url)
        try:
            return [[tuple(row) for row in await connection.fetch(query)] for query in queries]
        finally:
            await connection.close()
    path = Path(url.removeprefix("sqlite:///"))
    with tempfile.TemporaryDirectory() as directory:
        for part in ("", "-wal"):
            if (source := Path(f"{path}{part}")).exists():
                shutil.copy(source, Path(directory, f"copy{part}"))
        with sqlite3.connect(Path(directory, "copy")) as copy:
            found = [copy.execute(query).fetchall() for query in queries]
        copy.close()
        return found


async def stored_ids(url: str) -> set[str]:
    """The ids of all stored messages."""
    return {row[2] for row in (await rows(url, _MESSAGES))[0]}


async def check_raw(url: str, histories: dict[str, list[str]]) -> None:
    """The tables agree with each other and with what the members saw: no gap, no second row, no loose end."""
    messages, ids, dialogs = await rows(url, _MESSAGES, _IDS, _DIALOGS)
    assert messages == ids, "message_ids and messages differ"
    by_dialog: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for dialog_id, seq, message_id, _ in messages:
        by_dialog[dialog_id].append((seq, message_id))
    for dialog_id, seq, live, last_seq in dialogs:
        found = by_dialog.pop(dialog_id, [])
        assert [number for number, _ in found] == list(range(1, len(found) + 1)), "a number was burnt or given twice"
        assert (seq, live, last_seq) == (len(found), len(found), len(found))
        assert {message_id for _, message_id in found} == set(histories.get(dialog_id, []))
    assert not by_dialog, "messages without a dialog"
