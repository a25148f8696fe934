"""No statement of PostgreSQL walks a table that grows, whatever the planner knows of the tables.

At 10⁵ messages (`crowd.py`): without statistics and after ANALYZE, with generic and with custom plans. The first test
plans every statement of the stores, the second runs what users do and counts the rows that were really read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from tests.storage import crowd
from tests.storage.crowd import BROADCAST, GROUP, LARGE, LONG, READER
from tests.storage.explained import ExplainedDatabase, Node, nodes
from tests.storage.test_plans import MEANT, statements
from tests.support.postgres import PostgresServer
from voxcube.server.core.listing import Condition, Listing, Order
from voxcube.server.storage import activity, changes, contacts, inbox, late, offline, presence, reactions, receipts
from voxcube.server.storage.archive import ArchiveStore, Span
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.finding import Finder, Wanted
from voxcube.server.storage.history import HistoryStore
from voxcube.server.storage.messages import Send, apply_batch
from voxcube.server.storage.occupants import OccupantStore
from voxcube.server.storage.postgres import PLANNER, SCANNER
from voxcube.server.storage.privacy import PrivacyStore
from voxcube.server.storage.receipts import DELIVERED, READ, HandOver, Mark
from voxcube.server.storage.tokens import TokenStore
from voxcube.server.storage.users import UserStore

BIG = {*crowd.TABLES} - {"privacy_lists", "privacy_defaults", "search_dialogs", "presence"}
MEMBER = 1537  # of GROUP
# A search by trigrams (below), and what an administrator's change of the fields of dialogs goes through.
ELSEWHERE = {"finding._INDEXED", "extensions._EXTENDED"}
STATES = ("fresh", "analysed")
MODES = ("force_generic_plan", "force_custom_plan")


@pytest.fixture(scope="module")
def databases(postgres_server: PostgresServer) -> dict[str, str]:
    """URLs of the same rows, without statistics and with them."""
    fresh = postgres_server.create_database()
    asyncio.run(crowd.fill(fresh))
    base, _, name = fresh.rpartition("/")

    async def copy() -> None:
        connection = await asyncpg.connect(f"{base}/postgres")
        try:
            await connection.execute(f"CREATE DATABASE {name}_analysed TEMPLATE {name}")
        finally:
            await connection.close()
        connection = await asyncpg.connect(f"{base}/{name}_analysed")
        try:
            await connection.execute("ANALYZE")
        finally:
            await connection.close()

    asyncio.run(copy())
    return {"fresh": fresh, "analysed": f"{base}/{name}_analysed"}


@pytest.mark.parametrize("state", STATES)
async def test_no_statement_walks_a_growing_table(databases: dict[str, str], state: str) -> None:
    connection = await asyncpg.connect(databases[state], server_settings=PLANNER)
    walks: dict[str, list[str]] = {}
    try:
        for number, (name, text) in enumerate(statements("postgresql")):
            if name in MEANT or name in ELSEWHERE:
                continue
            await connection.execute(f"PREPARE p{number} AS {text}")
            types = await connection.fetchval(
                f"SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'p{number}'"
            )
            nulls = "(" + ", ".join(["NULL"] * types) + ")" if types else ""
            plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE p{number}{nulls}"))[0]["Plan"]
            if found := [walk for node in nodes(plan) if (walk := walked(node))]:
                walks[name] = found
            await connection.execute(f"DEALLOCATE p{number}")
    finally:
        await connection.close()
    assert walks == {}


def walked(node: Node) -> str | None:
    """What the node reads from one end to the other, if it is a table that grows."""
    whole = node["Node Type"] == "Seq Scan" or (
        node["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Index Scan")
        and "Index Cond" not in node
        and node["Index Name"] != "dialogs_dropped"  # a partial index: all that is in it is wanted
    )
    name = node.get("Relation Name") or node.get("Index Name")
    return f"{node['Node Type']} {name}" if whole and name in BIG else None


def _none(_: Any) -> None:
    pass


def message(dialog: str, seq: int) -> str:
    """The id of a message of `crowd.py`."""
    return f"{dialog[7:]}{seq:07x}"


def send(dialog: str, sender: int, number: int) -> Send:
    return Send(
        app_id=1, dialog_id=dialog, message_id=f"{number:024d}", sender_id=sender, recipient_id=0, body="hello",
        properties=None, attachments=None, extras=None, date_sent=10**6, created_at=10**9, done=_none,
    )  # fmt: skip


def mark(dialog: str, user: int, kind: int, seq: int) -> Mark:
    return Mark(app_id=1, user_id=user, kind=kind, message_id=message(dialog, seq), done=_none)


# What users do: (rows that may be read from tables and indexes, what is run in a transaction or read).
Work = Callable[[ExplainedDatabase], Coroutine[Any, Any, Any]]


def batch(make: Callable[[], list[Any]]) -> Work:
    return lambda db: db.transaction(lambda tx: apply_batch(tx, make()))


def page(**listing: Any) -> Work:
    return lambda db: HistoryStore(db).page(
        app_id=1, dialog_id=LONG, viewer=1, after=0, last=40_000, listing=Listing(**listing)
    )


def count(**listing: Any) -> Work:
    return lambda db: HistoryStore(db).count(
        app_id=1, dialog_id=LONG, viewer=1, after=0, cleared=0, last=40_000, live=40_000, listing=Listing(**listing)
    )


def dialogs_page(**listing: Any) -> Work:
    return lambda db: DialogStore(db).page(1, 3, Listing(**{"limit": 100, **listing}), 20)


def archive(dialog: str | None, **span: Any) -> Work:
    return lambda db: ArchiveStore(db).page(app_id=1, viewer=1, dialog_id=dialog, span=Span(**span), limit=50)


async def edited(tx: Any) -> None:
    found = await changes.find(tx, 1, [message(LONG, 39_000)])
    await changes.edit(tx, found[message(LONG, 39_000)], body="new", now_ms=10**9)


OPERATIONS: dict[str, tuple[int, Work]] = {
    "send 20 to a pair": (60, batch(lambda: [send(LONG, 1, n) for n in range(20)])),
    "send 20 to a large group": (60, batch(lambda: [send(LARGE, 3, n) for n in range(20)])),
    "send 20 to a group": (260, batch(lambda: [send(GROUP, MEMBER, n) for n in range(20)])),
    "send to 20 dialogs": (400, batch(lambda: [send(f"{n:024x}", 1 + n, n) for n in range(20, 40)])),
    "resend 20": (80, batch(lambda: [send(LONG, 1, n) for n in range(20)] * 2)),
    "mark 20 with gaps": (300, batch(lambda: [mark(LARGE, READER, READ, 2 * n) for n in range(5_010, 5_030)])),
    "mark 20 between gaps": (300, batch(lambda: [mark(LARGE, READER, READ, 2 * n + 1) for n in range(1000, 1020)])),
    "20 mark one message": (300, batch(lambda: [mark(LARGE, n, DELIVERED, 19_000) for n in range(20, 40)])),
    "mark in a broadcast for the first time": (40, batch(lambda: [mark(BROADCAST, 1999, READ, 50)])),
    "20 cursors": (60, batch(lambda: [HandOver(LARGE, n, 19_000, _none) for n in range(20, 40)])),
    "mark all": (20, lambda db: db.transaction(lambda tx: receipts.mark_all(tx, GROUP, MEMBER, READ))),
    "mark a page": (800, lambda db: db.transaction(
        lambda tx: receipts.mark_seqs(tx, LARGE, READER, READ, range(5000, 5100)))),
    "hide": (40, lambda db: db.transaction(lambda tx: receipts.hide_for(tx, LARGE, READER, [5000, 5001]))),
    "clear": (2_010, lambda db: db.transaction(lambda tx: receipts.clear_for(tx, LONG, 1))),
    "edit": (30, lambda db: db.transaction(edited)),
    "delete": (60, lambda db: db.transaction(lambda tx: changes.remove(tx, LONG, [39_000], 10**9))),
    "react": (60, lambda db: db.transaction(
        lambda tx: reactions.change(tx, LARGE, 500, 3, add="x", remove="r1", now_ms=1))),
    "find a message to react to": (10, lambda db: reactions.ReactionStore(db).find(1, 1, message(LONG, 30_000))),
    "reactions": (40, lambda db: reactions.ReactionStore(db).of(LARGE, 500)),
    "history page": (700, page()),
    "history page of a large group": (13_000, lambda db: HistoryStore(db).page(
        app_id=1, dialog_id=LARGE, viewer=3, after=0, last=20_000, listing=Listing(order=Order("date_sent", True)))),
    "newest history page": (700, page(order=Order("date_sent", True))),
    "history page by arrival": (700, page(order=Order("created_at", True))),
    "history page by change": (1_200, page(order=Order("updated_at", True))),
    "history since a time": (700, page(conditions=[Condition("date_sent", "gt", 30_000)])),
    "history of ids": (60, page(conditions=[Condition("_id", "in", [message(LONG, n) for n in range(1, 11)])])),
    "history of an id": (20, page(conditions=[Condition("_id", "eq", message(LONG, 20_001))])),
    "history changed lately": (3_000, page(conditions=[Condition("updated_at", "gt", 1_039_500)])),
    "history made lately": (3_000, page(conditions=[Condition("created_at", "gt", 1_039_500)])),
    "history count": (1_010, count()),
    "unread": (400, lambda db: DialogStore(db).unread(1, 3, None)),
    "unread of some": (60, lambda db: DialogStore(db).unread(1, 3, [LARGE, GROUP, LONG])),
    "a private dialog": (60, lambda db: DialogStore(db).view(1, LONG, 1)),
    "dialogs, newest first": (6_000, dialogs_page()),
    "dialogs changed lately": (6_000, dialogs_page(conditions=[Condition("updated_at", "gt", 1_000_010)])),
    "dialogs by ids": (300, dialogs_page(conditions=[Condition("_id", "in", [LONG, f"{3:024x}"])])),
    "dialogs by name": (12_000, dialogs_page(order=Order("name"))),
    "facts of a large group": (2_010, lambda db: Cache(db).dialog(1, LARGE)),
    "facts of a pair": (10, lambda db: Cache(db).pair(1, 1, 2)),
    "size of a list": (120, lambda db: Cache(db).listed(3)),
    "own member row": (4, lambda db: DialogStore(db).member(LARGE, 3)),
    "occupants": (6_100, lambda db: OccupantStore(db).page(LARGE, limit=50, skip=0)),
    "token": (4, lambda db: TokenStore(db).find("x")),
    "extend tokens": (20, lambda db: db.transaction(
        lambda tx: TokenStore(db).extend_all(tx, ["a", "b", "c"], before=1, until=2, now=0))),
    "end tokens of a user": (60, lambda db: db.transaction(
        lambda tx: TokenStore(db).delete_all(tx, app_id=1, user_id=3))),
    "user by login": (4, lambda db: UserStore(db).by_login(1, "user77")),
    "user by e-mail": (4, lambda db: UserStore(db).by_email(1, "u77@x.org")),
    "users by ids": (60, lambda db: UserStore(db).by_ids(1, list(range(100, 120)))),
    "users by a tag": (500, lambda db: UserStore(db).page(
        1, Listing(conditions=[Condition("user_tags", "eq", "tag3")], limit=10))),
    "touch a user": (8, lambda db: db.transaction(lambda tx: UserStore(db).touch(tx, 1, 5, 9))),
    "users online": (4_000, lambda db: UserStore(db).online(1, 10, limit=20, skip=0)),
    "sessions of a user": (10, lambda db: presence.sessions_of(db, 5, 10)),
    "who of 20 is online elsewhere": (120, lambda db: presence.online_elsewhere(db, "node1", list(range(20)), 10)),
    "all online elsewhere": (2_500, lambda db: presence.in_app_elsewhere(db, "node1", 1, 10, 100)),
    "last activity": (80, lambda db: activity.last_of(db, list(range(20)))),
    "come and go": (100, lambda db: db.transaction(
        lambda tx: presence.show(tx, "node1", [(n, n % 2, 0) for n in range(20)]))),
    "private dialogs that are behind": (60, lambda db: late.LateStore(db).behind(3)),
    "missed messages": (1_500, lambda db: late.LateStore(db).missed(1, [(LONG, 100)], since=0, limit=100)),
    "missed messages with gaps": (3_000, lambda db: late.LateStore(db).missed(
        READER, [(LARGE, 9_900)], since=0, limit=100)),
    "a range of messages": (60, lambda db: late.LateStore(db).range(LARGE, 1000, 1010)),
    "positions": (1_000, lambda db: late.LateStore(db).positions(list(range(20)))),
    "newest of an archive": (400, archive(None, backwards=True)),
    "archive of a dialog": (200, archive(LONG)),
    "archive behind a message": (200, archive(LONG, after=message(LONG, 20_000))),
    "archive from a time": (400, archive(LONG, start=1_020_000)),
    "contacts": (60, lambda db: contacts.facts(db, 1, 3)),
    "privacy": (6, lambda db: PrivacyStore(db).default(1, 3)),
    "offline queue": (20, lambda db: offline.waiting(db, 1, 3, 0)),
    "drop copies": (200, lambda db: db.transaction(lambda tx: inbox.refresh(tx, GROUP))),
}  # fmt: skip
SEARCHES: dict[str, tuple[int, Work]] = {
    "search in a dialog": (4_000, lambda db: Finder(db).messages(
        Wanted(app_id=1, viewer=1, text="number 123", oldest=0, newest=10**9, dialogs=[LONG], limit=20))),
    "search in all dialogs": (30_000, lambda db: Finder(db).messages(
        Wanted(app_id=1, viewer=3, text="number 123", oldest=0, newest=10**9, dialogs=None, limit=20))),
    "search among names": (500, lambda db: Finder(db).dialogs(
        Wanted(app_id=1, viewer=3, text="Dialog 6", oldest=0, newest=10**9, dialogs=None, limit=20))),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("state", STATES)
async def test_what_users_do_reads_few_rows(databases: dict[str, str], state: str, mode: str) -> None:
    await check(databases[state], {**PLANNER, "plan_cache_mode": mode}, OPERATIONS)


@pytest.mark.parametrize("state", STATES)
async def test_a_search_reads_what_the_user_may_see(databases: dict[str, str], state: str) -> None:
    await check(databases[state], SCANNER, SEARCHES)


async def check(url: str, settings: dict[str, str], operations: dict[str, tuple[int, Work]]) -> None:
    db = await ExplainedDatabase.open(url, **settings)
    faults: list[str] = []
    try:
        for name, (most, work) in operations.items():
            await work(db)  # the driver's own questions about types come with the first run
            db.take()
            await work(db)
            seen = db.take()
            assert seen or name == "resend 20", name
            walks = [walk for one in seen for node in one.nodes() if (walk := walked(node))]
            read = sum(one.read for one in seen)
            if walks or read > most:
                worst = max(seen, key=lambda one: one.read)
                faults.append(f"{name}: {read:.0f} rows, at most {most}; {walks}; worst: {worst}")
    finally:
        await db.close()
    assert not faults, "\n".join(faults)
