"""Dialogs over HTTP for the application's administrator (rest §12)."""

from __future__ import annotations

from typing import Any

import msgspec

from voxcube.server.core.errors import Invalid
from voxcube.server.features.dialogs.admin import AdminView, DialogAdmin
from voxcube.server.features.dialogs.rest import DialogFields, PermissionsBody, dialog_body
from voxcube.server.features.dialogs.rest_changes import UpdateDialog, change_of
from voxcube.server.features.dialogs.service import NewDialog, SeenDialog
from voxcube.server.rest.route import Call, Caller, Nothing, Route


class CreateBroadcast(msgspec.Struct):
    """``user_id`` is the owner, who may write, as may the admins."""

    type: int
    user_id: int
    name: str | None = None
    admins_ids: list[int] | None = None
    description: str | None = None
    photo: str | None = None
    extensions: dict[str, Any] | None = None
    permissions: PermissionsBody | None = None
    data: dict[str, Any] | None = None


class Administer(UpdateDialog, kw_only=True):
    """As a change by a user; also mutes the dialog for ``user_id``, or no longer."""

    user_id: int | None = None
    is_muted: bool | None = None


class AdminDialogBody(DialogFields, kw_only=True):
    """A dialog as nobody in particular sees it: what depends on the viewer is null."""

    unread_messages_count: int | None
    deleted_ids: list[int]
    silent_ids: list[int]


def routes(admin: DialogAdmin, domain: str) -> list[Route]:
    """The routes of administrators; ``domain`` is that of the chat."""

    async def create(call: Call[CreateBroadcast]) -> AdminDialogBody:
        given = call.params
        new = NewDialog(
            type=given.type,
            admins=given.admins_ids or (),
            name=given.name,
            description=given.description,
            photo=given.photo,
            extensions=given.extensions,
            permissions=None if given.permissions is None else {"allow_preview": given.permissions.allow_preview},
            data=given.data,
        )
        return admin_body(await admin.create(call.administered, given.user_id, new), domain)

    async def update(call: Call[Administer]) -> AdminDialogBody:
        given = call.params
        muted = {}
        if given.is_muted is not None:
            if given.user_id is None:
                raise Invalid({"user_id": ["is required"]})
            muted = {given.user_id: given.is_muted}
        found = await admin.update(call.administered, call.object_id("id"), change_of(given), muted=muted)
        return admin_body(found, domain)

    async def delete(call: Call[Nothing]) -> Nothing:
        await admin.delete(call.administered, call.object_id("id"))
        return Nothing()

    return [
        Route(
            method="POST",
            path="/admin/chat",
            handler=create,
            caller=Caller.ADMIN,
            request=CreateBroadcast,
            response=AdminDialogBody,
            status=201,
            summary="A new broadcast dialog",
        ),
        Route(
            method="PUT",
            path="/admin/chat/{id}",
            handler=update,
            caller=Caller.ADMIN,
            request=Administer,
            response=AdminDialogBody,
            summary="Change any dialog, all or nothing",
        ),
        Route(
            method="DELETE",
            path="/admin/chat/{id}",
            handler=delete,
            caller=Caller.ADMIN,
            summary="Delete any dialog for everyone",
        ),
    ]


def admin_body(found: AdminView, domain: str) -> AdminDialogBody:
    """A dialog as it goes out to an administrator."""
    body = msgspec.structs.asdict(dialog_body(SeenDialog(view=found.view, viewer=0), domain))
    for name in ("unread_messages_count", "last_message_status", "is_muted"):
        body[name] = None
    return AdminDialogBody(**body, deleted_ids=list(found.away), silent_ids=list(found.silent))
