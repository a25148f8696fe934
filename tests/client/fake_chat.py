"""A chat server on loopback, made of the server's stream machine: logs in, answers requests, and obeys the test."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx

from voxcube.client import Client, ReconnectPolicy
from voxcube.xmpp import ns, sm, stanza
from voxcube.xmpp.framing import TcpFraming
from voxcube.xmpp.parser import StreamParser
from voxcube.xmpp.server import AuthRequest, BindRequest, Closed, Event, ResumeRequest, ServerStream
from voxcube.xmpp.xml import Element, serialize

DOMAIN = "chat.example.org"
DIALOG_ID = "64c0ffee64c0ffee64c0ffee"
ROOM = f"3_{DIALOG_ID}@muc.{DOMAIN}"
MESSAGE_ID = "65a1b2c3d4e5f60718293a4b"
STREAM = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"


def parse(xml: str) -> Element:
    """One element from its text."""
    parser = StreamParser(max_stanza=1 << 20)
    element = parser.feed(f"{STREAM}{xml}".encode())[1]
    assert isinstance(element, Element), element
    return element


class FakeSession(asyncio.Protocol):
    """One client's connection as the server sees it. ``received`` has its stanzas, in order."""

    def __init__(self, server: "FakeChat") -> None:
        self.server = server
        self.stream = ServerStream(
            TcpFraming(), domain=DOMAIN, offer_plain=True, new_id=lambda: f"s{next(server.counter)}"
        )
        self.received: asyncio.Queue[Element] = asyncio.Queue()
        self.enabled = False
        self.handled = 0
        self.requests = 0
        self.jid = self.resume_id = ""
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connected.put_nowait(self)
        self.server.all.append(self)

    def data_received(self, data: bytes) -> None:
        self.take(self.stream.receive(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            more = self.event(event)
            self.flush()
            if more:
                self.take(more)
        self.flush()

    def event(self, event: Event) -> list[Event] | None:
        match event:
            case AuthRequest(_, username, password):
                self.server.logins.append((username, password))
                if self.server.silent_at_login:
                    return None
                if self.server.busy:
                    self.server.busy -= 1
                    return self.stream.auth_failure("temporary-auth-failure")
                if password == self.server.password:
                    self.username = username
                    return self.stream.auth_success()
                return self.stream.auth_failure()
            case ResumeRequest(previd, h):
                self.server.resumes.append((previd, h))
                earlier = next((each for each in self.server.all if each.resume_id == previd != ""), None)
                if earlier is None:
                    return self.stream.resume_failed("item-not-found", self.server.remembers)
                self.enabled, self.handled, self.jid = True, earlier.handled, earlier.jid
                self.resume_id, earlier.resume_id = earlier.resume_id, ""
                more = self.stream.resumed(self.jid, previd, self.handled)
                self.send(*self.server.repeats)
                return more
            case BindRequest(_, resource):
                self.jid = f"{self.username}@{DOMAIN}/{resource or f'resource-{next(self.server.counter)}'}"
                return self.stream.bind(self.jid)
            case Closed():
                self.flush()
                self.transport.close()
            case Element():
                self.element(event)
        return None

    def element(self, element: Element) -> None:
        if element.xmlns == ns.SM:
            self.manage(element)
            return
        if self.enabled:
            self.handled += 1
        self.received.put_nowait(element)
        if element.name == "iq" and element.get("type") in ("get", "set") and self.server.answers_iq:
            self.send(stanza.iq_result(element, from_=DOMAIN))
        elif element.get("type") == "groupchat" and element.find("body") is not None and self.server.echoes:
            self.echo(element)

    def manage(self, element: Element) -> None:
        if element.name == "enable":
            self.enabled = self.server.stream_management
            if self.enabled and self.server.resumption:
                self.resume_id = f"r{next(self.server.counter)}"
                self.send(sm.enabled(id_=self.resume_id, max_seconds=300))
            else:
                self.send(sm.enabled() if self.enabled else sm.failed("service-unavailable"))
        elif element.name == "r":
            self.requests += 1
            if self.server.acknowledges:
                self.send(sm.ack(self.handled))
        elif element.name == "a":
            self.received.put_nowait(element)

    def echo(self, message: Element) -> None:
        attrs = message.attrs | {"from": f"{ROOM}/{self.username.split('-')[0]}", "to": self.jid}
        self.send(Element("message", attrs, message.children))

    def send(self, *elements: Element | str) -> None:
        """Writes elements, or text as it is."""
        self.flush()
        data = b"".join(e.encode() if isinstance(e, str) else serialize(e) for e in elements)
        self.transport.write(data)

    def flush(self) -> None:
        data = self.stream.data_to_send()
        if data:
            self.transport.write(data)

    async def next(self, name: str = "message") -> Element:
        """The next stanza of that name; others before it are passed over."""
        async with asyncio.timeout(5):
            while True:
                element = await self.received.get()
                if element.name == name:
                    return element

    def quiet(self) -> bool:
        """Whether no message is waiting."""
        left = []
        while not self.received.empty():
            left.append(self.received.get_nowait())
        return all(element.name != "message" for element in left)

    def drop(self) -> None:
        """The network breaks."""
        self.transport.abort()


class FakeChat:
    """The server; its attributes say how it behaves from now on."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.counter = itertools.count(1)
        self.connected: asyncio.Queue[FakeSession] = asyncio.Queue()
        self.all: list[FakeSession] = []
        self.logins: list[tuple[str, str]] = []
        self.stream_management = True
        self.resumption = False
        self.resumes: list[tuple[str, int]] = []
        self.repeats: list[str] = []  # what is sent again after a resumption
        self.remembers: int | None = None  # what is said of a session that cannot be resumed
        self.acknowledges = True
        self.echoes = True
        self.answers_iq = True
        self.silent_at_login = False
        self.busy = 0  # how many logins are refused for now
        self.password = "secret"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: FakeSession(self), "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for session in self.all:
            session.transport.abort()
            await session.closed.wait()
        await self.server.wait_closed()

    def client(self, **options: Any) -> Client:
        defaults: dict[str, Any] = {
            "app_id": 3,
            "auth_key": "key",
            "api_url": "http://127.0.0.1:1/",
            "chat_host": DOMAIN,
            "chat_address": "127.0.0.1",
            "chat_port": self.port,
            "transport": "tcp",
            "chat_timeout": 5.0,
            "reconnect": ReconnectPolicy(max_attempts=0),
            "http_transport": httpx.MockTransport(lambda _: httpx.Response(500)),
        }
        return Client(**(defaults | options))

    @asynccontextmanager
    async def ready(self, user_id: int = 77, **options: Any) -> AsyncIterator[tuple[Client, FakeSession]]:
        """A connected client and its session."""
        async with self.client(**options) as cube:
            await cube.chat.connect(user_id, "secret")
            yield cube, await self.connected.get()
