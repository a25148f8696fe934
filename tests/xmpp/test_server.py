"""ServerStream: bytes in, bytes and events out (realtime §2, RFC 6120 §4–§7)."""

from collections.abc import Iterable

import pytest

from tests.xmpp.helpers import (
    BIND,
    CLOSE,
    DOMAIN,
    HEADER,
    JID,
    MESSAGE,
    OPEN,
    Door,
    auth,
    element,
    however_cut,
    open_door,
)
from voxcube.xmpp.errors import LocalProtocolError
from voxcube.xmpp.framing import TcpFraming, WebSocketFraming, ws_frame
from voxcube.xmpp.server import AuthRequest, BindRequest, Closed, Event, ResumeRequest, ServerStream
from voxcube.xmpp.stream import TRANSITIONS, StreamState, Trigger
from voxcube.xmpp.xml import Element

AUTH_FEATURES = (
    b'<stream:features xmlns:stream="http://etherx.jabber.org/streams"><mechanisms '
    b'xmlns="urn:ietf:params:xml:ns:xmpp-sasl">'
    b"<mechanism>PLAIN</mechanism></mechanisms></stream:features>"
)
BIND_FEATURES = (
    b'<stream:features xmlns:stream="http://etherx.jabber.org/streams"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>'
    b'<session xmlns="urn:ietf:params:xml:ns:xmpp-session"><optional/></session><sm xmlns="urn:xmpp:sm:3"/>'
    b'<csi xmlns="urn:xmpp:csi:0"/>'
    b"</stream:features>"
)
SUCCESS = b'<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>'
BOUND = (
    b'<iq xmlns="jabber:client" type="result" id="b1"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"><jid>'
    b"77-3@chat.example.org/res-a</jid></bind></iq>"
)
FAILURE = (
    b'<failure xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><not-authorized/>'
    b'<text xml:lang="en">Password not verified</text></failure>'
)


def header(number: int) -> bytes:
    return (
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
        b"from='chat.example.org' id='s%d' version='1.0' xml:lang='en'>" % number
    )


def opened(number: int) -> bytes:
    return (
        b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from="chat.example.org" id="s%d" version="1.0" '
        b'xml:lang="en"/>' % number
    )


def error(condition: bytes, text: bytes = b"") -> bytes:
    more = b'<text xmlns="urn:ietf:params:xml:ns:xmpp-streams" xml:lang="en">%s</text>' % text if text else b""
    return (
        b'<stream:error xmlns:stream="http://etherx.jabber.org/streams">'
        b'<%s xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>%s</stream:error>' % (condition, more)
    )


LOGIN = [AuthRequest("", "77-3", "secret"), BindRequest("b1", None)]


