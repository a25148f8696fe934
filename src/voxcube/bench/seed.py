"""Fills a database for the benchmark, directly through storage: users, a group, dialogs with a long history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from voxcube.server.accounts import Accounts
from voxcube.server.config import Config
from voxcube.server.core.ids import object_id
from voxcube.server.core.models import Dialog, DialogType, Member, pair_key
from voxcube.server.storage.database import Database, Tx
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.messages import ADD_IDS, ADD_MESSAGES
from voxcube.server.storage.migrate import open_database
from voxcube.server.storage.search import index_some
from voxcube.server.storage.users import UserStore

PASSWORD = "benchmark password"
_ROWS = 5000  # rows of one statement
_STATEMENTS = 10  # statements of one transaction
LIST_SECONDS = 60  # between the last messages of the dialogs in a list


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """What is there: users 1 … `users`, all with PASSWORD and the login `userN`; a group of the first ones.

    ``histories``: number of messages → (id of the private dialog that has them, a member who is in no other dialog).
    ``lists``: number of dialogs → a user who is in so many; the last message of the newest was sent at ``listed_at``.
    """

    app_id: int
    auth_key: str
    users: int
    group_id: str
    histories: dict[int, tuple[str, int]]
    lists: dict[int, int]
    listed_at: int


async def seed(
    data: Path, database: str, *, users: int, members: int, histories: tuple[int, ...] = (), lists: tuple[int, ...] = ()
) -> Seed:
    """Fills an empty database. The members of histories are the last users, before them come those of lists.

    Raises DatabaseError.
    """
    config = Config(data=data, database=database)
    async with Accounts.open(config) as accounts:
        app = await accounts.apps.create("Benchmark")
        first = await accounts.create_user(app.id, "user1", PASSWORD)
    store = await open_database(config.database_url)
    try:
        group_id, found = object_id(), {}
        await store.transaction(lambda tx: _add_users(tx, UserStore(store), app.id, first.id, users))
        rows = [Member(dialog_id=group_id, user_id=number + 1) for number in range(members)]
        group = Dialog(id=group_id, app_id=app.id, type=DialogType.GROUP, owner_id=1, name="Benchmark")
        await store.transaction(lambda tx: DialogStore(store).insert(tx, group, rows))
        for index, count in enumerate(histories):
            pair = users - 2 * index - 1, users - 2 * index
            found[count] = await _add_history(store, app.id, pair, count), pair[0]
        listed = {count: users - 2 * len(histories) - index for index, count in enumerate(lists)}
        now = int(time.time())
        for count, user_id in listed.items():
            fill = partial(_add_list, store=store, app_id=app.id, user_id=user_id, count=count, now=now)
            await store.transaction(fill)
    finally:
        await store.close()
    return Seed(
        app_id=app.id,
        auth_key=app.auth_key,
        users=users,
        group_id=group_id,
        histories=found,
        lists=listed,
        listed_at=now,
    )


async def _add_users(tx: Tx, store: UserStore, app_id: int, first_id: int, count: int) -> None:
    """More users like the first one, with its password hash: hashing thousands would take minutes."""
    first = await store.by_id(app_id, first_id)
    assert first is not None
    for number in range(2, count + 1):
        await store.insert(tx, replace(first, id=await store.next_id(tx), login=f"user{number}"))


async def _add_list(tx: Tx, store: Database, app_id: int, user_id: int, count: int, now: int) -> None:
    """Groups of a user and two others, with one message each; one every LIST_SECONDS until now."""
    dialogs, rows, ids = DialogStore(store), [], []
    for number in range(count):
        dialog_id, message_id, at = object_id(), object_id(), now - number * LIST_SECONDS
        people = (1, 2, user_id)
        dialog = Dialog(
            id=dialog_id,
            app_id=app_id,
            type=DialogType.GROUP,
            owner_id=user_id,
            name=f"Group {number}",
            created_at_ms=at * 1000,
            updated_at_ms=at * 1000,
            seq=1,
            live=1,
            last_seq=1,
            last_date_sent=at,
        )
        await dialogs.insert(tx, dialog, [Member(dialog_id=dialog_id, user_id=user) for user in people])
        text = "The last message of a group"
        rows.append((dialog_id, 1, message_id, app_id, 1, 0, text, None, None, None, at, at * 1000, at * 1000))
        ids.append((app_id, message_id, dialog_id, 1, 1))
    await tx.many(ADD_MESSAGES, rows)
    await tx.many(ADD_IDS, ids)


async def _add_history(store: Database, app_id: int, pair: tuple[int, int], count: int) -> str:
    """A private dialog in which two users wrote `count` messages in turn, and neither has read any."""
    dialog_id, now = object_id(), int(time.time())
    begun = now - count
    dialog = Dialog(
        id=dialog_id,
        app_id=app_id,
        type=DialogType.PRIVATE,
        owner_id=pair[0],
        pair=pair_key(*pair),
        created_at_ms=begun * 1000,
        updated_at_ms=now * 1000,
        seq=count,
        live=count,
        last_seq=count,
        last_date_sent=now,
    )
    own = {user: len(range(index, count, 2)) for index, user in enumerate(pair)}
    members = [Member(dialog_id=dialog_id, user_id=user, handed=count, settled=own[user]) for user in pair]
    await store.transaction(lambda tx: DialogStore(store).insert(tx, dialog, members))

    def rows() -> Iterator[tuple[Any, ...]]:
        for seq in range(1, count + 1):
            sender, receiver = pair[(seq - 1) % 2], pair[seq % 2]
            at = begun + seq
            message_id = f"{pair[0]:08x}{seq:016x}"  # unique in the application
            text = f"Message {seq}, about as long as people write them in a chat"
            yield dialog_id, seq, message_id, app_id, sender, receiver, text, None, None, None, at, at * 1000, at * 1000

    async def add(tx: Tx) -> bool:
        for _ in range(_STATEMENTS):
            some = list(islice(waiting, _ROWS))
            if not some:
                return False
            await tx.many(ADD_MESSAGES, some)
            await tx.many(ADD_IDS, [(app_id, row[2], dialog_id, row[1], row[4]) for row in some])
        return True

    waiting = rows()
    while await store.transaction(add):
        pass
    while await store.transaction(lambda tx: index_some(tx, dialog_id)):
        pass
    return dialog_id
