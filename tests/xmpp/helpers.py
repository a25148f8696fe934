"""Feed each input whole and cut into single bytes; play a client or a server by hand."""

import base64
from collections.abc import Callable, Iterable
from itertools import count
from typing import TypeVar

from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.framing import Framing, TcpFraming
from voxcube.xmpp.parser import StreamParser, Token
from voxcube.xmpp.server import AuthRequest, BindRequest, Event, ServerStream
from voxcube.xmpp.xml import Element

T = TypeVar("T")

DOMAIN = "chat.example.org"
JID = "77-3@chat.example.org/res-a"
HEADER = (
    b"<?xml version='1.0'?><stream:stream to='chat.example.org' version='1.0' xml:lang='en' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams'>"
)
OPEN = b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" version="1.0" to="chat.example.org"/>'
CLOSE = b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>'
BIND = b'<iq type="set" id="b1" xmlns="jabber:client"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>'
MESSAGE = (
    b'<message xmlns="jabber:client" id="65a1b2c3d4e5f60718293a4b" type="chat" to="88-3@chat.example.org">'
    b'<body>Lunch &amp; coffee \xe2\x98\x95?</body><extraParams xmlns="jabber:client">'
    b"<save_to_history>1</save_to_history>"
    b"<meta><a>1</a><b><c>x</c></b></meta></extraParams>"
    b'<markable xmlns="urn:xmpp:chat-markers:0"/></message>'
)


def auth(response: bytes = b"\x0077-3\x00secret", mechanism: str = "PLAIN") -> bytes:
    encoded = base64.b64encode(response)
    return b'<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="%s">%s</auth>' % (mechanism.encode(), encoded)


def however_cut(run: Callable[[Iterable[bytes]], T], data: bytes) -> T:
    """Run on the input whole, byte by byte, and in threes; the result must not depend on it."""
    whole = run([data])
    for size in (1, 3):
        assert run([data[start : start + size] for start in range(0, len(data), size)]) == whole
    return whole


def plain(tokens: Iterable[Token]) -> list[object]:
    """Tokens as things that compare: an error as its condition."""
    return [token.condition if isinstance(token, RemoteProtocolError) else token for token in tokens]


def parse_stream(data: bytes, *, max_stanza: int = 65536, max_depth: int = 64, header: bytes = HEADER) -> list[object]:
    """The tokens of a TCP stream behind its header."""

    def run(pieces: Iterable[bytes]) -> list[object]:
        parser = StreamParser(max_stanza=max_stanza, max_depth=max_depth)
        tokens = parser.feed(header)
        assert len(tokens) == 1, tokens
        parser.flow()
        return plain([token for piece in pieces for token in parser.feed(piece)])

    return however_cut(run, data)


class Door:
    """A server's stream with a session behind it that says yes to `secret`."""

    def __init__(self, framing: Framing | None = None, *, offer_plain: bool = True, starttls: bool = False) -> None:
        ids = count(1)
        self.stream = ServerStream(
            framing or TcpFraming(),
            domain=DOMAIN,
            aliases=frozenset({"127.0.0.1"}),
            offer_plain=offer_plain,
            starttls=starttls,
            new_id=lambda: f"s{next(ids)}",
        )
        self.events: list[Event] = []

    def receive(self, *pieces: bytes) -> bytes:
        """Feed pieces, answer requests at once; return what is to be sent."""
        for piece in pieces:
            self._handle(self.stream.receive(piece))
        return self.stream.data_to_send()

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, AuthRequest):
                right = event.password == "secret"
                self._handle(self.stream.auth_success() if right else self.stream.auth_failure())
            elif isinstance(event, BindRequest):
                self._handle(self.stream.bind(JID))


def open_door() -> Door:
    """A TCP stream that is open, its login out of the way."""
    door = Door()
    door.receive(HEADER + auth())
    door.receive(HEADER + BIND)
    door.events.clear()
    return door


def element(xml: bytes) -> Element:
    """One element, for expectations."""
    (token,) = parse_stream(xml)
    assert isinstance(token, Element)
    return token
