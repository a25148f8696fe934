"""A fault campaign: kills, cuts, stalls, database stops and lost commits; then everything is compared.

What was acknowledged is stored once and in order, and every session was given it once, in the order of the dialog.
`FAULT_SECONDS=1800` makes it half an hour instead of seconds, with outages longer than the writer's patience;
`FAULT_SEED` another one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.campaign import PASSWORD, Campaign, Place
from tests.scenarios.support_raw import rows
from tests.support.bad_network import BadNetwork
from tests.support.components import missing
from tests.support.database_proxy import DatabaseProxy, database_proxy
from tests.support.postgres import PostgresServer
from tests.support.server_process import ServerProcess
from voxcube.client import Client

log = logging.getLogger(__name__)

SECONDS = float(os.environ.get("FAULT_SECONDS", "8"))
SEED = int(os.environ.get("FAULT_SEED", "2026"))
NAMES = ("ann", "bob", "cyd")
SETTLE_SECONDS = 90.0

pytestmark = pytest.mark.timeout(240 + 2 * SECONDS)


async def gather(campaign: Campaign) -> None:
    """Accounts, a private dialog of each two, and a group of all."""
    server, app = campaign.server, await asyncio.to_thread(campaign.server.create_app)
    campaign.app_id = app["app_id"]
    options = {"app_id": app["app_id"], "auth_key": app["auth_key"], "auth_secret": app["auth_secret"]}
    async with Client(**options, api_url=server.api_url, chat_host="localhost") as cube:
        await cube.auth.create_session()
        for name in NAMES:
            campaign.users[name] = (await cube.users.signup(login=name, password=PASSWORD)).id
        await cube.auth.create_session(login="ann", password=PASSWORD)
        group = await cube.dialogs.create_group("All", [campaign.users[name] for name in NAMES[1:]])
    campaign.places = [Place("all", NAMES, group.id)]
    campaign.places += [Place(a + b, (a, b)) for a in NAMES for b in NAMES if a < b]


async def stored(campaign: Campaign, url: str) -> dict[str, list[str]]:
    """The ids of each place's messages by number, read past the server."""
    found, dialogs = await rows(
        url, "SELECT dialog_id, seq, id FROM messages ORDER BY dialog_id, seq", "SELECT id, pair FROM dialogs"
    )
    names = {f"{campaign.users[a]}:{campaign.users[b]}": a + b for a in NAMES for b in NAMES if a != b}
    places = {id_: "all" if pair is None else "".join(sorted_names(names[pair])) for id_, pair in dialogs}
    result: dict[str, list[str]] = {place.name: [] for place in campaign.places}
    for dialog_id, seq, id_ in found:
        result[places[dialog_id]].append(id_)
        assert seq == len(result[places[dialog_id]]), "a number was burnt or given twice"
    return result


def sorted_names(pair: str) -> list[str]:
    """ "bobann" → ["ann", "bob"]."""
    return sorted([pair[:3], pair[3:]])


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_a_campaign(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    async with AsyncExitStack() as stack:
        proxy: DatabaseProxy | None = None
        url = direct = f"sqlite:///{tmp_path / 'voxcube.db'}"
        if backend == "postgresql":
            if PostgresServer.find() is None:
                missing("PostgreSQL is not installed")
            postgres: PostgresServer = request.getfixturevalue("own_postgres")
            direct = postgres.create_database()
            proxy = DatabaseProxy(postgres.port)
            port = await stack.enter_async_context(database_proxy(proxy))
            url = direct.replace(f":{postgres.port}/", f":{port}/")
        server = ServerProcess(tmp_path / "node", database=url, plaintext=True, unlimited=True)
        await asyncio.to_thread(server.start)
        stack.callback(server.kill)
        network = await stack.enter_async_context(BadNetwork(server.addresses["xmpp"], dice).open())
        campaign = Campaign(server, network, dice)
        campaign.long_outage = 20.0 if SECONDS >= 60 else 1.0
        await gather(campaign)
        faults: list[Callable[[], Awaitable[None]]] = [campaign.kill, *[campaign.cut] * 4, *[campaign.freeze] * 2]
        if proxy is not None:

            async def lose(proxy: DatabaseProxy = proxy) -> None:
                await campaign.lose_commits(proxy)

            async def restart() -> None:
                campaign.counts["database stops"] += 1
                await asyncio.to_thread(postgres.restart, crash=dice.random() < 0.5)

            faults += [lose, lose, lose, restart]
        readers = [asyncio.create_task(campaign.read(name, sm)) for name in NAMES for sm in (True, False)]
        writers = [asyncio.create_task(campaign.write(name)) for name in NAMES]
        end = asyncio.get_running_loop().time() + SECONDS
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(dice.uniform(0.3, 1.5))
            await dice.choice(faults)()
        campaign.enough.set()
        async with asyncio.timeout(SETTLE_SECONDS):
            await asyncio.gather(*writers)
        await asyncio.sleep(1.0)  # for what should not come any more
        campaign.over.set()
        async with asyncio.timeout(SETTLE_SECONDS):
            await asyncio.gather(*readers)
        wrong = campaign.check(await stored(campaign, direct))
        acknowledged = sum(bool(message.acknowledged) for message in campaign.sent)
        log.warning("%s: %d acknowledged of %d, %s", backend, acknowledged, len(campaign.sent), dict(campaign.counts))
        for line in wrong[:50]:
            log.error("%s", line)
        assert not wrong, f"{len(wrong)} violations, the first: {wrong[0]}"
        assert acknowledged == len(campaign.sent) > 0
