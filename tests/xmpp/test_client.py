"""ClientStream against ServerStream in memory, over both framings."""

from collections.abc import Callable

import pytest

from tests.xmpp.helpers import DOMAIN, JID, MESSAGE, Door, element
from voxcube.xmpp import sm
from voxcube.xmpp.client import (
    Authenticated,
    AuthFailed,
    Bound,
    ClientStream,
    Closed,
    Event,
    Resume,
    Resumed,
    ResumeFailed,
    StreamFailed,
)
from voxcube.xmpp.framing import Framing, TcpFraming, WebSocketFraming, ws_frame
from voxcube.xmpp.server import BindRequest, ResumeRequest
from voxcube.xmpp.stream import StreamState
from voxcube.xmpp.xml import Element


class Wire:
    """Both ends and what carries bytes between them; TCP goes byte by byte when `cut`."""

    def __init__(
        self,
        framing: Callable[[], Framing],
        *,
        cut: bool = False,
        password: str = "secret",
        resource: str | None = None,
        offer_plain: bool = True,
        resume: Resume | None = None,
    ) -> None:
        self.tcp = framing is TcpFraming
        self.cut = cut
        self.door = Door(framing(), offer_plain=offer_plain)
        self.client = ClientStream(
            framing(), DOMAIN, jid_local="77-3", password=password, resource=resource, resume=resume
        )
        self.events: list[Event] = []

    def carry(self) -> None:
        """Until nobody has anything to say."""
        while True:
            up = self._pieces(self.client.payloads_to_send())
            self.door._handle([event for piece in up for event in self.door.stream.receive(piece)])
            down = self._pieces(self.door.stream.payloads_to_send())
            for piece in down:
                self.events += self.client.receive(piece)
            if not up and not down:
                return

    def _pieces(self, payloads: list[bytes]) -> list[bytes]:
        if not self.tcp:
            return payloads
        data = b"".join(payloads)
        size = 1 if self.cut else len(data) or 1
        return [data[start : start + size] for start in range(0, len(data), size)]


wires = pytest.mark.parametrize(
    ("framing", "cut"),
    [(TcpFraming, False), (TcpFraming, True), (WebSocketFraming, False)],
    ids=["tcp", "tcp-cut", "websocket"],
)


@wires
def test_resumed(framing: Callable[[], Framing], cut: bool) -> None:
    wire = Wire(framing, cut=cut, resume=Resume("x", JID, 7))
    wire.carry()
    assert wire.events == [Authenticated()]
    assert wire.door.events[1:] == [ResumeRequest("x", 7)]
    wire.door.stream.resumed(JID, "x", 3)
    wire.door.stream.send(element(MESSAGE))
    wire.carry()
    assert wire.events[1:] == [Resumed(3), element(MESSAGE)]
    assert wire.client.jid == JID
    assert wire.client.state is wire.door.stream.state is StreamState.OPEN


@wires
@pytest.mark.parametrize("h", [None, 3])
def test_not_resumed_but_bound(framing: Callable[[], Framing], cut: bool, h: int | None) -> None:
    wire = Wire(framing, cut=cut, resource="res-a", resume=Resume("x", "77-3@chat.example.org/old", 7))
    wire.carry()
    wire.door.stream.resume_failed("item-not-found", h)
    wire.carry()
    assert wire.events[1:] == [ResumeFailed(h), Bound(JID)]
    assert wire.door.events[1:] == [ResumeRequest("x", 7), BindRequest("bind-1", "res-a")]


@pytest.mark.parametrize(
    ("answer", "condition"),
    [
        (Element("resumed", {"xmlns": "urn:xmpp:sm:3"}), "undefined-condition"),
        (Element("resumed", {"xmlns": "urn:xmpp:sm:3", "h": "x"}), "undefined-condition"),
        (element(MESSAGE), "unsupported-stanza-type"),
    ],
)
def test_no_answer_to_resume(answer: Element, condition: str) -> None:
    wire = Wire(TcpFraming, resume=Resume("x", JID, 7))
    wire.carry()
    wire.door.stream.send(answer)
    wire.carry()
    assert wire.events[-1] == Closed(condition)


