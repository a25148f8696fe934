"""Reads that scan have a lane of their own, one slot per user and a deadline; every read is known to be one or not."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import voxcube.server
from voxcube.server.core.errors import TooLong, TooManyRequests
from voxcube.server.core.listing import Condition, Listing, Order
from voxcube.server.storage import history, listed, users
from voxcube.server.storage.database import Database
from voxcube.server.storage.migrate import open_database
from voxcube.server.storage.scans import WAITING
from voxcube.server.storage.sql import Forked

SERVER = Path(voxcube.server.__file__).parent
#: Functions that read by index: what they read grows with what they return, or with a user's or dialog's own rows.
INDEXED = {
    *(
        "accounts.",
        "app.count_applications",
        "storage/activity.last_of",
        "storage/audience.",
        "storage/contacts.",
        "storage/late.",
    ),
    *("storage/offline.", "storage/privacy.", "storage/presence.", "storage/tokens.", "storage/reactions."),
    *("storage/cache.", "storage/occupants.", "storage/dialogs.by_id", "storage/dialogs.member"),
    *("storage/dialogs.view", "storage/dialogs.unread", "storage/history.stored", "storage/history._reach"),
    *(
        "storage/users.by_",
        "storage/users._by_key",
        "storage/users.existing",
        "storage/users.around",
        "storage/users.password_versions",
        "storage/users.online",
        "storage/users.count_online",
    ),
    "storage/lease.",
    # Jobs, in bounded steps.
    *("storage/users.ended_guests", "features/changes/retention.", "features/search/indexer."),
    "features/dialogs/settling.",
}
#: Functions that scan, or scan where their conditions, order or depth have no index (`Database.look`).
SCANNING = {"storage/finding.messages", "storage/finding.dialogs"}
LOOKING = {
    *("storage/history.page", "storage/history.count", "storage/dialogs.page", "storage/dialogs.count"),
    *("storage/users.page", "storage/archive.page", "storage/privacy.naming"),
}
_READS = {"read", "fetch", "row", "value"}
SLOW = Forked(
    sqlite="WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000000)"
    " SELECT count(*) FROM n",
    postgresql="SELECT pg_sleep(60)",
)
QUICK = Forked(sqlite="SELECT 1", postgresql="SELECT 1")


def reads() -> dict[str, set[str]]:
    """Functions that read from the database: where they are → the methods of `Database` that they call."""
    found: dict[str, set[str]] = {}
    for path in SERVER.rglob("*.py"):
        module = path.relative_to(SERVER).with_suffix("").as_posix()
        if module in ("storage/database", "storage/sqlite", "storage/postgres"):
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                        owner = call.func.value
                        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                        if name in ("_database", "database") and call.func.attr in (*_READS, "scan", "look"):
                            found.setdefault(f"{module}.{function.name}", set()).add(call.func.attr)
    return found


def test_every_read_is_known_to_scan_or_not() -> None:
    kinds = {
        name: (
            name in SCANNING and calls == {"scan"},
            name in LOOKING and "look" in calls,
            any(name.startswith(known) for known in INDEXED) and calls <= _READS,
        )
        for name, calls in reads().items()
    }
    assert {name for name, kind in kinds.items() if sum(kind) != 1} == set()
    assert {*SCANNING, *LOOKING} <= kinds.keys()


NEWEST, BY_ID = Order("date_sent", True), Order("_id")


@pytest.mark.parametrize(
    ("listing", "scans"),
    [
        (Listing(), False),
        (Listing(order=NEWEST), False),
        (Listing(order=Order("updated_at", True)), False),
        (Listing(conditions=[Condition("date_sent", "gt", 5)], order=NEWEST), False),
        (Listing(conditions=[Condition("_id", "in", ["a"])], order=BY_ID), False),
        (Listing(conditions=[Condition("message", "ctn", "zzzz")]), True),
        (Listing(conditions=[Condition("sender_id", "eq", 5)]), True),
        (Listing(conditions=[Condition("date_sent", "nin", [5])]), True),
        (Listing(conditions=[Condition("date_sent", "gt", 5)], order=Order("created_at")), True),
        (Listing(conditions=[Condition("properties", "eq", "v", key="k")]), True),
        (Listing(order=BY_ID), True),
        (Listing(skip=20_000), True),
    ],
)
def test_a_page_of_history_scans_where_there_is_no_index(listing: Listing, scans: bool) -> None:
    order = listing.order or Order("date_sent")
    reach = history._Reach(0, "far")
    assert history._scans(listing.conditions, order, listing.skip, reach) is scans


@pytest.mark.parametrize(
    ("listing", "scans"),
    [
        (Listing(), False),
        (Listing(order=Order("updated_at")), False),
        (Listing(conditions=[Condition("updated_at", "gt", 5)]), False),
        (Listing(conditions=[Condition("_id", "in", ["a"]), Condition("name", "ctn", "a")]), False),
        (Listing(conditions=[Condition("updated_at", "lt", 5)]), True),
        (Listing(conditions=[Condition("name", "ctn", "a")]), True),
        (Listing(conditions=[Condition("updated_at", "gt", 5), Condition("data", "eq", "v", key="k")]), True),
        (Listing(order=Order("name")), True),
        (Listing(skip=20_000), True),
    ],
)
def test_a_page_of_dialogs_scans_where_there_is_no_index(listing: Listing, scans: bool) -> None:
    assert listed.scans(listing) is scans


@pytest.mark.parametrize(
    ("listing", "scans"),
    [
        (Listing(conditions=[Condition("id", "in", [1])]), False),
        (Listing(conditions=[Condition("login", "eq", "a"), Condition("created_at", "gt", 1)]), False),
        (Listing(), True),
        (Listing(conditions=[Condition("full_name", "ctn", "a")]), True),
        (Listing(conditions=[Condition("login", "start_with", "abc")]), True),
        (Listing(conditions=[Condition("user_tags", "in", ["a"])]), True),
    ],
)
def test_a_page_of_users_scans_where_they_are_not_named(listing: Listing, scans: bool) -> None:
    assert users._scans(listing) is scans


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    yield opened
    await opened.close()


def slow(database: Database, user: int) -> asyncio.Task[Any]:
    return asyncio.create_task(database.scan(lambda tx: tx.value(SLOW), user=user))


async def test_scans_end_after_their_time_and_leave_the_lane_to_others(database: Database) -> None:
    database.scans.seconds = 1.0
    scans = [slow(database, 1)]
    await asyncio.sleep(0)
    for _ in range(200):  # the lane of reads by index is free
        assert await database.read(lambda tx: tx.value(QUICK)) == 1
    assert await database.scan(lambda tx: tx.value(QUICK), user=2) == 1  # and so is the slot of another user
    for scan in scans:
        with pytest.raises(TooLong, match="takes too long"):
            await scan
    assert await database.scan(lambda tx: tx.value(QUICK), user=1) == 1


async def test_few_scans_of_a_user_wait_and_the_rest_is_refused(database: Database) -> None:
    database.scans.seconds = 0.3
    scans = [slow(database, 1) for _ in range(WAITING + 4)]
    results = await asyncio.gather(*scans, return_exceptions=True)
    kinds = [type(result) for result in results]
    assert kinds == [TooLong] * (WAITING + 1) + [TooManyRequests] * 3
    refused = results[-1]
    assert isinstance(refused, TooManyRequests)
    assert refused.retry_after > 0
    assert not database.scans._of_user  # nothing is kept of those who have gone
    assert not database.scans._asked


async def test_one_user_has_one_scan_under_way(database: Database) -> None:
    database.scans.seconds = 30.0
    first = slow(database, 1)
    waiting = asyncio.create_task(database.scan(lambda tx: tx.value(QUICK), user=1))
    assert await database.scan(lambda tx: tx.value(QUICK), user=2) == 1
    assert not waiting.done()
    database.scans._wait_seconds = 0.1
    third = asyncio.create_task(database.scan(lambda tx: tx.value(QUICK), user=1))
    with pytest.raises(TooManyRequests):
        await third
    waiting.cancel()
    first.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)
    assert await database.scan(lambda tx: tx.value(QUICK), user=1) == 1
