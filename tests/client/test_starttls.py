"""STARTTLS from the client's side, with servers that do not keep their word."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.client.fake_chat import DOMAIN, STREAM
from voxcube.client import Client, ConnectionState, NotConnected, TransportError

OFFER = (
    f"{STREAM}<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    "</stream:features>"
)
PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
FAILURE = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
LOGIN = f"{STREAM}<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
Said = list[bytes]


@asynccontextmanager
async def server(*answers: str, hangs_up: bool = False) -> AsyncIterator[tuple[Said, Callable[..., Client]]]:
    """Gives one answer to each thing that it is told, then is silent; and a maker of clients for it."""
    said: Said = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            said.append(data)
            if left:
                writer.write(left.pop(0).encode())
            elif hangs_up:
                break
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]

    def client(timeout: float = 5.0) -> Client:
        return Client(
            app_id=3,
            auth_key="key",
            api_url="http://127.0.0.1:1/",
            chat_host=DOMAIN,
            chat_address="127.0.0.1",
            chat_port=port,
            transport="starttls",
            timeout=timeout,
            http_transport=httpx.MockTransport(lambda _: httpx.Response(500)),
        )

    async with listening:
        yield said, client


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((OFFER, FAILURE), "refuses TLS"),
        ((f"{LOGIN}</mechanisms></stream:features>",), "offers no TLS"),
        ((OFFER, PROCEED, "<this is not TLS>"), "no TLS|lost"),
    ],
)
async def test_no_password_without_tls(answers: tuple[str, ...], reason: str) -> None:
    async with server(*answers) as (said, client), client() as cube:
        with pytest.raises(TransportError, match=reason):
            await cube.chat.connect(77, "secret")
        assert cube.chat.state is ConnectionState.CLOSED
    assert b"<auth" not in b"".join(said)


async def test_what_follows_in_clear_is_never_read() -> None:
    """Somebody on the wire puts an answer of their own behind the server's word."""
    forged = f"{PROCEED}{LOGIN}</mechanisms></stream:features>"
    async with server(OFFER, forged, hangs_up=True) as (said, client), client() as cube:
        with pytest.raises(TransportError):
            await cube.chat.connect(77, "secret")
    assert said[-1][:1] == b"\x16"  # a TLS handshake record
    assert b"<auth" not in b"".join(said)


async def test_silence_in_the_handshake() -> None:
    async with server(OFFER, PROCEED) as (_, client), client(timeout=0.2) as cube:
        with pytest.raises(TransportError, match=r"0\.2 s"):
            await cube.chat.connect(77, "secret")
        assert cube.chat.state is ConnectionState.CLOSED


async def test_disconnect_in_the_handshake() -> None:
    async with server(OFFER, PROCEED) as (said, client), client() as cube:
        attempt = asyncio.create_task(cube.chat.connect(77, "secret"))
        async with asyncio.timeout(5):
            while len(said) < 3:
                await asyncio.sleep(0.01)
        await cube.chat.disconnect()
        with pytest.raises(NotConnected):
            await attempt
        assert cube.chat.state is ConnectionState.CLOSED
