"""Connecting, the states, and every way a connection ends."""

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest

from tests.client.fake_chat import DOMAIN, FakeChat, parse
from tests.client.fake_rest import FakeRest, session_json, with_session
from voxcube.client import (
    AuthenticationFailed,
    ChatTimeout,
    ConnectionState,
    ConnectionStateChange,
    NotConnected,
    SessionReplaced,
    TransportError,
)
from voxcube.client import connection as connection_module
from voxcube.xmpp import ns

State = ConnectionState


async def test_connect_walks_through_the_states() -> None:
    async with FakeChat() as server, server.client() as cube:
        seen: list[State] = []
        cube.chat.on_state(lambda change: seen.append(change.new))
        states = cube.chat.states()
        assert (cube.chat.state, cube.chat.user_id, cube.chat.is_ready) == (State.IDLE, None, False)
        jid = await cube.chat.connect(77, "secret", "phone/7")
        assert (jid.bare, jid.resource) == (f"77-3@{DOMAIN}", "phone/7")
        assert (cube.chat.user_id, cube.chat.is_ready) == (77, True)
        session = await server.connected.get()
        carbons = await session.next("iq")
        assert carbons.find("enable", ns.CARBONS) is not None
        assert not (carbons.get("id") or "").endswith(":enableCarbons")  # the mark of the JavaScript SDK
        assert (await session.next("presence")).get("type") is None
        assert session.enabled
        await cube.chat.disconnect()
        assert cube.chat.state is State.CLOSED
        assert (await session.next("presence")).get("type") == "unavailable"
        await asyncio.wait_for(session.closed.wait(), 5)
        assert seen == [State.CONNECTING, State.AUTHENTICATED, State.READY, State.CLOSING, State.CLOSED]
        assert await anext(states) == ConnectionStateChange(State.IDLE, State.CONNECTING)
        await cube.chat.disconnect()  # nothing to do
        await cube.chat.connect(77, "secret")
        await cube.chat.destroy()
        assert (cube.chat.state, cube.chat.user_id) == (State.IDLE, None)
        assert [change.new async for change in states][-1] is State.IDLE


async def test_the_session_token_is_the_default_password() -> None:
    rest = FakeRest({"POST /session": (201, session_json("secret"))})
    async with FakeChat() as server:
        cube = server.client(http_transport=rest.client()._http._http._transport)
        async with cube:
            with pytest.raises(ValueError, match="password"):
                await cube.chat.connect(77)
            await cube.auth.create_session(login="ann", password="s3cret-pass")
            await cube.chat.connect(77)
        assert server.logins == [("77-3", "secret")]


async def test_wrong_password() -> None:
    async with FakeChat() as server, server.client() as cube:
        seen: list[ConnectionStateChange] = []
        cube.chat.on_state(seen.append)
        with pytest.raises(AuthenticationFailed) as caught:
            await cube.chat.connect(77, "wrong")
        assert (caught.value.condition, caught.value.text) == ("not-authorized", "Password not verified")
        assert [change.new for change in seen] == [State.CONNECTING, State.AUTHENTICATION_FAILURE, State.CLOSED]
        assert seen[1].error is caught.value
        await asyncio.wait_for(server.all[0].closed.wait(), 5)
        await cube.chat.connect(77, "secret")
        assert cube.chat.is_ready


async def test_concurrent_calls_share_one_attempt() -> None:
    async with FakeChat() as server, server.client() as cube:
        first, second = await asyncio.gather(cube.chat.connect(77, "secret"), cube.chat.connect(77, "secret"))
        assert first == second
        assert len(server.all) == 1
        with pytest.raises(RuntimeError, match="connected already"):
            await cube.chat.connect(77, "secret")


async def test_two_users_cannot_share_an_attempt() -> None:
    async with FakeChat() as server, server.client() as cube:
        attempt = asyncio.create_task(cube.chat.connect(77, "secret"))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another user"):
            await cube.chat.connect(88, "secret")
        await attempt


