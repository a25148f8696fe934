"""Clients that use namespace prefixes."""

import pytest

from tests.xmpp.helpers import HEADER, parse_stream
from voxcube.xmpp.xml import Element, serialize


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (b"<x:foo xmlns:x='urn:y'/>", b'<foo xmlns="urn:y"/>'),
        (b"<a xmlns:x='urn:y'><x:foo/><b/></a>", b'<a><foo xmlns="urn:y"/><b/></a>'),
        (b"<a xmlns:x='urn:y'><x:foo><x:bar/></x:foo></a>", b'<a><foo xmlns="urn:y"><bar/></foo></a>'),
        # An unprefixed child stays in the default namespace, though its parent has left it.
        (b"<x:foo xmlns:x='urn:y'><b/></x:foo>", b'<foo xmlns="urn:y"><b xmlns="jabber:client"/></foo>'),
        (
            b"<a xmlns='urn:d'><x:b xmlns:x='urn:y'><c/></x:b><c/></a>",
            b'<a xmlns="urn:d"><b xmlns="urn:y"><c xmlns="urn:d"/></b><c/></a>',
        ),
        (b"<x:foo xmlns='urn:d' xmlns:x='urn:y'><b/></x:foo>", b'<foo xmlns="urn:y"><b xmlns="urn:d"/></foo>'),
        (b"<c:message xmlns:c='jabber:client'><c:body>x</c:body></c:message>", b"<message><body>x</body></message>"),
        (b"<a xmlns:x='urn:y' x:p='1' q='2' xml:lang='no'/>", b'<a q="2" xml:lang="no"/>'),
        (b"<a xml:lang='no'><b/></a>", b'<a xml:lang="no"><b/></a>'),
        (
            b"<a><b xmlns:x='urn:1'><x:c xmlns:x='urn:2'/><x:c/></b></a>",
            b'<a><b><c xmlns="urn:2"/><c xmlns="urn:1"/></b></a>',
        ),
        (
            b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            b'<stream:error><conflict xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>',
        ),
        (b"<s:error xmlns:s='http://etherx.jabber.org/streams'><a/></s:error>", b"<stream:error><a/></stream:error>"),
        (b"<stream:other/>", b'<other xmlns="http://etherx.jabber.org/streams"/>'),
        (b"<a xmlns='urn:d' xmlns:x='urn:y'><b xmlns='urn:d'/></a>", b'<a xmlns="urn:d"><b xmlns="urn:d"/></a>'),
    ],
)
def test_rewritten(written: bytes, kept: bytes) -> None:
    # Behind it stands a plain stanza: the fast way is taken again.
    tokens = parse_stream(written + b"<p xmlns='jabber:client'/>")
    assert tokens[1:] == [Element("p", {"xmlns": "jabber:client"})]
    assert isinstance(tokens[0], Element)
    assert serialize(tokens[0]) == kept


def test_declared_in_the_stream_header() -> None:
    header = HEADER.replace(b"xmlns=", b"xmlns:x='urn:y' xmlns=")
    assert parse_stream(b"<x:foo/>", header=header) == [Element("foo", {"xmlns": "urn:y"})]


@pytest.mark.parametrize(
    "data",
    [
        b"<x:foo/>",
        b"<a><b xmlns:x='urn:y'/><x:foo/></a>",
        b"<a xmlns:x=''/>",
        b"<a xmlns:='urn:y'/>",
        b"<x:y:z xmlns:x='urn:y'/>",
        b"<:a/>",
        b"<x: xmlns:x='urn:y'/>",
        b"<x:0 xmlns:x='urn:y'/>",  # relayed as <0/> it would not be XML
        b"<x:-a xmlns:x='urn:y'/>",
        b"<xml:a/>",
        b"<xmlns:a/>",
        b"<a xmlns:xmlns='urn:y'/>",
    ],
)
def test_refused(data: bytes) -> None:
    assert parse_stream(data) == ["not-well-formed"]
