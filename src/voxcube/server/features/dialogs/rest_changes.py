"""Changing and leaving dialogs over HTTP (rest §6.3–§6.9)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from voxcube.server.core.ids import MAX_INTEGER_ID
from voxcube.server.core.models import Viewer
from voxcube.server.features.dialogs.changes import Change, DialogChanges, Lists
from voxcube.server.features.dialogs.ending import DialogEndings
from voxcube.server.features.dialogs.people import DialogPeople
from voxcube.server.features.dialogs.rest import DialogBody, PermissionsBody, dialog_body
from voxcube.server.rest.bodies import IdsBody, OutcomeBody, UserBody, user_body
from voxcube.server.rest.filters import refuse_unknown
from voxcube.server.rest.paging import Paged, listing
from voxcube.server.rest.route import Call, Caller, Nothing, Route


class AdminsBody(msgspec.Struct):
    admins_ids: list[int] = []


class ListsBody(AdminsBody):
    occupants_ids: list[int] = []
    pinned_messages_ids: list[str] = []


class UpdateDialog(msgspec.Struct):
    """What is given is changed. ``null`` or an empty text clears description and photo, ``null`` resets the others."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    photo: str | UnsetType | None = UNSET
    extensions: dict[str, Any] | UnsetType | None = UNSET
    permissions: PermissionsBody | UnsetType | None = UNSET
    data: dict[str, Any] | UnsetType | None = UNSET
    push_all: ListsBody = msgspec.field(default_factory=ListsBody)
    pull_all: ListsBody = msgspec.field(default_factory=ListsBody)


class UpdateAdmins(msgspec.Struct):
    push_all: AdminsBody = msgspec.field(default_factory=AdminsBody)
    pull_all: AdminsBody = msgspec.field(default_factory=AdminsBody)


class Force(msgspec.Struct):
    """``force=1``: for everyone."""

    force: bool = False


class Notifications(msgspec.Struct):
    enabled: bool


class Switch(msgspec.Struct):
    enabled: int  # not a flag: Flutter compares it with 1 (rest §6.7)


class NotificationsAnswer(msgspec.Struct):
    notifications: Switch


class OccupantsPage(msgspec.Struct):
    """In the order of their ids."""

    limit: int | None = None
    skip: int | None = None


class OccupantBody(UserBody, kw_only=True):
    """A user twice: JS reads the fields, Flutter the object (rest §6.9)."""

    user: UserBody


class OccupantsAnswer(msgspec.Struct):
    total_entries: int
    skip: int
    limit: int
    items: list[OccupantBody]


