"""Event streams: iterators with bounded queues, callbacks, and their end."""

import asyncio
import gc
import logging

import pytest

from voxcube.client import EventsLost
from voxcube.client.streams import EventStream, Feed
from voxcube.client.timers import Timers


async def test_an_iterator_gets_what_happens_after_it_was_opened() -> None:
    feed: Feed[int] = Feed()
    feed.emit(0)
    stream = feed.open()
    feed.emit(1)
    feed.emit(2)
    feed.close()
    assert [event async for event in stream] == [1, 2]


async def test_a_waiting_iterator_is_woken() -> None:
    feed: Feed[int] = Feed()
    stream = feed.open(lambda event: event % 2 == 0)
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    feed.emit(1)
    feed.emit(2)
    assert await waiting == 2
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    feed.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_overflow_drops_the_oldest_and_says_so_once() -> None:
    stream: EventStream[int] = EventStream(limit=3)
    for event in range(5):
        stream.push(event)
    with pytest.raises(EventsLost) as caught:
        await anext(stream)
    assert caught.value.count == 2
    stream.close()
    assert [event async for event in stream] == [2, 3, 4]


async def test_a_cancelled_reader_loses_nothing() -> None:
    feed: Feed[int] = Feed()
    stream = feed.open()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.001)
    feed.emit(1)
    assert await anext(stream) == 1


def test_a_forgotten_iterator_is_let_go() -> None:
    feed: Feed[int] = Feed()
    stream = feed.open()
    assert len(feed._streams) == 1
    del stream
    gc.collect()
    assert len(feed._streams) == 0


async def test_callbacks_sync_and_async_in_order() -> None:
    feed: Feed[int] = Feed()
    seen: list[int] = []
    slow: list[int] = []

    async def take(event: int) -> None:
        await asyncio.sleep(0.001 * (3 - event))
        slow.append(event)

    unsubscribe = feed.subscribe(seen.append)
    feed.subscribe(take)
    for event in range(3):
        feed.emit(event)
    assert seen == [0, 1, 2]
    unsubscribe()
    unsubscribe()
    feed.emit(3)
    await asyncio.sleep(0.05)
    assert seen == [0, 1, 2]
    assert slow == [0, 1, 2, 3]


async def test_a_failing_callback_is_logged_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    feed: Feed[int] = Feed()
    seen: list[int] = []

    def fail(event: int) -> None:
        seen.append(event)
        raise RuntimeError("mine")

    async def fail_later(event: int) -> None:
        seen.append(event)
        raise RuntimeError("mine too")

    feed.subscribe(fail)
    feed.subscribe(fail_later)
    with caplog.at_level(logging.ERROR, "voxcube.client"):
        feed.emit(1)
        feed.emit(2)
        await asyncio.sleep(0.01)
    assert sorted(seen) == [1, 1, 2, 2]
    assert len(caplog.records) == 4


async def test_a_slow_callback_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    feed: Feed[int] = Feed()
    seen: list[int] = []
    gate = asyncio.Event()

    async def take(event: int) -> None:
        await gate.wait()
        seen.append(event)

    feed.subscribe(take)
    for event in range(1003):
        feed.emit(event)
    gate.set()
    await asyncio.sleep(0.05)
    assert seen[:2] == [0, 3]
    assert len(seen) == 1001


async def test_a_callback_may_stop_itself() -> None:
    feed: Feed[int] = Feed()
    seen: list[int] = []

    async def once(event: int) -> None:
        seen.append(event)
        stop()

    stop = feed.subscribe(once)
    feed.emit(1)
    feed.emit(2)
    await asyncio.sleep(0.01)
    assert seen == [1]


def test_an_iterator_needs_room() -> None:
    with pytest.raises(ValueError, match="limit"):
        EventStream(limit=0)


async def test_timers_are_bounded() -> None:
    out: list[str] = []
    timers: Timers[str] = Timers(out.append, limit=2)
    for key in "abc":
        timers.start(key, 60)
    assert out == ["a"]
    assert "b" in timers
    timers.finish()
    assert out == ["a", "b", "c"]
    timers.start("d", 60)
    timers.clear()
    assert (out, "d" in timers) == (["a", "b", "c"], False)
