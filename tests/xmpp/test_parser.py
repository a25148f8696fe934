"""TCP bytes → tokens, and what the parser refuses (RFC 6120 §11)."""

import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xmpp.helpers import HEADER, MESSAGE, however_cut, parse_stream, plain
from voxcube.xmpp.framing import ParserPool, TcpFraming
from voxcube.xmpp.parser import StreamEnd, StreamParser, StreamStart, Token
from voxcube.xmpp.xml import Element


def test_stanzas() -> None:
    tokens = parse_stream(
        b"  \n" + MESSAGE + b"\n <presence/>" + MESSAGE + b"<r xmlns='urn:xmpp:sm:3'/>\n</stream:stream>"
    )
    message = Element(
        "message",
        {"xmlns": "jabber:client", "id": "65a1b2c3d4e5f60718293a4b", "type": "chat", "to": "88-3@chat.example.org"},
        [
            Element("body", None, ["Lunch & coffee ☕?"]),
            Element(
                "extraParams",
                {"xmlns": "jabber:client"},
                [
                    Element("save_to_history", None, ["1"]),
                    Element("meta", None, [Element("a", None, ["1"]), Element("b", None, [Element("c", None, ["x"])])]),
                ],
            ),
            Element("markable", {"xmlns": "urn:xmpp:chat-markers:0"}),
        ],
    )
    assert tokens == [message, Element("presence"), message, Element("r", {"xmlns": "urn:xmpp:sm:3"}), StreamEnd()]


def test_header() -> None:
    def run(pieces: object) -> list[object]:
        parser = StreamParser(max_stanza=4096)
        return plain([token for piece in pieces for token in parser.feed(piece)])  # type: ignore[attr-defined]

    assert however_cut(run, b"\xef\xbb\xbf" + HEADER)[0] == StreamStart(
        {"to": "chat.example.org", "version": "1.0", "xml:lang": "en"}
    )
    for data, condition in {
        b"GET / HTTP/1.1\r\n\r\n": "not-well-formed",
        b"<message/>": "bad-format",
        b"<stream xmlns='http://etherx.jabber.org/streams'>": "bad-namespace-prefix",
        b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>": "bad-namespace-prefix",
        b"<stream:stream xmlns='jabber:client'>": "invalid-namespace",
        b"<stream:stream xmlns='jabber:client' xmlns:stream='urn:x'>": "invalid-namespace",
        b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>": "invalid-namespace",
        b"<?xml version='1.0' encoding='iso-8859-1'?><a>": "unsupported-encoding",
        b"<!DOCTYPE a><a>": "restricted-xml",
        b"<stream:x>\xff<a>": "bad-format",
        "<a>".encode("utf-16"): "unsupported-encoding",
        "<a>".encode("utf-16-be"): "unsupported-encoding",
        "<a>".encode("utf-16-le"): "unsupported-encoding",
    }.items():
        assert however_cut(run, data) == [condition], data
    assert however_cut(run, HEADER.replace(b"1.0'?", b"1.0' encoding='UTF-8'?"))[0].__class__ is StreamStart


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<a><b></a>", "not-well-formed"),
        (b"<a", None),
        (b"<a b='1' b='2'/>", "not-well-formed"),
        (b"<a b=1/>", "not-well-formed"),
        (b"<0/>", "not-well-formed"),
        (b"<a>\0</a>", "not-well-formed"),
        (b"<a>\x01</a>", "not-well-formed"),
        (b"<a>&#0;</a>", "not-well-formed"),
        (b"<a>&#x1;</a>", "not-well-formed"),
        (b"<a>&#xD800;</a>", "not-well-formed"),
        (b"<a>&#xFFFF;</a>", "not-well-formed"),
        (b"<a>&#x110000;</a>", "not-well-formed"),
        (b"<a>\xed\xa0\x80</a>", "not-well-formed"),  # a lone surrogate
        (b"<a>\xef\xbf\xbf</a>", "not-well-formed"),
        (b"<a>\xff</a>", "not-well-formed"),
        (b"<a>\xc0\xbc</a>", "not-well-formed"),  # overlong
        (b"<a>&nbsp;</a>", "restricted-xml"),
        (b"<a b='&x;'/>", "restricted-xml"),
        (b"<a><!-- x --></a>", "restricted-xml"),
        (b"<!-- x --><a/>", "restricted-xml"),
        (b"<a><?php x?></a>", "restricted-xml"),
        (b"<?xml version='1.0'?><a/>", "not-well-formed"),
        (b"<!DOCTYPE a [<!ENTITY x 'y'>]><a/>", "not-well-formed"),
        (b"hello<a/>", "bad-format"),
        (b"<![CDATA[x]]><a/>", "bad-format"),
        (b"</stream>", "not-well-formed"),
        (b"<a>]]></a>", "not-well-formed"),
    ],
)
def test_bad_xml(data: bytes, condition: str | None) -> None:
    good = [Element("presence")]  # what was complete before is not lost
    expected: list[object] = [*good] if condition is None else [*good, condition]
    assert parse_stream(b"<presence/>" + data) == expected


