"""TCP streams and WebSocket frames: the only difference between the two transports (RFC 6120 §4, RFC 7395)."""

from typing import Protocol

from voxcube.xmpp import ns
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.frames import FrameParser
from voxcube.xmpp.parser import StreamEnd, StreamParser, StreamStart, Token
from voxcube.xmpp.xml import Element, serialize

__all__ = ["Framing", "TcpFraming", "WebSocketFraming", "ws_frame"]


_UNLIMITED = 2**31  # the stream machines set the limits that hold


class Framing(Protocol):
    """How the stream machines read from and write to one kind of transport."""

    def set_limits(self, *, max_stanza: int, max_depth: int) -> None:
        """Bound what the peer may send in one top-level element (bytes, levels)."""

    def receive(self, data: bytes) -> list[Token]:
        """What these bytes complete; with b"" what is left from earlier ones. On a WebSocket: one frame's payload."""

    def restart(self) -> None:
        """A new stream begins on the same connection (RFC 6120 §6.4.6)."""

    def flow(self) -> None:
        """No restart will follow any more."""

    def open(self, *, from_: str | None = None, to: str | None = None, id_: str | None = None) -> bytes:
        """Our stream header."""

    def close(self) -> bytes:
        """The end of our stream."""

    def wrap(self, payload: bytes) -> bytes:
        """What the server writes to the socket for one complete top-level element (or header, or end)."""


class TcpFraming:
    """One long XML document in each direction."""

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        self._parser = StreamParser(max_stanza=_UNLIMITED)

    def set_limits(self, *, max_stanza: int, max_depth: int) -> None:
        self._parser.max_stanza = max_stanza
        self._parser.max_depth = max_depth

    def receive(self, data: bytes) -> list[Token]:
        return self._parser.feed(data)

    def restart(self) -> None:
        self._parser.restart()

    def flow(self) -> None:
        self._parser.flow()

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

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        self._parser = FrameParser(max_stanza=_UNLIMITED)

    def set_limits(self, *, max_stanza: int, max_depth: int) -> None:
        self._parser = FrameParser(max_stanza=max_stanza, max_depth=max_depth)

    def receive(self, data: bytes) -> list[Token]:
        if not data or data.isspace():  # a keep-alive
            return []
        try:
            element = self._parser.parse(data)
        except RemoteProtocolError as error:
            return [error]
        if element.name == "open" or element.name == "close":
            if element.xmlns != ns.FRAMING:
                return [RemoteProtocolError("invalid-namespace")]
            return [StreamStart(element.attrs) if element.name == "open" else StreamEnd()]
        return [element]

    def restart(self) -> None:
        pass

    def flow(self) -> None:
        pass

    def open(self, *, from_: str | None = None, to: str | None = None, id_: str | None = None) -> bytes:
        return serialize(Element("open", {"xmlns": ns.FRAMING, **_header_attrs(from_, to, id_)}))

    def close(self) -> bytes:
        return serialize(Element("close", {"xmlns": ns.FRAMING}))

    def wrap(self, payload: bytes) -> bytes:
        return ws_frame(payload)


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
