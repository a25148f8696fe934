"""The global search: what is found, by whom, and that it is exact before, while and after indexing (rest §7.9)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from tests.features.test_history import dialog
from tests.features.world import World
from voxcube.server.core.errors import TooLong
from voxcube.server.core.models import User
from voxcube.server.storage import changes, finding, receipts, search, sqlite
from voxcube.server.storage.schema import message_texts
from voxcube.server.storage.sql import Query


async def found(client: httpx.AsyncClient, text: str, **more: Any) -> list[str]:
    """The bodies of the messages found."""
    answer = await client.get("/chat/search", params={"search_text": text, **more})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["results"] == {key: body[key] for key in ("dialogs", "messages", "users")}
    assert body["users"] == []
    return [message["message"] for message in body["messages"]]


async def index(world: World, *dialog_ids: str) -> None:
    """Brings everything into the index."""
    for dialog_id in dialog_ids:
        while await world.writer.run(lambda tx, dialog_id=dialog_id: search.index_some(tx, dialog_id)):  # type: ignore[misc]
            pass


@pytest.fixture(params=["compared", "indexed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Messages are found by comparing all of them, or by the index alone."""
    if request.param == "indexed":
        monkeypatch.setattr(finding, "NEWEST", 0)
        monkeypatch.setattr(finding, "CANDIDATES", 3)  # several rounds
    monkeypatch.setattr(finding, "CHUNK", 7)
    way: str = request.param
    return way


TEXTS = [
    "The quick brown fox",
    "the QUICK brown fox",
    "100%_sure\\ 'quoted' \"twice\"",
    "100 percent sure",
    "Ünïcödé и кириллица",
    "日本語のテキスト",
    "👩‍👩‍👧 family 🎉🎉🎉🎉",
    "a\tb\nc   d",
    "AND OR NOT NEAR(x) * ^ body:",
    "x",
    "",
]
SOUGHT = {
    "quick": [0],
    "QUICK": [1],
    " brown fox": [0, 1],
    "rown": [0, 1],
    "100%": [2],
    "100_": [],
    "%_sure\\ '": [2],
    '" "t': [],
    '"twice"': [2],
    "и ки": [4],
    "И КИ": [],
    "cödé": [4],
    "本語のテ": [5],
    "🎉🎉🎉": None,
    "🎉🎉🎉🎉": [6],
    "👩‍👩‍👧": [6],
    "b\nc ": [7],
    "c   d": [7],
    "OR NOT NEAR": [8],
    "NEAR(x) * ^ body:": [8],
    "nothing of it": [],
}


async def test_any_part_of_a_text_as_it_is_written(world: World, way: str) -> None:
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann, name="texts")
    for text in TEXTS:
        await world.send(dialog_id, ann, text)
        world.clock.advance(1)
    if way == "indexed":
        await index(world, dialog_id)
    client = await world.login(ann)
    for text, expected in SOUGHT.items():
        if expected is None:
            assert (await client.get("/chat/search", params={"search_text": text})).status_code == 422
        else:
            assert await found(client, text) == [TEXTS[number] for number in reversed(expected)], text


async def test_the_newest_of_many_and_no_more_than_asked_for(world: World, way: str) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialogs = [await dialog(world, ann, bob, name=name) for name in "abc"]
    sent: list[str] = []
    for number in range(60):
        body = f"word {number}" if number % 3 else f"other {number}"
        await world.send(dialogs[number % 3 if number % 2 else 0], ann, body)
        world.clock.advance(1)
        if number % 3:
            sent.insert(0, body)
    if way == "indexed":
        await index(world, *dialogs[:2])
    client = await world.login(bob)
    assert await found(client, "word") == sent
    assert await found(client, "word", limit=7) == sent[:7]
    assert await found(client, "word", limit=0) == []
    assert await found(client, "word", limit=1000) == sent


