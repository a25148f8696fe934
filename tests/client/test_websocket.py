"""The WebSocket below a chat connection, against a server that cuts its frames up and looks closely at ours."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import picows
import pytest

from tests.client.fake_chat import DOMAIN
from voxcube.client import Client, ConnectionState, TransportError
from voxcube.client.websocket import MAX_FRAME
from voxcube.xmpp import stanza
from voxcube.xmpp.framing import WebSocketFraming
from voxcube.xmpp.server import AuthRequest, BindRequest, Closed, Event, ServerStream
from voxcube.xmpp.xml import Element, serialize

TEXT, CONTINUATION, CLOSE = picows.WSMsgType.TEXT, picows.WSMsgType.CONTINUATION, picows.WSMsgType.CLOSE


class Side(picows.WSListener):
    """The server's end of one connection."""

    def __init__(self, server: "WebServer", request: picows.WSUpgradeRequest) -> None:
        super().__init__()
        self.server = server
        self.request = request
        self.stream = ServerStream(WebSocketFraming(), domain=DOMAIN, offer_plain=True, new_id=lambda: "s1")
        self.frames: list[bytes] = []
        self.gone = asyncio.Event()
        self.close_code: Any = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        self.server.sides.append(self)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.gone.set()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is CLOSE:
            self.close_code = frame.get_close_code()
            transport.disconnect()
        elif frame.msg_type is TEXT:
            self.frames.append(frame.get_payload_as_bytes())
            self.take(self.stream.receive(self.frames[-1]))

    def take(self, events: list[Event]) -> None:
        for event in events:
            more: list[Event] = []
            if isinstance(event, AuthRequest):
                more = self.stream.auth_success()
            elif isinstance(event, BindRequest):
                more = self.stream.bind(f"77-3@{DOMAIN}/r1")
            elif isinstance(event, Element) and event.name == "iq":
                self.send(serialize(stanza.iq_result(event)))
            self.flush()
            if isinstance(event, Closed):
                self.transport.send_close(picows.WSCloseCode.OK)
            self.take(more)
        self.flush()

    def flush(self) -> None:
        for payload in self.stream.payloads_to_send():
            self.send(payload)

    def send(self, payload: bytes) -> None:
        """One message in three frames (RFC 6455 §5.4)."""
        third = len(payload) // 3
        self.transport.send(TEXT, payload[:third], fin=False)
        self.transport.send_ping()  # control frames may come between
        self.transport.send(CONTINUATION, payload[third : 2 * third], fin=False)
        self.transport.send(CONTINUATION, payload[2 * third :], fin=True)


class WebServer:
    """Its address, and the connections that were made."""

    def __init__(self) -> None:
        self.sides: list[Side] = []
        self.port = 0

    def client(self) -> Client:
        return Client(
            app_id=3,
            auth_key="key",
            api_url="http://127.0.0.1:1/",
            chat_host=DOMAIN,
            chat_url=f"ws://127.0.0.1:{self.port}/chat?v=1",
            transport="ws",
            chat_timeout=5.0,
            http_transport=httpx.MockTransport(lambda _: httpx.Response(500)),
        )


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    running = WebServer()

    def accept(request: picows.WSUpgradeRequest) -> picows.WSUpgradeResponseWithListener:
        answer = picows.WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": "xmpp"})
        return picows.WSUpgradeResponseWithListener(answer, Side(running, request))

    listening = await picows.ws_create_server(accept, "127.0.0.1", 0, use_aiofastnet=False)
    running.port = listening.sockets[0].getsockname()[1]
    yield running
    listening.close()
    for side in running.sides:
        side.transport.disconnect(False)
        await asyncio.wait_for(side.gone.wait(), 5)
    await listening.wait_closed()


async def change_to(states: Any, wanted: ConnectionState) -> Any:
    async with asyncio.timeout(5):
        async for change in states:
            if change.new is wanted:
                return change
    raise AssertionError(f"it never became {wanted}")


async def test_every_frame_is_one_element_with_its_namespace(server: WebServer) -> None:
    async with server.client() as cube:
        jid = await cube.chat.connect(77, "secret")
        assert jid.full == f"77-3@{DOMAIN}/r1"
        await cube.chat.ping()
        (side,) = server.sides
        assert side.request.path == b"/chat?v=1"
        assert side.request.headers["Sec-WebSocket-Protocol"] == "xmpp"
        await cube.chat.disconnect()
        await asyncio.wait_for(side.gone.wait(), 5)
    for frame in side.frames:
        assert b' xmlns="' in frame[: frame.index(b">")], frame
    assert side.frames[0].startswith(b"<open ")
    assert side.frames[-1].startswith(b"<close ")
    assert cube.chat.state is ConnectionState.IDLE


async def test_the_server_closes_the_websocket(server: WebServer) -> None:
    async with server.client() as cube:
        await cube.chat.connect(77, "secret")
        states = cube.chat.states()
        server.sides[0].transport.send_close(picows.WSCloseCode.GOING_AWAY)
        change = await change_to(states, ConnectionState.FORCE_CLOSED)
        assert isinstance(change.error, TransportError)
        await asyncio.wait_for(server.sides[0].gone.wait(), 5)
        assert server.sides[0].close_code is picows.WSCloseCode.GOING_AWAY  # RFC 6455 §5.5.1
        await cube.chat.connect(77, "secret")


async def test_the_server_says_more_than_anybody_wants_to_hear(server: WebServer) -> None:
    async with server.client() as cube:
        await cube.chat.connect(77, "secret")
        states = cube.chat.states()
        side = server.sides[0]
        side.transport.send(TEXT, b"<message>", fin=False)
        for _ in range(3):
            side.transport.send(CONTINUATION, b"x" * (MAX_FRAME // 2), fin=False)
        change = await change_to(states, ConnectionState.FORCE_CLOSED)
        assert isinstance(change.error, TransportError)


async def test_the_socket_breaks(server: WebServer) -> None:
    async with server.client() as cube:
        await cube.chat.connect(77, "secret")
        states = cube.chat.states()
        server.sides[0].transport.underlying_transport.abort()
        await change_to(states, ConnectionState.FORCE_CLOSED)


async def test_a_reader_that_is_slow_makes_senders_wait(server: WebServer) -> None:
    body = "x" * 100_000
    async with server.client() as cube:
        await cube.chat.connect(77, "secret")
        side = server.sides[0]
        side.transport.underlying_transport.pause_reading()
        sendings = [asyncio.create_task(cube.chat.send(to_user=88, body=body)) for _ in range(300)]
        await asyncio.sleep(0.1)
        wire: Any = cube.chat._life.connection._wire
        assert wire._transport.underlying_transport.get_write_buffer_size() < 5 * len(body)
        for sending in sendings:
            sending.cancel()
        await asyncio.wait(sendings)
        side.transport.underlying_transport.resume_reading()
