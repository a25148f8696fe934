"""``cube.chat.last_activity``: when somebody was here, and being told when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from voxcube.client import wire
from voxcube.client.connection import Connection
from voxcube.client.events import LastActivityEvent
from voxcube.client.lifecycle import Lifecycle
from voxcube.client.streams import EventStream, Feed, Unsubscribe
from voxcube.xmpp.jid import user_jid
from voxcube.xmpp.payloads import last_activity
from voxcube.xmpp.stanza import iq
from voxcube.xmpp.xml import Element


class LastActivity:
    """A user's last activity is the number of seconds since the last connection ended, 0 for who is online."""

    def __init__(self, life: Lifecycle, app_id: int, domain: str, *, timeout: float) -> None:
        self._life = life
        self._app_id = app_id
        self._domain = domain
        self._timeout = timeout
        self._feed: Feed[LastActivityEvent] = Feed(life.line)
        self._subscribed: dict[int, list[Unsubscribe]] = {}

    async def get(self, user_id: int) -> int:
        """When a user was here.

        Args:
            user_id: the user.

        Returns:
            Seconds since then, 0 when the user is online.

        Raises:
            StanzaError: 404 when the user does not exist or was never connected, 503 when one of the two blocks the
                other.
            ChatTimeout: no answer in time (60 seconds by default).
            NotConnected: not connected, or the connection ended meanwhile.

        Source: XEP-0012 §3.

        Example:
            >>> await cube.chat.last_activity.get(88)
            125
        """
        request = iq("get", "", last_activity.encode(), to=self._jid(user_id))
        answer = await self._life.connection.request(request, self._timeout)
        return last_activity.decode(answer) or 0

    async def subscribe(self, user_id: int, callback: Callable[[LastActivityEvent], Any] | None = None) -> None:
        """Asks to be told of a user: soon, when the user comes, when it goes, and again a minute later.

        Lasts until ``unsubscribe``, also after reconnecting.

        Args:
            user_id: the user; at most 500.
            callback: called with the events of this user; ``events()`` has them all the same.

        Raises:
            StanzaError: 404 when the user does not exist, 503 when one of the two blocks the other, 406 for too many.
            ChatTimeout: no answer in time.
            NotConnected: not connected, or the connection ended meanwhile.

        Source: XEP-0012.

        Example:
            >>> await cube.chat.last_activity.subscribe(88, lambda event: print(event.seconds))
        """
        stop = None if callback is None else self.on_event(callback, user_id)
        try:
            await self._life.connection.request(self._request(user_id, True), self._timeout)
        except BaseException:
            if stop is not None:
                stop()
            raise
        self._subscribed.setdefault(user_id, []).extend([] if stop is None else [stop])

    async def unsubscribe(self, user_id: int) -> None:
        """Asks to be told no more, and stops the callbacks of ``subscribe``. Arguments and errors as there.

        Example:
            >>> await cube.chat.last_activity.unsubscribe(88)
        """
        for stop in self._subscribed.pop(user_id, ()):
            stop()
        await self._life.connection.request(self._request(user_id, False), self._timeout)

    def events(self, user_id: int | None = None) -> EventStream[LastActivityEvent]:
        """What the subscriptions tell.

        Args:
            user_id: only of one user.

        Source: XEP-0012.

        Example:
            >>> async for event in cube.chat.last_activity.events():
            ...     print(event.user_id, "is online" if event.seconds == 0 else "is away")
        """
        return self._feed.open(_wanted(user_id))

    def on_event(self, fn: Callable[[LastActivityEvent], Any], user_id: int | None = None) -> Unsubscribe:
        """Calls ``fn`` with what the subscriptions tell; arguments as ``events()``.

        Example:
            >>> stop = cube.chat.last_activity.on_event(lambda event: print(event.user_id, event.seconds))
        """
        return self._feed.subscribe(fn, _wanted(user_id))

    # Inside

    def _jid(self, user_id: int) -> str:
        return user_jid(int(user_id), self._app_id, self._domain)

    def _request(self, user_id: int, enable: bool) -> Element:
        return iq("set", "", last_activity.subscribe(self._jid(user_id), enable))

    async def _renew(self, connection: Connection) -> None:
        """A new session is told of nobody (`lifecycle.Renewal`); who cannot be subscribed to any more is left out."""
        requests = [connection.request(self._request(user_id, True), self._timeout) for user_id in self._subscribed]
        await asyncio.gather(*requests, return_exceptions=True)

    def _receive(self, stanza: Element) -> None:
        """Takes a result that answers nothing (realtime §12.1)."""
        seconds, user_id = last_activity.decode(stanza), wire.user(stanza.get("from"))
        if seconds is not None and user_id:
            self._feed.emit(LastActivityEvent(user_id, seconds))

    def _forget(self) -> None:
        """The next user has subscribed to nobody."""
        for stops in self._subscribed.values():
            for stop in stops:
                stop()
        self._subscribed.clear()

    def _end_listening(self) -> None:
        self._feed.close()


def _wanted(user_id: int | None) -> Callable[[LastActivityEvent], bool] | None:
    return None if user_id is None else lambda event: event.user_id == user_id
