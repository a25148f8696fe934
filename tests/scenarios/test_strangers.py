"""Who has not logged in: how many, behind which proxy, how much they may say; certificates that change meanwhile."""

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvloop
from starlette.types import Receive, Scope, Send

from tests.support.node import DOORS, PASSWORD, Node, running
from tests.support.ports import free_port
from tests.support.server_process import ServerProcess
from tests.support.xmpp_peer import Peer, frame
from voxcube.server import tls
from voxcube.server.config import Config
from voxcube.server.net.addresses import listen
from voxcube.server.rest.http import HttpServer
from voxcube.xmpp.xml import to_xml

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]

MOST = 3
PROXY, CLIENT, STRANGER = "192.0.2.7", "198.51.100.1", "203.0.113.9"


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    options: dict[str, Any] = {"unlimited": False, "max_half_open": MOST, "trusted_proxies": f"{PROXY},10.0.0.0/8"}
    async with running(tmp_path_factory.mktemp("strangers") / "node", "ann", "bob", **options) as node:
        yield node


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def hung_up(node: Node) -> AsyncIterator[None]:
    yield
    await node.hang_up()
    async with asyncio.timeout(30):
        while node.app.hub.connected:
            await asyncio.sleep(0.01)


def seen_from(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What connects from now on seems to come from there."""
    monkeypatch.setattr("voxcube.server.net.acceptor.peer_address", lambda name: address)


async def forwarded(node: Node, header: str) -> Peer:
    """A WebSocket in clear, as a proxy opens it for somebody."""
    peer = await Peer.connect(node.app.doors["ws"], websocket=True, headers=header)
    node.adopt(peer)
    return peer


# -- a cap for each address --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_an_address_holds_so_many_connections_without_a_login(node: Node, door: str) -> None:
    ann = node.people["ann"]
    await node.login(ann, door=door)  # does not count any more
    first, *others = [await node.connect(door) for _ in range(MOST)]
    await first.open()
    refused = await node.connect(door)
    await refused.end("policy-violation")
    # One that logs in makes room, and so does one that goes.
    first.auth(ann.name, PASSWORD)
    await first.wait("success")
    await (await node.connect(door)).open()
    await (await node.connect(door)).end("policy-violation")
    await others[0].close()
    async with asyncio.timeout(30):
        while len(node.app.hub.connected) > MOST + 1:
            await asyncio.sleep(0.01)
    await (await node.connect(door)).open()


@pytest.mark.parametrize("door", ["xmpp", "ws", "wss"])  # at xmpps a TLS library goes by itself when it is told to
async def test_a_flood_gets_no_answer(node: Node, door: str) -> None:
    kept = [await node.connect(door) for _ in range(MOST)]
    told = []
    for _ in range(MOST):
        told.append(await node.connect(door))
        told[-1].paused.clear()  # does not go when it is told to
    for _ in range(MOST):  # closed as soon as it is accepted, before TLS and the opening of a WebSocket
        reader, writer = await asyncio.open_connection(*node.app.doors[door])
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    for peer in told:
        peer.paused.set()
        await peer.end("policy-violation")
    for peer in kept:
        await peer.open()


async def test_addresses_are_counted_apart_and_networks_of_one_customer_together(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3", "2001:db8::1", "2001:db8:0:1::1"):
        seen_from(monkeypatch, address)
        for _ in range(MOST):
            await (await node.connect("xmpp")).open()
    for address in ("::ffff:192.0.2.1", "192.0.2.3", "2001:db8::ffff", "2001:db8:0:1:2:3:4:5"):
        seen_from(monkeypatch, address)
        await (await node.connect("xmpp")).end("policy-violation")
    monkeypatch.undo()


async def test_with_unlimited_this_machine_is_not_counted(tmp_path: Path) -> None:
    async with running(tmp_path / "node", "ann", unlimited=True, max_half_open=1) as node:
        for peer in [await node.connect() for _ in range(5)]:
            await peer.open()


# -- how much they may say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
async def test_sixteen_kibibytes_before_the_login(node: Node, door: str) -> None:
    peer = await node.connect(door)
    await peer.open()
    piece = b" " * 1000 if not door.startswith("ws") else frame(b" " * 1000)
    peer.writer.write(piece * 15)
    peer.auth(node.people["ann"].name, "wrong")
    await peer.wait("failure")
    peer.writer.write(piece * 2)
    await peer.end("policy-violation")


@pytest.mark.parametrize("door", ["ws", "wss"])
async def test_sixteen_kibibytes_in_unfinished_pieces(node: Node, door: str) -> None:
    peer = await node.connect(door)
    peer.writer.write(frame(b" " * 1000, fin=False))
    for _ in range(16):
        peer.writer.write(frame(b" " * 1000, 0, fin=False))
    await peer.end("policy-violation")


# -- proxies -----------------------------------------------------------------------------------------------------------


async def test_a_login_through_a_trusted_proxy(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (PROXY, f"::ffff:{PROXY}", "10.1.2.3"):
        seen_from(monkeypatch, address)
        await (await node.connect("ws")).login(node.people["ann"].name, PASSWORD)
    monkeypatch.undo()


async def test_no_login_from_elsewhere_whatever_it_says(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (STRANGER, "192.0.2.8", "2001:db8::7"):
        seen_from(monkeypatch, address)
        peer = await forwarded(node, f"X-Forwarded-For: {PROXY}\r\nX-Forwarded-For: 127.0.0.1\r\n")
        assert "mechanism>" not in to_xml(await peer.open())
        peer.auth(node.people["ann"].name, PASSWORD)
        assert next((await peer.wait("failure")).elements()).name == "encryption-required"
    monkeypatch.undo()


async def test_a_trusted_proxy_says_for_whom(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    seen_from(monkeypatch, PROXY)
    for client in (CLIENT, STRANGER):
        for _ in range(MOST):
            await (await forwarded(node, f"X-Forwarded-For: {client}\r\n")).open()
    # What the client wrote itself stands before what the proxy has seen.
    for header in (
        f"X-Forwarded-For: 198.51.100.77, {CLIENT}\r\n",
        f"X-Forwarded-For: 198.51.100.77\r\nX-Forwarded-For: {CLIENT}\r\n",
        f"X-Forwarded-For: {CLIENT}, 10.0.0.9\r\n",
    ):
        await (await forwarded(node, header)).end("policy-violation")
    await (await forwarded(node, "X-Forwarded-For: 198.51.100.2\r\n")).open()
    # Of anybody else it is not believed.
    seen_from(monkeypatch, STRANGER)
    await (await forwarded(node, "X-Forwarded-For: 198.51.100.3\r\n")).end("policy-violation")
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("trusted", "header", "seen"),
    [
        ((), CLIENT, "127.0.0.1"),
        (("10.0.0.0/8",), CLIENT, "127.0.0.1"),
        (("127.0.0.1/32",), CLIENT, CLIENT),
        (("127.0.0.0/8", "10.0.0.0/8"), f"{STRANGER}, {CLIENT}, 10.1.1.1", CLIENT),
    ],
)
async def test_http_believes_trusted_proxies_only(trusted: tuple[str, ...], header: str, seen: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["client"][0].encode()})

    server, port = HttpServer(app, None, trusted_proxies=trusted), free_port()
    await server.open(listen(["127.0.0.1"], port))
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-For": header})
    assert answer.text == seen
    await server.close()


# -- certificates ------------------------------------------------------------------------------------------------------


async def certificate_at(address: tuple[str, int], *, starttls: bool = False) -> bytes:
    """What a door shows to a new connection (DER)."""
    peer = await Peer.connect(address, tls=not starttls)
    if starttls:
        await peer.open()
        await peer.starttls()
    shown: bytes = peer.writer.get_extra_info("ssl_object").getpeercert(True)
    await peer.close()
    return shown


async def test_a_renewed_certificate_is_shown_from_sighup_on(tmp_path: Path) -> None:
    old, new = (tls.certificate(Config(data=tmp_path / name)) for name in ("old", "new"))
    cert, key = tmp_path / "fullchain.pem", tmp_path / "key.pem"
    shutil.copy(old.cert, cert)
    shutil.copy(old.key, key)
    der = {made.cert: ssl.PEM_cert_to_DER_cert(made.cert.read_text()) for made in (old, new)}
    with ServerProcess(tmp_path / "node", tls_cert=cert, tls_key=key) as server:
        app = server.create_app()
        ann = f"{server.create_user(app['app_id'], 'ann', PASSWORD)}-{app['app_id']}"
        peers = []
        for door in ("xmpp", "xmpps", "wss"):
            peer = await Peer.connect(server.addresses[door], websocket=door == "wss", tls=door != "xmpp")
            if door == "xmpp":
                await peer.open()
                await peer.starttls()
            peers.append(await peer.login(ann, PASSWORD))

        async def shown() -> set[bytes]:
            doors = ("https", "xmpp", "xmpps", "wss")
            return {await certificate_at(server.addresses[door], starttls=door == "xmpp") for door in doors}

        async def logged(text: str) -> None:
            async with asyncio.timeout(30):
                while text not in server.log():
                    await asyncio.sleep(0.02)

        assert await shown() == {der[old.cert]}
        # A certificate whose key is not there yet, and half a file.
        shutil.copy(new.cert, cert)
        os.kill(server.pid, signal.SIGHUP)
        await logged("the certificate is not reloaded: cannot use")
        assert await shown() == {der[old.cert]}
        cert.write_text(new.cert.read_text()[:200])
        os.kill(server.pid, signal.SIGHUP)
        await logged("holds no certificate in PEM form")
        assert await shown() == {der[old.cert]}
        shutil.copy(new.cert, cert)
        shutil.copy(new.key, key)
        os.kill(server.pid, signal.SIGHUP)
        await logged(f"the certificate is reloaded: {new.fingerprint}")
        assert await shown() == {der[new.cert]}
        for peer in peers:
            await peer.ping()
            await peer.close()
        assert server.stop() == 0
