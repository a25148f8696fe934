"""Promise 1 of the design, with real processes: what is acknowledged is never lost, duplicated or reordered."""

from __future__ import annotations

import asyncio
import logging
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.support_crowd import PASSWORD, Crowd
from tests.scenarios.support_raw import check_raw, stored_ids
from tests.support.node import running
from tests.support.postgres import PostgresServer
from tests.support.server_process import ServerProcess
from tests.support.xmpp_peer import Peer
from voxcube.client.ids import new_message_id
from voxcube.server.storage.database import DataError, Tx
from voxcube.server.storage.messages import Send

log = logging.getLogger(__name__)

PEOPLE = 5
ROUNDS = 3
MAX_ROUNDS = 10  # of which some must kill between a commit and its acknowledgement


def server_at(directory: Path, database_url: str) -> ServerProcess:
    return ServerProcess(directory / "node", database=database_url, plaintext=True, unlimited=True)


def kill_after(server: ServerProcess, seconds: float) -> None:
    time.sleep(seconds)
    server.kill()


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(database_url: str, tmp_path: Path) -> None:
    with server_at(tmp_path, database_url) as server:
        async with Crowd(server, PEOPLE, seed=2026).gathered() as crowd:
            in_flight = recognised = 0
            for number in range(1, MAX_ROUNDS + 1):
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
                if number >= ROUNDS and recognised:
                    break
            await asyncio.gather(*(person.talk() for person in crowd.people))
            assert not any(person.unconfirmed for person in crowd.people)
            assert in_flight, "every kill came when nothing was under way; this proves nothing"
            assert recognised, "nothing had to be recognised as stored already; this proves little"
            await crowd.settle()
            await check_raw(database_url, await crowd.check())
            log.info(
                "%d confirmed, %d in flight at the kills, %d of them stored", crowd.confirmed, in_flight, recognised
            )
            assert server.stop() == 0


async def finish(crowd: Crowd, database_url: str, talking: list[asyncio.Task[None]], *strangers: int) -> None:
    """Stops those who talk, waits until everything is where it shall be, and looks at all of it."""
    crowd.enough = True
    await asyncio.gather(*talking)
    await crowd.connect()
    await asyncio.gather(*(person.talk() for person in crowd.people))
    assert not any(person.unconfirmed for person in crowd.people)
    await crowd.settle()
    await check_raw(database_url, await crowd.check(*strangers))


async def test_postgres_crashes_under_a_running_server(own_postgres: PostgresServer, tmp_path: Path) -> None:
    database_url = own_postgres.create_database()
    with server_at(tmp_path, database_url) as server:
        async with Crowd(server, PEOPLE, seed=5).gathered() as crowd:
            pid = server.pid
            talking = [asyncio.create_task(person.persist()) for person in crowd.people]
            for crash in (True, False):
                await crowd.wait_confirmed(crowd.dice.randint(300, 700))
                await asyncio.to_thread(own_postgres.restart, crash=crash)
                await crowd.wait_confirmed(300)
            await finish(crowd, database_url, talking)
            assert server.pid == pid
            log.info("%d confirmed, %d reconnects", crowd.confirmed, sum(p.reconnects for p in crowd.people))
            assert server.stop() == 0


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A file system of 24 MiB at `directory`; skips the test where that may not be made (needs root)."""
    directory.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> None:
    """Takes all the room that is left."""
    with (directory / "ballast").open("wb", buffering=0) as ballast:
        for size in (65536, 4096, 1):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                pass


async def stalled(crowd: Crowd) -> None:
    """Until nothing was confirmed for a while."""
    async with asyncio.timeout(30):
        while True:
            before = crowd.confirmed
            await asyncio.sleep(0.5)
            if crowd.confirmed == before:
                return


@pytest.mark.parametrize(("way", "long"), [("file system", False), ("limit", True)])
async def test_a_full_disk_stops_everything_and_loses_nothing(tmp_path: Path, way: str, long: bool) -> None:
    """A short outage is waited through on open connections; a long one ends them, and nothing of it is counted."""
    with ExitStack() as stack:
        directory = tmp_path / "disk"
        if way == "limit":
            directory.mkdir()
        else:
            stack.enter_context(small_disk(directory))
        database_url = f"sqlite:///{directory / 'voxcube.db'}"
        server = stack.enter_context(server_at(tmp_path, database_url))

        def full(is_full: bool) -> None:
            if way == "limit":
                # SIGXFSZ is ignored by Python: a write beyond it fails with EFBIG.
                size = 4096 if is_full else resource.RLIM_INFINITY
                resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            elif is_full:
                fill(directory)
            else:
                (directory / "ballast").unlink()

        async with Crowd(server, 3, seed=11).gathered() as crowd:
            talking = [asyncio.create_task(person.persist()) for person in crowd.people]
            await crowd.wait_confirmed(200)
            full(True)
            await stalled(crowd)
            if long:
                async with asyncio.timeout(30):  # the writer's patience, 15 s, and some more on a busy machine
                    while not all(person.ends for person in crowd.people):
                        await asyncio.sleep(0.05)
                assert all("internal-server-error" in person.ends[0] for person in crowd.people)
            else:
                assert [person.ends for person in crowd.people] == [[]] * len(crowd.people)
            full(False)
            await crowd.wait_confirmed(200)
            assert all(bool(person.ends) is long for person in crowd.people)
            await finish(crowd, database_url, talking)
            log.info("%d confirmed, %d reconnects", crowd.confirmed, sum(p.reconnects for p in crowd.people))
            assert server.stop() == 0


ODD_TEXTS = {
    "edges of Unicode": "\ufffd\ufffc\ufdd0\U0001fffe\U0010ffff\ud7ff\ue000\u0085\u2028\ufeff\x7f\x9f",
    "marks and directions": "e" + "\u0301" * 500 + "\u202e\u2066" * 100,
    "white space": "\t\n \u00a0\u3000",
    "SQL and formats": """'"; DROP TABLE messages; -- %s %(x)s {} $1 ? :name \\0 \\u0000 \\x00""",
    "long": "x" * 250_000,
    "long and wide": "\U0001f4a5" * 60_000,
}


