"""Elements and their serialiser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xmpp.helpers import MESSAGE, element
from voxcube.xmpp.errors import LocalProtocolError
from voxcube.xmpp.frames import FrameParser, parse_frame
from voxcube.xmpp.parser import StreamParser
from voxcube.xmpp.xml import Element, is_name, is_text, serialize, to_xml

names = st.from_regex(r"[A-Za-z_é][A-Za-z0-9_.é-]{0,8}", fullmatch=True)
texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\t\r\n&<>\"']")
)


def _joined(children: list[Element | str]) -> list[Element | str]:
    joined: list[Element | str] = []
    for child in children:
        if isinstance(child, str) and joined and isinstance(joined[-1], str):
            joined[-1] += child
        elif child != "":
            joined.append(child)
    return joined


def _elements(children: st.SearchStrategy[Element]) -> st.SearchStrategy[Element]:
    return st.builds(
        Element,
        names,
        st.dictionaries(names, texts, max_size=3),
        st.lists(children | texts, max_size=4).map(_joined),
    )


elements = st.recursive(st.builds(Element, names), _elements, max_leaves=8)


@given(elements)
def test_round_trip(tree: Element) -> None:
    data = serialize(tree)
    stream = StreamParser(max_stanza=1 << 20)
    stream.feed(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
    stream.flow()
    assert stream.feed(data) == [tree]
    assert [token for index in range(len(data)) for token in stream.feed(data[index : index + 1])] == [tree]
    assert parse_frame(data, max_stanza=1 << 20) == tree
    kept = FrameParser(max_stanza=1 << 20)
    assert kept.parse(data) == tree
    assert kept.parse(data) == tree


def test_serialised_form() -> None:
    assert serialize(element(MESSAGE)) == MESSAGE
    assert to_xml(Element("a")) == "<a/>"
    assert to_xml(Element("a", {"b": "<\"'&>\t\n\r"})) == '<a b="&lt;&quot;\'&amp;&gt;&#9;&#10;&#13;"/>'
    assert to_xml(Element("a", None, ["]]>\t\n\r\"'"])) == "<a>]]&gt;\t\n&#13;\"'</a>"


@pytest.mark.parametrize("bad", ["\0", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff", "\ud800", "x\udfff"])
def test_what_xml_cannot_carry_is_never_written(bad: str) -> None:
    assert not is_text(bad)
    for tree in (Element("a", None, [bad]), Element("a", {"b": bad})):
        with pytest.raises(LocalProtocolError):
            serialize(tree)


def test_text_that_xml_can_carry() -> None:
    assert is_text("\t\r\n ☕ \x7f \U0001f44d")
    assert serialize(Element("a", None, ["\x7f\U0001f44d"])) == "<a>\x7f\U0001f44d</a>".encode()


def test_names() -> None:
    assert all(map(is_name, ("a", "_0", "content-type", "A.b")))
    assert not any(map(is_name, ("", "0", "a b", "a:b", "-a", "a\n", "<", "a/")))


def test_looking_into_an_element() -> None:
    tree = Element("m", {"xmlns": "u"}, ["one", Element("b", {"xmlns": "v"}), Element("b"), "two"])
    assert tree.xmlns == "u"
    assert tree.text == "onetwo"
    assert Element("a", None, ["x"]).text == "x"
    assert Element("a").text == Element("a").xmlns == ""
    assert tree.get("id") is None
    assert tree.get("id", "7") == "7"
    assert [child.name for child in tree.elements()] == ["b", "b"]
    assert tree.find("b") is tree.children[1]
    assert tree.find("b", "v") is tree.children[1]
    assert tree.find("b", "w") is None
    assert tree.find("c") is None
    assert tree != Element("m")
    assert tree != "m"
    assert "one" not in repr(tree)
