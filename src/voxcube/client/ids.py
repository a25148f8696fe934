"""Makes message ids: 24 hexadecimal digits in the layout of a BSON ObjectId."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import time
from collections.abc import Iterator

_MESSAGE_ID = re.compile(r"[0-9a-f]{24}")


def _new_counter() -> Iterator[int]:
    # The upper bit starts clear, so that a process makes 8 million ids before the three bytes wrap around.
    return itertools.count(secrets.randbelow(1 << 23))


_process = secrets.token_hex(5)
_counter = _new_counter()


def _after_fork() -> None:
    global _process, _counter
    _process, _counter = secrets.token_hex(5), _new_counter()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def new_message_id() -> str:
    """A new message id: 4 bytes of unix seconds, 5 random bytes of this process, a 3-byte counter, as hex.

    Ids of one process sort in the order they were made.

    Example:
        >>> len(new_message_id())
        24
    """
    return f"{int(time.time()) & 0xFFFFFFFF:08x}{_process}{next(_counter) & 0xFFFFFF:06x}"


def is_message_id(text: str) -> bool:
    """Whether the text is 24 lower-case hexadecimal digits."""
    return _MESSAGE_ID.fullmatch(text) is not None