async def test_dates_and_dialogs(world: World, way: str) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    one, two = await dialog(world, ann, name="one"), await dialog(world, ann, name="two")
    foreign = await dialog(world, bob, name="foreign")
    for dialog_id, sender in ((one, ann), (two, ann), (foreign, bob)):
        for date in (1000, 2000, 3000):
            await world.send(dialog_id, sender, f"words {date}", date_sent=date)
            world.clock.advance(1)
    if way == "indexed":
        await index(world, one, two, foreign)
    client = await world.login(ann)
    assert await found(client, "words", chat_dialog_ids=one) == ["words 3000", "words 2000", "words 1000"]
    assert await found(client, "words", chat_dialog_ids=f"{foreign}, nonsense") == []
    assert len(await found(client, "words", **{"chat_dialog_ids[]": [one, two, foreign]})) == 6
    for bounds, expected in (
        ({"end_date": 2000}, ["words 3000", "words 2000"]),
        ({"start_date": 2000, "end_date": 1500}, ["words 2000"]),
        ({"start_date": "1970-01-01T00:50:00Z", "end_date": "1970-01-01T00:50:00Z"}, ["words 3000"]),
        ({"start_date": 1_767_225_600_000, "end_date": 0}, ["words 3000", "words 2000", "words 1000"]),
        ({"start_date": 1000, "end_date": 2000}, []),
    ):
        assert await found(client, "words", chat_dialog_ids=one, **bounds) == expected, bounds


REFUSED: list[dict[str, Any]] = [
    {},
    {"search_text": "abc"},
    {"search_text": "🎉🎉🎉"},
    {"search_text": "x" * 501},
    {"search_text": "words", "start_date": 1},
    {"search_text": "words", "end_date": "soon"},
    {"search_text": "words", "limit": -1},
    {"search_text": "words", "limit": "x"},
]


async def test_refused(world: World) -> None:
    client = await world.login(await world.user("ann"))
    for params in REFUSED:
        assert (await client.get("/chat/search", params=params)).status_code == 422, params


async def test_nobody_finds_what_is_not_theirs(world: World, way: str) -> None:
    ann, bob, cyd, out = [await world.user(login) for login in ("ann", "bob", "cyd", "out")]
    eve = await world.user("eve", world.other)
    private = await dialog(world, ann, bob, kind=3)
    group = await dialog(world, ann, bob, cyd, name="secret group", permissions={"allow_preview": True})
    public = await dialog(world, ann, kind=4, name="secret public")
    for dialog_id, other in ((private, bob.id), (group, 0), (public, 0)):
        await world.send(dialog_id, ann, f"a secret in {dialog_id}", recipient_id=other)
    if way == "indexed":
        await index(world, private, group, public)
    # who → finds in which dialogs, and which of them by name
    table: dict[str, tuple[User, list[str], list[str]]] = {
        "owner of all": (ann, [private, group, public], [group, public]),
        "member of two": (bob, [private, group], [group]),
        "member of one": (cyd, [group], [group]),
        "user of the application": (out, [], []),
    }
    for who, (user, dialogs, names) in table.items():
        client = await world.login(user)
        for more in ({}, {"chat_dialog_ids": ",".join((private, group, public))}):
            answer = (await client.get("/chat/search", params={"search_text": "secret", **more})).json()
            assert {message["chat_dialog_id"] for message in answer["messages"]} == set(dialogs), who
            assert {one["_id"] for one in answer["dialogs"]} == set(names), who
    stranger = await world.login(eve, world.other)
    assert await found(stranger, "secret", chat_dialog_ids=group) == []
    left = await world.login(cyd)
    assert (await left.delete(f"/chat/Dialog/{group}")).status_code == 200
    assert await found(left, "secret") == []


