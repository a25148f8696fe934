"""The server's end of a stream: features → authentication → bind → open (RFC 6120 §4–§7, realtime §2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from voxcube.xmpp import ns, sasl, sm, stanza
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.framing import Framing
from voxcube.xmpp.parser import StreamStart, Token
from voxcube.xmpp.stream import Closed, StartTls, Stream, StreamState, Trigger, error_condition
from voxcube.xmpp.xml import Element

__all__ = ["AuthRequest", "BindRequest", "Closed", "Event", "ResumeRequest", "ServerStream", "StartTls", "StreamState"]

_MAX_FAILURES = 3  # realtime §2.3


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """Somebody wants in; answer with `auth_success` or `auth_failure`."""

    authzid: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"AuthRequest(username={self.username!r})"  # passwords never reach a log


@dataclass(frozen=True, slots=True)
class BindRequest:
    """The client wants a resource (None: any); answer with `bind` or `bind_error`."""

    iq_id: str
    resource: str | None


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """The client wants to go on with an earlier session, of which it has handled `h` stanzas (XEP-0198 §5).

    Answer with `resumed` or `resume_failed`.
    """

    previd: str
    h: int


Event: TypeAlias = StartTls | AuthRequest | BindRequest | ResumeRequest | Element | Closed

# Top-level elements of an open stream, which become events, and the namespace each must have.
_OPEN: Mapping[str, str] = {
    "message": ns.CLIENT,
    "presence": ns.CLIENT,
    "iq": ns.CLIENT,
    "enable": ns.SM,
    "resume": ns.SM,
    "r": ns.SM,
    "a": ns.SM,
    "active": ns.CSI,
    "inactive": ns.CSI,
}
_EXCHANGE = frozenset({"auth", "response", "abort"})  # RFC 6120 §6.4
_STANZAS = frozenset({"message", "presence", "iq"})


class ServerStream(Stream):
    """One client's stream.

    `domain` is the canonical chat host, `aliases` are other hosts a client may name in `to`; `offer_plain` is whether a
    password may travel here; with `starttls` it may inside TLS only, which is all that is offered at first. `new_id`
    makes stream ids. Limits are in bytes and levels: `unauthenticated_limit` for all that arrives before the login
    succeeds, `stanza_limit` for one top-level element after it.
    """

    __slots__ = (
        "_aliases",
        "_bind_iq",
        "_challenged",
        "_domain",
        "_failures",
        "_held",
        "_max_depth",
        "_new_id",
        "_offer_plain",
        "_receive",
        "_stanza_limit",
        "_starttls",
        "_unauthenticated_left",
    )

    def __init__(
        self,
        framing: Framing,
        *,
        domain: str,
        aliases: frozenset[str] = frozenset(),
        offer_plain: bool,
        starttls: bool = False,
        new_id: Callable[[], str],
        unauthenticated_limit: int = 16384,
        stanza_limit: int = 262144,
        max_depth: int = 64,
    ) -> None:
        super().__init__(framing)
        self._domain = domain
        self._aliases = aliases
        self._offer_plain = offer_plain and not starttls
        self._starttls = starttls
        self._new_id = new_id
        self._unauthenticated_left = unauthenticated_limit
        self._stanza_limit = stanza_limit
        self._max_depth = max_depth
        self._failures = 0
        self._challenged = False  # the client has begun to authenticate, and its response is awaited
        self._held: list[bytes] = []  # received while an answer of ours is awaited
        self._bind_iq: Element | None = None
        framing.set_limits(max_stanza=unauthenticated_limit, max_depth=max_depth)
        self._receive = framing.receive

    def receive(self, data: bytes) -> list[Event]:
        """Take what the socket has (WebSocket: one frame's payload), return what it means, in order.

        In an open stream the events are plain elements: iq, message, presence, and those of stream management and
        client state. After a Closed there is nothing more. Never raises on bad input.
        """
        if self.state is not StreamState.OPEN:
            return self._receive_login(data)
        tokens = self._receive(data)
        for token in tokens:
            if token.__class__ is not Element or token.attrs.get("xmlns", ns.CLIENT) != _OPEN.get(token.name):
                return self._receive_last(tokens)
        return tokens  # type: ignore[return-value]  # all are elements

    def _receive_last(self, tokens: list[Token]) -> list[Event]:
        """Among these tokens of an open stream is one that ends it."""
        events: list[Event] = []
        for token in tokens:
            if isinstance(token, Element) and token.attrs.get("xmlns", ns.CLIENT) == _OPEN.get(token.name):
                events.append(token)
            else:
                events.append(self._end(token))
                break
        return events

    def _receive_login(self, data: bytes) -> list[Event]:
        state = self.state
        if state in (StreamState.CLOSED, StreamState.UPGRADING):
            return []
        if state in (StreamState.HEADER, StreamState.AUTH, StreamState.AUTHENTICATING):
            self._unauthenticated_left -= len(data)
            if self._unauthenticated_left < 0:
                return [self._broken("policy-violation", "too much before authentication")]
        if state in (StreamState.AUTHENTICATING, StreamState.BINDING):
            self._held.append(data)
            if sum(map(len, self._held)) > self._stanza_limit:
                return [self._broken("policy-violation", "too much before the answer")]
            return []
        return self._parse_login(data)

    def _parse_login(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        tokens = self._receive(data)
        while tokens:
            for token in tokens:
                event = _LOGIN[self.state](self, token)
                if event is not None:
                    events.append(event)
                if self.state is StreamState.CLOSED:
                    return events
            if self.state in (StreamState.AUTHENTICATING, StreamState.BINDING, StreamState.UPGRADING):
                break  # what is left in the framing waits for the answer, or is thrown away with the clear text
            tokens = self._receive(b"")
        return events

    def _go_on(self) -> list[Event]:
        """An answer was given: what a client has sent without waiting for it is read now."""
        held, self._held = self._held, []
        events: list[Event] = []
        for index, data in enumerate([b"", *held]):
            if self.state in (StreamState.AUTHENTICATING, StreamState.BINDING):
                self._held = held[index - 1 :]
                break
            if self.state is StreamState.OPEN:
                events += self.receive(data)
            elif self.state not in (StreamState.CLOSED, StreamState.UPGRADING):
                events += self._parse_login(data)
        return events

    # What the session answers

    def secured(self) -> None:
        """TLS is there. What the client sent in clear behind its `<starttls/>` is not read."""
        super().secured()
        self._starttls = False
        self._offer_plain = True

    def auth_success(self) -> list[Event]:
        """The password is right. Returns the events of what the client sent without waiting (usually none)."""
        self._move(Trigger.SUCCESS)
        self.send(Element("success", {"xmlns": ns.SASL}))
        self._header_sent = False
        self.framing.restart()
        self.framing.set_limits(max_stanza=self._stanza_limit, max_depth=self._max_depth)
        return self._go_on()

    def auth_failure(self, condition: str = "not-authorized", text: str = "Password not verified") -> list[Event]:
        """The login is refused; the stream stays open for another try, the third failure closes it (realtime §2.3).

        `condition` is one of RFC 6120 §6.5. Returns events like `auth_success`.
        """
        self._move(Trigger.FAILURE)
        closed = self._refuse(condition, text)
        return self._go_on() if closed is None else [closed]

    def bind(self, jid: str) -> list[Event]:
        """The session has this full JID: write the result, the stream is open. Returns events like `auth_success`."""
        self._move(Trigger.BOUND)
        assert self._bind_iq is not None, "BINDING is entered with it"
        self.jid = jid
        bound = Element("bind", {"xmlns": ns.BIND}, [Element("jid", None, [jid])])
        self.send(stanza.iq("result", self._bind_iq.attrs["id"], bound))
        self._bind_iq = None
        self.framing.flow()
        return self._go_on()

    def bind_error(self, condition: str, text: str | None = None) -> list[Event]:
        """No resource for now (`condition`: a stanza error, RFC 6120 §7.6.2); the client may ask again."""
        self._move(Trigger.REFUSED)
        assert self._bind_iq is not None, "BINDING is entered with it"
        self.send(stanza.error_reply(self._bind_iq, condition, text))
        return self._go_on()

    def resumed(self, jid: str, previd: str, h: int) -> list[Event]:
        """The session `previd` with this full JID goes on here; `h` of its stanzas are handled.

        Returns events like `auth_success`.
        """
        self._move(Trigger.BOUND)
        self.jid = jid
        self.send(sm.resumed(previd, h))
        self.framing.flow()
        return self._go_on()

    def resume_failed(self, condition: str, h: int | None = None) -> list[Event]:
        """The session cannot go on; the client may bind. Returns events like `auth_success`."""
        self._move(Trigger.REFUSED)
        self.send(sm.failed(condition, h))
        return self._go_on()

    # What tokens mean before the stream is open

    def _on_header(self, token: Token) -> Event | None:
        if not isinstance(token, StreamStart):
            return self._end(token, "bad-format")
        self._send_header()
        # JavaScript names the host of its URL, which may be an alias (realtime §2).
        to = token.attrs.get("to", self._domain).lower()
        if to != self._domain and to not in self._aliases:
            return self._broken("host-unknown")
        if token.attrs.get("version", "1.0").split(".")[0] != "1":
            return self._broken("unsupported-version")
        self._move(Trigger.HEADER)
        self.send(_bind_features() if self.state is StreamState.BIND else self._auth_features())
        return None

    def _auth_features(self) -> Element:
        if self._starttls:
            # Nothing beside it: who sees a login offered might try it in clear (RFC 6120 §5.3.1).
            return _features(Element("starttls", {"xmlns": ns.TLS}, [Element("required")]))
        # Nothing but SASL before authentication: `sm` here makes Flutter enable it before bind (quirks A7).
        mechanisms = Element("mechanisms", {"xmlns": ns.SASL})
        if self._offer_plain:
            mechanisms.children.append(Element("mechanism", None, ["PLAIN"]))
        return _features(mechanisms)

    def _on_auth(self, token: Token) -> Event | None:
        if isinstance(token, Element) and token.name == "starttls" and token.xmlns == ns.TLS:
            return self._on_starttls()
        if not isinstance(token, Element) or token.name not in _EXCHANGE or token.xmlns != ns.SASL:
            return self._end(token)
        challenged, self._challenged = self._challenged, False
        if token.name == "abort":
            return self._refuse("aborted")  # RFC 6120 §6.4.4
        if not self._offer_plain:
            return self._refuse("encryption-required")
        if challenged is not (token.name == "response"):
            return self._refuse("malformed-request")  # an answer to nothing, or in place of one a second beginning
        if not challenged and token.get("mechanism") != "PLAIN":
            return self._refuse("invalid-mechanism")
        try:
            response = sasl.decode(token)
            if response is None and not challenged:
                self._challenged = True  # RFC 6120 §6.4.2: the response comes when it is asked for
                self.send(Element("challenge", {"xmlns": ns.SASL}))
                return None
            credentials = sasl.read_plain(response or b"", self._domain)
        except sasl.SaslError as error:
            return self._refuse(error.condition)
        self._move(Trigger.CREDENTIALS)
        return AuthRequest(*credentials)

    def _on_starttls(self) -> Event:
        if not self._starttls:
            self.send(Element("failure", {"xmlns": ns.TLS}))  # RFC 6120 §5.4.2.2: and the connection ends
            self.close()
            return Closed()
        self._move(Trigger.STARTTLS)
        self.send(Element("proceed", {"xmlns": ns.TLS}))
        self._move(Trigger.PROCEED)
        return StartTls()

    def _on_bind(self, token: Token) -> Event | None:
        if not isinstance(token, Element):
            return self._end(token)
        if token.xmlns == ns.SM and token.name == "resume":
            return self._on_resume(token)
        if token.xmlns == ns.SM and token.name == "enable":
            self.send(sm.failed("unexpected-request"))  # XEP-0198 §3: only after bind
            return None
        bind = token.find("bind", ns.BIND)
        if token.name != "iq" or bind is None or token.get("type") != "set" or not token.get("id"):
            return self._end(token)
        self._move(Trigger.REQUEST)
        self._bind_iq = token
        resource = bind.find("resource")
        return BindRequest(token.attrs["id"], (resource.text.strip() or None) if resource is not None else None)

    def _on_resume(self, token: Element) -> Event | None:
        try:
            h = sm.read_h(token)
        except RemoteProtocolError:
            self.send(sm.failed("bad-request"))
            return None
        self._move(Trigger.REQUEST)
        return ResumeRequest(token.get("previd", "") or "", h)

    # Ends

    def _end(self, token: Token, unexpected: str = "unsupported-stanza-type") -> Closed:
        """Close the stream because of a token that has no place in it."""
        if isinstance(token, RemoteProtocolError):
            return self._broken(token.condition, token.text)
        if isinstance(token, Element):
            if token.name == "stream:error":
                self.close()
                return Closed(error_condition(token)[0])
            if token.name in _STANZAS and token.attrs.get("xmlns", ns.CLIENT) == ns.CLIENT:
                unexpected = "not-authorized"  # RFC 6120 §4.9.3.12: a stanza before its time
            return self._broken(unexpected)
        if isinstance(token, StreamStart):
            return self._broken(unexpected)
        self.close()
        return Closed()

    def _broken(self, condition: str, text: str = "") -> Closed:
        self.fail(condition, text)
        return Closed(condition)

    def _refuse(self, condition: str, text: str = "") -> Closed | None:
        self.send(sasl.failure(condition, text))
        self._failures += 1
        if self._failures < _MAX_FAILURES:
            return None
        return self._broken("policy-violation", "too many failed logins")  # RFC 6120 §6.4.5

    def _send_header(self) -> None:
        self._header_sent = True
        self._queue.append(self.framing.open(from_=self._domain, id_=self._new_id()))


_LOGIN: Mapping[StreamState, Callable[[ServerStream, Token], Event | None]] = {
    StreamState.HEADER: ServerStream._on_header,
    StreamState.AUTH: ServerStream._on_auth,
    StreamState.RESTART: ServerStream._on_header,
    StreamState.BIND: ServerStream._on_bind,
}


def _features(*children: Element) -> Element:
    return Element("stream:features", {"xmlns:stream": ns.STREAMS}, children)


def _bind_features() -> Element:
    # `session` is what makes Flutter ready (quirks A5).
    return _features(
        Element("bind", {"xmlns": ns.BIND}),
        Element("session", {"xmlns": ns.SESSION}, [Element("optional")]),
        Element("sm", {"xmlns": ns.SM}),
        Element("csi", {"xmlns": ns.CSI}),
    )
