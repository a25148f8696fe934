"""TCP streams and WebSocket frames: the only difference between the two transports (RFC 6120 §4, RFC 7395)."""

from typing import Protocol

from voxcube.xmpp import ns
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.frames import FrameParser
from voxcube.xmpp.parser import StreamEnd, StreamParser, StreamStart, Token
from voxcube.xmpp.xml import Element, serialize

__all__ = ["Framing", "ParserPool", "TcpFraming", "WebSocketFraming", "ws_frame"]


_UNLIMITED = 2**31  # the stream machines set the limits that hold


class Framing(Protocol):
    """How the stream machines read from and write to one kind of transport.

    `grown`: bytes by which the elements received so far are larger when they are written again; whoever charges for
    them sets it to 0.
    """

    grown: int

    def set_limits(self, *, max_stanza: int, max_depth: int) -> None:
        """Bound what the peer may send in one top-level element (bytes, levels)."""

    def receive(self, data: bytes) -> list[Token]:
        """What these bytes complete; with b"" what is left from earlier ones. On a WebSocket: one frame's payload."""

    def restart(self) -> None:
        """A new stream begins on the same connection (RFC 6120 §6.4.6)."""

    def begin_anew(self) -> None:
        """Throw away what was received and is not read yet, and expect a new stream."""

    def flow(self) -> None:
        """No restart will follow any more."""

    def open(self, *, from_: str | None = None, to: str | None = None, id_: str | None = None) -> bytes:
        """Our stream header."""

    def close(self) -> bytes:
        """The end of our stream."""

    def wrap(self, payload: bytes) -> bytes:
        """What the server writes to the socket for one complete top-level element (or header, or end)."""


class ParserPool:
    """Parsers between two stanzas, for streams with equal limits.

    There all open streams are in the same state, so any parser will do: an idle stream needs none of its own (expat
    alone takes 10 KiB).
    """

    def __init__(self, *, kept: int = 64) -> None:
        """`kept`: how many parsers wait at most for the next stream that has something to say."""
        self._kept = kept
        self._idle: list[StreamParser] = []
        self._frames: dict[tuple[int, int], FrameParser] = {}

    def take(self, *, max_stanza: int, max_depth: int) -> StreamParser:
        if self._idle:
            return self._idle.pop()
        return StreamParser.between_stanzas(max_stanza=max_stanza, max_depth=max_depth)

    def frames(self, *, max_stanza: int, max_depth: int) -> FrameParser:
        """The parser for WebSocket frames with these limits."""
        found = self._frames.get((max_stanza, max_depth))
        if found is None:
            found = self._frames[max_stanza, max_depth] = FrameParser(max_stanza=max_stanza, max_depth=max_depth)
        return found

    def give_back(self, parser: StreamParser) -> None:
        if len(self._idle) < self._kept:
            self._idle.append(parser)


class TcpFraming:
    """One long XML document in each direction."""

    __slots__ = ("_flowing", "_limits", "_parser", "_pool", "grown")

    def __init__(self, pool: ParserPool | None = None) -> None:
        """`pool` is shared by streams that get equal limits before they flow; without one the parser is kept."""
        self.grown = 0
        self._limits = (_UNLIMITED, 64)
        self._parser: StreamParser | None = StreamParser(max_stanza=_UNLIMITED)
        self._pool = pool
        self._flowing = False

    def set_limits(self, *, max_stanza: int, max_depth: int) -> None:
        self._limits = (max_stanza, max_depth)
        parser = self._own()
        parser.max_stanza = max_stanza
        parser.max_depth = max_depth

    def receive(self, data: bytes) -> list[Token]:
        parser = self._parser or self._own()
        tokens = parser.feed(data)
        if parser.grown:
            self.grown += parser.grown
            parser.grown = 0
        if self._flowing and parser.is_between_stanzas:
            assert self._pool is not None
            self._pool.give_back(parser)
            self._parser = None
        return tokens

    def restart(self) -> None:
        self._own().restart()

    def begin_anew(self) -> None:
        self._parser = StreamParser(max_stanza=self._limits[0], max_depth=self._limits[1])

    def flow(self) -> None:
        self._own().flow()
        self._flowing = self._pool is not None

    def _own(self) -> StreamParser:
        if self._parser is None:
            assert self._pool is not None, "only with a pool a parser is given away"
            self._parser = self._pool.take(max_stanza=self._limits[0], max_depth=self._limits[1])
        return self._parser

    def open(self, *, from_: str | None = None, to: str | None = None, id_: str | None = None) -> bytes:
        header = f"<?xml version='1.0'?><stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'"
        for name, value in _header_attrs(from_, to, id_).items():
            header += f" {name}='{value.translate(_SINGLE_QUOTED)}'"
        return f"{header}>".encode()

    def close(self) -> bytes:
        return b"</stream:stream>"

    def wrap(self, payload: bytes) -> bytes:
        return payload


class WebSocketFraming:
    """One complete element per text frame; each carries its own namespace."""

    __slots__ = ("_parser", "_pool", "grown")

    def __init__(self, pool: ParserPool | None = None) -> None:
        """With a `pool` all connections read their frames with one parser: a frame is complete in itself."""
        self.grown = 0
        self._pool = pool or ParserPool()
        self._parser = self._pool.frames(max_stanza=_UNLIMITED, max_depth=64)

    def set_limits(self, *, max_stanza: int, max_depth: int) -> None:
        self._parser = self._pool.frames(max_stanza=max_stanza, max_depth=max_depth)

    def receive(self, data: bytes) -> list[Token]:
        if not data or data.isspace():  # a keep-alive
            return []
        try:
            element = self._parser.parse(data)
        except RemoteProtocolError as error:
            return [error]
        self.grown += self._parser.grown
        if element.name == "open" or element.name == "close":
            if element.xmlns != ns.FRAMING:
                return [RemoteProtocolError("invalid-namespace")]
            return [StreamStart(element.attrs) if element.name == "open" else StreamEnd()]
        return [element]

    def restart(self) -> None:
        pass

    def begin_anew(self) -> None:
        pass

    def flow(self) -> None:
        pass

    def open(self, *, from_: str | None = None, to: str | None = None, id_: str | None = None) -> bytes:
        return serialize(Element("open", {"xmlns": ns.FRAMING, **_header_attrs(from_, to, id_)}))

    def close(self) -> bytes:
        return serialize(Element("close", {"xmlns": ns.FRAMING}))

    def wrap(self, payload: bytes) -> bytes:
        return ws_frame(payload)


WS_PING = b"\x89\x00"  # an empty ping frame, which every WebSocket answers by itself (RFC 6455 §5.5.2)


def ws_frame(payload: bytes) -> bytes:
    """An unmasked text frame, as a server sends it (RFC 6455 §5.2); several may be joined for one write."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


_SINGLE_QUOTED = str.maketrans({"&": "&amp;", "<": "&lt;", "'": "&apos;"})


def _header_attrs(from_: str | None, to: str | None, id_: str | None) -> dict[str, str]:
    attrs = {name: value for name, value in (("from", from_), ("to", to), ("id", id_)) if value is not None}
    return {**attrs, "version": "1.0", "xml:lang": "en"}
