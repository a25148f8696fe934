"""The bound on the bytes of one page of a list: whole items up to a few MiB, and at least one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

PAGE_BYTES = 4 * 1024 * 1024
ID_BYTES = 9  # a user id in a list of JSON, as most are

T = TypeVar("T")


def text_bytes(values: Iterable[Any]) -> int:
    """Bytes of the texts among the values, in UTF-8."""
    return sum(
        len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
        for value in values
        if isinstance(value, str)
    )


class PageBudget:
    """Counts the bytes of what is put on a page; `is_full` once they have filled it."""

    def __init__(self, bytes_: int | None = None) -> None:
        """`bytes_`: PAGE_BYTES when None."""
        self._left = PAGE_BYTES if bytes_ is None else bytes_

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes on the page."""
        return self._left <= 0

    def full(self, row: Iterable[Any]) -> bool:
        """Count the texts of a row; whether it has filled the page."""
        self._left -= text_bytes(row)
        return self._left <= 0


def within(items: Sequence[T], size: Callable[[T], int]) -> list[T]:
    """The first items up to and with the one that fills PAGE_BYTES."""
    left = PAGE_BYTES
    for index, item in enumerate(items):
        left -= size(item)
        if left <= 0:
            return list(items[: index + 1])
    return list(items)
