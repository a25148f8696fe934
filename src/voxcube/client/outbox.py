"""Where stanzas go and how they get there: addresses of dialogs, confirmed and unconfirmed writing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from voxcube.client import wire
from voxcube.client.errors import NotConnected
from voxcube.client.events import ConnectionState
from voxcube.client.lifecycle import Lifecycle
from voxcube.client.models import Dialog, DialogType, Message
from voxcube.client.sends import Sends
from voxcube.client.streams import Line
from voxcube.client.wire import Target
from voxcube.xmpp.payloads.changes import Delete, Edit
from voxcube.xmpp.xml import Element

T = TypeVar("T")


class Outbox:
    """What every method of ``cube.chat`` that sends stands on."""

    def __init__(self, life: Lifecycle, sends: Sends, app_id: int, domain: str) -> None:
        self._life = life
        self._sends = sends
        self._app_id = app_id
        self._domain = domain

    @property
    def user_id(self) -> int | None:
        """The user who is connected, or connected last."""
        return self._life.user_id

    @property
    def line(self) -> Line:
        """What the feeds of a chat share."""
        return self._life.line

    @property
    def is_ready(self) -> bool:
        """Whether there is a ready connection."""
        return self._life.state is ConnectionState.READY

    def target(self, dialog: Dialog | Message | None, to_user: int | None, dialog_id: str | None) -> Target:
        """Where a stanza for a dialog goes. Raises ValueError unless exactly one is given."""
        if sum(way is not None for way in (dialog, to_user, dialog_id)) != 1:
            raise ValueError("give exactly one of dialog, to_user and dialog_id")
        if to_user is not None:
            return wire.user_target(int(to_user), self._app_id, self._domain)
        if dialog_id is not None:
            return wire.room_target(dialog_id, self._app_id, self._domain)
        if isinstance(dialog, Message):
            return self.target_of(dialog)
        if not isinstance(dialog, Dialog):
            raise ValueError("dialog is a Dialog or a Message; the text goes to body=, a dialog's id to dialog_id=")
        if dialog.type == DialogType.PRIVATE:
            opponent = dialog.opponent_id(self._life.user_id)
            return wire.user_target(opponent, self._app_id, self._domain, dialog.id)
        return wire.room_target(dialog.id, self._app_id, self._domain)

    def target_of(self, message: Message) -> Target:
        """Where a stanza about a message goes. Raises ValueError when the message does not say."""
        if message.is_group and message.dialog_id is not None:
            return wire.room_target(message.dialog_id, self._app_id, self._domain)
        opponent = message.recipient_id if message.sender_id == self._life.user_id else message.sender_id
        if message.is_group or not opponent:
            raise ValueError("the message does not say in which dialog it is: give the dialog")
        return wire.user_target(opponent, self._app_id, self._domain, message.dialog_id)

    async def change(
        self,
        change: Edit | Delete,
        target: Target,
        *,
        body: str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Edits or deletes a message and returns when the server has done it."""
        stanza = wire.change(change, target, body, properties or {})
        stanza_id = stanza.attrs["id"]
        await self.confirmed(
            wire.encode(stanza), stanza_id, target, lambda: self._sends.start_change(stanza_id, change.message_id)
        )

    async def confirmed(
        self, stanza: bytes, stanza_id: str, target: Target, start: Callable[[], asyncio.Future[T]]
    ) -> T:
        """Writes a stanza and returns when the server has handled it; ``start`` begins to wait for that."""
        connection = self._life.connection
        await self._sends.place()
        try:
            await connection.writable()
            if connection is not self._life.connection:
                raise NotConnected("the connection changed before the message was sent")
            confirmation = start()
        except BaseException:
            self._sends.leave()
            raise
        if target.is_group:
            connection.write(stanza)  # its echo confirms it
        elif connection.acknowledges:
            connection.write(stanza, confirms=stanza_id)
        else:
            connection.write(stanza)
            self._sends.confirm(stanza_id)
        return await confirmation

    async def write(self, stanza: Element) -> None:
        """Writes a stanza that nobody confirms. Raises NotConnected."""
        connection = self._life.connection
        await connection.writable()
        connection.write(wire.encode(stanza))

    def write_now(self, stanza: Element) -> None:
        """Writes a stanza that nobody confirms, if there is a connection, ready or about to be."""
        if self._life.link is not None:
            self._life.link.write(wire.encode(stanza))
