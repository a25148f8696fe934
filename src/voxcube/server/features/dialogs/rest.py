"""Dialogs over HTTP (rest §5, §6)."""

from __future__ import annotations

from typing import Any

import msgspec

from voxcube.server.core.models import DialogType
from voxcube.server.features.dialogs.service import DialogService, NewDialog, SeenDialog
from voxcube.server.rest.bodies import iso_ms
from voxcube.server.rest.filters import Kind, conditions
from voxcube.server.rest.paging import Count, CountAnswer, Paged, listing
from voxcube.server.rest.route import Call, Caller, Route

#: `DialogView.progress` in words (rest §5).
_STATUS = ("sent", "delivered", "read")


class PermissionsBody(msgspec.Struct):
    allow_preview: bool = False


class CreateDialog(msgspec.Struct):
    """Clients may send their whole model: what is not named here is ignored."""

    type: int
    occupants_ids: list[int] | None = None
    admins_ids: list[int] | None = None
    name: str | None = None
    description: str | None = None
    photo: str | None = None
    extensions: dict[str, Any] | None = None
    permissions: PermissionsBody | None = None
    data: dict[str, Any] | None = None


class DialogFields(msgspec.Struct, kw_only=True):
    """What of a dialog users and administrators see."""

    id: str = msgspec.field(name="_id")
    type: int
    user_id: int
    name: str | None
    description: str | None
    photo: str | None
    created_at: str
    updated_at: str
    xmpp_room_jid: str | None
    occupants_ids: list[int]
    occupants_count: int | None
    admins_ids: list[int]
    pinned_messages_ids: list[str]
    last_message: str | None
    last_message_id: str | None
    last_message_date_sent: int | None
    last_message_user_id: int | None
    last_message_status: str | None
    extensions: dict[str, str] | None
    permissions: PermissionsBody | None
    data: dict[str, Any] | None
    is_muted: bool | None
    is_e2ee: bool | None


class DialogBody(DialogFields, kw_only=True):
    """A dialog as one user sees it. All keys are always there."""

    unread_messages_count: int


class DialogsAnswer(msgspec.Struct):
    total_entries: int
    skip: int
    limit: int
    items: list[DialogBody]


_FILTERS = {
    "_id": Kind.TEXT,
    "type": Kind.INTEGER,
    "name": Kind.TEXT,
    "user_id": Kind.INTEGER,
    "last_message_date_sent": Kind.SECONDS,
    "created_at": Kind.MILLISECONDS,
    "updated_at": Kind.MILLISECONDS,
    "occupants_ids": Kind.INTEGERS,
    "extensions": Kind.OBJECT,
    "data": Kind.OBJECT,
}
_ALIASES = {"id": "_id", "date_sent": "last_message_date_sent"}
_SORTABLE = ("_id", "name", "last_message_date_sent", "created_at", "updated_at")


def routes(service: DialogService, domain: str) -> list[Route]:
    """The routes of this feature; ``domain`` is that of the chat, for the rooms' addresses."""

    async def create(call: Call[CreateDialog]) -> DialogBody:
        given = call.params
        new = NewDialog(
            type=given.type,
            occupants=given.occupants_ids or (),
            admins=given.admins_ids or (),
            name=given.name,
            description=given.description,
            photo=given.photo,
            extensions=given.extensions,
            permissions=None if given.permissions is None else {"allow_preview": given.permissions.allow_preview},
            data=given.data,
        )
        return dialog_body(await service.create(call.app_id, call.user_id, new), domain)

    async def page(call: Call[Paged]) -> DialogsAnswer | CountAnswer:
        # `id` is the alias of a filter here, `user_id` one of its own.
        wanted = conditions(call.tree, _FILTERS, parameters=Paged, aliases=_ALIASES)
        asked = listing(call.params, wanted, sortable=_SORTABLE, aliases=_ALIASES)
        if call.params.count:
            return CountAnswer(Count(await service.count(call.app_id, call.user_id, asked)))
        total, dialogs = await service.page(call.app_id, call.user_id, asked)
        # Of a page that was cut for its size the limit is what it holds, so that clients ask for more.
        limit = len(dialogs) if dialogs and asked.skip + len(dialogs) < total else asked.limit
        return DialogsAnswer(total, asked.skip, limit, [dialog_body(seen, domain) for seen in dialogs])

    async def get(call: Call[msgspec.Struct]) -> DialogBody:
        return dialog_body(await service.get(call.app_id, call.user_id, call.object_id("id")), domain)

    user = Caller.USER
    return [
        Route(
            method="POST",
            path="/chat/Dialog",
            handler=create,
            caller=user,
            request=CreateDialog,
            response=DialogBody,
            status=201,
            summary="A new dialog; for a private one that is there already, that one",
        ),
        Route(
            method="GET",
            path="/chat/Dialog",
            handler=page,
            caller=user,
            request=Paged,
            response=DialogsAnswer | CountAnswer,
            summary="The caller's dialogs; count=1: how many there are",
            filters=tuple(_FILTERS),
        ),
        Route(
            method="GET", path="/chat/Dialog/{id}", handler=get, caller=user, response=DialogBody, summary="One dialog"
        ),
    ]


def dialog_body(seen: SeenDialog, domain: str) -> DialogBody:
    """A dialog as it goes out to one user."""
    view, dialog, member = seen.view, seen.view.dialog, seen.view.member
    private = dialog.type is DialogType.PRIVATE
    name = dialog.name
    if private:
        name = None if seen.opponent is None else seen.opponent.full_name or seen.opponent.login
    own = view.last_id is not None and view.last_sender == seen.viewer
    permissions = dialog.permissions
    return DialogBody(
        id=dialog.id,
        type=int(dialog.type),
        user_id=dialog.owner_id,
        name=name,
        description=dialog.description,
        photo=dialog.photo,
        created_at=iso_ms(dialog.created_at_ms),
        updated_at=iso_ms(dialog.updated_at_ms),
        xmpp_room_jid=None if private else f"{dialog.app_id}_{dialog.id}@muc.{domain}",
        occupants_ids=list(view.occupants),
        occupants_count=view.count,
        admins_ids=list(view.admins),
        pinned_messages_ids=list(dialog.pinned),
        last_message=view.last_body,
        last_message_id=view.last_id,
        last_message_date_sent=view.last_date_sent,
        last_message_user_id=view.last_sender,
        last_message_status=_STATUS[view.progress] if own else None,
        unread_messages_count=seen.unread,
        extensions=None if dialog.extensions is None else dict(dialog.extensions),
        permissions=None if permissions is None else PermissionsBody(bool(permissions.get("allow_preview"))),
        data=None if dialog.data is None else dict(dialog.data),
        is_muted=None if member is None else member.muted,
        is_e2ee=None,
    )
