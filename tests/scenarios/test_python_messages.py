"""Stories of messages with our own SDK: history, edits, deletes, reactions, counts and search, seen from both sides."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import pytest

from tests.scenarios.support_people import PASSWORD, Meeting, me, next_of
from voxcube.client import (
    Attachment,
    Client,
    DeleteEvent,
    DeleteResult,
    DeliveryStatus,
    Dialog,
    EditEvent,
    Forbidden,
    Message,
    MessageState,
    NotFound,
    ReactionEvent,
    StanzaError,
    ValidationFailed,
    new_message_id,
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


async def test_filters_sorting_and_counts(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    group = await group_of(ann, bob)
    began = int(time.time()) - 100
    for n in range(6):
        await (ann if n % 2 else bob).chat.send(
            group,
            f"Line {n}",
            date_sent=began + n,
            attachments=FILES[:1] if n == 3 else (),
            properties={"mood": "good" if n < 2 else "bad"},
        )

    async def found(**wanted: object) -> list[str | None]:
        return bodies((await ann.messages.list(group.id, mark_as_read=False, **wanted)).items)  # type: ignore[arg-type]

    assert await found() == [f"Line {n}" for n in range(6)]
    assert await found(sort="-date_sent", limit=2, skip=1) == ["Line 4", "Line 3"]
    assert await found(date_sent__gt=began + 3) == ["Line 4", "Line 5"]
    assert await found(date_sent__gte=began + 2, date_sent__lt=datetime.fromtimestamp(began + 4, UTC)) == [
        "Line 2",
        "Line 3",
    ]
    assert await found(sender_id=me(bob)) == ["Line 0", "Line 2", "Line 4"]
    assert await found(sender_id__ne=me(bob), limit=1) == ["Line 1"]
    assert await found(message__ctn="line 5") == ["Line 5"]
    assert await found(message__in=["Line 0", "Line 4", "Line"]) == ["Line 0", "Line 4"]
    assert await found(params={"attachments.type": "image"}) == ["Line 3"]
    assert await found(attachments_type="image") == ["Line 3"]
    assert await found(properties={"mood": "good"}) == ["Line 0", "Line 1"]
    assert await found(created_at__gt=datetime.now(UTC) + timedelta(hours=1)) == []
    assert await ann.messages.count(group.id) == 6
    assert await ann.messages.count(group.id, sender_id=me(bob), date_sent__gt=began) == 2
    with pytest.raises(ValidationFailed):
        await ann.messages.list(group.id, date_sent__gt="yesterday")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await ann.messages.list(NOWHERE)


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
    assert first.created_at is not None
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


# Writing without a chat connection


async def test_creating_messages_over_rest(meeting: Meeting) -> None:
    ann, bob = await meeting.come(online=False), await meeting.come()
    to_bob = bob.chat.messages()
    private = await ann.dialogs.create_private(me(bob))
    quiet = await ann.messages.create(dialog_id=private.id, body="in the history", attachments=FILES, properties=DEEP)
    loud = await ann.messages.create(
        recipient_id=me(bob), body="and in the chat 🔔", properties=DEEP, send_to_chat=True
    )
    assert (quiet.body, quiet.attachments, quiet.properties) == ("in the history", FILES, DEEP)
    assert (quiet.sender_id, quiet.dialog_id, loud.dialog_id) == (me(ann), private.id, private.id)
    got = await next_of(to_bob)
    assert (got.id, got.body, got.sender_id, got.properties) == (loud.id, "and in the chat 🔔", me(ann), DEEP)
    assert [message.id for message in await bob.messages.list(private.id)] == [quiet.id, loud.id]
    group = await group_of(ann, bob)
    only = await ann.messages.create(dialog_id=group.id, properties={"poll": "lunch"}, send_to_chat=True)
    assert (await stored(bob, group, only.id)).properties == {"poll": "lunch"}
    given = new_message_id()
    twice = [await ann.messages.create(recipient_id=me(bob), body="once", id=given) for _ in range(2)]
    assert [message.id for message in twice] == [given, given]
    assert await bob.messages.count(private.id, message="once") == 1
    with pytest.raises((ValidationFailed, NotFound)):
        await ann.messages.create(recipient_id=99_999_999, body="hello?")
    cyd = await meeting.come(online=False)
    await refused(cyd.messages.create(dialog_id=group.id, body="let me in"))


# Edits


async def test_editing_over_the_chat(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    private, group = await ann.dialogs.create_private(me(bob)), await group_of(ann, bob)
    async with meeting.world.client() as phone:
        await phone.chat.connect(me(ann), PASSWORD, "phone")
        streams = [bob.chat.edited(), phone.chat.edited()]
        messages, own = bob.chat.messages(), ann.chat.edited()
        for dialog in (private, group):
            sent = await ann.chat.send(dialog, "Lunhc?", properties={"city": "Oslo", "mood": "bad"})
            assert (await next_of(messages)).id == sent.id
            await ann.chat.edit(sent, dialog, "Lunch? 🍜", last=True, properties={"mood": "good"})
            for stream in streams:
                event = await next_of(stream)
                assert event == EditEvent(sent.id, dialog.id, me(ann), "Lunch? 🍜", True, {"mood": "good"})
            read = await stored(bob, dialog, sent.id)
            assert (read.body, read.properties) == ("Lunch? 🍜", {"city": "Oslo", "mood": "good"})
            assert read.edited_at is not None
            assert (await bob.dialogs.get(dialog.id)).last_message == "Lunch? 🍜"
            assert await bob.messages.count(dialog.id) == 1
        with pytest.raises(StanzaError) as caught:
            await bob.chat.edit(sent.id, group, "I never said that")
        assert caught.value.code == 403
        assert (await stored(ann, group, sent.id)).body == "Lunch? 🍜"
        own.close()
        assert [event async for event in own] == []  # who edits knows by that edit() returned


async def test_a_message_knows_where_it_is(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    messages, edited, deleted = bob.chat.messages(), bob.chat.edited(), bob.chat.deleted()
    sent = await ann.chat.send(to_user=me(bob), body="Lunhc?")
    assert sent.dialog_id is None
    got = await next_of(messages)
    assert got.dialog_id is not None
    await ann.chat.edit(sent, new_body="Lunch?")
    assert await next_of(edited) == EditEvent(sent.id, got.dialog_id, me(ann), "Lunch?")
    [kept] = await bob.messages.list(got.dialog_id)
    assert kept.body == "Lunch?"
    await ann.chat.delete(sent)
    assert await next_of(deleted) == DeleteEvent(sent.id, got.dialog_id, me(ann))
    assert await bob.messages.count(got.dialog_id) == 0


async def test_what_was_never_kept_is_edited_for_those_who_have_it(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    messages, edited, deleted = bob.chat.messages(), bob.chat.edited(), bob.chat.deleted()
    for dialog in (await ann.dialogs.create_private(me(bob)), await group_of(ann, bob)):
        sent = await ann.chat.send(dialog, "burn after reading", save_to_history=False, destroy_after=5)
        assert (await next_of(messages)).destroy_after == 5
        await ann.chat.edit(sent, dialog, "burn before reading")
        assert await next_of(edited) == EditEvent(sent.id, dialog.id, me(ann), "burn before reading")
        await ann.chat.delete(sent, dialog)
        assert await next_of(deleted) == DeleteEvent(sent.id, dialog.id, me(ann))
        assert await bob.messages.count(dialog.id) == 0


async def test_editing_over_rest(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    group, edited = await group_of(ann, bob), bob.chat.edited()
    first, last = [await ann.chat.send(group, text) for text in ("first", "last")]
    await ann.messages.update(group.id, first.id, body="1st")
    event = await next_of(edited)
    assert (event.message_id, event.dialog_id, event.user_id, event.body) == (first.id, group.id, me(ann), "1st")
    assert (await bob.dialogs.get(group.id)).last_message == "last"
    await ann.messages.update(group.id, last.id, body="the last")
    assert (await next_of(edited)).body == "the last"
    assert (await bob.dialogs.get(group.id)).last_message == "the last"
    assert bodies((await bob.messages.list(group.id)).items) == ["1st", "the last"]
    await refused(bob.messages.update(group.id, first.id, body="I never said that"))
    assert (await stored(ann, group, first.id)).body == "1st"


# Deletes


async def test_deleting_over_the_chat(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    private, group = await ann.dialogs.create_private(me(bob)), await group_of(ann, bob)
    deleted = bob.chat.deleted()
    for dialog in (private, group):
        kept, gone = [await ann.chat.send(dialog, text) for text in ("kept", "gone")]
        await ann.chat.delete(gone, dialog)
        assert await next_of(deleted) == DeleteEvent(gone.id, dialog.id, me(ann))
        assert [message.id for message in await bob.messages.list(dialog.id)] == [kept.id]
        shown = await bob.dialogs.get(dialog.id)
        assert (shown.last_message, shown.last_message_id) == ("kept", kept.id)
        with pytest.raises(StanzaError) as caught:
            await bob.chat.delete(kept.id, dialog)
        assert caught.value.code == 403
        assert await ann.messages.count(dialog.id) == 1


async def test_an_administrator_deletes_what_others_wrote(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come() for _ in range(3)]
    group, deleted = await group_of(ann, bob, cyd), cyd.chat.deleted()
    first, second = [await cyd.chat.send(group, text) for text in ("rude", "ruder")]
    await ann.dialogs.update_admins(group.id, add=me(bob))
    await bob.chat.delete(first.id, group)
    assert await next_of(deleted) == DeleteEvent(first.id, group.id, me(bob))
    assert (await ann.messages.delete(second.id, force=True)).deleted == (second.id,)
    assert await next_of(deleted) == DeleteEvent(second.id, group.id, me(ann))
    assert await cyd.messages.count(group.id) == 0


async def test_deleting_over_rest(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come() for _ in range(3)]
    group, deleted = await group_of(ann, bob), bob.chat.deleted()
    sent = [await ann.chat.send(group, f"line {n}") for n in range(4)]
    theirs = await bob.chat.send(group, "bob's")
    await ann.dialogs.update(group.id, pin=[sent[1].id, sent[3].id])

    assert (await bob.messages.delete([sent[0].id, theirs.id])).deleted == (sent[0].id, theirs.id)
    assert bodies((await bob.messages.list(group.id)).items) == ["line 1", "line 2", "line 3"]
    assert await ann.messages.count(group.id) == 5
    result = await bob.messages.delete([sent[1].id, NOWHERE], force=True)
    assert result == DeleteResult(not_found=(NOWHERE,), wrong_permissions=(sent[1].id,))
    assert set((await ann.messages.delete([sent[1].id, sent[2].id], force=True)).deleted) == {sent[1].id, sent[2].id}
    assert {(await next_of(deleted)).message_id for _ in range(2)} == {sent[1].id, sent[2].id}
    assert bodies((await bob.messages.list(group.id)).items) == ["line 3"]
    assert (await bob.dialogs.get(group.id)).pinned_messages_ids == (sent[3].id,)
    assert await cyd.messages.delete([sent[3].id], force=True) == DeleteResult(not_found=(sent[3].id,))


# Statuses


async def test_marking_over_rest(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come(auto_mark_delivered=False)
    dialog = await ann.dialogs.create_private(me(bob))
    delivered, read = ann.chat.delivered(), ann.chat.read()
    sent = [await ann.chat.send(dialog, f"line {n}") for n in range(4)]
    await bob.messages.update(dialog.id, sent[0].id, delivered=True)
    assert await next_of(delivered) == DeliveryStatus(me(bob), sent[0].id, dialog.id)
    assert (await stored(ann, dialog, sent[0].id)).state is MessageState.DELIVERED
    await bob.messages.update(dialog.id, [sent[1].id, sent[2].id], read=True)
    assert {(await next_of(read)).message_id for _ in range(2)} == {sent[1].id, sent[2].id}
    assert (await bob.messages.unread(dialog.id)).total == 2
    await bob.messages.mark_all(dialog.id, read=False, delivered=True)
    assert (await ann.dialogs.get(dialog.id)).last_message_status is MessageState.DELIVERED
    await bob.messages.mark_all(dialog.id)
    assert (await bob.messages.unread()).total == 0
    assert {message.state for message in await ann.messages.list(dialog.id)} == {MessageState.READ}
    assert (await ann.dialogs.get(dialog.id)).last_message_status is MessageState.READ


async def test_unread_counts(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    groups = [await group_of(ann, bob) for _ in range(3)]
    sent = [await ann.chat.send(group, f"line {n}") for group in groups[:2] for n in range(2)]
    counts = await bob.messages.unread()
    assert (counts.total, counts.by_dialog) == (4, {groups[0].id: 2, groups[1].id: 2})
    counts = await bob.messages.unread([groups[0].id, groups[2].id])
    assert (counts.total, counts.by_dialog) == (2, {groups[0].id: 2, groups[2].id: 0})
    await ann.messages.delete(sent[0].id, force=True)
    assert (await bob.messages.unread(groups[0].id)).total == 1
    assert (await ann.messages.unread()).total == 0


# Reactions


async def test_reactions(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come() for _ in range(3)]
    private, group = await ann.dialogs.create_private(me(bob)), await group_of(ann, bob)
    streams = [ann.chat.reactions(), bob.chat.reactions()]
    for dialog in (private, group):
        sent = await ann.chat.send(dialog, "Lunch?")

        async def seen(user: Client, *, added: str = "", removed: str = "", about: Message = sent) -> None:
            for stream in streams:
                event = await next_of(stream)
                assert event == ReactionEvent(about.id, about.dialog_id, me(user), tuple(added), tuple(removed))

        await bob.messages.react(sent.id, add="👍")
        await seen(bob, added="👍")
        await bob.messages.react(sent.id, add="👍")  # once is enough, and says nothing
        await ann.messages.react(sent.id, add="👍")
        await seen(ann, added="👍")
        await bob.messages.react(sent.id, add="🚀", remove="👍")
        await seen(bob, added="🚀", removed="👍")
        assert await ann.messages.reactions(sent.id) == {"👍": [me(ann)], "🚀": [me(bob)]}
        read = await stored(bob, dialog, sent.id)
        assert read.reactions is not None
        assert (read.reactions.own, read.reactions.total) == (("🚀",), {"👍": 1, "🚀": 1})
        await refused(cyd.messages.react(sent.id, add="👎"), cyd.messages.reactions(sent.id))
    with pytest.raises(NotFound):
        await ann.messages.react(NOWHERE, add="👍")
    with pytest.raises(ValidationFailed):
        await ann.messages.react(sent.id, add="x" * 33)


# Search


async def test_search(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come() for _ in range(3)]
    group = await ann.dialogs.create_group("Weekend trips", [me(bob)])
    other = await ann.dialogs.create_group("Others", [])
    now = int(time.time())
    found = await ann.chat.send(group, "Where do we meet on the Weekend?", date_sent=now - 1000)
    elsewhere = await ann.chat.send(other, "No Weekend here", date_sent=now - 10)
    await ann.chat.send(group, "weekend in small letters")

    result = await ann.messages.search("Weekend")
    assert {message.id for message in result.messages} == {found.id, elsewhere.id}
    assert [dialog.id for dialog in result.dialogs] == [group.id]
    assert [message.id for message in (await bob.messages.search("Weekend")).messages] == [found.id]
    nothing = await cyd.messages.search("Weekend")
    assert (nothing.messages, nothing.dialogs) == ((), ())
    only = await ann.messages.search("Weekend", [other.id])
    assert [message.id for message in only.messages] == [elsewhere.id]
    dated = await ann.messages.search("Weekend", start=now - 500, end=now - 2000)
    assert [message.id for message in dated.messages] == [found.id]
    assert len((await ann.messages.search("Weekend", limit=1)).messages) == 1
    await ann.chat.edit(found, new_body="Where do we meet on Sunday?")
    assert (await bob.messages.search("Weekend")).messages == ()
    assert bodies((await bob.messages.search("Sunday")).messages) == ["Where do we meet on Sunday?"]
    await ann.chat.delete(found)
    assert (await bob.messages.search("Sunday")).messages == ()
    with pytest.raises(ValidationFailed):
        await ann.messages.search("We")


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


async def test_a_system_message_over_rest(meeting: Meeting) -> None:
    ann, bob = await meeting.come(online=False), await meeting.come()
    messages = bob.chat.messages()
    assert len(await ann.messages.send_system(me(bob), event="photo_shared", nested={"a": 1})) == 24
    await ann.messages.create(recipient_id=me(bob), body="a message", send_to_chat=True)
    assert (await next_of(messages)).body == "a message"
    with pytest.raises((ValidationFailed, NotFound)):
        await ann.messages.send_system(99_999_999, event="x")


async def test_pages_that_are_cut_for_their_size_lead_to_every_message(meeting: Meeting) -> None:
    ann, bob = await meeting.come(online=False), await meeting.come(online=False)
    group = await group_of(ann, bob)
    sent = [(await bob.messages.create(dialog_id=group.id, body=f"{n:02}" + "x" * 200_000)).id for n in range(30)]
    page = await ann.messages.list(group.id, mark_as_read=False)
    assert page.is_full
    assert page.limit == len(page) < len(sent)
    assert await ann.messages.count(group.id) == len(sent)
    for newest_first in (True, False):
        found = [one.id async for one in ann.messages.iterate(group.id, newest_first=newest_first, mark_as_read=False)]
        assert sorted(found) == sorted(sent)
