"""``cube.dialogs``: private chats, groups and public chats."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Unpack

from voxcube.client import paging, query
from voxcube.client.dialog_changes import DialogChanges
from voxcube.client.errors import NotFound
from voxcube.client.filters import DialogFilters
from voxcube.client.ids import object_id, user_ids
from voxcube.client.models import CustomData, Dialog, DialogType, Page, User


class Dialogs(DialogChanges):
    """Creates dialogs, lists those of the session's user, and changes them."""

    async def create(
        self,
        type: DialogType,  # noqa: A002
        *,
        name: str | None = None,
        occupants_ids: int | Iterable[int] = (),
        admins_ids: int | Iterable[int] = (),
        description: str | None = None,
        photo: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        custom_data: CustomData | None = None,
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
            extensions: the application's own fields as configured on the server, others are dropped; values become
                texts.
            custom_data: data of the application's own, whose values keep their types.
            permissions: ``{"allow_preview": True}`` lets non-members see the last messages.

        Returns:
            The dialog as the session's user sees it. A second private dialog of the same two is the first one.

        Raises:
            ValidationFailed: a refused value, e.g. an unknown opponent.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: a group or public dialog without name, or a private one of more or less than two.

        Source: ConnectyCube REST API, "Create dialog".

        Example:
            >>> dialog = await cube.dialogs.create(DialogType.GROUP, name="Lunch", occupants_ids=[88, 99])
        """
        occupants, admins = user_ids(occupants_ids, "occupants_ids"), user_ids(admins_ids, "admins_ids")
        if type == DialogType.PRIVATE:
            if len(occupants) != 1:
                raise ValueError("a private dialog is with exactly one other user")
        elif not name:
            raise ValueError("give the dialog a name")
        optional = {
            "name": name,
            "description": description,
            "photo": photo,
            "occupants_ids": occupants or None,
            "admins_ids": admins or None,
            "extensions": dict(extensions) if extensions is not None else None,
            "data": custom_data.to_json() if custom_data is not None else None,
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
        occupants_ids: int | Iterable[int],
        *,
        admins_ids: int | Iterable[int] = (),
        description: str | None = None,
        photo: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        custom_data: CustomData | None = None,
        permissions: Mapping[str, bool] | None = None,
    ) -> Dialog:
        """Creates a group of the session's user and ``occupants_ids``; arguments and errors as ``create``.

        Source: ConnectyCube REST API, "Create dialog", type 2.

        Example:
            >>> dialog = await cube.dialogs.create_group("Lunch", [88, 99], description="Daily at noon")
            >>> await cube.dialogs.create_group("Bar", [88], extensions={"location": "Sun bar"})
        """
        return await self.create(
            DialogType.GROUP,
            name=name,
            occupants_ids=occupants_ids,
            admins_ids=admins_ids,
            description=description,
            photo=photo,
            extensions=extensions,
            custom_data=custom_data,
            permissions=permissions,
        )

    async def create_public(
        self,
        name: str,
        *,
        description: str | None = None,
        photo: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        custom_data: CustomData | None = None,
        permissions: Mapping[str, bool] | None = None,
    ) -> Dialog:
        """Creates a public chat, which any user may subscribe to; arguments and errors as ``create``.

        Source: ConnectyCube REST API, "Create dialog", type 4.

        Example:
            >>> dialog = await cube.dialogs.create_public("Town square", permissions={"allow_preview": True})
        """
        return await self.create(
            DialogType.PUBLIC,
            name=name,
            description=description,
            photo=photo,
            extensions=extensions,
            custom_data=custom_data,
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
        **filters: Unpack[DialogFilters],
    ) -> Page[Dialog]:
        """Fetches the dialogs of the session's user, the most recently active first unless sorted otherwise.

        Args:
            limit: the most dialogs to return, at most 100.
            skip: how many to pass over.
            sort: ``last_message_date_sent``, ``created_at``, ``updated_at``, ``name`` or ``_id``, descending with a
                leading ``-``.
            extensions: only dialogs whose extensions have these values.
            params: further query parameters under exactly these names.
            filters: ``field=value`` or ``field__operator=value``, see ``DialogFilters``: ``id``, ``type``, ``name``,
                ``user_id``, ``occupants_ids``, ``last_message_date_sent``, ``created_at`` and ``updated_at`` with the
                operators lt, lte, gt, gte, ne, in, nin, all, or, ctn, start_with; times as datetimes or unix seconds.

        Returns:
            A page of dialogs; ``total`` counts all that fit.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            ApiError: the server refused a filter.
            TransportError: the network failed.
            ValueError: an unknown filter, operator or sort, a limit above 100, or an empty list.

        Source: ConnectyCube REST API, "Retrieve dialogs".

        Example:
            >>> page = await cube.dialogs.list(type__in=[2, 3], updated_at__gt=last_seen)
            >>> page.total
            12
        """
        pairs = query.page(limit, skip, sort, sorts=_SORTS)
        pairs += _wanted(extensions, params, filters, pairs)
        reply = await self._http.request("GET", "chat/Dialog", params=pairs)
        return reply.read(lambda data: Page.from_json(data, self._dialog))

    def iterate(
        self,
        *,
        extensions: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **filters: Unpack[DialogFilters],
    ) -> AsyncIterator[Dialog]:
        """All dialogs of the session's user that fit, each once, the newest created first.

        It goes by the ids, which never change: nothing is missed or doubled while messages and edits move dialogs to
        the top of ``list()``. Dialogs created meanwhile are not among them.

        Args:
            extensions: as in ``list``.
            params: as in ``list``.
            filters: as in ``list``.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            ApiError: the server refused a filter.
            TransportError: the network failed.
            ValueError: an unknown filter, operator or sort, a limit above 100, or an empty list.

        Source: ConnectyCube REST API, "Retrieve dialogs" with ``_id[lt]``.

        Example:
            >>> async for dialog in cube.dialogs.iterate(type=2):
            ...     print(dialog.name)
        """
        before = filters.pop("id__lt", None)
        wanted = _wanted(extensions, params, filters, query.page(_MOST, 0, "-_id", sorts=_SORTS))

        async def fetch(before: str | None) -> Page[Dialog]:
            below = [] if before is None else query.filters({"id__lt": before}, id_name="_id")
            pairs = query.page(_MOST, 0, "-_id", sorts=_SORTS) + wanted + below
            reply = await self._http.request("GET", "chat/Dialog", params=pairs)
            return reply.read(lambda data: Page.from_json(data, self._dialog))

        return paging.dialogs(fetch, before)

    async def count(
        self,
        *,
        extensions: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **filters: Unpack[DialogFilters],
    ) -> int:
        """Counts the dialogs of the session's user that fit; arguments and errors as ``list``.

        Source: Flutter SDK ``getDialogsCount``.

        Example:
            >>> await cube.dialogs.count(type__in=[2, 3])
            12
        """
        pairs = [("count", "1"), *_wanted(extensions, params, filters)]
        reply = await self._http.request("GET", "chat/Dialog", params=pairs)
        return reply.read(lambda data: int(data["items"]["count"]))

    async def get(self, dialog_id: str) -> Dialog:
        """Fetches one dialog of the session's user.

        Raises:
            NotFound: there is none with this id, or this user is not in it.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: an unfit id.

        Source: ConnectyCube REST API, "Retrieve dialogs" filtered by ``_id``.

        Example:
            >>> dialog = await cube.dialogs.get("64c0ffee64c0ffee64c0ffee")
        """
        for dialog in await self.list(id=object_id(dialog_id, "dialog_id"), limit=1):
            if dialog.id == dialog_id:
                return dialog
        raise NotFound(404, {"base": [f"there is no dialog {dialog_id}"]})

    async def occupants(self, dialog_id: str, *, limit: int = 100, skip: int = 0) -> Page[User]:
        """Fetches the members of a group or private dialog, or the subscribers of a public one.

        Args:
            dialog_id: the dialog.
            limit: the most users to return, at most 100.
            skip: how many to pass over.

        Returns:
            A page of users; ``total`` counts all members.

        Raises:
            Forbidden: this user is not a member.
            NotFound: there is no such dialog.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: an unfit id.

        Source: ConnectyCube REST API, "Retrieve dialog occupants".

        Example:
            >>> page = await cube.dialogs.occupants(dialog.id, limit=20)
            >>> [user.full_name for user in page], page.total
            (['Ann Lee', 'Bob Ray'], 2)
        """
        path = f"chat/Dialog/{object_id(dialog_id, 'dialog_id')}/occupants"
        reply = await self._http.request("GET", path, params=query.page(limit, skip, None))
        # Servers say it as a bare user, as {"user": …}, or as both in one (rest §6.9).
        return reply.read(lambda data: Page.from_json(data, lambda item: User.from_json(item.get("user") or item)))


# The server gives at most so many at once.
_MOST = 100
_SORTS = ("last_message_date_sent", "created_at", "updated_at", "name", "_id")


def _wanted(
    extensions: Mapping[str, Any] | None,
    params: Mapping[str, Any] | None,
    filters: DialogFilters,
    taken: query.Params | None = None,
) -> query.Params:
    fields = {f"extensions[{key}]": value for key, value in (extensions or {}).items()}
    pairs = query.filters(filters, DialogFilters, id_name="_id") + query.raw(fields)
    return pairs + query.raw(params, pairs + (taken or []))
