"""Pages of lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from voxcube.client.values import int_or_none, others

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list: iterate it, index it, take its ``len()``.

    ``total`` counts all entries of the list, where the server says so.
    """

    items: tuple[T, ...]
    skip: int = 0
    limit: int = 0
    total: int | None = None
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, data: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> Page[T]:
        """Reads a page whose items ``read`` understands. Raises KeyError, TypeError or ValueError."""
        return cls(
            items=tuple(read(item) for item in data["items"]),
            skip=int(data.get("skip") or 0),
            limit=int(data.get("limit") or 0),
            total=int_or_none(data.get("total_entries")),
            extra=others(data, frozenset(("items", "skip", "limit", "total_entries"))),
        )

    @classmethod
    def from_numbered(cls, data: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> Page[T]:
        """Reads a page of a list that counts its pages from 1. Raises KeyError, TypeError or ValueError."""
        limit = int(data.get("per_page") or 0)
        return cls(
            items=tuple(read(item) for item in data["items"]),
            skip=(int(data.get("current_page") or 1) - 1) * limit,
            limit=limit,
            total=int_or_none(data.get("total_entries")),
            extra=others(data, frozenset(("items", "current_page", "per_page", "total_entries"))),
        )

    @property
    def is_full(self) -> bool:
        """Whether more may follow: a page with fewer than ``limit`` entries is the last one."""
        return bool(self.items) and len(self.items) >= self.limit

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.items[index]