class TestHandshake:
    def test_tcp_step_by_step(self) -> None:
        door = Door()
        assert door.receive(HEADER) == header(1) + AUTH_FEATURES
        assert door.receive(auth()) == SUCCESS
        assert door.receive(HEADER) == header(2) + BIND_FEATURES
        assert door.receive(BIND) == BOUND
        assert door.stream.state is StreamState.OPEN
        assert door.stream.jid == JID
        assert door.events == LOGIN

    def test_websocket(self) -> None:
        door = Door(WebSocketFraming())
        assert door.receive(OPEN) == ws_frame(opened(1)) + ws_frame(AUTH_FEATURES)
        assert door.receive(auth()) == ws_frame(SUCCESS)
        assert door.receive(OPEN) == ws_frame(opened(2)) + ws_frame(BIND_FEATURES)
        assert door.receive(BIND) == ws_frame(BOUND)
        assert door.receive(MESSAGE, b"", b" ") == b""
        assert door.receive(CLOSE) == ws_frame(CLOSE)
        assert door.events == [*LOGIN, element(MESSAGE), Closed()]

    @pytest.mark.parametrize("space", [b"", b"\n  "])
    def test_tcp_however_cut(self, space: bytes) -> None:
        # All at once is a client that does not wait for any answer: no byte may be lost (RFC 6120 §6.4.6).
        parts = [HEADER, auth(), HEADER, BIND, MESSAGE, b"<presence/>", b"</stream:stream>"]

        def run(pieces: Iterable[bytes]) -> tuple[bytes, list[Event]]:
            door = Door()
            sent = door.receive(*pieces)
            return sent, door.events

        sent, events = however_cut(run, space.join(parts))
        assert sent == (header(1) + AUTH_FEATURES + SUCCESS + header(2) + BIND_FEATURES + BOUND + b"</stream:stream>")
        assert events == [*LOGIN, element(MESSAGE), Element("presence"), Closed()]

    def test_waiting_for_the_session(self) -> None:
        """What comes while the password is checked is read after the answer."""
        stream = ServerStream(TcpFraming(), domain=DOMAIN, offer_plain=True, new_id=lambda: "s")
        assert stream.receive(HEADER + auth() + HEADER[:30]) == [LOGIN[0]]
        assert stream.receive(HEADER[30:]) == []
        assert stream.receive(BIND) == []
        assert stream.auth_success() == [LOGIN[1]]
        assert stream.receive(MESSAGE) == []
        assert stream.receive(b"<presence/><x/>") == []
        assert stream.bind(JID) == [element(MESSAGE), Element("presence"), Closed("unsupported-stanza-type")]
        assert stream.receive(MESSAGE) == []

    def test_frames_wait_too(self) -> None:
        stream = ServerStream(WebSocketFraming(), domain=DOMAIN, offer_plain=True, new_id=lambda: "s")
        events = [stream.receive(frame) for frame in (OPEN, auth(), OPEN, BIND, MESSAGE)]
        assert events == [[], [LOGIN[0]], [], [], []]
        assert stream.auth_success() == [LOGIN[1]]
        assert stream.bind(JID) == [element(MESSAGE)]

    def test_no_flood_while_waiting(self) -> None:
        stream = ServerStream(TcpFraming(), domain=DOMAIN, offer_plain=True, new_id=lambda: "s", stanza_limit=20_000)
        stream.receive(HEADER + auth())
        stream.auth_success()
        stream.receive(HEADER + BIND)
        assert stream.receive(b"x" * 15_000) == []
        assert stream.receive(b"x" * 15_000) == [Closed("policy-violation")]

    @pytest.mark.parametrize("resource", [b"flutter_A/b+c==", b"\n flutter_A/b+c==\n"])
    def test_resource_of_the_client(self, resource: bytes) -> None:
        door = Door()
        bind = BIND.replace(b'bind"/>', b'bind"><resource>' + resource + b"</resource></bind>")
        door.receive(HEADER + auth(), HEADER + bind)
        assert door.events[1:] == [BindRequest("b1", "flutter_A/b+c==")]

    @pytest.mark.parametrize("to", [b"127.0.0.1", b"Chat.Example.ORG"])
    def test_aliases(self, to: bytes) -> None:
        assert Door().receive(HEADER.replace(b"chat.example.org", to)) == header(1) + AUTH_FEATURES
        assert Door().receive(HEADER.replace(b"to='chat.example.org'", b"")) == header(1) + AUTH_FEATURES

    def test_wrong_host(self) -> None:
        data = HEADER.replace(b"chat.example.org", b"other.example.org")
        door = Door()
        assert door.receive(data) == header(1) + error(b"host-unknown") + b"</stream:stream>"
        assert door.events == [Closed("host-unknown")]
        door = Door(WebSocketFraming())
        data = OPEN.replace(b"chat.example.org", b"other.example.org")
        assert door.receive(data) == ws_frame(opened(1)) + ws_frame(error(b"host-unknown")) + ws_frame(CLOSE)

    def test_wrong_version(self) -> None:
        Door().receive(HEADER.replace(b" version='1.0'", b" version='1.1'"))
        assert b"unsupported-version" in Door().receive(HEADER.replace(b" version='1.0' xml", b" version='2.0' xml"))


