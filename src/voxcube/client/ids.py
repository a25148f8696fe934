"""Makes message ids, 24 hexadecimal digits in the layout of a BSON ObjectId, and checks ids given as arguments."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator

PER_REQUEST = 100  # ids in the address of one request

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


def object_id(given: object, name: str) -> str:
    """The id of a dialog or message. Raises ValueError when it is none."""
    if not isinstance(given, str) or not is_message_id(given):
        raise ValueError(f"{name} must be 24 lower-case hexadecimal digits")
    return given


def object_ids(given: str | Iterable[str], name: str) -> list[str]:
    """One id or several, each once. Raises ValueError for none at all, which a server might take for all."""
    ids = [given] if isinstance(given, str) else given
    found = list(dict.fromkeys(object_id(item, name) for item in ids))
    if not found:
        raise ValueError(f"{name} is empty")
    return found


def user_ids(given: int | Iterable[int], name: str) -> list[int]:
    """One user id or several, each once. Raises ValueError when one is no positive number."""
    ids = [given] if isinstance(given, int) else given
    found = list(dict.fromkeys(int(item) for item in ids))
    if any(user_id < 1 for user_id in found):
        raise ValueError(f"{name} holds what is no user's id")
    return found


def in_parts(ids: list[str]) -> Iterator[str]:
    """The ids as comma lists that fit into the address of a request each."""
    return (",".join(ids[start : start + PER_REQUEST]) for start in range(0, len(ids), PER_REQUEST))
