"""What becomes larger when it is written again is bounded, and counted, by its size then."""

import pyexpat
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from tests.xmpp.helpers import HEADER, parse_stream, plain
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.frames import FrameParser, parse_frame
from voxcube.xmpp.framing import Framing, ParserPool, TcpFraming, WebSocketFraming
from voxcube.xmpp.parser import StreamParser
from voxcube.xmpp.xml import Element, encoded_size, serialize

LIMIT = 65536
LONG = b"u" * 2000

#: Each is below LIMIT as it is received, and above it when it is written again.
GROWING = {
    "a namespace at each prefixed child": b"<iq><q xmlns:p='%b'>%b</q></iq>" % (LONG, b"<p:a/>" * 50),
    "a namespace at each child of a prefixed element": (
        b"<iq xmlns='%b'><p:q xmlns:p='u'>%b</p:q></iq>" % (LONG, b"<a/>" * 50)
    ),
    "a namespace at every second level": (
        b"<iq xmlns:p='%b'>%b%b</iq>" % (b"u" * 4000, b"<p:a><a>" * 25, b"</a></p:a>" * 25)
    ),
    "many prefixes for one namespace": (
        b"<iq %b>%b</iq>"
        % (
            b" ".join(b"xmlns:p%d='%b'" % (number, b"u" * 300) for number in range(100)),
            b"".join(b"<p%d:a/>" % number for number in range(100)) * 3,
        )
    ),
    "stream: for a prefix of one letter": (
        b"<iq xmlns:s='http://etherx.jabber.org/streams'>%b</iq>" % (b"<s:error/>" * 6000)
    ),
    "quotes in attributes": b"<iq a='%b'/>" % (b'"' * 12_000),
    "quotes in many attributes": b"<iq>%b</iq>" % (b'<a b=\'""""""\'/>' * 2000),
    "brackets in a text": b"<iq>%b</iq>" % (b">" * 20_000),
    "brackets in attributes": b"<iq a='%b'/>" % (b">" * 20_000),
    "CDATA": b"<iq><![CDATA[%b]]></iq>" % (b"&" * 14_000),
    "references in attributes": b"<iq a='%b'/>" % (b"&#34;" * 13_000),
}


@pytest.mark.parametrize("name", GROWING)
def test_too_big_after_rewriting(name: str) -> None:
    data = GROWING[name]
    assert len(data) < LIMIT
    assert parse_stream(data, max_stanza=LIMIT) == ["policy-violation"]
    kept = FrameParser(max_stanza=LIMIT)
    with pytest.raises(RemoteProtocolError, match=r"^policy-violation"):
        kept.parse(data)
    with pytest.raises(RemoteProtocolError, match=r"^policy-violation"):
        parse_frame(data, max_stanza=LIMIT)
    assert kept.parse(b"<a/>") == Element("a")


@pytest.mark.parametrize(
    "data",
    [
        b"<iq>%b</iq>" % (b"&gt;" * 16_000),  # as large as it was
        b"<iq>%b</iq>" % (b"&#x1F600;" * 7000),  # smaller
        b"<iq><q xmlns:p='%b'>%b</q></iq>" % (LONG, b"<p:a/>" * 30),
        b"<iq>%b</iq>" % (b"x" * (LIMIT - 10)),
        "<iq>{}</iq>".format("ж" * 32_000).encode(),
    ],
)
def test_what_is_within_the_limit_passes(data: bytes) -> None:
    [stanza] = parse_stream(data, max_stanza=LIMIT)
    assert isinstance(stanza, Element)
    assert stanza == FrameParser(max_stanza=LIMIT).parse(data) == parse_frame(data, max_stanza=LIMIT)
    assert len(serialize(stanza)) == encoded_size(stanza) <= LIMIT


def test_a_closing_tag_is_part_of_the_size() -> None:
    name = b"n" * (LIMIT - 100)
    assert parse_stream(b"<%b>x</%b>" % (name, name), max_stanza=LIMIT) == ["policy-violation"]


