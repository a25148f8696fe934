"""What strangers write is not kept: names in the tables of the rate limits, and lines in the log."""

import asyncio
from pathlib import Path

import httpx

from tests.abuse.support import memory_mib, report, scaled
from tests.support.server_process import ServerProcess

NAMES = 95
BAD_REQUESTS = 1000


async def test_long_names_leave_nothing_behind(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        app = server.create_app()
        async with httpx.AsyncClient(base_url=server.api_url, timeout=60) as client:

            async def log_in(field: str, name: str) -> httpx.Response:
                user = {field: name, "password": "a wrong password"}
                body = {"application_id": app["app_id"], "auth_key": app["auth_key"], "user": user}
                return await client.post("/session", json=body)

            token = (await client.post("/session", json={"application_id": app["app_id"], **app})).json()
            headers = {"CB-Token": token["session"]["token"]}
            await log_in("login", "x" * 1_000_000)
            before = memory_mib(server)
            statuses = set()
            for number in range(scaled(NAMES)):
                name = f"{number:06}" + "x" * 1_000_000
                for field in ("login", "email"):
                    statuses.add((await log_in(field, name)).status_code)
                answer = await client.post("/login", json={"login": name, "password": "wrong word"}, headers=headers)
                statuses.add(answer.status_code)
            after = memory_mib(server)
        report("A9 names", names=3 * scaled(NAMES), statuses=str(statuses), grown_mib=round(after - before, 1))
        assert statuses <= {422, 429}
        assert after - before < 30


async def test_bad_requests_do_not_fill_the_log(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        before = len(server.log())
        for _ in range(scaled(BAD_REQUESTS)):
            reader, writer = await asyncio.open_connection(*server.addresses["http"])
            writer.write(b"this is not HTTP\r\n\r\n")
            await reader.read()
            writer.close()
            reader, writer = await asyncio.open_connection(*server.addresses["https"])
            writer.write(b"this is not TLS\r\n\r\n")
            await reader.read()
            writer.close()
        grown = len(server.log()) - before
        report("A9 log", bad_requests=2 * scaled(BAD_REQUESTS), log_bytes=grown)
        assert grown < 20_000
