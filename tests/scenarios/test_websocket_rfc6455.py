"""The WebSocket listeners against RFC 6455: handshakes as browsers send them, violations, and both ways to close."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.server_process import ServerProcess
from tests.support.xmpp_peer import BINARY, CLOSE, PING, TEXT, blind_context, frame

SECONDS = 15.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
OPEN = b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="localhost" version="1.0"/>'

# As the browsers write them, with what they add of their own.
FIREFOX = f"""GET /any/path HTTP/1.1
Host: localhost:5280
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0
Accept: */*
Accept-Language: en-US,en;q=0.9
Accept-Encoding: gzip, deflate, br, zstd
Sec-WebSocket-Version: 13
Origin: http://localhost:8000
Sec-WebSocket-Protocol: xmpp
Sec-WebSocket-Extensions: permessage-deflate
Sec-WebSocket-Key: {KEY}
Connection: keep-alive, Upgrade
Sec-Fetch-Dest: empty
Sec-Fetch-Mode: websocket
Sec-Fetch-Site: same-site
Pragma: no-cache
Cache-Control: no-cache
Upgrade: websocket
"""
CHROMIUM = f"""GET / HTTP/1.1
Host: localhost:5280
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
Upgrade: websocket
Origin: http://localhost:8000
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: {KEY}
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
Sec-WebSocket-Protocol: xmpp
"""
PLAIN = "GET / HTTP/1.1\nHost: localhost\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("rfc6455") / "node", plaintext=True, unlimited=True) as server:
        yield server


class Socket:
    """A raw connection to a WebSocket listener."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def ask(cls, server: ServerProcess, listener: str, head: str) -> tuple[Socket, bytes]:
        """Connect and send a request; returns the connection and the head of the answer."""
        tls = blind_context() if listener == "wss" else None
        socket = cls(*await asyncio.open_connection(*server.addresses[listener], ssl=tls))
        socket.writer.write((head + "\n").replace("\n", "\r\n").encode())
        return socket, await asyncio.wait_for(socket.reader.readuntil(b"\r\n\r\n"), SECONDS)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame; a connection that ended gives (-1, b"")."""
        try:
            async with asyncio.timeout(SECONDS):
                first, length = await self.reader.readexactly(2)
                if length > 125:
                    length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
                return first & 15, await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return -1, b""

    async def closing(self) -> int:
        """Read up to the close frame; returns its code, 1005 for none in it, -1 when there was no close frame."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                assert await self.frame() == (-1, b""), "something came behind the close frame"
                return int.from_bytes(payload[:2], "big") if payload else 1005
            if opcode < 0:
                return -1


@pytest.mark.parametrize("listener", ["ws", "wss"])
@pytest.mark.parametrize("head", [FIREFOX, CHROMIUM], ids=["firefox", "chromium"])
async def test_the_handshake_of_browsers(server: ServerProcess, listener: str, head: str) -> None:
    socket, answer = await Socket.ask(server, listener, head)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    assert b"\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n" in answer.lower()
    assert b"\r\nsec-websocket-protocol: xmpp\r\n" in answer.lower()
    socket.writer.write(frame(OPEN))
    opcode, payload = await socket.frame()
    assert opcode == TEXT
    assert payload.startswith(b"<open ")
    socket.writer.write(frame(b"\x03\xe9", CLOSE))
    assert await socket.closing() == 1001
    socket.writer.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (PLAIN, 426),
        (FIREFOX.replace("Version: 13", "Version: 8"), 426),
        (FIREFOX.replace("GET /any/path", "POST /any/path"), 405),
        (FIREFOX.replace("Host: localhost:5280\n", ""), 400),
        (FIREFOX.replace(KEY, "c2hvcnQ="), 400),
        (PLAIN + "Cookie: " + "x" * 20_000 + "\n", 431),
    ],
)
async def test_what_is_refused_says_why(server: ServerProcess, head: str, status: int) -> None:
    socket, answer = await Socket.ask(server, "ws", head)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    if status == 426:
        assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer  # RFC 6455 §4.4
    assert await asyncio.wait_for(socket.reader.read(), SECONDS)  # the reason, then the end
    socket.writer.close()


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit
        (b"\x81\x01x", 1002),  # not masked
        (frame(b"", 3), 1002),  # an unknown opcode
        (frame(b"", PING, fin=False), 1002),
        (frame(b"\xff"), 1007),
        (frame(b"\x03\xed", CLOSE), 1002),  # 1005 is never sent
        (frame(b"\x03", CLOSE), 1002),
        (b"\x81\xff\0\0\0\0\0\x10\0\0\0\0\0\0", 1009),
        (frame(b"", CLOSE), 1005),
        (frame(b"\x0f\xa0bye", CLOSE), 4000),
        (frame(b"<presence/>", BINARY) + frame(b"\x03\xe8", CLOSE), 1000),
    ],
)
async def test_how_connections_end(server: ServerProcess, opened: bool, data: bytes, code: int) -> None:
    """RFC 6455 §5.5.1, §7.1.7, §7.4."""
    socket, _ = await Socket.ask(server, "ws", CHROMIUM)
    if opened:
        socket.writer.write(frame(OPEN))
        await socket.frame()
    socket.writer.write(data)
    assert await socket.closing() == code
    socket.writer.close()


async def test_pings(server: ServerProcess) -> None:
    """RFC 6455 §5.5.2, §5.5.3: also inside a fragmented message, and before the stream is open."""
    socket, _ = await Socket.ask(server, "ws", CHROMIUM)
    socket.writer.write(frame(b"one", PING) + frame(OPEN[:20], fin=False) + frame(b"two", PING) + frame(OPEN[20:], 0))
    assert await socket.frame() == (10, b"one")
    assert await socket.frame() == (10, b"two")
    assert (await socket.frame())[1].startswith(b"<open ")
    socket.writer.close()


async def test_pings_before_the_login_are_bounded(server: ServerProcess) -> None:
    socket, _ = await Socket.ask(server, "ws", CHROMIUM)
    socket.writer.write(frame(b"x" * 125, PING) * 200)
    while (found := await socket.frame())[0] == 10:
        pass
    assert b"policy-violation" in found[1] or b"<open" in found[1]
    socket.writer.close()
