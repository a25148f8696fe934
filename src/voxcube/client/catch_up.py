"""What was missed while there was no connection, from the history: each message once, in the order of its dialog."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from voxcube.client.dialogs import Dialogs
from voxcube.client.errors import Forbidden, NotFound, RateLimited, ServerError, TransportError
from voxcube.client.http import Http
from voxcube.client.messages import Messages
from voxcube.client.models import Dialog, Message

log = logging.getLogger("voxcube.client")

# The server's clock is known by the second, and a message is on its way for a moment.
MARGIN = 5.0
SECONDS = 60.0  # without any progress, after which what arrives is not held back any longer
RETRIES = (1.0, 2.0, 4.0, 8.0)
PAGE = 100


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time on the two clocks of this machine: one may be set, the other stands still while it sleeps."""

    monotonic: float
    wall: float

    @classmethod
    def ago(cls, seconds: float = 0.0) -> Self:
        """So many seconds before now."""
        return cls(time.monotonic() - seconds, time.time() - seconds)

    @property
    def age(self) -> float:
        """Seconds since then, rather too many than too few."""
        return max(time.monotonic() - self.monotonic, time.time() - self.wall)


class CatchUp:
    """Fetches what is missing between the last word of one stream and the first of the next.

    ``hold`` makes the inbox keep arriving messages back and ``release`` lets them through again; in between ``give``
    gets each missed message. Without a session of the REST API nothing is done: then private messages arrive by the
    server's own late delivery, and those of groups stay in the history.
    """

    def __init__(
        self,
        http: Http,
        *,
        user_id: Callable[[], int | None],
        hold: Callable[[], None],
        release: Callable[[], None],
        give: Callable[[Message], None],
        keeping_up: Callable[[], bool],
    ) -> None:
        """``keeping_up()`` is whether the listeners read what they are given."""
        self._http = http
        self._dialogs = Dialogs(http)
        self._messages = Messages(http)
        self._user_id = user_id
        self._hold = hold
        self._release = release
        self._give = give
        self._keeping_up = keeping_up
        self._began: Moment | None = None  # the first login: what was before nobody has missed
        self._broken_at: Moment | None = None  # the last connection that was ready
        self._since: Moment | None = None  # something may be missing from here on
        self._task: asyncio.Task[None] | None = None

    def broken(self, silence: float) -> None:
        """The connection is over; the server was last heard so many seconds ago."""
        self._stop()
        # A connection that was never ready has not brought all that was missing before it.
        self._broken_at = self._broken_at or Moment.ago(silence)

    def logged_in(self) -> None:
        """A session begins that is not the last one resumed; nothing of it has arrived yet."""
        if self._began is None:
            self._began = Moment.ago()
        if not self._is_possible:
            self._since = None
            self._release()
            return
        self._since = self._since or self._broken_at
        if self._since is not None:
            self._hold()

    def ready(self) -> None:
        """The chat can be used: begins to fetch, or begins again when the last connection was too short for it."""
        self._broken_at = None
        if self._since is not None:
            self._task = asyncio.create_task(self._run(self._since))

    def forget(self) -> None:
        """The next user has missed nothing."""
        self._stop()
        self._began = self._broken_at = self._since = None
        self._release()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    @property
    def _is_possible(self) -> bool:
        return self._http.user_id != 0 and self._http.user_id == self._user_id()

    async def _run(self, since: Moment) -> None:
        for pause in (*RETRIES, None):
            try:
                await self._fetch(since)
                self._since = None
                break
            except (TransportError, ServerError, RateLimited, TimeoutError) as error:
                reason: Exception = error
                if isinstance(error, RateLimited) and error.retry_after and pause is not None:
                    pause = max(pause, error.retry_after)
            except Exception as error:  # also what the application's restorer of sessions raises
                reason, pause = error, None
            if pause is None:
                log.warning("what was missed stays in the history until the next reconnection: %r", reason)
                break
            await asyncio.sleep(pause)
        self._task = None
        self._release()

    async def _fetch(self, since: Moment) -> None:
        async with asyncio.timeout(SECONDS) as patience:
            loop = asyncio.get_running_loop()
            start = await self._on_the_servers_clock(since)
            async for dialog in self._changed(start):
                try:
                    async for message in self._messages.iterate(
                        dialog.id, newest_first=False, by="created_at", mark_as_read=False, created_at__gte=start
                    ):
                        self._give(replace(message, delayed=True, delayed_since=message.created_at))
                        await self._listeners()
                        patience.reschedule(loop.time() + SECONDS)
                except (Forbidden, NotFound):  # this user has left it meanwhile
                    continue

    async def _on_the_servers_clock(self, since: Moment) -> datetime:
        """A little before `since`, but not before the first login. This machine's clock may be wrong by any time."""
        if self._http.server_time() is None:
            await self._http.request("GET", "session")  # any reply tells it
        now = self._http.server_time() or datetime.now(UTC)
        age = since.age + MARGIN
        return now - timedelta(seconds=age if self._began is None else min(age, self._began.age))

    async def _changed(self, since: datetime) -> AsyncIterator[Dialog]:
        """The dialogs that have changed, each once. One that changes meanwhile moves to the end, and is found again."""
        given: set[str] = set()
        skip = 0
        while True:
            page = await self._dialogs.list(limit=PAGE, skip=skip, sort="updated_at", updated_at__gte=since)
            for dialog in page:
                if dialog.id not in given:
                    given.add(dialog.id)
                    yield dialog
            if len(page) < PAGE:
                return
            last = page[-1].updated_at
            if last is not None and last > since:
                since, skip = last, 0
            else:
                skip += PAGE

    async def _listeners(self) -> None:
        """Lets those who read catch up; one who does not read at all is waited for a second."""
        for _ in range(100):
            if self._keeping_up():
                return
            await asyncio.sleep(0.01)
