"""The queue of the hashing threads: whose turn it is, and who is refused."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from voxcube.server.core.errors import Unavailable
from voxcube.server.features.users.hash_queue import PATIENCE, HashQueue, Lane

BOUND = 6


class Held:
    """A queue with one thread, which is busy until `release`; `order` lists the jobs as they were run."""

    def __init__(self) -> None:
        self.queue = HashQueue(threads=1, bounds=dict.fromkeys(Lane, BOUND))
        self.order: list[str] = []
        self._go = threading.Event()
        self.tasks: list[asyncio.Task[Any]] = [asyncio.create_task(self.queue.run(self._go.wait, Lane.KNOWN, "first"))]

    async def add(self, name: str, lane: Lane, address: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.queue.run(lambda: self.order.append(name), lane, address))
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def release(self) -> list[Any]:
        self._go.set()
        results: list[Any] = await asyncio.gather(*self.tasks, return_exceptions=True)
        return results


@pytest_asyncio.fixture
async def held() -> AsyncIterator[Held]:
    held = Held()
    await asyncio.sleep(0)
    yield held
    await held.release()
    held.queue.close()


async def test_logins_come_before_sign_ups_and_known_addresses_first(held: Held) -> None:
    await held.add("sign-up", Lane.CHANGE, "a")
    await held.add("login", Lane.LOGIN, "b")
    await held.add("known", Lane.KNOWN, "c")
    await held.release()
    assert held.order == ["known", "login", "sign-up"]


async def test_addresses_take_turns(held: Held) -> None:
    for number in range(3):
        await held.add(f"a{number}", Lane.CHANGE, "a")
    await held.add("b0", Lane.CHANGE, "b")
    await held.add("c0", Lane.CHANGE, "c")
    await held.release()
    assert held.order == ["a0", "b0", "c0", "a1", "a2"]


async def test_no_lane_starves(held: Held) -> None:
    held.queue._bounds = dict.fromkeys(Lane, 100)
    await held.add("sign-up", Lane.CHANGE, "a")
    for number in range(20):
        await held.add(f"login {number}", Lane.KNOWN, "b")
    await held.release()
    assert held.order.index("sign-up") == PATIENCE[Lane.CHANGE]


async def test_a_full_lane_refuses_at_once_and_says_when_to_come_again(held: Held) -> None:
    for number in range(BOUND):
        await held.add(f"a{number}", Lane.CHANGE, "a")
    refused = await held.add("one more", Lane.CHANGE, "a")
    await asyncio.sleep(0)
    error = refused.exception()
    assert isinstance(error, Unavailable)
    assert error.retry_after is not None
    assert error.retry_after >= 1
    await held.add("login", Lane.LOGIN, "a")  # the other lanes are not full
    await held.release()
    assert held.order == ["login", *(f"a{number}" for number in range(BOUND))]


async def test_who_occupies_most_of_a_full_lane_gives_way(held: Held) -> None:
    tasks = [await held.add(f"a{number}", Lane.CHANGE, "a") for number in range(BOUND)]
    for address in "bcdefgh":
        await held.add(address, Lane.CHANGE, address)
    await held.release()
    assert sorted(held.order) == ["a0", "b", "c", "d", "e", "f"]  # until everybody has one
    assert sum(isinstance(task.exception(), Unavailable) for task in tasks) == BOUND - 1
    assert held.queue.waiting == 0


async def test_cancelled_requests_are_not_hashed(held: Held) -> None:
    gone = await held.add("gone", Lane.LOGIN, "a")
    await held.add("stays", Lane.LOGIN, "a")
    gone.cancel()
    await held.release()
    assert held.order == ["stays"]


async def test_errors_reach_the_caller_and_the_thread_goes_on() -> None:
    queue = HashQueue(threads=1)
    with pytest.raises(ZeroDivisionError):
        await queue.run(lambda: 1 // 0, Lane.LOGIN, "a")
    assert await queue.run(lambda: 7, Lane.LOGIN, "a") == 7
    queue.close()
