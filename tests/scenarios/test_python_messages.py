"""Stories of messages with our own SDK: history, edits, deletes, reactions, counts and search, seen from both sides."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import pytest

from tests.scenarios.support_people import Meeting, me
from voxcube.client import (
    Attachment,
    Client,
    Dialog,
    Forbidden,
    Message,
    MessageState,
    NotFound,
    StanzaError,
)

NOWHERE = "0" * 24
DEEP = {"city": "Oslo 🌧", "meta": {"a": "1", "b": {"c": "x 👍"}}, "empty": ""}
FILES = (
    Attachment("image", uid="9a8b7c", name="a.png", content_type="image/png", size=34567, width=640, height=480),
    Attachment("location", data='{"lat": 59.9, "lng": 10.7}', extra={"mood": "good"}),
)


async def refused(*acts: Awaitable[object]) -> None:
    """All of these are forbidden, or concern what is not there for this user."""
    for act in acts:
        with pytest.raises((Forbidden, NotFound)):
            await act


async def group_of(*cubes: Client) -> Dialog:
    """A group, made by the first."""
    return await cubes[0].dialogs.create_group("Lunch", [me(cube) for cube in cubes[1:]])


async def stored(cube: Client, dialog: Dialog, message_id: str) -> Message:
    """One message as the history has it."""
    page = await cube.messages.list(dialog.id, id=message_id, mark_as_read=False)
    assert len(page) == 1
    return page[0]


def bodies(messages: list[Message] | tuple[Message, ...]) -> list[str | None]:
    return [message.body for message in messages]


# History


async def test_the_history_says_what_was_sent(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    group = await group_of(ann, bob)
    sent = await ann.chat.send(group, "Look 👀\n<&>", attachments=FILES, properties=DEEP, date_sent=1767225600)
    read = await stored(bob, group, sent.id)
    assert (read.body, read.attachments, read.properties) == ("Look 👀\n<&>", FILES, DEEP)
    assert (read.date_sent, read.sender_id, read.recipient_id) == (sent.date_sent, me(ann), None)
    assert (read.reactions, read.views_count, read.edited_at) == (None, 0, None)
    assert read.created_at is not None
    assert abs(read.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    silent = await ann.chat.send(group, attachments=FILES[:1])
    assert (await stored(ann, group, silent.id)).body in (None, "")


async def test_iterating_loses_and_doubles_nothing_within_one_second(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    group = await group_of(ann, bob)
    second = int(time.time()) - 1000
    sent = [await ann.chat.send(group, f"{n}", date_sent=second + n // 40) for n in range(100)]

    async def more() -> None:
        for n in range(10):
            await bob.chat.send(group, f"more {n}", date_sent=second + n % 3)

    seen, adding = [], asyncio.create_task(more())
    async for message in ann.messages.iterate(group.id, page_size=7, mark_as_read=False):
        seen.append(message)
    await adding
    assert len({message.id for message in seen}) == len(seen)
    assert [message.id for message in seen if message.sender_id == me(ann)] == [message.id for message in sent][::-1]
    again = [message async for message in ann.messages.iterate(group.id, newest_first=False, page_size=9)]
    assert len(again) == 110
    assert [message.date_sent for message in again] == sorted(message.date_sent for message in again)
    late = [message async for message in ann.messages.iterate(group.id, date_sent__lt=second + 1, page_size=5)]
    assert {message.date_sent for message in late} == {datetime.fromtimestamp(second, UTC)}
    assert len(late) == 44


async def test_catching_up_by_the_servers_clock(meeting: Meeting) -> None:
    """What somebody wrote long ago and sent only now is new to the others."""
    ann, bob = await meeting.come(), await meeting.come()
    group = await group_of(ann, bob)
    first = await stored(bob, group, (await ann.chat.send(group, "seen")).id)
    await ann.chat.send(group, "written offline", date_sent=1767225600)
    missed = [
        message.body
        async for message in bob.messages.iterate(
            group.id, newest_first=False, by="created_at", created_at__gte=first.created_at
        )
        if message.id != first.id
    ]
    assert missed == ["written offline"]


async def test_reading_a_page_marks_it_unless_told_otherwise(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    group = await group_of(ann, bob)
    for n in range(3):
        await ann.chat.send(group, f"line {n}")
    await bob.messages.list(group.id, mark_as_read=False)
    assert (await bob.messages.unread(group.id)).total == 3
    page = await bob.messages.list(group.id, limit=2)
    assert (await bob.messages.unread(group.id)).by_dialog == {group.id: 1}
    assert (await bob.dialogs.get(group.id)).unread_messages_count == 1
    states = [message.state for message in await ann.messages.list(group.id)]
    assert states[:2] == [MessageState.READ] * 2
    assert states[2] is not MessageState.READ
    assert me(bob) in (await stored(ann, group, page[0].id)).read_ids


# Others


async def test_strangers_change_and_see_nothing(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come() for _ in range(3)]
    group = await group_of(ann, bob)
    sent = await ann.chat.send(group, "between us")
    await refused(
        cyd.messages.list(group.id),
        cyd.messages.count(group.id),
        cyd.messages.update(group.id, sent.id, read=True),
        cyd.messages.update(group.id, sent.id, body="x"),
        cyd.messages.mark_all(group.id),
    )
    for act in (cyd.chat.edit(sent.id, group, "x"), cyd.chat.delete(sent.id, group)):
        with pytest.raises(StanzaError):
            await act
    read = await stored(ann, group, sent.id)
    assert (read.body, read.read_ids) == ("between us", (me(ann),))