def routes(changes: DialogChanges, endings: DialogEndings, people: DialogPeople, domain: str) -> list[Route]:
    """The routes that change dialogs; ``domain`` is that of the chat."""

    async def update(call: Call[UpdateDialog]) -> DialogBody:
        change = change_of(call.params)
        return dialog_body(await changes.update(call.app_id, call.user_id, call.object_id("id"), change), domain)

    async def admins(call: Call[UpdateAdmins]) -> DialogBody:
        change = Change(push=_lists(call.params.push_all), pull=_lists(call.params.pull_all))
        return dialog_body(await changes.update(call.app_id, call.user_id, call.object_id("id"), change), domain)

    async def delete(call: Call[Force]) -> OutcomeBody:
        ids = [part for part in (part.strip() for part in str(call.path["id"]).split(",")) if part]
        force = call.params.force
        if len(ids) == 1:
            await endings.delete(call.app_id, call.user_id, ids[0], force=force)
            return OutcomeBody(IdsBody(ids), IdsBody([]), IdsBody([]))
        outcome = await endings.delete_many(call.app_id, call.user_id, ids, force=force)
        return OutcomeBody(IdsBody(outcome.deleted), IdsBody(outcome.not_found), IdsBody(outcome.forbidden))

    async def clear(call: Call[Force]) -> Nothing:
        await endings.clear(call.app_id, call.user_id, call.object_id("id"), force=call.params.force)
        return Nothing()

    async def subscribe(call: Call[Nothing]) -> DialogBody:
        return dialog_body(await changes.subscribe(call.app_id, call.user_id, call.object_id("id")), domain)

    async def unsubscribe(call: Call[Nothing]) -> Nothing:
        await changes.unsubscribe(call.app_id, call.user_id, call.object_id("id"))
        return Nothing()

    async def occupants(call: Call[OccupantsPage]) -> OccupantsAnswer:
        refuse_unknown(call.tree, OccupantsPage)
        asked = listing(Paged(limit=call.params.limit, skip=call.params.skip), [], sortable=())
        total, users = await people.page(
            Viewer.of(call.session), call.object_id("id"), limit=asked.limit, skip=asked.skip
        )
        bodies = [user_body(user) for user in users]
        items = [OccupantBody(**msgspec.structs.asdict(body), user=body) for body in bodies]
        return OccupantsAnswer(total, asked.skip, asked.limit, items)

    async def notifications(call: Call[Nothing]) -> NotificationsAnswer:
        muted = await people.is_muted(call.app_id, call.user_id, call.object_id("id"))
        return NotificationsAnswer(Switch(int(not muted)))

    async def notify(call: Call[Notifications]) -> NotificationsAnswer:
        enabled = call.params.enabled
        await changes.mute(call.app_id, call.user_id, call.object_id("id"), muted=not enabled)
        return NotificationsAnswer(Switch(int(enabled)))

    def route(method: str, path: str, handler: Any, summary: str, **more: Any) -> Route:
        return Route(
            method=method, path=f"/chat/Dialog/{path}", handler=handler, caller=Caller.USER, summary=summary, **more
        )

    return [
        route("PUT", "{id}", update, "Change a dialog, all or nothing", request=UpdateDialog, response=DialogBody),
        route(
            *("DELETE", "{id}", delete, "Delete dialogs (a comma list) for oneself, or with force=1 for everyone"),
            request=Force,
            response=OutcomeBody,
        ),
        route(
            *("DELETE", "clearHistory/{id}", clear, "Delete all messages for oneself, or with force=1 for everyone"),
            request=Force,
        ),
        route("PUT", "{id}/admins", admins, "Add and remove admins", request=UpdateAdmins, response=DialogBody),
        route("POST", "{id}/subscribe", subscribe, "Join a public dialog", response=DialogBody),
        route("DELETE", "{id}/subscribe", unsubscribe, "Leave a public dialog"),
        route(
            "GET", "{id}/occupants", occupants, "Who is in the dialog", request=OccupantsPage, response=OccupantsAnswer
        ),
        route(
            *("GET", "{id}/notifications", notifications, "Whether the caller is notified of messages"),
            response=NotificationsAnswer,
        ),
        route(
            *("PUT", "{id}/notifications", notify, "Switch the caller's notifications"),
            request=Notifications,
            response=NotificationsAnswer,
        ),
    ]


def change_of(given: UpdateDialog) -> Change:
    """What a request asks for."""
    fields: dict[str, Any] = {}
    for name in ("name", "description", "photo", "extensions", "data"):
        value = getattr(given, name)
        if value is not UNSET:
            fields[name] = value
    if given.permissions is not UNSET:
        asked = given.permissions
        fields["permissions"] = None if asked is None else {"allow_preview": asked.allow_preview}
    return Change(fields=fields, push=_lists(given.push_all), pull=_lists(given.pull_all))


def _lists(given: AdminsBody) -> Lists:
    admins = _users(given.admins_ids)
    if not isinstance(given, ListsBody):
        return Lists(admins=admins)
    return Lists(occupants=_users(given.occupants_ids), admins=admins, pins=tuple(given.pinned_messages_ids))


def _users(ids: list[int]) -> frozenset[int]:
    """Those that can be somebody's id."""
    return frozenset(id_ for id_ in ids if 0 < id_ <= MAX_INTEGER_ID)
