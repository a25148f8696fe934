"""Changing and deleting messages over HTTP (rest §7.5, §7.6)."""

from __future__ import annotations

from typing import Any

import msgspec

from voxcube.server.core.errors import Invalid, NotFound
from voxcube.server.core.ids import is_object_id
from voxcube.server.features.changes.service import ChangeService
from voxcube.server.rest.bodies import IdsBody, OutcomeBody
from voxcube.server.rest.route import Call, Caller, Nothing, Route
from voxcube.server.rest.shape import as_list

MOST_IDS = 1000  # messages changed by one request


class UpdateMessages(msgspec.Struct):
    chat_dialog_id: str | None = None
    read: bool = False
    delivered: bool = False
    message: str | None = None


class DeleteMessages(msgspec.Struct):
    force: bool = False


def routes(service: ChangeService) -> list[Route]:
    """The routes of this feature."""

    async def update(call: Call[UpdateMessages], ids: list[str] | None) -> Nothing:
        given = call.params
        dialog_id = (given.chat_dialog_id or "").strip()
        if not dialog_id:
            raise Invalid({"chat_dialog_id": ["is required"]})
        if not is_object_id(dialog_id):
            raise NotFound("Dialog does not exist")
        await service.update(
            call.app_id,
            call.user_id,
            dialog_id,
            ids,
            read=given.read,
            delivered=given.delivered,
            body=given.message,
        )
        return Nothing()

    async def update_all(call: Call[UpdateMessages]) -> Nothing:
        return await update(call, None)

    async def update_some(call: Call[UpdateMessages]) -> Nothing:
        return await update(call, _ids(call))

    async def delete(call: Call[DeleteMessages]) -> OutcomeBody:
        outcome = await service.delete_many(call.app_id, call.user_id, _ids(call), for_all=call.params.force)
        return OutcomeBody(IdsBody(outcome.done), IdsBody(outcome.missing), IdsBody(outcome.refused))

    user = Caller.USER
    return [
        Route(
            method="PUT",
            path="/chat/Message",
            handler=update_all,
            caller=user,
            request=UpdateMessages,
            response=Nothing,
            summary="Marks all messages of a dialog as read or delivered",
        ),
        Route(
            method="PUT",
            path="/chat/Message/{ids}",
            handler=update_some,
            caller=user,
            request=UpdateMessages,
            response=Nothing,
            summary="Marks messages of a dialog as read or delivered, or changes the text of own ones; ids by commas",
        ),
        Route(
            method="DELETE",
            path="/chat/Message/{ids}",
            handler=delete,
            caller=user,
            request=DeleteMessages,
            response=OutcomeBody,
            summary="Deletes messages for the caller, with force=1 for everyone; ids by commas",
        ),
    ]


def _ids(call: Call[Any]) -> list[str]:
    ids = as_list(str(call.path["ids"]))
    if len(ids) > MOST_IDS:
        raise Invalid(f"Too many messages (maximum is {MOST_IDS})")
    return ids