async def test_a_cancelled_attempt_is_given_up_when_nobody_else_waits() -> None:
    async with FakeChat() as server, server.client() as cube:
        server.silent_at_login = True
        attempts = [asyncio.create_task(cube.chat.connect(77, "secret")) for _ in range(2)]
        session = await server.connected.get()
        attempts[0].cancel()
        await asyncio.sleep(0.01)
        assert not attempts[1].done()
        attempts[1].cancel()
        await asyncio.wait(attempts)
        assert all(attempt.cancelled() for attempt in attempts)
        assert cube.chat.state is State.CLOSED
        await asyncio.wait_for(session.closed.wait(), 5)
        server.silent_at_login = False
        await cube.chat.connect(77, "secret")


async def test_disconnect_ends_an_attempt() -> None:
    async with FakeChat() as server, server.client() as cube:
        server.silent_at_login = True
        attempt = asyncio.create_task(cube.chat.connect(77, "secret"))
        await server.connected.get()
        await cube.chat.disconnect()
        with pytest.raises(NotConnected):
            await attempt
        assert cube.chat.state is State.CLOSED


async def test_a_silent_server_is_given_up() -> None:
    async with FakeChat() as server, server.client(timeout=0.1) as cube:
        server.silent_at_login = True
        with pytest.raises(TransportError, match=r"0\.1 s"):
            await cube.chat.connect(77, "secret")
        assert cube.chat.state is State.CLOSED


async def test_nobody_listens() -> None:
    async with FakeChat() as server:
        port = server.port
    async with server.client(chat_port=port) as cube:
        seen: list[State] = []
        cube.chat.on_state(lambda change: seen.append(change.new))
        with pytest.raises(TransportError, match="cannot connect"):
            await cube.chat.connect(77, "secret")
        assert seen == [State.CONNECTING, State.FORCE_CLOSED, State.CLOSED]


@pytest.mark.parametrize(("password", "resource"), [("a\0b", None), ("a\ud800b", None), ("secret", "a\0b")])
async def test_a_password_that_cannot_travel(password: str, resource: str | None) -> None:
    async with FakeChat() as server, server.client() as cube:
        with pytest.raises(ValueError, match="control"):
            await cube.chat.connect(77, password, resource)
        assert cube.chat.state is State.IDLE


async def test_disconnect_and_destroy_at_the_same_time() -> None:
    async with FakeChat() as server, server.ready() as (cube, _):
        await asyncio.gather(cube.chat.disconnect(), cube.chat.destroy())
        assert cube.chat.state is State.IDLE


async def test_the_connection_ends_before_it_is_ready() -> None:
    async with FakeChat() as server, server.client() as cube:
        server.answers_iq = False
        attempt = asyncio.create_task(cube.chat.connect(77, "secret"))
        session = await server.connected.get()
        await session.next("iq")
        session.drop()
        with pytest.raises(TransportError, match="before the answer"):
            await attempt
        assert cube.chat.state is State.CLOSED


@pytest.mark.parametrize(
    "noise",
    [
        "<<>>",
        "</stream:stream>",
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
        "<a xmlns='urn:xmpp:sm:3' h='4000'/>",
        "<a xmlns='urn:xmpp:sm:3' h='x'/>",
    ],
)
async def test_the_stream_breaks(noise: str) -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        states = cube.chat.states()
        session.send(noise)
        change = await asyncio.wait_for(anext(states), 5)
        assert change.new is State.FORCE_CLOSED
        expected = SessionReplaced if "conflict" in noise else TransportError
        assert isinstance(change.error, expected)
        assert (await anext(states)).new is State.CLOSED
        with pytest.raises(NotConnected):
            await cube.chat.ping()
        await cube.chat.connect(77, "secret")


async def test_the_network_breaks() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        states = cube.chat.states()
        server.answers_iq = False
        ping = asyncio.create_task(cube.chat.ping())
        await asyncio.sleep(0)
        session.drop()
        with pytest.raises(NotConnected, match="before the answer"):
            await ping
        assert [(await anext(states)).new, (await anext(states)).new] == [State.FORCE_CLOSED, State.CLOSED]


