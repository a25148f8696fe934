"""Messages on their way: each waits for its confirmation, a refusal, the end of the connection, or too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from voxcube.client.errors import ChatTimeout, MessageLost, StanzaError
from voxcube.client.models import Message, MessageState

IN_FLIGHT = 1000


@dataclass(slots=True)
class _Sending:
    message: Message
    future: asyncio.Future[Message]
    timer: asyncio.TimerHandle


class Sends:
    """At most ``limit`` messages at once; further senders wait their turn, in order.

    A sender that is cancelled leaves its message on the way: it was written, and what becomes of it is still reported.
    """

    def __init__(
        self,
        timeout: float,
        on_sent: Callable[[Message], None],
        on_lost: Callable[[Message], None],
        limit: int = IN_FLIGHT,
    ) -> None:
        self._timeout = timeout
        self._on_sent = on_sent
        self._on_lost = on_lost
        self._places = asyncio.Semaphore(limit)
        self._sendings: dict[str, _Sending] = {}

    async def place(self) -> None:
        """Waits for a free place; ``start`` uses it, ``leave`` gives it back."""
        await self._places.acquire()

    def leave(self) -> None:
        """Gives back a place that was not used."""
        self._places.release()

    def start(self, message: Message) -> asyncio.Future[Message]:
        """Begins to wait for a message about to be written. The future has it with its state, or raises.

        Raises ValueError when a message with this id is on its way already.
        """
        if message.id in self._sendings:
            raise ValueError(f"message {message.id} is on its way already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Message] = loop.create_future()
        timer = loop.call_later(self._timeout, self._expire, message.id)
        self._sendings[message.id] = _Sending(message, future, timer)
        return future

    def confirm(self, message_id: str, dialog_id: str | None = None) -> None:
        """The server has the message; its echo tells the dialog."""
        sending = self._finish(message_id)
        if sending is None:
            return
        dialog = sending.message.dialog_id or dialog_id
        message = replace(sending.message, state=MessageState.SENT, dialog_id=dialog)
        if not sending.future.done():
            sending.future.set_result(message)
        self._on_sent(message)

    def refuse(self, message_id: str, error: StanzaError) -> None:
        """The server refused the message."""
        sending = self._finish(message_id)
        if sending is not None and not sending.future.done():
            sending.future.set_exception(error)

    def lose_all(self) -> None:
        """The connection ended: what was not confirmed may or may not have arrived."""
        for message_id in tuple(self._sendings):
            self._lose(message_id, MessageLost(message_id))

    def _expire(self, message_id: str) -> None:
        self._lose(message_id, ChatTimeout(f"message {message_id} was not confirmed in {self._timeout:g} s"))

    def _lose(self, message_id: str, error: Exception) -> None:
        sending = self._finish(message_id)
        if sending is None:
            return
        if not sending.future.done():
            sending.future.set_exception(error)
        self._on_lost(sending.message)

    def _finish(self, message_id: str) -> _Sending | None:
        sending = self._sendings.pop(message_id, None)
        if sending is not None:
            sending.timer.cancel()
            self._places.release()
        return sending
