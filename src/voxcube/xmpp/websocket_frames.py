"""Frames of a WebSocket, server side, without I/O (RFC 6455 §5 to §8)."""

from dataclasses import dataclass

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "Control", "FrameReader", "Violation", "close_frame", "control_frame"]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG = 1002, 1007, 1009  # RFC 6455 §7.4.1
MAX_FRAGMENTS = 1024  # of one message
_HEAD = 6  # bytes of the shortest head of a masked frame

# Close codes that may be sent: those defined, and those for libraries and applications (RFC 6455 §7.4.2).
_CLOSE_CODES = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))


@dataclass(frozen=True, slots=True)
class Control:
    """A control frame. `code` is that of a CLOSE, 1005 when it carried none (RFC 6455 §7.1.5)."""

    opcode: int
    payload: bytes
    code: int = 0


@dataclass(frozen=True, slots=True)
class Violation:
    """The peer broke the protocol: the connection is to be closed with `code` (RFC 6455 §7.1.7)."""

    code: int
    reason: str


class FrameReader:
    """Bytes in; text messages (as bytes of valid UTF-8), control frames, and at last perhaps a violation out.

    A message in binary is given as `Control(BINARY, b"")`: RFC 7395 has no use for it. Behind a CLOSE and behind a
    violation nothing is read any more.
    """

    __slots__ = ("_ended", "_fragments", "_kept", "_limit", "_message", "_needed", "_text")

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of the largest message."""
        self._limit = limit
        self._kept: bytearray | None = None  # the beginning of a frame
        self._needed = _HEAD  # how long that must be before it is worth a look
        self._message: bytearray | None = None  # the fragments so far (RFC 6455 §5.4)
        self._fragments = 0
        self._text = True
        self._ended = False

    @property
    def unfinished(self) -> int:
        """Bytes held for a frame or a message that is not complete."""
        return len(self._kept or b"") + len(self._message or b"")

    def set_limit(self, limit: int) -> None:
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes | Control | Violation]:
        """What these bytes complete, in the order of sending."""
        if self._kept is None and data[:1] == b"\x81" and self._message is None and not self._ended:
            # Nearly always a read is one short text frame.
            size = len(data)
            head = 6 if data[1:2] < b"\xfe" else 8
            if size > head:
                length = data[1] & 0x7F if head == 6 else data[2] << 8 | data[3]
                if size == head + length and data[1] & 0x80 and data[1] < 0xFF and (head == 6 or length > 125):
                    payload = unmasked(data[head:], data[head - 4 : head])
                    if length <= self._limit and payload.isascii():
                        return [payload]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[bytes | Control | Violation]:
        found: list[bytes | Control | Violation] = []
        if self._ended:
            return found
        if self._kept is not None:
            self._kept += data
            if len(self._kept) < self._needed:
                return found
            data = bytes(self._kept)
            self._kept = None
        position = 0
        try:
            while True:
                end = self._frame(data, position, found)
                if end < 0:
                    return found
                if end == 0:
                    break
                position = end
        except _ViolationError as error:
            self._ended = True
            self._message = None
            found.append(error.violation)
            return found
        if position < len(data):
            self._kept = bytearray(data[position:] if position else data)
        return found

    def _frame(self, data: bytes, start: int, found: list[bytes | Control | Violation]) -> int:
        """Read one frame; returns where the next one begins, 0 when it is incomplete, -1 when it was a CLOSE."""
        available = len(data) - start
        if available < 2:
            self._needed = 2
            return 0
        first, second = data[start], data[start + 1]
        opcode, final = first & 0x0F, first & 0x80
        length = second & 0x7F
        self._check_head(first, opcode, final, second, length)
        head = _HEAD
        if length > 125:
            head = 8 if length == 126 else 14
            if available < head:
                self._needed = head
                return 0
            length = int.from_bytes(data[start + 2 : start + head - 4], "big")
            if length < (126 if head == 8 else 65_536) or length >> 63:  # RFC 6455 §5.2: the shortest form
                raise _ViolationError(PROTOCOL_ERROR, "length not in its shortest form")
        if length > self._limit - len(self._message or b""):
            raise _ViolationError(TOO_BIG, f"message exceeds {self._limit} bytes")
        end = start + head + length
        if len(data) < end:
            self._needed = head + length
            return 0
        payload = unmasked(data[start + head : end], data[start + head - 4 : start + head])
        if opcode == TEXT and final:
            found.append(_checked(payload))
        elif opcode >= CLOSE:
            found.append(self._control(opcode, payload))
        else:
            self._fragment(opcode, final, payload, found)
        return -1 if opcode == CLOSE else end

    def _check_head(self, first: int, opcode: int, final: int, second: int, length: int) -> None:
        if first & 0x70:
            raise _ViolationError(PROTOCOL_ERROR, "reserved bits are set, and no extension was negotiated")
        if not second & 0x80:
            raise _ViolationError(PROTOCOL_ERROR, "a client must mask its frames")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise _ViolationError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
            if not final or length > 125:
                raise _ViolationError(PROTOCOL_ERROR, "control frame fragmented or longer than 125 bytes")
        elif opcode > BINARY:
            raise _ViolationError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        elif (opcode == CONTINUATION) is (self._message is None):
            raise _ViolationError(PROTOCOL_ERROR, "fragments out of order")

    def _fragment(self, opcode: int, final: int, payload: bytes, found: list[bytes | Control | Violation]) -> None:
        if self._message is None:
            self._message, self._fragments, self._text = bytearray(), 0, opcode == TEXT
        self._message += payload
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS:
            raise _ViolationError(TOO_BIG, f"message of more than {MAX_FRAGMENTS} fragments")
        if final:
            message, self._message = bytes(self._message), None
            found.append(_checked(message) if self._text else Control(BINARY, b""))

    def _control(self, opcode: int, payload: bytes) -> Control:
        if opcode != CLOSE:
            return Control(opcode, payload)
        self._ended = True  # RFC 6455 §1.4: data behind a close frame is discarded
        if not payload:
            return Control(CLOSE, b"", 1005)
        code = int.from_bytes(payload[:2], "big")
        if len(payload) == 1 or code not in _CLOSE_CODES:
            raise _ViolationError(PROTOCOL_ERROR, "invalid close code")
        _checked(payload[2:])
        return Control(CLOSE, payload, code)


class _ViolationError(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.violation = Violation(code, reason)


def _checked(text: bytes) -> bytes:
    """The text, if it is valid UTF-8 (RFC 6455 §8.1)."""
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            raise _ViolationError(INVALID_TEXT, "text is not valid UTF-8") from None
    return text


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """RFC 6455 §5.3, by one operation on long integers."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")


def control_frame(opcode: int, payload: bytes = b"") -> bytes:
    """A control frame as a server sends it; the payload has at most 125 bytes."""
    return bytes((0x80 | opcode, len(payload))) + payload


def close_frame(code: int) -> bytes:
    """A close frame; 1005 stands for one without a code, which is never sent (RFC 6455 §7.4.1)."""
    return control_frame(CLOSE, b"" if code == 1005 else code.to_bytes(2, "big"))
