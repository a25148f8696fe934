"""The cap of sessions for each user, and what may wait for all of them together."""

from __future__ import annotations

from pathlib import Path

from tests.support.node import running
from tests.support.xmpp_peer import Peer
from voxcube.server.c2s.hub import Limits


def message(to: str, id_: str, body: str) -> str:
    return (
        f"<message xmlns='jabber:client' type='chat' id='{id_}' to='{to}'><body>{body}</body>"
        f"<extraParams><save_to_history>1</save_to_history></extraParams></message>"
    )


async def test_the_oldest_session_goes(tmp_path: Path) -> None:
    async with running(tmp_path / "node", "ann", "bob", sessions_per_user=3) as node:
        ann, bob = node.people["ann"], node.people["bob"]
        other = await node.login(bob)
        peers = [await node.login(ann, resource=f"r{number}") for number in range(3)]
        for number in range(3):
            peers.append(await node.login(ann, resource=f"new{number}"))
            await peers[number].end("conflict")
        for peer in (*peers[3:], other):
            await peer.ping()
        assert node.app.hub.user_sessions.count(ann.id) == 3
        await node.hang_up()


async def test_detached_sessions_count_and_one_can_be_resumed(tmp_path: Path) -> None:
    async with running(tmp_path / "node", "ann", "bob", sessions_per_user=2) as node:
        ann = node.people["ann"]
        ids = []
        for number in range(2):
            peer = await node.login(ann, resource=f"r{number}")
            peer.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
            ids.append((await peer.wait("enabled")).attrs["id"])
            await peer.close()
        again = await node.connect()
        await again.open()
        again.auth(ann.name, "correct horse")
        await again.wait("success")
        again.restart()
        await again.open()
        again.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{ids[0]}" h="0"/>')
        await again.wait("resumed")
        newest = await node.login(ann)
        await newest.ping()
        assert node.app.hub.user_sessions.count(ann.id) == 2
        await node.hang_up()
        await newest.close()


async def test_slow_sessions_end_together_and_nothing_is_lost(tmp_path: Path) -> None:
    """Three readers are within the limit of each, and above that of all."""
    limits = Limits(outbox_bytes=20_000_000, user_waiting_bytes=4_000_000)
    async with running(tmp_path / "node", "ann", "bob", limits=limits) as node:
        ann, bob = node.people["ann"], node.people["bob"]
        sender, good = await node.login(ann), await node.login(bob)
        slow: list[Peer] = []
        for resource in ("one", "two", "three"):
            peer = await node.login(bob, resource=resource, narrow=True)
            peer.paused.clear()
            slow.append(peer)
        ids = [node.message_id() for _ in range(40)]  # the system keeps some megabytes for each socket, too
        for id_ in ids:
            sender.send(message(bob.jid, id_, "x" * 200_000))
            await good.wait("message", id=id_)
            waiting = [one.waiting_bytes for one in node.app.hub.user_sessions._by_user[bob.id]]
            assert sum(waiting) < 4_000_000 + 3 * 250_000 or sum(1 for size in waiting if size) == 1
        assert node.app.hub.user_sessions.count(bob.id) == 2  # the last of the slow ones has its own limit
        await good.ping()
        history = await node.history(ann, await node.dialog(ann, bob, kind=3))
        assert [item["_id"] for item in history] == ids
        await node.hang_up()
