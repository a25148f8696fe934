"""The part of ``cube.chat`` that shows others that this user is typing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voxcube.client import wire
from voxcube.client.errors import ChatError
from voxcube.client.models import Dialog, Message
from voxcube.client.outbox import Outbox
from voxcube.client.timers import Timers
from voxcube.client.wire import Target
from voxcube.xmpp.payloads import chat_states

TYPING_REPEAT = 5.0


class OwnTyping:
    """Typing, its end, and its end by itself."""

    _outbox: Outbox
    _idle_typing: Timers[Target]

    async def typing(
        self,
        dialog: Dialog | Message | None = None,
        *,
        to_user: int | None = None,
        dialog_id: str | None = None,
        idle: float = 30.0,
    ) -> None:
        """Shows the others in a dialog that this user is typing.

        Args:
            dialog: where, or a message of the dialog; or ``to_user`` or ``dialog_id`` as in ``send``.
            to_user: the user of a private chat.
            dialog_id: a dialog that is not private.
            idle: seconds after which typing is taken back, unless this is called again.

        Raises:
            NotConnected: not connected.
            ValueError: not exactly one destination.

        Source: XEP-0085 §5.

        Example:
            >>> await cube.chat.typing(dialog)
        """
        target = self._outbox.target(dialog, to_user, dialog_id)
        await self._outbox.write(wire.chat_state(chat_states.COMPOSING, target))
        self._idle_typing.start(target, idle)

    async def stop_typing(
        self, dialog: Dialog | Message | None = None, *, to_user: int | None = None, dialog_id: str | None = None
    ) -> None:
        """Shows the others in a dialog that this user stopped typing; arguments and errors as ``typing``.

        Source: XEP-0085 §5.

        Example:
            >>> await cube.chat.stop_typing(dialog)
        """
        target = self._outbox.target(dialog, to_user, dialog_id)
        self._idle_typing.cancel(target)
        await self._outbox.write(wire.chat_state(chat_states.PAUSED, target))

    @asynccontextmanager
    async def typing_in(
        self, dialog: Dialog | Message | None = None, *, to_user: int | None = None, dialog_id: str | None = None
    ) -> AsyncIterator[None]:
        """Shows typing for as long as a block runs; arguments and errors as ``typing``.

        Source: XEP-0085 §5.

        Example:
            >>> async with cube.chat.typing_in(dialog):
            ...     answer = await think()
        """

        async def repeat() -> None:
            while True:
                await asyncio.sleep(TYPING_REPEAT)
                try:
                    await self.typing(dialog, to_user=to_user, dialog_id=dialog_id)
                except ChatError:
                    pass  # the connection is away; the block goes on

        await self.typing(dialog, to_user=to_user, dialog_id=dialog_id)
        task = asyncio.create_task(repeat())
        try:
            yield
        finally:
            task.cancel()
            if self._outbox.is_ready:
                await self.stop_typing(dialog, to_user=to_user, dialog_id=dialog_id)

    def _typing_idle(self, target: Target) -> None:
        self._outbox.write_now(wire.chat_state(chat_states.PAUSED, target))