class TestLogin:
    def test_wrong_password(self) -> None:
        door = Door()
        door.receive(HEADER)
        wrong = auth(b"\x0077-3\x00wrong")
        assert door.receive(wrong) == FAILURE
        assert door.receive(wrong) == FAILURE
        assert door.receive(auth()) == SUCCESS

    def test_three_failures(self) -> None:
        door = Door()
        wrong = auth(b"\x0077-3\x00wrong")
        sent = door.receive(HEADER + wrong * 4)
        assert sent == header(1) + AUTH_FEATURES + FAILURE * 3 + (
            error(b"policy-violation", b"too many failed logins") + b"</stream:stream>"
        )
        assert [event.__class__ for event in door.events] == [AuthRequest] * 3 + [Closed]

    @pytest.mark.parametrize(
        ("data", "condition"),
        [
            (auth().replace(b"PLAIN", b"SCRAM-SHA-1"), b"invalid-mechanism"),
            (auth().replace(b"PLAIN", b"ANONYMOUS"), b"invalid-mechanism"),
            (auth().replace(b' mechanism="PLAIN"', b""), b"invalid-mechanism"),
            (auth().replace(b"</auth>", b"!</auth>"), b"incorrect-encoding"),
            (auth().replace(b"</auth>", "å</auth>".encode()), b"incorrect-encoding"),
            (auth().replace(b"</auth>", b"A</auth>"), b"incorrect-encoding"),
            (auth(b"").replace(b"></auth>", b">=</auth>"), b"malformed-request"),
            (auth(b"").replace(b"></auth>", b">==</auth>"), b"incorrect-encoding"),
            (b'<response xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>', b"malformed-request"),
            (auth().replace(b"auth", b"response"), b"malformed-request"),
            (auth(b"77-3"), b"malformed-request"),
            (auth(b"\0" * 3), b"malformed-request"),
            (auth(b"\0\0x"), b"malformed-request"),
            (auth(b"\x0077-3\0"), b"malformed-request"),
            (auth(b"\x0077-3\0\xff"), b"malformed-request"),
            (auth(b"88-3@chat.example.org\x0077-3\0secret"), b"invalid-authzid"),
            (b'<abort xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>', b"aborted"),
        ],
    )
    def test_refused_at_once(self, data: bytes, condition: bytes) -> None:
        door = Door()
        door.receive(HEADER)
        assert door.receive(data) == b'<failure xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><%s/></failure>' % condition
        assert door.events == []
        assert door.receive(auth()) == SUCCESS

    def test_authzid(self) -> None:
        door = Door()
        assert door.receive(HEADER + auth(b"77-3@chat.example.org\x0077-3\0secret")).endswith(SUCCESS)
        assert door.events == [AuthRequest("77-3@chat.example.org", "77-3", "secret")]
        assert "secret" not in repr(door.events)

    def test_indented(self) -> None:
        door = Door()
        data = auth().replace(b">A", b">\n  A").replace(b"</auth>", b"\n</auth>")
        assert door.receive(HEADER + data).endswith(SUCCESS)

    def test_no_plain_where_it_is_not_safe(self) -> None:
        door = Door(offer_plain=False)
        features = AUTH_FEATURES.replace(b"><mechanism>PLAIN</mechanism></mechanisms>", b"/>")
        assert door.receive(HEADER) == header(1) + features
        assert b"<encryption-required/>" in door.receive(auth())
        assert door.events == []

    def test_limit_before_login(self) -> None:
        for noise in (b" ", b"\n", b"x"):
            door = Door()
            door.receive(HEADER)
            for _ in range(17_000):
                door.receive(noise)
                if door.events:
                    break
            assert door.events == [Closed("policy-violation" if noise.isspace() else "bad-format")]
        door = Door()
        sent = door.receive(b" " * 16_385)
        assert sent == header(1) + error(b"policy-violation", b"too much before authentication") + b"</stream:stream>"

    def test_bind_refused(self) -> None:
        stream = ServerStream(TcpFraming(), domain=DOMAIN, offer_plain=True, new_id=lambda: "s")
        stream.receive(HEADER + auth())
        stream.auth_success()
        stream.receive(HEADER)
        stream.data_to_send()
        assert stream.receive(BIND) == [BindRequest("b1", None)]
        assert stream.bind_error("resource-constraint") == []
        assert stream.data_to_send() == (
            b'<iq xmlns="jabber:client" type="error" id="b1"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>'
            b'<error code="500" type="wait"><resource-constraint xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>'
            b'<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas" xml:lang="en">Resource constraint.</text></error></iq>'
        )
        assert stream.receive(BIND) == [BindRequest("b1", None)]

    @pytest.mark.parametrize(
        ("step", "data", "condition"),
        [
            (0, MESSAGE, "bad-format"),
            (1, MESSAGE, "not-authorized"),
            (1, b"<presence/>", "not-authorized"),
            (1, BIND, "not-authorized"),
            (1, b"<x/>", "unsupported-stanza-type"),
            (1, b"<auth>AA==</auth>", "unsupported-stanza-type"),
            (1, b"<message xmlns='urn:x'/>", "unsupported-stanza-type"),
            (1, b"<a><b></a>", "not-well-formed"),
            (1, b"<!DOCTYPE a><a/>", "not-well-formed"),
            (2, MESSAGE, "bad-format"),
            (3, MESSAGE, "not-authorized"),
            (3, b"<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "not-authorized"),
            (3, BIND.replace(b'id="b1"', b""), "not-authorized"),
            (3, BIND.replace(b'"set"', b'"get"'), "not-authorized"),
            (3, auth(), "unsupported-stanza-type"),
        ],
    )
    def test_out_of_turn(self, step: int, data: bytes, condition: str) -> None:
        def run(pieces: Iterable[bytes]) -> tuple[bytes, list[Event]]:
            door = Door()
            door.receive(*[HEADER, auth(), HEADER][:step])
            door.events.clear()
            return door.receive(*pieces), door.events

        sent, events = however_cut(run, data)
        assert events == [Closed(condition)]
        assert error(condition.encode())[:-16] in sent
        assert sent.startswith(b"<?xml" if step in (0, 2) else b"<stream:error")
        assert sent.endswith(b"</stream:stream>")

    def test_stream_management_before_bind(self) -> None:
        door = Door()
        door.receive(HEADER + auth(), HEADER)
        assert door.receive(b"<enable xmlns='urn:xmpp:sm:3'/>") == (
            b'<failed xmlns="urn:xmpp:sm:3"><unexpected-request xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>'
        )
        assert door.receive(BIND) == BOUND


RESUME = b'<resume xmlns="urn:xmpp:sm:3" h="7" previd="x"/>'


class TestResume:
    """XEP-0198 §5."""

    def door(self) -> Door:
        door = Door()
        door.receive(HEADER + auth(), HEADER)
        door.events.clear()
        return door

    def test_what_is_sent_behind_it_waits_for_the_answer(self) -> None:
        def run(pieces: Iterable[bytes]) -> tuple[list[Event], list[Event], bytes]:
            door = self.door()
            assert door.receive(*pieces) == b""
            assert door.stream.state is StreamState.BINDING
            later = door.stream.resumed(JID, "x", 3)
            return door.events, later, door.stream.data_to_send()

        asked, later, sent = however_cut(run, RESUME + MESSAGE)
        assert asked == [ResumeRequest("x", 7)]
        assert later == [element(MESSAGE)]
        assert sent == b'<resumed xmlns="urn:xmpp:sm:3" previd="x" h="3"/>'

    @pytest.mark.parametrize(("h", "said"), [(None, b""), (5, b' h="5"')])
    def test_refused_and_bound(self, h: int | None, said: bytes) -> None:
        door = self.door()
        door.receive(RESUME)
        assert door.stream.resume_failed("item-not-found", h) == []
        assert door.receive() == (
            b'<failed xmlns="urn:xmpp:sm:3"%b><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>'
            % said
        )
        assert door.receive(BIND) == BOUND

    @pytest.mark.parametrize("h", [b"", b"h='-1'", b"h='x'", b"h='4294967296'"])
    def test_no_number(self, h: bytes) -> None:
        door = self.door()
        assert b"<bad-request " in door.receive(b"<resume xmlns='urn:xmpp:sm:3' previd='x' %b/>" % h)
        assert door.events == []
        assert door.receive(BIND) == BOUND

    def test_only_in_place_of_bind(self) -> None:
        door = open_door()
        assert door.receive(RESUME) == b""
        assert door.events == [element(RESUME)]  # the session refuses it


class TestOpen:
    @pytest.mark.parametrize(
        "data",
        [
            MESSAGE,
            b"<presence/>",
            b"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            b"<enable xmlns='urn:xmpp:sm:3'/>",
            b"<r xmlns='urn:xmpp:sm:3'/>",
            b"<a xmlns='urn:xmpp:sm:3' h='1'/>",
            b"<inactive xmlns='urn:xmpp:csi:0'/>",
        ],
    )
    def test_events(self, data: bytes) -> None:
        def run(pieces: Iterable[bytes]) -> tuple[bytes, list[Event]]:
            door = open_door()
            return door.receive(*pieces), door.events

        assert however_cut(run, data * 3) == (b"", [element(data)] * 3)

    @pytest.mark.parametrize(
        ("data", "condition"),
        [
            (b"<a><b></a>", "not-well-formed"),
            (b"<message>\0</message>", "not-well-formed"),
            (b"<message>&#xD800;</message>", "not-well-formed"),
            (b"<message>\xed\xa0\x80</message>", "not-well-formed"),
            (b"<x:message/>", "not-well-formed"),
            (b"<message>&x;</message>", "restricted-xml"),
            (b"<!-- x -->", "restricted-xml"),
            (b"<message>" + b"<a>" * 10_000, "policy-violation"),
            (b"x<message/>", "bad-format"),
            (b"<x/>", "unsupported-stanza-type"),
            (b"<message xmlns='urn:x'/>", "unsupported-stanza-type"),
            (b"<r/>", "unsupported-stanza-type"),
            (auth(), "unsupported-stanza-type"),
            (HEADER[21:] + b"</stream:stream>", "unsupported-stanza-type"),
        ],
    )
    def test_bad_input(self, data: bytes, condition: str) -> None:
        def run(pieces: Iterable[bytes]) -> tuple[bytes, list[Event], list[Event]]:
            door = open_door()
            return door.receive(*pieces), door.events, door.stream.receive(MESSAGE)

        sent, events, later = however_cut(run, MESSAGE + data)
        assert events == [element(MESSAGE), Closed(condition)]
        assert later == []
        assert sent.startswith(b'<stream:error xmlns:stream="http://etherx.jabber.org/streams"><' + condition.encode())
        assert sent.endswith(b"</stream:error></stream:stream>")

    def test_a_stanza_of_a_mebibyte(self) -> None:
        door = open_door()
        big = b"<message><body>" + b"x" * (1 << 20) + b"</body></message>"
        for start in range(0, len(big), 65536):
            door.receive(big[start : start + 65536])
        assert door.events == [Closed("policy-violation")]
        door = open_door()
        door.receive(big)
        assert door.events == [Closed("policy-violation")]
        door = open_door()
        door.receive(b"<message><body>" + b"x" * 260_000 + b"</body></message>")
        assert len(door.events) == 1
        assert isinstance(door.events[0], Element)

    def test_end(self) -> None:
        door = open_door()
        assert door.receive(MESSAGE + b"</stream:stream>" + MESSAGE) == b"</stream:stream>"
        assert door.events == [element(MESSAGE), Closed()]

    def test_error_from_the_client(self) -> None:
        data = b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
        door = open_door()
        assert door.receive(data) == b"</stream:stream>"
        assert door.events == [Closed("conflict")]

    def test_bad_frames(self) -> None:
        for data, condition in {
            OPEN: "unsupported-stanza-type",
            MESSAGE * 2: "not-well-formed",
            b'<close xmlns="urn:x"/>': "invalid-namespace",
            b"<open/>": "invalid-namespace",
            b"x" * 300_000: "policy-violation",
            b"<message>" + b"<a>" * 100 + b"</a>" * 100 + b"</message>": "policy-violation",
        }.items():
            door = Door(WebSocketFraming())
            door.receive(OPEN, auth(), OPEN, BIND, MESSAGE)
            door.events.clear()
            sent = door.receive(data)
            assert door.events == [Closed(condition)]
            assert condition.encode() in sent
            assert sent.endswith(ws_frame(CLOSE))

    def test_from_our_side(self) -> None:
        door = open_door()
        door.stream.send(Element("presence"))
        door.stream.fail("conflict")
        door.stream.fail("system-shutdown")
        door.stream.close()
        door.stream.send(Element("presence"))
        assert door.receive(MESSAGE) == b"<presence/>" + error(b"conflict") + b"</stream:stream>"
        assert door.events == []
        door = open_door()
        door.stream.close()
        assert door.receive() == b"</stream:stream>"
        door = Door()
        door.stream.close()
        assert door.receive() == b""

    def test_our_mistakes_are_told(self) -> None:
        door = open_door()
        for call in (door.stream.auth_success, door.stream.auth_failure, lambda: door.stream.bind(JID)):
            with pytest.raises(LocalProtocolError):
                call()


def test_the_table_is_whole() -> None:
    assert set(TRANSITIONS) == set(StreamState)
    reached = {StreamState.HEADER} | {state for row in TRANSITIONS.values() for state in row.values()}
    assert reached == set(StreamState)
    assert {trigger for row in TRANSITIONS.values() for trigger in row} == set(Trigger)
    assert all(Trigger.END in row for state, row in TRANSITIONS.items() if state is not StreamState.CLOSED)


@pytest.mark.parametrize(
    ("length", "begin"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_websocket_frame(length: int, begin: bytes) -> None:
    assert ws_frame(b"x" * length) == begin + b"x" * length
