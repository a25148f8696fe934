"""Messages over HTTP, as far as they are read (rest §7.1–7.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from voxcube.server.core.errors import Invalid, NotFound
from voxcube.server.core.ids import is_object_id
from voxcube.server.core.listing import Condition
from voxcube.server.core.models import DialogType, StoredMessage
from voxcube.server.features.history.service import HistoryService
from voxcube.server.rest.bodies import iso, iso_ms
from voxcube.server.rest.filters import Kind, conditions, refuse_unknown
from voxcube.server.rest.normalise import Tree
from voxcube.server.rest.paging import Count, CountAnswer, Paged, listing
from voxcube.server.rest.route import Call, Caller, Open, Route


class ListMessages(Paged):
    chat_dialog_id: str | None = None
    mark_as_read: bool = True
    preview: bool = False


class Unread(msgspec.Struct):
    chat_dialog_ids: list[str] | None = None
    dialogs_ids: list[str] | None = None  # the same, as the JS documentation has it


class ReactionsBody(msgspec.Struct):
    own: list[str]
    total: dict[str, int]


class MessageBody(Open):
    """The keys that every message has; custom parameters stand beside them (so the answer is made as a dict)."""

    id: str = msgspec.field(name="_id")
    chat_dialog_id: str
    message: str
    date_sent: int
    sender_id: int
    recipient_id: int
    created_at: str
    updated_at: str
    attachments: list[dict[str, str]]
    read_ids: list[int]
    delivered_ids: list[int]
    reactions: ReactionsBody | None
    views_count: int
    edited_at: str | None
    read: int


class MessagesAnswer(msgspec.Struct):
    skip: int
    limit: int
    items: list[MessageBody]


_FILTERS = {
    "_id": Kind.TEXT,
    "message": Kind.TEXT,
    "date_sent": Kind.SECONDS,
    "sender_id": Kind.INTEGER,
    "recipient_id": Kind.INTEGER,
    "created_at": Kind.MILLISECONDS,
    "updated_at": Kind.MILLISECONDS,
    "attachments.type": Kind.TEXT,
}
_ALIASES = {"id": "_id"}
#: Keys of a message that are no filters: a custom parameter of one of these names would never be shown.
_OWN_KEYS = {field.encode_name for field in msgspec.structs.fields(MessageBody)}.difference(_FILTERS)
#: All other names are keys of custom parameters; `_` is of no list (`filters.conditions`).
_KNOWN = {*ListMessages.__struct_encode_fields__, *_OWN_KEYS, *_FILTERS, *_ALIASES, "_"}
_SORTABLE = ("_id", "date_sent", "created_at", "updated_at")


def routes(service: HistoryService) -> list[Route]:
    """The routes of this feature."""

    async def page(call: Call[ListMessages]) -> dict[str, Any] | CountAnswer:
        params = call.params
        dialog_id = (params.chat_dialog_id or "").strip()
        if not dialog_id:
            raise Invalid({"chat_dialog_id": ["is required"]})
        if not is_object_id(dialog_id):
            raise NotFound("Dialog does not exist")
        wanted = _wanted(call.tree)
        asked = listing(params, wanted, sortable=_SORTABLE, aliases=_ALIASES, largest=1000)
        app_id, user_id = call.app_id, call.user_id
        if params.count and not params.preview:
            total = await service.count(app_id=app_id, user_id=user_id, dialog_id=dialog_id, listing=asked)
            return CountAnswer(Count(total))
        found = await service.page(
            app_id=app_id,
            user_id=user_id,
            dialog_id=dialog_id,
            listing=asked,
            mark_as_read=params.mark_as_read,
            preview=params.preview,
        )
        items = [message_body(found.dialog.type, stored) for stored in found.messages]
        return {"skip": found.listing.skip, "limit": found.listing.limit, "items": items}

    async def unread(call: Call[Unread]) -> dict[str, int]:
        refuse_unknown(call.tree, Unread)
        asked = call.params.chat_dialog_ids or call.params.dialogs_ids or []
        counts = await service.unread(app_id=call.app_id, user_id=call.user_id, dialog_ids=asked)
        return {**counts, "total": sum(counts.values())}

    user = Caller.USER
    return [
        Route(
            method="GET",
            path="/chat/Message",
            handler=page,
            caller=user,
            request=ListMessages,
            response=MessagesAnswer | CountAnswer,
            summary="Messages of a dialog; marks them as read unless told otherwise. count=1: how many there are",
            filters=tuple(_FILTERS),
        ),
        Route(
            method="GET",
            path="/chat/Message/unread",
            handler=unread,
            caller=user,
            request=Unread,
            response=dict[str, int],
            summary="How many messages wait unread: in all dialogs, and in each of those named",
        ),
    ]


def _wanted(tree: Tree) -> list[Condition]:
    """Return the conditions of a request. ``attachments[type]`` is ``attachments.type``; a name that is neither a
    parameter nor a key of a message is the key of a custom parameter. Raises Invalid."""
    tree = dict(tree)
    if isinstance(inner := tree.get("attachments"), dict) and inner.keys() == {"type"}:
        tree["attachments.type"] = tree.pop("attachments")["type"]
    # Brackets in a name did not pair: `sender_id[gt=5` is a mistake, not a custom parameter.
    custom = {name: tree.pop(name) for name in tuple(tree) if name not in _KNOWN and not {"[", "]"} & set(name)}
    kinds: Mapping[str, Kind] = _FILTERS
    if custom:
        tree["properties"], kinds = custom, {**_FILTERS, "properties": Kind.OBJECT}
    found = conditions(tree, kinds, parameters=ListMessages, aliases=_ALIASES)
    for condition in found:
        if condition.field == "attachments.type" and condition.operator not in ("eq", "ne", "in", "nin"):
            raise Invalid({condition.field: [f"has no operator {condition.operator}"]})
    return found


def message_body(kind: DialogType, stored: StoredMessage) -> dict[str, Any]:
    """A message as it goes out: `MessageBody`, and custom parameters that collide with none of its keys.

    `kind` is the type of its dialog.
    """
    message, reactions = stored.message, stored.reactions
    core: dict[str, Any] = {
        "_id": message.id,
        "chat_dialog_id": message.dialog_id,
        "message": message.body,
        "date_sent": message.date_sent,
        "sender_id": message.sender_id,
        "recipient_id": message.recipient_id,
        "created_at": iso_ms(message.created_at_ms),
        "updated_at": iso_ms(message.updated_at_ms),
        "attachments": list(message.attachments),
        "read_ids": stored.read_ids,
        "delivered_ids": stored.delivered_ids,
        "reactions": None if reactions is None else ReactionsBody(list(reactions.own), dict(reactions.total)),
        # Counted where readers are many and unknown to each other.
        "views_count": len(stored.read_ids) - 1 if kind in (DialogType.BROADCAST, DialogType.PUBLIC) else 0,
        "edited_at": None if message.edited_at is None else iso(message.edited_at),
        "read": int(len(stored.read_ids) > 1),
    }
    return {**message.properties, **core} if message.properties else core
