"""What both ends of a stream share: states, the table of transitions, and the queue of bytes to send.

Theory
------
A stream machine is a value: it is fed bytes (`receive`) and gives events; its own answers wait in `data_to_send`. It
does no I/O, knows no clock and never raises on what the peer sends: a failure becomes a stream error, the end of our
stream and a last `Closed` event.

A connection lives through these states. Both sides use the same names; an arrow is a trigger of `TRANSITIONS`:

    HEADER ──header──▶ AUTH ──credentials──▶ AUTHENTICATING ──success──▶ RESTART ──header──▶ BIND
                        ▲                          │                                          │ ▲
                        └────────failure───────────┘                                  request │ │ refused
                                                                                              ▼ │
                        OPEN ◀──────────────────────bound────────────────────────────────── BINDING
    AUTH ──starttls──▶ STARTTLS ──proceed──▶ UPGRADING ──secured──▶ HEADER
    any state ──end──▶ CLOSED

* HEADER: nothing said yet. The server waits for the client's header, the client for the server's.
* AUTH: the features of the stream are known; only SASL may follow (RFC 6120 §6.3), or STARTTLS where it is offered.
* STARTTLS: the client waits for `<proceed/>`; the server passes through.
* UPGRADING: the last byte in clear is written and read; the owner of the socket negotiates TLS, then says `secured`.
  What was received behind that byte in clear is thrown away: whoever is on the wire could have put it there, to have it
  read as if it came from inside TLS. Then everything begins anew, the features as well (RFC 6120 §5.4.3.3).
* AUTHENTICATING: the one side checks the password, the other waits. What the server receives now is kept for later.
* RESTART: authenticated; both sides begin a new stream on the same connection (RFC 6120 §6.4.6).
* BIND, BINDING: the resource is asked for and bound (RFC 6120 §7), or in its place an earlier session is resumed
  (XEP-0198 §5): that is a request which may be refused and then bound, too.
* OPEN: stanzas flow. This is where a connection spends its life, so it is the first thing `receive` looks at.
* CLOSED: our stream has ended; whatever still arrives is ignored.

All changes of state go through `Stream._move`, and nothing but the table says which are possible. A trigger that the
table does not have in the current state is a mistake of our own side (LocalProtocolError): what the peer does wrong
is caught before, where the token is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from voxcube.xmpp import ns
from voxcube.xmpp.errors import LocalProtocolError
from voxcube.xmpp.framing import Framing
from voxcube.xmpp.xml import Element, serialize

__all__ = ["TRANSITIONS", "Closed", "StartTls", "Stream", "StreamState", "Trigger", "error_condition", "stream_error"]


class StreamState(Enum):
    HEADER = auto()
    AUTH = auto()
    STARTTLS = auto()
    UPGRADING = auto()
    AUTHENTICATING = auto()
    RESTART = auto()
    BIND = auto()
    BINDING = auto()
    OPEN = auto()
    CLOSED = auto()


class Trigger(Enum):
    HEADER = auto()
    STARTTLS = auto()
    PROCEED = auto()
    SECURED = auto()
    CREDENTIALS = auto()
    SUCCESS = auto()
    FAILURE = auto()
    REQUEST = auto()
    REFUSED = auto()
    BOUND = auto()
    END = auto()


TRANSITIONS: Mapping[StreamState, Mapping[Trigger, StreamState]] = {
    StreamState.HEADER: {Trigger.HEADER: StreamState.AUTH, Trigger.END: StreamState.CLOSED},
    StreamState.AUTH: {
        Trigger.CREDENTIALS: StreamState.AUTHENTICATING,
        Trigger.STARTTLS: StreamState.STARTTLS,
        Trigger.END: StreamState.CLOSED,
    },
    StreamState.STARTTLS: {Trigger.PROCEED: StreamState.UPGRADING, Trigger.END: StreamState.CLOSED},
    StreamState.UPGRADING: {Trigger.SECURED: StreamState.HEADER, Trigger.END: StreamState.CLOSED},
    StreamState.AUTHENTICATING: {
        Trigger.SUCCESS: StreamState.RESTART,
        Trigger.FAILURE: StreamState.AUTH,
        Trigger.END: StreamState.CLOSED,
    },
    StreamState.RESTART: {Trigger.HEADER: StreamState.BIND, Trigger.END: StreamState.CLOSED},
    StreamState.BIND: {Trigger.REQUEST: StreamState.BINDING, Trigger.END: StreamState.CLOSED},
    StreamState.BINDING: {
        Trigger.BOUND: StreamState.OPEN,
        Trigger.REFUSED: StreamState.BIND,
        Trigger.END: StreamState.CLOSED,
    },
    StreamState.OPEN: {Trigger.END: StreamState.CLOSED},
    StreamState.CLOSED: {},
}


@dataclass(frozen=True, slots=True)
class StartTls:
    """Write what `data_to_send` has, negotiate TLS on the connection, then call `secured`. Nothing is read in clear."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event: the stream is over. `error` is the stream error condition that ended it, None: a normal end."""

    error: str | None = None


