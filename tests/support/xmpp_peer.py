"""A raw XMPP client for tests: sends literal XML over any door, and waits for elements by what they are."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Self

from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.frames import parse_frame
from voxcube.xmpp.parser import StreamEnd, StreamParser, StreamStart
from voxcube.xmpp.xml import Element

SECONDS = 30.0  # after which a test fails rather than waits
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """A masked frame, as a client sends it (RFC 6455 §5.2)."""
    length = len(payload)
    if length < 126:
        head = bytes([length | 0x80])
    elif length < 65536:
        head = bytes([126 | 0x80]) + length.to_bytes(2, "big")
    else:
        head = bytes([127 | 0x80]) + length.to_bytes(8, "big")
    return bytes([opcode | (0x80 if fin else 0)]) + head + b"\0\0\0\0" + payload  # a mask of zeros changes nothing


def blind_context() -> ssl.SSLContext:
    """TLS for a client that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Peer:
    """One connection. `text` is all that was received, `ended` the way the connection ended once it has."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, websocket: bool) -> None:
        self._reader = reader
        self.writer = writer
        self.websocket = websocket
        self.text = ""
        self.waiting: list[Element] = []
        self.jid = ""
        self.close_code = 0
        self.pinged = 0  # ping frames, which are not answered
        self.over = False
        self.seconds = SECONDS  # how long `wait` and `end` wait
        self.parsing = True  # False where several streams come in one piece: then there is only `text`
        self.paused = asyncio.Event()
        self.paused.set()
        self._changed = asyncio.Event()
        self._parser = StreamParser(max_stanza=2**30)
        self._parser.flow()
        self._task: asyncio.Task[None] | None = None
        self._pings = 0

    # -- the connection --------------------------------------------------------------------------------------------

    @classmethod
    async def connect(
        cls,
        address: tuple[str, int],
        *,
        websocket: bool = False,
        tls: bool = False,
        narrow: bool = False,
        headers: str = "",
    ) -> Self:
        """Connects; on a WebSocket the upgrade is done as well. Certificates are not looked at, as by Flutter.

        `narrow`: hardly anything fits between the server and this client. `headers`: more of them for the upgrade.
        """
        context = blind_context() if tls else None
        plug = socket.socket()
        plug.setblocking(False)
        if narrow:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(plug, address)
        host = address[0] if tls else None
        limit = 2**12 if narrow else 2**26
        reader, writer = await asyncio.open_connection(sock=plug, ssl=context, server_hostname=host, limit=limit)
        self = cls(reader, writer, websocket=websocket)
        if websocket:
            key = base64.b64encode(os.urandom(16))
            writer.write(
                b"GET /any HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n"
                b"Sec-WebSocket-Key: " + key + b"\r\n" + headers.encode() + b"\r\n"
            )
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
            assert answer.startswith(b"HTTP/1.1 101"), answer
            assert b"sec-websocket-protocol: xmpp" in answer.lower()
        self._task = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        try:
            while True:
                await self.paused.wait()
                if self.websocket:
                    await self._read_frame()
                else:
                    data = await self._reader.read(65536)
                    if not data:
                        break
                    self.text += data.decode()
                    if self.parsing:
                        self._take(self._parser.feed(data))
                self._changed.set()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.writer.close()  # as the other end has done
            self.over = True
            self._changed.set()

    async def _read_frame(self) -> None:
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
        payload = await self._reader.readexactly(length)
        opcode = first & 0x0F
        if opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
            with contextlib.suppress(ConnectionError):
                self.writer.write(frame(payload[:2], CLOSE))
        elif opcode == PING:
            self.pinged += 1
        elif opcode == TEXT:
            self.text += payload.decode()
            self._take([parse_frame(payload, max_stanza=2**30)])

    def _take(self, tokens: list[Any]) -> None:
        for token in tokens:
            if isinstance(token, RemoteProtocolError):
                raise AssertionError(f"the server sent what is no XML: {token}: {self.text[-300:]}")
            if isinstance(token, StreamStart):
                self.waiting.append(Element("open", dict(token.attrs)))
            elif isinstance(token, StreamEnd):
                self.waiting.append(Element("close"))
            else:
                self.waiting.append(token)

    def restart(self) -> None:
        """A new stream follows on the same connection."""
        self._parser = StreamParser(max_stanza=2**30)
        self._parser.flow()

    def send(self, xml: str | bytes) -> None:
        """Sends one element (a WebSocket: one frame), byte for byte."""
        data = xml if isinstance(xml, bytes) else xml.encode()
        self.writer.write(frame(data) if self.websocket else data)

    async def close(self) -> None:
        """Ends the connection without a word."""
        self.writer.transport.abort()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- waiting ---------------------------------------------------------------------------------------------------

    async def wait(self, name: str, /, test: Callable[[Element], bool] | None = None, **attrs: str) -> Element:
        """Takes the first element with this name, these attributes and passing this test; the others stay."""

        def fits(element: Element) -> bool:
            return (
                element.name == name
                and all(element.get(key.rstrip("_")) == value for key, value in attrs.items())
                and (test is None or test(element))
            )

        async with asyncio.timeout(self.seconds):
            while True:
                for index, element in enumerate(self.waiting):
                    if fits(element):
                        return self.waiting.pop(index)
                if self.over:
                    raise AssertionError(f"the connection ended before <{name} {attrs}>: …{self.text[-600:]}")
                self._changed.clear()
                try:
                    await self._changed.wait()
                except asyncio.CancelledError:
                    raise AssertionError(f"no <{name} {attrs}> came: …{self.text[-600:]}") from None

    async def end(self, condition: str | None = None) -> None:
        """Waits until the server has closed the connection; it must have said this stream error before."""
        if condition is not None:
            error = await self.wait("stream:error")
            assert next(child.name for child in error.elements()) == condition, self.text[-600:]
            assert next(error.elements()).xmlns == "urn:ietf:params:xml:ns:xmpp-streams"
            await self.wait("close")
        async with asyncio.timeout(self.seconds):
            while not self.over:
                self._changed.clear()
                await self._changed.wait()

    async def ping(self) -> None:
        """A round trip: all that was sent before is handled, all that was written before has arrived."""
        self._pings += 1
        self.send(f'<iq type="get" id="ping{self._pings}" xmlns="jabber:client"><ping xmlns="urn:xmpp:ping"/></iq>')
        await self.wait("iq", id=f"ping{self._pings}", type="result")

    def take_all(self, name: str) -> list[Element]:
        """What has come with this name."""
        found = [element for element in self.waiting if element.name == name]
        self.waiting = [element for element in self.waiting if element.name != name]
        return found

    # -- the handshake ---------------------------------------------------------------------------------------------

    async def open(self, to: str = "localhost") -> Element:
        """Opens a stream; returns its features."""
        if self.websocket:
            self.send(f'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" version="1.0" to="{to}"/>')
        else:
            self.send(
                f'<?xml version="1.0"?><stream:stream xmlns="jabber:client" '
                f'xmlns:stream="http://etherx.jabber.org/streams" version="1.0" to="{to}">'
            )
        await self.wait("open")
        return await self.wait("stream:features")

    async def starttls(self, *, behind: str = "") -> None:
        """Has TLS negotiated; `behind` is what is sent in clear in one piece with the wish for it."""
        self.send(f'<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>{behind}')
        await self.wait("proceed")
        await self.upgrade()

    async def upgrade(self, context: ssl.SSLContext | None = None) -> None:
        """Negotiates TLS; a new stream follows."""
        await self.writer.start_tls(context or blind_context(), server_hostname="localhost")
        self.restart()

    def auth(self, username: str, password: str) -> None:
        """Sends credentials."""
        response = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
        self.send(f'<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">{response}</auth>')

    async def login(self, username: str, password: str, resource: str | None = None) -> Self:
        """The whole handshake up to the bind."""
        await self.open()
        self.auth(username, password)
        await self.wait("success")
        self.restart()
        await self.open()
        await self.bind(resource)
        return self

    async def bind(self, resource: str | None = None) -> str:
        """Binds a resource; returns the full JID."""
        wish = "" if resource is None else f"<resource>{resource}</resource>"
        self.send(
            f'<iq type="set" id="b1" xmlns="jabber:client">'
            f'<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind">{wish}</bind></iq>'
        )
        bound = (await self.wait("iq", id="b1", type="result")).find("bind")
        assert bound is not None
        jid = bound.find("jid")
        assert jid is not None
        self.jid = jid.text
        return self.jid

    async def available(self) -> Element:
        """Initial presence; returns its echo."""
        self.send('<presence xmlns="jabber:client"/>')
        return await self.wait("presence", from_=self.jid)

    async def enable(self) -> None:
        """Stream management on (XEP-0198)."""
        self.send('<enable xmlns="urn:xmpp:sm:3"/>')
        await self.wait("enabled")

    async def request(self) -> int:
        """Asks how many stanzas are handled."""
        self.send('<r xmlns="urn:xmpp:sm:3"/>')
        return int((await self.wait("a")).attrs["h"])
