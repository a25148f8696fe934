"""The client's end of a stream, the mirror of `server.py`: it sends header, credentials, header and bind by itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from voxcube.xmpp import ns, sasl, sm, stanza
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.framing import Framing
from voxcube.xmpp.parser import StreamEnd, Token
from voxcube.xmpp.stream import Closed, StartTls, Stream, StreamState, Trigger, error_condition
from voxcube.xmpp.xml import Element

__all__ = [
    "AuthFailed",
    "Authenticated",
    "Bound",
    "ClientStream",
    "Closed",
    "Event",
    "Resume",
    "ResumeFailed",
    "Resumed",
    "StartTls",
    "StreamFailed",
    "StreamState",
]

_BIND_ID = "bind-1"


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The server took the credentials; binding follows by itself."""


@dataclass(frozen=True, slots=True)
class AuthFailed:
    """The server refused the credentials. The stream stays open: `authenticate` with others, or `close`.

    `condition` is one of RFC 6120 §6.5; `text` is the server's, possibly empty.
    """

    condition: str
    text: str


@dataclass(frozen=True, slots=True)
class Bound:
    """The stream is open; `jid` is the full JID of this session."""

    jid: str


@dataclass(frozen=True, slots=True)
class Resume:
    """The earlier session to go on with (XEP-0198 §5): its id, its full JID, and how many stanzas of it we handled."""

    previd: str
    jid: str
    h: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The earlier session goes on; the server has handled `h` of its stanzas, the others are to be sent again."""

    h: int


@dataclass(frozen=True, slots=True)
class ResumeFailed:
    """The earlier session is over; binding follows by itself. `h` is how far the server got, if it remembers."""

    h: int | None


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The stream ended with an error, the server's or one that we found; a Closed follows.

    `condition` is a stream error (RFC 6120 §4.9.3), or a stanza error when the resource could not be bound.
    """

    condition: str
    text: str


Event: TypeAlias = (
    StartTls | Authenticated | AuthFailed | Bound | Resumed | ResumeFailed | Element | StreamFailed | Closed
)


