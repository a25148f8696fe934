"""Messages that go by themselves: after days, after their own time, with their author; the counters stay right."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import func, select

from tests.features.test_message_changes_rest import MESSAGE, dialog, seen, shown
from tests.features.world import World
from voxcube.server.storage import changes, retention
from voxcube.server.storage import receipts as kinds
from voxcube.server.storage.retention import BATCH
from voxcube.server.storage.schema import erased_users, hidden_messages, message_ids, messages, reactions, receipts
from voxcube.server.storage.sql import Query

DAY = 86_400


async def rows(world: World, table: Any) -> int:
    count: int = await world.database.value(Query(select(func.count()).select_from(table)))
    return count


async def test_old_messages_go_with_all_that_hangs_on_them(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    one, two = await world.login(ann), await world.login(bob)
    group, kept = await dialog(world, ann, bob), await dialog(world, ann, bob)
    old = [await world.send(group, ann, "old") for _ in range(6)]
    await world.send(kept, ann, "old")
    await one.put(f"/chat/Dialog/{group}", json={"push_all": {"pinned_messages_ids": [old[0].message_id]}})
    for send in (old[1], old[3]):
        await world.mark(group, bob, send.message_id)
    await two.delete(f"{MESSAGE}/{old[2].message_id}")
    await two.put(f"{MESSAGE}/{old[5].message_id}/reactions", json={"add": "👍"})
    world.clock.advance(20 * DAY)
    new = [await world.send(group, ann, "new") for _ in range(2)]
    await world.mark(group, bob, new[0].message_id)
    world.clock.advance(11 * DAY)
    one, two = await world.login(ann), await world.login(bob)  # their sessions of before have ended
    await world.retention.remove_old()  # nothing is asked for
    assert len(await seen(one, group)) == 8
    await world.setting(message_days=30)
    await world.retention.remove_old()
    assert [item["message"] for item in await seen(two, group)] == ["new", "new"]
    assert await seen(two, kept) == []
    found = await shown(two, group)
    assert (found["unread_messages_count"], found["last_message_id"]) == (1, new[1].message_id)
    assert found["pinned_messages_ids"] == []
    found = await shown(two, kept)
    assert (found["unread_messages_count"], found["last_message"], found["last_message_date_sent"]) == (0, None, None)
    for table, expected in ((messages, 2), (message_ids, 2), (receipts, 1), (hidden_messages, 0), (reactions, 0)):
        assert await rows(world, table) == expected, table.name
    await world.setting(message_days=1)
    await world.retention.remove_old()
    assert (await shown(two, group))["last_message"] is None
    assert [await rows(world, table) for table in (messages, message_ids, receipts)] == [0, 0, 0]
    await world.send(group, ann, "again")
    assert (await shown(two, group))["unread_messages_count"] == 1


async def test_more_than_a_step_at_once(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    group = await dialog(world, ann, bob)
    for _ in range(BATCH + 1):
        await world.send(group, ann, "old")
    world.clock.advance(2 * DAY)
    await world.send(group, ann, "new")
    await world.setting(message_days=1)
    await world.retention.remove_old()
    assert await rows(world, messages) == 1
    assert (await shown(await world.login(bob), group))["unread_messages_count"] == 1


async def test_a_message_destroys_itself_after_it_was_read(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    one, two = await world.login(ann), await world.login(bob)
    group = await dialog(world, ann, bob)
    by_marker, by_rest, _by_all, unread = [
        await world.send(group, ann, name, destroy_after=5) for name in ("marker", "rest", "all", "unread")
    ]
    plain = await world.send(group, ann, "plain")

    async def left() -> list[str]:
        await world.retention.remove_expired()
        return [item["message"] for item in await seen(one, group)]

    await world.mark(group, bob, by_marker.message_id, kinds.DELIVERED)
    world.clock.advance(60)
    assert await left() == ["marker", "rest", "all", "unread", "plain"]
    await world.mark(group, bob, by_marker.message_id)
    assert len(await left()) == 5  # the time begins
    await one.put(MESSAGE, json={"chat_dialog_id": group, "read": 1})  # its sender has not been shown anything
    world.clock.advance(4)
    await two.put(f"{MESSAGE}/{by_rest.message_id}", json={"chat_dialog_id": group, "read": 1})
    await world.mark(group, bob, by_marker.message_id)  # read is read
    assert len(await left()) == 5
    world.clock.advance(1)
    assert await left() == ["rest", "all", "unread", "plain"]
    world.clock.advance(4)
    assert await left() == ["all", "unread", "plain"]
    await two.put(MESSAGE, json={"chat_dialog_id": group, "read": 1})
    assert len(await left()) == 3
    world.clock.advance(5)
    assert await left() == ["plain"]
    found = await shown(two, group)
    assert (found["unread_messages_count"], found["last_message_id"]) == (0, plain.message_id)
    await world.send(group, ann, "never read", destroy_after=5)
    world.clock.advance(7 * DAY - 1)
    one = await world.login(ann)
    assert len(await left()) == 2
    world.clock.advance(1)
    assert await left() == ["plain"]
    assert unread.seq == 4


async def test_what_is_being_erased_already_holds_up_nothing(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    one = await world.login(ann)
    cleared, deleted, kept = [await dialog(world, ann, bob) for _ in range(3)]
    for place in (cleared, deleted, kept):
        await world.mark(place, bob, (await world.send(place, ann, destroy_after=5)).message_id)
    await world.retention.remove_expired()
    await one.delete(f"/chat/Dialog/clearHistory/{cleared}", params={"force": 1})
    await one.delete(f"/chat/Dialog/{deleted}", params={"force": 1})
    world.clock.advance(5)
    async with asyncio.timeout(30):
        await world.retention.remove_expired()
    assert await rows(world, messages) == 2
    assert await seen(one, kept) == []


async def test_messages_of_a_deleted_user_stay_or_go(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    two = await world.login(bob)
    for erase in (False, True):
        await world.setting(erase_messages=erase)
        cyd = await world.user("cyd")
        group, private = await dialog(world, ann, bob, cyd), await dialog(world, bob, cyd, kind=3)
        left = await dialog(world, ann, bob, cyd)
        for place, to in ((group, 0), (private, bob.id), (left, 0)):
            await world.send(place, cyd, "hers", recipient_id=to)
            await world.send(place, bob, "mine", recipient_id=cyd.id if to else 0)
            await world.send(place, cyd, "hers", recipient_id=to)
        client = await world.login(cyd)
        await client.delete(f"/chat/Dialog/{left}")
        assert (await client.delete(f"/users/{cyd.id}")).status_code == 200
        await world.retention.remove_erased()
        expected = ["mine"] if erase else ["hers", "mine", "hers"]
        for place in (group, private, left):
            assert [item["message"] for item in await seen(two, place)] == expected
            found = await shown(two, place)
            assert (found["unread_messages_count"], found["last_message"]) == (0 if erase else 2, expected[-1])
        assert await rows(world, erased_users) == 0


async def test_a_deleted_user_who_has_said_much(world: World) -> None:
    await world.setting(erase_messages=True)
    ann, bob = await world.user("ann"), await world.user("bob")
    group = await dialog(world, ann, bob)
    for number in range(BATCH + 2):
        await world.send(group, bob if number % 300 == 0 else ann, str(number))
    assert (await (await world.login(ann)).delete(f"/users/{ann.id}")).status_code == 200
    await world.retention.remove_erased()
    two = await world.login(bob)
    assert [item["message"] for item in await seen(two, group)] == ["0", "300"]
    assert [await rows(world, table) for table in (messages, message_ids, erased_users)] == [2, 2, 0]


async def test_the_id_of_a_deleted_message_is_known_for_a_while(world: World) -> None:
    ann = await world.user("ann")
    group = await dialog(world, ann)
    send = await world.send(group, ann)
    await (await world.login(ann)).delete(f"{MESSAGE}/{send.message_id}?force=1")
    assert not (await world.send(group, ann, message_id=send.message_id)).fresh
    world.clock.advance(30 * DAY + 1)
    await world.retention.remove_old()
    assert await rows(world, message_ids) == 0


async def test_ids_are_forgotten_in_steps(world: World) -> None:
    ann = await world.user("ann")
    group = await dialog(world, ann)
    sends = [await world.send(group, ann) for _ in range(BATCH + 1)]
    seqs = [send.seq for send in sends]
    await world.writer.run(lambda tx: changes.remove(tx, group, seqs, world.clock.now_ms()))
    world.clock.advance(30 * DAY + 1)
    assert await world.writer.run(lambda tx: retention.forget_ids(tx, world.clock.now()))
    assert await rows(world, message_ids) == 1
    await world.retention.remove_old()
    assert await rows(world, message_ids) == 0
