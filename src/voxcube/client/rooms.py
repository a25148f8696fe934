"""``cube.chat.rooms``: joining the rooms of dialogs, who else has joined, and who is online."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from voxcube.client import wire
from voxcube.client.connection import Connection
from voxcube.client.errors import ChatTimeout, NotConnected
from voxcube.client.events import JoinEvent, KickEvent, LeaveEvent
from voxcube.client.ids import new_message_id
from voxcube.client.lifecycle import Lifecycle
from voxcube.client.streams import EventStream, Feed, Unsubscribe
from voxcube.xmpp import ns
from voxcube.xmpp.payloads import disco
from voxcube.xmpp.stanza import iq
from voxcube.xmpp.xml import Element

KICKED = "301"  # XEP-0045 §15.6.2


class Rooms:
    """Every dialog that is not private has a room. Who joins it sees who else does, and is seen.

    Messages come to all members of a dialog, joined or not, and everybody may send without joining. After a reconnect
    the rooms are joined again by themselves. A room is left when the user is no member of the dialog any more.
    """

    def __init__(self, life: Lifecycle, app_id: int, domain: str, *, timeout: float) -> None:
        self._life = life
        self._app_id = app_id
        self._domain = domain
        self._timeout = timeout
        self._rooms: set[str] = set()  # dialogs whose room was joined
        self._waiting: dict[str, asyncio.Future[None]] = {}  # by the id of the presence
        self._joined: Feed[JoinEvent] = Feed(life.line)
        self._left: Feed[LeaveEvent] = Feed(life.line)
        self._kicked: Feed[KickEvent] = Feed(life.line, hold=True)

    async def join(self, dialog_id: str) -> None:
        """Joins the room of a dialog; joining again changes nothing.

        Who has joined already is told by ``joined()`` before or soon after this returns.

        Args:
            dialog_id: a group, public or broadcast dialog of this user.

        Raises:
            StanzaError: 403 when this user is not in the dialog, 404 when there is none.
            ChatTimeout: no answer in time (60 seconds by default).
            NotConnected: not connected, or the connection ended meanwhile.
            ValueError: the id is none.

        Source: XEP-0045 §7.2.

        Example:
            >>> await cube.chat.rooms.join(dialog.id)
        """
        await self._present(dialog_id, None)
        self._rooms.add(dialog_id)

    async def leave(self, dialog_id: str) -> None:
        """Leaves the room of a dialog, but not the dialog; leaving what was not joined changes nothing.

        Arguments and errors as ``join``.

        Source: XEP-0045 §7.14.

        Example:
            >>> await cube.chat.rooms.leave(dialog.id)
        """
        self._rooms.discard(dialog_id)
        await self._present(dialog_id, "unavailable")

    async def online(self, dialog_id: str) -> list[int]:
        """The members of a dialog who are online, whether or not they have joined its room, this user among them.

        Args:
            dialog_id: a group, public or broadcast dialog of this user.

        Returns:
            The ids of the users in ascending order, at most 1,000.

        Raises:
            StanzaError: 403 when this user is not in the dialog, 404 when there is none.
            ChatTimeout: no answer in time.
            NotConnected: not connected, or the connection ended meanwhile.
            ValueError: the id is none.

        Source: XEP-0045 §6.5, XEP-0030 §4.

        Example:
            >>> len(await cube.chat.rooms.online(dialog.id))
            7
        """
        request = iq("get", "", Element("query", {"xmlns": ns.DISCO_ITEMS}), to=self._room(dialog_id))
        answer = await self._life.connection.request(request, self._timeout)
        query = answer.find("query")
        found = () if query is None else disco.decode_items(query)
        return sorted({user_id for jid in found if (user_id := wire.occupant(jid)[0])})

    def joined(self, dialog_id: str | None = None) -> EventStream[JoinEvent]:
        """Who joins the rooms that this user has joined, and who had joined them before.

        Args:
            dialog_id: only of one dialog.

        Source: XEP-0045 §7.2.2, §7.2.3.

        Example:
            >>> async for event in cube.chat.rooms.joined():
            ...     print(event.user_id, "is in", event.dialog_id)
        """
        return self._joined.open(_wanted(dialog_id))

    def on_joined(self, fn: Callable[[JoinEvent], Any], dialog_id: str | None = None) -> Unsubscribe:
        """Calls ``fn`` when somebody joins, as ``joined()``.

        Example:
            >>> stop = cube.chat.rooms.on_joined(lambda event: print(event.user_id))
        """
        return self._joined.subscribe(fn, _wanted(dialog_id))

    def left(self, dialog_id: str | None = None) -> EventStream[LeaveEvent]:
        """Who leaves the rooms that this user has joined. It is this user's id when it left the dialog elsewhere.

        Args:
            dialog_id: only of one dialog.

        Source: XEP-0045 §7.14.

        Example:
            >>> async for event in cube.chat.rooms.left():
            ...     print(event.user_id, "has left", event.dialog_id)
        """
        return self._left.open(_wanted(dialog_id))

    def on_left(self, fn: Callable[[LeaveEvent], Any], dialog_id: str | None = None) -> Unsubscribe:
        """Calls ``fn`` when somebody leaves, as ``left()``.

        Example:
            >>> stop = cube.chat.rooms.on_left(lambda event: print(event.user_id))
        """
        return self._left.subscribe(fn, _wanted(dialog_id))

    def kicked(self, dialog_id: str | None = None) -> EventStream[KickEvent]:
        """The dialogs that somebody removes this user from, or deletes, while it has joined their rooms.

        Args:
            dialog_id: only of one dialog.

        Source: XEP-0045 §9.4.

        Example:
            >>> async for event in cube.chat.rooms.kicked():
            ...     close(event.dialog_id)
        """
        return self._kicked.open(_wanted(dialog_id))

    def on_kicked(self, fn: Callable[[KickEvent], Any], dialog_id: str | None = None) -> Unsubscribe:
        """Calls ``fn`` when this user is removed from a dialog, as ``kicked()``.

        Example:
            >>> stop = cube.chat.rooms.on_kicked(lambda event: close(event.dialog_id))
        """
        return self._kicked.subscribe(fn, _wanted(dialog_id))

    # Inside

    def _room(self, dialog_id: str) -> str:
        return wire.room_target(dialog_id, self._app_id, self._domain).jid

    async def _present(self, dialog_id: str, kind: str | None) -> None:
        """Sends a presence to a room and waits for the answer, which has its id."""
        stanza = self._presence(dialog_id, kind)
        connection = self._life.connection
        await connection.writable()
        presence_id = stanza.attrs["id"]
        answer = self._waiting[presence_id] = asyncio.get_running_loop().create_future()
        connection.write(wire.encode(stanza))
        try:
            async with asyncio.timeout(self._timeout):
                await answer
        except TimeoutError:
            raise ChatTimeout(f"the server did not answer in {self._timeout:g} s") from None
        finally:
            del self._waiting[presence_id]

    def _presence(self, dialog_id: str, kind: str | None) -> Element:
        attrs = {"id": f"{new_message_id()}:join", "to": f"{self._room(dialog_id)}/{self._life.user_id}"}
        if kind is not None:
            return Element("presence", {**attrs, "type": kind})
        history = Element("history", {"maxstanzas": "0"})
        return Element("presence", attrs, [Element("x", {"xmlns": ns.MUC}, [history])])

    async def _rejoin(self, connection: Connection) -> None:
        """A new session is in no room yet (`lifecycle.Renewal`). A room that is closed by now is left."""
        for dialog_id in self._rooms:
            connection.write(self._presence(dialog_id, None))

    def _receive(self, stanza: Element) -> None:
        """Takes a presence."""
        user_id, dialog_id = wire.occupant(stanza.get("from") or "")
        if dialog_id is None or not user_id:
            return
        own, kind = user_id == self._life.user_id, stanza.get("type")
        answer = self._waiting.get(stanza.get("id") or "")
        if kind == "error":
            self._rooms.discard(dialog_id)
            if answer is not None and not answer.done():
                answer.set_exception(wire.stanza_error(stanza))
        elif answer is not None and own:
            if not answer.done():
                answer.set_result(None)
        elif kind is None and not own:
            self._joined.emit(JoinEvent(dialog_id, user_id))
        elif kind == "unavailable":
            self._gone(stanza, dialog_id, user_id, own=own)

    def _gone(self, stanza: Element, dialog_id: str, user_id: int, *, own: bool) -> None:
        x = stanza.find("x", ns.MUC_USER)
        codes = {child.get("code") for child in x.elements() if child.name == "status"} if x is not None else set()
        if own:
            self._rooms.discard(dialog_id)
        if own and KICKED in codes:
            self._kicked.emit(KickEvent(dialog_id, wire.actor(x)))
        else:
            self._left.emit(LeaveEvent(dialog_id, user_id))

    def _ended(self) -> None:
        """The connection has ended."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(NotConnected("the connection ended before the answer"))
                answer.exception()

    def _forget(self) -> None:
        """The next user has joined no rooms."""
        self._rooms.clear()

    def _end_listening(self) -> None:
        for feed in (self._joined, self._left, self._kicked):
            feed.close()


def _wanted(dialog_id: str | None) -> Callable[[Any], bool] | None:
    return None if dialog_id is None else lambda event: event.dialog_id == dialog_id
