"""Notices that a word told to every node was lost: each teller numbers its words and says now and then how many.

Of messages a lost word is found by its number in the dialog (`gate.py`). Forgotten facts have no such number, and a
node that missed one would believe for ever what is no longer true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 0.5  # seconds that a word may be late
SILENCE = 600.0  # seconds after which a teller that says nothing is forgotten (a node that ended)


class _Teller:
    __slots__ = ("early", "heard_at", "timer", "upto")

    def __init__(self) -> None:
        self.upto = 0  # all words up to this one have come
        self.early: set[int] = set()
        self.timer: asyncio.TimerHandle | None = None
        self.heard_at = 0.0


class Tally:
    """Counts the words of every teller."""

    def __init__(self, lost: Callable[[], None], *, patience: float = PATIENCE) -> None:
        """`lost()` is called when a word has not come within `patience` seconds."""
        self._lost = lost
        self._patience = patience
        self._tellers: dict[str, _Teller] = {}

    def heard(self, name: str, number: int) -> None:
        """The word with this number has come."""
        teller = self._teller(name)
        if number > teller.upto:
            teller.early.add(number)
            while teller.upto + 1 in teller.early:
                teller.upto += 1
                teller.early.discard(teller.upto)
            if teller.early:
                self._look_later(teller, number)

    def claimed(self, name: str, number: int) -> None:
        """The teller says that it has told this many words."""
        teller = self._teller(name)
        if number > teller.upto:
            self._look_later(teller, number)

    def close(self) -> None:
        for teller in self._tellers.values():
            if teller.timer is not None:
                teller.timer.cancel()

    def _teller(self, name: str) -> _Teller:
        now = asyncio.get_running_loop().time()
        teller = self._tellers.get(name)
        if teller is None:
            silent = [n for n, t in self._tellers.items() if now - t.heard_at > SILENCE and t.timer is None]
            for old in silent:
                del self._tellers[old]
            teller = self._tellers[name] = _Teller()
        teller.heard_at = now
        return teller

    def _look_later(self, teller: _Teller, number: int) -> None:
        if teller.timer is None:
            teller.timer = asyncio.get_running_loop().call_later(self._patience, self._look, teller, number)

    def _look(self, teller: _Teller, number: int) -> None:
        teller.timer = None
        if teller.upto < number:
            # One report for all that was missed up to here; words that come later still count.
            teller.upto = number
            teller.early = {n for n in teller.early if n > number}
            self._lost()
        while teller.upto + 1 in teller.early:
            teller.upto += 1
            teller.early.discard(teller.upto)
        if teller.early:
            self._look_later(teller, max(teller.early))
