"""Stories of dialogs with our own SDK: made, found, changed, left and deleted, with what the others notice."""

import asyncio
import time
from collections.abc import Awaitable

import httpx
import pytest

from tests.scenarios.support_people import Meeting, me, next_of
from voxcube.client import (
    CLEAR,
    Client,
    CustomData,
    DeleteResult,
    DialogPermissions,
    DialogType,
    Forbidden,
    NotFound,
    StanzaError,
    ValidationFailed,
)

NOWHERE = "0" * 24


async def refused(*acts: Awaitable[object]) -> None:
    """All of these are forbidden."""
    for act in acts:
        with pytest.raises(Forbidden):
            await act


async def people(meeting: Meeting, count: int, *, online: bool = False) -> list[Client]:
    return [await meeting.come(online=online) for _ in range(count)]


# Making and finding


async def test_a_group_with_everything(meeting: Meeting) -> None:
    ann, bob = await people(meeting, 2)
    group = await ann.dialogs.create_group(
        "Sun bar ☀️",
        [me(bob)],
        admins_ids=[me(bob)],
        description="Drinks",
        photo="9a8b7c",
        extensions={"location": "Oslo 🌧", "seats": 12, "no_such_field": "x"},
        custom_data=CustomData("Table", {"seats": 4, "smoking": False, "near": {"window": True}}),
        permissions={"allow_preview": True},
    )
    assert (group.type, group.name, group.description, group.photo) == (
        DialogType.GROUP,
        "Sun bar ☀️",
        "Drinks",
        "9a8b7c",
    )
    assert (set(group.occupants_ids), group.admins_ids, group.user_id) == ({me(ann), me(bob)}, (me(bob),), me(ann))
    assert group.extensions == {"location": "Oslo 🌧", "seats": "12"}
    assert group.custom_data == CustomData("Table", {"seats": 4, "smoking": False, "near": {"window": True}})
    assert group.permissions == DialogPermissions(allow_preview=True)
    assert (group.unread_messages_count, group.last_message, group.is_muted) == (0, None, False)
    seen = await bob.dialogs.get(group.id)
    assert (seen.name, seen.custom_data, seen.extensions) == (group.name, group.custom_data, group.extensions)


async def test_the_private_dialog_of_two_is_one(meeting: Meeting) -> None:
    ann, bob = await people(meeting, 2)
    first, second = await asyncio.gather(ann.dialogs.create_private(me(bob)), bob.dialogs.create_private(me(ann)))
    assert first.id == second.id
    assert (first.opponent_id(), second.opponent_id()) == (first.chat_target, second.chat_target) == (me(bob), me(ann))
    assert bob.session is not None
    assert bob.session.user is not None
    assert first.name == bob.session.user.full_name


async def test_lists_filters_and_counts(meeting: Meeting) -> None:
    ann, bob = await people(meeting, 2, online=True)
    private = await ann.dialogs.create_private(me(bob))
    groups = [
        await ann.dialogs.create_group(f"Group {n}", [me(bob)], extensions={"location": "Oslo" if n % 2 else "Bergen"})
        for n in range(4)
    ]
    public = await ann.dialogs.create_public("Town square")
    soon = int(time.time()) + 60
    await ann.chat.send(groups[2], "up", date_sent=soon)
    await ann.chat.send(private, "upper", date_sent=soon + 1)

    async def found(cube: Client = ann, **wanted: object) -> list[str | None]:
        return [dialog.name for dialog in await cube.dialogs.list(**wanted)]  # type: ignore[arg-type]

    page = await ann.dialogs.list()
    assert (len(page), page.total) == (6, 6)
    assert (page[0].id, page[1].id) == (private.id, groups[2].id)  # the latest activity first
    page = await ann.dialogs.list(limit=2, skip=2, sort="created_at")
    assert ([dialog.name for dialog in page], page.total, page.skip) == (["Group 1", "Group 2"], 6, 2)
    assert await found(type=4) == ["Town square"]
    assert await found(type__in=[2, 4], sort="name") == [*(f"Group {n}" for n in range(4)), "Town square"]
    assert await found(name__ctn="gROUP", sort="-name") == [f"Group {n}" for n in (3, 2, 1, 0)]
    assert await found(name__start_with="Town") == ["Town square"]
    assert await found(extensions={"location": "Oslo"}, sort="name") == ["Group 1", "Group 3"]
    assert await found(id__in=[groups[0].id, public.id, NOWHERE], sort="name") == ["Group 0", "Town square"]
    assert await found(type=2, id__nin=[group.id for group in groups[1:]]) == ["Group 0"]
    last = await ann.dialogs.get(private.id)
    assert last.updated_at is not None
    assert await found(updated_at__gt=last.updated_at.replace(year=2099)) == []
    assert [dialog.id for dialog in await ann.dialogs.list(last_message_date_sent__gt=soon)] == [private.id]
    assert await found(occupants_ids=me(bob), type=2, sort="name") == [f"Group {n}" for n in range(4)]
    await ann.dialogs.update(groups[1].id, custom_data=CustomData("Table", {"seats": 4}))
    assert await found(params={"data[seats]": 4}) == ["Group 1"]
    assert await ann.dialogs.count() == 6
    assert await bob.dialogs.count(type__in=[2, 3]) == 5
    assert await ann.dialogs.count(extensions={"location": "Oslo"}) == 2
    listed = {dialog.id async for dialog in ann.dialogs.iterate(type=2)}
    assert listed == {group.id for group in groups}
    with pytest.raises(ValidationFailed):
        await ann.dialogs.list(updated_at__gt="yesterday")  # type: ignore[arg-type]