def nested(depth: int) -> str:
    return "<a>" * depth + "deep" + "</a>" * depth


ODD_EXTRAS = {
    "thousands of properties": "".join(f"<k{n}>v{n}</k{n}>" for n in range(6000)),
    "one property thousands of times": "<k>v</k>" * 6000,
    "deep nesting": nested(58),
    "names": "<__proto__>1</__proto__><constructor/><a.b-c>2</a.b-c><ключ>4</ключ><_id>5</_id><id>6</id>",
    "prefixes": '<x:y xmlns:x="urn:x" x:z="1">3</x:y>',
    "names of our own": "<message>1</message><dialog_id>none</dialog_id><read_ids>7</read_ids><sender_id>1</sender_id>",
    "many attributes": "<attachment " + " ".join(f'a{n}="{n}"' for n in range(3000)) + "/>",
    "many attachments": '<attachment type="image"/>' * 3000,
    **{
        f"date {date!r}": f"<date_sent>{date}</date_sent>"
        for date in ("9" * 30, "9" * 5000, "-1", "1e9", "NaN", "١٢", "0")
    },
}
ODD_IDS = (
    "",
    "F" * 24,
    "f" * 23,
    "f" * 25,
    "x" * 1000,
    "a&#10;b",
    "&quot;&apos;&lt;&amp;",
    "６" * 24,
    "\U0001f4a5",
    "%s",
    "0" * 24,
)
# What ends a stream: no XML, or more than may be.
BROKEN = (
    b"<body>&#0;</body>",
    b"<body>&#xFFFF;</body>",
    b"<body>\xef\xbf\xbe</body>",
    b"<body>\xff</body>",
    b"<body>\xed\xa0\x80</body>",
    b"<body>&#xD800;</body>",
    b"<body>a prefix of no namespace</body><x:y/>",
    b"<body>" + b"x" * 270_000 + b"</body>",
    b"<body>" + b"<a>" * 70 + b"</a>" * 70 + b"</body>",
)


def stanza(to: str, content: str | bytes, message_id: str = "") -> bytes:
    kind = "groupchat" if "@muc." in to else "chat"
    data = content.encode() if isinstance(content, str) else content
    return f'<message xmlns="jabber:client" type="{kind}" to="{to}" id="{message_id}">'.encode() + data + b"</message>"


def content(body: str = "odd", extra: str = "") -> str:
    text = body.replace("&", "&amp;").replace("<", "&lt;")
    saved = f"<save_to_history>1</save_to_history>{extra}"
    return f'<body>{text}</body><extraParams xmlns="jabber:client">{saved}</extraParams>'


