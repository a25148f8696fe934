"""Filters, orders and contents of the history: every field and operator, contents as they were sent, stable pages."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.features.test_history import dialog, items
from tests.features.world import World
from voxcube.server.core.models import READ, Message, StoredMessage
from voxcube.server.storage import audience, history

MESSAGES: list[dict[str, Any]] = [
    {"body": "Ärger im Büro", "date_sent": 100, "properties": {"city": "Oslo", "rank": "9"}},
    {"body": "100%_done", "date_sent": 300, "properties": {"city": "oslo", "meta": {"a": "1"}}},
    {
        "body": "",
        "date_sent": 200,
        "attachments": [{"type": "image", "uid": "1"}, {"type": "audio", "uid": "2"}],
        "properties": {"_rank": "3"},
    },
    {"body": "with a video", "date_sent": 200, "attachments": [{"type": "video", "uid": "3"}]},
    {"body": "ärger", "date_sent": 400, "properties": {"rank": "10", "city": ""}},
]
# Query → positions in MESSAGES, in the default order.
FILTERS: dict[str, list[int]] = {
    "message=ärger": [4],
    "message[ctn]=ÄRGER": [0, 4],
    "message[ctn]=%25_": [1],
    "message[start_with]=100%25": [1],
    "message[ne]=": [0, 3, 1, 4],
    "message[in]=ärger, with a video": [3, 4],
    "message[nin]=ärger,with a video": [0, 2, 1],
    "date_sent=200": [2, 3],
    "date_sent[between]=100,200": [0, 2, 3],
    "date_sent[le]=200&date_sent[gt]=100": [2, 3],
    "attachments.type=image": [2],
    "attachments[type]=video": [3],
    "attachments.type[in]=video,audio": [2, 3],
    "attachments.type[or]=video,audio": [2, 3],
    "attachments.type[all]=image,audio": [2],
    "attachments.type[ne]=image": [0, 3, 1, 4],
    "attachments.type[nin]=image,video": [0, 1, 4],
    "attachments.type=ima": [],
    "city=Oslo": [0],
    "city[ctn]=OSL": [0, 1],
    "city[in]=Oslo,oslo": [0, 1],
    "city[ne]=Oslo": [2, 3, 1, 4],
    "city=": [4],
    "city[start_with]=o": [1],
    "rank[gt]=9": [4],
    "rank[lte]=9": [0],
    "meta=x": [],
    "city=Oslo&message[ctn]=büro&date_sent[lt]=101": [0],
    "_rank=3": [2],
    "_rank[ne]=3": [0, 3, 1, 4],
    "_=1767225602000": [0, 2, 3, 1, 4],  # jQuery's way around caches
    "9lives=yes": [],
    "größe=xl": [],
    "no such key=x": [],
    "created_at[gte]=1767225602": [2, 3, 4],
    "created_at[gt]=1767225602&sort_desc=created_at": [4, 3],
    "updated_at[lt]=1767225602": [0, 1],
    "created_at[in]=1767225602,1767225609": [2],
    "created_at[ne]=1767225602": [0, 3, 1, 4],
    "sort_desc=updated_at&limit=2": [4, 3],
    "sort_asc=updated_at&skip=3": [3, 4],
    "sort_asc=created_at": [0, 1, 2, 3, 4],
}
REFUSED = (
    *("attachments.type[start_with]=i", "attachments.type[gt]=i", "message[foo]=x", "sender_id[ctn]=1"),
    *("date_sent[start_with]=1", "city[foo]=1", "sender_id=x", "created_at[gt]=soon"),
    # Keys of a message that are no filters, and what is never a filter.
    *("read_ids=5", "views_count[gt]=7", "delivered_ids[]=1", "reactions=x", "edited_at[gt]=1", "read=1"),
    *("attachments=x", "attachments[url]=x", "attachments[type]=image&attachments[url]=x", f"{'k' * 65}=x"),
    *("sender_id[gt=5", "_[gt]x]=1", "a%22b=1", "message[all]=", "city[all]="),
)


@pytest.mark.parametrize("form", ["near", "far"])
async def test_every_filter(world: World, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    if form == "far":
        monkeypatch.setattr(history, "NEAR", -1)
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann)
    for message in MESSAGES:
        await world.send(dialog_id, ann, **message)
        world.clock.advance(1)
    client = await world.login(ann)
    for query, expected in FILTERS.items():
        found = await items(client, dialog_id, query)
        assert [item["message"] for item in found] == [MESSAGES[n]["body"] for n in expected], query
        if "limit" not in query and "skip" not in query:
            count = await client.get(f"/chat/Message?chat_dialog_id={dialog_id}&count=1&{query}")
            assert count.json() == {"items": {"count": len(expected)}}, query
    for query in REFUSED:
        assert (await client.get(f"/chat/Message?chat_dialog_id={dialog_id}&{query}")).status_code == 422, query


@pytest.mark.parametrize("form", ["near", "far"])
async def test_what_has_changed_since(world: World, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    if form == "far":
        monkeypatch.setattr(history, "NEAR", -1)
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann)
    sent = []
    for number in range(10):
        sent.append(await world.send(dialog_id, ann, str(number)))
        world.clock.advance(10)
    start = world.clock.now_ms() - 15_000
    client = await world.login(ann)
    for number, body in ((2, "2 edited"), (7, "7 edited")):
        edit = {"chat_dialog_id": dialog_id, "message": body}
        assert (await client.put(f"/chat/Message/{sent[number].message_id}", json=edit)).status_code == 200
        world.clock.advance(1)

    async def bodies(query: str) -> list[str]:
        return [item["message"] for item in await items(client, dialog_id, query)]

    assert await bodies(f"updated_at[gt]={start}") == ["2 edited", "7 edited", "9"]
    assert await bodies(f"updated_at[gt]={start}&sort_asc=updated_at") == ["9", "2 edited", "7 edited"]
    assert await bodies(f"updated_at[gt]={start}&sort_desc=created_at") == ["9", "7 edited", "2 edited"]
    assert await bodies(f"updated_at[gt]={start}&created_at[lt]={start}") == ["2 edited", "7 edited"]
    assert await bodies("sort_desc=updated_at&limit=4") == ["7 edited", "2 edited", "9", "8"]
    assert await bodies("sort_asc=updated_at&limit=4&skip=6") == ["8", "9", "2 edited", "7 edited"]
    assert await bodies(f"updated_at[gt]={world.clock.now_ms()}") == []


CONTENTS: list[dict[str, Any]] = [
    {"body": "", "properties": {"empty": "", "space": "  "}},
    {"body": "a\tb\nc\r\n  d "},
    {"body": "👩‍👩‍👧 𝒜 \U0010ffff é é \u200f\u202eabc"},
    {"body": '<b>&amp;</b> ]]> {"a": [1]} \\n \\u0041 %00 NULL \'; DROP TABLE messages; --'},
    {"body": "x" * 20_000, "properties": {"long": "ж" * 5000}},
    {"properties": {"a": {"b": {"c": {"d": "deep 👍"}}}, "ключ": "значение", "with.dot": "1", "with-dash": "2"}},
    {"attachments": [{"type": "image", "url": "https://example.org/?a=1&b=<2>", "name": "фото 1.png", "x": ""}]},
    {"attachments": [{"type": "location", "latitude": "59.91", "longitude": "10.75"}, {"data": '{"json": true}'}]},
]


async def test_contents_come_back_as_they_were_sent(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    dialog_id = await dialog(world, ann, bob, kind=3)
    for content in CONTENTS:
        await world.send(dialog_id, ann, recipient_id=bob.id, **{"body": "", **content})
    found = await items(await world.login(bob), dialog_id)
    for item, content in zip(found, CONTENTS, strict=True):
        assert item["message"] == content.get("body", "")
        assert item["attachments"] == content.get("attachments", [])
        assert json.loads(json.dumps(content.get("properties", {}))).items() <= item.items()


async def test_pages_lose_and_repeat_nothing_while_messages_arrive(world: World) -> None:
    """Any page size, from the oldest on and from the newest back, while others write, edit and delete what was read."""
    chance = random.Random(5)
    ann = await world.user("ann")
    dialog_id = await dialog(world, ann)
    client = await world.login(ann)
    for _ in range(40):
        await world.send(dialog_id, ann, date_sent=1000 + chance.randrange(8))
    for _ in range(6):
        before = [item["_id"] for item in await items(client, dialog_id, "limit=1000")]
        forward: list[str] = []
        size = chance.randrange(1, 9)
        while page := await items(client, dialog_id, f"limit={size}&skip={len(forward)}"):
            forward += [item["_id"] for item in page]
            if chance.random() < 0.3 and len(forward) < len(before):
                await world.send(dialog_id, ann, date_sent=1008 + len(before))  # clocks go on
        after = [item["_id"] for item in await items(client, dialog_id, "limit=1000")]
        assert forward == after
        assert [id_ for id_ in forward if id_ in set(before)] == before
        # Backwards as clients do: older than the oldest they have.
        back: list[str] = []
        oldest = 10**9
        while page := await items(client, dialog_id, f"sort_desc=date_sent&limit=1000&date_sent[lt]={oldest}"):
            page = [item for item in page if item["date_sent"] == page[0]["date_sent"]]
            back += [item["_id"] for item in page]
            oldest = page[0]["date_sent"]
            if chance.random() < 0.3:
                await world.send(dialog_id, ann, date_sent=10**9)
        assert back == after[::-1]
        for item in await items(client, dialog_id, f"date_sent={10**9}&limit=1000"):
            await client.delete(f"/chat/Message/{item['_id']}?force=1")


async def test_the_lists_of_readers_are_those_of_a_plain_count(world: World) -> None:
    chance = random.Random(3)
    people = [await world.user(f"user{number}") for number in range(6)]
    dialog_id = await dialog(world, people[0], *people[1:])
    sent = [await world.send(dialog_id, chance.choice(people)) for _ in range(30)]
    had: dict[int, set[int]] = {send.seq: {send.sender_id} for send in sent}
    read = {send.seq: {send.sender_id} for send in sent}
    for _ in range(120):
        send, user, kind = chance.choice(sent), chance.choice(people), chance.choice((1, 2))
        await world.mark(dialog_id, user, send.message_id, kind)
        had[send.seq].add(user.id)
        if kind == 2:
            read[send.seq].add(user.id)
    for user in people:
        client = await world.login(user)
        found = await items(client, dialog_id, f"mark_as_read=0&skip={chance.randrange(9)}&limit=17")
        by_id = {send.message_id: send for send in sent}
        for item in found:
            seq, sender = by_id[item["_id"]].seq, item["sender_id"]
            for key, expected in (("read_ids", read[seq]), ("delivered_ids", had[seq])):
                assert item[key] == [sender, *sorted(expected - {sender})]
            assert item["read"] == int(len(read[seq]) > 1)


def test_messages_in_a_row_share_their_lists() -> None:
    """What 5,000 people have read does not make 5,000 entries of its own for every message."""
    page = [
        StoredMessage(
            Message(
                id=str(seq),
                app_id=1,
                dialog_id="d",
                seq=seq,
                sender_id=1,
                recipient_id=0,
                body="",
                date_sent=0,
                created_at_ms=0,
                updated_at_ms=0,
            )
        )
        for seq in range(1, 101)
    ]
    rows = [(user, READ, 1, 50 if user == 7 else 100) for user in range(2, 5002)]
    audience._add_readers(7, page, range(1, 101), rows)
    assert [len(stored.read_ids) for stored in page] == [5001] * 50 + [5000] * 50
    assert [stored.seen for stored in page] == [True] * 50 + [False] * 50
    assert len({id(stored.read_ids) for stored in page}) == 2
