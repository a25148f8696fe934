"""How often passwords may be tried and changed, and accounts made: guessing is slowed down, owners are not locked out.

A wrong password is counted three times: for the account from this address (few are allowed), for the address (more: an
office shares one) and for the account from anywhere (many: else a stranger could keep its owner out). A right one costs
nothing, and a session token is no password: who is signed in can connect while somebody else guesses.

The count of an account from anywhere does not apply to an address from which the account has logged in lately, nor to a
password that was verified a moment ago: an attack from many addresses would keep the owner out everywhere. The other
two counts apply to these as well.

The keys of all tables have a fixed size: names that clients make up are hashed.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Hashable

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import TooManyRequests
from voxcube.server.core.peers import counted_as
from voxcube.server.core.rates import Rate
from voxcube.server.features.users.known_addresses import KnownAddresses

#: How much more than one account from one address an address may get wrong, and an account from everywhere.
SHARED = 10
AGAIN_SECONDS = 30.0  # after which one more of the wrong passwords is forgiven
CHANGES = 5  # changes of its password that a user may make at once; an address SHARED times as many
CHANGE_SECONDS = 60.0  # after which one more is allowed


class Attempt:
    """A password that is about to be tried."""

    __slots__ = ("_account", "_address", "_known", "_taken", "known")

    def __init__(self, known_addresses: KnownAddresses, account: bytes, address: str) -> None:
        self._known = known_addresses
        self._account = account
        self._address = address
        self._taken: list[tuple[Rate, Hashable]] = []
        self.known = known_addresses.has(account, address)  # the account has logged in from this address lately

    def take(self, rate: Rate, key: Hashable) -> None:
        """Count it. Raises TooManyRequests, and then nothing is counted."""
        if wait := rate.take(key):
            self.undo()
            seconds = math.ceil(wait)
            raise TooManyRequests(seconds, f"Too many wrong passwords, try again in {seconds} seconds")
        self._taken.append((rate, key))

    def undo(self) -> None:
        """Nothing was tried."""
        for rate, key in self._taken:
            rate.give_back(key)
        self._taken.clear()

    def succeeded(self) -> None:
        """It was the right password: it costs nothing, and the address is known from now on."""
        self.undo()
        self._known.add(self._account, self._address)


class Doorkeeper:
    """Counts wrong passwords, password changes and new accounts; on this node."""

    def __init__(self, clock: Clock, *, wrong_passwords: int, sign_ups: int) -> None:
        """`wrong_passwords` that an account may get from one address at once; `sign_ups` of an address per minute, and
        ten minutes' worth of them at once. 0: any number. Without a bound of wrong passwords changes have none."""
        pace = 1 / AGAIN_SECONDS if wrong_passwords else 0.0
        self._narrow = Rate(clock, pace, wrong_passwords)
        self._wide = Rate(clock, pace * SHARED, wrong_passwords * SHARED)
        self._sign_ups = Rate(clock, sign_ups / 60, sign_ups * 10)
        change_pace = 1 / CHANGE_SECONDS if wrong_passwords else 0.0
        self._changes = Rate(clock, change_pace, CHANGES)
        self._changes_by_address = Rate(clock, change_pace * SHARED, CHANGES * SHARED)
        self._known = KnownAddresses(clock)
        self._key = secrets.token_bytes(16)

    def knock(self, account: Hashable, address: str, *, remembered: bool = False) -> Attempt:
        """Somebody is about to try a password of `account`: count it, until the attempt has succeeded.

        Taken before the password is checked, or a thousand guesses at once would all be allowed. `remembered`: the
        password was verified a moment ago. Raises TooManyRequests, whether or not there is such an account.
        """
        place, hashed = counted_as(address), self._hashed(account)
        attempt = Attempt(self._known, hashed, place)
        attempt.take(self._narrow, (hashed, place))
        attempt.take(self._wide, place)
        if not remembered and not attempt.known:
            attempt.take(self._wide, hashed)
        return attempt

    def change(self, account: Hashable, address: str) -> None:
        """A password is about to be changed, which costs two hashes whether or not it is allowed in the end.

        A right old password does not give this back. There is no count for the whole application: one user could use
        it up for all others. Raises TooManyRequests.
        """
        # The user first: who asks too often must not use up what others at the same address have.
        self._changes.check(self._hashed(account))
        self._changes_by_address.check(counted_as(address))

    def changed(self, account: Hashable, address: str) -> None:
        """The password has been changed at `address`, and whoever knew the old one is a stranger now."""
        hashed = self._hashed(account)
        self._known.forget(hashed)
        self._known.add(hashed, counted_as(address))

    def sign_up(self, address: str) -> None:
        """Somebody is about to make an account. Raises TooManyRequests."""
        self._sign_ups.check(counted_as(address))

    def _hashed(self, account: Hashable) -> bytes:
        text = repr(account).encode(errors="surrogatepass")
        return hashlib.blake2b(text, digest_size=16, key=self._key).digest()
