"""History, reactions, unread counts and search with the official JavaScript SDK, each change seen at the other side."""

from __future__ import annotations

from typing import Any

from tests.scenarios.test_dialogs_js import Meeting
from tests.scenarios.test_dialogs_js import meeting as meeting


async def reacted(meeting: Meeting, name: str) -> list[Any]:
    found: list[Any] = await meeting.event(name, "reacted")
    return found


async def test_reactions_in_both_kinds_of_dialogs(meeting: Meeting) -> None:
    ann, bob, cyd = (meeting.id(name) for name in ("ann", "bob", "cyd"))
    private = await meeting.call("ann", "chat.dialog.create", {"type": 3, "occupants_ids": [bob]})
    group = await meeting.call("ann", "chat.dialog.create", {"type": 2, "name": "Trip", "occupants_ids": [bob, cyd]})
    for dialog, everybody in ((private, ("ann", "bob")), (group, ("ann", "bob", "cyd"))):
        message_id = await meeting.say("ann", dialog, "hello")
        await meeting.hears("bob", message_id)
        await meeting.call("bob", "chat.message.addReaction", message_id, "👍")
        for name in everybody:  # the reactor's other devices need it as well
            assert await reacted(meeting, name) == [message_id, bob, dialog["_id"], "👍", None]
        await meeting.call("bob", "chat.message.addReaction", message_id, "👍")  # nothing new
        await meeting.call("ann", "chat.message.updateReaction", message_id, "🚀", "👎")  # the one half
        await meeting.call("bob", "chat.message.updateReaction", message_id, "🎉", "👍")
        for name in everybody:
            assert await reacted(meeting, name) == [message_id, ann, dialog["_id"], "🚀", None]
            assert await reacted(meeting, name) == [message_id, bob, dialog["_id"], "🎉", "👍"]
        assert await meeting.call("ann", "chat.message.listReactions", message_id) == {"🚀": [ann], "🎉": [bob]}
        listed = await meeting.call("bob", "chat.message.list", {"chat_dialog_id": dialog["_id"]})
        assert [item["reactions"] for item in listed["items"]] == [{"own": ["🎉"], "total": {"🚀": 1, "🎉": 1}}]
        await meeting.call("ann", "chat.message.removeReaction", message_id, "🚀")
        for name in everybody:
            assert await reacted(meeting, name) == [message_id, ann, dialog["_id"], None, "🚀"]
        assert await meeting.call("bob", "chat.message.listReactions", message_id) == {"🎉": [bob]}
    assert await meeting.refused("cyd", "chat.message.addReaction", "64c0ffee64c0ffee64c0ffee", "👍") == 404
    between = await meeting.say("ann", private, "between us")
    await meeting.hears("bob", between)
    assert await meeting.refused("cyd", "chat.message.addReaction", between, "👍") == 403
    assert await meeting.refused("cyd", "chat.message.listReactions", between) == 403
    await meeting.settle()
    for name in ("ann", "bob", "cyd"):
        assert meeting.waiting(name, "reacted") == []


async def test_history_unread_and_search(meeting: Meeting) -> None:
    ann, bob = meeting.id("ann"), meeting.id("bob")
    group = await meeting.call("ann", "chat.dialog.create", {"type": 2, "name": "Journey", "occupants_ids": [bob]})
    private = await meeting.call("ann", "chat.dialog.create", {"type": 3, "occupants_ids": [bob]})
    ids = [await meeting.say("ann", group, body) for body in ("The train at nine", "or the Train at ten", "100% sure")]
    ids.append(await meeting.say("ann", private, "a train of thought 👩‍👩‍👧"))
    await meeting.hears("bob", ids[-1])
    in_group = {"chat_dialog_id": group["_id"]}

    async def bodies(**query: Any) -> list[str]:
        found = await meeting.call("bob", "chat.message.list", {**in_group, "mark_as_read": 0, **query})
        return [item["message"] for item in found["items"]]

    # Unread counts, which reading without marking leaves alone.
    everything = {"chat_dialog_ids": [group["_id"], private["_id"]]}
    assert await bodies(sort_desc="date_sent", limit=1) == ["100% sure"]
    assert await meeting.call("bob", "chat.message.unreadCount") == {"total": 4, group["_id"]: 3, private["_id"]: 1}
    assert await meeting.call("bob", "chat.message.unreadCount", everything) == {
        "total": 4,
        group["_id"]: 3,
        private["_id"]: 1,
    }

    # Filters.
    for query, expected in (
        ({"_id": {"in": ids[:2]}}, ["The train at nine", "or the Train at ten"]),
        ({"message": {"ctn": "TRAIN"}}, ["The train at nine", "or the Train at ten"]),
        ({"message": {"start_with": "100%"}}, ["100% sure"]),
        ({"sender_id": {"ne": ann}}, []),
        ({"date_sent": {"gt": 1}, "sort_desc": "date_sent", "limit": 2}, ["100% sure", "or the Train at ten"]),
        ({"updated_at": {"gte": 1}, "skip": 2}, ["100% sure"]),
    ):
        assert await bodies(**query) == expected, query
    count = await meeting.call("bob", "chat.message.list", {**in_group, "count": 1, "message": {"ctn": "train"}})
    assert count["items"] == {"count": 2}

    # Search, as it is written and with dates; then an edit and a delete.
    async def found(text: str, **more: Any) -> list[str]:
        answer = await meeting.call("bob", "chat.search", {"search_text": text, **more})
        return [message["_id"] for message in answer["results"]["messages"]]

    assert await found("train") == [ids[3], ids[0]]
    assert await found("Train", chat_dialog_ids=[group["_id"]]) == [ids[1]]
    assert await found("100%") == [ids[2]]
    assert await found("👩‍👩‍👧") == [ids[3]]
    assert await found("train", start_date="2020-01-01", end_date="2019-01-01") == []
    assert await found("train", end_date="2020-01-01") == [ids[3], ids[0]]
    answer = await meeting.call("bob", "chat.search", {"search_text": "Journey"})
    assert [one["_id"] for one in answer["results"]["dialogs"]] == [group["_id"]]
    await meeting.call("ann", "chat.message.update", ids[0], {**in_group, "message": "The bus at nine"})
    await meeting.call("ann", "chat.message.delete", [ids[3]], {"force": 1})
    assert await found("train") == []
    assert await found(" bus ") == [ids[0]]
    assert await meeting.refused("bob", "chat.search", {"search_text": "bus"}) == 422

    # Reading a page marks it.
    await meeting.call("bob", "chat.message.list", in_group)
    assert await meeting.call("bob", "chat.message.unreadCount") == {"total": 0}
    listed = await meeting.call("ann", "chat.message.list", in_group)
    assert [(item["read"], item["read_ids"]) for item in listed["items"]] == [(1, [ann, bob])] * 3
