"""The part of ``cube.dialogs`` that changes, leaves and deletes dialogs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from voxcube.client import query
from voxcube.client.errors import Forbidden, NotFound
from voxcube.client.http import Http
from voxcube.client.ids import in_parts, object_id, object_ids, user_ids
from voxcube.client.models import CustomData, DeleteResult, Dialog
from voxcube.client.values import Clear, changed


class DialogChanges:
    """Who may do what depends on the type of dialog and the role in it; the server refuses with ``Forbidden``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def update(
        self,
        dialog_id: str,
        *,
        name: str | None = None,
        description: str | Clear | None = None,
        photo: str | Clear | None = None,
        extensions: Mapping[str, Any] | Clear | None = None,
        custom_data: CustomData | Clear | None = None,
        permissions: Mapping[str, bool] | Clear | None = None,
        add_occupants: int | Iterable[int] = (),
        remove_occupants: int | Iterable[int] = (),
        add_admins: int | Iterable[int] = (),
        remove_admins: int | Iterable[int] = (),
        pin: str | Iterable[str] = (),
        unpin: str | Iterable[str] = (),
    ) -> Dialog:
        """Changes a dialog: all of it, or nothing when a part is refused. What is not given stays; ``CLEAR`` empties.

        Adding who or what is there already, and removing who or what is not, does nothing.

        Args:
            dialog_id: the dialog.
            name: the new name.
            description: free text.
            photo: an URL or the uid of a stored file.
            extensions: the application's own fields in place of the old ones; values become texts.
            custom_data: fields to set in the dialog's custom data; its other fields stay.
            permissions: ``{"allow_preview": True}`` lets non-members see the last messages.
            add_occupants: users to bring into a group, who may become administrators at once.
            remove_occupants: users to remove; they lose access immediately, and their rights as administrators.
            add_admins: members who get the rights of an administrator, at most 5 in all. Only for the owner.
            remove_admins: administrators who lose them.
            pin: ids of messages of this dialog to pin.
            unpin: ids of messages to unpin.

        Returns:
            The dialog as it is now.

        Raises:
            Forbidden: this user may not change one of these.
            NotFound: there is no such dialog, or this user is not in it.
            ValidationFailed: a refused value; ``errors`` names the field.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: nothing to change, an unfit id, or somebody both added and removed.

        Source: ConnectyCube REST API, "Update dialog".

        Example:
            >>> dialog = await cube.dialogs.update(dialog.id, name="Dinner", photo=CLEAR, add_occupants=[99])
            >>> await cube.dialogs.update(dialog.id, pin=message.id, custom_data=CustomData("Table", {"seats": 4}))
        """
        path = _path(dialog_id)
        fields = {
            "name": name,
            "description": description,
            "photo": photo,
            "extensions": dict(extensions) if isinstance(extensions, Mapping) else extensions,
            "data": custom_data.to_json() if isinstance(custom_data, CustomData) else custom_data,
            "permissions": dict(permissions) if isinstance(permissions, Mapping) else permissions,
        }
        body = changed(fields) | _lists(
            occupants_ids=(user_ids(add_occupants, "add_occupants"), user_ids(remove_occupants, "remove_occupants")),
            admins_ids=(user_ids(add_admins, "add_admins"), user_ids(remove_admins, "remove_admins")),
            pinned_messages_ids=(_messages(pin, "pin"), _messages(unpin, "unpin")),
        )
        if not body:
            raise ValueError("give what to change")
        reply = await self._http.request("PUT", path, json=body)
        return reply.read(self._dialog)

    async def update_admins(
        self, dialog_id: str, add: int | Iterable[int] = (), remove: int | Iterable[int] = ()
    ) -> Dialog:
        """Makes members administrators, and administrators ordinary members. Only for the owner.

        Args:
            dialog_id: the dialog; private ones have no administrators.
            add: members who get the rights, at most 5 in all.
            remove: administrators who lose them.

        Returns:
            The dialog as it is now.

        Raises:
            Forbidden: this user is not the owner.
            NotFound: there is no such dialog, or this user is not in it.
            ValidationFailed: too many, or somebody who is not a member.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: nobody to add or remove, or somebody both added and removed.

        Source: ConnectyCube REST API, "Add / Remove admins".

        Example:
            >>> dialog = await cube.dialogs.update_admins(dialog.id, add=[88], remove=[99])
            >>> dialog.admins_ids
            (88,)
        """
        path = _path(dialog_id, "/admins")
        body = _lists(admins_ids=(user_ids(add, "add"), user_ids(remove, "remove")))
        if not body:
            raise ValueError("give whom to add or remove")
        reply = await self._http.request("PUT", path, json=body)
        return reply.read(self._dialog)

    async def delete(self, dialog_id: str, force: bool = False) -> None:
        """Deletes a dialog for this user, or for everyone.

        For this user: a group is left (the owner's place goes to the first administrator, else to the oldest member),
        a public dialog unsubscribed from, a broadcast hidden. A private dialog is hidden with all that was said in it,
        and comes back with the next message.

        Args:
            dialog_id: the dialog.
            force: for everyone, with all messages. Only for the owner.

        Raises:
            Forbidden: this user may not delete it for everyone.
            NotFound: there is no such dialog, or this user is not in it.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: an unfit id.

        Source: ConnectyCube REST API, "Delete dialog".

        Example:
            >>> await cube.dialogs.delete(dialog.id)
        """
        await self._http.request("DELETE", _path(dialog_id), params=query.forced(force))

    async def delete_many(self, dialog_ids: Iterable[str], force: bool = False) -> DeleteResult:
        """Deletes several dialogs, each as ``delete`` does. More than 100 take several requests.

        Args:
            dialog_ids: the dialogs.
            force: for everyone; see ``delete``.

        Returns:
            Which were deleted, which are not there, and which this user may not delete.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: no ids, or an unfit one.

        Source: ConnectyCube REST API, "Delete dialog".

        Example:
            >>> result = await cube.dialogs.delete_many([first.id, second.id], force=True)
            >>> result.wrong_permissions
            ('64c0ffee64c0ffee64c0ffee',)
        """
        ids = object_ids(dialog_ids, "dialog_ids")
        return DeleteResult.joined([await self._delete(part, force) for part in in_parts(ids)])

    async def clear_history(self, dialog_id: str, force: bool = False) -> None:
        """Deletes all messages of a dialog for this user, or for everyone; the dialog stays.

        Args:
            dialog_id: the dialog.
            force: for everyone. Only for the owner.

        Raises:
            Forbidden: this user may not clear it for everyone.
            NotFound: there is no such dialog, or this user is not in it.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: an unfit id.

        Source: ConnectyCube REST API, "Clear dialog history".

        Example:
            >>> await cube.dialogs.clear_history(dialog.id)
        """
        path = f"chat/Dialog/clearHistory/{object_id(dialog_id, 'dialog_id')}"
        await self._http.request("DELETE", path, params=query.forced(force))

    async def subscribe(self, dialog_id: str) -> Dialog:
        """Subscribes this user to a public dialog; doing it again changes nothing. A hidden broadcast is shown again.

        Returns:
            The dialog.

        Raises:
            NotFound: there is no such dialog.
            Forbidden: it is a group, and the application does not let users walk in.
            ValidationFailed: it is private.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: an unfit id.

        Source: ConnectyCube REST API, "Subscribe to public dialog".

        Example:
            >>> dialog = await cube.dialogs.subscribe("64c0ffee64c0ffee64c0ffee")
            >>> await cube.chat.send(dialog, "Good morning, all")
        """
        reply = await self._http.request("POST", _path(dialog_id, "/subscribe"))
        return reply.read(self._dialog)

    async def unsubscribe(self, dialog_id: str) -> None:
        """Ends the subscription of a public dialog; errors as ``subscribe``.

        Source: ConnectyCube REST API, "Unsubscribe from public dialog".

        Example:
            >>> await cube.dialogs.unsubscribe(dialog.id)
        """
        await self._http.request("DELETE", _path(dialog_id, "/subscribe"))

    async def set_notifications(self, dialog_id: str, enabled: bool) -> bool:
        """Switches push alerts for a dialog on or off, for this user.

        Returns:
            Whether they are on now.

        Raises:
            NotFound: there is no such dialog, or this user is not in it.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: an unfit id.

        Source: ConnectyCube REST API, "Update notifications settings".

        Example:
            >>> await cube.dialogs.set_notifications(dialog.id, False)
            False
        """
        body = {"enabled": 1 if enabled else 0}
        reply = await self._http.request("PUT", _path(dialog_id, "/notifications"), json=body)
        return reply.read(_enabled)

    async def get_notifications(self, dialog_id: str) -> bool:
        """Whether push alerts for a dialog are on, as they are by default; errors as ``set_notifications``.

        Source: ConnectyCube REST API, "Get notifications settings".

        Example:
            >>> await cube.dialogs.get_notifications(dialog.id)
            True
        """
        reply = await self._http.request("GET", _path(dialog_id, "/notifications"))
        return reply.read(_enabled)

    async def _delete(self, ids: str, force: bool) -> DeleteResult:
        try:
            reply = await self._http.request("DELETE", f"chat/Dialog/{ids}", params=query.forced(force))
        except (NotFound, Forbidden) as error:
            if "," in ids or not self._http.user_id:
                raise
            # The server's answer about one dialog alone (rest §6.4).
            missing = isinstance(error, NotFound)
            return DeleteResult(not_found=(ids,)) if missing else DeleteResult(wrong_permissions=(ids,))
        return reply.read(DeleteResult.from_json)

    def _dialog(self, data: dict[str, Any]) -> Dialog:
        return Dialog.from_json(data, self._http.user_id)


def _path(dialog_id: str, rest: str = "") -> str:
    return f"chat/Dialog/{object_id(dialog_id, 'dialog_id')}{rest}"


def _messages(given: str | Iterable[str], name: str) -> list[str]:
    return object_ids(given, name) if given else []


def _lists(**lists: tuple[list[Any], list[Any]]) -> dict[str, dict[str, list[Any]]]:
    """``push_all`` and ``pull_all`` of what is added to and removed from each list (rest §6.3)."""
    for name, (add, remove) in lists.items():
        both = set(add) & set(remove)
        if both:
            raise ValueError(f"{name}: {', '.join(map(str, sorted(both)))} cannot be both added and removed")
    body = {
        "push_all": {name: add for name, (add, _) in lists.items() if add},
        "pull_all": {name: remove for name, (_, remove) in lists.items() if remove},
    }
    return {name: changes for name, changes in body.items() if changes}


def _enabled(data: dict[str, Any]) -> bool:
    return bool(int(data["notifications"]["enabled"]))
