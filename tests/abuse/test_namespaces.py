"""Stanzas that become larger when they are written again: a long namespace behind a short prefix, quotes, brackets."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.abuse.support import PASSWORD, bystanders, cpu_seconds, memory_mib, report, scaled
from tests.support.server_process import ServerProcess
from tests.support.xmpp_peer import Peer

LONG = "u" * 2000

ATTACKS = {
    "iq": f"<iq type='get' id='n1'><q xmlns:p='{LONG}'>{'<p:a/>' * 22_000}</q></iq>",
    "message": (
        f"<message type='chat' id='{'a1' * 12}' to='%s'><body>x</body><q xmlns:p='{LONG}'>{'<p:a/>' * 3_500}</q>"
        "<extraParams><save_to_history>1</save_to_history></extraParams></message>"
    ),
    "quotes": "<iq type='get' id='n1'><q a='" + '"' * 200_000 + "'/></iq>",
}


async def test_a_stanza_is_bounded_as_it_is_written_again(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", unlimited=True) as server:
        app_id = server.create_app()["app_id"]
        attacker = server.create_user(app_id, "attacker", PASSWORD)
        to = f"{attacker}-{app_id}@localhost"
        async with bystanders(server, app_id) as latency:
            before = memory_mib(server)
            for name, attack in ATTACKS.items():
                for listener in ("xmpps", "wss"):
                    begun = cpu_seconds(server)
                    data = attack.replace("%s", to)
                    ends = [await _send(server, listener, to.partition("@")[0], data) for _ in range(scaled(2))]
                    grown = memory_mib(server) - before
                    figures = {"cpu_s": round(cpu_seconds(server) - begun, 2), "memory_mib": round(grown, 1)}
                    report(f"A1 {name} {listener}", sent_kib=len(data) // 1024, **figures, **latency.figures())
                    assert ends == ["policy-violation"] * scaled(2)
                    assert grown < 100
            assert latency.at(1.0) < 20_000


async def _send(server: ServerProcess, listener: str, username: str, data: str) -> str:
    """Send the stanza on a connection of its own; returns how that ended."""
    peer = await Peer.connect(server.addresses[listener], websocket=listener == "wss", tls=True)
    try:
        await peer.login(username, PASSWORD)
        peer.seconds = 60.0  # a server without the bound is busy for long
        peer.send(data)
        peer.send('<iq type="get" id="after" xmlns="jabber:client"><ping xmlns="urn:xmpp:ping"/></iq>')
        with contextlib.suppress(AssertionError):  # the connection ends before
            await peer.wait("iq", id="after")
            return "answered"
        return "policy-violation" if "<policy-violation " in peer.text else peer.text[-100:]
    finally:
        await peer.close()
