"""Each mode for a moment against a server in this process. Nothing is said about speed here."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from tests.support.node import PASSWORD, Node, running
from voxcube.bench import load
from voxcube.bench.connection import LoadError
from voxcube.bench.figures import Figures
from voxcube.bench.options import OptionError, Options
from voxcube.server import tls
from voxcube.xmpp import ns

TLS = "urn:ietf:params:xml:ns:xmpp-tls"
LOGINS = ("ann", "bob", "eve", "fay")
MOMENT: dict[str, Any] = {"seconds": 0.3, "warmup": 0.05, "settle": 0.0, "drain": 5.0}


pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # There is no other way yet that older versions of pytest-asyncio know as well.
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the load generator runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("bench") / "node", *LOGINS) as node:
        yield node


def options(node: Node, **changes: Any) -> Options:
    """The users of the node, whose numbers follow each other."""
    first = node.people["ann"]
    transport = changes.get("transport", "tcp")
    door = {"tcp": "xmpp", "starttls": "xmpp", "tls": "xmpps"}.get(transport, transport)
    where: dict[str, Any] = {"host": "127.0.0.1", "port": node.app.doors[door][1], "pid": str(os.getpid())}
    count = len(LOGINS)
    who: dict[str, Any] = {"user": f"{{}}-{first.app_id}", "password": PASSWORD, "first": first.id, "count": count}
    return Options(**{**where, **who, **changes})


async def stored_messages(node: Node) -> int:
    """How many messages ann and bob have between them."""
    ann, bob = node.people["ann"], node.people["bob"]
    dialog = await node.dialog(ann, bob, kind=3)
    async with await node.rest_login(ann) as client:
        answer = await client.get("/chat/Message", params={"chat_dialog_id": dialog, "count": 1})
    count: int = answer.json()["items"]["count"]
    return count


@contextlib.asynccontextmanager
async def starttls_in_front_of(node: Node) -> AsyncIterator[int]:
    """A port that negotiates STARTTLS and forwards what comes then to the node's door in clear."""
    context = tls.server_context(tls.certificate(node.config))
    ended: list[asyncio.Event] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(end := asyncio.Event())
        await reader.readuntil(b"version='1.0' xml:lang='en'>")
        offer = f'<starttls xmlns="{TLS}"><required/></starttls>'
        header = f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}' version='1.0'>"
        writer.write(f"{header}<stream:features>{offer}</stream:features>".encode())
        await reader.readuntil(f'<starttls xmlns="{TLS}"/>'.encode())
        writer.write(f'<proceed xmlns="{TLS}"/>'.encode())
        await writer.start_tls(context)
        inner_reader, inner_writer = await asyncio.open_connection(*node.app.doors["xmpp"])
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        writer.close()
        end.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*(end.wait() for end in ended))


def assert_clean(figures: Figures) -> None:
    assert figures.number("sent") > 0
    assert {name: figures.number(name) for name in ("lost", "errors", "out_of_order", "disconnects")} == {
        "lost": 0,
        "errors": 0,
        "out_of_order": 0,
        "disconnects": 0,
    }


@pytest.mark.parametrize("transport", ["tcp", "tls", "ws", "wss"])
async def test_chat_on_each_transport(node: Node, transport: str) -> None:
    figures = await load.run("chat", options(node, transport=transport, window=3, sm=True, **MOMENT))
    assert_clean(figures)
    assert figures.number("senders") == 4
    assert figures.number("acked") == figures.number("delivered") == figures.number("sent")
    assert figures.number("latency_p50_ms") > 0
    assert figures.number("ack_latency_max_ms") > 0
    assert figures.number("server_rss_kib") > 0


async def test_chat_after_starttls(node: Node) -> None:
    async with starttls_in_front_of(node) as port:
        figures = await load.run("chat", options(node, transport="starttls", port=port, **MOMENT))
    assert_clean(figures)


async def test_no_starttls(node: Node) -> None:
    with pytest.raises(LoadError, match="STARTTLS"):
        await load.run("login", options(node, transport="starttls", port=node.app.doors["xmpp"][1]))


async def test_chat_is_stored_unless_told_otherwise(node: Node) -> None:
    before = await stored_messages(node)
    stored = await load.run("chat", options(node, count=2, both=False, **MOMENT))
    relayed = await load.run("chat", options(node, count=2, both=False, stored=False, **MOMENT))
    assert_clean(stored)
    assert_clean(relayed)
    assert await stored_messages(node) - before == stored.number("sent")


async def test_chat_at_a_rate(node: Node) -> None:
    figures = await load.run("chat", options(node, rate=50.0, **MOMENT))
    assert_clean(figures)
    assert figures.number("rate") == 50
    assert figures.number("sent") <= 50


async def test_group(node: Node) -> None:
    dialog = await node.dialog(*(node.people[login] for login in LOGINS))
    room = f"{node.people['ann'].app_id}_{dialog}@muc.localhost"
    figures = await load.run("group", options(node, room=room, senders=2, window=2, **MOMENT))
    assert_clean(figures)
    assert figures.number("senders") == 2
    assert figures.number("delivered") == 4 * figures.number("sent")
    assert figures.number("server_cpu_us_per_delivery") >= 0


async def test_login_tells_memory_per_connection(node: Node) -> None:
    figures = await load.run("login", options(node, settle=0.0, hold=0.1))
    assert figures.number("users") == 4
    assert figures.number("login_latency_p50_ms") > 0
    assert figures.number("disconnects") == 0
    assert {"pss_per_connection_kib", "rss_per_connection_kib", "idle_server_cores"} <= figures.keys()


async def test_a_wrong_password(node: Node) -> None:
    with pytest.raises(LoadError, match="not-authorized"):
        await load.run("login", options(node, password="wrong"))


async def test_a_room_of_others(node: Node) -> None:
    room = f"{node.people['ann'].app_id}_{'0' * 24}@muc.localhost"
    with pytest.raises(LoadError, match="may not be joined"):
        await load.run("group", options(node, room=room, **MOMENT))


async def test_no_server() -> None:
    with pytest.raises(OSError, match="onnect"):
        await load.run("login", Options(port=1))


async def test_a_server_that_says_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LoadError, match="0 of 2 users"):
            await load.run("login", Options(port=port, connect_timeout=0.1))


async def test_a_server_that_dies_meanwhile(node: Node) -> None:
    async def die() -> None:
        await asyncio.sleep(0.3)
        for session in list(node.app.hub.connected):
            session.abort()

    dying = asyncio.create_task(die())
    figures = await load.run("chat", options(node, seconds=0.6, warmup=0.0, settle=0.0, drain=0.1))
    await dying
    assert figures.number("disconnects") == 4
    assert "closed" in str(figures["trouble_1"])


@pytest.mark.parametrize(
    ("mode", "changes", "text"),
    [
        ("chat", {"count": 3}, "even"),
        ("chat", {"count": 0}, "count 0 is not between 1"),
        ("chat", {"seconds": 0.0}, "seconds"),
        ("login", {"transport": "carrier pigeon"}, "none of tcp"),
        ("login", {"pid": "12,x"}, "process ids"),
        ("group", {"rooms": 3}, "rooms 3"),
        ("chat", {"size": 10}, "size"),
    ],
)
async def test_options_that_cannot_be_used(mode: str, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        await load.run(mode, Options(**changes))