async def test_what_the_database_refuses_is_answered_and_counted(tmp_path: Path) -> None:
    """Should a message come through that the database does not take: it alone is refused, and not sent for ever."""
    async with running(tmp_path / "node", "ann", "bob") as node:
        writer = node.app.writer
        apply = writer._apply

        async def choosy(tx: Tx, changes: Sequence[Any]) -> None:
            await apply(tx, changes)
            if any(change.body == "poison" for change in changes if isinstance(change, Send)):
                raise DataError("invalid byte sequence")

        writer._apply = choosy
        ann = await node.login(node.people["ann"], sm=True)
        ids = [node.message_id() for _ in range(40)]
        for n, message_id in enumerate(ids):
            ann.send(stanza(node.people["bob"].jid, content("poison" if n == 20 else "good"), message_id))
        assert await ann.request() == 1 + len(ids)  # and the presence
        error = (await ann.wait("message", type="error", id=ids.pop(20))).find("error")
        assert error is not None
        assert error.get("code") == "500"
        dialog_id = await node.dialog(node.people["ann"], node.people["bob"], kind=3)
        assert [message["_id"] for message in await node.history(node.people["bob"], dialog_id)] == ids


async def test_poison_among_good_messages(database_url: str, tmp_path: Path) -> None:
    """What XML allows is stored as it is or refused with an error; what it forbids ends the villain's stream only."""
    with server_at(tmp_path, database_url) as server:
        async with Crowd(server, 4, seed=3).gathered() as crowd:
            *good, villain = crowd.people
            talking = [asyncio.create_task(person.talk(endlessly=True, pause=0.008)) for person in good]
            rooms = (f"{good[0].user_id}-{crowd.app_id}@localhost", f"{crowd.app_id}_{crowd.group_id}@muc.localhost")

            async def enter() -> Peer:
                peer = await Peer.connect(server.addresses["xmpp"])
                await peer.login(f"{villain.user_id}-{crowd.app_id}", PASSWORD)
                await peer.enable()
                return peer

            expected: dict[str, str] = {}  # id → body
            peer = await enter()
            sent = 0
            for room in rooms:
                for body, extra in [
                    *((body, "") for body in ODD_TEXTS.values()),
                    *(("odd", x) for x in ODD_EXTRAS.values()),
                ]:
                    message_id = new_message_id()
                    expected[message_id] = body
                    peer.send(stanza(room, content(body, extra), message_id))
                    sent += 1
                for message_id in ODD_IDS:
                    peer.send(stanza(room, content(), message_id))
                    sent += 1
            assert await peer.request() == sent
            # Refused is only the one valid id, in the second dialog.
            assert [m.get("id") for m in peer.take_all("message") if m.get("type") == "error"] == ["0" * 24]

            # Ids of others, dialogs that are none: an error each, counted, and the next one is stored.
            taken = next(m.id for m in good[0].sent if m.confirmed)
            for room in (
                *rooms,
                f"999999999999999999-{crowd.app_id}@localhost",
                f"{crowd.app_id}_{'e' * 24}@muc.localhost",
            ):
                peer.send(stanza(room, content(), taken))
                error = (await peer.wait("message", type="error", id=taken)).find("error")
                assert error is not None
                assert error.get("code") == ("409" if room in rooms else "404")
                last = new_message_id()
                expected[last] = "odd"
                peer.send(stanza(rooms[0], content(), last))
                sent += 2
            assert await peer.request() == sent

            for broken in BROKEN:
                before = new_message_id()
                expected[before] = "odd"
                peer.send(stanza(rooms[0], content(), before))
                assert await peer.request() > 0
                peer.send(stanza(rooms[0], broken, new_message_id()))
                await peer.wait("stream:error")
                await peer.end()
                await peer.close()
                peer = await enter()
            await peer.close()

            await finish(crowd, database_url, talking, villain.user_id)
            assert all(person.ends == [] for person in good), "somebody else's connection ended as well"
            seen = {
                message.id: message.body
                for dialog in await villain.client.dialogs.list(limit=100)
                for message in await villain.history(dialog.id)
                if message.sender_id == villain.user_id
            }
            assert {id_: seen.get(id_) for id_ in expected} == expected
            assert len(seen) == len(expected) + 2 * (len(ODD_IDS) - 1) + 1 + len(villain.sent)
