"""TCP bytes → elements: a push parser whose cost is bounded whatever the peer sends (RFC 6120 §11).

Failures are values: the last token of a `feed` may be a RemoteProtocolError, so that what was complete before it is
not lost, and the result does not depend on how the bytes were cut.
"""

import pyexpat
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from voxcube.xmpp import ns
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.expat import RENEW_AFTER, build_trees, check_utf8, create_expat, growth, may_grow, remote_error
from voxcube.xmpp.xml import Element

__all__ = ["StreamEnd", "StreamParser", "StreamStart", "Token"]


@dataclass(frozen=True, slots=True)
class StreamStart:
    """The peer's stream header (`<stream:stream>` or `<open/>`) and its attributes."""

    attrs: dict[str, str]


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The peer closed its stream."""


Token: TypeAlias = StreamStart | Element | StreamEnd | RemoteProtocolError

# Data without ">" completes nothing; it waits for this much, because expat scans an unfinished tag from its start at
# each call, and a text grows by copying.
_GATHER = 1024
# What pieces with a ">" still cost: each one that completes nothing is charged with the bytes pending so far, up to a
# budget that honest pieces of 256 bytes do not reach.
_HONEST_PIECE = 256
_MIN_BUDGET = 8 * 1024 * 1024
_CLOSING_TAG = 1024  # slack for what follows a stanza that is just below the limit

_SPACE = b" \t\r\n"
# The root under which a renewed parser goes on in the middle of a stream.
_ROOT = b"<stream:stream>"
_BINDINGS = {"": ns.CLIENT, "stream": ns.STREAMS}


class _Boundary(Exception):
    """Leaves expat right after a top-level element, so that what follows can go to another one."""


class _RootEnded(Exception):
    """Leaves expat at the end of the stream: nothing may follow."""


def _root_ended() -> None:
    raise _RootEnded


class StreamParser:
    """A push parser for one direction of a TCP connection.

    `max_stanza` (bytes since the last complete stanza, white space included) may be raised later. It also bounds each
    element as it is written again, with namespaces in place of prefixes and characters escaped; `grown` counts the
    bytes by which that was more than what was received, and is reset by whoever charges for them.

    At first, and after `restart()`, a `feed` stops after each top-level element and keeps the rest for the next one, so
    that the answer can restart the stream at that very byte (RFC 6120 §4.3.3); `flow()` ends that.
    """

    __slots__ = (
        "_bindings",
        "_boundary",
        "_expat",
        "_fed",
        "_finished",
        "_gathered",
        "_in_stream",
        "_last",
        "_open_lists",
        "_parse",
        "_rest",
        "_retained",
        "_retained_from",
        "_stepwise",
        "_top",
        "_work",
        "grown",
        "max_depth",
        "max_stanza",
    )

    def __init__(self, *, max_stanza: int, max_depth: int = 64) -> None:
        self.max_stanza = max_stanza
        self.max_depth = max_depth
        self.grown = 0
        self._rest = b""  # received, but behind a boundary
        self._gathered = b""  # received, not yet given to expat
        self._fed = 0  # bytes given to the present expat
        self._last = 0  # where, in these bytes, the last top-level element ended
        self._boundary = 0, ""  # where expat said that a top-level element ended, and its name
        self._finished = False
        self._stepwise = True
        # What expat was given from offset _retained_from on, kept while a boundary is looked for.
        self._retained: bytearray | None = None
        self._retained_from = 0
        self._bindings = _BINDINGS
        self._start_expat()
        self._expat.StartElementHandler = self._header

    @classmethod
    def between_stanzas(cls, *, max_stanza: int, max_depth: int) -> Self:
        """A parser in the state of an open stream whose last stanza is complete."""
        self = cls(max_stanza=max_stanza, max_depth=max_depth)
        self.flow()
        self._expat.StartElementHandler = None
        self._go_on_in_stream()
        return self

    @property
    def is_between_stanzas(self) -> bool:
        """Whether nothing is open and nothing waits: another open stream might go on with this parser."""
        return not (
            self._open_lists
            or self._finished
            or self._stepwise
            or self._gathered
            or self._rest
            or self._fed != self._last
            or self._retained is not None
            or self._bindings is not _BINDINGS
        )

    def restart(self) -> None:
        """Expect a new stream header (RFC 6120 §6.4.6) and go stepwise; bytes already received are kept."""
        self._rest = self._gathered + self._rest
        self._stepwise = True
        self._bindings = _BINDINGS
        self._start_expat()
        self._expat.StartElementHandler = self._header

    def flow(self) -> None:
        """From now on parse all that a `feed` brings."""
        self._stepwise = False
        self._retained = None

    def feed(self, data: bytes) -> list[Token]:
        """Parse more bytes; return what they completed, in order.

        A RemoteProtocolError or a StreamEnd is the last token ever: later data is ignored. Conditions:
        not-well-formed, restricted-xml, policy-violation, bad-format, invalid-namespace, bad-namespace-prefix,
        unsupported-encoding.
        """
        if self._finished:
            return []
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if self._gathered:
            data = self._gathered + data
            self._gathered = b""
        if not self._in_stream and not self._fed:
            data = data.lstrip(
                _SPACE
            )  # an indenting client ends `</auth>` with a line break; no declaration may follow one
        elif b">" not in data and len(data) < _GATHER and self._in_stream:
            self._gathered = data
            return []
        if self._retained is not None or self._fed > RENEW_AFTER or len(data) > self.max_stanza:
            return self._feed_in_pieces(data)
        return self._feed(data)

    def _feed(self, data: bytes) -> list[Token]:
        try:
            if self._fed < 2:
                check_utf8(data[: 2 - self._fed])
            self._parse(data, False)
        except pyexpat.ExpatError as error:
            return self._fail(remote_error(error))
        except RemoteProtocolError as error:
            return self._fail(error)
        except _RootEnded:
            self._finished = True
            return [*self._take(), StreamEnd()]
        self._fed += len(data)
        tokens = self._take()
        if tokens:
            self._work = 0
        if not self._open_lists:
            self._last = self._expat.CurrentByteIndex  # white space between stanzas does not add up
        pending = self._fed - self._last
        if pending > _GATHER:  # less is nothing to worry about
            self._work += pending
            budget = max(self.max_stanza * self.max_stanza // (2 * _HONEST_PIECE), _MIN_BUDGET)
            if pending > self.max_stanza + _CLOSING_TAG or self._work > budget:
                tokens += self._fail(RemoteProtocolError("policy-violation", "stanza too big or in too many pieces"))
        return tokens

    def _feed_in_pieces(self, data: bytes) -> list[Token]:
        """Feed what needs care: stepwise, too much at once, or an expat that is due to be renewed."""
        tokens: list[Token] = []
        while data and not self._finished:
            piece, data = data[: self.max_stanza], data[self.max_stanza :]
            if self._fed > RENEW_AFTER and self._retained is None:
                self._retained = bytearray()
                self._retained_from = self._fed
            if self._retained is not None:
                self._retained += piece
            try:
                tokens += self._feed(piece)
            except _Boundary:
                tokens += self._take()
                data = self._cut() + data
                if self._stepwise:
                    self._rest = data
                    break
        return tokens

    def _cut(self) -> bytes:
        """Go on in a fresh expat behind the top-level element that has just ended; return what is behind it."""
        assert self._retained is not None
        index, name = self._boundary
        rest = bytes(self._retained[index - self._retained_from :])
        closing_tag, bracket, behind = rest.partition(b">")
        if bracket and closing_tag.rstrip() == b"</" + name.encode():
            rest = behind  # else the element had one tag, and expat was behind it
        self._start_expat()
        self._go_on_in_stream()
        return rest

    def _go_on_in_stream(self) -> None:
        """A fresh expat gets a root of our own."""
        self._expat.Parse(_ROOT, False)
        self._fed = self._last = self._retained_from = len(_ROOT)
        self._enter_stream()

    def _take(self) -> list[Token]:
        """The finished top-level items."""
        top = self._top
        if self._open_lists:
            tokens = top[:-1]
            del top[:-1]
        else:
            tokens = top[:]
            top.clear()
        return tokens

    def _fail(self, error: RemoteProtocolError) -> list[Token]:
        self._finished = True
        return [*self._take(), error]

    def _start_expat(self) -> None:
        self._expat = create_expat()
        self._parse = self._expat.Parse
        self._in_stream = False
        self._fed = 0
        self._last = 0
        self._gathered = b""
        self._work = 0
        self._top: list[Any] = []
        self._open_lists: list[list[Any]] = []
        self._retained = bytearray() if self._stepwise else None
        self._retained_from = 0

    def _header(self, name: str, attrs: dict[str, str]) -> None:
        # RFC 6120 §4.8.1, §4.8.2: one prefix and one default namespace, which every client uses.
        if name != "stream:stream":
            prefix = name == "stream" or name.endswith(":stream")
            raise RemoteProtocolError("bad-namespace-prefix" if prefix else "bad-format", "not a stream header")
        if attrs.get("xmlns:stream") != ns.STREAMS or attrs.get("xmlns") != ns.CLIENT:
            raise RemoteProtocolError("invalid-namespace")
        bindings = {key[6:]: value for key, value in attrs.items() if key.startswith("xmlns:")}
        if len(bindings) > 1:
            self._bindings = {**_BINDINGS, **bindings}
        self._top.append(StreamStart({key: value for key, value in attrs.items() if not key.startswith("xmlns")}))
        self._enter_stream()

    def _enter_stream(self) -> None:
        self._in_stream = True
        build_trees(
            self._expat,
            self._top,
            self._open_lists,
            self._bindings,
            self.max_depth,
            lambda: self.max_stanza,
            self._completed,
            _root_ended,
        )

    def _completed(self, name: str, rewritten: bool) -> None:
        index = self._expat.CurrentByteIndex
        size = index - self._last
        if size > self.max_stanza:
            self._top.pop()
            raise RemoteProtocolError("policy-violation", "stanza too big")
        if rewritten or may_grow(size, self.max_stanza):
            element = self._top.pop()
            closing = min(len(name) + 3, _CLOSING_TAG)  # which `size` is without
            self.grown += growth(element, size + closing, self.max_stanza + closing)
            self._top.append(element)
        # `index` is where the closing tag begins; behind a tag that closes itself this counts a few bytes too few.
        self._last = index + len(name) + 3
        self._boundary = index, name
        if self._retained is not None and index >= self._retained_from:
            raise _Boundary
