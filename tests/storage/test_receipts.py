"""Receipts and unread counts against a naive model: one set of readers per message."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, select

from tests.storage.support import Store, opened
from voxcube.server.storage.changes import remove
from voxcube.server.storage.receipts import DELIVERED, READ, clear_for, hide_for, mark_all, mark_seqs
from voxcube.server.storage.schema import dialogs, members, receipts
from voxcube.server.storage.sql import Query

USERS = (1, 2, 3)
INTERVALS = Query(
    select(receipts.c.user_id, receipts.c.kind, receipts.c.low, receipts.c.high)
    .where(receipts.c.dialog_id == bindparam("d"))
    .order_by(receipts.c.user_id, receipts.c.kind, receipts.c.low),
    "d",
)
LIVE = Query(select(dialogs.c.live, dialogs.c.last_seq).where(dialogs.c.id == bindparam("d")), "d")
SETTLED = Query(select(members.c.user_id, members.c.settled).where(members.c.dialog_id == bindparam("d")), "d")
fresh_ids = itertools.count(1)


class Model:
    """What everybody would write first: a set per message."""

    def __init__(self) -> None:
        self.senders: dict[int, int] = {}
        self.sets: dict[tuple[int, int], set[int]] = {(user, kind): set() for user in USERS for kind in (1, 2)}
        self.hidden: dict[int, set[int]] = {user: set() for user in USERS}

    def unread(self, user: int) -> int:
        gone = self.sets[user, READ] | self.hidden[user]
        return sum(1 for seq, sender in self.senders.items() if sender != user and seq not in gone)

    def have(self, user: int, kind: int) -> set[int]:
        return {s for s in self.sets[user, kind] if s in self.senders and self.senders[s] != user}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(USERS), st.integers(1, 4)),
        st.tuples(st.just("mark"), st.sampled_from(USERS), st.lists(st.integers(0, 30), max_size=6)),
        st.tuples(st.just("deliver"), st.sampled_from(USERS), st.lists(st.integers(0, 30), max_size=6)),
        st.tuples(st.just("page"), st.sampled_from(USERS), st.lists(st.integers(0, 30), max_size=6)),
        st.tuples(st.just("all"), st.sampled_from(USERS), st.just(0)),
        st.tuples(st.just("hide"), st.sampled_from(USERS), st.integers(0, 30)),
        st.tuples(st.just("clear"), st.sampled_from(USERS), st.just(0)),
        st.tuples(st.just("remove"), st.sampled_from(USERS), st.integers(0, 30)),
    ),
    max_size=25,
)


async def play(store: Store, story: list[tuple[str, int, Any]]) -> None:
    dialog = f"{next(fresh_ids):024x}"
    await store.dialog(dialog, *USERS)
    model = Model()
    ids: dict[int, str] = {}

    def pick(numbers: list[int]) -> list[int]:
        return [1 + number % len(ids) for number in numbers] if ids else []

    for act, user, what in story:
        if act == "send":
            sends = await asyncio.gather(
                *(store.put_send(dialog, user, f"{next(fresh_ids) + 2**60:024x}") for _ in range(what))
            )
            for send in sends:
                ids[send.seq] = send.message_id
                model.senders[send.seq] = user
        elif act in ("mark", "deliver"):
            kind = READ if act == "mark" else DELIVERED
            marks = await asyncio.gather(*(store.mark(dialog, user, kind, ids[seq]) for seq in pick(what)))
            del marks
            model.sets[user, kind].update(seq for seq in pick(what) if seq in model.senders)
        elif act == "page":
            seqs = pick(what)

            async def page(tx: Any, user: int = user, seqs: list[int] = seqs) -> set[int]:
                return await mark_seqs(tx, dialog, user, READ, seqs)

            await store.writer.run(page, dialog=dialog)
            model.sets[user, READ].update(seq for seq in seqs if seq in model.senders)
        elif act == "all":
            await store.writer.run(partial(mark_all, dialog_id=dialog, user_id=user, kind=READ), dialog=dialog)
            model.sets[user, READ].update(model.senders)
        elif act == "hide":
            for seq in pick([what]):
                await store.writer.run(partial(hide_for, dialog_id=dialog, user_id=user, seqs=[seq]), dialog=dialog)
                model.hidden[user].add(seq)
        elif act == "clear":
            await store.writer.run(partial(clear_for, dialog_id=dialog, user_id=user), dialog=dialog)
            model.hidden[user].update(model.senders)
        elif act == "remove":
            for seq in pick([what]):
                await store.writer.run(partial(remove, dialog_id=dialog, seqs=[seq], now_ms=0), dialog=dialog)
                model.senders.pop(seq, None)

    live, last_seq = await store.database.row(LIVE, dialog) or (0, 0)
    assert live == len(model.senders)
    assert last_seq == max(model.senders, default=0)
    settled = dict(tuple(row) for row in await store.database.fetch(SETTLED, dialog))
    assert {user: live - settled[user] for user in USERS} == {user: model.unread(user) for user in USERS}
    stored: dict[tuple[int, int], list[tuple[int, int]]] = {(user, kind): [] for user in USERS for kind in (1, 2)}
    for user, kind, low, high in await store.database.fetch(INTERVALS, dialog):
        stored[user, kind].append((low, high))
    for key, intervals in stored.items():
        assert all(low <= high for low, high in intervals)
        assert all(left[1] < right[0] for left, right in itertools.pairwise(intervals)), "intervals overlap"
        covered = {seq for low, high in intervals for seq in range(low, high + 1)}
        assert {s for s in covered if s in model.senders and model.senders[s] != key[0]} == model.have(*key)


def test_counters_and_intervals_equal_a_naive_model(database_url: str) -> None:
    with asyncio.Runner() as runner:
        manager = opened(database_url)
        store = runner.run(manager.__aenter__())
        try:

            @settings(
                max_examples=150 if database_url.startswith("sqlite") else 60,
                deadline=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
            )
            @given(steps)
            def run(story: list[tuple[str, int, Any]]) -> None:
                runner.run(play(store, story))

            run()
        finally:
            runner.run(manager.__aexit__(None, None, None))


async def test_reading_everything_in_order_keeps_one_interval(database_url: str) -> None:
    async with opened(database_url) as store:
        dialog = f"{next(fresh_ids) + 2**61:024x}"
        await store.dialog(dialog, 1, 2)
        for n in range(60):
            sender = 1 + n % 2
            send = await store.send(dialog, sender, f"{next(fresh_ids) + 2**60:024x}")
            await store.mark(dialog, 3 - sender, READ, send.message_id)
        rows = await store.database.fetch(INTERVALS, dialog)
        assert [tuple(row) for row in rows] == [(1, READ, 2, 60), (2, READ, 1, 59)]


async def test_a_marker_of_another_application_or_a_stranger_changes_nothing(database_url: str) -> None:
    async with opened(database_url) as store:
        dialog = f"{next(fresh_ids) + 2**62:024x}"
        await store.dialog(dialog, 1, 2)
        send = await store.send(dialog, 1, f"{next(fresh_ids) + 2**60:024x}")
        stranger = await store.mark(dialog, 9, READ, send.message_id)
        foreign = await store.mark(dialog, 2, READ, send.message_id, app_id=2)
        own = await store.mark(dialog, 1, READ, send.message_id)
        unknown = await store.mark(dialog, 2, READ, "0" * 24)
        assert not any(mark.changed for mark in (stranger, foreign, own, unknown))
        assert await store.database.fetch(INTERVALS, dialog) == []
        first = await store.mark(dialog, 2, READ, send.message_id)
        again = await store.mark(dialog, 2, READ, send.message_id)
        assert (first.changed, again.changed) == (True, False)
