"""Drafts and markers into the writer's queue, and their fate back."""

from __future__ import annotations

from collections.abc import Callable

from voxcube.server.core.errors import Uncertain
from voxcube.server.features.messages.service import Draft
from voxcube.server.storage.messages import Send
from voxcube.server.storage.receipts import HandOver, Mark
from voxcube.server.storage.writer import Writer

Done = Callable[[int, bool, Exception | None], None]


class MessageQueue:
    """`service.Store` over the writer."""

    def __init__(
        self,
        writer: Writer,
        after_commit: Callable[[str, int], None] = lambda dialog_id, seq: None,
        uncertain: Callable[..., None] = lambda dialog_id, seq, *user_ids: None,
    ) -> None:
        """`after_commit(dialog, seq)` is called for every message that was stored, before it is delivered;
        `uncertain(dialog, seq, *users)` for one that is refused and may be stored, with both users if it is private."""
        self._writer = writer
        self._after_commit = after_commit
        self._uncertain = uncertain

    def put(self, draft: Draft, *, show_again: bool, done: Done) -> None:
        def stored(send: Send) -> None:
            if send.fresh and send.error is None:
                self._after_commit(send.dialog_id, send.seq)
            elif send.seq and isinstance(send.error, Uncertain):
                users = (send.recipient_id, send.sender_id) if send.recipient_id else ()
                self._uncertain(send.dialog_id, send.seq, *users)
            draft.members_version = send.members_version
            draft.created_at = send.created_at
            done(send.seq, send.fresh, send.error)

        self._writer.put(
            Send(
                app_id=draft.app_id,
                dialog_id=draft.dialog_id,
                message_id=draft.message_id,
                sender_id=draft.sender_id,
                recipient_id=draft.to_user,
                body=draft.body,
                properties=draft.properties,
                attachments=draft.attachments,
                extras=draft.extras,
                date_sent=draft.date_sent,
                created_at=draft.created_at,
                arrived_at=draft.arrived_at,
                members_version=draft.members_version,
                show_again=show_again,
                quiet=draft.quiet,
                destroy_after=draft.destroy_after,
                done=stored,
            ),
            draft.dialog_id,
        )

    def mark(
        self, app_id: int, user_id: int, kind: int, message_id: str, done: Callable[[int, Exception | None], None]
    ) -> None:
        """A marker; `done(sender of the message or 0, error)`."""
        mark = Mark(
            app_id=app_id,
            user_id=user_id,
            kind=kind,
            message_id=message_id,
            done=lambda mark: done(mark.sender_id, mark.error),
        )
        # By message, not by dialog: which dialog it is in is only known inside the batch.
        self._writer.put(mark, message_id)

    def hand_over(self, key: tuple[str, int], seq: int, done: Callable[[bool], None]) -> None:
        """Writes how far a user was handed a dialog; `done(committed)`."""
        self._writer.put(HandOver(key[0], key[1], seq, lambda change: done(change.error is None)), key[0])
