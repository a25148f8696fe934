"""WebSocket frames → elements (RFC 7395)."""

import pytest

from tests.xmpp.helpers import CLOSE, MESSAGE, OPEN, element
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.expat import RENEW_AFTER
from voxcube.xmpp.frames import FrameParser, parse_frame
from voxcube.xmpp.framing import ParserPool, WebSocketFraming
from voxcube.xmpp.xml import Element, serialize


def parse(data: bytes) -> Element:
    """By the function, and by a parser in use: they must agree."""
    kept = FrameParser(max_stanza=4096)
    assert kept.parse(MESSAGE) == element(MESSAGE)
    try:
        result = parse_frame(data, max_stanza=4096)
    except RemoteProtocolError as error:
        with pytest.raises(RemoteProtocolError, match=f"^{error.condition}"):
            kept.parse(data)
        assert kept.parse(MESSAGE) == element(MESSAGE)
        raise
    expat = kept._expat
    assert kept.parse(data) == result
    # Only what is unusual takes the long way.
    assert kept._expat is expat or data[:2] == b"<?" or data[-1:] != b">" or b"<0>" in data
    assert kept.parse(MESSAGE) == element(MESSAGE)
    return result


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (MESSAGE, MESSAGE),
        (OPEN, OPEN),
        (CLOSE, CLOSE),
        (b"\n <a/> ", b"<a/>"),
        (b"<?xml version='1.0'?><a/>", b"<a/>"),
        (b"<a b='>'/>", b'<a b="&gt;"/>'),
        (b"<a><![CDATA[<3]]></a>", b"<a>&lt;3</a>"),
        # A JavaScript array (realtime §6, quirks A20).
        (b"<m><arr><0>p</0><1>q</1><10/></arr></m>", b"<m><arr><_0>p</_0><_1>q</_1><_10/></arr></m>"),
        (
            b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'><b/></stream:features>",
            b"<stream:features><b/></stream:features>",
        ),
    ],
)
def test_one_element(data: bytes, expected: bytes) -> None:
    assert serialize(parse(data)) == expected
    assert serialize(parse_frame(data.decode(), max_stanza=4096)) == expected


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<a/><b/>", "not-well-formed"),
        (b"<a/><b", "not-well-formed"),
        (b"<a/>text>", "not-well-formed"),
        (b"<a/>&amp;>", "not-well-formed"),
        (b"<a", "not-well-formed"),
        (b"<a>", "not-well-formed"),
        (b"</a>", "not-well-formed"),
        (b"</frames>", "not-well-formed"),
        (b"<a/></frames><frames>", "not-well-formed"),
        (b"text", "not-well-formed"),
        (b"<a>\xff</a>", "not-well-formed"),
        (b"<a>&#0;</a>", "not-well-formed"),
        (b"<0><1></0></1>", "not-well-formed"),
        (b"<a>1 <2</a>", "not-well-formed"),
        (b"<stream:error/>", "not-well-formed"),
        (b"<x:0 xmlns:x='u'/>", "not-well-formed"),
        (b"<!DOCTYPE a><a/>", "restricted-xml"),
        (b"<a><!--x--></a>", "restricted-xml"),
        (b"<a/><?x y?>", "restricted-xml"),
        (b"<a>&x;</a>", "restricted-xml"),
        (b"<?xml version='1.0' encoding='latin1'?><a/>", "unsupported-encoding"),
        ("<a/>".encode("utf-16"), "unsupported-encoding"),
        ("<a/>".encode("utf-16-le"), "unsupported-encoding"),
        (b"<a>" * 65 + b"</a>" * 65, "policy-violation"),
        (b"<a>" + b"x" * 4096 + b"</a>", "policy-violation"),
    ],
)
def test_refused(data: bytes, condition: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(data)
    assert caught.value.condition == condition


def test_lone_surrogate_in_text() -> None:
    with pytest.raises(RemoteProtocolError):
        parse_frame("<a>\ud800</a>", max_stanza=4096)


def test_expat_is_renewed() -> None:
    parser = FrameParser(max_stanza=65536)
    first = parser._expat
    for number in range(RENEW_AFTER // 60_000 + 1):
        assert parser.parse(b"<a%d>%s</a%d>" % (number, b"x" * 60_000, number)).name == f"a{number}"
    assert parser._expat is not first


@pytest.mark.parametrize(
    "bad",
    [b"<a", b"<a>", b"text", b"<a/>text>", b"<a/><b/>", b"</frames>", b"<a></b>", b"<!--x-->", b"<a b='1' b='2'/>"],
)
def test_a_bad_frame_is_no_other_connections_business(bad: bytes) -> None:
    pool = ParserPool()
    first, second = WebSocketFraming(pool), WebSocketFraming(pool)
    assert second.receive(b"<message/>") == [Element("message")]
    assert [type(token) for token in first.receive(bad)] == [RemoteProtocolError]
    assert second.receive(b"<iq/>") == [Element("iq")]
    assert first.receive(b"<presence/>") == [Element("presence")]
