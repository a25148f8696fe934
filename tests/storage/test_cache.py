"""The hot facts: what is kept, what is forgotten while it is being read, and readers that go away."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import bindparam, update

from tests.storage.support import opened
from voxcube.server.features.messages.service import user_exists
from voxcube.server.storage.cache import MISSING, Cache
from voxcube.server.storage.database import Database
from voxcube.server.storage.schema import dialogs, members
from voxcube.server.storage.sql import Query

DIALOG = "d" * 24
HIDE = Query(
    update(members)
    .where(members.c.dialog_id == bindparam("dialog"), members.c.user_id == bindparam("user"))
    .values(hidden=True),
    *("dialog", "user"),
)
MAKE_PRIVATE = Query(update(dialogs).where(dialogs.c.id == bindparam("dialog")).values(type=3), "dialog")


class Slow:
    """Point reads that wait for `gate`; counts them."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.reads = 0
        self.answer: Any = 7

    async def value(self, query: Query, *args: Any) -> Any:
        self.reads += 1
        answer = self.answer
        await self.gate.wait()
        return answer


def slow_cache(**options: Any) -> tuple[Slow, Cache]:
    slow = Slow()
    database: Any = slow
    return slow, Cache(database, **options)


async def test_readers_of_one_fact_share_one_read() -> None:
    slow, cache = slow_cache()
    asked = [asyncio.create_task(cache.user(1, 7)) for _ in range(5)]
    await asyncio.sleep(0)
    slow.gate.set()
    assert await asyncio.gather(*asked) == [True] * 5
    assert (slow.reads, cache.peek_user(1, 7)) == (1, True)


async def test_a_reader_that_is_cancelled_takes_nobody_with_it() -> None:
    slow, cache = slow_cache()
    first = asyncio.create_task(cache.user(1, 7))
    await asyncio.sleep(0)
    others = [asyncio.create_task(cache.user(1, 7)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    slow.gate.set()
    assert await asyncio.wait_for(asyncio.gather(*others), 30) == [True] * 3
    assert first.cancelled()
    assert cache.peek_user(1, 7) is True


async def test_what_is_forgotten_while_it_is_read_is_not_kept() -> None:
    slow, cache = slow_cache()
    old = asyncio.create_task(cache.user(1, 7))
    await asyncio.sleep(0)
    slow.answer = None
    cache.forget(("user", 1, 7))
    new = asyncio.create_task(cache.user(1, 7))
    await asyncio.sleep(0)
    slow.gate.set()
    assert (await old, await new) == (True, False)
    assert cache.peek_user(1, 7) is False


async def test_who_is_not_known_may_have_come_at_another_node() -> None:
    slow, cache = slow_cache()
    slow.gate.set()
    slow.answer = None
    assert not await user_exists(cache, 1, 5, 9)
    assert slow.reads == 1  # what was read for this is not doubted
    slow.answer = 9  # there is one now, and the word of it was lost
    assert not await cache.user(1, 9)
    assert await user_exists(cache, 1, 5, 9)
    assert await user_exists(cache, 1, 6, 9)
    assert slow.reads == 2
    slow.answer = None
    assert not await user_exists(cache, 1, 5, 10)
    for _ in range(5):
        assert not await user_exists(cache, 1, 5, 10)
    assert slow.reads == 4  # read once again for whoever asks, and then no more for a second
    assert not await user_exists(cache, 1, 6, 10)
    assert slow.reads == 5


async def test_the_number_of_facts_is_bounded() -> None:
    slow, cache = slow_cache(capacity=16)
    slow.gate.set()
    for user_id in range(1, 101):
        assert await cache.user(1, user_id)
    kept = [user_id for user_id in range(1, 101) if cache.peek_user(1, user_id) is not MISSING]
    assert len(kept) <= 16
    assert 100 in kept


async def test_keys_that_strangers_make_up_are_not_kept(database_url: str) -> None:
    # Before a login anybody may name any key: neither long ones nor many of them may fill the memory.
    async with opened(database_url) as store:
        cache = Cache(store.database)
        assert await cache.app_by_auth_key("k" * 100_000) is None
        assert await cache.app_by_auth_key("unknown") is None
        assert await cache.app(2**40) is None
        assert cache.size == 0


async def test_only_a_private_dialog_comes_back_with_its_next_message(database_url: str) -> None:
    # A broadcast that a user has put away stays away (rest §6.8).
    async with opened(database_url) as store:
        await store.dialog(DIALOG, 1, 2)
        await store.writer.run(lambda tx: tx.execute(HIDE, DIALOG, 2))
        assert await hidden(store.database) is False
        await store.writer.run(lambda tx: tx.execute(MAKE_PRIVATE, DIALOG))
        assert await hidden(store.database) is True


async def hidden(database: Database) -> bool:
    facts = await Cache(database).dialog(1, DIALOG)
    assert facts is not None
    return facts.hidden
