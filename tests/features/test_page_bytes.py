"""Pages are cut at a few MiB: what is left out comes with the next page, however a client asks for it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.features.test_dialogs import create
from tests.features.test_history import dialog
from tests.features.world import World
from voxcube.server.core import pages

LONG = 100_000  # characters of a message
COUNT = 70  # messages: 7 MB, and more than PostgreSQL reads at once
MOST = 5 * 1024 * 1024  # bytes of an answer: the page, one message beyond it, and its frame


async def filled(world: World) -> tuple[httpx.AsyncClient, str]:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob)
    for number in range(COUNT):
        await world.send(dialog_id, bob, f"{number:03}" + "x" * LONG, date_sent=1_700_000_000 + number // 10)
    return await world.login(ann), dialog_id


async def page(client: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text[:300]
    assert len(answer.content) < MOST
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("sort", ["sort_asc", "sort_desc"])
async def test_skipping_what_one_has_finds_every_message(world: World, sort: str) -> None:
    client, dialog_id = await filled(world)
    numbers: list[int] = []
    asked = 0
    while True:
        query = {"chat_dialog_id": dialog_id, "skip": len(numbers), sort: "date_sent", "limit": 1000}
        found = await page(client, "/chat/Message", **query, mark_as_read=0)
        asked += 1
        numbers += [int(item["message"][:3]) for item in found["items"]]
        assert found["items"] or found["limit"] == 1000
        if len(found["items"]) < found["limit"]:  # the end, as our SDK and careful clients know it
            break
    assert sorted(numbers) == list(range(COUNT))
    assert 2 <= asked <= 3


async def test_only_what_came_is_marked_as_read(world: World) -> None:
    client, dialog_id = await filled(world)
    found = await page(client, "/chat/Message", chat_dialog_id=dialog_id)
    came = len(found["items"])
    assert 0 < came == found["limit"] < COUNT
    assert (await page(client, "/chat/Message/unread"))["total"] == COUNT - came


async def test_one_message_always_comes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client, dialog_id = await filled(world)
    monkeypatch.setattr(pages, "PAGE_BYTES", 1000)
    found = await page(client, "/chat/Message", chat_dialog_id=dialog_id)
    assert len(found["items"]) == found["limit"] == 1


async def test_short_pages_are_whole(world: World) -> None:
    client, dialog_id = await filled(world)
    found = await page(client, "/chat/Message", chat_dialog_id=dialog_id, limit=10, skip=5)
    assert (len(found["items"]), found["limit"], found["skip"]) == (10, 10, 5)
    found = await page(client, "/chat/Message", chat_dialog_id=dialog_id, skip=COUNT - 30)
    assert (len(found["items"]), found["limit"]) == (30, 100)


async def test_every_dialog_is_found(world: World) -> None:
    ann = await world.user("ann")
    client = await world.login(ann)
    made = set()
    for number in range(COUNT):
        made.add((await create(client, type=2, name=f"Group {number}"))["_id"])
    for dialog_id in made:
        await world.send(dialog_id, ann, "x" * LONG)
    seen: list[str] = []
    while True:
        found = await page(client, "/chat/Dialog", skip=len(seen))
        assert found["total_entries"] == COUNT
        seen += [item["_id"] for item in found["items"]]
        if len(found["items"]) < found["limit"]:
            break
    assert len(seen) == COUNT
    assert set(seen) == made


async def test_a_search_ends_with_a_page(world: World) -> None:
    client, _ = await filled(world)
    found = await page(client, "/chat/search", search_text="xxxx")
    assert 0 < len(found["messages"]) < COUNT
    assert found["messages"][0]["message"].startswith(f"{COUNT - 1:03}")