async def test_ping_and_its_timeout() -> None:
    async with FakeChat() as server, server.ready() as (cube, _):
        assert 0 < await cube.chat.ping() < 5
        server.answers_iq = False
        with pytest.raises(ChatTimeout):
            await cube.chat.ping(timeout=0.01)
        assert cube.chat.is_ready


async def test_the_server_pings_and_asks_what_we_do_not_know() -> None:
    async with FakeChat() as server, server.ready() as (_, session):
        await session.next("presence")
        session.send(parse(f'<iq type="get" id="sp1" from="{DOMAIN}"><ping xmlns="urn:xmpp:ping"/></iq>'))
        answer = await session.next("iq")
        assert (answer.get("type"), answer.get("id"), answer.get("to")) == ("result", "sp1", DOMAIN)
        session.send(parse(f'<iq type="set" id="q1" from="{DOMAIN}"><query xmlns="jabber:iq:roster"/></iq>'))
        answer = await session.next("iq")
        assert (answer.get("type"), answer.get("id")) == ("error", "q1")


async def test_the_server_asks_how_much_has_arrived() -> None:
    async with FakeChat() as server, server.ready() as (cube, session):
        await cube.chat.ping()
        session.send("<r xmlns='urn:xmpp:sm:3'/>")
        before = int((await session.next("a")).attrs["h"])
        session.send("<presence from='88-3@chat.example.org/x'/><message type='headline'/><r xmlns='urn:xmpp:sm:3'/>")
        assert int((await session.next("a")).attrs["h"]) == before + 2


async def test_silence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "KEEP_ALIVE", 0.05)
    monkeypatch.setattr(connection_module, "KEEP_ALIVE_TIMEOUT", 0.05)
    async with FakeChat() as server, server.ready() as (cube, _):
        await asyncio.sleep(0.2)
        assert cube.chat.is_ready
        states = cube.chat.states()
        server.answers_iq = False
        change = await asyncio.wait_for(anext(states), 5)
        assert change.new is State.FORCE_CLOSED
        assert "does not answer" in str(change.error)


async def test_a_slow_connection_is_no_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer may be behind much that comes slowly."""
    monkeypatch.setattr(connection_module, "KEEP_ALIVE", 0.05)
    monkeypatch.setattr(connection_module, "KEEP_ALIVE_TIMEOUT", 0.4)
    async with FakeChat() as server, server.ready() as (cube, session):
        await session.next("iq")  # carbons
        server.answers_iq = False
        await session.next("iq")
        await asyncio.sleep(0.2)
        session.send("<presence from='88-3@chat.example.org/x'/>")
        await session.next("iq")  # asked again
        assert cube.chat.is_ready


async def test_carbons_refused_is_no_failure() -> None:
    async with FakeChat() as server, server.client() as cube:
        server.answers_iq = False
        attempt = asyncio.create_task(cube.chat.connect(77, "secret"))
        session = await server.connected.get()
        carbons = await session.next("iq")
        session.send(
            f'<iq type="error" id="{carbons.get("id")}"><error type="cancel" code="503"><service-unavailable '
            'xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>'
        )
        await attempt
        assert cube.chat.is_ready


async def test_tls_with_a_self_signed_certificate(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with FakeChat(tls=context) as server:
        async with server.client(transport="tls", ca_file=cert) as cube:
            await cube.chat.connect(77, "secret")
            assert await cube.chat.ping() > 0
        async with server.client(transport="tls") as cube:
            with pytest.raises(TransportError, match="certificate"):
                await cube.chat.connect(77, "secret")
        async with server.client(transport="tls", ca_file=cert, chat_host="other.example.org") as cube:
            with pytest.raises(TransportError, match="certificate"):
                await cube.chat.connect(77, "secret")
    assert server.logins == [("77-3", "secret")]


def test_both_kinds_of_trust_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either"):
        with_session(FakeRest().client(tls=ssl.create_default_context(), ca_file=tmp_path / "x"))


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for the chat domain that is its own authority, as `voxcube serve` makes one."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DOMAIN)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(DOMAIN), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    cert, key = folder / "tls.crt", folder / "tls.key"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert, key
