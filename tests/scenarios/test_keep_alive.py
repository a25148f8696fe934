"""Server pings find dead connections (realtime §13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop

from tests.support.node import Node, running
from tests.support.xmpp_peer import Peer
from voxcube.server.c2s.keepalive import MISSED
from voxcube.server.c2s.tcp import TcpConnection

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("keep-alive") / "node", "ann", ping_seconds=1) as node:
        yield node


async def pinged(peer: Peer, kind: str) -> None:
    if kind == "frame":
        while not peer.pinged:
            await asyncio.sleep(0.02)
    elif kind == "iq":
        ping = await peer.wait("iq", type="get")
        assert ping.find("ping") is not None
        assert ping.attrs["from"] == "localhost"  # Flutter crashes without (quirks A26)
        assert ping.attrs["to"] == peer.jid
        peer.send(f'<iq type="result" id="{ping.attrs["id"]}"/>')
    else:
        await peer.wait("r")
        peer.send('<a xmlns="urn:xmpp:sm:3" h="1"/>')


@pytest.mark.parametrize(("door", "sm", "kind"), [("xmpp", False, "iq"), ("xmpp", True, "r"), ("ws", True, "frame")])
async def test_who_answers_stays_and_who_does_not_is_dropped(node: Node, door: str, sm: bool, kind: str) -> None:
    peer = await node.login(node.people["ann"], door=door, sm=sm)
    if sm:
        peer.send('<a xmlns="urn:xmpp:sm:3" h="1"/>')  # nothing is open: what asks now is the keep-alive
    await pinged(peer, kind)
    await pinged(peer, kind)
    await peer.end("connection-timeout")  # it answered no more


async def test_who_reads_slowly_stays(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ping is behind all that was written before it, which may take such a client minutes to read."""
    peer = await node.login(node.people["ann"])
    session = node.app.hub.bound[peer.jid]
    unread = 1_000_000
    monkeypatch.setattr(TcpConnection, "unwritten", lambda wire: unread)
    for _ in range(10):
        unread -= 1000
        session.look()
        assert not session.ended
    for _ in range(MISSED + 2):
        session.look()
    assert session.ended


async def test_a_session_that_can_be_resumed_waits_for_its_client(node: Node) -> None:
    peer = await node.login(node.people["ann"])
    peer.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
    await peer.wait("enabled")
    await peer.end()
    assert node.app.hub.bound[peer.jid].detached
