"""STARTTLS without a socket: what is said in clear, what is not, and what is forgotten (RFC 6120 §5)."""

from collections.abc import Iterable

import pytest

from tests.xmpp.helpers import BIND, DOMAIN, HEADER, JID, MESSAGE, OPEN, Door, auth, element, however_cut, open_door
from tests.xmpp.test_server import AUTH_FEATURES, BIND_FEATURES, BOUND, LOGIN, SUCCESS, error, header
from voxcube.xmpp import ns
from voxcube.xmpp.client import Authenticated, AuthFailed, Bound, ClientStream, Closed, Event, StreamFailed
from voxcube.xmpp.errors import LocalProtocolError
from voxcube.xmpp.framing import TcpFraming, WebSocketFraming, ws_frame
from voxcube.xmpp.server import StartTls
from voxcube.xmpp.stream import StreamState

END = b"</stream:stream>"
STARTTLS = b'<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>'
INDENTED = b'\n<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls">\n</starttls>\n'
PROCEED = b'<proceed xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>'
FAILURE = b'<failure xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>'
TLS_FEATURES = (
    b'<stream:features xmlns:stream="http://etherx.jabber.org/streams">'
    b'<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"><required/></starttls></stream:features>'
)
ENCRYPTION_REQUIRED = b'<failure xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><encryption-required/></failure>'


class TestServer:
    def test_step_by_step(self) -> None:
        door = Door(starttls=True)
        assert door.receive(HEADER) == header(1) + TLS_FEATURES
        assert door.receive(STARTTLS) == PROCEED
        assert door.events == [StartTls()]
        assert door.stream.state is StreamState.UPGRADING
        door.stream.secured()
        assert door.receive() == b""  # the client speaks first
        assert door.receive(HEADER) == header(2) + AUTH_FEATURES  # a new id, and TLS is not offered again
        assert door.receive(auth()) == SUCCESS
        assert door.receive(HEADER) == header(3) + BIND_FEATURES
        assert door.receive(BIND) == BOUND
        assert door.events == [StartTls(), *LOGIN]

    @pytest.mark.parametrize("starttls", [STARTTLS, INDENTED])
    @pytest.mark.parametrize("injected", [b"", b"\n", HEADER + auth(), auth(), b"<iq", b"</stream:stream>", b"\0<"])
    def test_what_follows_in_clear_is_never_read(self, starttls: bytes, injected: bytes) -> None:
        """Somebody on the wire puts a login of their own behind it, to have the client's session become theirs."""

        def run(pieces: Iterable[bytes]) -> tuple[bytes, list[object]]:
            door = Door(starttls=True)
            sent = door.receive(*pieces)
            door.stream.secured()
            sent += door.receive(HEADER + auth())
            return sent, list(door.events)

        sent, events = however_cut(run, HEADER + starttls + injected)
        assert sent == header(1) + TLS_FEATURES + PROCEED + header(2) + AUTH_FEATURES + SUCCESS
        assert events == [StartTls(), LOGIN[0]]

    def test_the_whole_of_a_login_however_cut(self) -> None:
        def run(pieces: Iterable[bytes]) -> tuple[bytes, list[object]]:
            door = Door(starttls=True)
            door.receive(HEADER + STARTTLS)
            door.stream.secured()
            return door.receive(*pieces), list(door.events)

        sent, events = however_cut(run, HEADER + auth() + HEADER + BIND + MESSAGE)
        assert sent == header(2) + AUTH_FEATURES + SUCCESS + header(3) + BIND_FEATURES + BOUND
        assert events == [StartTls(), *LOGIN, element(MESSAGE)]

    def test_no_password_before_it(self) -> None:
        def run(pieces: Iterable[bytes]) -> tuple[bytes, list[object]]:
            door = Door(starttls=True)
            return door.receive(*pieces), list(door.events)

        sent, events = however_cut(run, HEADER + auth() + STARTTLS)
        assert sent == header(1) + TLS_FEATURES + ENCRYPTION_REQUIRED + PROCEED
        assert events == [StartTls()]

    def test_where_it_is_not_offered(self) -> None:
        for secured in (False, True):

            def run(pieces: Iterable[bytes], secured: bool = secured) -> tuple[bytes, list[object]]:
                door = Door(starttls=secured)
                if secured:
                    door.receive(HEADER + STARTTLS)
                    door.stream.secured()
                    door.events.clear()
                return door.receive(*pieces), list(door.events)

            sent, events = however_cut(run, HEADER + STARTTLS + MESSAGE)
            assert sent == header(2 if secured else 1) + AUTH_FEATURES + FAILURE + END
            assert events == [Closed()]

    def test_not_on_a_websocket(self) -> None:
        door = Door(WebSocketFraming())
        door.receive(OPEN)
        assert door.receive(STARTTLS).startswith(ws_frame(FAILURE))
        assert door.events == [Closed()]

    def test_not_after_the_login(self) -> None:
        door = open_door()
        assert door.receive(STARTTLS) == error(b"unsupported-stanza-type") + END

    def test_another_namespace_is_something_else(self) -> None:
        door = Door(starttls=True)
        door.receive(HEADER)
        assert door.receive(b'<starttls xmlns="jabber:client"/>') == error(b"unsupported-stanza-type") + END

    def test_all_that_comes_before_the_login_counts(self) -> None:
        door = Door(starttls=True)
        door.receive(HEADER + b" " * 9000 + STARTTLS)
        door.stream.secured()
        door.receive(HEADER + b" " * 9000)
        assert door.events == [StartTls(), Closed("policy-violation")]

    def test_an_end_meanwhile(self) -> None:
        door = Door(starttls=True)
        door.receive(HEADER + STARTTLS)
        door.stream.fail("connection-timeout")
        assert door.stream.state is StreamState.CLOSED
        with pytest.raises(LocalProtocolError):
            door.stream.secured()

    def test_secured_without_being_asked_is_a_mistake(self) -> None:
        door = Door(starttls=True)
        door.receive(HEADER)
        with pytest.raises(LocalProtocolError):
            door.stream.secured()


