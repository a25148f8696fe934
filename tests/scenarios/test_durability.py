"""Promise 1 of the design, with real processes: what is acknowledged is never lost, duplicated or reordered."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.scenarios.support_crowd import Crowd
from tests.scenarios.support_raw import check_raw, stored_ids
from tests.support.server_process import ServerProcess

PEOPLE = 5
ROUNDS = 3


def server_at(directory: Path, database_url: str) -> ServerProcess:
    return ServerProcess(directory / "node", database=database_url, plaintext=True, unlimited=True)


def kill_after(server: ServerProcess, seconds: float) -> None:
    time.sleep(seconds)
    server.kill()


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(database_url: str, tmp_path: Path) -> None:
    with server_at(tmp_path, database_url) as server:
        async with Crowd(server, PEOPLE, seed=2026).gathered() as crowd:
            in_flight = recognised = 0
            for _ in range(ROUNDS):
                talking = [asyncio.create_task(person.talk(endlessly=True)) for person in crowd.people]
                await crowd.wait_confirmed(crowd.dice.randint(300, 1000))
                # One hangs up in the middle of it: what was stored and never confirmed must be recognised later.
                await crowd.dice.choice(crowd.people).client.chat.disconnect()
                # From a thread: not only at moments when the clients' event loop rests.
                await asyncio.to_thread(kill_after, server, crowd.dice.uniform(0, 0.02))
                await asyncio.gather(*talking)
                unconfirmed = {message.id for person in crowd.people for message in person.unconfirmed}
                stored = await stored_ids(database_url)
                confirmed = {m.id for person in crowd.people for m in person.sent if m.confirmed}
                assert confirmed <= stored, f"{len(confirmed - stored)} acknowledged messages did not survive the kill"
                in_flight += len(unconfirmed)
                recognised += len(unconfirmed & stored)
                await asyncio.to_thread(server.start)
                await crowd.connect()
            await asyncio.gather(*(person.talk() for person in crowd.people))
            assert not any(person.unconfirmed for person in crowd.people)
            assert in_flight, "every kill came when nothing was under way; this proves nothing"
            assert recognised, "nothing had to be recognised as stored already; this proves little"
            await crowd.settle()
            await check_raw(database_url, await crowd.check())
            print(f"{crowd.confirmed=} {in_flight=} {recognised=}")  # noqa: T201
            assert server.stop() == 0
