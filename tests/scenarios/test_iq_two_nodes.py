"""Iq requests between sessions of two nodes (RFC 6121 §8.5.3.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.test_sessions_of_two_nodes import login, two
from tests.support.postgres import PostgresServer

VERSION = '<query xmlns="jabber:iq:version"/>'


async def test_requests_and_replies_cross_nodes(postgres_server: PostgresServer, tmp_path: Path) -> None:
    async with two(postgres_server, tmp_path) as cluster:
        alice, desk, bob = (
            await login(cluster, "alice", 0),
            await login(cluster, "alice", 1),
            await login(cluster, "bob", 1),
        )
        for peer in (alice, desk, bob):
            await peer.available()
        bob.send(f'<presence to="{alice.jid.partition("/")[0]}"/>')
        await alice.wait("presence", from_=bob.jid)
        for number, (target, kind) in enumerate(((bob, "result"), (bob, "error"), (desk, "result"))):
            id_ = f"q{number}"
            alice.send(f'<iq type="get" id="{id_}" to="{target.jid}">{VERSION}</iq>')
            await target.wait("iq", type="get", id=id_, from_=alice.jid)
            target.send(f'<iq type="{kind}" id="stolen" to="{alice.jid}"/>')
            desk.send(f'<iq type="{kind}" id="q0" to="{alice.jid}"/>')
            for _ in range(2):
                target.send(f'<iq type="{kind}" id="{id_}" to="{alice.jid}">{VERSION}</iq>')
            await alice.wait("iq", type=kind, id=id_, from_=target.jid)
            await target.ping()
        await alice.ping()
        assert alice.take_all("iq") == []
        for peer in (alice, desk, bob):
            await peer.close()


@pytest.mark.parametrize("there", [0, 1])
async def test_what_is_not_delivered_is_answered(postgres_server: PostgresServer, tmp_path: Path, there: int) -> None:
    """With one error, whether or not there is such a session on some node."""
    async with two(postgres_server, tmp_path) as cluster:
        alice, bob = await login(cluster, "alice", 0), await login(cluster, "bob", there)
        app = await login(cluster, "alice", there, "flutter_phone")
        for peer in (alice, bob, app):
            await peer.available()
        for number, to in enumerate((bob.jid, f"{bob.jid}x", app.jid)):
            alice.send(f'<iq type="get" id="q{number}" to="{to}">{VERSION}</iq>')
        for number, to in enumerate((bob.jid, f"{bob.jid}x", app.jid)):
            reply = await alice.wait("iq", type="error", id=f"q{number}", from_=to)
            error = reply.find("error")
            assert error is not None
            assert next(error.elements()).name == "service-unavailable"
        for peer in (bob, app):
            await peer.ping()
            assert peer.take_all("iq") == []
        for peer in (alice, bob, app):
            await peer.close()
