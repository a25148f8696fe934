"""The official JavaScript SDK in real browsers: Firefox and Chromium chat with each other over WebSocket."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.components import missing
from tests.support.js_user import DIRECTORY
from tests.support.server_process import ServerProcess

PASSWORD = "correct horse"
BUNDLE = DIRECTORY / "node_modules" / "connectycube" / "dist" / "connectycube.min.js"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the page with the SDK, served on loopback."""
    if not BUNDLE.exists():
        missing("the JavaScript SDK is not installed: make tests/js/node_modules/.installed")
    folder = tmp_path_factory.mktemp("page")
    for file in (BUNDLE, DIRECTORY / "browser.html"):
        (folder / file.name).write_bytes(file.read_bytes())
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        thread = threading.Thread(target=files.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{files.server_address[1]}/browser.html"
        files.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("browsers") / "node") as server:
        yield server


def settings(server: ServerProcess, app: dict[str, Any], listener: str, login: str) -> str:
    """The argument of the page's `start`."""
    rest = "https" if listener == "wss" else "http"
    endpoints = {
        "api": "localhost",
        "api_url": f"{rest}://localhost:{server.addresses[rest][1]}",
        "chat": "localhost",
        "chat_url": f"{listener}://localhost:{server.addresses[listener][1]}",
    }
    config = {"endpoints": endpoints, "chat": {"streamManagement": {"enable": True}}}
    account = {"login": login, "password": PASSWORD}
    return json.dumps({"appId": app["app_id"], "authKey": app["auth_key"], "config": config, **account})


@pytest.mark.timeout(240)
@pytest.mark.parametrize("listener", ["ws", "wss"])
async def test_firefox_and_chromium_chat(server: ServerProcess, page: str, listener: str) -> None:
    app = server.create_app()
    ids = {login: server.create_user(app["app_id"], login, PASSWORD) for login in ("ann", "bob")}
    async with Browser("firefox") as firefox, Browser("chromium") as chromium:
        for browser, login in ((firefox, "ann"), (chromium, "bob")):
            await browser.open(page)
            assert await browser.value(f"start({settings(server, app, listener, login)})") == ids[login]
        dialog = await firefox.value(f"dialogWith({ids['bob']})")
        for sender, reader, to, body in (
            (firefox, chromium, "bob", "from Firefox 🦊 <b>&amp;</b>"),
            (chromium, firefox, "ann", "from Chromium ünïcode"),
            (firefox, chromium, "bob", "x" * 70_000),  # a frame with a length of 64 bits
        ):
            sent = await sender.value(f"send({json.dumps(dialog)}, {ids[to]}, {json.dumps(body)})")
            other = ids["ann" if to == "bob" else "bob"]
            assert await reader.value("next('message')") == [other, body, dialog]
            assert await sender.value("next('delivered')") == [sent]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["firefox", "chromium"])
async def test_a_browser_comes_back_after_a_restart(server: ServerProcess, page: str, kind: str) -> None:
    app = server.create_app()
    user = server.create_user(app["app_id"], "ann", PASSWORD)
    async with Browser(kind) as browser:
        await browser.open(page)
        assert await browser.value(f"start({settings(server, app, 'ws', 'ann')})") == user
        server.restart()
        assert await browser.value("next('reconnected')") == []