class Stream:
    """The common part of ServerStream and ClientStream."""

    __slots__ = ("_header_sent", "_queue", "framing", "jid", "state")

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.state = StreamState.HEADER
        self.jid: str | None = None
        self._header_sent = False
        self._queue: list[bytes] = []

    def data_to_send(self) -> bytes:
        """Take what this machine has queued itself, as the bytes a server writes to the socket (WebSocket: frames)."""
        queue = self._queue
        if not queue:
            return b""
        self._queue = []
        return b"".join([self.framing.wrap(payload) for payload in queue])

    def payloads_to_send(self) -> list[bytes]:
        """The same as a list of top-level elements, for a WebSocket library that makes the frames itself (a client)."""
        queue, self._queue = self._queue, []
        return queue

    def send(self, element: Element) -> None:
        """Queue one top-level element. Does nothing once the stream is closed."""
        if self.state is not StreamState.CLOSED:
            self._queue.append(serialize(element))

    def close(self) -> None:
        """End the stream normally. Does nothing when it is closed already."""
        if self.state is not StreamState.CLOSED:
            if self._header_sent:
                self._queue.append(self.framing.close())
            self._move(Trigger.END)

    def fail(self, condition: str, text: str = "", detail: Element | None = None) -> None:
        """End the stream with a stream error (RFC 6120 §4.9). Does nothing when it is closed already.

        `detail` is an application's own condition (RFC 6120 §4.9.4).
        """
        if self.state is not StreamState.CLOSED:
            if not self._header_sent:
                self._send_header()  # RFC 6120 §4.9.1.2: an error needs a stream to be in
            self.send(stream_error(condition, text, detail))
            self.close()

    def _send_header(self) -> None:
        raise NotImplementedError

    def secured(self) -> None:
        """TLS is there: begin anew inside it (RFC 6120 §5.4.3.3). The client's header waits in `data_to_send`."""
        self._move(Trigger.SECURED)
        self.framing.begin_anew()
        self._header_sent = False

    def _move(self, trigger: Trigger) -> None:
        try:
            self.state = TRANSITIONS[self.state][trigger]
        except KeyError:
            raise LocalProtocolError(f"{trigger.name} is not possible in state {self.state.name}") from None


def stream_error(condition: str, text: str = "", detail: Element | None = None) -> Element:
    """A `<stream:error>` that is complete by itself, so that it serves both transports (realtime §17)."""
    error = Element("stream:error", {"xmlns:stream": ns.STREAMS}, [Element(condition, {"xmlns": ns.STREAM_ERRORS})])
    if text:
        error.children.append(Element("text", {"xmlns": ns.STREAM_ERRORS, "xml:lang": "en"}, [text]))
    if detail is not None:
        error.children.append(detail)
    return error


def error_condition(error: Element) -> tuple[str, str]:
    """Condition and text of a received `<stream:error>`, `<failure>` or stanza `<error>`; the text may be empty."""
    condition = next((child.name for child in error.elements() if child.name != "text"), "undefined-condition")
    text = error.find("text")
    return condition, text.text if text is not None else ""
