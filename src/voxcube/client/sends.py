"""What is on its way, messages and changes of them: each waits for its confirmation, a refusal, the end of the
connection, or too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from voxcube.client.errors import ChatTimeout, MessageLost, StanzaError
from voxcube.client.models import Message, MessageState

IN_FLIGHT = 1000


@dataclass(slots=True)
class _Sending:
    message_id: str
    message: Message | None
    """None while a message is changed: nobody but the one who changes it is told how that ends."""
    future: asyncio.Future[Any]
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
        return self._start(message.id, message.id, message)

    def start_change(self, stanza_id: str, message_id: str) -> asyncio.Future[None]:
        """Begins to wait for the stanza that changes a message. The future is done when the server has made the change,
        or raises."""
        return self._start(stanza_id, message_id, None)

    def _start(self, stanza_id: str, message_id: str, message: Message | None) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        timer = loop.call_later(self._timeout, self._expire, stanza_id)
        self._sendings[stanza_id] = _Sending(message_id, message, future, timer)
        return future

    def __contains__(self, stanza_id: str) -> bool:
        return stanza_id in self._sendings

    def confirm(self, stanza_id: str, dialog_id: str | None = None) -> None:
        """The server has it; the echo tells the dialog."""
        sending = self._finish(stanza_id)
        if sending is None:
            return
        message = sending.message
        if message is not None:
            message = replace(message, state=MessageState.SENT, dialog_id=message.dialog_id or dialog_id)
        if not sending.future.done():
            sending.future.set_result(message)
        if message is not None:
            self._on_sent(message)

    def refuse(self, stanza_id: str, error: StanzaError) -> None:
        """The server refused it."""
        sending = self._finish(stanza_id)
        if sending is not None and not sending.future.done():
            sending.future.set_exception(error)

    def lose_all(self) -> None:
        """The connection ended: what was not confirmed may or may not have arrived."""
        for stanza_id, sending in tuple(self._sendings.items()):
            self._lose(stanza_id, MessageLost(sending.message_id))

    def _expire(self, stanza_id: str) -> None:
        message_id = self._sendings[stanza_id].message_id
        self._lose(stanza_id, ChatTimeout(f"message {message_id} was not confirmed in {self._timeout:g} s"))

    def _lose(self, stanza_id: str, error: Exception) -> None:
        sending = self._finish(stanza_id)
        if sending is None:
            return
        if not sending.future.done():
            sending.future.set_exception(error)
        if sending.message is not None:
            self._on_lost(sending.message)

    def _finish(self, stanza_id: str) -> _Sending | None:
        sending = self._sendings.pop(stanza_id, None)
        if sending is not None:
            sending.timer.cancel()
            self._places.release()
        return sending
