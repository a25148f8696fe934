"""The light XML tree that stanzas are made of, and its serialiser.

There is no namespace machinery: both official SDKs match an element by local name and by the literal `xmlns`
attribute (realtime §2.1), so `xmlns` is an ordinary attribute here. The parsers in `parser.py` deliver trees in this
form whatever prefixes a client used. The serialiser is on the hot path of every message: plain string work, and
escaping only where a quick look finds something to escape.
"""

import re
from collections.abc import Iterable, Iterator

from voxcube.xmpp.errors import LocalProtocolError

__all__ = ["Element", "encoded_size", "is_name", "is_text", "serialize", "to_xml"]


class Element:
    """One XML element.

    `name` is the local name (only `stream:stream`, `stream:features` and `stream:error` keep their prefix), `attrs` is
    in document order, `children` are elements and pieces of text.
    """

    __slots__ = ("attrs", "children", "name")

    def __init__(
        self, name: str, attrs: dict[str, str] | None = None, children: "Iterable[Element | str]" = ()
    ) -> None:
        self.name = name
        self.attrs: dict[str, str] = {} if attrs is None else attrs
        self.children: list[Element | str] = list(children)

    def get(self, attr: str, default: str | None = None) -> str | None:
        """The value of an attribute, or `default`."""
        return self.attrs.get(attr, default)

    @property
    def xmlns(self) -> str:
        """The literal `xmlns` attribute; "" when the element has none of its own."""
        return self.attrs.get("xmlns", "")

    @property
    def text(self) -> str:
        """The text directly inside this element, concatenated."""
        children = self.children
        if len(children) == 1 and isinstance(children[0], str):
            return children[0]
        return "".join([child for child in children if isinstance(child, str)])

    def find(self, name: str, xmlns: str | None = None) -> "Element | None":
        """The first direct child with that name, and with that literal `xmlns` when one is given."""
        for child in self.children:
            if isinstance(child, Element) and child.name == name and (xmlns is None or child.xmlns == xmlns):
                return child
        return None

    def elements(self) -> "Iterator[Element]":
        """The direct children that are elements, in document order."""
        return (child for child in self.children if isinstance(child, Element))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return self.name == other.name and self.attrs == other.attrs and self.children == other.children

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<Element {self.name} {self.attrs!r} [{len(self.children)}]>"  # no text: bodies never reach a log


_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
# A literal CR, and TAB or LF in an attribute, would be normalised away by the reader (XML 1.0 §2.11, §3.3.3).
_ATTR = str.maketrans(_ESCAPES)
_TEXT = str.maketrans({char: _ESCAPES[char] for char in "&<>\r"})


def to_xml(element: Element) -> str:
    """The element as text: double-quoted attributes, `/>` when empty, no white space added."""
    name = element.name
    attrs = element.attrs
    children = element.children
    if attrs:
        xml = "<" + name
        for key, value in attrs.items():
            if "&" in value or "<" in value or ">" in value or '"' in value or not value.isprintable():
                value = value.translate(_ATTR)
            xml += f' {key}="{value}"'  # appended in place: with many attributes a new text for each would be quadratic
        if not children:
            return xml + "/>"
        xml += ">"
    elif not children:
        return f"<{name}/>"
    else:
        xml = f"<{name}>"
    for child in children:
        if child.__class__ is str:
            if "&" in child or "<" in child or ">" in child or "\r" in child:
                child = child.translate(_TEXT)
            xml += child
        else:
            xml += to_xml(child)  # type: ignore[arg-type]  # mypy does not narrow by __class__, which is the quick test
    return f"{xml}</{name}>"


def encoded_size(element: Element) -> int:
    """Bytes of the element when it is written: escapes and namespaces can make it larger than what was received."""
    return len(to_xml(element).encode("utf-8", "surrogatepass"))


_CONTROLS = bytes([*range(9), 11, 12, *range(14, 32)])


def serialize(element: Element) -> bytes:
    """The element as UTF-8.

    Raises LocalProtocolError when a text holds what XML cannot carry (XML 1.0 §2.2): one such character would stall
    Flutter's parser for good (quirks A19), and no escape exists for it.
    """
    try:
        data = to_xml(element).encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(f"<{element.name}/> holds a lone surrogate") from None
    if (
        len(data.translate(None, _CONTROLS)) != len(data)
        or b"\xef\xbf\xbe" in data  # U+FFFE
        or b"\xef\xbf\xbf" in data  # U+FFFF
    ):
        raise LocalProtocolError(f"<{element.name}/> holds a character that XML forbids")
    return data


# Names for elements made from outside keys (REST custom parameters): the ASCII part of XML 1.0 §2.3, which every
# parser takes; the colon is left out, as names carry no prefix here.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def is_name(name: str) -> bool:
    """Whether `name` may be the name of an element or attribute that we make ourselves."""
    return _NAME.fullmatch(name) is not None


def is_text(text: str) -> bool:
    """Whether XML can carry `text` (no control characters but TAB, LF, CR; no lone surrogates)."""
    return _FORBIDDEN.search(text) is None
