"""``cube.dialogs``: private chats, groups and public chats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from voxcube.client import query
from voxcube.client.errors import NotFound
from voxcube.client.http import Http
from voxcube.client.models import Dialog, DialogType, Page


class Dialogs:
    """Creates dialogs and lists those of the session's user."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(
        self,
        type: DialogType,  # noqa: A002
        *,
        name: str | None = None,
        occupants_ids: Iterable[int] = (),
        admins_ids: Iterable[int] = (),
        description: str | None = None,
        photo: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        permissions: Mapping[str, bool] | None = None,
    ) -> Dialog:
        """Creates a dialog of any type; the shorter forms below read better.

        Args:
            type: ``DialogType.PRIVATE``, ``GROUP`` or ``PUBLIC``. Only an administrator creates broadcasts.
            name: needed unless private.
            occupants_ids: the other members, for private dialogs and groups.
            admins_ids: members with the rights of an administrator, at most 5.
            description: free text.
            photo: an URL or the uid of a stored file.
            extensions: the application's own fields as configured on the server; values become texts.
            permissions: ``{"allow_preview": True}`` lets non-members see the last messages.

        Returns:
            The dialog as the session's user sees it. A second private dialog of the same two is the first one.

        Raises:
            ValidationFailed: a refused value, e.g. an unknown opponent.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Create dialog".

        Example:
            >>> dialog = await cube.dialogs.create(DialogType.GROUP, name="Lunch", occupants_ids=[88, 99])
        """
        optional = {
            "name": name,
            "description": description,
            "photo": photo,
            "occupants_ids": [int(user) for user in occupants_ids] or None,
            "admins_ids": [int(user) for user in admins_ids] or None,
            "extensions": dict(extensions) if extensions is not None else None,
            "permissions": dict(permissions) if permissions is not None else None,
        }
        body = {"type": int(type)} | {key: value for key, value in optional.items() if value is not None}
        reply = await self._http.request("POST", "chat/Dialog", json=body)
        return reply.read(self._dialog)

    async def create_private(self, user_id: int) -> Dialog:
        """Creates the private dialog with a user, or returns the one there is.

        Raises:
            ValidationFailed: there is no such user, or it is oneself.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Create dialog", type 3.

        Example:
            >>> dialog = await cube.dialogs.create_private(88)
            >>> await cube.chat.send(dialog, "Lunch?")
        """
        return await self.create(DialogType.PRIVATE, occupants_ids=[user_id])

    async def create_group(
        self,
        name: str,
        occupants_ids: Iterable[int],
        *,
        admins_ids: Iterable[int] = (),
        description: str | None = None,
        photo: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        permissions: Mapping[str, bool] | None = None,
    ) -> Dialog:
        """Creates a group of the session's user and ``occupants_ids``; arguments and errors as ``create``.

        Source: ConnectyCube REST API, "Create dialog", type 2.

        Example:
            >>> dialog = await cube.dialogs.create_group("Lunch", [88, 99], description="Daily at noon")
        """
        return await self.create(
            DialogType.GROUP,
            name=name,
            occupants_ids=occupants_ids,
            admins_ids=admins_ids,
            description=description,
            photo=photo,
            extensions=extensions,
            permissions=permissions,
        )

    async def create_public(
        self,
        name: str,
        *,
        description: str | None = None,
        photo: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        permissions: Mapping[str, bool] | None = None,
    ) -> Dialog:
        """Creates a public chat, which any user may subscribe to; arguments and errors as ``create``.

        Source: ConnectyCube REST API, "Create dialog", type 4.

        Example:
            >>> dialog = await cube.dialogs.create_public("Town square")
        """
        return await self.create(
            DialogType.PUBLIC,
            name=name,
            description=description,
            photo=photo,
            extensions=extensions,
            permissions=permissions,
        )

    async def list(
        self,
        *,
        limit: int = 100,
        skip: int = 0,
        sort: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **filters: Any,
    ) -> Page[Dialog]:
        """Fetches the dialogs of the session's user, the most recently active first unless sorted otherwise.

        Args:
            limit: the most dialogs to return, at most 100.
            skip: how many to pass over.
            sort: ``last_message_date_sent``, ``created_at``, ``updated_at``, ``name`` or ``_id``, descending with a
                leading ``-``.
            extensions: only dialogs whose extensions have these values.
            params: further query parameters under exactly these names.
            filters: ``field=value`` or ``field__operator=value`` with the operators lt, lte, gt, gte, ne, in, nin,
                all, or, ctn, start_with; times as datetimes or unix seconds.

        Returns:
            A page of dialogs; ``total`` counts all that fit.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            ApiError: the server refused a filter.
            TransportError: the network failed.
            ValueError: an unknown operator, or an empty list.

        Source: ConnectyCube REST API, "Retrieve dialogs".

        Example:
            >>> page = await cube.dialogs.list(type__in=[2, 3], updated_at__gt=last_seen)
            >>> page.total
            12
        """
        pairs = query.page(limit, skip, sort) + query.filters(filters, id_name="_id")
        pairs += query.raw({f"extensions[{key}]": value for key, value in (extensions or {}).items()})
        reply = await self._http.request("GET", "chat/Dialog", params=pairs + query.raw(params))
        return reply.read(lambda data: Page.from_json(data, self._dialog))

    async def get(self, dialog_id: str) -> Dialog:
        """Fetches one dialog of the session's user.

        Raises:
            NotFound: there is none with this id, or this user is not in it.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.

        Source: ConnectyCube REST API, "Retrieve dialogs" filtered by ``_id``.

        Example:
            >>> dialog = await cube.dialogs.get("64c0ffee64c0ffee64c0ffee")
        """
        for dialog in await self.list(id=dialog_id, limit=1):
            if dialog.id == dialog_id:
                return dialog
        raise NotFound(404, {"base": [f"there is no dialog {dialog_id}"]})

    def _dialog(self, data: dict[str, Any]) -> Dialog:
        return Dialog.from_json(data, self._http.user_id)
