"""The part of ``cube.messages`` that stores messages and changes stored ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from voxcube.client import query, wire
from voxcube.client.http import Http
from voxcube.client.ids import in_parts, object_id, object_ids, user_ids
from voxcube.client.models import Attachment, DeleteResult, Message


class HistoryChanges:
    """What others have to know of is told them over the chat as well."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._chat: Any = None  # over which messages are answered

    def _answer_over(self, chat: Any) -> None:
        self._chat = chat

    def _made(self, message: Message) -> Message:
        return message.of_chat(self._chat)

    async def create(
        self,
        *,
        dialog_id: str | None = None,
        recipient_id: int | None = None,
        body: str | None = None,
        attachments: Iterable[Attachment] = (),
        properties: Mapping[str, Any] | None = None,
        markable: bool = True,
        silent: bool = False,
        send_to_chat: bool = False,
        id: str | None = None,  # noqa: A002
    ) -> Message:
        """Stores a message without a chat connection.

        Args:
            dialog_id: the dialog; or give ``recipient_id``.
            recipient_id: the user to write to privately; the server finds or creates the dialog.
            body: the text; may be left out with attachments or properties.
            attachments: files and places.
            properties: the application's own parameters, as in ``chat.send``.
            markable: ask to be told when it is delivered.
            silent: without a push alert.
            send_to_chat: also deliver it over the chat, as ``chat.send`` would. Without, others find it in the history.
            id: what ``new_message_id()`` gave; with it the call can be made again when the network failed, and the
                message is stored once.

        Returns:
            The stored message.

        Raises:
            Forbidden: this user may not write there.
            NotFound: there is no such dialog.
            ValidationFailed: a refused value, e.g. an unknown recipient.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: not exactly one destination, nothing to store, or an unfit id.

        Source: ConnectyCube REST API, "Create message".

        Example:
            >>> message = await cube.messages.create(dialog_id=dialog.id, body="Lunch?", send_to_chat=True)
        """
        if (dialog_id is None) == (recipient_id is None):
            raise ValueError("give either dialog_id or recipient_id")
        given: dict[str, Any]
        given, silent = wire.with_silent(properties, silent)
        where: dict[str, Any]
        if dialog_id is not None:
            where = {"chat_dialog_id": object_id(dialog_id, "dialog_id")}
        else:
            where = {"recipient_id": user_ids(int(recipient_id or 0), "recipient_id")[0]}
        files = [wire.attributes(attachment) for attachment in attachments]
        if body is None and not files and not given:
            raise ValueError("give a body, attachments or properties")
        if body is not None:
            given["message"] = body
        if files:
            given["attachments"] = files
        if id is not None:
            given["_id"] = object_id(id, "id")
        flags = {"markable": int(markable), "silent": int(silent), "send_to_chat": int(send_to_chat)}
        reply = await self._http.request("POST", "chat/Message", json=given | where | flags)
        return reply.read(lambda data: self._made(Message.from_json(data, self._http.user_id)))

    async def update(
        self,
        dialog_id: str,
        ids: str | Iterable[str],
        *,
        body: str | None = None,
        read: bool = False,
        delivered: bool = False,
    ) -> None:
        """Gives messages a new text, or marks them as read or delivered. More than 100 take several requests.

        The others hear of it: of a new text by ``chat.edited()``, the senders of what was read by ``chat.read()``.

        Args:
            dialog_id: the dialog they are in.
            ids: one message or several.
            body: the new text; only for one's own messages.
            read: this user has read them, which means received too.
            delivered: this user has received them.

        Raises:
            Forbidden: somebody else wrote them, or this user is not in the dialog.
            NotFound: there is no such dialog or message.
            ValidationFailed: a refused value.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: nothing to change, no ids, or an unfit one.

        Source: ConnectyCube REST API, "Update message".

        Example:
            >>> await cube.messages.update(dialog.id, message.id, body="Dinner?")
            >>> await cube.messages.update(dialog.id, [first.id, second.id], read=True)
        """
        marks = _marks(read, delivered)
        if body is None and not marks:
            raise ValueError("give body, read or delivered")
        fields = {"chat_dialog_id": object_id(dialog_id, "dialog_id")} | marks
        if body is not None:
            fields["message"] = body
        for part in in_parts(object_ids(ids, "ids")):
            await self._http.request("PUT", f"chat/Message/{part}", json=fields)

    async def mark_all(self, dialog_id: str, *, read: bool = True, delivered: bool = False) -> None:
        """Marks all messages of a dialog as read, or with ``read=False, delivered=True`` only as delivered.

        The senders find that in the history; nobody is told over the chat.

        Args:
            dialog_id: the dialog.
            read: this user has read them, which means received too.
            delivered: this user has received them.

        Raises:
            Forbidden: this user is not in the dialog.
            NotFound: there is no such dialog.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: neither read nor delivered, or an unfit id.

        Source: ConnectyCube REST API, "Update message" without ids.

        Example:
            >>> await cube.messages.mark_all(dialog.id)
        """
        marks = _marks(read, delivered)
        if not marks:
            raise ValueError("give read or delivered")
        fields = {"chat_dialog_id": object_id(dialog_id, "dialog_id")} | marks
        await self._http.request("PUT", "chat/Message", json=fields)

    async def delete(self, ids: str | Iterable[str], force: bool = False) -> DeleteResult:
        """Deletes messages for this user, or for everyone. More than 100 take several requests.

        Args:
            ids: one message or several, of any dialogs.
            force: for everyone, who hear of it by ``chat.deleted()``. One's own messages; in groups, administrators
                may delete those of others too.

        Returns:
            Which were deleted, which are not there, and which this user may not delete.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: no ids, or an unfit one.

        Source: ConnectyCube REST API, "Delete message".

        Example:
            >>> result = await cube.messages.delete([first.id, second.id], force=True)
            >>> result.deleted
            ('65a1b2c3d4e5f60718293a4b',)
        """
        results = []
        for part in in_parts(object_ids(ids, "ids")):
            reply = await self._http.request("DELETE", f"chat/Message/{part}", params=query.forced(force))
            results.append(reply.read(DeleteResult.from_json))
        return DeleteResult.joined(results)

    async def react(self, message_id: str, *, add: str | None = None, remove: str | None = None) -> None:
        """Adds a reaction to a message, takes one back, or both at once. The others hear by ``chat.reactions()``.

        Args:
            message_id: the message.
            add: usually an emoji; adding what is there already does nothing.
            remove: the reaction of this user to take back; removing what is not there does nothing.

        Raises:
            NotFound: there is no such message.
            Forbidden: this user is not in its dialog.
            ValidationFailed: a text that is too long for a reaction.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: nothing to add or remove, or an unfit id.

        Source: ConnectyCube REST API, "Add / Remove reactions".

        Example:
            >>> await cube.messages.react(message.id, add="🚀", remove="👍")
        """
        path = _reactions(message_id)
        given = {"add": add, "remove": remove}
        fields = {name: reaction for name, reaction in given.items() if reaction}
        if not fields:
            raise ValueError("give a reaction to add or to remove")
        await self._http.request("PUT", path, json=fields)

    async def reactions(self, message_id: str) -> dict[str, list[int]]:
        """Who reacted to a message.

        Returns:
            The ids of the users by reaction.

        Raises:
            NotFound: there is no such message.
            Forbidden: this user is not in its dialog.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: an unfit id.

        Source: ConnectyCube REST API, "List message reactions".

        Example:
            >>> await cube.messages.reactions(message.id)
            {'👍': [77, 88], '🚀': [99]}
        """
        reply = await self._http.request("GET", _reactions(message_id))
        return reply.read(lambda data: {str(name): [int(user) for user in users] for name, users in data.items()})

    async def send_system(self, recipient_id: int, **properties: Any) -> str:
        """Sends a system message to a user who is connected to the chat now: news for the application, not for people.

        Args:
            recipient_id: the user.
            properties: what it says: names to texts or to nested mappings; other values become texts.

        Returns:
            The id of the system message.

        Raises:
            ValidationFailed: a refused value, e.g. an unknown recipient.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: nothing to say, or a name with a meaning of its own.

        Source: ConnectyCube REST API, "Send system message".

        Example:
            >>> await cube.messages.send_system(88, event="photo_shared", dialogId=dialog.id)
            '65bb00112233445566778899'
        """
        reserved = properties.keys() & {"recipientId", "moduleIdentifier"}
        if reserved:
            raise ValueError(f"{', '.join(sorted(reserved))} cannot be the name of a property")
        if not properties:
            raise ValueError("give what to say")
        fields = wire.nested_texts(properties) | {"recipientId": user_ids(recipient_id, "recipient_id")[0]}
        reply = await self._http.request("POST", "chat/Message/system", json=fields)
        return reply.read(lambda data: str(data["messageId"]))


def _marks(read: bool, delivered: bool) -> dict[str, Any]:
    return {name: 1 for name, wanted in (("read", read), ("delivered", delivered)) if wanted}


def _reactions(message_id: str) -> str:
    return f"chat/Message/{object_id(message_id, 'message_id')}/reactions"
