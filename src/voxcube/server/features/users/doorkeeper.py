"""How often passwords may be tried and accounts made: guessing is slowed down, and nobody is locked out.

A wrong password is counted three times: for the account from this address (few are allowed), for the address (more: an
office shares one) and for the account from anywhere (many: else a stranger could keep its owner out). A right one costs
nothing, and a session token is no password: who is signed in can connect while somebody else guesses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import TooManyRequests
from voxcube.server.core.peers import counted_as
from voxcube.server.core.rates import Rate

#: How much more than one account from one address an address may get wrong, and an account from everywhere.
SHARED = 10
AGAIN_SECONDS = 30.0  # after which one more of the wrong passwords is forgiven


class Doorkeeper:
    """Counts wrong passwords and new accounts; on this node."""

    def __init__(self, clock: Clock, *, wrong_passwords: int, sign_ups: int) -> None:
        """`wrong_passwords` that an account may get from one address at once; `sign_ups` of an address per minute, and
        ten minutes' worth of them at once. 0: any number."""
        pace = 1 / AGAIN_SECONDS if wrong_passwords else 0.0
        self._narrow = Rate(clock, pace, wrong_passwords)
        self._wide = Rate(clock, pace * SHARED, wrong_passwords * SHARED)
        self._sign_ups = Rate(clock, sign_ups / 60, sign_ups * 10)

    def knock(self, account: Hashable, address: str) -> Callable[[], None]:
        """Somebody is about to try a password; returns what is to be called when it was right.

        Taken before the password is checked, or a thousand guesses at once would all find the door open.
        Raises TooManyRequests, whether or not there is such an account.
        """
        place = counted_as(address)
        keys = ((self._narrow, (account, place)), (self._wide, ("address", place)), (self._wide, ("account", account)))
        taken: list[tuple[Rate, Hashable]] = []

        def right() -> None:
            for rate, key in taken:
                rate.give_back(key)

        for rate, key in keys:
            wait = rate.take(key)
            if wait:
                right()
                seconds = math.ceil(wait)
                raise TooManyRequests(seconds, f"Too many wrong passwords, try again in {seconds} seconds")
            taken.append((rate, key))
        return right

    def sign_up(self, address: str) -> None:
        """Somebody is about to make an account. Raises TooManyRequests."""
        self._sign_ups.check(counted_as(address))
