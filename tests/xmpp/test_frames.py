"""WebSocket frames → elements (RFC 7395)."""

import pytest

from tests.xmpp.helpers import CLOSE, MESSAGE, OPEN, element
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.expat import RENEW_AFTER
from voxcube.xmpp.frames import FrameParser, parse_frame
from voxcube.xmpp.framing import ParserPool, WebSocketFraming
from voxcube.xmpp.xml import Element, serialize

# What the JavaScript SDK writes though it is not XML, and what is read in its place (realtime §6, quirks A20).
REPAIRED = {
    b"<m><arr><0>p</0><1>q</1><10/></arr></m>": b"<m><arr><_0>p</_0><_1>q</_1><_10/></arr></m>",
    b"<a>a\x00b\x01c\x08d\x0be\x0cf\x0eg\x1fh</a>": b"<a>abcdefgh</a>",
    b"<a>\t\n&#13;\x7f</a>\x0c": b"<a>\t\n&#13;\x7f</a>",
    b"<a>\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd</a>": b"<a>\xef\xbf\xbd</a>",
    b"<a>&#0;&#1;&#x1F;&#xFFFE;&#65535;&#xd800;&#x0000D;&#9;&#x1F600;&amp;#1;</a>": (
        b"<a>&#13;\t\xf0\x9f\x98\x80&amp;#1;</a>"
    ),
    b"<a>&#x110000;&#99999999999999999999;x</a>": b"<a>x</a>",
    b"<a b='1\x02&#3;2'/>": b'<a b="12"/>',
    b"<a>\xed\xa0\xbd\xed\xb8\x80 \xed\xa0\xbdx\xed\xb8\x80</a>": b"<a>\xf0\x9f\x98\x80 x</a>",
    b"<a><0>\x01</0></a>": b"<a><_0/></a>",
    # Two halves of one character around one that is forbidden are not joined, and what was valid stays as it is.
    b"<a>\xd0\x96\xe2\x98\x95\xf0\x9f\x98\x80\x01</a>": b"<a>\xd0\x96\xe2\x98\x95\xf0\x9f\x98\x80</a>",
}


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
    assert kept._expat is expat or data[:2] == b"<?" or data[-1:] != b">" or data in REPAIRED
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
        *REPAIRED.items(),
        (
            b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'><b/></stream:features>",
            b"<stream:features><b/></stream:features>",
        ),
    ],
)
def test_one_element(data: bytes, expected: bytes) -> None:
    assert serialize(parse(data)) == expected
    if b"\xed" not in data:
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
        (b"<a>\xc3</a>", "not-well-formed"),
        (b"<a>&#;</a>", "not-well-formed"),
        (b"<a>&#x110000;</a\x01", "not-well-formed"),
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