async def test_iterating_while_messages_move_dialogs_about(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come(online=False)
    groups = [await ann.dialogs.create_group(f"Group {n:03}", [me(bob)]) for n in range(120)]
    seen = []
    async for dialog in ann.dialogs.iterate():
        seen.append(dialog.id)
        if len(seen) in (10, 90):
            await ann.chat.send(groups[len(seen) - 5], "to the top")
            await ann.dialogs.create_group("Another", [])
    assert seen == [group.id for group in reversed(groups)]


# Changing


async def test_the_update_of_the_guide(meeting: Meeting) -> None:
    """Everything in one request, somebody added as occupant and as administrator at once."""
    ann, bob, cyd, dan = await people(meeting, 4, online=True)
    group = await ann.dialogs.create_group("Lunch", [me(bob), me(cyd)], admins_ids=[me(cyd)], photo="old")
    first, second = [await ann.chat.send(group, text) for text in ("first", "second")]
    await ann.dialogs.update(group.id, pin=first.id)
    changed = await ann.dialogs.update(
        group.id,
        name="Dinner 🍝",
        description="Daily at eight",
        photo=CLEAR,
        extensions={"location": "Bergen"},
        custom_data=CustomData("Table", {"seats": 4}),
        permissions={"allow_preview": True},
        add_occupants=[me(dan)],
        remove_occupants=[me(cyd)],
        add_admins=[me(dan)],
        pin=[second.id],
        unpin=[first.id],
    )
    assert (changed.name, changed.description, changed.photo) == ("Dinner 🍝", "Daily at eight", None)
    assert (changed.extensions, changed.custom_data) == ({"location": "Bergen"}, CustomData("Table", {"seats": 4}))
    assert changed.permissions == DialogPermissions(allow_preview=True)
    assert set(changed.occupants_ids) == {me(ann), me(bob), me(dan)}
    assert (changed.admins_ids, changed.pinned_messages_ids) == ((me(dan),), (second.id,))
    for cube in (bob, dan):
        seen = await cube.dialogs.get(group.id)
        assert (seen.name, seen.admins_ids, seen.pinned_messages_ids) == ("Dinner 🍝", (me(dan),), (second.id,))
    with pytest.raises(NotFound):
        await cyd.dialogs.get(group.id)

    merged = await ann.dialogs.update(group.id, custom_data=CustomData("Table", {"smoking": False}))
    assert merged.custom_data == CustomData("Table", {"seats": 4, "smoking": False})
    cleared = await ann.dialogs.update(group.id, custom_data=CLEAR, extensions=CLEAR, description=CLEAR)
    assert (cleared.custom_data, cleared.extensions, cleared.description, cleared.name) == (
        None,
        None,
        None,
        "Dinner 🍝",
    )


async def test_membership_decides_at_once(meeting: Meeting) -> None:
    ann, bob, cyd = await people(meeting, 3, online=True)
    group = await ann.dialogs.create_group("Two of us", [me(bob)])
    to_bob, to_cyd = bob.chat.messages(), cyd.chat.messages()
    await ann.dialogs.update(group.id, add_occupants=me(cyd), remove_occupants=me(bob))
    sent = await ann.chat.send(group, "without bob")
    assert (await next_of(to_cyd)).id == sent.id
    with pytest.raises(StanzaError) as gone:
        await bob.chat.send(group, "let me in")
    assert gone.value.code == 403
    await refused(bob.messages.list(group.id), bob.dialogs.occupants(group.id))
    await ann.chat.send(to_user=me(bob), body="only you")
    assert (await next_of(to_bob)).body == "only you"
    await cyd.dialogs.update(group.id, add_occupants=me(bob))  # any member may bring people in
    back = await ann.chat.send(group, "welcome back")
    assert (await next_of(to_bob)).id == back.id


async def test_who_may_change_what(meeting: Meeting) -> None:
    ann, bob, cyd = await people(meeting, 3, online=True)
    group = await ann.dialogs.create_group("Roles", [me(bob)])
    message = await ann.chat.send(group, "pin me")
    await bob.dialogs.update(group.id, name="Any member names a group")
    await refused(
        bob.dialogs.update(group.id, pin=message.id),
        bob.dialogs.update(group.id, remove_occupants=me(ann)),
        bob.dialogs.update(group.id, permissions={"allow_preview": True}),
        bob.dialogs.update(group.id, name="nothing of it", pin=message.id),
        bob.dialogs.update_admins(group.id, add=[me(bob)]),
        bob.dialogs.delete(group.id, force=True),
        bob.dialogs.clear_history(group.id, force=True),
        cyd.dialogs.update(group.id, name="a stranger's"),
    )
    assert (await ann.dialogs.update_admins(group.id, add=me(bob))).admins_ids == (me(bob),)
    pinned = await bob.dialogs.update(group.id, pin=message.id)
    assert (pinned.pinned_messages_ids, pinned.name) == ((message.id,), "Any member names a group")
    assert (await ann.dialogs.update_admins(group.id, remove=[me(bob)])).admins_ids == ()
    with pytest.raises(ValidationFailed):
        await ann.dialogs.update_admins(group.id, add=[me(cyd)])
    with pytest.raises(NotFound):
        await ann.dialogs.update(NOWHERE, name="x")


# Leaving and deleting


async def test_leaving_a_group_passes_it_on(meeting: Meeting) -> None:
    ann, bob, cyd = await people(meeting, 3)
    group = await ann.dialogs.create_group("Heirs", [me(bob), me(cyd)], admins_ids=[me(cyd)])
    await ann.dialogs.delete(group.id)
    left = await bob.dialogs.get(group.id)
    assert (left.user_id, set(left.occupants_ids)) == (me(cyd), {me(bob), me(cyd)})
    with pytest.raises(NotFound):
        await ann.dialogs.get(group.id)
    await cyd.dialogs.delete(group.id, force=True)
    assert await bob.dialogs.count() == 0


async def test_a_private_dialog_comes_back_with_the_next_message(meeting: Meeting) -> None:
    ann, bob = await people(meeting, 2, online=True)
    dialog = await ann.dialogs.create_private(me(bob))
    await ann.chat.send(dialog, "before")
    await bob.dialogs.delete(dialog.id)
    assert await bob.dialogs.count() == 0
    assert await ann.dialogs.count() == 1
    await ann.chat.send(dialog, "after")
    shown = await bob.dialogs.get(dialog.id)
    assert (shown.last_message, shown.unread_messages_count) == ("after", 1)
    assert [message.body for message in await bob.messages.list(dialog.id)] == ["after"]
    assert [message.body for message in await ann.messages.list(dialog.id)] == ["before", "after"]


async def test_deleting_many(meeting: Meeting) -> None:
    ann, bob = await people(meeting, 2)
    mine = [await ann.dialogs.create_group(f"Mine {n}", [me(bob)]) for n in range(2)]
    his = await bob.dialogs.create_group("His", [me(ann)])
    theirs = await bob.dialogs.create_group("Not hers", [])
    result = await ann.dialogs.delete_many([mine[0].id, his.id, NOWHERE, mine[1].id], force=True)
    assert (set(result.deleted), result.not_found) == ({mine[0].id, mine[1].id}, (NOWHERE,))
    assert result.wrong_permissions == (his.id,)
    assert await ann.dialogs.delete_many([NOWHERE]) == DeleteResult(not_found=(NOWHERE,))
    assert await ann.dialogs.delete_many([his.id], force=True) == DeleteResult(wrong_permissions=(his.id,))
    with pytest.raises(NotFound):
        await ann.dialogs.delete(NOWHERE)
    with pytest.raises((NotFound, Forbidden)):
        await ann.dialogs.delete(theirs.id)
    await refused(ann.dialogs.delete(his.id, force=True))
    assert await ann.dialogs.delete_many([his.id]) == DeleteResult(deleted=(his.id,))
    assert [dialog.name async for dialog in bob.dialogs.iterate()] == ["Not hers", "His"]


async def test_clearing_the_history(meeting: Meeting) -> None:
    ann, bob = await people(meeting, 2, online=True)
    group = await ann.dialogs.create_group("Forgetful", [me(bob)])
    for n in range(3):
        await ann.chat.send(group, f"line {n}")
    await bob.dialogs.clear_history(group.id)
    assert await bob.messages.count(group.id) == 0
    assert (await bob.messages.unread([group.id])).total == 0
    assert (await bob.dialogs.get(group.id)).last_message is None
    assert await ann.messages.count(group.id) == 3
    await ann.dialogs.clear_history(group.id, force=True)
    assert await ann.messages.count(group.id) == 0
    assert (await ann.dialogs.get(group.id)).last_message is None
    await ann.chat.send(group, "a new page")
    assert [message.body for message in await bob.messages.list(group.id)] == ["a new page"]


# Public dialogs, members, notifications


async def test_a_public_dialog(meeting: Meeting) -> None:
    ann, bob, cyd = await people(meeting, 3, online=True)
    square = await ann.dialogs.create_public("Town square", permissions={"allow_preview": True})
    assert (square.type, square.occupants_count, square.occupants_ids) == (DialogType.PUBLIC, 1, ())
    to_bob = bob.chat.messages()
    with pytest.raises(StanzaError):
        await bob.chat.send(square, "not yet")
    shown = await bob.dialogs.subscribe(square.id)
    assert (shown.id, shown.occupants_count) == (square.id, 2)
    assert (await bob.dialogs.subscribe(square.id)).occupants_count == 2
    for n in range(25):
        await ann.chat.send(square, f"news {n}")
    assert [(await next_of(to_bob)).body for _ in range(25)] == [f"news {n}" for n in range(25)]

    preview = await cyd.messages.list(square.id, preview=True)
    assert [message.body for message in preview] == [f"news {n}" for n in range(5, 25)]
    await refused(cyd.messages.list(square.id))
    await ann.dialogs.update(square.id, permissions={"allow_preview": False})
    await refused(cyd.messages.list(square.id, preview=True))

    await bob.dialogs.unsubscribe(square.id)
    await ann.chat.send(square, "he is gone")
    await ann.chat.send(to_user=me(bob), body="are you?")
    assert (await next_of(to_bob)).body == "are you?"
    assert (await ann.dialogs.get(square.id)).occupants_count == 1
    with pytest.raises(NotFound):
        await ann.dialogs.subscribe(NOWHERE)
    private = await ann.dialogs.create_private(me(bob))
    with pytest.raises(ValidationFailed):
        await bob.dialogs.subscribe(private.id)


async def test_occupants_in_pages(meeting: Meeting) -> None:
    ann, bob, *others = await people(meeting, 6)
    group = await ann.dialogs.create_group("Crowd", [me(bob), *(me(other) for other in others[:-1])])
    pages = [await bob.dialogs.occupants(group.id, limit=2, skip=skip) for skip in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {page.total for page in pages} == {5}
    ids = [user.id for page in pages for user in page]
    assert (len(ids), set(ids)) == (5, set(group.occupants_ids))
    await refused(others[-1].dialogs.occupants(group.id))


async def test_notifications(meeting: Meeting) -> None:
    ann, bob = await people(meeting, 2)
    dialog = await ann.dialogs.create_private(me(bob))
    assert await bob.dialogs.get_notifications(dialog.id) is True
    assert await bob.dialogs.set_notifications(dialog.id, False) is False
    assert await bob.dialogs.get_notifications(dialog.id) is False
    assert (await bob.dialogs.get(dialog.id)).is_muted is True
    assert await ann.dialogs.get_notifications(dialog.id) is True
    assert await bob.dialogs.set_notifications(dialog.id, True) is True


async def test_a_broadcast(meeting: Meeting) -> None:
    """Only an administrator makes one; every user of the application gets what its owner and admins say."""
    ann, bob, cyd = await people(meeting, 3, online=True)
    with pytest.raises(ValidationFailed, match="administrator"):
        await ann.dialogs.create(DialogType.BROADCAST, name="News")
    wanted = {"type": 1, "user_id": me(ann), "name": "News", "admins_ids": [me(bob)]}
    async with httpx.AsyncClient(base_url=meeting.world.server.api_url) as http:
        key = {"CB-Administration-API-Key": meeting.world.app["admin_api_key"]}
        made = (await http.post("/admin/chat", json=wanted, headers=key)).raise_for_status().json()
    news = await cyd.dialogs.get(made["_id"])
    assert (news.type, news.name, news.occupants_ids, news.occupants_count) == (DialogType.BROADCAST, "News", (), None)
    to_cyd = cyd.chat.messages(news.id)
    for speaker in (ann, bob):
        sent = await speaker.chat.send(news, "Good morning, all")
        assert (await next_of(to_cyd)).id == sent.id
    with pytest.raises(StanzaError) as silenced:
        await cyd.chat.send(news, "me too")
    assert silenced.value.code == 403
    await refused(cyd.dialogs.update(news.id, name="Mine"), bob.dialogs.update_admins(news.id, add=me(cyd)))
    assert (await bob.dialogs.update(news.id, name="Old news")).name == "Old news"

    await cyd.dialogs.delete(news.id)
    with pytest.raises(NotFound):
        await cyd.dialogs.get(news.id)
    await ann.chat.send(news, "not for those who hid it")
    assert (await cyd.dialogs.subscribe(news.id)).name == "Old news"
    back = await ann.chat.send(news, "welcome back")
    assert (await next_of(to_cyd)).id == back.id
