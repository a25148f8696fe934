"""The rules of reading what was stored: pages of messages, and unread counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from voxcube.server.core.listing import Listing, Order
from voxcube.server.core.models import Dialog, Member, StoredMessage
from voxcube.server.features.dialogs.service import DialogService
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.history import HistoryStore
from voxcube.server.storage.receipts import READ, mark_seqs
from voxcube.server.storage.writer import Writer

PREVIEW = 20  # messages that a stranger may see (rest §7.2)


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages of one dialog, with the listing that was applied: of a page that was cut for its size (`core.pages`) the
    limit is the number of its messages, so that more may follow."""

    dialog: Dialog
    messages: Sequence[StoredMessage]
    listing: Listing


class HistoryService:
    """Reads messages for the members of a dialog."""

    def __init__(self, *, dialogs: DialogService, store: DialogStore, history: HistoryStore, writer: Writer) -> None:
        self._dialogs = dialogs
        self._store = store
        self._history = history
        self._writer = writer

    async def page(
        self,
        *,
        app_id: int,
        user_id: int,
        dialog_id: str,
        listing: Listing,
        mark_as_read: bool = True,
        preview: bool = False,
    ) -> MessagePage:
        """One page of a dialog's messages; with ``mark_as_read`` they are the user's read ones afterwards.

        ``preview``: the newest few, for somebody who is not a member; nothing is marked. Raises NotFound, Forbidden.
        """
        await self._writer.settled(dialog_id)  # what was just sent there is on its way into the database
        dialog, member = await self._dialogs.readable(app_id, user_id, dialog_id, preview=preview)
        if preview:
            listing = Listing(order=Order("date_sent", True), limit=PREVIEW)
        messages, cut = await self._history.page(
            app_id=app_id,
            dialog_id=dialog_id,
            viewer=user_id,
            after=_start(dialog, member),
            last=dialog.seq,
            listing=listing,
        )
        if preview:
            messages.reverse()
        elif mark_as_read:
            await self._mark_read(dialog_id, user_id, messages)
        return MessagePage(dialog, messages, replace(listing, limit=len(messages)) if cut else listing)

    async def count(self, *, app_id: int, user_id: int, dialog_id: str, listing: Listing) -> int:
        """How many of a dialog's messages match. Raises NotFound, Forbidden."""
        await self._writer.settled(dialog_id)
        dialog, member = await self._dialogs.readable(app_id, user_id, dialog_id)
        return await self._history.count(
            app_id=app_id,
            dialog_id=dialog_id,
            viewer=user_id,
            after=_start(dialog, member),
            cleared=dialog.cleared,
            last=dialog.seq,
            live=dialog.live,
            listing=listing,
        )

    async def unread(self, *, app_id: int, user_id: int, dialog_ids: Sequence[str]) -> dict[str, int]:
        """Unread messages by dialog: every dialog asked for (0 where the user has none), or all that have any."""
        counts = await self._store.unread(app_id, user_id, dialog_ids or None)
        if dialog_ids:
            return {dialog_id: counts.get(dialog_id, 0) for dialog_id in dialog_ids}
        return {dialog_id: count for dialog_id, count in counts.items() if count}

    async def _mark_read(self, dialog_id: str, user_id: int, messages: Sequence[StoredMessage]) -> None:
        """Persisted only: no markers go out for what is read over HTTP (rest §7.2)."""
        seqs = [stored.message.seq for stored in messages if not stored.seen]
        if not seqs:
            return
        await self._writer.run(lambda tx: mark_seqs(tx, dialog_id, user_id, READ, seqs), dialog=dialog_id)
        for stored in messages:
            if not stored.seen:
                stored.seen = True
                stored.read_ids = [*stored.read_ids, user_id]
                if user_id not in stored.delivered_ids:
                    stored.delivered_ids = [*stored.delivered_ids, user_id]


def _start(dialog: Dialog, member: Member | None) -> int:
    """Messages up to here are cleared, for everyone or for the user."""
    return max(dialog.cleared, 0 if member is None else member.hidden_before)
