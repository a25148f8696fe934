"""The hashing threads under attack: others can still log in, and the excess is refused at once."""

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.abuse.support import PASSWORD, Latency, report, scaled
from tests.support.server_process import ServerProcess

SIGN_UPS = 300
CHANGERS = 9
LOGINS = 8
ATTACKER, BYSTANDER = "127.0.0.2", "127.0.0.3"  # the server counts by address


def rest(server: ServerProcess, address: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(
        local_address=address, limits=httpx.Limits(max_connections=250)
    )  # the server takes 256
    return httpx.AsyncClient(base_url=server.api_url, transport=transport, timeout=300)


async def create_users(server: ServerProcess, app: dict[str, Any], logins: list[str]) -> None:
    async with rest(server, "127.0.0.4") as client:
        for login in logins:
            body = {"user": {"login": login, "password": PASSWORD}}
            answer = await client.post("/users", json=body, headers={"CB-AuthKey": app["auth_key"]})
            assert answer.status_code == 201, answer.text


async def log_in(client: httpx.AsyncClient, app: dict[str, Any], login: str) -> httpx.Response:
    user = {"login": login, "password": PASSWORD}
    return await client.post(
        "/session", json={"application_id": app["app_id"], "auth_key": app["auth_key"], "user": user}
    )


async def logins(server: ServerProcess, app: dict[str, Any], names: list[str]) -> Latency:
    """First logins, of which none is in memory, one after the other."""
    found = Latency()
    async with rest(server, BYSTANDER) as client:
        for login in names:
            begun = time.perf_counter()
            answer = await log_in(client, app, login)
            assert answer.status_code == 201, answer.text
            found.times.append(time.perf_counter() - begun)
    return found


async def test_sign_ups_do_not_delay_logins(tmp_path: Path) -> None:
    # Without the cap of connections per address, which is not what is filled here; older servers do not know it.
    options: dict[str, Any] = {} if "SERVER_SOURCE" in os.environ else {"http_connections": 1000}
    with ServerProcess(tmp_path / "data", **options) as server:
        app = server.create_app()
        names = [f"bystander {number}" for number in range(LOGINS)]
        await create_users(server, app, names)
        async with rest(server, ATTACKER) as attacker:

            async def sign_up(number: int) -> httpx.Response:
                body = {"user": {"login": f"attacker {number}", "password": PASSWORD}}
                return await attacker.post("/users", json=body, headers={"CB-AuthKey": app["auth_key"]})

            attack = [asyncio.create_task(sign_up(number)) for number in range(scaled(SIGN_UPS))]
            await asyncio.wait(attack, return_when=asyncio.FIRST_COMPLETED)
            found = await logins(server, app, names)
            over = sum(task.done() for task in attack)
            answers = await asyncio.gather(*attack)
        statuses = Counter(answer.status_code for answer in answers)
        # How many are refused depends on how fast the machine hashes; `test_hash_queue` fills the bound itself.
        report("A4 sign-ups", sign_ups=len(attack), finished_before=over, statuses=str(statuses), **found.figures())
        refused = [answer for answer in answers if answer.status_code != 201]
        assert all(answer.status_code in (429, 503) and int(answer.headers["Retry-After"]) > 0 for answer in refused)
        assert statuses[201] > 0
        assert found.at(0.5) < 5000


async def test_password_changes_have_a_rate(tmp_path: Path) -> None:
    seconds = scaled(3)
    with ServerProcess(tmp_path / "data") as server:
        app = server.create_app()
        names = [f"bystander {number}" for number in range(LOGINS)]
        changers = [f"changer {number}" for number in range(CHANGERS)]
        await create_users(server, app, names + changers)
        statuses: Counter[int] = Counter()
        begun = time.monotonic()
        ends = begun + seconds
        async with rest(server, ATTACKER) as attacker:

            async def change(login: str) -> None:
                session = (await log_in(attacker, app, login)).json()["session"]
                passwords = [PASSWORD, PASSWORD[::-1]]
                while time.monotonic() < ends:
                    answer = await attacker.put(
                        f"/users/{session['user_id']}",
                        json={"user": {"old_password": passwords[0], "password": passwords[1]}},
                        headers={"CB-Token": session["token"]},
                    )
                    statuses[answer.status_code] += 1
                    if answer.status_code == 200:
                        passwords.reverse()
                    else:
                        assert answer.status_code in (429, 503), answer.text
                        assert int(answer.headers["Retry-After"]) > 0
                        await asyncio.sleep(0.1)

            attack = [asyncio.create_task(change(login)) for login in changers]
            found = await logins(server, app, names)
            await asyncio.gather(*attack)
        took = time.monotonic() - begun
        report("A4 changes", seconds=round(took, 1), statuses=str(statuses), **found.figures())
        assert statuses[200] <= CHANGERS * (5 + took / 60 + 1)
        assert found.at(0.5) < 5000
