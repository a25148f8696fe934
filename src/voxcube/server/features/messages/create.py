"""Messages made by REST: stored like any other, and delivered only when that is asked for (rest §7.4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from voxcube.server.core.errors import Forbidden, Invalid, NotFound, Unavailable
from voxcube.server.core.ids import Ids, is_object_id
from voxcube.server.core.listing import Condition, Listing
from voxcube.server.core.models import DialogType, Message, StoredMessage
from voxcube.server.features.history.service import HistoryService
from voxcube.server.features.messages.service import Draft, FactSource, MessageService, facts_for, may_write
from voxcube.server.storage.database import DatabaseError

MARKABLE = '<markable xmlns="urn:xmpp:chat-markers:0"/>'

_to_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """To a dialog, or to a user whose private dialog is found or made. Values of attachments and properties are texts.

    `id` is the client's own: a request that is sent again with it makes no second message.
    """

    dialog_id: str = ""
    recipient_id: int = 0
    id: str = ""
    body: str = ""
    attachments: Sequence[Mapping[str, str]] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    markable: bool = False
    silent: bool = False
    send_to_chat: bool = False


class Creation:
    """Makes messages."""

    def __init__(self, messages: MessageService, facts: FactSource, history: HistoryService, ids: Ids) -> None:
        self._messages = messages
        self._facts = facts
        self._history = history
        self._ids = ids

    async def create(self, app_id: int, user_id: int, new: NewMessage) -> tuple[DialogType, StoredMessage]:
        """Stores a message and returns it as its sender sees it, with the type of its dialog.

        Once it is stored nothing can fail any more: the answer is made of what was written.
        Raises Invalid (also Conflict: the id belongs to another message), NotFound, Forbidden.
        """
        if not (new.body or new.attachments or new.properties):
            raise Invalid({"message": ["can't be blank"]})
        to_user, dialog_id, kind = await self._recipient(app_id, user_id, new)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(draft: Draft, error: Exception | None) -> None:
            if stored.done():  # the request was given up
                return
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(error)

        draft = Draft(
            app_id=app_id,
            sender_id=user_id,
            message_id=new.id if is_object_id(new.id) else self._ids.object_id(),
            to_user=to_user,
            dialog_id=dialog_id,
            body=new.body,
            save=True,
            date_sent=0,
            properties=_to_json(new.properties).decode() if new.properties else None,
            attachments=_to_json(new.attachments).decode() if new.attachments else None,
            extras=MARKABLE if new.markable else None,
            done=done,
            quiet=not new.send_to_chat,
            silent=new.silent,
        )
        later = self._messages.send(draft)
        if later is not None:
            await later
        await stored
        if draft.fresh:
            return kind, _as_stored(draft)
        try:  # sent again: what was stored the first time may have been edited or read meanwhile
            return kind, await self._known(draft)
        except (DatabaseError, Unavailable):  # it is stored all the same, and no error may say otherwise
            return kind, _as_stored(draft)

    async def _known(self, draft: Draft) -> StoredMessage:
        """Raises NotFound when it was deleted."""
        wanted = Listing(conditions=(Condition("_id", "eq", draft.message_id),), limit=1)
        page = await self._history.page(
            app_id=draft.app_id,
            user_id=draft.sender_id,
            dialog_id=draft.dialog_id,
            listing=wanted,
            mark_as_read=False,
        )
        if not page.messages:
            raise NotFound("Message does not exist")
        return page.messages[0]

    async def _recipient(self, app_id: int, user_id: int, new: NewMessage) -> tuple[int, str, DialogType]:
        """(other user, "", type) for a private dialog, (0, dialog, type) for any other."""
        if not new.dialog_id:
            if not new.recipient_id:
                raise Invalid({"base": ["chat_dialog_id or recipient_id is required"]})
            if new.recipient_id == user_id:
                raise Invalid({"recipient_id": ["must be another user"]})
            return new.recipient_id, "", DialogType.PRIVATE
        if not is_object_id(new.dialog_id):
            raise NotFound("Dialog does not exist")
        facts = await facts_for(self._facts, app_id, user_id, new.dialog_id, may_write)
        if facts is None:
            raise NotFound("Dialog does not exist")
        if facts.type != DialogType.PRIVATE:
            return 0, new.dialog_id, DialogType(facts.type)
        if user_id not in facts.members:
            raise Forbidden("You are not a member of this dialog")
        others: frozenset[int] = facts.members - {user_id}
        return next(iter(others), 0), "", DialogType.PRIVATE


def _as_stored(draft: Draft) -> StoredMessage:
    """What was just written, as its sender sees it."""
    sender = [draft.sender_id]
    message = Message(
        id=draft.message_id,
        app_id=draft.app_id,
        dialog_id=draft.dialog_id,
        seq=draft.seq,
        sender_id=draft.sender_id,
        recipient_id=draft.to_user,
        body=draft.body,
        date_sent=draft.date_sent,
        created_at_ms=draft.created_at,
        updated_at_ms=draft.created_at,
        attachments=tuple(json.loads(draft.attachments)) if draft.attachments else (),
        properties=json.loads(draft.properties) if draft.properties else {},
    )
    return StoredMessage(message, read_ids=sender, delivered_ids=sender)
