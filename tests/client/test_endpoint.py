"""Which socket the options of a client mean, and which of them are refused."""

import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake_rest import FakeRest
from voxcube.client.endpoint import chat_endpoint, check_api_url
from voxcube.client.websocket import with_namespace

HOST = "chat.example.org"


@pytest.mark.parametrize(
    ("transport", "more", "expected"),
    [
        ("tls", {}, (HOST, 5223, True, HOST, "/")),
        ("starttls", {}, (HOST, 5222, True, HOST, "/")),
        ("ws", {}, (HOST, 5291, True, HOST, "/")),
        ("tls", {"address": "10.0.0.7", "port": 443}, ("10.0.0.7", 443, True, HOST, "/")),
        ("ws", {"address": "10.0.0.7"}, ("10.0.0.7", 5291, True, HOST, "/")),
        ("ws", {"url": "wss://example.org/chat?x=1"}, ("example.org", 443, True, "example.org", "/chat?x=1")),
        ("ws", {"url": "wss://[::1]:5291"}, ("::1", 5291, True, "::1", "/")),
        ("ws", {"url": "ws://localhost:5280/"}, ("localhost", 5280, False, "localhost", "/")),
        ("ws", {"url": "ws://example.org", "allow_plaintext": True}, ("example.org", 80, False, "example.org", "/")),
        ("tcp", {"address": "127.0.0.1"}, ("127.0.0.1", 5222, False, HOST, "/")),
        ("tcp", {"allow_plaintext": True}, (HOST, 5222, False, HOST, "/")),
    ],
)
def test_where_the_options_lead(transport: Any, more: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = chat_endpoint(HOST, transport, **more)
    assert (found.address, found.port, found.tls is not None, found.tls_name, found.resource) == expected
    assert (found.domain, found.transport) == (HOST, transport)
    if found.tls is not None:
        assert found.tls.verify_mode is ssl.CERT_REQUIRED
        assert found.tls.check_hostname


@pytest.mark.parametrize(
    ("transport", "more", "reason"),
    [
        ("bosh", {}, "transport is 'tls' or"),
        ("tcp", {}, "unencrypted"),
        ("tcp", {"address": "localhost.example.org"}, "unencrypted"),
        ("ws", {"url": "ws://example.org"}, "unencrypted"),
        ("ws", {"url": "http://example.org"}, "chat_url is like"),
        ("ws", {"url": "wss://"}, "chat_url is like"),
        ("ws", {"url": "wss://ann:secret@example.org"}, "chat_url is like"),
        ("ws", {"url": "wss://example.org", "port": 5291}, "either chat_url"),
        ("ws", {"url": "wss://example.org", "address": "10.0.0.7"}, "either chat_url"),
        ("tls", {"url": "wss://example.org"}, 'transport="ws"'),
        ("tls", {"ca_file": Path("no such file")}, "no certificates in"),
    ],
)
def test_what_is_refused(transport: Any, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        chat_endpoint(HOST, transport, **more)


def test_passwords_do_not_go_to_the_api_in_clear() -> None:
    for fine in ("https://api.example.org", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"):
        check_api_url(fine, allow_plaintext=False)
    for refused in ("http://api.example.org", "http://localhost.example.org", "ftp://localhost", "api.example.org"):
        with pytest.raises(ValueError, match="https://"):
            check_api_url(refused, allow_plaintext=False)
    check_api_url("http://api.example.org", allow_plaintext=True)


def test_without_the_websocket_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "picows", raising=False)
    with pytest.raises(ImportError, match=r"voxcube\[ws\]"):
        FakeRest().client(transport="ws")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b"<presence/>", b'<presence xmlns="jabber:client"/>'),
        (b'<iq id="1" to="a&gt;b"><x/></iq>', b'<iq id="1" to="a&gt;b" xmlns="jabber:client"><x/></iq>'),
        (b'<message><b xmlns="u"/></message>', b'<message xmlns="jabber:client"><b xmlns="u"/></message>'),
        (b'<message xmlns="jabber:client"/>', b'<message xmlns="jabber:client"/>'),
        (b'<r xmlns="urn:xmpp:sm:3"/>', b'<r xmlns="urn:xmpp:sm:3"/>'),
    ],
)
def test_every_frame_carries_its_namespace(given: bytes, sent: bytes) -> None:
    assert with_namespace(given) == sent
