"""``cube.chat.system``: what users' programs tell each other at once, and nobody keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from voxcube.client import wire
from voxcube.client.errors import StanzaError
from voxcube.client.events import SystemMessage
from voxcube.client.headlines import MODULE, Headlines, data_of
from voxcube.client.streams import EventStream, Feed, Unsubscribe
from voxcube.xmpp.xml import Element

NOTIFICATIONS = "SystemNotifications"
_NOT_PROPERTIES = (MODULE, "date_sent", "save_to_history")  # other SDKs add them


class System:
    """System messages are for programs, such as "there is a new dialog": they reach all sessions that the user has at
    the moment, are not stored, and do not wait for who is away."""

    def __init__(self, headlines: Headlines) -> None:
        self._headlines = headlines
        self._messages: Feed[SystemMessage] = Feed(headlines.line, hold=True)
        self._errors: Feed[StanzaError] = Feed(headlines.line, hold=True)

    async def send(self, user_id: int, body: str | None = None, properties: Mapping[str, Any] | None = None) -> str:
        """Sends a system message.

        Args:
            user_id: the user; one's own id reaches one's other sessions.
            body: a text.
            properties: names to texts or to nested mappings; other values become texts. At most 256 KiB.

        Returns:
            The id of the message, when the server has relayed it.

        Raises:
            StanzaError: 404 when there is no such user, 503 when one of the two blocks the other. Without stream
                management only ``errors()`` tells.
            MessageLost: the connection ended before it was confirmed, and its session did not go on.
            ChatTimeout: it was not confirmed in time (60 seconds by default).
            NotConnected: there is no connection; nothing was sent.
            ValueError: no user, too large, names or characters that XML forbids.

        Source: RFC 6121 §5.2.2.

        Example:
            >>> await cube.chat.system.send(88, "dialog/NEW_DIALOG", {"dialogId": dialog.id})
        """
        if not user_id:
            raise ValueError("give the user")
        if properties is not None and MODULE in properties:
            raise ValueError(f"{MODULE!r} cannot be the name of a property: it has a meaning of its own")
        return await self._headlines.send(user_id, NOTIFICATIONS, body, properties or {})

    def messages(self) -> EventStream[SystemMessage]:
        """System messages as they arrive.

        Source: RFC 6121 §5.2.2.

        Example:
            >>> async for message in cube.chat.system.messages():
            ...     print(message.sender_id, message.body, message.properties)
        """
        return self._messages.open()

    def on_message(self, fn: Callable[[SystemMessage], Any]) -> Unsubscribe:
        """Calls ``fn`` with system messages, as ``messages()``.

        Example:
            >>> stop = cube.chat.system.on_message(lambda message: print(message.body))
        """
        return self._messages.subscribe(fn)

    def errors(self) -> EventStream[StanzaError]:
        """Refusals of system messages and of signals, also those that ``send()`` raises; ``stanza_id`` says of which.

        Source: RFC 6120 §8.3.

        Example:
            >>> async for error in cube.chat.system.errors():
            ...     print(error.stanza_id, error.code)
        """
        return self._errors.open()

    def on_error(self, fn: Callable[[StanzaError], Any]) -> Unsubscribe:
        """Calls ``fn`` with refusals of system messages, as ``errors()``.

        Example:
            >>> stop = cube.chat.system.on_error(print)
        """
        return self._errors.subscribe(fn)

    # Inside

    def _receive(self, stanza: Element) -> None:
        sender, body = wire.user(stanza.get("from")), stanza.find("body")
        properties = data_of(stanza.find("extraParams"))
        for name in _NOT_PROPERTIES:
            properties.pop(name, None)
        if sender:
            text = body.text if body is not None else None
            self._messages.emit(SystemMessage(stanza.get("id") or "", sender, text, properties))

    def _refused(self, error: StanzaError) -> None:
        self._errors.emit(error)

    def _end_listening(self) -> None:
        self._messages.close()
        self._errors.close()
