"""The global search over HTTP (rest §7.9)."""

from __future__ import annotations

from typing import Any

import msgspec

from voxcube.server.core.errors import Invalid
from voxcube.server.features.dialogs.rest import DialogBody, dialog_body
from voxcube.server.features.history.rest import MessageBody, message_body
from voxcube.server.features.search.service import LIMIT, SearchService
from voxcube.server.rest.bodies import UserBody
from voxcube.server.rest.filters import milliseconds, refuse_unknown
from voxcube.server.rest.route import Call, Caller, Route


class Search(msgspec.Struct):
    """``start_date`` is the newer bound (quirks B), ``end_date`` the older one."""

    search_text: str
    start_date: str | None = None
    end_date: str | None = None
    chat_dialog_ids: list[str] | None = None
    limit: int | None = None


class Lists(msgspec.Struct):
    dialogs: list[DialogBody]
    messages: list[MessageBody]
    users: list[UserBody]


class SearchAnswer(msgspec.Struct):
    """The lists twice: JS reads ``results``, Flutter the same keys beside it."""

    results: Lists
    dialogs: list[DialogBody]
    messages: list[MessageBody]
    users: list[UserBody]


def routes(service: SearchService, domain: str) -> list[Route]:
    """The routes of this feature; ``domain`` is that of the chat, for the rooms' addresses."""

    async def search(call: Call[Search]) -> dict[str, Any]:
        given = call.params
        refuse_unknown(call.tree, Search)
        limit = LIMIT if given.limit is None else given.limit
        if limit < 0:
            raise Invalid({"limit": ["must not be negative"]})
        found = await service.search(
            call.app_id,
            call.user_id,
            given.search_text,
            newest=_date("start_date", given.start_date),
            oldest=_date("end_date", given.end_date),
            dialog_ids=given.chat_dialog_ids or (),
            limit=limit,
        )
        lists: dict[str, list[Any]] = {
            "dialogs": [dialog_body(seen, domain) for seen in found.dialogs],
            "messages": [message_body(dialog.type, stored) for dialog, stored in found.messages],
            "users": [],
        }
        return {"results": lists, **lists}

    return [
        Route(
            method="GET",
            path="/chat/search",
            handler=search,
            caller=Caller.USER,
            request=Search,
            response=SearchAnswer,
            summary="Messages and dialogs of the caller with a text anywhere in them, as it is written; newest first",
        )
    ]


def _date(name: str, given: str | None) -> int | None:
    """Seconds."""
    if given is None or not given.strip():
        return None
    try:
        return milliseconds(given) // 1000
    except (ValueError, OverflowError):
        raise Invalid({name: ["must be a date"]}) from None
