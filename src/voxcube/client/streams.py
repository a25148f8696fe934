"""Event feeds: each kind of event as async iterators with a queue of their own, and as callbacks."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable
from typing import Any, Generic, Protocol, TypeVar

from voxcube.client.errors import ChatClosed, ClientClosed, EventsLost
from voxcube.client.receipts import Receipt

T = TypeVar("T")

QUEUE_LIMIT = 1000
HELD_EVENTS = 1000  # of each kind, for the first listener
HELD_BYTES = 4 * 1024 * 1024  # about; the same in the size of their texts

Unsubscribe = Callable[[], None]
"""Call it to stop a callback; calling it again does nothing."""

log = logging.getLogger("voxcube.client")

# The loop itself keeps only weak references to tasks.
_tasks: set[asyncio.Task[None]] = set()


class Line:
    """Whether the chat can still bring events; shared by all feeds of one chat."""

    def __init__(self) -> None:
        self.is_over = False
        """The chat is closed: iterators end when their queues are empty, until it connects again."""
        self.error: Exception | None = None
        """Why, unless the application closed it."""
        self.client_closed = False
        self._feeds: weakref.WeakSet[Feed[Any]] = weakref.WeakSet()

    def add(self, feed: Feed[Any]) -> None:
        """Wakes this feed's iterators when the chat is closed."""
        self._feeds.add(feed)

    def end(self, error: Exception | None) -> None:
        """The chat is closed, and does not connect again by itself."""
        self.is_over, self.error = True, error
        for feed in tuple(self._feeds):
            feed.wake()

    def revive(self) -> None:
        """The chat connects again."""
        self.is_over, self.error = False, None

    def forget(self) -> None:
        """Drops the events that are held for later listeners: they are nothing to the next user."""
        for feed in tuple(self._feeds):
            feed.forget()

    def check(self) -> None:
        """Raises ClientClosed when no event can ever come."""
        if self.client_closed:
            raise ClientClosed


class _Entry(Generic[T]):
    """One event on its way to the listeners, and the receipt that is due when the first of them has it."""

    __slots__ = ("event", "queues", "receipt", "serial", "size", "taken")

    def __init__(self, event: T, receipt: Receipt | None = None, serial: int = 0) -> None:
        self.event = event
        self.receipt = receipt
        self.serial = serial
        self.queues = 0  # of listeners that it waits in
        self.size = 0  # while it is held for the first listener
        self.taken = False

    def take(self) -> T:
        """A listener gets it."""
        self.queues -= 1
        self.taken = True
        if self.receipt is not None:
            self.receipt.settle(True)
        return self.event

    def leave(self) -> bool:
        """A listener lets go of it unread; returns whether no other has it or will get it."""
        self.queues -= 1
        return not self.taken and self.queues == 0

    def drop(self) -> None:
        """No listener will get it."""
        if self.receipt is not None:
            self.receipt.settle(False)


class _Listener(Protocol[T]):
    def put(self, entry: _Entry[T]) -> bool:
        """Takes or queues an event; returns False when the listener does not want it."""
        ...

    def missed(self, count: int) -> None:
        """So many events were dropped before the listener existed."""


