"""How many bytes all requests and responses that are not complete may hold in memory, in sum and of one address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voxcube.server.core.errors import TooManyRequests, Unavailable

RETRY_SECONDS = 5


class Budget:
    """Bytes that are held now."""

    def __init__(self, total: int, of_address: int, *, free: int = 0) -> None:
        """`free`: bytes that one holder may have without being counted, so that small requests always pass."""
        self._total = total
        self._of_address = of_address
        self._free = free
        self._held = 0
        self._by_address: dict[str, int] = {}

    @property
    def held(self) -> int:
        return self._held

    def fits(self, address: str, size: int) -> bool:
        """Whether so many bytes more may be held, and not more than this address's part."""
        return self._by_address.get(address, 0) + size <= self._of_address and self._held + size <= self._total

    def add(self, address: str, size: int) -> None:
        """Count more bytes, or fewer when `size` is negative."""
        self._held += size
        held = self._by_address.get(address, 0) + size
        if held:
            self._by_address[address] = held
        else:
            self._by_address.pop(address, None)

    @contextmanager
    def hold(self, address: str) -> Iterator[Holding]:
        """Bytes that grow piece by piece, and are given back at the end."""
        holding = Holding(self, address, self._free)
        try:
            yield holding
        finally:
            holding.release()


class Holding:
    """What one request holds."""

    def __init__(self, budget: Budget, address: str, free: int) -> None:
        self._budget = budget
        self._address = address
        self._free = free
        self._counted = 0

    def grow_to(self, size: int) -> None:
        """The request now holds `size` bytes. Raises TooManyRequests (the address's part) or Unavailable (the sum)."""
        more = size - self._free - self._counted
        if more <= 0:
            return
        if not self._budget.fits(self._address, more):
            if self._budget.fits("", more):
                raise TooManyRequests(RETRY_SECONDS, "Too many unfinished requests from your address")
            raise Unavailable
        self._budget.add(self._address, more)
        self._counted += more

    def release(self) -> None:
        self._budget.add(self._address, -self._counted)
        self._counted = 0
