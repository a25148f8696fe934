"""What a chat feature offers to the XMPP door, as one value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from voxcube.xmpp.sm import Ticket
from voxcube.xmpp.xml import Element

if TYPE_CHECKING:
    from voxcube.server.c2s.session import Session


class _Later:
    """The handler will call `session.handled(ticket)` (or `session.refused`) itself."""


LATER: Final = _Later()

IqAnswer: TypeAlias = Element | None
# Returns the payload of the result (None = empty result), or raises a DomainError.
IqHandler: TypeAlias = "Callable[[Session, Element], IqAnswer | Awaitable[IqAnswer]]"
# The ticket is None where the session has no stream management. Returns LATER when the stanza is not handled yet.
MessageHandler: TypeAlias = "Callable[[Session, Element, Ticket | None], _Later | Awaitable[_Later | None] | None]"
PresenceHandler: TypeAlias = "Callable[[Session, Element], Awaitable[None] | None]"


class Direct(Protocol):
    """Relays stanzas between sessions (`features.direct`)."""

    async def request(self, session: Session, stanza: Element) -> None:
        """Delivers a get or set to the session that it is addressed to, or answers it with an error."""

    def reply(self, session: Session, stanza: Element) -> None:
        """Delivers a result or error iq."""

    def error(self, session: Session, stanza: Element) -> None:
        """Delivers an error message."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature's name, the namespaces it advertises, and its handlers.

    `iq` by (type, namespace, element name) for requests to the server or the own account; `account_iq` for requests
    without an address, where the account answers otherwise than the server (official SDKs ask the server by them);
    `messages` by message type;
    `presence` by presence type ("" = available) for presence without an address; `room_iq` and `room_presence` for what
    is addressed to a room, or to the host of all rooms; `user_iq` and `user_presence` for what is addressed to a user,
    the own account or another one: an iq is answered in that user's name. `session_iq` is what the server answers in
    the place of a session (a full JID); all other requests are relayed to it.
    """

    name: str
    disco: tuple[str, ...] = ()
    iq: Mapping[tuple[str, str, str], IqHandler] = field(default_factory=dict)
    messages: Mapping[str, MessageHandler] = field(default_factory=dict)
    presence: Mapping[str, PresenceHandler] = field(default_factory=dict)
    room_presence: Mapping[str, PresenceHandler] = field(default_factory=dict)
    room_iq: Mapping[tuple[str, str, str], IqHandler] = field(default_factory=dict)
    user_iq: Mapping[tuple[str, str, str], IqHandler] = field(default_factory=dict)
    account_iq: Mapping[tuple[str, str, str], IqHandler] = field(default_factory=dict)
    session_iq: Mapping[tuple[str, str, str], IqHandler] = field(default_factory=dict)
    user_presence: Mapping[str, PresenceHandler] = field(default_factory=dict)
