"""Walking through long lists: nothing is lost or doubled, whatever happens between two pages."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.fake_rest import DIALOG, DIALOG_ID, MESSAGE, FakeRest, with_session
from voxcube.client import Client, Message, Page, paging


@dataclass
class History:
    """Stored messages, as (second, order of arrival); ``between`` happens after each page."""

    messages: list[tuple[int, int]]
    between: Callable[["History"], None] = lambda _: None
    arrived: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arrived = len(self.messages)

    def add(self, second: int) -> None:
        self.messages.append((second, self.arrived))
        self.arrived += 1

    def client(self) -> Client:
        return with_session(FakeRest({"GET /chat/Message": self.answer}).client())

    def answer(self, request: httpx.Request) -> tuple[int, Any]:
        return 200, self.page(dict(request.url.params.multi_items()))

    def page(self, query: dict[str, str]) -> dict[str, Any]:
        self.requests.append(query)
        by = query.get("sort_desc") or query["sort_asc"]
        found = [
            (second, order)
            for second, order in self.messages
            if second >= int(query.get(f"{by}[gte]", 0)) and second < int(query.get(f"{by}[lt]", 1 << 40))
        ]
        found.sort(reverse="sort_desc" in query)
        skip, limit = int(query["skip"]), int(query["limit"])
        page = [self.json(*one) for one in found[skip : skip + limit]]
        self.between(self)
        return {"skip": skip, "limit": limit, "items": page}

    @staticmethod
    def json(second: int, order: int) -> dict[str, Any]:
        when = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return MESSAGE | {"_id": f"{order:024x}", "date_sent": second, "created_at": when}


def ids(messages: list[Message]) -> list[int]:
    return [int(message.id, 16) for message in messages]


async def walk(history: History, **options: Any) -> list[Message]:
    async with history.client() as cube, asyncio.timeout(30):
        return [message async for message in cube.messages.iterate(DIALOG_ID, **options)]


@pytest.mark.parametrize("by", ["date_sent", "created_at"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 99, 100, 101, 250])
async def test_each_message_once_in_order(by: str, count: int) -> None:
    history = History([(1000 + order // 3, order) for order in range(count)])
    assert ids(await walk(history, by=by)) == list(range(count))[::-1]
    assert ids(await walk(history, by=by, newest_first=False)) == list(range(count))
    assert ids(await walk(history, by=by, page_size=2)) == list(range(count))[::-1]


async def test_a_thousand_of_one_second_in_few_requests() -> None:
    history = History([(1000, order) for order in range(1000)])
    assert ids(await walk(history, page_size=100)) == list(range(1000))[::-1]
    assert len(history.requests) == 11


async def test_what_is_asked_for() -> None:
    history = History([(1000 + order, order) for order in range(5)])
    found = await walk(history, date_sent__lt=1004, sender_id=77, mark_as_read=False, page_size=3, params={"x": "y"})
    assert ids(found) == [3, 2, 1, 0]
    first, second = history.requests
    shared = {
        "chat_dialog_id": DIALOG_ID,
        "mark_as_read": "0",
        "limit": "3",
        "skip": "0",
        "sort_desc": "date_sent",
        "sender_id": "77",
        "x": "y",
    }
    assert first == shared | {"date_sent[lt]": "1004"}
    assert second == shared | {"date_sent[lt]": "1002"}
    history.requests.clear()
    since = datetime.fromtimestamp(1002, UTC)
    found = await walk(history, newest_first=False, by="created_at", created_at__gte=since, page_size=2)
    assert ids(found) == [2, 3, 4]
    assert [query["created_at[gte]"] for query in history.requests] == ["1002", "1003", "1004"]


async def test_deleted_within_the_second_that_is_being_read() -> None:
    def delete_three_once(history: History) -> None:
        if len(history.messages) == 20:
            del history.messages[-3:]

    history = History([(1000, order) for order in range(20)], delete_three_once)
    assert ids(await walk(history, page_size=4)) == list(range(20))[::-1]


class TestWhateverHappens:
    @settings(max_examples=300, deadline=None)
    @given(
        seconds=st.lists(st.integers(1, 6), max_size=60),
        changes=st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(1, 6), max_size=3)), max_size=40),
        page_size=st.integers(2, 8),
        newest_first=st.booleans(),
    )
    def test_what_stays_is_given_once_and_in_order(
        self, seconds: list[int], changes: list[tuple[int, list[int]]], page_size: int, newest_first: bool
    ) -> None:
        plan = iter(changes)

        def between(history: History) -> None:
            deletes, arrivals = next(plan, (0, []))
            for _ in range(deletes):
                if history.messages:
                    del history.messages[(len(history.messages) * 7919) % len(history.messages)]
            for second in arrivals:
                history.add(second)

        history = History([(second, order) for order, second in enumerate(seconds)], between)
        before = set(history.messages)
        edge, sort = ("lt", "sort_desc") if newest_first else ("gte", "sort_asc")

        async def fetch(bound: Any, skip: int) -> Page[Message]:
            query = {sort: "date_sent", "skip": str(skip), "limit": str(page_size)}
            query |= {} if bound is None else {f"date_sent[{edge}]": str(bound)}
            return Page.from_json(history.page(query), Message.from_json)

        async def all_of_it() -> list[Message]:
            walk = paging.messages(fetch, by="date_sent", newest_first=newest_first, bound=None)
            return [message async for message in walk]

        found = asyncio.run(all_of_it())
        given = [(int(message.date_sent.timestamp()), int(message.id, 16)) for message in found]
        assert len(given) == len(set(given))
        assert before & set(history.messages) <= set(given)
        assert given == sorted(given, key=lambda one: one[0], reverse=newest_first)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"page_size": 1}, "page_size"),
        ({"by": "updated_at"}, "date_sent"),
        ({"date_sent": 5}, "with an operator"),
        ({"date_sent__over": 5}, "operator"),
        ({"date_sent__lt": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001
    ],
)
async def test_walks_that_cannot_be_meant_are_refused_at_once(options: dict[str, Any], reason: str) -> None:
    async with with_session(FakeRest().client()) as cube:
        with pytest.raises(ValueError, match=reason):
            cube.messages.iterate(DIALOG_ID, **options)
        with pytest.raises(ValueError, match="24"):
            cube.messages.iterate("Lunch")


async def test_dialogs_go_by_their_ids() -> None:
    ids = [f"{number:024x}" for number in range(250)]
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> tuple[int, Any]:
        query = dict(request.url.params.multi_items())
        asked.append(query)
        found = [dialog for dialog in reversed(ids) if dialog < query.get("_id[lt]", "f")]
        page = [DIALOG | {"_id": dialog} for dialog in found[:100]]
        ids.append(f"{1000 + len(ids):024x}")  # somebody creates one, somebody leaves one
        del ids[40]
        return 200, {"total_entries": len(found), "skip": 0, "limit": 100, "items": page}

    async with with_session(FakeRest({"GET /chat/Dialog": answer}).client()) as cube:
        found = [dialog.id async for dialog in cube.dialogs.iterate(type__in=[2, 3], extensions={"location": "Oslo"})]
        wanted = [f"{number:024x}" for number in range(249, -1, -1)]
        assert [dialog for dialog in wanted if dialog not in found] == [f"{number:024x}" for number in (41, 40)]
        assert found == [dialog for dialog in wanted if dialog in found]
        assert asked[0] == {
            "limit": "100",
            "skip": "0",
            "sort_desc": "_id",
            "type[in][]": "3",
            "extensions[location]": "Oslo",
        }
        assert [query.get("_id[lt]") for query in asked] == [None, found[99], found[199]]
        assert [dialog.id async for dialog in cube.dialogs.iterate(id__lt=found[-2])][:1] == found[-1:]
