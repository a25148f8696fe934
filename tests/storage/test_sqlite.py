"""What SQLite alone needs: the log does not grow for ever, and its pages reach the database file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.storage.support import opened
from voxcube.server.storage import sqlite

DIALOG = "d" * 24


async def test_the_log_stays_small_however_long_the_writer_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_SECONDS", 0.02)
    monkeypatch.setattr(sqlite, "LOG_PAGES", 100)
    path = tmp_path / "voxcube.db"
    async with opened(f"sqlite:///{path}") as store:
        await store.dialog(DIALOG, 1)
        largest = 0
        for number in range(1200):  # some eight pages each: 40 MiB of log without a checkpoint
            await store.send(DIALOG, 1, f"{number:024x}", body="x" * 8000)
            largest = max(largest, (tmp_path / "voxcube.db-wal").stat().st_size)
        assert largest < 16 * 1024 * 1024
        async with asyncio.timeout(30):
            while path.stat().st_size < 1200 * 8000:
                await asyncio.sleep(0.02)
