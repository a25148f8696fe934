"""Making messages over HTTP (rest §7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from voxcube.server.core.errors import Invalid
from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.features.history.rest import MessageBody, message_body
from voxcube.server.features.messages.create import Creation, NewMessage
from voxcube.server.features.messages.encode import is_parameter, is_parameter_name
from voxcube.server.rest.route import Call, Caller, Route


class CreateMessage(msgspec.Struct):
    """Any further key is a custom parameter."""

    id: str | None = msgspec.field(name="_id", default=None)
    chat_dialog_id: str | None = None
    recipient_id: int | None = None
    message: str | None = None
    attachments: list[dict[str, Any]] | None = None
    send_to_chat: bool = False
    markable: bool = False
    silent: bool = False


def routes(service: Creation) -> list[Route]:
    """The routes of this feature."""

    async def create(call: Call[CreateMessage]) -> dict[str, Any]:
        given = call.params
        recipient_id = given.recipient_id or 0
        if not 0 <= recipient_id <= MAX_INTEGER_ID:
            raise Invalid({"recipient_id": ["is invalid"]})
        new = NewMessage(
            dialog_id=(given.chat_dialog_id or "").strip(),
            recipient_id=recipient_id,
            id=given.id or "",
            body=given.message or "",
            attachments=[_attachment(one) for one in given.attachments or ()],
            properties=custom_parameters(call.tree),
            markable=given.markable,
            silent=given.silent,
            send_to_chat=given.send_to_chat,
        )
        return message_body(*await service.create(call.app_id, call.user_id, new))

    return [
        Route(
            method="POST",
            path="/chat/Message",
            handler=create,
            caller=Caller.USER,
            request=CreateMessage,
            response=MessageBody,
            status=201,
            summary="A new message; it is delivered with send_to_chat=1 only",
        ),
    ]


def _attachment(values: Mapping[str, Any]) -> dict[str, str]:
    """Keys are attributes over the chat connection, where `xmlns` would be the element's namespace."""
    for name in values:
        if name == "xmlns" or not is_parameter_name(name):
            raise Invalid({"attachments": [f"{name[:64]!r} cannot be a key"]})
    return {name: as_text(value) for name, value in values.items()}


def custom_parameters(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a request says beside its known keys, as XML can carry it: texts, and objects of them (rest §7.1)."""
    if "attachment" in tree:
        raise Invalid({"attachment": ["cannot be the name of a parameter; use attachments"]})
    return as_properties({name: value for name, value in tree.items() if is_parameter(name)})


def as_properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """Custom parameters under the names that they have everywhere: over the chat connection, in history and archive.

    Names that begin with a digit get `_` before it, as those of JavaScript's arrays and objects do on the wire
    (realtime §6). Raises Invalid for what XML cannot carry.
    """
    found: dict[str, Any] = {}
    for given, value in values.items():
        name = f"_{given}" if given[:1].isdigit() else given
        if not is_parameter_name(name):
            raise Invalid(f"{given[:64]!r} cannot be the name of a parameter")
        if name in found:
            raise Invalid(f"The parameter {name[:64]!r} is given twice")
        found[name] = as_property(value)
    return found


def as_property(value: Any) -> Any:
    """A JSON value as a custom parameter; lists become what JavaScript's arrays become on the wire (realtime §6)."""
    if isinstance(value, list):
        value = {f"_{index}": item for index, item in enumerate(value)}
    if isinstance(value, dict):
        return as_properties(value) if value else ""
    return as_text(value)


def as_text(value: Any) -> str:
    """A JSON scalar as the text that JavaScript would send over the chat connection."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, (str, int, float)):
        return str(value)
    raise Invalid({"attachments": ["must hold plain values"]})