class ClientStream(Stream):
    """A client's stream to `domain`, as the user with the local part `jid_local` (like `77-3`).

    `password` is the user's password or a session token; `resource` None lets the server choose. With `resume` an
    earlier session is asked for, and a resource only when that is refused. With `starttls` the connection begins in
    clear: the server must offer TLS, and nothing else is said before `secured`. `max_stanza` (bytes) bounds what the
    server may send. The stream header waits in `data_to_send` from the start.
    """

    def __init__(
        self,
        framing: Framing,
        domain: str,
        *,
        jid_local: str,
        password: str,
        resource: str | None = None,
        resume: Resume | None = None,
        starttls: bool = False,
        max_stanza: int = 1 << 20,
        max_depth: int = 80,
    ) -> None:
        super().__init__(framing)
        self._domain = domain
        self._jid_local = jid_local
        self._password = password
        self._resource = resource
        self._resume = resume
        self._starttls = starttls  # still to be done
        self._offered: Element | None = None  # the latest features
        framing.set_limits(max_stanza=max_stanza, max_depth=max_depth)
        self._send_header()

    @property
    def sm_offered(self) -> bool:
        """Whether the server offers stream management (XEP-0198); meaningful once bound."""
        return self._offered is not None and self._offered.find("sm", ns.SM) is not None

    def receive(self, data: bytes) -> list[Event]:
        """Take what the socket has (WebSocket: one frame's payload), return what it means, in order.

        In an open stream every top-level element is an event as it is. Never raises on bad input.
        """
        events: list[Event] = []
        if self.state in (StreamState.CLOSED, StreamState.UPGRADING):
            return events
        tokens = self.framing.receive(data)
        while tokens:
            for token in tokens:
                if isinstance(token, Element) and token.name != "stream:error":
                    events += _RECEIVED[self.state](self, token)
                else:
                    events += self._not_an_element(token)
                if events and isinstance(events[-1], Closed | StartTls):
                    return events
            tokens = self.framing.receive(b"")
        return events

    def authenticate(self, password: str) -> None:
        """Try again after AuthFailed, with another password or token."""
        self._move(Trigger.CREDENTIALS)
        self.send(sasl.plain_auth(self._jid_local, password))

    def secured(self) -> None:
        """TLS is there, and the server's certificate is one you trust: the login follows by itself."""
        super().secured()
        self._starttls = False
        self._send_header()

    def _not_an_element(self, token: Token) -> list[Event]:
        if isinstance(token, Element):
            condition, text = error_condition(token)
            self.close()
            return [StreamFailed(condition, text), Closed(condition)]
        if isinstance(token, RemoteProtocolError):
            return self._broken(token.condition, token.text)
        if isinstance(token, StreamEnd):
            self.close()
            return [Closed()]
        if self.state not in (StreamState.HEADER, StreamState.RESTART):
            return self._broken("bad-format", "a second stream header")
        self._move(Trigger.HEADER)
        return []

    def _on_early(self, element: Element) -> list[Event]:
        return self._broken("bad-format", f"<{element.name}/> before the stream header")

    def _on_features(self, features: Element) -> list[Event]:
        if features.name != "stream:features":
            return self._broken("unsupported-stanza-type")
        self._offered = features
        if self._starttls:
            if features.find("starttls", ns.TLS) is None:
                # Whoever is on the wire may have struck it out.
                return self._broken("policy-violation", "The server offers no TLS on this connection")
            self._move(Trigger.STARTTLS)
            self.send(Element("starttls", {"xmlns": ns.TLS}))
            return []
        offered = features.find("mechanisms", ns.SASL)
        if offered is None or "PLAIN" not in [mechanism.text.strip() for mechanism in offered.elements()]:
            return [AuthFailed("invalid-mechanism", "The server offers no PLAIN login on this connection")]
        self.authenticate(self._password)
        return []

    def _on_proceed(self, answer: Element) -> list[Event]:
        if answer.name != "proceed" or answer.xmlns != ns.TLS:
            return self._broken("policy-violation", "The server refuses TLS")
        self._move(Trigger.PROCEED)
        return [StartTls()]

    def _on_sasl(self, answer: Element) -> list[Event]:
        if answer.xmlns != ns.SASL or answer.name not in ("success", "failure"):
            return self._broken("unsupported-stanza-type")
        if answer.name == "failure":
            self._move(Trigger.FAILURE)
            return [AuthFailed(*error_condition(answer))]
        self._move(Trigger.SUCCESS)
        self.framing.restart()
        self._send_header()
        return [Authenticated()]

    def _on_bind_features(self, features: Element) -> list[Event]:
        if features.name != "stream:features" or features.find("bind", ns.BIND) is None:
            return self._broken("unsupported-stanza-type", "binding is not offered")
        self._offered = features
        self._move(Trigger.REQUEST)
        if self._resume is not None and self.sm_offered:
            self.send(sm.resume(self._resume.previd, self._resume.h))
            return []
        refused: list[Event] = [] if self._resume is None else [ResumeFailed(None)]
        self._resume = None
        self._bind()
        return refused

    def _bind(self) -> None:
        bind = Element("bind", {"xmlns": ns.BIND})
        if self._resource is not None:
            bind.children.append(Element("resource", None, [self._resource]))
        self.send(stanza.iq("set", _BIND_ID, bind))

    def _on_resumed(self, answer: Element, resume: Resume) -> list[Event]:
        if answer.xmlns != ns.SM or answer.name not in ("resumed", "failed"):
            return self._broken("unsupported-stanza-type")
        self._resume = None
        if answer.name == "resumed":
            try:
                h = sm.read_h(answer)
            except RemoteProtocolError as error:
                return self._broken(error.condition, error.text)
            self._move(Trigger.BOUND)
            self.framing.flow()
            self.jid = resume.jid
            return [Resumed(h)]
        self._move(Trigger.REFUSED)
        self._move(Trigger.REQUEST)
        self._bind()
        try:
            return [ResumeFailed(sm.read_h(answer))]
        except RemoteProtocolError:
            return [ResumeFailed(None)]

    def _on_bound(self, answer: Element) -> list[Event]:
        if self._resume is not None:
            return self._on_resumed(answer, self._resume)
        if answer.name != "iq" or answer.get("id") != _BIND_ID:
            return self._broken("unsupported-stanza-type")
        bind = answer.find("bind", ns.BIND)
        jid = bind.find("jid") if bind is not None else None
        if answer.get("type") == "result" and jid is not None:
            self._move(Trigger.BOUND)
            self.framing.flow()
            self.jid = jid.text.strip()
            return [Bound(self.jid)]
        error = answer.find("error")
        condition, text = error_condition(error) if error is not None else ("undefined-condition", "")
        self.close()
        return [StreamFailed(condition, text), Closed(condition)]

    def _on_stanza(self, element: Element) -> list[Event]:
        return [element]

    def _broken(self, condition: str, text: str = "") -> list[Event]:
        self.fail(condition, text)
        return [StreamFailed(condition, text), Closed(condition)]

    def _send_header(self) -> None:
        self._header_sent = True
        self._queue.append(self.framing.open(to=self._domain))


_RECEIVED: Mapping[StreamState, Callable[[ClientStream, Element], list[Event]]] = {
    StreamState.HEADER: ClientStream._on_early,
    StreamState.AUTH: ClientStream._on_features,
    StreamState.STARTTLS: ClientStream._on_proceed,
    StreamState.AUTHENTICATING: ClientStream._on_sasl,
    StreamState.RESTART: ClientStream._on_early,
    StreamState.BIND: ClientStream._on_bind_features,
    StreamState.BINDING: ClientStream._on_bound,
    StreamState.OPEN: ClientStream._on_stanza,
}
