"""WebSocket frames → elements (RFC 7395 §3.3.3)."""

import pyexpat
import re
from typing import Any

from voxcube.xmpp import ns
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.expat import RENEW_AFTER, build_trees, check_utf8, create_expat, remote_error
from voxcube.xmpp.xml import Element

__all__ = ["FrameParser", "parse_frame"]

_BINDINGS = {"": ns.CLIENT}
_ROOT = b"<frames>"  # under which FrameParser reads all frames of a connection
_DIGIT_NAME = re.compile(rb"<(/?)([0-9])")


def parse_frame(data: bytes | str, *, max_stanza: int, max_depth: int = 64) -> Element:
    """The one element of a WebSocket frame (RFC 7395 §3.3.3).

    The JavaScript SDK writes arrays as elements named 0, 1, …, which is not XML; such a frame is read with `_0`, `_1`
    (realtime §6). Raises RemoteProtocolError: not-well-formed, restricted-xml, policy-violation, unsupported-encoding.
    """
    if isinstance(data, str):
        try:
            data = data.encode()
        except UnicodeEncodeError:
            raise RemoteProtocolError("not-well-formed", "lone surrogate") from None
    if len(data) > max_stanza:
        raise RemoteProtocolError("policy-violation", "stanza too big")
    try:
        return _parse_document(data, max_depth)
    except pyexpat.ExpatError as error:
        repaired = _DIGIT_NAME.sub(rb"<\1_\2", data)
        if repaired == data:
            raise remote_error(error) from None
    try:
        return _parse_document(repaired, max_depth)
    except pyexpat.ExpatError as error:
        raise remote_error(error) from None


def _completed(name: str) -> None:
    pass


def _out_of_root() -> None:
    raise RemoteProtocolError("not-well-formed")


def _parse_document(data: bytes, max_depth: int) -> Element:
    check_utf8(data[:2])
    expat = create_expat()
    top: list[Element] = []
    build_trees(expat, top, [], _BINDINGS, max_depth, _completed, _out_of_root)
    expat.Parse(data, True)
    return top[0]


class FrameParser:
    """`parse_frame` for many frames of one connection, at half the cost: an expat is kept from frame to frame.

    It only takes frames that are beyond doubt; any other goes to `parse_frame`, which knows why it is bad.
    """

    __slots__ = ("_end", "_expat", "_fed", "_open_lists", "_top", "max_depth", "max_stanza")

    def __init__(self, *, max_stanza: int, max_depth: int = 64) -> None:
        self.max_stanza = max_stanza
        self.max_depth = max_depth
        self._begin()

    def _begin(self) -> None:
        self._top: list[Any] = []
        self._open_lists: list[list[Any]] = []
        self._expat = create_expat()
        self._expat.Parse(_ROOT, False)
        self._fed = len(_ROOT)
        self._end = 0
        build_trees(self._expat, self._top, self._open_lists, _BINDINGS, self.max_depth, self._completed, _out_of_root)

    def _completed(self, name: str) -> None:
        # Where the closing tag begins, or where a tag that closes itself ends.
        self._end = self._expat.CurrentByteIndex

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
                self._fed += len(data)
                # One element, and no tag begins behind the one that ended it.
                if len(top) == 1 and not self._open_lists and self._end - begin >= data.rfind(b"<"):
                    element: Element = top.pop()
                    if self._fed > RENEW_AFTER:
                        self._begin()
                    return element
            self._begin()
        return parse_frame(data, max_stanza=self.max_stanza, max_depth=self.max_depth)
