"""Reactions over HTTP (rest §7.8)."""

from __future__ import annotations

import msgspec

from voxcube.server.features.reactions.service import ReactionService
from voxcube.server.rest.route import Call, Caller, Nothing, Route


class React(msgspec.Struct):
    """Either may be missing."""

    add: str | None = None
    remove: str | None = None


def routes(service: ReactionService) -> list[Route]:
    """The routes of this feature."""

    async def change(call: Call[React]) -> Nothing:
        given = call.params
        message_id = call.object_id("id")
        await service.change(call.app_id, call.user_id, message_id, add=given.add, remove=given.remove)
        return Nothing()

    async def get(call: Call[Nothing]) -> dict[str, list[int]]:
        return await service.of(call.app_id, call.user_id, call.object_id("id"))

    user, path = Caller.USER, "/chat/Message/{id}/reactions"
    return [
        Route(
            method="PUT",
            path=path,
            handler=change,
            caller=user,
            request=React,
            response=Nothing,
            summary="Adds and removes a reaction of the caller's; everybody in the dialog is told",
        ),
        Route(
            method="GET",
            path=path,
            handler=get,
            caller=user,
            response=dict[str, list[int]],
            summary="Who has reacted with what, in the order in which it came",
        ),
    ]
