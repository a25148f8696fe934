"""WebSocket frames → elements (RFC 7395 §3.3.3)."""

import pyexpat
import re
from typing import Any

from voxcube.xmpp import ns
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.expat import RENEW_AFTER, build_trees, check_utf8, create_expat, growth, may_grow, remote_error
from voxcube.xmpp.xml import Element, is_text

__all__ = ["FrameParser", "parse_frame"]

_BINDINGS = {"": ns.CLIENT}
_ROOT = b"<frames>"  # under which FrameParser reads all frames of a connection
_DIGIT_NAME = re.compile(rb"<(/?)([0-9])")
# What XML 1.0 §2.2 forbids: control characters, U+FFFE, U+FFFF, and surrogates, which are not even UTF-8.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]|\xed[\xa0-\xbf][\x80-\xbf]")
_SURROGATE_PAIR = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_REFERENCE = re.compile(rb"&#(?:x([0-9A-Fa-f]+)|([0-9]+));")


def parse_frame(data: bytes | str, *, max_stanza: int, max_depth: int = 64) -> Element:
    """The one element of a WebSocket frame (RFC 7395 §3.3.3).

    `max_stanza` bounds the frame, and the element as it is written again. What the JavaScript SDK writes though it is
    not XML is repaired: arrays are elements named 0, 1, …, which become `_0`, `_1` (realtime §6), and characters that
    XML forbids are dropped. Raises RemoteProtocolError: not-well-formed, restricted-xml, policy-violation,
    unsupported-encoding.
    """
    if isinstance(data, str):
        try:
            data = data.encode()
        except UnicodeEncodeError:
            raise RemoteProtocolError("not-well-formed", "lone surrogate") from None
    return _parse_frame(data, max_stanza, max_depth)[0]


def _parse_frame(data: bytes, max_stanza: int, max_depth: int) -> tuple[Element, int]:
    """The element, and the bytes by which it is larger than the frame when it is written again."""
    if len(data) > max_stanza:
        raise RemoteProtocolError("policy-violation", "stanza too big")
    try:
        element = _parse_document(data, max_depth, max_stanza)
    except pyexpat.ExpatError as error:
        repaired = _repair(data)
        if repaired == data:
            raise remote_error(error) from None
        try:
            element = _parse_document(repaired, max_depth, max_stanza)
        except pyexpat.ExpatError as error:
            raise remote_error(error) from None
    return element, growth(element, len(data), max_stanza)


def _repair(data: bytes) -> bytes:
    """A frame without what the JavaScript SDK lets through; the same bytes when there is nothing of it."""
    data = _SURROGATE_PAIR.sub(_joined, data)
    data = _REFERENCE.sub(_allowed_reference, _FORBIDDEN.sub(b"", data))
    return _DIGIT_NAME.sub(rb"<\1_\2", data)


def _joined(pair: re.Match[bytes]) -> bytes:
    """Both halves of a character beyond U+FFFF, each in three bytes (CESU-8), as one character."""
    text = pair[0].decode("utf-8", "surrogatepass")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le").encode()


def _allowed_reference(reference: re.Match[bytes]) -> bytes:
    """A character reference, empty when it names what XML forbids (XML 1.0 §4.1, WFC: Legal Character)."""
    hexadecimal, decimal = reference.groups()
    digits, base = (hexadecimal, 16) if hexadecimal is not None else (decimal, 10)
    digits = digits.lstrip(b"0") or b"0"
    code = int(digits, base) if len(digits) <= 7 else 0  # U+10FFFF has seven digits, and longer ones name nothing
    return reference[0] if code <= 0x10FFFF and is_text(chr(code)) else b""


def _completed(name: str, rewritten: bool) -> None:
    pass


def _out_of_root() -> None:
    raise RemoteProtocolError("not-well-formed")


def _parse_document(data: bytes, max_depth: int, max_stanza: int) -> Element:
    check_utf8(data[:2])
    expat = create_expat()
    top: list[Element] = []
    build_trees(expat, top, [], _BINDINGS, max_depth, lambda: max_stanza, _completed, _out_of_root)
    expat.Parse(data, True)
    return top[0]


class FrameParser:
    """`parse_frame` for many frames of one connection, at half the cost: an expat is kept from frame to frame.

    It only takes frames that are beyond doubt; any other goes to `parse_frame`, which knows why it is bad.
    """

    __slots__ = ("_end", "_expat", "_fed", "_open_lists", "_rewritten", "_top", "grown", "max_depth", "max_stanza")

    def __init__(self, *, max_stanza: int, max_depth: int = 64) -> None:
        self.max_stanza = max_stanza
        self.max_depth = max_depth
        self.grown = 0  # bytes by which the last element is larger than its frame when it is written again
        self._begin()

    def _begin(self) -> None:
        self._top: list[Any] = []
        self._open_lists: list[list[Any]] = []
        self._expat = create_expat()
        self._expat.Parse(_ROOT, False)
        self._fed = len(_ROOT)
        self._end = 0
        build_trees(
            self._expat,
            self._top,
            self._open_lists,
            _BINDINGS,
            self.max_depth,
            lambda: self.max_stanza,
            self._completed,
            _out_of_root,
        )

    def _completed(self, name: str, rewritten: bool) -> None:
        # Where the closing tag begins, or where a tag that closes itself ends.
        self._end = self._expat.CurrentByteIndex
        self._rewritten = rewritten

    def parse(self, data: bytes) -> Element:
        """The one element of a frame; raises as `parse_frame` does."""
        top = self._top
        if data[-1:] == b">" and len(data) <= self.max_stanza:
            begin = self._fed
            try:
                self._expat.Parse(data, False)
            except (pyexpat.ExpatError, RemoteProtocolError):
                pass
            else:
                self.grown = 0
                self._fed += len(data)
                # One element, and no tag begins behind the one that ended it.
                if len(top) == 1 and not self._open_lists and self._end - begin >= data.rfind(b"<"):
                    element: Element = top.pop()
                    if self._fed > RENEW_AFTER:
                        self._begin()
                    if self._rewritten or may_grow(len(data), self.max_stanza):
                        self.grown = growth(element, len(data), self.max_stanza)
                    return element
            self._begin()
        element, self.grown = _parse_frame(data, self.max_stanza, self.max_depth)
        return element
