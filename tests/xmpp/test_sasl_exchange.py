"""SASL in more than one step: the response comes when it is asked for (RFC 6120 §6.4.2 to §6.4.6)."""

import base64
from collections.abc import Iterable

import pytest

from tests.xmpp.helpers import BIND, HEADER, OPEN, Door, auth, however_cut
from voxcube.xmpp.framing import WebSocketFraming, ws_frame
from voxcube.xmpp.server import AuthRequest, BindRequest, Closed

NS = b'xmlns="urn:ietf:params:xml:ns:xmpp-sasl"'
BEGIN = b'<auth %b mechanism="PLAIN"/>' % NS
CHALLENGE = b"<challenge %b/>" % NS
SUCCESS = b"<success %b/>" % NS
ABORT = b"<abort %b/>" % NS


def response(text: bytes | str) -> bytes:
    return b"<response %b>%b</response>" % (NS, text if isinstance(text, bytes) else text.encode())


def plain(authzid: str = "", username: str = "77-3", password: str = "secret") -> bytes:
    return response(base64.b64encode(f"{authzid}\0{username}\0{password}".encode()))


def failure(condition: str, text: str = "") -> bytes:
    more = b'<text xml:lang="en">%b</text>' % text.encode() if text else b""
    return b"<failure %b><%b/>%b</failure>" % (NS, condition.encode(), more)


@pytest.mark.parametrize("begin", [BEGIN, BEGIN[:-2] + b"></auth>", BEGIN[:-2] + b">\n  </auth>"])
@pytest.mark.parametrize("answer", [plain(), plain("77-3@chat.example.org"), plain().replace(b">A", b">\n A")])
def test_asked_for_however_cut(begin: bytes, answer: bytes) -> None:
    def run(pieces: Iterable[bytes]) -> tuple[bytes, int]:
        door = Door()
        sent = door.receive(*pieces)
        assert isinstance(door.events[0], AuthRequest)
        assert door.events[0].username == "77-3"
        assert isinstance(door.events[1], BindRequest)
        return sent, len(door.events)

    sent, events = however_cut(run, HEADER + begin + answer + HEADER + BIND)
    assert CHALLENGE + SUCCESS in sent
    assert events == 2


def test_in_frames() -> None:
    door = Door(WebSocketFraming())
    door.receive(OPEN)
    assert door.receive(BEGIN) == ws_frame(CHALLENGE)
    assert door.receive(plain()) == ws_frame(SUCCESS)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([BEGIN, ABORT], [CHALLENGE, failure("aborted")]),
        ([BEGIN, response("")], [CHALLENGE, failure("malformed-request")]),
        ([BEGIN, response("=")], [CHALLENGE, failure("malformed-request")]),
        ([BEGIN, response("==")], [CHALLENGE, failure("incorrect-encoding")]),
        ([BEGIN, response("!")], [CHALLENGE, failure("incorrect-encoding")]),
        ([BEGIN, response("Zm9")], [CHALLENGE, failure("incorrect-encoding")]),
        ([BEGIN, response("å")], [CHALLENGE, failure("incorrect-encoding")]),
        ([BEGIN, response("Zm9v")], [CHALLENGE, failure("malformed-request")]),
        ([BEGIN, plain("88-3@chat.example.org")], [CHALLENGE, failure("invalid-authzid")]),
        ([BEGIN, plain("77-3@elsewhere")], [CHALLENGE, failure("invalid-authzid")]),
        ([BEGIN, plain(password="")], [CHALLENGE, failure("malformed-request")]),
        ([BEGIN, plain(password="no")], [CHALLENGE, failure("not-authorized", "Password not verified")]),
        # A second beginning in place of the response ends the exchange, and so does a response to nothing.
        ([BEGIN, BEGIN], [CHALLENGE, failure("malformed-request")]),
        ([BEGIN, auth()], [CHALLENGE, failure("malformed-request")]),
        ([plain()], [failure("malformed-request")]),
        ([BEGIN, ABORT, plain()], [CHALLENGE, failure("aborted"), failure("malformed-request")]),
        ([BEGIN.replace(b"PLAIN", b"EXTERNAL")], [failure("invalid-mechanism")]),
        ([BEGIN.replace(b' mechanism="PLAIN"', b"")], [failure("invalid-mechanism")]),
        ([auth(b"").replace(b"></auth>", b">=</auth>")], [failure("malformed-request")]),
    ],
)
def test_refused_and_tried_again(steps: list[bytes], said: list[bytes]) -> None:
    """The stream stays open, in the same state as before."""
    door = Door()
    door.receive(HEADER)
    assert [door.receive(step) for step in steps] == said
    for step, answer in ((BEGIN, CHALLENGE), (plain(), SUCCESS)):
        assert door.receive(step) == answer


def test_the_third_failure_ends_the_stream() -> None:
    door = Door()
    door.receive(HEADER)
    sent = door.receive(*[BEGIN, ABORT] * 3)
    assert sent.startswith((CHALLENGE + failure("aborted")) * 3 + b"<stream:error")
    assert door.events == [Closed("policy-violation")]


def test_nothing_else_may_come_between() -> None:
    door = Door()
    door.receive(HEADER + BEGIN)
    assert b"<not-authorized " in door.receive(b"<message/>")
    assert door.events == [Closed("not-authorized")]


def test_where_passwords_are_not_safe() -> None:
    door = Door(offer_plain=False)
    door.receive(HEADER)
    assert door.receive(BEGIN) == failure("encryption-required")
    assert door.receive(plain()) == failure("encryption-required")


def test_the_bytes_before_the_login_are_counted_all_the_same() -> None:
    door = Door()
    door.receive(HEADER, BEGIN, response(b"A" * 17_000))
    assert door.events == [Closed("policy-violation")]
