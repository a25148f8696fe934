"""System messages over HTTP (rest §7.7)."""

from __future__ import annotations

from typing import Any

import msgspec

from voxcube.server.core.errors import Invalid
from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.features.messages.rest import as_properties
from voxcube.server.features.system.service import SystemService
from voxcube.server.rest.route import Call, Caller, Route

_RECIPIENT = ("recipientId", "recipient_id")


class SystemMessage(msgspec.Struct):
    """Any further key is a parameter of the message."""

    recipient: int | None = msgspec.field(name="recipientId", default=None)
    recipient_id: int | None = None


class SystemAnswer(msgspec.Struct):
    message_id: str = msgspec.field(name="messageId")
    recipient: int = msgspec.field(name="recipientId")
    parameters: dict[str, Any] = msgspec.field(name="extensionParams")


def routes(service: SystemService) -> list[Route]:
    """The routes of this feature."""

    async def send(call: Call[SystemMessage]) -> SystemAnswer:
        to_user = call.params.recipient or call.params.recipient_id
        if to_user is None:
            raise Invalid({"recipientId": ["is required"]})
        if not 0 < to_user <= MAX_INTEGER_ID:
            raise Invalid({"recipientId": ["is invalid"]})
        given = {name: call.tree[name] for name in call.tree if name not in (*_RECIPIENT, "moduleIdentifier")}
        parameters = as_properties(given)
        message_id = await service.send(call.app_id, call.user_id, to_user, parameters)
        return SystemAnswer(message_id, to_user, parameters)

    return [
        Route(
            method="POST",
            path="/chat/Message/system",
            handler=send,
            caller=Caller.USER,
            request=SystemMessage,
            response=SystemAnswer,
            status=201,
            summary="A system message to all sessions of a user; it is not stored",
        ),
    ]
