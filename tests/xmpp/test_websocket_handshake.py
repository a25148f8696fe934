"""The opening handshake of a WebSocket, byte by byte (RFC 6455 §4.2, §4.4; RFC 7395 §3.1)."""

from __future__ import annotations

import pytest

from voxcube.xmpp.websocket_handshake import MAX_FIELDS, MAX_HEAD, MAX_LINE, Refused, head_size, read_upgrade

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 §1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
FIELDS = {
    "Host": "server.example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "xmpp",
}


def request(line: str = "GET /chat HTTP/1.1", *more: str, end: str = "\r\n", **changed: str | None) -> bytes:
    """A request; a changed field is named with `_` for `-`, None leaves it out."""
    fields = dict(FIELDS)
    for name, value in changed.items():
        spelled = next(known for known in FIELDS if known.lower() == name.replace("_", "-"))
        if value is None:
            del fields[spelled]
        else:
            fields[spelled] = value
    return end.join([line, *(f"{name}: {value}" for name, value in fields.items()), *more, "", ""]).encode("latin-1")


def status(data: bytes, origins: tuple[str, ...] = ("*",)) -> int:
    """The status of the answer, 0 while the request is incomplete."""
    try:
        size = head_size(data)
        return int(read_upgrade(data[:size], origins=origins).response[9:12]) if size else 0
    except Refused as refused:
        answer = refused.response()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"close" in head
    return int(answer[9:12])


def test_the_example_of_the_standard() -> None:
    upgrade = read_upgrade(request("GET /chat HTTP/1.1", "Sec-WebSocket-Extensions: permessage-deflate"))
    assert upgrade.response == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(request(connection="keep-alive, Upgrade"), id="firefox"),
        pytest.param(request(connection="upgrade,keep-alive"), id="token order"),
        pytest.param(request("GET / HTTP/1.1", "Connection: keep-alive"), id="connection twice"),
        pytest.param(request(upgrade="WebSocket"), id="upgrade case"),
        pytest.param(request(upgrade="h2c, websocket"), id="upgrade list"),
        pytest.param(request("GET / HTTP/1.1", "Upgrade: h2c"), id="upgrade twice"),
        pytest.param(request().replace(b"Sec-WebSocket-Key", b"sec-websocket-key"), id="name case"),
        pytest.param(request().replace(b": ", b":"), id="no space"),
        pytest.param(request().replace(b": ", b": \t "), id="much space"),
        pytest.param(request(end="\n"), id="bare line feeds"),
        pytest.param(request("GET http://server.example.com/chat HTTP/1.1"), id="absolute form"),
        pytest.param(request("GET /?token=%2f HTTP/1.1"), id="query"),
        pytest.param(request(host="[::1]:5280"), id="IPv6 host"),
        pytest.param(request("GET / HTTP/1.1", "Content-Length: 0"), id="empty body"),
        pytest.param(request("GET / HTTP/1.1", "Cookie: " + "x" * 8000), id="long cookie"),
        pytest.param(request("GET / HTTP/1.1", "X-Name: \xfc"), id="latin-1 value"),
        pytest.param(request("GET / HTTP/1.1", *(f"X-{n}: 1" for n in range(MAX_FIELDS - 6))), id="many fields"),
    ],
)
def test_requests_that_are_accepted(data: bytes) -> None:
    assert status(data) == 101
    for size in (1, len(data) // 2, len(data) - 1):
        assert status(data[:size]) == 0


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(request("POST /chat HTTP/1.1"), 405, id="POST"),
        pytest.param(request("HEAD /chat HTTP/1.1"), 405, id="HEAD"),
        pytest.param(request("GET /chat HTTP/1.0"), 426, id="HTTP/1.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, id="HTTP/2"),
        pytest.param(request("GET  /chat HTTP/1.1"), 400, id="two spaces"),
        pytest.param(request("GET /chat"), 400, id="HTTP/0.9"),
        pytest.param(request("GET /chat http/1.1"), 400, id="version case"),
        pytest.param(request("GET chat HTTP/1.1"), 400, id="relative target"),
        pytest.param(request("GET /ch\x01at HTTP/1.1"), 400, id="control character in the target"),
        pytest.param(request(host=None), 400, id="no host"),
        pytest.param(request("GET / HTTP/1.1", "Host: b"), 400, id="two hosts"),
        pytest.param(request(host="a b"), 400, id="invalid host"),
        pytest.param(request(upgrade=None), 426, id="no upgrade"),
        pytest.param(request(upgrade="websockets"), 426, id="other upgrade"),
        pytest.param(request(connection=None), 426, id="no connection"),
        pytest.param(request(connection="keep-alive"), 426, id="connection without upgrade"),
        pytest.param(request(connection="keep-alive Upgrade"), 426, id="not a list"),
        pytest.param(request(sec_websocket_version=None), 426, id="no version"),
        pytest.param(request(sec_websocket_version="8"), 426, id="version 8"),
        pytest.param(request(sec_websocket_version="14"), 426, id="version 14"),
        pytest.param(request("GET / HTTP/1.1", "Sec-WebSocket-Version: 13"), 400, id="version twice"),
        pytest.param(request(sec_websocket_key=None), 400, id="no key"),
        pytest.param(request(sec_websocket_key="dGhl"), 400, id="short key"),
        pytest.param(request(sec_websocket_key="dGhlIHNhbXBsZSBub25jZTEy"), 400, id="18 bytes"),
        pytest.param(request(sec_websocket_key="!" * 24), 400, id="no Base64"),
        pytest.param(request(sec_websocket_key="é" * 24), 400, id="no ASCII"),
        pytest.param(request("GET / HTTP/1.1", f"Sec-WebSocket-Key: {KEY}"), 400, id="key twice"),
        pytest.param(request("GET / HTTP/1.1", "Content-Length: 5"), 400, id="body"),
        pytest.param(request("GET / HTTP/1.1", "Transfer-Encoding: chunked"), 400, id="chunked"),
        pytest.param(request("GET / HTTP/1.1", "X-Name : 1"), 400, id="space before the colon"),
        pytest.param(request("GET / HTTP/1.1", " folded: 1"), 400, id="folded line"),
        pytest.param(request("GET / HTTP/1.1", "X-Name"), 400, id="no colon"),
        pytest.param(request("GET / HTTP/1.1", "X-Name: \x00"), 400, id="NUL"),
        pytest.param(request("GET / HTTP/1.1", *(f"X-{n}: 1" for n in range(MAX_FIELDS))), 431, id="too many fields"),
        pytest.param(request("GET /" + "x" * MAX_LINE + " HTTP/1.1"), 414, id="long line"),
        pytest.param(request("GET / HTTP/1.1", "Cookie: " + "x" * MAX_HEAD), 431, id="long head"),
        pytest.param(b"GET / HTTP/1.1\r\nCookie: " + b"x" * MAX_HEAD, 431, id="endless head"),
    ],
)
def test_requests_that_are_refused(data: bytes, expected: int) -> None:
    assert status(data) == expected


