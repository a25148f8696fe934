"""The rules of the global search: what may be looked for; everybody finds what is in the own dialogs (rest §7.9)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from voxcube.server.core.errors import Invalid
from voxcube.server.core.ids import MAX_INTEGER_ID, is_object_id
from voxcube.server.core.listing import Condition, Listing
from voxcube.server.core.models import Dialog, StoredMessage
from voxcube.server.core.pages import PAGE_BYTES, PageBudget
from voxcube.server.features.dialogs.service import DialogService, SeenDialog
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.finding import Finder, Wanted
from voxcube.server.storage.history import HistoryStore
from voxcube.server.storage.search import SHORTEST

LONGEST = 500  # characters
LIMIT = 100  # of each list


@dataclass(frozen=True, slots=True)
class Results:
    """Messages, newest first, with their dialogs; and dialogs, those with the newest activity first."""

    messages: Sequence[tuple[Dialog, StoredMessage]]
    dialogs: Sequence[SeenDialog]


class SearchService:
    """Searches messages and the names of dialogs."""

    def __init__(self, *, dialogs: DialogService, store: DialogStore, history: HistoryStore, finder: Finder) -> None:
        self._dialogs = dialogs
        self._store = store
        self._history = history
        self._finder = finder

    async def search(
        self,
        app_id: int,
        user_id: int,
        text: str,
        *,
        newest: int | None = None,
        oldest: int | None = None,
        dialog_ids: Sequence[str] = (),
        limit: int = LIMIT,
    ) -> Results:
        """What has ``text`` anywhere, as it is written; messages dated from ``oldest`` to ``newest`` (seconds), in the
        dialogs named or in all of the user's. Raises Invalid, TooLong, TooManyRequests.
        """
        if len(text) < SHORTEST:
            raise Invalid({"search_text": [f"is too short (minimum is {SHORTEST} characters)"]})
        if len(text) > LONGEST:
            raise Invalid({"search_text": [f"is too long (maximum is {LONGEST} characters)"]})
        if newest is not None and oldest is None:
            raise Invalid({"end_date": ["is required with start_date"]})
        wanted = Wanted(
            app_id=app_id,
            viewer=user_id,
            text=text,
            oldest=-MAX_INTEGER_ID if oldest is None else oldest,
            newest=MAX_INTEGER_ID if newest is None else newest,
            dialogs=[one for one in dialog_ids if is_object_id(one)] if dialog_ids else None,
            limit=min(limit, LIMIT),
        )
        if not wanted.limit:
            return Results((), ())
        places = await self._finder.messages(wanted)
        return Results(await self._messages(wanted, places), await self._named(wanted))

    async def _messages(self, wanted: Wanted, places: Sequence[tuple[str, int]]) -> list[tuple[Dialog, StoredMessage]]:
        # The answer has all lists twice (rest §7.9).
        stored = await self._history.stored(wanted.viewer, places, PageBudget(PAGE_BYTES // 2))
        ids = dict.fromkeys(dialog_id for dialog_id, _ in places)
        found = await asyncio.gather(*(self._store.by_id(wanted.app_id, dialog_id) for dialog_id in ids))
        dialogs = {dialog.id: dialog for dialog in found if dialog is not None}
        return [
            (dialogs[place[0]], stored[place])
            for place in places
            # What was deleted or edited a moment ago is gone.
            if place in stored and place[0] in dialogs and wanted.text in stored[place].message.body
        ]

    async def _named(self, wanted: Wanted) -> Sequence[SeenDialog]:
        ids = await self._finder.dialogs(wanted)
        if not ids:
            return ()
        listing = Listing(conditions=[Condition("_id", "in", ids)], limit=len(ids))
        _, found = await self._dialogs.page(wanted.app_id, wanted.viewer, listing)
        return found
