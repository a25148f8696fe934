"""What outlives a chat connection with stream management: the counters, and what the server may not have (XEP-0198)."""

from __future__ import annotations

from collections import deque

from voxcube.client.receipts import Receipt
from voxcube.xmpp import sm
from voxcube.xmpp.client import Resume
from voxcube.xmpp.jid import Jid
from voxcube.xmpp.xml import Element

# Received stanzas from the first one on whose message no listener has. Beyond either limit the oldest is acknowledged
# all the same: the server keeps them in memory meanwhile.
OPEN_STANZAS = 1000
OPEN_BYTES = 1024 * 1024

_Key = tuple[str, "str | None", "str | None"]


class _Received:
    """One received stanza that is not acknowledged yet."""

    __slots__ = ("key", "open", "size")

    def __init__(self, key: _Key, size: int) -> None:
        self.key = key
        self.size = size
        self.open = True


class StreamSession:
    """The session of one bound resource, on its first connection or a later one."""

    def __init__(self, jid: Jid) -> None:
        self.jid = jid
        self.asked = False
        """Whether ``<enable/>`` was sent: from there on what we send is counted."""
        self._counting = False  # <enabled/> has come: what we receive is counted
        # How many stanzas to acknowledge: all before the first one whose message no listener has.
        self._handled = 0
        self._open: deque[_Received] = deque()
        self._open_bytes = 0
        self._again: deque[_Received] = deque()  # what the server may send again after a resumption
        self._told = 0  # the latest count the server was told
        self._resume_id = ""
        self._unacked: sm.OutboundQueue[tuple[bytes, str | None]] = sm.OutboundQueue()

    @property
    def resume(self) -> Resume | None:
        """What to ask the server for on a new connection; None when it does not resume."""
        return Resume(self._resume_id, str(self.jid), self._handled) if self._resume_id else None

    def enabled(self, answer: Element) -> None:
        """The server has agreed."""
        self._counting, self._handled, self._told = True, 0, 0
        self._clear()
        self._resume_id = (answer.get("id") or "") if sm.wants_resumption(answer) else ""

    def refused(self) -> list[str]:
        """The server has not agreed; returns what nobody will confirm any more."""
        self.asked = False
        return _ids(self._unacked.unacked())

    def sent(self, stanza: bytes, confirms: str | None) -> int:
        """A stanza is about to be written; returns how many are unacknowledged."""
        return self._unacked.sent((stanza, confirms))

    def resumed(self) -> None:
        """The server sends again what was not acknowledged; this client has received it."""
        self._again = deque(self._open)
        self._told = self._handled

    def is_repeated(self, stanza: Element) -> bool:
        """Whether a stanza that arrives was received on the last connection: it is not handled again."""
        if not self._again:
            return False
        if self._again[0].key == _key(stanza):
            self._again.popleft()
            self._count()
            return True
        # The server counts differently: from here on nothing is known to be a repetition.
        for _ in range(len(self._again)):
            self._open_bytes -= self._open.pop().size
        self._again.clear()
        return False

    def received(self, stanza: Element, receipt: Receipt) -> None:
        """A stanza of the server is handled; it counts when its receipt is settled."""
        if not self._counting:
            return
        if not receipt.is_open and not self._open:
            self._handled = (self._handled + 1) % 2**32
            return
        received = _Received(_key(stanza), receipt.size)
        self._open.append(received)
        self._open_bytes += received.size
        if not receipt.is_open:
            received.open = False
        else:
            receipt.then(lambda _: self._settled(received))
        while len(self._open) > OPEN_STANZAS or self._open_bytes > OPEN_BYTES:
            self._count_first()
        self._count()

    @property
    def has_news(self) -> bool:
        """Whether more is to be acknowledged than the server was told."""
        return self._counting and self._told != self._handled

    def ack(self) -> Element:
        """How far we are."""
        self._told = self._handled
        return sm.ack(self._handled)

    def _settled(self, received: _Received) -> None:
        received.open = False
        self._count()

    def _count(self) -> None:
        # What is still to be sent again, the tail of the open ones, is not counted before it has come.
        while len(self._open) > len(self._again) and not self._open[0].open:
            self._count_first()

    def _count_first(self) -> None:
        self._open_bytes -= self._open.popleft().size
        self._handled = (self._handled + 1) % 2**32

    def _clear(self) -> None:
        self._open.clear()
        self._again.clear()
        self._open_bytes = 0

    def acked(self, h: int) -> list[str]:
        """The server has handled so many; returns the ids this confirms. Raises RemoteProtocolError."""
        return _ids(self._unacked.acked(h))

    def unacked(self) -> list[bytes]:
        """What is to be sent again on a new connection, oldest first."""
        return [stanza for stanza, _ in self._unacked.unacked()]


def _key(stanza: Element) -> _Key:
    return stanza.name, stanza.get("id"), stanza.get("from")


def _ids(sent: list[tuple[bytes, str | None]]) -> list[str]:
    return [message_id for _, message_id in sent if message_id is not None]