def test_nothing_after_the_end() -> None:
    parser = StreamParser(max_stanza=4096)
    assert parser.feed(HEADER + b"</stream:stream><a/>")[1:] == [StreamEnd()]
    assert parser.feed(b"<a/>") == []
    parser = StreamParser(max_stanza=4096)
    assert plain(parser.feed(HEADER + b"<a></b>"))[1:] == ["not-well-formed"]
    parser = StreamParser(max_stanza=4096)
    parser.feed(HEADER)
    assert plain(parser.feed(b"<a></b>")) == ["not-well-formed"]
    assert parser.feed(b"<a/>") == []


def test_text_is_one_node() -> None:
    text = "&<>\n☕" * 3000
    xml = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "<![CDATA[>]]>").encode()
    assert parse_stream(b"<a>%s</a>" % xml, max_stanza=1 << 20) == [Element("a", None, [text])]


def test_depth() -> None:
    assert len(parse_stream(b"<a>" * 64 + b"</a>" * 64)) == 1
    assert parse_stream(b"<a/>" + b"<a>" * 65 + b"</a>" * 65) == [Element("a"), "policy-violation"]
    assert parse_stream(b"<a>" * 10_000) == ["policy-violation"]
    assert parse_stream(b"<x:a xmlns:x='u'>" * 65) == ["policy-violation"]
    assert parse_stream(b"<a>" * 3, max_depth=2) == ["policy-violation"]


def test_size() -> None:
    fits = b"<a>" + b"x" * 4093 + b"</a>"
    assert len(parse_stream(fits * 3, max_stanza=4096)) == 3
    assert parse_stream(fits + b"<a>" + b"x" * 4094 + b"</a>", max_stanza=4080) == ["policy-violation"]
    assert parse_stream(b"<b/>\n<a>" + b"x" * 8000, max_stanza=4096)[1:] == ["policy-violation"]
    assert parse_stream(b"<b/>\n<a>" + b"<c/>" * 2000, max_stanza=4096)[1:] == ["policy-violation"]
    assert parse_stream(b"<b/><a b='" + b"x" * 8000, max_stanza=4096)[1:] == ["policy-violation"]
    assert parse_stream(b"<b/><a>" + b" " * 8000, max_stanza=4096)[1:] == ["policy-violation"]


def test_white_space_between_stanzas_does_not_add_up() -> None:
    parser = StreamParser(max_stanza=4096)
    parser.feed(HEADER)
    parser.flow()
    for _ in range(100_000):
        assert parser.feed(b" ") == []
    assert parser.feed(b"<a/>") == [Element("a")]


def test_the_limit_can_be_raised() -> None:
    parser = StreamParser(max_stanza=4096)
    parser.feed(HEADER)
    parser.flow()
    parser.max_stanza = 65536
    assert len(parser.feed(b"<a>" + b"x" * 60_000 + b"</a>")) == 1


@pytest.mark.parametrize("drop", [b">", b"x"])
def test_a_drip_fed_attribute_is_cheap(drop: bytes) -> None:
    # What decides is the work that expat is given, not the time it takes here: a budget, then policy-violation.
    parser = StreamParser(max_stanza=262144)
    parser.feed(HEADER)
    parser.flow()
    parser.feed(b"<a b='")
    for count in range(262144):  # noqa: B007
        if tokens := parser.feed(drop):
            assert plain(tokens) == ["policy-violation"]
            break
    else:
        assert drop == b"x"  # gathered, so cheap enough up to the limit
        return
    assert (count * count / 2 < 140 * 1024 * 1024) == (drop == b">")


