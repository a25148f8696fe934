"""The part of ``cube.chat`` that edits and deletes messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voxcube.client import wire
from voxcube.client.ids import object_id
from voxcube.client.models import Dialog, Message
from voxcube.client.outbox import Outbox
from voxcube.client.wire import Target
from voxcube.xmpp.payloads import changes


class MessageChanges:
    """Both return when the server has made the change, as ``send()`` does when it has the message."""

    _outbox: Outbox

    async def edit(
        self,
        message: Message | str,
        dialog: Dialog | None = None,
        new_body: str | None = None,
        *,
        to_user: int | None = None,
        dialog_id: str | None = None,
        last: bool = False,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Gives a message of this user a new text, here and at everybody who has it.

        ``message`` itself stays as it is; the others, and the other devices of this user, hear of it by ``edited()``.

        Args:
            message: the message, or its id.
            dialog: where it is; or give ``to_user`` or ``dialog_id`` as in ``send``. A ``Message`` knows it itself.
            new_body: the new text.
            to_user: the user of a private chat.
            dialog_id: a dialog that is not private.
            last: tells the others that it is the dialog's last message; the server finds that out by itself.
            properties: parameters of the application to set along with the text, as in ``send``.

        Raises:
            StanzaError: the server refused it, code 403 when somebody else wrote the message.
            MessageLost: the connection ended before it was confirmed; editing again is safe.
            ChatTimeout: it was not confirmed in time (60 seconds by default).
            NotConnected: there is no connection; nothing was sent.
            ValueError: no text, no dialog or more than one, an unfit id, characters that XML forbids, or more than
                256 KiB with everything, as in ``send``; nothing was sent.

        Source: XEP-0308, Flutter SDK ``CubeDialog.editMessage``.

        Example:
            >>> message = await cube.chat.send(dialog, "Lunhc?")
            >>> await cube.chat.edit(message, dialog, "Lunch?", last=True)
        """
        if new_body is None:
            raise ValueError("give the new text as new_body")
        message_id = _id(message)
        target = self._where(message, dialog, to_user, dialog_id)
        texts, _ = wire.with_silent(properties, False)  # an edit is without an alert anyway
        await self._outbox.change(changes.Edit(message_id, last), target, body=new_body, properties=texts)

    async def delete(
        self,
        message: Message | str,
        dialog: Dialog | None = None,
        *,
        to_user: int | None = None,
        dialog_id: str | None = None,
    ) -> None:
        """Deletes a message for everybody; ``cube.messages.delete`` can delete it for this user alone.

        The others, and the other devices of this user, hear of it by ``deleted()``.

        Args:
            message: the message, or its id. In groups, administrators may delete those of others too.
            dialog: where it is; or give ``to_user`` or ``dialog_id`` as in ``send``. A ``Message`` knows it itself.
            to_user: the user of a private chat.
            dialog_id: a dialog that is not private.

        Raises:
            StanzaError: the server refused it, code 403 when this user may not delete the message.
            MessageLost: the connection ended before it was confirmed; deleting again is safe.
            ChatTimeout: it was not confirmed in time (60 seconds by default).
            NotConnected: there is no connection; nothing was sent.
            ValueError: no dialog or more than one, or an unfit id.

        Source: Flutter SDK ``CubeDialog.deleteMessage``.

        Example:
            >>> await cube.chat.delete(message, dialog)
        """
        message_id = _id(message)
        target = self._where(message, dialog, to_user, dialog_id)
        await self._outbox.change(changes.Delete(message_id), target)

    def _where(
        self, message: Message | str, dialog: Dialog | None, to_user: int | None, dialog_id: str | None
    ) -> Target:
        if isinstance(message, str):
            return self._outbox.target(dialog, to_user, dialog_id)
        if (dialog, to_user, dialog_id) == (None, None, None):
            return self._outbox.target_of(message)
        target = self._outbox.target(dialog, to_user, dialog_id)
        if None not in (target.dialog_id, message.dialog_id) and target.dialog_id != message.dialog_id:
            raise ValueError(f"message {message.id} is in dialog {message.dialog_id}")
        return target


def _id(message: Message | str) -> str:
    return object_id(message.id if isinstance(message, Message) else message, "the message's id")
