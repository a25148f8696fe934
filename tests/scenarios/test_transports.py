"""One story over every way of our SDK into the chat: TLS at once or later, WebSocket, and both in clear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from tests.support.node import PASSWORD, Node, running
from voxcube.client import (
    AuthenticationFailed,
    Client,
    ConnectionState,
    DeliveryStatus,
    EventStream,
    Message,
    MessageState,
    TransportError,
    tls_context,
)

HELLO = "Lunch? 🍕 <b>&amp;</b> ünïcode"
WAYS = ("tls", "starttls", "wss", "ws", "tcp")
ENCRYPTED = ("tls", "starttls", "wss")
DOORS = {"tls": "xmpps", "starttls": "xmpp", "wss": "wss", "tcp": "xmpp"}


pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on; the SDK's own tests run on asyncio's."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Node]]:
    """A server whose port 5222 knows STARTTLS, and one where it is in clear."""
    data = tmp_path_factory.mktemp("transports")
    async with (
        running(data / "encrypted", "ann", plaintext=False) as encrypted,
        running(data / "clear", "ann") as clear,
    ):
        yield [encrypted, clear]


@pytest.fixture
def node(nodes: list[Node], way: str) -> Node:
    """The server with this way in."""
    return nodes[way == "tcp"]


def options(node: Node, way: str, rest: str = "https") -> dict[str, Any]:
    """What to give to a Client to get in this way."""
    _, port = node.app.doors[rest]
    given: dict[str, Any] = {
        "app_id": node.people["ann"].app_id,
        "auth_key": node.auth_key,
        "api_url": f"{rest}://localhost:{port}",
        "chat_host": "localhost",
        "ca_file": node.config.data / "tls.crt",
    }
    if way == "ws":
        return given | {"transport": "ws", "chat_url": f"ws://localhost:{node.app.doors['ws'][1]}/any/path?at=all"}
    address, port = node.app.doors[DOORS[way]]
    return given | {"transport": "ws" if way == "wss" else way, "chat_address": address, "chat_port": port}


@asynccontextmanager
async def person(
    node: Node, login: str, way: str, *, with_token: bool = False, rest: str = "https"
) -> AsyncIterator[Client]:
    """Somebody who has a session and is connected."""
    async with Client(**options(node, way, rest)) as cube:
        session = await cube.auth.create_session(login=login, password=PASSWORD)
        await cube.chat.connect(session.user_id, None if with_token else PASSWORD)
        yield cube


async def next_of(stream: EventStream[Any]) -> Any:
    return await asyncio.wait_for(anext(stream), 30)


@pytest.mark.parametrize("way", WAYS)
async def test_the_story(node: Node, way: str) -> None:
    newcomers = await node.person(), await node.person()
    ann_id, bob_id = (newcomer.id for newcomer in newcomers)
    logins = [newcomer.login for newcomer in newcomers]
    async with person(node, logins[0], way) as ann, person(node, logins[1], way, with_token=True) as bob:
        to_ann, to_bob = ann.chat.messages(), bob.chat.messages()
        delivered, read = ann.chat.delivered(), ann.chat.read()
        private = await ann.dialogs.create_private(bob_id)

        sent = await ann.chat.send(private, HELLO, properties={"meta": {"a": "1", "b": {"c": "x 👍"}}})
        assert sent.state is MessageState.SENT
        got: Message = await next_of(to_bob)
        assert (got.id, got.body, got.sender_id, got.dialog_id) == (sent.id, HELLO, ann_id, private.id)
        assert got.properties == {"meta": {"a": "1", "b": {"c": "x 👍"}}}
        assert await next_of(delivered) == DeliveryStatus(bob_id, sent.id, private.id)
        await bob.chat.mark_read(got)
        assert await next_of(read) == DeliveryStatus(bob_id, sent.id, private.id)
        back = await bob.chat.send(to_user=ann_id, body="x" * 100_000)  # more than one segment, more than one frame
        assert (await next_of(to_ann)).id == back.id

        group = await bob.dialogs.create_group("Lunch 🍕", [ann_id])
        for sender, receiver in ((ann, to_bob), (bob, to_ann)):
            message = await sender.chat.send(group, HELLO)
            got = await next_of(receiver)
            assert (got.id, got.body, got.dialog_id, got.is_group) == (message.id, HELLO, group.id, True)

        assert [m.id for m in await ann.messages.list(private.id)] == [sent.id, back.id]
        assert len(await bob.messages.list(group.id)) == 2
        assert 0 < await ann.chat.ping() < 5
        burst = await asyncio.gather(*(ann.chat.send(private, f"burst {n}") for n in range(100)))
        assert [(await next_of(to_bob)).id for _ in burst] == [m.id for m in burst]
        await bob.chat.disconnect()
        await bob.chat.connect(bob_id)
        assert await bob.chat.ping() < 5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("resumed", [True, False])
async def test_a_connection_that_breaks(node: Node, way: str, resumed: bool) -> None:
    ann, bob = await node.person(), await node.person()
    async with person(node, ann.login, way) as cube, person(node, bob.login, way) as other:
        group = await other.dialogs.create_group("Lunch", [ann.id])
        messages, states = cube.chat.messages(), cube.chat.states()
        life: Any = cube.chat._life
        life._connection._wire.abort()
        if not resumed:
            (session,) = node.app.hub.sessions.of(ann.id)
            node.app.hub.bound[session.address.decode()].fail("conflict")
        sent = [(await other.chat.send(group, f"{number}")).id for number in range(5)]
        assert (await next_of(states)).new is ConnectionState.FORCE_CLOSED
        await cube.chat.reconnect()
        assert [(await next_of(messages)).id for _ in sent] == sent
        live = await other.chat.send(to_user=ann.id, body="live")
        assert (await next_of(messages)).id == live.id
        seen = []
        while ConnectionState.READY not in seen:
            seen.append((await next_of(states)).new)
        assert (ConnectionState.RESUMED in seen) is resumed


@pytest.mark.parametrize("way", WAYS)
async def test_a_wrong_password(node: Node, way: str) -> None:
    async with Client(**options(node, way)) as cube:
        with pytest.raises(AuthenticationFailed) as refused:
            await cube.chat.connect(node.people["ann"].id, "wrong password")
        assert refused.value.condition == "not-authorized"
        await cube.chat.connect(node.people["ann"].id, PASSWORD)


@pytest.mark.parametrize("way", ENCRYPTED)
async def test_a_certificate_that_nobody_vouches_for(node: Node, way: str) -> None:
    given = options(node, way, rest="http")
    del given["ca_file"]
    async with Client(**given) as cube:
        with pytest.raises(TransportError, match="certificate"):
            await cube.chat.connect(node.people["ann"].id, PASSWORD)


async def test_a_certificate_of_another_name(nodes: list[Node], tmp_path: Path) -> None:
    elsewhere = nodes[0].config.data
    own: dict[str, Any] = {"tls_cert": elsewhere / "tls.crt", "tls_key": elsewhere / "tls.key"}
    async with running(tmp_path / "data", "ann", plaintext=False, domain="chat.example.org", **own) as node:
        for way in ENCRYPTED:
            given = options(node, way, rest="http") | {"chat_host": "chat.example.org", "ca_file": own["tls_cert"]}
            async with Client(**given) as cube:
                with pytest.raises(TransportError, match="certificate"):
                    await cube.chat.connect(node.people["ann"].id, PASSWORD)


async def test_the_server_ends(tmp_path: Path) -> None:
    async with AsyncExitStack() as people:
        async with running(tmp_path / "data", "ann", plaintext=False) as node:
            cubes = [await people.enter_async_context(person(node, "ann", way, rest="http")) for way in WAYS[:-1]]
            states = [cube.chat.states() for cube in cubes]
        for stream in states:
            change = await next_of(stream)
            assert change.new is ConnectionState.FORCE_CLOSED
            assert isinstance(change.error, TransportError)


async def test_a_wss_address(nodes: list[Node]) -> None:
    node = nodes[0]
    given = options(node, "ws") | {"chat_url": f"wss://localhost:{node.app.doors['wss'][1]}"}
    async with Client(**given) as cube:
        await cube.chat.connect(node.people["ann"].id, PASSWORD)
        assert await cube.chat.ping() < 5


async def test_an_own_tls_context(nodes: list[Node]) -> None:
    for way in ENCRYPTED:
        given = options(nodes[0], way)
        given["tls"] = tls_context(given.pop("ca_file"))
        async with Client(**given) as cube:
            session = await cube.auth.create_session(login="ann", password=PASSWORD)
            await cube.chat.connect(session.user_id)
            assert await cube.chat.ping() < 5


async def test_starttls_where_it_is_not_offered(nodes: list[Node]) -> None:
    """Somebody on the wire may have struck the offer out: no password goes there."""
    node = nodes[1]
    async with Client(**options(node, "tcp") | {"transport": "starttls"}) as cube:
        with pytest.raises(TransportError, match="offers no TLS"):
            await cube.chat.connect(node.people["ann"].id, PASSWORD)


async def test_no_websocket_there(nodes: list[Node]) -> None:
    node = nodes[0]
    _, port = node.app.doors["http"]
    given = options(node, "ws") | {"chat_url": f"ws://localhost:{port}/"}
    async with Client(**given) as cube:
        with pytest.raises(TransportError, match="no WebSocket at localhost"):
            await cube.chat.connect(node.people["ann"].id, PASSWORD)
