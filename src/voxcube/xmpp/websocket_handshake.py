"""The opening handshake of a WebSocket, server side, without I/O (RFC 6455 §4.2, RFC 7395 §3.1)."""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

__all__ = ["MAX_HEAD", "Refused", "Upgrade", "head_size", "read_upgrade"]

SUBPROTOCOL = "xmpp"  # RFC 7395 §3.1
MAX_HEAD = 16_384  # bytes of request line and header fields together
MAX_LINE = 8_192  # bytes of the request line
MAX_FIELDS = 100

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_END = re.compile(rb"\r?\n\r?\n")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")
_TARGET = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:\d{0,5})?")
# May stand once in a request (RFC 9112 §3.2, RFC 6455 §11.3).
_ONCE = ("host", "sec-websocket-key", "sec-websocket-version", "origin")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An accepted request: the bytes that switch protocols, and what proxies have appended to `X-Forwarded-For`."""

    response: bytes
    forwarded: str


@dataclass(frozen=True)
class Refused(Exception):
    """A request that opens no WebSocket: the HTTP status, the reason for its reader, and further header fields."""

    status: HTTPStatus
    reason: str
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> bytes:
        """The whole HTTP response; the connection is closed behind it."""
        body = f"{self.reason}\n".encode()
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body


def head_size(data: bytes | bytearray) -> int:
    """Number of bytes up to the end of the header section, 0 while it is incomplete.

    Raises Refused when it is longer than `MAX_HEAD`.
    """
    found = _END.search(data)
    size = found.end() if found else 0
    if size > MAX_HEAD or (not size and len(data) > MAX_HEAD):
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the request head exceeds {MAX_HEAD} bytes")
    return size


def read_upgrade(head: bytes, *, origins: Collection[str] = ("*",)) -> Upgrade:
    """Validate a request head and compute the 101 response.

    `origins`: web pages that may connect, "*" for all; a page of the same host always may (RFC 6455 §10.2).
    Raises Refused.
    """
    lines = re.split(rb"\r?\n", head.rstrip(b"\r\n"))
    _check_request_line(lines[0])
    fields = _fields(lines[1:])
    for name in _ONCE:
        if len(fields.get(name, ())) > 1:
            raise _bad(f"{name} is given more than once")
    host = fields.get("host", [""])[0]
    if "host" not in fields or not _HOST.fullmatch(host):
        raise _bad("the Host header is missing or invalid")
    if "transfer-encoding" in fields or any(value.strip("0") for value in fields.get("content-length", ())):
        raise _bad("a WebSocket is opened by a request without a body")
    if "websocket" not in (name.partition("/")[0] for name in _list(fields, "upgrade")):
        raise _upgrade_required("this port speaks WebSocket only: Upgrade: websocket is required")
    if "upgrade" not in _list(fields, "connection"):
        raise _upgrade_required("Connection: Upgrade is required")
    version = fields.get("sec-websocket-version", [""])[0]
    if version != "13":  # RFC 6455 §4.4
        raise _upgrade_required(f"WebSocket version {version!r} is not supported, 13 is")
    key = fields.get("sec-websocket-key", [""])[0]
    if not _is_key(key):
        raise _bad("Sec-WebSocket-Key must be 16 bytes in Base64")
    _check_origin(fields.get("origin", [""])[0], host, origins)
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    response = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n"
    )
    if SUBPROTOCOL in (part.strip() for value in fields.get("sec-websocket-protocol", ()) for part in value.split(",")):
        response += f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
    return Upgrade(f"{response}\r\n".encode(), ",".join(fields.get("x-forwarded-for", ())))


def _check_request_line(line: bytes) -> None:
    if len(line) > MAX_LINE:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, f"the request line exceeds {MAX_LINE} bytes")
    parts = line.decode("latin-1").split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(line.split(b" ")[0]) or not _TARGET.fullmatch(parts[1]):
        raise _bad("malformed request line")
    method, target, version = parts
    matched = re.fullmatch(r"HTTP/(\d)\.(\d)", version)
    if matched is None:
        raise _bad("malformed request line")
    if matched[1] != "1":
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 is required")
    if matched[2] == "0":  # an Upgrade in HTTP/1.0 is to be ignored (RFC 9110 §7.8)
        raise _upgrade_required("HTTP/1.1 is required")
    if method != "GET":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket is opened by GET", {"Allow": "GET"})
    if not target.startswith("/") and not re.match(r"(?i)(https?|wss?)://[^/]", target):
        raise _bad("malformed request target")


def _fields(lines: Sequence[bytes]) -> dict[str, list[str]]:
    """Header fields by name in lower case; a field given several times has several values (RFC 9110 §5.3)."""
    if len(lines) > MAX_FIELDS:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_FIELDS} header fields")
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        # White space before the colon, and folded lines, are refused (RFC 9112 §5.1, §5.2).
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _bad("malformed header field")
        fields.setdefault(name.decode().lower(), []).append(value.decode("latin-1").strip(" \t"))
    return fields


def _list(fields: dict[str, list[str]], name: str) -> set[str]:
    """The members of a list of tokens in lower case: `keep-alive, Upgrade`, in one field or several."""
    return {part.strip().lower() for value in fields.get(name, ()) for part in value.split(",")}


def _is_key(key: str) -> bool:
    try:
        return len(key) == 24 and len(base64.b64decode(key.encode("ascii"), validate=True)) == 16
    except (UnicodeEncodeError, binascii.Error):
        return False


def _check_origin(origin: str, host: str, origins: Collection[str]) -> None:
    if not origin or "*" in origins or origin.lower() in {allowed.lower() for allowed in origins}:
        return
    try:  # React Native names the server itself
        same = origin != "null" and urlsplit(origin).hostname == urlsplit(f"//{host}").hostname
    except ValueError:
        same = False
    if not same:
        raise Refused(HTTPStatus.FORBIDDEN, "pages of this origin may not connect: see cors_origins")


def _bad(reason: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, reason)


def _upgrade_required(reason: str) -> Refused:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade, close", "Sec-WebSocket-Version": "13"}
    return Refused(HTTPStatus.UPGRADE_REQUIRED, reason, headers)
