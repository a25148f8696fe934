"""What is owed to the server and the sender of a message until a listener has it."""

from __future__ import annotations

from collections.abc import Callable


class Receipt:
    """Follows one received message until a listener takes it, or it is dropped because nobody took it in time.

    Whoever keeps the message for later sets ``claimed``; otherwise the message is settled as soon as it is handled.
    """

    __slots__ = ("_actions", "_taken", "claimed", "size")

    def __init__(self, size: int = 0) -> None:
        self.claimed = False
        self.size = size
        """About how many bytes the message has."""
        self._taken: bool | None = None
        self._actions: list[Callable[[bool], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether the message still waits for a listener."""
        return self.claimed and self._taken is None

    def then(self, action: Callable[[bool], None]) -> None:
        """Call ``action(taken)`` when the message is settled; at once if it already is."""
        if self._taken is None:
            self._actions.append(action)
        else:
            action(self._taken)

    def settle(self, taken: bool) -> None:
        """A listener has the message (``taken``), or nobody will get it. Later calls do nothing."""
        if self._taken is not None:
            return
        self._taken = taken
        actions, self._actions = self._actions, []
        for action in actions:
            action(taken)

    def carry(self, other: Receipt) -> None:
        """``other`` belongs to a second copy of the same message: it is settled with this one."""
        other.claimed = True
        self.then(other.settle)
