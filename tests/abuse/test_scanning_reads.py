"""A3: a user who searches a long dialog again and again does not slow other users' plain pages down."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.abuse.support import PASSWORD, Latency, report, scaled
from tests.support.server_process import ServerProcess
from voxcube.server.core.ids import object_id

MESSAGES = 30_000
AT_ONCE = 12  # scanning requests of the attacker under way
PAGES = 40
SLOWEST_MS = 5_000.0  # for a plain page: very generous, for a machine under load


def seed(data: Path, app_id: int, users: list[int]) -> list[str]:
    """Groups of these users: a long one for the first, and a short one for the second; returns their ids."""
    made = []
    connection = sqlite3.connect(data / "voxcube.db")
    for owner, size in zip(users, (scaled(MESSAGES), 200), strict=True):
        dialog = object_id()
        connection.execute(
            "INSERT INTO dialogs (id, app_id, type, owner_id, created_at, updated_at, seq, live, last_seq)"
            " VALUES (?, ?, 2, ?, 0, 0, ?, ?, ?)",
            (dialog, app_id, owner, size, size, size),
        )
        connection.execute(
            "INSERT INTO members (dialog_id, user_id, app_id, type, active, admin, hidden, muted, joined_at, settled)"
            " VALUES (?, ?, ?, 2, 1, 0, 0, 0, 0, ?)",
            (dialog, owner, app_id, size),
        )
        connection.execute(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?) INSERT INTO messages"
            " (dialog_id, seq, id, app_id, sender_id, recipient_id, body, date_sent, created_at, updated_at)"
            " SELECT ?, n, printf('%s%08x', substr(?, 9), n), ?, ?, 0, printf('message %d ', n) || hex(zeroblob(200)),"
            " n, n * 1000, n * 1000 FROM n",
            (size, dialog, dialog, app_id, owner),
        )
        made.append(dialog)
    connection.commit()
    connection.close()
    return made


async def test_searches_leave_plain_pages_alone(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", unlimited=True) as server:
        app = server.create_app()
        users = [server.create_user(app["app_id"], login, PASSWORD) for login in ("attacker", "bystander")]
        server.stop()
        long, short = seed(server.data, app["app_id"], users)
        server.start()
        async with httpx.AsyncClient(base_url=server.api_url, timeout=120, limits=httpx.Limits()) as client:
            tokens = []
            for login in ("attacker", "bystander"):
                answer = await client.post(
                    "/session",
                    json={
                        "application_id": app["app_id"],
                        "auth_key": app["auth_key"],
                        "user": {"login": login, "password": PASSWORD},
                    },
                )
                tokens.append(answer.json()["session"]["token"])
            statuses: Counter[int] = Counter()
            stop = asyncio.Event()

            async def attack() -> None:
                while not stop.is_set():
                    answer = await client.get(
                        f"/chat/Message?chat_dialog_id={long}&message[ctn]=zzzz", headers={"CB-Token": tokens[0]}
                    )
                    statuses[answer.status_code] += 1
                    if answer.status_code == 429:
                        assert int(answer.headers["Retry-After"]) > 0
                        await asyncio.sleep(0.1)

            attackers = [asyncio.create_task(attack()) for _ in range(AT_ONCE)]
            await asyncio.sleep(0.5)
            plain = Latency()
            for _ in range(PAGES):
                begun = time.perf_counter()
                answer = await client.get(f"/chat/Message?chat_dialog_id={short}", headers={"CB-Token": tokens[1]})
                plain.times.append(time.perf_counter() - begun)
                assert len(answer.json()["items"]) == 100
                if plain.times[-1] > SLOWEST_MS / 1000:
                    break
            stop.set()
            await asyncio.gather(*attackers)
    report("A3", messages=scaled(MESSAGES), answered=statuses[200], refused=statuses[429], **plain.figures())
    assert plain.at(1.0) < SLOWEST_MS
    assert statuses[200] > 0
    assert statuses[429] > 0  # at most one is under way and a few wait
