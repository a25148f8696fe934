"""Stream management as counters and queues (XEP-0198, realtime §5); when to ask or resume is not decided here."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from voxcube.xmpp import ns
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.xml import Element

__all__ = [
    "CountTooHigh",
    "InboundAcks",
    "OutboundQueue",
    "Ticket",
    "ack",
    "enable",
    "enabled",
    "failed",
    "read_h",
    "read_max",
    "request",
    "resume",
    "resumed",
    "wants_resumption",
]

_MODULUS = 2**32  # XEP-0198 §4

T = TypeVar("T")


class CountTooHigh(RemoteProtocolError):
    """The peer says that it has handled what it was not sent; `detail` goes into the stream error (XEP-0198 §4)."""

    def __init__(self, h: int, sent: int) -> None:
        super().__init__("undefined-condition", f"h={h}, but {sent} were sent")
        attrs = {"xmlns": ns.SM, "h": str(h), "send-count": str(sent)}
        self.detail = Element("handled-count-too-high", attrs)


class Ticket:
    """The place of one received stanza (or of `repeat` requests, or of a `reached` mark) in the order of arrival."""

    __slots__ = ("counts", "done", "reached", "repeat")

    def __init__(
        self, *, counts: bool, done: bool = False, repeat: int = 0, reached: Callable[[], None] | None = None
    ) -> None:
        self.counts = counts
        self.done = done
        self.repeat = repeat
        self.reached = reached


class InboundAcks:
    """Counts what the peer sent: `h` is the longest prefix of stanzas that are all handled.

    Stanzas may be handled in any order, but a request is answered only when everything received before it is handled.
    """

    def __init__(self) -> None:
        self.h = 0
        self._waiting: deque[Ticket] = deque()

    def received(self, counts: bool = True) -> Ticket:
        """A stanza has arrived. `counts=False`: it keeps its place in the order but does not add to `h`."""
        ticket = Ticket(counts=counts)
        self._waiting.append(ticket)
        return ticket

    def request(self) -> list[int]:
        """An `<r/>` has arrived; returns the `h` of the answers that are due now."""
        waiting = self._waiting
        if not waiting:
            return [self.h]
        if waiting[-1].repeat:
            waiting[-1].repeat += 1
        else:
            waiting.append(Ticket(counts=False, done=True, repeat=1))
        return []

    def when_handled(self, reached: Callable[[], None]) -> None:
        """Calls `reached` as soon as everything received so far is handled: now, or inside `done`."""
        if self._waiting:
            self._waiting.append(Ticket(counts=False, done=True, reached=reached))
        else:
            reached()

    def done(self, ticket: Ticket) -> list[int]:
        """A stanza is handled; returns the `h` of the answers that are due now, in order."""
        ticket.done = True
        waiting = self._waiting
        due: list[int] = []
        while waiting and waiting[0].done:
            first = waiting.popleft()
            if first.counts:
                self.h = (self.h + 1) % _MODULUS
            elif first.repeat:
                due += [self.h] * first.repeat
            elif first.reached is not None:
                first.reached()
        return due

    def failed(self, ticket: Ticket) -> None:
        """A stanza will never be handled: `h` stays before it for good, later requests are not answered."""
        ticket.done = False


class OutboundQueue(Generic[T]):
    """What we sent and the peer has not yet acknowledged, oldest first."""

    def __init__(self) -> None:
        self._sent = 0
        self._items: deque[T] = deque()

    def sent(self, item: T) -> int:
        """Note one more stanza sent; returns how many are unacknowledged."""
        self._sent = (self._sent + 1) % _MODULUS
        self._items.append(item)
        return len(self._items)

    def acked(self, h: int) -> list[T]:
        """The peer has handled `h` stanzas in all (modulo 2**32); returns the items this settles.

        Raises CountTooHigh when that is more than was sent, or less than it said before (XEP-0198 §4).
        """
        items = self._items
        remaining = (self._sent - h) % _MODULUS
        if not 0 <= h < _MODULUS or remaining > len(items):
            raise CountTooHigh(h, self._sent)
        return [items.popleft() for _ in range(len(items) - remaining)]

    def unacked(self) -> list[T]:
        """What may have to be sent again, oldest first."""
        return list(self._items)

    def __len__(self) -> int:
        return len(self._items)


def read_h(element: Element) -> int:
    """The `h` of an `<a/>` or `<resume/>`; raises RemoteProtocolError when it is no number of 32 bits."""
    h = element.get("h", "") or ""
    if not (h.isascii() and h.isdigit() and len(h) <= 10 and int(h) < _MODULUS):
        raise RemoteProtocolError("undefined-condition", "h is not a number")
    return int(h)


def wants_resumption(element: Element) -> bool:
    """Whether an `<enable/>` asks for it, or an `<enabled/>` grants it."""
    return element.get("resume") in ("true", "1")  # xs:boolean


def read_max(element: Element) -> int | None:
    """The `max` of an `<enable/>` or `<enabled/>`, in seconds; None when there is none that is a number."""
    seconds = element.get("max", "") or ""
    return int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) <= 9 else None


def enable(*, resume: bool = False) -> Element:
    """The client's wish to use stream management."""
    return Element("enable", {"xmlns": ns.SM, "resume": "true"} if resume else {"xmlns": ns.SM})


def enabled(*, id_: str | None = None, max_seconds: int | None = None) -> Element:
    """The server's consent; with an `id_` the stream can be resumed for `max_seconds`."""
    attrs = {"xmlns": ns.SM}
    if id_ is not None:
        attrs |= {"resume": "true", "id": id_}
        if max_seconds is not None:
            attrs["max"] = str(max_seconds)
    return Element("enabled", attrs)


def resume(previd: str, h: int) -> Element:
    """The client's wish to go on with the session `previd`, of which it has handled `h` stanzas."""
    return Element("resume", {"xmlns": ns.SM, "previd": previd, "h": str(h)})


def resumed(previd: str, h: int) -> Element:
    """The server's consent: the session goes on, and the server has handled `h` stanzas of it."""
    return Element("resumed", {"xmlns": ns.SM, "previd": previd, "h": str(h)})


def failed(condition: str, h: int | None = None) -> Element:
    """The server's refusal of enable or resume; `condition` is a stanza error condition.

    `h` is what the server had handled in a session that it remembers but cannot resume any more.
    """
    attrs = {"xmlns": ns.SM} if h is None else {"xmlns": ns.SM, "h": str(h)}
    return Element("failed", attrs, [Element(condition, {"xmlns": ns.STANZA_ERRORS})])


def request() -> Element:
    """`<r/>`: how many have you handled?"""
    return Element("r", {"xmlns": ns.SM})


def ack(h: int) -> Element:
    """`<a/>`: I have handled `h`."""
    return Element("a", {"xmlns": ns.SM, "h": str(h)})