async def test_what_is_gone_is_not_found_and_what_was_edited_by_its_new_text(world: World, way: str) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob, name="changes")
    sent = [await world.send(dialog_id, ann, f"text number {number}") for number in range(6)]
    if way == "indexed":
        await index(world, dialog_id)
    at_ann, at_bob = await world.login(ann), await world.login(bob)
    path = f"/chat/Message/{sent[1].message_id}"
    edit = await at_ann.put(path, json={"chat_dialog_id": dialog_id, "message": "wholly new words"})
    assert edit.status_code == 200
    assert (await at_ann.delete(f"/chat/Message/{sent[2].message_id}?force=1")).status_code == 200
    assert (await at_bob.delete(f"/chat/Message/{sent[3].message_id}")).status_code == 200
    assert await found(at_ann, "number") == [f"text number {number}" for number in (5, 4, 3, 0)]
    assert await found(at_bob, "number") == [f"text number {number}" for number in (5, 4, 0)]
    assert await found(at_bob, "new words") == ["wholly new words"]
    assert (await at_bob.delete(f"/chat/Dialog/clearHistory/{dialog_id}")).status_code == 200
    await world.send(dialog_id, ann, "text number 6")
    assert await found(at_bob, "number") == ["text number 6"]
    assert (await at_ann.delete(f"/chat/Dialog/clearHistory/{dialog_id}?force=1")).status_code == 200
    assert await found(at_ann, "number") == []


async def test_names_of_dialogs(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob", full_name="Robert of Worms")
    cyd = await world.user("worms_login")
    group = await dialog(world, ann, name="A trip to Worms")
    private, other = await dialog(world, ann, bob, kind=3), await dialog(world, ann, cyd, kind=3)
    client = await world.login(ann)

    async def names(text: str, **more: Any) -> dict[str, str]:
        answer = (await client.get("/chat/search", params={"search_text": text, **more})).json()
        return {one["_id"]: one["name"] for one in answer["dialogs"]}

    assert await names("Worms") == {group: "A trip to Worms", private: "Robert of Worms"}
    assert await names("worms") == {other: "worms_login"}
    assert await names("bob ") == {}
    assert await names("Worms", chat_dialog_ids=group) == {group: "A trip to Worms"}
    assert len(await names("Worms", limit=1)) == 1
    for login in (bob, cyd):  # their own names are not those of their dialogs
        client = await world.login(login)
        assert await names("orms") == {}


TEXT_COUNT = Query(select(func.count()).select_from(message_texts))


async def test_the_index_shrinks_with_the_messages(world: World) -> None:
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann, name="shrinks")
    sent = [await world.send(dialog_id, ann, f"text number {number}") for number in range(5)]
    await index(world, dialog_id)
    assert await world.database.value(TEXT_COUNT) == 5
    seqs = [send.seq for send in sent]
    await world.writer.run(lambda tx: changes.remove(tx, dialog_id, seqs[:2], world.clock.now_ms()))
    assert await world.database.value(TEXT_COUNT) == 3
    client = await world.login(ann)
    assert (await client.delete(f"/chat/Dialog/{dialog_id}?force=1")).status_code == 200
    await world.eraser.run()
    assert await world.database.value(TEXT_COUNT) == 0


async def test_a_dialog_is_indexed_in_steps_when_it_is_due(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "ROWS", 10)
    monkeypatch.setattr(search, "CHARACTERS", 100)
    ann = await world.user("ann")
    dialog_id, short = await dialog(world, ann, name="long"), await dialog(world, ann, name="short")
    await world.send(short, ann, "text")
    for number in range(search.STEP):
        await world.send(dialog_id, ann, "text" if number % 5 else "x" * 120)
    world.indexer.after_commit(short, 1)
    await world.indexer.run()
    assert await world.database.value(TEXT_COUNT) == 0
    world.indexer.after_commit(dialog_id, search.STEP)
    await world.indexer.run()
    assert await world.database.value(TEXT_COUNT) == search.STEP
    await world.indexer.run()
    assert await world.database.value(TEXT_COUNT) == search.STEP