@pytest.mark.parametrize("name", GROWING)
def test_memory_is_bounded_by_the_limit(name: str) -> None:
    """Not by a multiple of what was sent: 2 KB of a namespace at each of 20,000 elements were 40 MB."""
    data = GROWING[name].replace(b"<p:a/>" * 50, b"<p:a/>" * 10_000).replace(b"<a/>" * 50, b"<a/>" * 15_000)
    parser = StreamParser(max_stanza=LIMIT)
    parser.feed(HEADER)
    parser.flow()
    tracemalloc.start()
    try:
        assert plain(parser.feed(data)) == ["policy-violation"]
        assert tracemalloc.get_traced_memory()[1] < 20 * LIMIT
    finally:
        tracemalloc.stop()


def test_prefixes_need_no_parser_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def create(*args: Any) -> Any:
        made.append(args)
        return pyexpat_create(*args)

    pyexpat_create = pyexpat.ParserCreate
    parser = StreamParser(max_stanza=LIMIT)
    parser.feed(HEADER)
    parser.flow()
    monkeypatch.setattr(pyexpat, "ParserCreate", create)
    names = "".join(f"<p:{letter}x/>" for letter in "abZ_éжא你한")
    data = f"<iq xmlns:p='u'>{names * 50}</iq>".encode()
    assert len(parser.feed(data)) == 1
    assert len(made) <= 1
    # A letter that may not begin a name does not spoil the next question.
    for first, refused in (("·", True), ("é", False), ("0", True), ("-", True), ("é", False)):
        token = parse_frame_or_condition(f"<p:{first}a xmlns:p='u'/>".encode())
        assert (token == "not-well-formed") is refused, first


def parse_frame_or_condition(data: bytes) -> object:
    try:
        return parse_frame(data, max_stanza=LIMIT)
    except RemoteProtocolError as error:
        return error.condition


@pytest.mark.parametrize(
    "data",
    [
        # Each element declared one prefix, and paid for all that its ancestors had declared.
        b"<iq %b>%b</iq>"
        % (b" ".join(b"xmlns:p%d='u'" % number for number in range(6000)), b"<p1:a xmlns:q='u'/>" * 6000),
        b"<iq %b/>" % b" ".join(b"a%d=''" % number for number in range(24_000)),
        b"<iq>%b</iq>" % (b"x\n" * 120_000),
    ],
    ids=["declarations", "attributes", "lines"],
)
def test_work_is_linear(data: bytes) -> None:
    """Each took seconds when it grew with the square; the limit is generous for slow machines."""
    begun = time.process_time()
    [stanza] = parse_stream_whole(data)
    assert isinstance(stanza, Element)
    serialize(stanza)
    assert time.process_time() - begun < 2


def parse_stream_whole(data: bytes) -> list[object]:
    parser = StreamParser(max_stanza=262_144)
    parser.feed(HEADER)
    parser.flow()
    return plain(parser.feed(data))


def tcp() -> Framing:
    framing = TcpFraming(ParserPool())
    framing.receive(HEADER)
    framing.flow()
    return framing


@pytest.mark.parametrize("make", [tcp, lambda: WebSocketFraming(ParserPool())])
def test_growth_is_counted(make: Callable[[], Framing]) -> None:
    """For the rate limits: whoever sends prefixes or quotes pays for what they become."""
    framing = make()
    framing.set_limits(max_stanza=262_144, max_depth=64)
    framing.receive(b"<message><body>hello &gt; &quot;</body></message>")
    framing.receive(b"<message><body>%b</body></message>" % (b"x" * 10_000))
    assert framing.grown == 0
    framing.receive(b"<iq><q xmlns:p='%b'>%b</q></iq>" % (LONG, b"<p:a/>" * 50))
    assert 95_000 < framing.grown < 105_000
    framing.grown = 0
    framing.receive(b"<iq a='%b'/>" % (b'"' * 5000))
    assert 24_000 < framing.grown < 26_000