def test_a_server_without_stream_management_resumes_nothing() -> None:
    client = ClientStream(TcpFraming(), DOMAIN, jid_local="77-3", password="secret", resume=Resume("x", JID, 7))
    header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    features = b"<stream:features>%b</stream:features>"
    plain = b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
    client.receive(header + features % plain)
    client.receive(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    assert client.receive(header + features % b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>") == [
        ResumeFailed(None)
    ]
    assert b'id="bind-1"' in client.payloads_to_send()[-1]


@wires
def test_whole_life(framing: Callable[[], Framing], cut: bool) -> None:
    wire = Wire(framing, cut=cut, resource="res-a")
    wire.carry()
    assert wire.events == [Authenticated(), Bound(JID)]
    assert wire.door.events[1:] == [BindRequest("bind-1", "res-a")]
    assert wire.client.jid == wire.door.stream.jid == JID
    assert wire.client.sm_offered
    wire.events.clear()
    wire.door.events.clear()
    wire.client.send(sm.enable())
    wire.client.send(element(MESSAGE))
    wire.door.stream.send(element(MESSAGE))
    wire.door.stream.send(sm.ack(1))
    wire.carry()
    assert wire.door.events == [sm.enable(), element(MESSAGE)]
    assert wire.events == [element(MESSAGE), sm.ack(1)]
    wire.client.close()
    wire.carry()
    assert wire.door.events[-1] == Closed()
    assert wire.door.stream.state is wire.client.state is StreamState.CLOSED


@wires
def test_wrong_password_then_right(framing: Callable[[], Framing], cut: bool) -> None:
    wire = Wire(framing, cut=cut, password="wrong")
    wire.carry()
    assert wire.events == [AuthFailed("not-authorized", "Password not verified")]
    wire.client.authenticate("secret")
    wire.carry()
    assert wire.events[1:] == [Authenticated(), Bound(JID)]


@wires
def test_three_wrong_passwords(framing: Callable[[], Framing], cut: bool) -> None:
    wire = Wire(framing, cut=cut, password="wrong")
    for _ in range(3):
        wire.carry()
        if wire.client.state is StreamState.AUTH:
            wire.client.authenticate("wrong")
    wire.carry()
    assert wire.events[-2:] == [
        StreamFailed("policy-violation", "too many failed logins"),
        Closed("policy-violation"),
    ]


@wires
def test_no_mechanism(framing: Callable[[], Framing], cut: bool) -> None:
    wire = Wire(framing, cut=cut, offer_plain=False)
    wire.carry()
    assert [event.__class__ for event in wire.events] == [AuthFailed]
    wire.client.close()
    wire.carry()
    assert wire.door.events == [Closed()]


@wires
def test_server_errors(framing: Callable[[], Framing], cut: bool) -> None:
    wire = Wire(framing, cut=cut)
    wire.carry()
    wire.events.clear()
    wire.door.stream.fail("system-shutdown", "bye")
    wire.carry()
    assert wire.events == [StreamFailed("system-shutdown", "bye"), Closed("system-shutdown")]
    assert wire.client.receive(b"<presence/>") == []


@wires
def test_server_ends(framing: Callable[[], Framing], cut: bool) -> None:
    wire = Wire(framing, cut=cut)
    wire.carry()
    wire.door.stream.close()
    wire.carry()
    assert wire.events[-1] == Closed()


def _client_after(*received: bytes) -> tuple[list[Event], bytes]:
    client = ClientStream(TcpFraming(), DOMAIN, jid_local="77-3", password="secret")
    client.data_to_send()
    events = [event for data in received for event in client.receive(data)]
    return events, client.data_to_send()


HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
)
MECHANISMS = (
    b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
    b"</stream:features>"
)
SUCCESS = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
BIND = b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"


def test_header_of_the_client() -> None:
    client = ClientStream(TcpFraming(), DOMAIN, jid_local="77-3", password="secret")
    assert client.data_to_send() == (
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
        b"to='chat.example.org' version='1.0' xml:lang='en'>"
    )
    client = ClientStream(WebSocketFraming(), DOMAIN, jid_local="77-3", password="secret")
    (payload,) = client.payloads_to_send()
    assert payload == (
        b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="chat.example.org" version="1.0" xml:lang="en"/>'
    )
    client = ClientStream(WebSocketFraming(), DOMAIN, jid_local="77-3", password="secret")
    assert client.data_to_send() == ws_frame(payload)


@pytest.mark.parametrize(
    ("received", "condition"),
    [
        ([b"<html>"], "bad-format"),
        ([HEADER + b"<a></b>"], "not-well-formed"),
        ([HEADER + b"<message/>"], "unsupported-stanza-type"),
        ([HEADER + MECHANISMS + b"<message/>"], "unsupported-stanza-type"),
        ([HEADER + MECHANISMS + SUCCESS, HEADER + b"<message/>"], "unsupported-stanza-type"),
        ([HEADER + MECHANISMS + SUCCESS, HEADER + BIND + b"<message/>"], "unsupported-stanza-type"),
        ([HEADER + MECHANISMS + SUCCESS + HEADER + BIND + b"<iq id='bind-1' type='result'/>"], "undefined-condition"),
        (
            [
                HEADER + MECHANISMS + SUCCESS,
                HEADER + BIND + b"<iq id='bind-1' type='error'><error><conflict/></error></iq>",
            ],
            "conflict",
        ),
    ],
)
def test_a_server_out_of_its_mind(received: list[bytes], condition: str) -> None:
    events, sent = _client_after(*received)
    assert isinstance(events[-2], StreamFailed)
    assert events[-2].condition == condition
    assert events[-1] == Closed(condition)
    assert sent.endswith(b"</stream:stream>")


def test_a_second_open_frame() -> None:
    client = ClientStream(WebSocketFraming(), DOMAIN, jid_local="77-3", password="secret")
    opened = b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from="chat.example.org" version="1.0"/>'
    assert client.receive(opened) == []
    assert client.receive(opened)[-1] == Closed("bad-format")
    client = ClientStream(WebSocketFraming(), DOMAIN, jid_local="77-3", password="secret")
    assert client.receive(b"<message/>")[-1] == Closed("bad-format")


def test_answers_at_once() -> None:
    """A server that sends all it can in one piece."""
    bound = b"<iq id='bind-1' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@b/c</jid></bind></iq>"
    events, _ = _client_after(HEADER + MECHANISMS + SUCCESS + HEADER + BIND + bound + MESSAGE + b"<presence/>")
    assert events == [Authenticated(), Bound("a@b/c"), element(MESSAGE), Element("presence")]
