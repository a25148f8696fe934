"""Run in a network namespace of its own: logs in at each door from this machine's loopback and from another address.

Prints one JSON object: "trusted proxies/address/door" → what became of the login.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from tests.support.node import DOORS, PASSWORD, Node, running
from tests.support.xmpp_peer import Peer
from voxcube.xmpp.xml import to_xml

ADDRESS = "192.0.2.7"  # documentation's (RFC 5737)


async def attempt(node: Node, address: str, door: str) -> str:
    """Logs in; returns the mechanisms that were offered and the answer."""
    port = node.app.doors[door][1]
    peer = await Peer.connect((address, port), websocket=door.startswith("ws"), tls=door in ("xmpps", "wss"))
    features = await peer.open()
    if door == "xmpp":
        await peer.starttls()
        features = await peer.open()
    offered = "PLAIN" in to_xml(features)
    peer.auth(node.people["ann"].name, PASSWORD)
    if offered:
        await peer.wait("success")
        answer = "in"
    else:
        answer = next((await peer.wait("failure")).elements()).name
    await peer.close()
    return answer


async def main(data: Path) -> None:
    found = {}
    for trusted in ("nobody", ADDRESS):
        options: dict[str, Any] = {"host": "0.0.0.0", "plaintext": False, "unlimited": False}
        if trusted != "nobody":
            options["trusted_proxies"] = trusted
        async with running(data / trusted, "ann", **options) as node:
            for address in ("127.0.0.1", ADDRESS):
                for door in DOORS:
                    found[f"{trusted}/{address}/{door}"] = await attempt(node, address, door)
    print(json.dumps(found))  # noqa: T201 - the result


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main(Path(sys.argv[1])))
