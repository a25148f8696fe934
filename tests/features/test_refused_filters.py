"""A name that is no filter of a list is refused on every list: ignored, it would answer with everything."""

from __future__ import annotations

import httpx
import pytest

from tests.features.test_history import dialog
from tests.features.world import World

LISTS = (
    "/chat/Dialog",
    "/chat/Dialog/{dialog}/occupants",
    "/chat/Message/unread",
    "/chat/search?search_text=hello",
    "/users",
    "/users/v2?login=ann",
    "/users/online",
    "/users/by_full_name?full_name=ann",
    "/users/by_tags?tags=vip",
)
UNKNOWN = ("_kind=yes", "Login=ann", "kind[gt]=1", "limits=5", "__=1", "sort=_id", "%20=1")


async def ask(client: httpx.AsyncClient, path: str, query: str) -> httpx.Response:
    return await client.get(f"{path}{'&' if '?' in path else '?'}{query}")


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_refuses_unknown_names(world: World, path: str) -> None:
    ann = await world.user("ann")
    path = path.format(dialog=await dialog(world, ann))
    client = await world.login(ann)
    assert (await ask(client, path, "_=1767225600000")).status_code == 200
    for query in UNKNOWN:
        answer = await ask(client, path, query)
        assert answer.status_code == 422, (query, answer.text)
        assert next(iter(answer.json()["errors"].values())) == ["is not a parameter or filter of this list"], query


async def test_a_refused_filter_marks_nothing_as_read(world: World) -> None:
    """`_kind` was ignored once: the answer was the whole history, and all of it counted as read."""
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob)
    await world.send(dialog_id, ann, "hello", properties={"_kind": "no"})
    await world.send(dialog_id, ann, "hello again", properties={"_kind": "yes"})
    client = await world.login(bob)

    async def unread() -> int:
        total: int = (await client.get("/chat/Message/unread")).json()["total"]
        return total

    history = f"/chat/Message?chat_dialog_id={dialog_id}"
    for query in ("read=0", "attachments[uid]=1", "reactions=x"):
        assert (await client.get(f"{history}&{query}")).status_code == 422, query
    assert await unread() == 2
    found = (await client.get(f"{history}&_kind=yes")).json()["items"]
    assert [item["message"] for item in found] == ["hello again"]
    assert await unread() == 1
