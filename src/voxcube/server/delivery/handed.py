"""The highest message of each private dialog handed to one of a user's sessions: kept here, written lazily.

After a crash the database lags by what was not yet written, so delivery is at least once (storage is exactly once).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

Key = tuple[str, int]  # dialog id, user id


class Handed:
    """What the database does not know yet."""

    def __init__(self, write: Callable[[Key, int, Callable[[bool], None]], None]) -> None:
        """`write(key, seq, done)` queues one row; `done(committed)` is called when its fate is known."""
        self._write = write
        self._ahead: dict[Key, int] = {}
        self._writing: set[Key] = set()

    def note(self, dialog_id: str, user_id: int, seq: int) -> None:
        key = (dialog_id, user_id)
        if seq > self._ahead.get(key, 0):
            self._ahead[key] = seq

    def get(self, dialog_id: str, user_id: int) -> int:
        """What is known here beyond the database, else 0."""
        return self._ahead.get((dialog_id, user_id), 0)

    def flush(self) -> None:
        """Queues all rows that are ahead of the database; called once a second and at the end."""
        for key, seq in list(self._ahead.items()):
            if key not in self._writing:
                self._writing.add(key)
                self._write(key, seq, partial(self._written, key, seq))

    def _written(self, key: Key, seq: int, committed: bool) -> None:
        self._writing.discard(key)
        if committed and self._ahead.get(key) == seq:
            del self._ahead[key]
