"""The HTTP door of a whole server: its pages and its options."""

from pathlib import Path
from typing import Any

import httpx
from openapi_spec_validator import validate

from tests.support.node import running
from tests.support.ports import free_port
from voxcube.server.app import App
from voxcube.server.config import Config


def config(data: Path, **options: Any) -> Config:
    data.mkdir(parents=True, exist_ok=True)
    others = dict.fromkeys(("https_port", "xmpp_port", "xmpps_port", "ws_port", "wss_port"), 0)
    found = Config(data=data, node="a", http_port=free_port(), **{**others, **options})
    found.check()
    return found


def client(app: App) -> httpx.AsyncClient:
    host, port = app.doors["http"]
    return httpx.AsyncClient(base_url=f"http://{host}:{port}")


async def test_the_documentation_is_there(tmp_path: Path) -> None:
    async with App(config(tmp_path / "a")) as app, client(app) as http:
        page = await http.get("/docs")
        assert page.status_code == 200
        assert "<h1>Voxcube REST API</h1>" in page.text
        document = (await http.get("/docs/openapi.json")).json()
        validate(document)
        assert {"/health", "/session", "/users/{id}", "/chat/Dialog", "/chat/Message"} <= set(document["paths"])


async def test_the_options_of_the_door(tmp_path: Path) -> None:
    options = {"cors_origins": "https://a.example.org, https://b.example.org", "body_limit": 5000}
    async with App(config(tmp_path / "a", **options)) as app, client(app) as http:
        for origin, allowed in (("https://b.example.org", "https://b.example.org"), ("https://c.example.org", None)):
            answer = await http.get("/health", headers={"Origin": origin})
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        answer = await http.post("/session", json={"nonce": "x" * 5000})
        assert answer.status_code == 400
        assert answer.json() == {"errors": {"base": ["Request body is too large (maximum is 5000 bytes)"]}}
    async with App(config(tmp_path / "b")) as app, client(app) as http:
        answer = await http.get("/health", headers={"Origin": "https://c.example.org"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_the_metrics_follow_what_happens(tmp_path: Path) -> None:
    async with running(tmp_path / "a", "ann", "bob") as node:
        ann, bob = node.people["ann"], node.people["bob"]
        peers = [await node.login(ann), await node.login(bob, door="wss")]
        await node.dialog(ann, bob)
        text = '<extraParams xmlns="jabber:client"><save_to_history>1</save_to_history></extraParams>'
        peers[0].send(
            f'<message type="chat" to="{bob.jid}" id="{node.message_id()}" xmlns="jabber:client">'
            f"<body>hi</body>{text}</message>"
        )
        await peers[1].wait("message")
        peers[0].send(
            '<message type="groupchat" to="1_x@muc.localhost" id="m2" xmlns="jabber:client"><body/></message>'
        )
        await peers[0].wait("message", type="error")
        async with client(node.app) as http:
            answer = await http.get("/metrics")
        for peer in peers:
            await peer.close()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert lines['voxcube_connections{door="xmpp"}'] == "1.0"
    assert lines['voxcube_connections{door="wss"}'] == "1.0"
    assert lines['voxcube_connections{door="ws"}'] == "0.0"
    assert lines["voxcube_users_online"] == "2.0"
    assert lines["voxcube_messages_stored_total"] == "1.0"
    assert float(lines["voxcube_stanzas_delivered_total"]) >= 1
    assert lines['voxcube_http_requests_total{method="POST",route="/chat/Dialog",status="201"}'] == "1.0"
    assert float(lines["voxcube_commit_seconds_count"]) >= 2
    assert lines["voxcube_commit_seconds_count"] == lines['voxcube_commit_changes_bucket{le="+Inf"}']
    assert sum(float(value) for name, value in lines.items() if name.startswith("voxcube_stanza_errors_total{")) == 1
    assert lines["voxcube_queue_depth"] == "0.0"
    assert "process_resident_memory_bytes" in lines