def test_a_stanza_is_never_held_back() -> None:
    parser = StreamParser(max_stanza=262144)
    parser.feed(HEADER)
    parser.flow()
    big = b"<a b='" + b"x" * 100_000 + b"'/>"
    for end in (b"", b" "):
        done = [bool(parser.feed(big[start : start + 700] + end * 0)) for start in range(0, len(big), 700)]
        assert done == [False] * (len(done) - 1) + [True]


def test_stepwise_stops_behind_each_element() -> None:
    parser = StreamParser(max_stanza=4096)
    first = parser.feed(HEADER + b"<a x='>'/>  <b></b >\n" + HEADER + b"<c/>")
    assert first[1:] == [Element("a", {"x": ">"})]
    assert parser.feed(b"") == [Element("b")]
    parser.restart()
    assert [token.__class__ for token in parser.feed(b"")] == [StreamStart, Element]
    assert parser.feed(b"<d/><e/>") == [Element("d")]
    parser.flow()
    assert parser.feed(b"<f/>") == [Element("e"), Element("f")]


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_memory_does_not_grow_with_new_names(cut: int) -> None:
    # expat keeps every name it met, which tracemalloc does not see; that it is renewed is what is tested.
    parser = StreamParser(max_stanza=65536)
    parser.feed(HEADER)
    parser.flow()
    first, renewed, carry = parser._expat, 0, b""
    for number in range(200):
        stanza = b"<m>" + b"".join(b"<n%dx%d a%d='1'/>" % (number, index, number) for index in range(1500)) + b"</m>"
        data = carry + stanza
        data, carry = (data[:-cut], data[-cut:]) if cut else (data, b"")
        tokens = parser.feed(data)
        assert all(isinstance(token, Element) and token.name == "m" for token in tokens)
        if parser._expat is not first:
            first = parser._expat
            renewed += 1
    assert renewed >= 1


def test_memory_per_stream_is_small() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        parsers = [StreamParser(max_stanza=4096) for _ in range(100)]
        for parser in parsers:
            parser.feed(HEADER)
            parser.flow()
        assert (tracemalloc.get_traced_memory()[0] - before) / len(parsers) < 20_000
    finally:
        tracemalloc.stop()


class TestSharedParsers:
    """Open streams share parsers between stanzas; no stream may notice."""

    @staticmethod
    def framings(count: int, *, kept: int = 64) -> list[TcpFraming]:
        pool = ParserPool(kept=kept)
        made = []
        for _ in range(count):
            framing = TcpFraming(pool)
            framing.set_limits(max_stanza=2000, max_depth=8)
            assert len(framing.receive(HEADER)) == 1
            framing.flow()
            made.append(framing)
        return made

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.sampled_from(
                    [
                        b"<message/>",
                        b"<a b='1'><c>t&amp;</c></a>",
                        b" \n",
                        b"<iq id='>'>x</iq>\n",
                        b"<p:q xmlns:p='u'/>",
                    ]
                ),
            ),
            max_size=12,
        ),
        st.randoms(use_true_random=False),
        st.integers(0, 3),
    )
    def test_interleaved_streams_read_what_each_was_sent(
        self, stanzas: list[tuple[int, bytes]], random: Random, kept: int
    ) -> None:
        framings = self.framings(4, kept=kept)
        alone = [self.framings(1)[0] for _ in framings]
        sent = [b"".join(data for who, data in stanzas if who == stream) for stream in range(4)]
        expected = [framing.receive(data) if data else [] for framing, data in zip(alone, sent, strict=True)]
        got: list[list[Token]] = [[] for _ in framings]
        while any(sent):
            stream = random.choice([number for number, data in enumerate(sent) if data])
            cut = random.randint(1, min(7, len(sent[stream])))
            got[stream] += framings[stream].receive(sent[stream][:cut])
            sent[stream] = sent[stream][cut:]
        assert got == expected

    @pytest.mark.parametrize(
        "bad", [b"<a", b"<a>", b"text", b"&am", b"<a b='", b"</stream:stream>", b"<a></b>", b"<!--"]
    )
    def test_what_one_stream_leaves_open_is_no_other_streams_business(self, bad: bytes) -> None:
        first, second = self.framings(2)
        first.receive(b"<message/>")
        second.receive(b"<message/>")
        first.receive(bad)
        assert second.receive(b"<iq/>") == [Element("iq")]
        third = self.framings(1)[0]
        assert third.receive(b"<presence/>") == [Element("presence")]
