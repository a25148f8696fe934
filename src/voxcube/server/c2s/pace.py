"""How fast the connections of a user, and of an address, are read: who sends too fast is kept waiting by the socket.

Nothing is lost by that, and nothing is refused: TCP tells the client to wait. Only who has sent so much at once that
the wait would be too long is sent away.
"""

from __future__ import annotations

import functools

from voxcube.server.core import peers
from voxcube.server.core.rates import Rate

PIECE = 4096  # bytes that cost as much as one stanza
LONGEST = 30.0  # seconds that a user may have to wait

_counted_as = functools.lru_cache(4096)(peers.counted_as)


class Pace:
    """What the users and addresses of this node have sent."""

    def __init__(self, users: Rate, addresses: Rate) -> None:
        self._users = users
        self._addresses = addresses

    def wait(self, app_id: int, user_id: int, peer: str, stanzas: int, size: int) -> float | None:
        """Seconds for which nothing more is to be read after so many stanzas and bytes; None: it is a flood."""
        amount = stanzas + size / PIECE
        own = self._users.owe((app_id, user_id), amount, most=2 * LONGEST)
        if own > LONGEST:
            return None
        return max(own, self._addresses.owe(_counted_as(peer), amount, most=LONGEST))
