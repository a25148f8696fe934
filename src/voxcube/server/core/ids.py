"""Makes ids and tokens, and knows what an id looks like."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from voxcube.server.core.clock import Clock, SystemClock

#: 24 lower-case hexadecimal digits (rest §1.7).
OBJECT_ID = re.compile(r"[0-9a-f]{24}")

#: JSON numbers that every client can hold (rest §1.7: ids must fit in 53 bits).
MAX_INTEGER_ID = 2**53 - 1


def is_object_id(value: str) -> bool:
    """Whether ``value`` has the form of a dialog or message id."""
    return OBJECT_ID.fullmatch(value) is not None


class Ids:
    """A source of ids. Clock and randomness are arguments so that a test can fix them."""

    def __init__(self, clock: Clock | None = None, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes
        self._node = random_bytes(5).hex()
        self._counter = int.from_bytes(random_bytes(3), "big") // 2

    def object_id(self) -> str:
        """A new dialog or message id: 4 bytes of seconds, 5 of this process, 3 of a counter.

        Ids of one process sort in the order they were made, as one official hook sorts a page by ``_id`` (quirks C).
        """
        self._counter = (self._counter + 1) % 0x1000000
        return f"{self._clock.now() & 0xFFFFFFFF:08x}{self._node}{self._counter:06x}"

    def token(self) -> str:
        """A session token: 43 URL-safe characters, 256 random bits (rest §3.1)."""
        return secrets.token_urlsafe(32)


_default = Ids()


def object_id() -> str:
    """A new dialog or message id from this process's default source."""
    return _default.object_id()
