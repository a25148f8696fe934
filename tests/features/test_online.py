"""Who is online anywhere: this node's sessions at once, those of other nodes from the table, on both databases."""

from __future__ import annotations

from tests.delivery.support import Fake
from tests.features.world import World
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.features.presence import service
from voxcube.server.features.presence.service import LEASE_SECONDS, Online, OnlineTable


async def test_sessions_here_and_elsewhere(world: World) -> None:
    people = [await world.user(f"user{number}") for number in range(5)]
    foreign = await world.user("foreign", world.other)
    here, there = Sessions(), Sessions()
    tables = {}
    for name, sessions in (("a", here), ("b", there)):
        table = tables[name] = OnlineTable(sessions, world.writer, world.clock, name)
        await table.start()
        sessions.on_change = table.changed
    online = Online(here, world.database, world.clock, "a")
    ids = [person.id for person in people]
    everybody = [*ids, foreign.id]

    mine, theirs = Fake(ids[0]), [Fake(ids[1]), Fake(ids[2]), Fake(ids[0]), Fake(foreign.id, app_id=world.other.id)]
    here.add(mine)  # not written yet, but known
    for session in theirs:
        there.add(session)
    assert await online.among(ids, 10) == ids[:1]
    await tables["b"].flush()
    assert await online.among(ids, 10) == ids[:3]
    assert await online.among(ids, 2) == ids[:2]
    assert await online.among([], 10) == []
    assert await online.in_app(world.app.id, 10) == ids[:3]
    assert len(await online.in_app(world.app.id, 2)) == 2
    assert await online.in_app(world.other.id, 10) == [foreign.id]
    # What this node wrote before is no news to it.
    await tables["a"].flush()
    here.remove(mine)
    there.remove(theirs[2])
    await tables["b"].flush()
    assert await online.among(everybody, 10) == [*ids[1:3], foreign.id]
    world.clock.advance(LEASE_SECONDS + 1)  # the other node has died
    assert await online.among(everybody, 10) == []
    assert await online.in_app(world.app.id, 10) == []


async def test_many_members_are_looked_up_in_steps(world: World) -> None:
    table = OnlineTable(there := Sessions(), world.writer, world.clock, "b")
    await table.start()
    there.on_change = table.changed
    for user_id in (1, 7_000, 14_000):
        there.add(Fake(user_id))
    await table.flush()
    online = Online(Sessions(), world.database, world.clock, "a")
    assert service.LOOKED_UP < 7_000
    assert await online.among(range(1, 15_000), 10) == [1, 7_000, 14_000]
    assert await online.among(range(1, 15_000), 2) == [1, 7_000]
