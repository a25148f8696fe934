"""Reactions over HTTP: what may react, who may, what it shows and whom it is told (rest §7.8)."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.features.test_history import dialog, items
from tests.features.world import World
from voxcube.server.features.reactions.service import KINDS
from voxcube.server.storage import reactions


async def react(client: httpx.AsyncClient, message_id: str, **body: Any) -> int:
    answer = await client.put(f"/chat/Message/{message_id}/reactions", json=body)
    if answer.status_code == 200:
        assert answer.json() == {}
    return answer.status_code


async def test_several_of_one_user_each_once_in_order(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob, kind=3)
    sent = await world.send(dialog_id, ann, "hello", recipient_id=bob.id)
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    [found] = await items(at_ann, dialog_id)
    assert found["reactions"] is None
    for client, body in (
        (at_bob, {"add": "👍"}),
        (at_ann, {"add": "👍"}),
        (at_bob, {"add": "👍"}),  # there already: nobody is told
        (at_bob, {"add": "🚀", "remove": "👎"}),  # the one half changes nothing
        (at_bob, {"remove": "❤️"}),
    ):
        world.clock.advance(1)
        assert await react(client, sent.message_id, **body) == 200
    path = f"/chat/Message/{sent.message_id}/reactions"
    assert (await at_ann.get(path)).json() == {"👍": [bob.id, ann.id], "🚀": [bob.id]}
    for client, own in ((at_ann, ["👍"]), (at_bob, ["👍", "🚀"])):
        [found] = await items(client, dialog_id)
        assert found["reactions"] == {"own": own, "total": {"👍": 2, "🚀": 1}}
    assert await react(at_bob, sent.message_id, add="🎉", remove="👍") == 200
    assert (await at_ann.get(path + ".json")).json() == {"👍": [ann.id], "🚀": [bob.id], "🎉": [bob.id]}
    key = (dialog_id, bob.id, sent.message_id)
    assert world.reaction_notices.told == [
        (*key, "👍", None),
        (dialog_id, ann.id, sent.message_id, "👍", None),
        (*key, "🚀", None),
        (*key, "🎉", "👍"),
    ]


REFUSED: list[dict[str, Any]] = [
    {},
    {"add": ""},
    {"add": " "},
    {"add": "x" * 33},
    {"add": "a\nb"},
    {"remove": ""},
    {"remove": "\ufffe"},
    {"add": "👍", "remove": "👍"},
    {"add": {"a": 1}},
]


async def test_what_is_no_reaction(world: World) -> None:
    ann = await world.user("ann")
    sent = await world.send(await dialog(world, ann), ann)
    client = await world.login(ann)
    for body in REFUSED:
        assert await react(client, sent.message_id, **body) == 422, body
    family = "👨‍👩‍👧‍👦" * 4  # 28 code points, joined by characters without a width
    for good in ("+1", "x" * 32, family, "❤️", "نعم"):
        assert await react(client, sent.message_id, add=good) == 200, good
    found = (await client.get(f"/chat/Message/{sent.message_id}/reactions")).json()
    assert found == {good: [ann.id] for good in ("+1", "x" * 32, family, "❤️", "نعم")}


async def test_a_message_takes_so_many_kinds(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    sent = await world.send(await dialog(world, ann, bob), ann)
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    for number in range(KINDS):
        assert await react(at_ann, sent.message_id, add=str(number)) == 200
    assert await react(at_bob, sent.message_id, add="one more") == 422
    assert await react(at_bob, sent.message_id, add="7") == 200
    assert await react(at_ann, sent.message_id, add="one more", remove="8") == 200
    found = (await at_bob.get(f"/chat/Message/{sent.message_id}/reactions")).json()
    assert len(found) == KINDS
    assert (found["7"], found["one more"], "8" in found) == ([ann.id, bob.id], [ann.id], False)


async def test_at_once_is_once(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    sent = await world.send(await dialog(world, ann, bob), ann)
    client = await world.login(bob)
    assert set(await asyncio.gather(*(react(client, sent.message_id, add="👍") for _ in range(8)))) == {200}
    assert len(world.reaction_notices.told) == 1
    assert (await client.get(f"/chat/Message/{sent.message_id}/reactions")).json() == {"👍": [bob.id]}


async def test_who_may(world: World) -> None:
    ann, bob, cyd = [await world.user(login) for login in ("ann", "bob", "cyd")]
    eve = await world.user("eve", world.other)
    open_group = await dialog(world, ann, bob, permissions={"allow_preview": True})
    closed, public = await dialog(world, ann, bob), await dialog(world, ann, kind=4)
    clients = {user.login: await world.login(user) for user in (ann, bob, cyd)}
    clients["eve"] = await world.login(eve, world.other)
    # dialog → who: (may react, may look)
    table: dict[str, dict[str, tuple[int, int]]] = {
        open_group: {"bob": (200, 200), "cyd": (403, 200), "eve": (404, 404)},
        closed: {"bob": (200, 200), "cyd": (403, 403), "eve": (404, 404)},
        public: {"bob": (403, 403), "cyd": (403, 403), "eve": (404, 404)},
    }
    for dialog_id, rows in table.items():
        sent = await world.send(dialog_id, ann)
        for login, (may_react, may_look) in rows.items():
            assert await react(clients[login], sent.message_id, add="👍") == may_react, (dialog_id, login)
            answer = await clients[login].get(f"/chat/Message/{sent.message_id}/reactions")
            assert answer.status_code == may_look, (dialog_id, login)
    for unknown in ("64c0ffee64c0ffee64c0ffee", "nonsense"):
        assert await react(clients["ann"], unknown, add="👍") == 404


async def test_not_to_what_is_gone_for_me(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob, kind=3)
    first, second = [await world.send(dialog_id, ann, str(n), recipient_id=bob.id) for n in range(2)]
    at_bob = await world.login(bob)
    await at_bob.delete(f"/chat/Dialog/clearHistory/{dialog_id}")
    assert await react(at_bob, first.message_id, add="👍") == 404
    await world.send(dialog_id, ann, "new", recipient_id=bob.id)
    assert await react(await world.login(ann), second.message_id, add="👍") == 200
    assert [told[2] for told in world.reaction_notices.told] == [second.message_id]


async def test_they_go_with_the_message_and_with_the_user(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob)
    first, second = await world.send(dialog_id, ann), await world.send(dialog_id, ann)
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    for sent in (first, second):
        for client in (at_ann, at_bob):
            assert await react(client, sent.message_id, add="👍") == 200
    await world.writer.run(lambda tx: reactions.removed(tx, dialog_id, [first.seq]))
    await world.writer.run(lambda tx: reactions.forget_user(tx, bob.id))
    found = await items(at_ann, dialog_id)
    assert [item["reactions"] for item in found] == [None, {"own": ["👍"], "total": {"👍": 1}}]


@pytest.mark.parametrize("text", ["1", " 1"])
async def test_a_number_is_a_text(world: World, text: str) -> None:
    ann = await world.user("ann")
    sent = await world.send(await dialog(world, ann), ann)
    client = await world.login(ann)
    assert (await client.put(f"/chat/Message/{sent.message_id}/reactions?add={text}")).status_code == 200
    assert (await client.get(f"/chat/Message/{sent.message_id}/reactions")).json() == {text: [ann.id]}
