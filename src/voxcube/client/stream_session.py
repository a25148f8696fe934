"""What outlives a chat connection with stream management: the counters, and what the server may not have (XEP-0198)."""

from __future__ import annotations

from voxcube.xmpp import sm
from voxcube.xmpp.client import Resume
from voxcube.xmpp.jid import Jid
from voxcube.xmpp.xml import Element


class StreamSession:
    """The session of one bound resource, on its first connection or a later one."""

    def __init__(self, jid: Jid) -> None:
        self.jid = jid
        self.asked = False
        """Whether ``<enable/>`` was sent: from there on what we send is counted."""
        self._counting = False  # <enabled/> has come: what we receive is counted
        self._handled = 0
        self._resume_id = ""
        self._unacked: sm.OutboundQueue[tuple[bytes, str | None]] = sm.OutboundQueue()

    @property
    def resume(self) -> Resume | None:
        """What to ask the server for on a new connection; None when it does not resume."""
        return Resume(self._resume_id, str(self.jid), self._handled) if self._resume_id else None

    def enabled(self, answer: Element) -> None:
        """The server has agreed."""
        self._counting, self._handled = True, 0
        self._resume_id = (answer.get("id") or "") if sm.wants_resumption(answer) else ""

    def refused(self) -> list[str]:
        """The server has not agreed; returns what nobody will confirm any more."""
        self.asked = False
        return _ids(self._unacked.unacked())

    def sent(self, stanza: bytes, confirms: str | None) -> int:
        """A stanza is about to be written; returns how many are unacknowledged."""
        return self._unacked.sent((stanza, confirms))

    def received(self) -> None:
        """A stanza of the server is handled."""
        if self._counting:
            self._handled = (self._handled + 1) % 2**32

    def ack(self) -> Element:
        """How far we are."""
        return sm.ack(self._handled)

    def acked(self, h: int) -> list[str]:
        """The server has handled so many; returns the ids this confirms. Raises RemoteProtocolError."""
        return _ids(self._unacked.acked(h))

    def unacked(self) -> list[bytes]:
        """What is to be sent again on a new connection, oldest first."""
        return [stanza for stanza, _ in self._unacked.unacked()]


def _ids(sent: list[tuple[bytes, str | None]]) -> list[str]:
    return [message_id for _, message_id in sent if message_id is not None]
