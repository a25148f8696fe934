"""Event streams with two faces: an async iterator with its own queue, and a callback."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from voxcube.client.errors import EventsLost

T = TypeVar("T")

QUEUE_LIMIT = 1000

Unsubscribe = Callable[[], None]
"""Call it to stop a callback; calling it again does nothing."""

log = logging.getLogger("voxcube.client")

# The loop itself keeps only weak references to tasks.
_tasks: set[asyncio.Task[None]] = set()


class EventStream(Generic[T]):
    """An async iterator over the events that happened since it was opened.

    It holds at most ``limit`` unread events. When more come, the oldest are dropped and the next step raises
    ``EventsLost`` once, with their number; after that it may be iterated further.

    Example:
        >>> messages = cube.chat.messages()
        >>> async for message in messages:
        ...     print(message.body)
    """

    def __init__(self, accepts: Callable[[T], bool] | None = None, limit: int = QUEUE_LIMIT) -> None:
        if limit < 1:
            raise ValueError("limit must be at least 1")
        self._accepts = accepts
        self._limit = limit
        self._queue: deque[T] = deque()
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
                return self._queue.popleft()
            if self._closed:
                raise StopAsyncIteration
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
        self._wake()

    def push(self, event: T) -> None:
        """Queues an event (the SDK's side)."""
        if self._closed or (self._accepts is not None and not self._accepts(event)):
            return
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(event)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)


class _Callback(Generic[T]):
    """One ``on_…`` subscriber. Its calls never overlap: while an async one runs, further events wait in a queue."""

    def __init__(self, fn: Callable[[T], Any], accepts: Callable[[T], bool] | None) -> None:
        self._fn = fn
        self._accepts = accepts
        self._queue: deque[T] = deque()
        self._running = False
        self._closed = False

    def push(self, event: T) -> None:
        if self._closed or (self._accepts is not None and not self._accepts(event)):
            return
        if self._running:
            if len(self._queue) >= QUEUE_LIMIT:
                self._queue.popleft()
                log.warning("callback %r is too slow: an event was dropped", self._fn)
            self._queue.append(event)
            return
        pending = self._call(event)
        if pending is not None:
            self._running = True
            task = asyncio.get_running_loop().create_task(self._drain(pending))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)

    @property
    def is_read(self) -> bool:
        return len(self._queue) <= QUEUE_LIMIT // 2

    def close(self) -> None:
        self._closed = True
        self._queue.clear()

    def _call(self, event: T) -> Awaitable[Any] | None:
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
                if not self._queue:
                    return
                pending = self._call(self._queue.popleft())
        finally:
            self._running = False


class Feed(Generic[T]):
    """One kind of event and everybody who listens to it."""

    def __init__(self) -> None:
        # An iterator that nobody holds any more is forgotten with its queue.
        self._streams: weakref.WeakSet[EventStream[T]] = weakref.WeakSet()
        self._callbacks: list[_Callback[T]] = []

    def emit(self, event: T) -> None:
        """Gives an event to every listener."""
        for stream in tuple(self._streams):
            stream.push(event)
        for callback in tuple(self._callbacks):
            callback.push(event)

    @property
    def is_read(self) -> bool:
        """Whether every listener keeps up."""
        return all(stream.is_read for stream in self._streams) and all(each.is_read for each in self._callbacks)

    def open(self, accepts: Callable[[T], bool] | None = None) -> EventStream[T]:
        """A new iterator over the events from now on that ``accepts`` lets through."""
        stream = EventStream(accepts)
        self._streams.add(stream)
        return stream

    def subscribe(self, fn: Callable[[T], Any], accepts: Callable[[T], bool] | None = None) -> Unsubscribe:
        """Calls ``fn`` (sync or async) with each event from now on; what it raises is logged."""
        callback = _Callback(fn, accepts)
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            callback.close()
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def close(self) -> None:
        """Ends every iterator and drops every callback; later listeners start afresh."""
        for stream in tuple(self._streams):
            stream.close()
        self._streams.clear()
        for callback in self._callbacks:
            callback.close()
        self._callbacks.clear()
