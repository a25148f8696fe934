"""``cube.messages`` against a server in memory: what is asked, and what comes of the answers."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.client.fake_rest import DIALOG, DIALOG_ID, MESSAGE, USER, FakeRest, with_session
from voxcube.client import Attachment, Client, DeleteResult, SearchResult

MESSAGE_ID = "65a1b2c3d4e5f60718293a4b"
OTHER_ID = "75a1b2c3d4e5f60718293a4b"
PATH = f"/chat/Message/{MESSAGE_ID}"


async def test_list_with_filters_and_preview() -> None:
    rest = FakeRest({"GET /chat/Message": (200, {"skip": 0, "limit": 20, "items": [MESSAGE]})})
    async with with_session(rest.client()) as cube:
        await cube.messages.list(
            DIALOG_ID,
            preview=True,
            limit=20,
            sort="-created_at",
            sender_id__in=[77],
            params={"attachments.type": "image"},
        )
    assert rest.query() == [
        ("chat_dialog_id", DIALOG_ID),
        ("mark_as_read", "1"),
        ("preview", "1"),
        ("limit", "20"),
        ("skip", "0"),
        ("sort_desc", "created_at"),
        ("sender_id[in][]", "77"),
        ("attachments.type", "image"),
    ]


async def test_count() -> None:
    rest = FakeRest({"GET /chat/Message": (200, {"items": {"count": 12}})})
    async with with_session(rest.client()) as cube:
        assert await cube.messages.count(DIALOG_ID, sender_id=88) == 12
    assert rest.query() == [("count", "1"), ("chat_dialog_id", DIALOG_ID), ("mark_as_read", "0"), ("sender_id", "88")]


async def test_create() -> None:
    rest = FakeRest({"POST /chat/Message": (201, MESSAGE)})
    async with with_session(rest.client()) as cube:
        message = await cube.messages.create(
            dialog_id=DIALOG_ID,
            body="Lunch?",
            attachments=[Attachment("image", uid="9a8b", width=640, data='{"a":1}')],
            properties={"city": "Oslo", "meta": {"a": 1}},
            silent=True,
            send_to_chat=True,
        )
        assert rest.body() == {
            "chat_dialog_id": DIALOG_ID,
            "message": "Lunch?",
            "attachments": [{"type": "image", "uid": "9a8b", "width": "640", "data": "%7B%22a%22%3A1%7D"}],
            "city": "Oslo",
            "meta": {"a": "1"},
            "markable": 1,
            "silent": 1,
            "send_to_chat": 1,
        }
        await cube.messages.create(recipient_id=88, properties={"city": "Oslo"}, markable=False, id=OTHER_ID)
        given = {"recipient_id": 88, "_id": OTHER_ID, "city": "Oslo"}
        assert rest.body() == given | {"markable": 0, "silent": 0, "send_to_chat": 0}
    assert (message.id, message.is_own) == (MESSAGE_ID, True)


async def test_update_one_many_and_all() -> None:
    rest = FakeRest(
        {f"PUT {PATH}": (200, "{}"), f"PUT {PATH},{OTHER_ID}": (200, "{}"), "PUT /chat/Message": (200, "{}")}
    )
    async with with_session(rest.client()) as cube:
        await cube.messages.update(DIALOG_ID, MESSAGE_ID, body="Dinner?")
        assert rest.body() == {"chat_dialog_id": DIALOG_ID, "message": "Dinner?"}
        await cube.messages.update(DIALOG_ID, (MESSAGE_ID, OTHER_ID), read=True, delivered=True)
        assert rest.body() == {"chat_dialog_id": DIALOG_ID, "read": 1, "delivered": 1}
        await cube.messages.mark_all(DIALOG_ID)
        assert rest.body() == {"chat_dialog_id": DIALOG_ID, "read": 1}
        await cube.messages.mark_all(DIALOG_ID, read=False, delivered=True)
        assert rest.body() == {"chat_dialog_id": DIALOG_ID, "delivered": 1}


async def test_delete_one_and_very_many() -> None:
    ids = [f"{number:024x}" for number in range(150)]
    rest = FakeRest(
        {
            f"DELETE {PATH}": (200, {"NotFound": {"ids": [MESSAGE_ID]}}),
            f"DELETE /chat/Message/{','.join(ids[:100])}": (200, {"SuccessfullyDeleted": {"ids": ids[:100]}}),
            f"DELETE /chat/Message/{','.join(ids[100:])}": (200, {"WrongPermissions": {"ids": ids[100:]}}),
        }
    )
    async with with_session(rest.client()) as cube:
        assert await cube.messages.delete(MESSAGE_ID) == DeleteResult(not_found=(MESSAGE_ID,))
        assert rest.query() == []
        result = await cube.messages.delete(ids, force=True)
        assert rest.query() == [("force", "1")]
    assert (result.deleted, result.wrong_permissions) == (tuple(ids[:100]), tuple(ids[100:]))


async def test_reactions() -> None:
    answers = {f"PUT {PATH}/reactions": (200, "{}"), f"GET {PATH}/reactions": (200, {"👍": [67, 5], "🚀": [9]})}
    rest = FakeRest(dict(answers))
    async with with_session(rest.client()) as cube:
        await cube.messages.react(MESSAGE_ID, add="👍", remove="👎")
        assert rest.body() == {"add": "👍", "remove": "👎"}
        await cube.messages.react(MESSAGE_ID, remove="👎")
        assert rest.body() == {"remove": "👎"}
        assert await cube.messages.reactions(MESSAGE_ID) == {"👍": [67, 5], "🚀": [9]}


async def test_search() -> None:
    found = {"dialogs": [DIALOG], "messages": [MESSAGE], "users": [USER]}
    rest = FakeRest({"GET /chat/search": [(200, {"results": found} | found), (200, {"results": {"dialogs": []}})]})
    async with with_session(rest.client()) as cube:
        result = await cube.messages.search(
            "lunch", [DIALOG_ID], start=datetime(2026, 1, 2, tzinfo=UTC), end=1767225600, limit=10
        )
        assert rest.query() == [
            ("search_text", "lunch"),
            ("chat_dialog_ids[]", DIALOG_ID),
            ("start_date", "1767312000"),
            ("end_date", "1767225600"),
            ("limit", "10"),
        ]
        assert (result.dialogs[0].opponent_id(), result.messages[0].is_own, result.users[0].id) == (88, True, 77)
        assert await cube.messages.search("lunch") == SearchResult()
        assert rest.query() == [("search_text", "lunch")]


async def test_system_message() -> None:
    answer = {"messageId": MESSAGE_ID, "recipientId": 88, "extensionParams": {"event": "x"}}
    rest = FakeRest({"POST /chat/Message/system": (201, answer)})
    async with with_session(rest.client()) as cube:
        sent = await cube.messages.send_system(88, event="x", count=3, nested={"a": True}, dialog_id=DIALOG_ID)
    assert sent == MESSAGE_ID
    assert rest.body() == {"recipientId": 88, "event": "x", "count": "3", "nested": {"a": "1"}, "dialog_id": DIALOG_ID}


Act = Callable[[Client], Coroutine[Any, Any, Any]]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda cube: cube.messages.list("x"), "24"),
        (lambda cube: cube.messages.count("x"), "24"),
        (lambda cube: cube.messages.create(body="x"), "either"),
        (lambda cube: cube.messages.create(dialog_id=DIALOG_ID, recipient_id=88, body="x"), "either"),
        (lambda cube: cube.messages.create(recipient_id=0, body="x"), "no user's id"),
        (lambda cube: cube.messages.create(recipient_id=88, body="x", id="x"), "24"),
        (lambda cube: cube.messages.create(dialog_id=DIALOG_ID), "give a body"),
        (lambda cube: cube.messages.create(dialog_id=DIALOG_ID, properties={"message": "x"}), "meaning of its own"),
        (lambda cube: cube.messages.update(DIALOG_ID, MESSAGE_ID), "give body"),
        (lambda cube: cube.messages.update(DIALOG_ID, [], read=True), "empty"),
        (lambda cube: cube.messages.update(DIALOG_ID, "", read=True), "24"),
        (lambda cube: cube.messages.update("x", MESSAGE_ID, read=True), "24"),
        (lambda cube: cube.messages.mark_all(DIALOG_ID, read=False), "read or delivered"),
        (lambda cube: cube.messages.mark_all("x"), "24"),
        (lambda cube: cube.messages.delete([]), "empty"),
        (lambda cube: cube.messages.delete("x"), "24"),
        (lambda cube: cube.messages.react(MESSAGE_ID), "reaction"),
        (lambda cube: cube.messages.react(MESSAGE_ID, add=""), "reaction"),
        (lambda cube: cube.messages.react("x", add="👍"), "24"),
        (lambda cube: cube.messages.reactions("x"), "24"),
        (lambda cube: cube.messages.search(""), "text"),
        (lambda cube: cube.messages.search("lunch", start=5), "needs end"),
        (lambda cube: cube.messages.search("lunch", start=5, end=6), "later"),
        (lambda cube: cube.messages.search("lunch", []), "empty"),
        (lambda cube: cube.messages.search("lunch", limit=0), "limit"),
        (lambda cube: cube.messages.unread([]), "empty"),
        (lambda cube: cube.messages.send_system(88), "what to say"),
        (lambda cube: cube.messages.send_system(0, event="x"), "no user's id"),
        (lambda cube: cube.messages.send_system(88, moduleIdentifier="x"), "moduleIdentifier"),
        (lambda cube: cube.messages.send_system(88, names=["a"]), "list"),
    ],
)
async def test_mistakes_are_refused_before_any_request(act: Act, reason: str) -> None:
    rest = FakeRest()
    async with with_session(rest.client()) as cube:
        with pytest.raises(ValueError, match=reason):
            await act(cube)
    assert rest.requests == []
