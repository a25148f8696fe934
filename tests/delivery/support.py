"""A session that writes down what it is given."""

from __future__ import annotations


class Fake:
    """`delivery.sessions.Target`."""

    def __init__(self, user_id: int, app_id: int = 1, resource: str = "r", *, carbons: bool = False) -> None:
        self.user_id = user_id
        self.app_id = app_id
        self.address = f"{user_id}-{app_id}@localhost/{resource}".encode()
        self.available = True
        self.carbons = carbons
        self.got: list[bytes] = []
        self.handing: list[tuple[str, int]] = []

    def deliver(self, head: bytes, tail: bytes, dialog_id: str, seq: int) -> None:
        self.got.append(head + tail)
        if seq:
            self.handing.append((dialog_id, seq))