def test_the_supported_version_is_named() -> None:
    """RFC 6455 §4.4."""
    with pytest.raises(Refused) as refused:
        read_upgrade(request(sec_websocket_version="25"))
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in refused.value.response()
    assert b"\r\nUpgrade: websocket\r\n" in refused.value.response()


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("xmpp",), True),
        (("soap, xmpp",), True),
        (("soap", "xmpp"), True),
        (("soap",), False),
        (("xmpp-framing",), False),
        ((), False),
    ],
)
def test_the_subprotocol(offered: tuple[str, ...], chosen: bool) -> None:
    fields = [f"Sec-WebSocket-Protocol: {value}" for value in offered]
    upgrade = read_upgrade(request("GET / HTTP/1.1", *fields, sec_websocket_protocol=None))
    assert (b"\r\nSec-WebSocket-Protocol: xmpp\r\n" in upgrade.response) is chosen


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),  # not a browser
        ("https://app.example.org", True),
        ("HTTPS://APP.example.org", True),
        ("https://server.example.com", True),  # the same host
        ("https://server.example.com:8443", True),
        ("https://evil.example.org", False),
        ("http://app.example.org", False),
        ("null", False),
        ("https://app.example.org.evil.example", False),
        ("http://[", False),
    ],
)
def test_the_origin(origin: str | None, allowed: bool) -> None:
    more = [] if origin is None else [f"Origin: {origin}"]
    data = request("GET / HTTP/1.1", *more)
    assert status(data, ("https://app.example.org",)) == (101 if allowed else 403)
    assert status(data, ("*",)) == 101


def test_forwarded_addresses_are_read_from_all_fields() -> None:
    upgrade = read_upgrade(request("GET / HTTP/1.1", "X-Forwarded-For: 1.2.3.4", "x-forwarded-for: 5.6.7.8, 9.9.9.9"))
    assert upgrade.forwarded == "1.2.3.4,5.6.7.8, 9.9.9.9"
