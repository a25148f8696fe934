"""Who may read which archive; the same rules as for the history over REST."""

from __future__ import annotations

from collections.abc import Iterable

from voxcube.server.features.dialogs.service import DialogService
from voxcube.server.storage.archive import ArchiveStore
from voxcube.server.storage.archive import Span as Span
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.late import LateMessage as LateMessage
from voxcube.server.storage.writer import Writer

PAGE = 50  # messages, where nobody asks for another number
LARGEST = 200


class ArchiveService:
    """Pages of a user's private messages, or of a room's."""

    def __init__(self, *, dialogs: DialogService, store: ArchiveStore, cache: Cache, writer: Writer) -> None:
        self._dialogs = dialogs
        self._store = store
        self._cache = cache
        self._writer = writer

    async def own(
        self, app_id: int, user_id: int, span: Span, *, other: int | None, limit: int | None, sending: Iterable[str]
    ) -> tuple[list[LateMessage], bool]:
        """Private messages of a user, with everybody or with `other`; and whether that is all.

        `sending`: dialogs to which the asking session has something under way. Raises NotFound.
        """
        for dialog_id in sending:
            await self._writer.settled(dialog_id)
        between = None
        if other is not None:
            between = await self._cache.pair(app_id, user_id, other)
            if between is None:
                return [], True
        return await self._page(app_id, user_id, between, span, limit)

    async def room(
        self, app_id: int, user_id: int, dialog_id: str, span: Span, *, limit: int | None
    ) -> tuple[list[LateMessage], bool]:
        """Messages of a dialog that is not private; and whether that is all. Raises NotFound, Forbidden."""
        await self._dialogs.readable(app_id, user_id, dialog_id)
        return await self._page(app_id, user_id, dialog_id, span, limit)

    async def _page(
        self, app_id: int, user_id: int, dialog_id: str | None, span: Span, limit: int | None
    ) -> tuple[list[LateMessage], bool]:
        if dialog_id is not None:
            await self._writer.settled(dialog_id)
        size = PAGE if limit is None else min(limit, LARGEST)
        return await self._store.page(app_id=app_id, viewer=user_id, dialog_id=dialog_id, span=span, limit=size)
