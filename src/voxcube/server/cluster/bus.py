"""The seam between nodes: what a node tells the others, and what it asks of whatever carries it.

A bus may delay, drop and reorder: the database is the truth, `gate.py` finds the messages that a bus lost and
`tally.py` the other words. Dialogs, users and applications share a fixed number of slots; a node subscribes to the
slots of those it serves.
"""

from __future__ import annotations

import zlib
from typing import Protocol

SLOTS = 4096


def user_slot(user_id: int) -> int:
    """The slot of what concerns one user."""
    return zlib.crc32(b"u%d" % user_id) % SLOTS


def dialog_slot(dialog_id: str) -> int:
    """The slot of what concerns one group or public dialog."""
    return zlib.crc32(dialog_id.encode()) % SLOTS


def app_slot(app_id: int) -> int:
    """The slot of what concerns everybody in an application (broadcast dialogs)."""
    return zlib.crc32(b"a%d" % app_id) % SLOTS


class Listener(Protocol):
    """A node, as the bus sees it."""

    def published(self, payload: bytes) -> None:
        """Something was published to a slot this node subscribed to."""

    def told(self, payload: bytes) -> None:
        """Something was told to every node (forgotten facts)."""

    def interrupted(self) -> None:
        """Words may have been lost from now on back to an unknown moment."""


class Bus(Protocol):
    """Carries words between nodes. What is said is gone or under way when a method returns."""

    alone: bool  # no other node can hear: callers may skip the encoding

    async def start(self, listener: Listener) -> None: ...

    def subscribe(self, slot: int) -> None: ...

    def unsubscribe(self, slot: int) -> None: ...

    async def ready(self) -> None:
        """Returns when everything subscribed so far is heard."""

    def publish(self, slot: int, payload: bytes) -> None:
        """To every other node that subscribed to the slot; never back to this one."""

    def tell(self, payload: bytes) -> None:
        """To every other node."""

    async def close(self) -> None: ...
