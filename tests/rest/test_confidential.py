"""Passwords, tokens and keys: never in clear from other hosts, never in a URL, never in a cache."""

from __future__ import annotations

import ipaddress
from typing import Any

import httpx
import pytest

from voxcube.server.core.errors import Unauthorized
from voxcube.server.core.models import Session
from voxcube.server.rest.app import create_app
from voxcube.server.rest.peer import Peer
from voxcube.server.rest.route import Call, Caller, Route

PROXY, LOCAL, CLIENT = "192.0.2.7", "127.0.0.1", "198.51.100.1"


class Sessions:
    async def authenticate(self, token: str) -> Session | None:
        return None

    async def administered(self, key: str) -> int | None:
        return None


async def echo(call: Call[Any]) -> dict[str, Any]:
    if "fail" in call.tree:
        raise Unauthorized
    return {"tree": call.tree, "address": call.address}


ROUTES = [
    Route(method="POST", path="/session", handler=echo, caller=Caller.NOBODY),
    Route(method="GET", path="/users", handler=echo, caller=Caller.NOBODY),
    Route(method="GET", path="/blobs/{uid}", handler=echo, caller=Caller.NOBODY),
]


def client(peer: str = LOCAL, scheme: str = "http", *, trusted: str = "", insecure: bool = False) -> httpx.AsyncClient:
    app = create_app(ROUTES, sessions=Sessions(), insecure_credentials=insecure)
    wrapped = Peer(app, [ipaddress.ip_network(trusted)] if trusted else [])
    transport = httpx.ASGITransport(app=wrapped, client=(peer, 5))
    return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://chat.example.org")


@pytest.mark.parametrize(
    ("peer", "scheme", "trusted", "headers", "allowed"),
    [
        (LOCAL, "http", "", {}, True),
        ("::1", "http", "", {}, True),
        ("::ffff:127.0.0.1", "http", "", {}, True),
        (CLIENT, "https", "", {}, True),
        (CLIENT, "http", "", {}, False),
        ("::ffff:198.51.100.1", "http", "", {}, False),
        (CLIENT, "http", "", {"X-Forwarded-Proto": "https", "X-Forwarded-For": LOCAL}, False),  # anyone can say so
        (PROXY, "http", PROXY, {}, True),
        (PROXY, "http", PROXY, {"X-Forwarded-For": CLIENT}, True),
        (PROXY, "http", PROXY, {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}, True),
        (PROXY, "http", PROXY, {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "http"}, False),
        (PROXY, "https", PROXY, {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "http"}, False),
        (LOCAL, "http", LOCAL, {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "http"}, False),
        (CLIENT, "http", PROXY, {"X-Forwarded-Proto": "https"}, False),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/session"), ("GET", "/users"), ("GET", "/users.json/")])
async def test_who_may_send_credentials_in_clear(
    method: str, path: str, peer: str, scheme: str, trusted: str, headers: dict[str, str], allowed: bool
) -> None:
    answer = await client(peer, scheme, trusted=trusted).request(method, path, headers=headers)
    assert answer.status_code == (200 if allowed else 403)
    if not allowed:
        [text] = answer.json()["errors"]["base"]
        assert "https://" in text
        assert "insecure_http_credentials" in text
    assert (await client(peer, scheme, trusted=trusted, insecure=True).request(method, path)).status_code == 200


async def test_what_carries_no_credentials_is_open() -> None:
    async with client(CLIENT) as http:
        assert (await http.get("/health")).status_code == 200
        for path in ("/docs", "/docs/openapi.json", "/", "/metrics"):
            assert (await http.get(path)).status_code == 404  # not refused; this application has no pages
        preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        assert (await http.options("/session", headers=preflight)).status_code == 200
        assert (await http.get("/docsx")).status_code == 403
        refused = await http.post("/session", headers={"Origin": "https://a.example"})
        assert refused.headers["Access-Control-Allow-Origin"] == "*"  # a page can read why


@pytest.mark.parametrize(
    "path", ["/users", "/users?fail=1", "/nothing", "/health", "/users?password=x", "/users?a=%ff"]
)
async def test_answers_are_private(path: str) -> None:
    answer = await client().get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "query",
    [
        "password=x",
        "user[password]=x",
        "user%5Bpassword%5D=x",
        "user[old_password]=x",
        "oldPassword=x",
        "token=x",
        "CB-Token=x",
        "cb_token=x",
        "auth_key=x",
        "CB-AuthKey=x",
        "signature=x",
        "keys[secret]=x",
        "firebase_phone[access_token]=x",
        "CB-Administration-API-Key=x",
        "a=1&PASSWORD=",
    ],
)
async def test_credentials_in_a_url_are_refused(query: str) -> None:
    for method, path in (("POST", "/session"), ("GET", "/users")):
        answer = await client().request(method, f"{path}?{query}")
        assert answer.status_code == 422
        assert "must not be in the URL" in answer.json()["errors"]["base"][0]


async def test_other_queries_and_downloads_pass() -> None:
    async with client() as http:
        for query in (
            "login=x",
            "email=a@b.example",
            "filter[]=string+login+eq+token",
            "tokens=1",
            "user_tags=password",
        ):
            assert (await http.get(f"/users?{query}")).status_code == 200
        assert (await http.get("/blobs/abc?token=x")).status_code == 200  # rest §8.4
        assert (await http.get("/blobs/abc?password=x")).status_code == 422
        assert (await http.post("/session", json={"password": "x", "token": "y"})).status_code == 200
