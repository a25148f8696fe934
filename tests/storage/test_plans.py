"""No statement walks a whole table that grows with users or messages: its plan on SQLite says so."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from voxcube.server import storage
from voxcube.server.storage import changes, finding, history, listed, migrate, presence, sqlite, users
from voxcube.server.storage.sql import Backend, Bulk, Query

# What may be walked: values given by the caller (under any of these names), and tables that stay small.
SMALL = {"CONSTANT", "json_each", "j", "item", "h", "u", "2", "apps", "nodes", "erased_users", "erasing"}
# In the background, or a list of exactly what is walked (who is online).
MEANT = {
    *(
        "activity._LEFT_BEHIND",
        "inbox._FIND_QUIET",
        "presence._DEAD",
        "presence._DEAD_USERS",
        "presence._IN_APP_ELSEWHERE",
    ),
    *("users._ENDED_GUESTS", "users._ONLINE", "users._ONLINE_AMONG", "users._ONLINE_COUNT"),
    # In the lane of scans; and of the lists of who is online.
    *("privacy._NAMING_ALL", "privacy._NAMING_ONLINE"),
}
# Not: subqueries, whose tables have lines of their own; and the search index where it is asked for something.
_SCANNED = re.compile(r"SCAN (?!anon_\d|message_texts VIRTUAL TABLE INDEX \d+:\S)(\w+)")


def statements(backend: Backend = "sqlite") -> Iterator[tuple[str, str]]:
    """Name and text of every statement that the stores keep."""
    for module in pkgutil.iter_modules(storage.__path__):
        if module.ispkg or (module.name == "postgres" and backend == "sqlite"):
            continue
        if module.name == "app_rows":  # a command that deletes an application, in bounded steps
            continue
        for name, value in vars(importlib.import_module(f"{storage.__name__}.{module.name}")).items():
            for number, one in enumerate(value if isinstance(value, list) else [value]):
                label = f"{module.name}.{name}" + (f"[{number}]" if isinstance(value, list) else "")
                if isinstance(one, Query):
                    yield label, one.compiled(backend)[0]
                elif isinstance(one, Bulk):
                    yield label, one.sqlite(2) if backend == "sqlite" else one.postgresql
    for how in itertools.product(("activity", "updated_at"), (False, True), (False, True)):
        yield f"listed.first {how}", listed._first(*how).compiled(backend)[0]
    every: tuple[tuple[str, str], ...] = (*((name, "eq") for name in listed._OF_VIEWER), ("occupants_ids", "nin"))
    for among_ids, wanted in itertools.product((False, True), ((), (("updated_at", "gt"),), every)):
        yield f"listed.page {among_ids} {wanted}", listed._page(among_ids, wanted, "name", True).compiled(backend)[0]
        yield f"listed.total {among_ids} {wanted}", listed._total(among_ids, wanted).compiled(backend)[0]
    for wanted in ((), (("date_sent", "gt"),), (("_id", "eq"),), (("_id", "in"),), (("updated_at", "gt"),)):
        for form in ("far", "near", "news"):
            for order in ("date_sent", "created_at", "updated_at"):
                name = f"history.page{wanted}{form}{order}"
                yield name, history._page(wanted, order, True, form).compiled(backend)[0]
            yield f"history.count{wanted}{form}", history._count(wanted, form).compiled(backend)[0]
    for wanted in ((("id", "in"),), (("login", "eq"),), (("email", "in"),), (("user_tags", "in"),)):
        yield f"users.page{wanted}", users._page(wanted, "id", False).compiled(backend)[0]
        yield f"users.total{wanted}", users._total(wanted).compiled(backend)[0]


def plan(connection: sqlite3.Connection, text: str) -> list[str]:
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + text, [None] * text.count("?"))]


@pytest.fixture
async def connection(tmp_path: Path) -> sqlite3.Connection:
    await migrate.upgrade(f"sqlite:///{tmp_path / 'voxcube.db'}")
    return sqlite.connect(tmp_path / "voxcube.db", read_only=True)


async def test_no_statement_walks_a_growing_table(connection: sqlite3.Connection) -> None:
    walks = {
        name: steps
        for name, text in statements()
        if name not in MEANT
        for steps in [plan(connection, text.replace("?1", "?", 1).replace("?1", "NULL"))]
        if any(found[1] not in SMALL for step in steps if (found := _SCANNED.match(step)))
    }
    connection.close()
    assert walks == {}


async def test_rows_deleted_together_are_found_by_their_whole_keys(connection: sqlite3.Connection) -> None:
    """The first part of a key is often the application: all of its messages would be walked."""
    for query, keys in (
        (changes.FORGET_IDS, "app_id=? AND id=?"),
        (presence._HIDE, "node=? AND user_id=?"),
    ):
        assert keys in plan(connection, query.sqlite(2))[0]
    connection.close()


async def test_a_page_of_history_needs_no_sorting(connection: sqlite3.Connection) -> None:
    for wanted in ((), (("sender_id", "eq"), ("properties", "eq"), ("attachments.type", "in"))):
        for descending in (False, True):
            for order in ("date_sent", "created_at"):
                steps = plan(connection, history._page(wanted, order, descending, "far").compiled("sqlite")[0])
                assert not any("TEMP B-TREE" in step for step in steps)
    connection.close()


async def test_a_page_by_changes_walks_two_indexes(connection: sqlite3.Connection) -> None:
    """What never changed by its number, what did by its own index; only what both gave is sorted."""
    steps = plan(connection, history._page((), "updated_at", True, "far").compiled("sqlite")[0])
    connection.close()
    searches = [step for step in steps if step.startswith("SEARCH messages")]
    assert [step.split()[4] for step in searches] == ["sqlite_autoindex_messages_1", "messages_changed"]
    for search in searches:  # the index gives the order: nothing is sorted before the limit
        following = steps[steps.index(search) :]
        assert following.index(next(step for step in following if step.startswith("SCAN"))) < following.index(
            "USE TEMP B-TREE FOR ORDER BY"
        )


async def test_a_search_compares_what_is_in_its_ranges(connection: sqlite3.Connection) -> None:
    steps = plan(connection, finding._IN_RANGES.compiled("sqlite")[0])
    connection.close()
    assert "SEARCH m USING INDEX sqlite_autoindex_messages_1 (dialog_id=? AND seq>? AND seq<?)" in steps


async def test_the_first_dialogs_of_a_list_need_no_sorting(connection: sqlite3.Connection) -> None:
    for how in itertools.product(("activity", "updated_at"), (False, True), (False, True)):
        steps = plan(connection, listed._first(*how).compiled("sqlite")[0])
        assert not any("TEMP B-TREE" in step for step in steps), how
    connection.close()


async def test_users_are_found_by_their_ids_not_among_all_of_the_application(connection: sqlite3.Connection) -> None:
    for query in (users._BY_IDS, users._EXISTING):
        assert "(id=?)" in plan(connection, query.compiled("sqlite")[0])[0]
    connection.close()
