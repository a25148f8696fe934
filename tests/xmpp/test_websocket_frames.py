"""Frames of a WebSocket, byte by byte (RFC 6455 §5, §7.4, §8.1)."""

from __future__ import annotations

import os

import pytest

from voxcube.xmpp.websocket_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MAX_FRAGMENTS,
    PING,
    PONG,
    TEXT,
    Control,
    FrameReader,
    Violation,
    close_frame,
    unmasked,
)

LIMIT = 100_000


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    size = len(payload)
    flag = 0x80 if masked else 0
    if size < 126:
        head = bytes([size | flag])
    elif size < 65_536:
        head = bytes([126 | flag]) + size.to_bytes(2, "big")
    else:
        head = bytes([127 | flag]) + size.to_bytes(8, "big")
    first = bytes([opcode | (0x80 if fin else 0) | rsv])
    if not masked:
        return first + head + payload
    key = b"\x37\xfa\x21\x3d"
    return first + head + key + unmasked(payload, key)


def code(data: bytes) -> int:
    """The code of the violation that the bytes end in, 0 for none."""
    last = FrameReader(LIMIT).feed(data)[-1:]
    return last[0].code if last and isinstance(last[0], Violation) else 0


def test_the_example_of_the_standard() -> None:
    """RFC 6455 §5.7: a single-frame masked text message."""
    assert FrameReader(LIMIT).feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [b"Hello"]


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, LIMIT])
def test_sizes_and_pieces(size: int) -> None:
    text = b"x" * size
    data = frame(text) + frame(b"next")
    assert FrameReader(LIMIT).feed(data) == [text, b"next"]
    for cut in sorted({1, 2, 5, 6, 9, 13, 14, len(data) // 2, len(data) - 1} & set(range(1, len(data)))):
        reader = FrameReader(LIMIT)
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == [text, b"next"]
        assert reader.unfinished == 0


def test_byte_by_byte() -> None:
    reader, found = FrameReader(LIMIT), []
    data = frame("ä€🍕".encode()) + frame(b"", PING) + frame(b"a", fin=False) + frame(b"b", CONTINUATION)
    for byte in data:
        found += reader.feed(bytes([byte]))
    assert found == ["ä€🍕".encode(), Control(PING, b""), b"ab"]


def test_fragments_with_control_frames_between() -> None:
    """RFC 6455 §5.4, §5.5: also a character may be cut."""
    text = "n€t".encode()
    reader = FrameReader(LIMIT)
    data = frame(text[:2], fin=False) + frame(b"p", PING) + frame(b"", CONTINUATION, fin=False)
    assert reader.feed(data) == [Control(PING, b"p")]
    assert reader.unfinished == 2
    assert reader.feed(frame(text[2:], CONTINUATION) + frame(b"q", PONG)) == [text, Control(PONG, b"q")]


def test_binary_messages_are_reported() -> None:
    assert FrameReader(LIMIT).feed(frame(b"\xff", BINARY)) == [Control(BINARY, b"")]
    fragments = frame(b"\xff", BINARY, fin=False) + frame(b"\xfe", CONTINUATION)
    assert FrameReader(LIMIT).feed(fragments) == [Control(BINARY, b"")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        *(pytest.param(frame(b"a", rsv=bit), 1002, id=f"reserved bit {bit:#x}") for bit in (0x10, 0x20, 0x40, 0x70)),
        pytest.param(frame(b"a", masked=False), 1002, id="not masked"),
        pytest.param(frame(b"", PING, masked=False), 1002, id="ping not masked"),
        *(pytest.param(frame(b"", opcode), 1002, id=f"opcode {opcode}") for opcode in (3, 7, 11, 15)),
        *(pytest.param(frame(b"", op, fin=False), 1002, id=f"fragmented {op}") for op in (CLOSE, PING, PONG)),
        pytest.param(frame(b"x" * 126, PING), 1002, id="long ping"),
        pytest.param(frame(b"\x03\xe8" + b"x" * 124, CLOSE), 1002, id="long close"),
        pytest.param(b"\x81\xfe\x00\x7d" + b"\0" * 4, 1002, id="125 in 16 bits"),
        pytest.param(b"\x81\xff" + (65_535).to_bytes(8, "big") + b"\0" * 4, 1002, id="65535 in 64 bits"),
        pytest.param(b"\x81\xff\x80" + b"\0" * 11, 1002, id="highest bit of the length"),
        pytest.param(frame(b"x" * (LIMIT + 1)), 1009, id="too big"),
        pytest.param(frame(b"x" * (LIMIT + 1))[:14], 1009, id="too big by its head"),
        pytest.param(frame(b"x" * LIMIT, fin=False) + frame(b"x", CONTINUATION), 1009, id="too big in fragments"),
        pytest.param(
            frame(b"", fin=False) + frame(b"", CONTINUATION, fin=False) * MAX_FRAGMENTS, 1009, id="endless fragments"
        ),
        pytest.param(frame(b"a", CONTINUATION), 1002, id="continues nothing"),
        pytest.param(frame(b"a", fin=False) + frame(b"b"), 1002, id="text within fragments"),
        pytest.param(frame(b"a", fin=False) + frame(b"b", BINARY), 1002, id="binary within fragments"),
        pytest.param(frame(b"\xff"), 1007, id="no UTF-8"),
        pytest.param(frame("€".encode()[:2]), 1007, id="cut character"),
        pytest.param(frame(b"\xed\xa0\x80"), 1007, id="surrogate"),
        pytest.param(frame(b"\xc0\x80"), 1007, id="overlong NUL"),
        pytest.param(frame("€".encode()[:2], fin=False) + frame(b"x", CONTINUATION), 1007, id="cut by fragments"),
        pytest.param(frame(b"\x03", CLOSE), 1002, id="half a close code"),
        pytest.param(frame(b"\x03\xe8\xff", CLOSE), 1007, id="close reason no UTF-8"),
        *(
            pytest.param(frame(number.to_bytes(2, "big"), CLOSE), 1002, id=f"close {number}")
            for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65_535)
        ),
    ],
)
def test_violations(data: bytes, expected: int) -> None:
    assert code(data) == expected
    reader, found = FrameReader(LIMIT), []
    for byte in data if len(data) < 200 else ():
        found += reader.feed(bytes([byte]))
    assert not found or isinstance(found[-1], Violation)


@pytest.mark.parametrize("number", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999])
def test_close_codes_that_are_taken(number: int) -> None:
    payload = number.to_bytes(2, "big") + "bye ü".encode()
    assert FrameReader(LIMIT).feed(frame(payload, CLOSE)) == [Control(CLOSE, payload, number)]


def test_a_close_without_a_code() -> None:
    assert FrameReader(LIMIT).feed(frame(b"", CLOSE)) == [Control(CLOSE, b"", 1005)]
    assert close_frame(1005) == b"\x88\x00"
    assert close_frame(1002) == b"\x88\x02\x03\xea"


def test_nothing_is_read_behind_a_close_or_a_violation() -> None:
    reader = FrameReader(LIMIT)
    assert reader.feed(frame(b"", CLOSE) + frame(b"late")) == [Control(CLOSE, b"", 1005)]
    assert reader.feed(frame(b"later")) == []
    reader = FrameReader(LIMIT)
    first, last = reader.feed(frame(b"before") + frame(b"", 3) + frame(b"late"))
    assert first == b"before"
    assert isinstance(last, Violation)
    assert reader.feed(frame(b"later")) == []


def test_unmasking() -> None:
    for size in range(20):
        payload, mask = os.urandom(size), os.urandom(4)
        assert unmasked(payload, mask) == bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
