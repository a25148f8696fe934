"""Making, changing and deleting messages over HTTP (rest §7.4–§7.6), and what the others are told of it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.features.world import World
from voxcube.server.core.errors import Invalid
from voxcube.server.core.models import User
from voxcube.server.features.changes.service import NewText
from voxcube.server.features.dialogs.service import NewDialog

DIALOG = "/chat/Dialog"
MESSAGE = "/chat/Message"


async def dialog(world: World, owner: User, *others: User, kind: int = 2) -> str:
    body = {"type": kind, "name": "G", "occupants_ids": [other.id for other in others]}
    answer = await (await world.login(owner)).post(DIALOG, json=body)
    assert answer.status_code == 201, answer.text
    dialog_id: str = answer.json()["_id"]
    return dialog_id


async def seen(client: httpx.AsyncClient, dialog_id: str) -> list[dict[str, Any]]:
    answer = await client.get(MESSAGE, params={"chat_dialog_id": dialog_id, "mark_as_read": 0})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def shown(client: httpx.AsyncClient, dialog_id: str) -> dict[str, Any]:
    answer = await client.get(f"{DIALOG}/{dialog_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


class Pair:
    """Ann and Bob with a client each."""

    ann: User
    bob: User
    one: httpx.AsyncClient
    two: httpx.AsyncClient


@pytest.fixture
async def pair(world: World) -> Pair:
    pair = Pair()
    pair.ann, pair.bob = await world.user("ann"), await world.user("bob")
    pair.one, pair.two = await world.login(pair.ann), await world.login(pair.bob)
    return pair


async def test_a_message_with_everything_comes_back_as_it_was_sent(world: World, pair: Pair) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    made = await pair.one.post(
        MESSAGE,
        json={
            "chat_dialog_id": group,
            "message": "Mittag? 🍜 <&>\n",
            "attachments": {"0": {"type": "image", "id": 5, "width": 640}, "1": {"type": "file", "uid": "u"}},
            "place": {"city": "Oslo", "at": {"x": 1.5, "y": 2}},
            "list": ["a", 1],
            "flag": True,
            "none": None,
            "read": 1,
            "save_to_history": 1,
            "markable": 1,
        },
    )
    assert made.status_code == 201, made.text
    body = made.json()
    assert body["message"] == "Mittag? 🍜 <&>\n"
    assert body["attachments"] == [{"type": "image", "id": "5", "width": "640"}, {"type": "file", "uid": "u"}]
    assert body["place"] == {"city": "Oslo", "at": {"x": "1.5", "y": "2"}}
    assert (body["list"], body["flag"], body["none"]) == ({"_0": "a", "_1": "1"}, "true", "")
    assert (body["read"], body["sender_id"], body["recipient_id"]) == (0, pair.ann.id, 0)
    assert body["read_ids"] == body["delivered_ids"] == [pair.ann.id]
    assert "save_to_history" not in body
    assert "markable" not in body
    assert await seen(pair.two, group) == [body]
    assert world.parcels.take() == []
    found = await shown(pair.two, group)
    assert (found["last_message_id"], found["unread_messages_count"]) == (body["_id"], 1)


async def test_send_to_chat_delivers_as_if_it_was_sent_there(world: World, pair: Pair) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    made = await pair.one.post(
        MESSAGE,
        json={"chat_dialog_id": group, "message": "a<b\r", "send_to_chat": 1, "markable": 1, "silent": 1, "k": "v"},
    )
    [(to, stanza)] = world.parcels.take()
    room = f"{world.app.id}_{group}@muc.chat.example.org/{pair.ann.id}"
    assert to == group
    assert stanza == (
        f'<message xmlns="jabber:client" from="{room}" to="" type="groupchat" id="{made.json()["_id"]}">'
        f'<body>a&lt;b&#13;</body><extraParams xmlns="jabber:client"><save_to_history>1</save_to_history>'
        f"<date_sent>{made.json()['date_sent']}</date_sent><dialog_id>{group}</dialog_id><markable>1</markable>"
        '<silent>1</silent><k>v</k></extraParams><markable xmlns="urn:xmpp:chat-markers:0"/></message>'
    )


async def test_to_a_user_finds_or_makes_the_private_dialog(world: World, pair: Pair) -> None:
    body = {"recipient_id": pair.bob.id, "message": "hi", "send_to_chat": 1}
    first = (await pair.one.post(MESSAGE, json=body)).json()
    second = (await pair.two.post(MESSAGE, json={**body, "recipient_id": str(pair.ann.id)})).json()
    assert first["chat_dialog_id"] == second["chat_dialog_id"]
    assert (first["recipient_id"], second["recipient_id"]) == (pair.bob.id, pair.ann.id)
    third = (await pair.one.post(MESSAGE, json={"chat_dialog_id": first["chat_dialog_id"], "x": "y"})).json()
    assert (third["message"], third["recipient_id"], third["x"]) == ("", pair.bob.id, "y")
    assert [to for to, _ in world.parcels.take()] == [pair.bob.id, pair.ann.id]
    assert [item["_id"] for item in await seen(pair.two, first["chat_dialog_id"])] == [
        one["_id"] for one in (first, second, third)
    ]


async def test_an_id_of_the_client_s_makes_one_message(world: World, pair: Pair) -> None:
    group, other = await dialog(world, pair.ann, pair.bob), await dialog(world, pair.ann, pair.bob)
    id_ = world.ids.object_id()
    body = {"chat_dialog_id": group, "message": "once", "_id": id_, "send_to_chat": 1}
    answers = [await pair.one.post(MESSAGE, json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["_id"] == id_
    assert (await pair.one.post(MESSAGE, json={**body, "chat_dialog_id": other})).status_code == 422
    assert (await pair.two.post(MESSAGE, json=body)).status_code == 422
    assert (await pair.one.request("DELETE", f"{MESSAGE}/{id_}", json={"force": 1})).json()["NotFound"]["ids"] == []
    assert (await pair.one.post(MESSAGE, json=body)).status_code == 404  # what was deleted does not come back
    assert await seen(pair.one, group) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"message": "x"}, 422),
        ({"chat_dialog_id": "GROUP"}, 422),
        ({"chat_dialog_id": "GROUP", "message": ""}, 422),
        ({"chat_dialog_id": "nonsense", "message": "x"}, 404),
        ({"chat_dialog_id": "f" * 24, "message": "x"}, 404),
        ({"chat_dialog_id": "GROUP", "message": "x\u0001"}, 422),
        ({"chat_dialog_id": "GROUP", "message": "x", "a b": "y"}, 422),
        ({"chat_dialog_id": "GROUP", "k": "\uffff"}, 422),
        ({"chat_dialog_id": "GROUP", "attachments": [{"type": {"a": 1}}]}, 422),
        ({"chat_dialog_id": "GROUP", "attachments": "x"}, 422),
        ({"chat_dialog_id": "GROUP", "message": "x" * 300_000}, 422),
        ({"recipient_id": 10**30, "message": "x"}, 422),
        ({"recipient_id": 999_999, "message": "x"}, 404),
        ({"recipient_id": "ANN", "message": "x"}, 422),
    ],
)
async def test_what_cannot_be_a_message(world: World, pair: Pair, body: dict[str, Any], status: int) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    names = {"GROUP": group, "ANN": pair.ann.id}
    filled = {key: names.get(value, value) if isinstance(value, str) else value for key, value in body.items()}
    answer = await pair.one.post(MESSAGE, json=filled)
    assert answer.status_code == status, answer.text
    assert await seen(pair.one, group) == []


def stanza_of(told: list[tuple[int | str, str]], name: str) -> list[tuple[int | str, str]]:
    """(to, message id) of those stanzas that hold such an element."""
    found = [(to, re.search(rf'<{name} [^>]*\bid="(\w+)"', stanza)) for to, stanza in told]
    return [(to, match[1]) for to, match in found if match]


async def test_an_edit_is_seen_and_told(world: World, pair: Pair) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    first, last = [await world.send(group, pair.ann, body, properties={"k": "v"}) for body in ("first", "last")]
    before = await shown(pair.two, group)
    for send, body in ((first, "erste"), (last, "letzte\r\n<3")):
        answer = await pair.one.put(f"{MESSAGE}/{send.message_id}", json={"chat_dialog_id": group, "message": body})
        assert (answer.status_code, answer.json()) == (200, {})
    items = await seen(pair.two, group)
    assert [(item["message"], item["k"], item["edited_at"] is None) for item in items] == [
        ("erste", "v", False),
        ("letzte\r\n<3", "v", False),
    ]
    after = await shown(pair.two, group)
    assert (before["last_message"], after["last_message"]) == ("last", "letzte\r\n<3")
    one, two = world.parcels.take()
    assert one[0] == group
    assert 'last="true"' not in one[1]
    id_ = re.search(r'id="([0-9a-f]{24})">', two[1])
    room = f"{world.app.id}_{group}@muc.chat.example.org/{pair.ann.id}"
    assert id_
    assert two[1] == (
        f'<message xmlns="jabber:client" from="{room}" to="" type="groupchat" id="{id_[1]}">'
        "<body>letzte&#13;\n&lt;3</body>"
        f'<replace xmlns="urn:xmpp:message-correct:0" id="{last.message_id}" last="true"/>'
        f'<extraParams xmlns="jabber:client"><dialog_id>{group}</dialog_id></extraParams></message>'
    )


@pytest.mark.parametrize("body", ["x\u0001", "x\uffff", "x" * 300_000])
async def test_what_no_stanza_can_carry_is_no_new_text(world: World, pair: Pair, body: str) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    send = await world.send(group, pair.ann, "old")
    answer = await pair.one.put(f"{MESSAGE}/{send.message_id}", json={"chat_dialog_id": group, "message": body})
    assert answer.status_code == 422
    assert [item["message"] for item in await seen(pair.two, group)] == ["old"]
    assert world.parcels.take() == []


async def test_an_edit_leaves_something_and_not_too_much(world: World, pair: Pair) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    text, city = await world.send(group, pair.ann, "old"), await world.send(group, pair.ann, "", properties={"k": "v"})
    for send, status in ((text, 422), (city, 200)):
        answer = await pair.one.put(f"{MESSAGE}/{send.message_id}", json={"chat_dialog_id": group, "message": ""})
        assert answer.status_code == status
    assert [item["message"] for item in await seen(pair.two, group)] == ["old", ""]
    facts = await world.cache.dialog(world.app.id, group)

    async def edit(number: int) -> None:
        new = NewText(body="new", properties={f"k{number}": "x" * 100_000})
        await world.message_changes.edit(world.app.id, pair.ann.id, facts, text.message_id, new)

    await edit(1)
    await edit(2)
    with pytest.raises(Invalid, match="too large"):  # custom parameters add up
        await edit(3)
    [found, _] = await seen(pair.two, group)
    assert {"k1", "k2"} < set(found)
    assert "k3" not in found


async def test_one_text_is_for_so_many_messages_only(world: World, pair: Pair) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    ids = [(await world.send(group, pair.ann, "old")).message_id for _ in range(101)]
    for count, status in ((101, 422), (100, 200)):
        path = f"{MESSAGE}/{','.join(ids[:count])}"
        answer = await pair.one.put(path, json={"chat_dialog_id": group, "message": "new"})
        assert answer.status_code == status
    assert len(world.parcels.take()) == 100


async def test_reading_named_messages_tells_their_senders(world: World, pair: Pair) -> None:
    cyd = await world.user("cyd")
    group = await dialog(world, pair.ann, pair.bob, cyd)
    sends = [await world.send(group, sender) for sender in (pair.ann, cyd, pair.bob, pair.ann)]
    ids = ",".join(send.message_id for send in sends[:3])
    for kind, name in (("delivered", "received"), ("read", "displayed")):
        for _ in range(2):  # the second time there is nothing new to tell
            answer = await pair.two.put(f"{MESSAGE}/{ids}", json={"chat_dialog_id": group, kind: 1})
            assert (answer.status_code, answer.json()) == (200, {})
            told = world.parcels.take()
            assert stanza_of(told, name) == (
                [(pair.ann.id, sends[0].message_id), (cyd.id, sends[1].message_id)] if _ == 0 else []
            )
            assert all(f'from="{pair.bob.id}-{world.app.id}@chat.example.org"' in stanza for _, stanza in told)
    items = await seen(pair.one, group)
    assert [pair.bob.id in item["read_ids"] for item in items] == [True, True, True, False]
    assert (await shown(pair.two, group))["unread_messages_count"] == 1


@pytest.mark.parametrize("path", ["/chat/Message.json", "/chat/Message/", "/chat/message"])
async def test_all_are_marked_and_nobody_is_told(world: World, pair: Pair, path: str) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    for _ in range(3):
        await world.send(group, pair.ann)
    answer = await pair.two.put(path, json={"chat_dialog_id": group, "delivered": "1"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await shown(pair.one, group))["last_message_status"] == "delivered"
    assert (await shown(pair.two, group))["unread_messages_count"] == 3
    await pair.two.put(path, json={"chat_dialog_id": group, "read": 1, "delivered": 1})
    assert (await shown(pair.one, group))["last_message_status"] == "read"
    assert (await shown(pair.two, group))["unread_messages_count"] == 0
    assert world.parcels.take() == []
    refused = await pair.two.put(path, json={"chat_dialog_id": group, "message": "x"})
    assert refused.status_code == 422


async def test_deleting_for_me_and_for_everyone(world: World, pair: Pair) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    sends = [await world.send(group, sender) for sender in (pair.bob, pair.ann, pair.bob)]
    ids = [send.message_id for send in sends]
    gone = "e" * 24
    answer = await pair.two.delete(f"{MESSAGE}/{ids[0]},{ids[1]},{gone},nonsense")
    assert answer.json() == {
        "SuccessfullyDeleted": {"ids": ids[:2]},
        "NotFound": {"ids": [gone, "nonsense"]},
        "WrongPermissions": {"ids": []},
    }
    assert [item["_id"] for item in await seen(pair.two, group)] == ids[2:]
    assert len(await seen(pair.one, group)) == 3
    assert world.parcels.take() == []
    assert (await pair.two.delete(f"{MESSAGE}/{ids[0]}")).json()["NotFound"] == {"ids": [ids[0]]}
    # For everyone: own ones, also those one does not see any more; others' for admins and the owner.
    answer = await pair.two.request("DELETE", f"{MESSAGE}/{ids[0]},{ids[1]},{gone}", data={"force": "1"})
    assert answer.status_code == 200
    assert answer.json() == {
        "SuccessfullyDeleted": {"ids": ids[:1]},
        "NotFound": {"ids": [gone]},
        "WrongPermissions": {"ids": [ids[1]]},
    }
    assert stanza_of(world.parcels.take(), "remove") == [(group, ids[0])]
    answer = await pair.one.delete(f"{MESSAGE}/{ids[2]}", params={"force": 1})
    assert answer.json()["SuccessfullyDeleted"] == {"ids": [ids[2]]}
    assert [item["_id"] for item in await seen(pair.one, group)] == [ids[1]]
    assert (await shown(pair.one, group))["last_message_id"] == ids[1]
    assert (await shown(pair.two, group))["unread_messages_count"] == 0


async def test_nobody_else_changes_anything(world: World, pair: Pair) -> None:
    cyd = await world.user("cyd")
    group = await dialog(world, pair.ann, pair.bob)
    private = await dialog(world, pair.ann, pair.bob, kind=3)
    stranger = await world.login(cyd)
    before = {}
    for id_, to in ((group, 0), (private, pair.bob.id)):
        await world.send(id_, pair.ann, recipient_id=to)
        before[id_] = await seen(pair.one, id_)
    for id_ in (group, private):
        [message] = [item["_id"] for item in before[id_]]
        for who, status in ((stranger, 403), (pair.two, 403)):
            answer = await who.put(f"{MESSAGE}/{message}", json={"chat_dialog_id": id_, "message": "mine"})
            assert answer.status_code == status
        for who in (stranger, pair.two):
            kind = "NotFound" if who is stranger else "WrongPermissions"
            assert (await who.delete(f"{MESSAGE}/{message}?force=1")).json()[kind] == {"ids": [message]}
        assert (await stranger.delete(f"{MESSAGE}/{message}")).json()["NotFound"] == {"ids": [message]}
        for path in (MESSAGE, f"{MESSAGE}/{message}"):
            assert (await stranger.put(path, json={"chat_dialog_id": id_, "read": 1})).status_code == 403
        assert (await stranger.post(MESSAGE, json={"chat_dialog_id": id_, "message": "x"})).status_code == 403
        assert await seen(pair.one, id_) == before[id_]
    assert world.parcels.take() == []


async def test_many_changes_at_once_leave_the_counters_right(world: World, pair: Pair) -> None:
    group = await dialog(world, pair.ann, pair.bob)
    ids = [(await world.send(group, pair.ann)).message_id for _ in range(30)]
    await asyncio.gather(
        *(pair.one.delete(f"{MESSAGE}/{id_}?force=1") for id_ in ids[::3]),
        *(pair.two.put(f"{MESSAGE}/{id_}", json={"chat_dialog_id": group, "read": 1}) for id_ in ids[::2]),
        *(pair.two.delete(f"{MESSAGE}/{id_}") for id_ in ids[1::3]),
    )
    left = [id_ for id_ in ids if id_ not in ids[::3]]
    assert [item["_id"] for item in await seen(pair.one, group)] == left
    unread = [id_ for id_ in left if id_ not in ids[::2] and id_ not in ids[1::3]]
    found = await shown(pair.two, group)
    assert (found["unread_messages_count"], found["last_message_id"]) == (len(unread), left[-1])


async def test_readers_of_a_broadcast_are_counted(world: World, pair: Pair) -> None:
    made = await world.dialogs.create_broadcast(world.app.id, pair.ann.id, NewDialog(type=1, name="News"))
    sends = [await world.send(made.id, pair.ann) for _ in range(3)]
    cyd = await world.user("cyd")
    three = await world.login(cyd)
    await world.mark(made.id, pair.bob, sends[0].message_id)  # as from the chat
    await three.put(f"{MESSAGE}/{sends[0].message_id}", json={"chat_dialog_id": made.id, "read": 1})
    await three.put(MESSAGE, json={"chat_dialog_id": made.id, "delivered": 1})
    items = await seen(pair.one, made.id)
    assert [item["views_count"] for item in items] == [2, 0, 0]
    assert sorted(items[0]["read_ids"]) == [pair.ann.id, pair.bob.id, cyd.id]
    assert world.parcels.take() == []
    for who, ids in ((pair.two, sends[1].message_id), (three, f"{sends[1].message_id}?force=1")):
        assert (await who.delete(f"{MESSAGE}/{ids}")).json()["WrongPermissions"]["ids"] == [sends[1].message_id]
    assert (await pair.one.delete(f"{MESSAGE}/{sends[1].message_id}?force=1")).status_code == 200
    await world.send(made.id, pair.ann)
    assert (await shown(pair.two, made.id))["unread_messages_count"] == 1
