"""What a session needs of its socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from voxcube.server.c2s.session import Session


class Wire(Protocol):
    """What a session needs of its socket."""

    def serve(self, session: Session) -> None:
        """From now on this session gets what the socket tells."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None:
        """Closes when all is written and the peer has read it, at the latest after some seconds."""

    def abort(self) -> None:
        """Closes at once; what is not written yet is lost."""

    def unwritten(self) -> int:
        """Bytes that the socket has not taken yet."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class NoWire:
    """The connection of a session that waits to be resumed."""

    def serve(self, session: Session) -> None: ...
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def unwritten(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


NO_WIRE = NoWire()
