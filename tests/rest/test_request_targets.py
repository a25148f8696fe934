"""Request targets, methods and characters, over a real socket (RFC 9112 §3.2, RFC 9110 §9.3, §15.5.6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route as PageRoute

from tests.support.ports import free_port
from voxcube.server.core.models import Session
from voxcube.server.net.addresses import listen
from voxcube.server.rest.app import create_app
from voxcube.server.rest.http import HttpServer
from voxcube.server.rest.route import Call, Caller, Route


class Sessions:
    async def authenticate(self, token: str) -> Session | None:
        return None

    async def administered(self, key: str) -> int | None:
        return None


class Named(msgspec.Struct):
    name: str | None = None


async def echo(call: Call[Any]) -> dict[str, Any]:
    return {"path": dict(call.path), "tree": call.tree}


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


ROUTES = [
    Route(method="GET", path="/chat/Dialog/{id}", handler=echo, caller=Caller.NOBODY),
    Route(method="PUT", path="/chat/Dialog/{id}", handler=echo, caller=Caller.NOBODY, request=Named),
    Route(method="POST", path="/chat/Dialog", handler=echo, caller=Caller.NOBODY, request=Named),
]


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    server, port = (
        HttpServer(create_app(ROUTES, sessions=Sessions(), more=[PageRoute("/docs", page)]), None),
        free_port(),
    )
    await server.open(listen(["127.0.0.1"], port))
    yield port
    await server.close()


async def ask(port: int, head: str, body: bytes = b"", *fields: str) -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [head, "Host: a", "Connection: close", *fields, *([f"Content-Length: {len(body)}"] if body else [])]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    top, _, content = answer.partition(b"\r\n\r\n")
    first, *rest = top.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}, content


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /health HTTP/1.1", 200),
        ("GET http://chat.example.org/health HTTP/1.1", 200),
        ("GET HTTP://chat.example.org:8080/health?x=1 HTTP/1.1", 200),
        ("GET https://[::1]:8443/health.json/ HTTP/1.1", 200),
        ("GET http://chat.example.org/%68ealth HTTP/1.1", 200),
        ("GET http://chat.example.org HTTP/1.1", 404),
        ("GET http:///health HTTP/1.1", 400),
        ("GET ftp://chat.example.org/health HTTP/1.1", 400),
        ("GET //health HTTP/1.1", 200),
        ("GET ///health// HTTP/1.1", 200),
        ("GET //chat.example.org/health HTTP/1.1", 404),
        ("GET health HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 200),
        ("CONNECT chat.example.org:443 HTTP/1.1", 400),
        ("GET /%zz HTTP/1.1", 404),
        ("GET /% HTTP/1.1", 404),
        ("GET /%2e%2e/health HTTP/1.1", 404),
        ("GET /../health HTTP/1.1", 404),
        ("GET /chat/Dialog/%00 HTTP/1.1", 400),
        ("GET /chat/Dialog/%0d%0a HTTP/1.1", 400),
        ("GET /chat/Dialog/%ff HTTP/1.1", 400),
        ("GET /chat/dialog/a%2Cb HTTP/1.1", 200),
        ("GET /chat/Dialog/a?x=%zz HTTP/1.1", 200),
        ("GET /chat/Dialog/a?x=%ff HTTP/1.1", 400),
        ("BREW /health HTTP/1.1", 405),
        ("GET /health HTTP/1.0", 200),
    ],
)
async def test_targets(port: int, line: str, status: int) -> None:
    found, fields, body = await ask(port, line)
    assert found == status
    assert fields["x-content-type-options"] == "nosniff"
    if status >= 400:
        assert list(json.loads(body)) == ["errors"]


@pytest.mark.parametrize("path", ["/health", "/chat/Dialog/a", "/docs"])
async def test_head(port: int, path: str) -> None:
    status, fields, body = await ask(port, f"HEAD {path} HTTP/1.1")
    got, expected, _ = await ask(port, f"GET {path} HTTP/1.1")
    assert (status, body) == (got, b"") == (200, b"")
    assert fields["content-length"] == expected["content-length"]


@pytest.mark.parametrize(
    ("line", "status", "allowed"),
    [
        ("DELETE /health HTTP/1.1", 405, "GET, HEAD, OPTIONS"),
        ("POST /docs HTTP/1.1", 405, "GET, HEAD, OPTIONS"),
        ("DELETE /chat/Dialog/a HTTP/1.1", 404, "GET, HEAD, OPTIONS, PUT"),  # Flutter shows no 405 (quirks A3)
        ("GET /chat/Dialog HTTP/1.1", 404, "OPTIONS, POST"),
        ("OPTIONS /chat/Dialog/a HTTP/1.1", 200, "GET, HEAD, OPTIONS, PUT"),
    ],
)
async def test_methods_that_a_path_does_not_have(port: int, line: str, status: int, allowed: str) -> None:
    found, fields, _ = await ask(port, line)
    assert (found, fields["allow"]) == (status, allowed)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 201),
        ("application/json;charset=UTF-8", 201),
        ('Application/JSON; Charset="utf-8"', 201),
        ("application/json; charset=us-ascii", 201),
        ("application/json; charset=iso-8859-1", 400),
        ("application/json; charset=utf-16", 400),
    ],
)
async def test_charsets(port: int, kind: str, status: int) -> None:
    found, _, _ = await ask(port, "POST /chat/Dialog HTTP/1.1", b'{"name": "x"}', f"Content-Type: {kind}")
    assert found == (200 if status == 201 else status)


@pytest.mark.parametrize(
    ("character", "status"),
    [
        ("\x01", 422),
        ("\x08", 422),
        ("\x0b", 422),
        ("\x1f", 422),
        ("\ufffe", 422),
        ("\uffff", 422),
        ("\t", 200),
        ("\n", 200),
        ("\x7f", 200),
        ("\x85", 200),
        ("🍕", 200),
        ("\ufffd", 200),
    ],
)
async def test_characters_that_xml_cannot_carry(port: int, character: str, status: int) -> None:
    """Wherever a text may stand: values and names, nested, in lists, in every encoding, in the query."""
    text = f"a{character}b"
    escaped = "".join(f"%{byte:02x}" for byte in text.encode())
    line = "PUT /chat/Dialog/a HTTP/1.1"
    for tree in ({"name": text}, {"data": {"deep": [{"x": text}]}}, {text: 1}):
        for ascii_only in (True, False):
            body = json.dumps(tree, ensure_ascii=ascii_only)
            if not ascii_only and character < " ":
                continue  # JSON has control characters as escapes only
            assert (await ask(port, line, body.encode(), "Content-Type: application/json"))[0] == status
    for form in (f"name={escaped}", f"data[{escaped}]=1"):
        kind = "Content-Type: application/x-www-form-urlencoded"
        assert (await ask(port, line, form.encode(), kind))[0] == status
        assert (await ask(port, f"PUT /chat/Dialog/a?{form} HTTP/1.1"))[0] == status
    part = f'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n{text}\r\n--b--\r\n'.encode()
    assert (await ask(port, line, part, "Content-Type: multipart/form-data; boundary=b"))[0] == status
