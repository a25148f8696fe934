"""The HTTP door of a whole server: its pages and its options."""

from pathlib import Path
from typing import Any

import httpx
from openapi_spec_validator import validate

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