async def test_indexing_and_editing_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several nodes may index one dialog while its messages are edited and deleted: no text is lost, doubled or old."""
    monkeypatch.setattr(search, "ROWS", 3)
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann, name="busy")
    sent = [await world.send(dialog_id, ann, f"first text {number}") for number in range(30)]
    client = await world.login(ann)

    async def edit(number: int) -> None:
        change = {"chat_dialog_id": dialog_id, "message": f"second text {number}"}
        assert (await client.put(f"/chat/Message/{sent[number].message_id}", json=change)).status_code == 200

    async def remove(number: int) -> None:
        assert (await client.delete(f"/chat/Message/{sent[number].message_id}?force=1")).status_code == 200

    steps = [index(world, dialog_id) for _ in range(3)]
    await asyncio.gather(*steps, *(edit(number) for number in range(10)), *(remove(number) for number in range(10, 15)))
    await index(world, dialog_id)
    assert await world.database.value(TEXT_COUNT) == 25
    monkeypatch.setattr(finding, "NEWEST", 0)
    assert sorted(await found(client, "first text")) == sorted(f"first text {number}" for number in range(15, 30))
    assert sorted(await found(client, "second text")) == sorted(f"second text {number}" for number in range(10))


async def test_what_a_dead_node_left_is_found_by_the_walk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from voxcube.server.features.search import indexer

    monkeypatch.setattr(indexer, "SWEEP_DIALOGS", 2)
    ann = await world.user("ann")
    dialogs = [await dialog(world, ann, name=str(number)) for number in range(5)]
    for _ in range(search.STEP):
        await world.send(dialogs[3], ann, "text")
    for _ in range(3):  # its steps
        await world.indexer.sweep()
    await world.indexer.run()
    assert await world.database.value(TEXT_COUNT) == search.STEP
    for _ in range(3):
        await world.indexer.sweep()
    await world.indexer.run()
    assert await world.database.value(TEXT_COUNT) == search.STEP


async def test_a_random_life_is_found_exactly(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends, edits, deletes, hides and steps of indexing in any order: what is found is what a plain look finds."""
    for name, value in (("NEWEST", 3), ("CANDIDATES", 2), ("CHUNK", 4)):
        monkeypatch.setattr(finding, name, value)
    monkeypatch.setattr(search, "ROWS", 3)
    chance = random.Random(7)
    ann, bob = await world.user("ann"), await world.user("bob")
    dialogs = [await dialog(world, ann, bob, name=name) for name in ("1", "2")]
    at_bob = await world.login(bob)
    texts: dict[tuple[str, int], str] = {}
    words = ["alpha", "beta ", "gamma", "delta"]

    def text() -> str:
        return "".join(chance.choices(words, k=3))

    for step in range(150):
        world.clock.advance(1)
        dialog_id = chance.choice(dialogs)
        act = chance.random()
        mine = [key for key in texts if key[0] == dialog_id]
        if act < 0.5 or not mine:
            sent = await world.send(dialog_id, ann, body := text())
            texts[dialog_id, sent.seq] = body
        elif act < 0.65:
            key, body = chance.choice(mine), text()
            texts[key] = body
            await world.writer.run(lambda tx, key=key, body=body: _edit(tx, key, body))  # type: ignore[misc]
        elif act < 0.75:
            key = chance.choice(mine)
            await world.writer.run(lambda tx, key=key: changes.remove(tx, key[0], [key[1]], 0))  # type: ignore[misc]
            del texts[key]
        elif act < 0.8:
            key = chance.choice(mine)
            await world.writer.run(lambda tx, key=key: receipts.hide_for(tx, key[0], bob.id, [key[1]]))  # type: ignore[misc]
            del texts[key]
        else:
            await world.writer.run(lambda tx, dialog_id=dialog_id: search.index_some(tx, dialog_id))  # type: ignore[misc]
        if step % 5 == 0:
            sought = chance.choice(words)[:4] if chance.random() < 0.5 else text()[2:8]
            expected = [body for body in texts.values() if sought in body]
            assert sorted(await found(at_bob, sought)) == sorted(expected), (step, sought)


async def _edit(tx: Any, key: tuple[str, int], body: str) -> None:
    """As `changes.edit` does, without the rest of it."""
    await tx.execute(changes._EDIT, body, None, None, 1, 2, *key)
    await search.edited(tx, *key, body)


async def test_a_search_has_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann, name="endless")
    await world.send(dialog_id, ann, "text")
    monkeypatch.setattr(world.database.scans, "seconds", -1.0)
    monkeypatch.setattr(sqlite, "SCAN_STEPS", 1)
    with pytest.raises(TooLong, match="takes too long"):
        await world.search.search(world.app.id, ann.id, "text")
    answer = await (await world.login(ann)).get("/chat/search?search_text=text")
    assert answer.status_code == 503
    assert "takes too long" in answer.text
