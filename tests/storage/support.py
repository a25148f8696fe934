"""A database with a writer, and shorthands for putting things into it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import bindparam, insert

from voxcube.server.storage.database import Database
from voxcube.server.storage.messages import Send, apply_batch
from voxcube.server.storage.migrate import open_database
from voxcube.server.storage.receipts import Mark
from voxcube.server.storage.schema import dialogs, members
from voxcube.server.storage.sql import Query
from voxcube.server.storage.writer import Writer

ADD_DIALOG = Query(
    insert(dialogs).values(id=bindparam("dialog_id"), app_id=1, type=2, owner_id=1, created_at=0, updated_at=0),
    "dialog_id",
)
ADD_MEMBER = Query(
    insert(members).values(
        dialog_id=bindparam("dialog_id"), user_id=bindparam("user_id"), app_id=1, type=2, active=True, joined_at=0
    ),
    *("dialog_id", "user_id"),
)


class Store:
    """What a storage test works with."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self.database = database
        self.writer = writer

    async def dialog(self, dialog_id: str, *user_ids: int) -> None:
        async def add(tx: Any) -> None:
            await tx.execute(ADD_DIALOG, dialog_id)
            for user_id in user_ids:
                await tx.execute(ADD_MEMBER, dialog_id, user_id)

        await self.writer.run(add)

    def put_send(self, dialog_id: str, sender_id: int, message_id: str, **other: Any) -> asyncio.Future[Send]:
        future: asyncio.Future[Send] = asyncio.get_running_loop().create_future()
        values: dict[str, Any] = {
            "app_id": 1, "recipient_id": 0, "body": "hello", "properties": None, "attachments": None,
            "extras": None, "date_sent": 100, "created_at": 100_000, **other,
        }  # fmt: skip
        send = Send(dialog_id=dialog_id, sender_id=sender_id, message_id=message_id, done=future.set_result, **values)
        self.writer.put(send, dialog_id)
        return future

    async def send(self, dialog_id: str, sender_id: int, message_id: str, **other: Any) -> Send:
        return await self.put_send(dialog_id, sender_id, message_id, **other)

    async def mark(self, dialog_id: str, user_id: int, kind: int, message_id: str, app_id: int = 1) -> Mark:
        future: asyncio.Future[Mark] = asyncio.get_running_loop().create_future()
        mark = Mark(app_id=app_id, user_id=user_id, kind=kind, message_id=message_id, done=future.set_result)
        self.writer.put(mark, dialog_id)
        return await future


@contextlib.asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Store]:
    """An open database at `url` with a running writer."""
    database = await open_database(url)
    writer = Writer(database, apply_batch, **options)
    writer.start()
    try:
        yield Store(database, writer)
    finally:
        await writer.close()
        await database.close()
