"""From which addresses an account has logged in lately: bounded, in memory, of this node."""

from __future__ import annotations

from collections import OrderedDict

from voxcube.server.core.clock import Clock

SECONDS = 30 * 24 * 3600.0  # after the last login from it an address is forgotten
ACCOUNTS = 50_000
PER_ACCOUNT = 8  # somebody with one account and many addresses must not displace the addresses of others


class KnownAddresses:
    """Account → addresses of its last successful logins. The longest unused account goes first."""

    def __init__(self, clock: Clock, *, accounts: int = ACCOUNTS, per_account: int = PER_ACCOUNT) -> None:
        self._clock = clock
        self._accounts = accounts
        self._per_account = per_account
        self._until: OrderedDict[bytes, OrderedDict[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, account: bytes, address: str) -> None:
        """The account has logged in from this address."""
        addresses = self._until.setdefault(account, OrderedDict())
        self._until.move_to_end(account)
        addresses[address] = self._clock.monotonic() + SECONDS
        addresses.move_to_end(address)
        if len(addresses) > self._per_account:
            addresses.popitem(last=False)
        if len(self._until) > self._accounts:
            self._until.popitem(last=False)

    def has(self, account: bytes, address: str) -> bool:
        """Whether the account has logged in from this address within SECONDS."""
        addresses = self._until.get(account)
        return addresses is not None and addresses.get(address, 0.0) > self._clock.monotonic()

    def forget(self, account: bytes) -> None:
        """Forget the addresses of an account, whose password has changed."""
        self._until.pop(account, None)