class EventStream(Generic[T]):
    """An async iterator over the events that happened since it was opened, after those held for the first listener.

    It holds at most ``limit`` unread events. When more come, the oldest are dropped and the next step raises
    ``EventsLost`` once, with their number; after that it may be iterated further.

    The iteration ends, after the events already queued, when the chat is closed: quietly after ``disconnect()``, with
    ``ChatClosed`` when the connection was given up. After the next ``connect()`` it may be iterated further.

    Example:
        >>> messages = cube.chat.messages()
        >>> async for message in messages:
        ...     print(message.body)
    """

    def __init__(
        self, accepts: Callable[[T], bool] | None = None, limit: int = QUEUE_LIMIT, line: Line | None = None
    ) -> None:
        if limit < 1:
            raise ValueError("limit must be at least 1")
        self._accepts = accepts
        self._limit = limit
        self._line = line or Line()
        self._queue: deque[_Entry[T]] = deque()
        self._lost = 0
        self._closed = False
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __aiter__(self) -> EventStream[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            if self._lost:
                lost, self._lost = self._lost, 0
                raise EventsLost(lost)
            if self._queue:
                return self._queue.popleft().take()
            if self._closed:
                raise StopAsyncIteration
            if self._line.is_over:
                if self._line.error is None:
                    raise StopAsyncIteration
                raise ChatClosed(self._line.error) from self._line.error
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    @property
    def is_read(self) -> bool:
        """Whether it has room for a good many more events."""
        return len(self._queue) <= self._limit // 2

    def close(self) -> None:
        """Takes no further events; the iterator ends after those already queued."""
        self._closed = True
        self.wake()

    def push(self, event: T) -> None:
        """Queues an event (the SDK's side)."""
        self.put(_Entry(event))

    def put(self, entry: _Entry[T]) -> bool:
        """Queues an event (the SDK's side); returns False when it is not wanted."""
        if self._closed or (self._accepts is not None and not self._accepts(entry.event)):
            return False
        if len(self._queue) >= self._limit:
            oldest = self._queue.popleft()
            if oldest.leave():
                oldest.drop()
            self._lost += 1
        entry.queues += 1
        self._queue.append(entry)
        self.wake()
        return True

    def missed(self, count: int) -> None:
        """Counts events that were dropped before (the SDK's side)."""
        self._lost += count

    def wake(self) -> None:
        """Makes waiting readers look again (the SDK's side)."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)


class _Callback(Generic[T]):
    """One ``on_…`` subscriber. Its calls never overlap: while an async one runs, further events wait in a queue."""

    def __init__(self, fn: Callable[[T], Any], accepts: Callable[[T], bool] | None) -> None:
        self._fn = fn
        self._accepts = accepts
        self.queue: deque[_Entry[T]] = deque()
        self._running = False
        self._closed = False

    def put(self, entry: _Entry[T]) -> bool:
        if self._closed or (self._accepts is not None and not self._accepts(entry.event)):
            return False
        entry.queues += 1
        if self._running:
            if len(self.queue) >= QUEUE_LIMIT:
                oldest = self.queue.popleft()
                if oldest.leave():
                    oldest.drop()
                log.warning("callback %r is too slow: an event was dropped", self._fn)
            self.queue.append(entry)
            return True
        pending = self._call(entry)
        if pending is not None:
            self._start(pending)
        return True

    def missed(self, count: int) -> None:
        log.warning("%d events were dropped before callback %r was added", count, self._fn)

    def begin_later(self) -> bool:
        """Queues events until the next turn of the loop; returns whether there is a loop.

        The events held for it must not call it before the caller of ``on_…`` has what stops it.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._start(None)
        return True

    @property
    def is_read(self) -> bool:
        return len(self.queue) <= QUEUE_LIMIT // 2

    def close(self) -> None:
        self._closed = True

    def _start(self, pending: Awaitable[Any] | None) -> None:
        self._running = True
        task = asyncio.get_running_loop().create_task(self._drain(pending))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    def _call(self, entry: _Entry[T]) -> Awaitable[Any] | None:
        event = entry.take()
        try:
            result = self._fn(event)
        except Exception:
            log.exception("callback %r failed", self._fn)
            return None
        return result if isawaitable(result) else None

    async def _drain(self, pending: Awaitable[Any] | None) -> None:
        try:
            while True:
                if pending is not None:
                    try:
                        await pending
                    except Exception:
                        log.exception("callback %r failed", self._fn)
                if not self.queue:
                    return
                pending = self._call(self.queue.popleft())
        finally:
            self._running = False


class Feed(Generic[T]):
    """One kind of event and its listeners.

    With ``hold``, events that no listener wants are kept for the first one that does: at most 1,000 of about 4 MiB,
    beyond which the oldest are dropped and that listener learns how many. Events a listener leaves behind unread are
    kept in the same way. ``keeps`` says which events are held although there are listeners.
    """

    def __init__(
        self, line: Line | None = None, *, hold: bool = False, keeps: Callable[[T], bool] | None = None
    ) -> None:
        self._line = line or Line()
        self._line.add(self)
        self._holds = hold
        self._keeps = keeps
        # An iterator that nobody holds any more is forgotten; what it had not read goes to the next listener.
        self._streams: weakref.WeakSet[EventStream[T]] = weakref.WeakSet()
        self._callbacks: list[_Callback[T]] = []
        self._serial = 0
        self._generation = 0  # changes when what happened before is nothing to later listeners
        self._held: deque[_Entry[T]] = deque()
        self._held_bytes = 0
        self._dropped = 0

    def emit(self, event: T, receipt: Receipt | None = None) -> None:
        """Gives an event to every listener. ``receipt`` is settled when the first of them has it."""
        self._serial += 1
        entry = _Entry(event, receipt, self._serial)
        if receipt is not None:
            receipt.claimed = True
        wanted = False
        for stream in tuple(self._streams):
            wanted |= stream.put(entry)
        for callback in tuple(self._callbacks):
            wanted |= callback.put(entry)
        if not wanted:
            self._hold([entry])

    @property
    def is_read(self) -> bool:
        """Whether every listener keeps up."""
        return all(stream.is_read for stream in self._streams) and all(each.is_read for each in self._callbacks)

    def open(self, accepts: Callable[[T], bool] | None = None) -> EventStream[T]:
        """A new iterator over the events that ``accepts`` lets through. Raises ClientClosed."""
        self._line.check()
        stream = EventStream(accepts, line=self._line)
        gone = weakref.finalize(stream, _give_back, weakref.ref(self), self._generation, stream._queue)
        gone.atexit = False
        self._streams.add(stream)
        self._hand_over(stream)
        return stream

    def subscribe(self, fn: Callable[[T], Any], accepts: Callable[[T], bool] | None = None) -> Unsubscribe:
        """Calls ``fn`` (sync or async) with each event; what it raises is logged. Raises ClientClosed."""
        self._line.check()
        callback = _Callback(fn, accepts)
        self._callbacks.append(callback)
        generation = self._generation
        if self._held or self._dropped:
            callback.begin_later()
            self._hand_over(callback)

        def unsubscribe() -> None:
            callback.close()
            if callback in self._callbacks:
                self._callbacks.remove(callback)
            unread = tuple(callback.queue)
            callback.queue.clear()
            self._take_back(unread, generation)

        return unsubscribe

    def wake(self) -> None:
        """Makes waiting readers look again."""
        for stream in tuple(self._streams):
            stream.wake()

    def forget(self) -> None:
        """Drops what is held: it is nothing to the next user."""
        self._generation += 1
        held, self._held = self._held, deque()
        self._held_bytes = self._dropped = 0
        for entry in held:
            entry.drop()

    def close(self) -> None:
        """Ends every iterator and drops every callback; later listeners start afresh."""
        for stream in tuple(self._streams):
            stream.close()
        self._streams.clear()
        for callback in self._callbacks:
            callback.close()
            callback.queue.clear()
        self._callbacks.clear()
        self.forget()

    # Held events

    def _hold(self, entries: Iterable[_Entry[T]]) -> None:
        listeners = bool(self._streams or self._callbacks)
        for entry in entries:
            if not self._holds or (listeners and self._keeps is not None and not self._keeps(entry.event)):
                entry.drop()
                continue
            entry.size = len(repr(entry.event))
            self._held.append(entry)
            self._held_bytes += entry.size
        while len(self._held) > HELD_EVENTS or self._held_bytes > HELD_BYTES:
            oldest = self._held.popleft()
            self._held_bytes -= oldest.size
            self._dropped += 1
            oldest.drop()

    def _hand_over(self, listener: _Listener[T]) -> None:
        """Gives a new listener what was held for it."""
        held, self._held = self._held, deque()
        self._held_bytes = 0
        dropped, self._dropped = self._dropped, 0
        if dropped:
            listener.missed(dropped)
        self._hold([entry for entry in held if not listener.put(entry)])

    def _take_back(self, unread: Iterable[_Entry[T]], generation: int) -> None:
        left = [entry for entry in unread if entry.leave()]
        if not left:
            return
        if generation != self._generation:
            for entry in left:
                entry.drop()
            return
        held, self._held = self._held, deque()
        self._held_bytes = 0
        self._hold(sorted((*held, *left), key=lambda entry: entry.serial))


def _give_back(feed: weakref.ref[Feed[T]], generation: int, unread: deque[_Entry[T]]) -> None:
    """An iterator is gone: what it had not read goes to the next listener."""
    found = feed()
    if found is not None and unread:
        found._take_back(unread, generation)
