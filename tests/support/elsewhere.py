"""Run in a network namespace of its own: logs in at each door from this machine's loopback and from another address.

Prints one JSON object: "trusted proxies/address/door" → what became of the login.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
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


async def http_attempt(node: Node, address: str, door: str) -> str:
    """Logs in by REST, with a query for what needs no credentials before; returns what became of it."""
    keys = {"application_id": node.people["ann"].app_id, "auth_key": node.auth_key}
    user = {"login": "ann", "password": PASSWORD}
    url = f"{door}://{address}:{node.app.doors[door][1]}"
    async with httpx.AsyncClient(verify=False, trust_env=False) as client:
        assert (await client.get(f"{url}/health")).status_code == 200
        answer = await client.post(f"{url}/session", json={**keys, "user": user})
    if answer.status_code == 403:
        assert "insecure_http_credentials" in answer.json()["errors"]["base"][0]
    return "in" if answer.status_code == 201 else str(answer.status_code)


async def main(data: Path) -> None:
    found = {}
    for trusted in ("nobody", ADDRESS, "insecure"):
        options: dict[str, Any] = {"host": "0.0.0.0", "plaintext": False, "unlimited": False}
        if trusted == "insecure":
            options["insecure_http_credentials"] = True
        elif trusted != "nobody":
            options["trusted_proxies"] = trusted
        async with running(data / trusted, "ann", **options) as node:
            for address in ("127.0.0.1", ADDRESS):
                for door in ("http", "https"):
                    found[f"{trusted}/{address}/{door}"] = await http_attempt(node, address, door)
                for door in DOORS:
                    found[f"{trusted}/{address}/{door}"] = await attempt(node, address, door)
    print(json.dumps(found))  # noqa: T201 - the result


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main(Path(sys.argv[1])))