def client(*, starttls: bool = True) -> ClientStream:
    return ClientStream(TcpFraming(), DOMAIN, jid_local="77-3", password="secret", starttls=starttls)


class TestClient:
    def test_with_our_server(self) -> None:
        door, stream = Door(starttls=True), client()
        events: list[Event] = []
        while up := stream.data_to_send():
            down = door.receive(up)
            if StartTls() in door.events:
                assert b"auth" not in up
                door.events.remove(StartTls())
                door.stream.secured()
            for event in stream.receive(down):
                events.append(event)
                if isinstance(event, StartTls):
                    assert stream.data_to_send() == b""
                    stream.secured()
        assert events == [StartTls(), Authenticated(), Bound(JID)]

    @pytest.mark.parametrize("injected", [b"", b"\n", header(1) + AUTH_FEATURES, b"<message>"])
    def test_what_follows_in_clear_is_never_read(self, injected: bytes) -> None:
        def run(pieces: Iterable[bytes]) -> tuple[list[Event], bytes]:
            stream = client()
            stream.data_to_send()
            events = [event for piece in pieces for event in stream.receive(piece)]
            sent = stream.data_to_send()
            stream.secured()
            stream.data_to_send()
            events += stream.receive(header(2) + AUTH_FEATURES)
            return events, sent + stream.data_to_send()

        events, sent = however_cut(run, header(1) + TLS_FEATURES + PROCEED + injected)
        assert events == [StartTls()]
        assert sent.startswith(STARTTLS)
        assert sent.endswith(auth()[-20:])

    @pytest.mark.parametrize("answer", [AUTH_FEATURES, TLS_FEATURES + FAILURE, TLS_FEATURES + SUCCESS])
    def test_no_tls_no_password(self, answer: bytes) -> None:
        def run(pieces: Iterable[bytes]) -> tuple[list[type], bytes]:
            stream = client()
            events = [type(event) for piece in pieces for event in stream.receive(piece)]
            return events, stream.data_to_send()

        events, sent = however_cut(run, header(1) + answer)
        assert events == [StreamFailed, Closed]
        assert ns.SASL.encode() not in sent

    def test_a_server_that_insists_on_it(self) -> None:
        stream = client(starttls=False)
        (event,) = stream.receive(header(1) + TLS_FEATURES)
        assert isinstance(event, AuthFailed)
        assert event.condition == "invalid-mechanism"
