"""Contacts as values: one entry of a user's contact list, and the transitions of subscriptions (RFC 6121 appendix A).

The state of an entry is four bits: whether the user gets the contact's presence (TO), the contact gets the user's
(FROM), and which of the two waits for the other's consent (ASKED by the user, ASKING is the contact).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

TO, FROM, ASKED, ASKING = 1, 2, 4, 8

SUBSCRIBE, SUBSCRIBED, UNSUBSCRIBE, UNSUBSCRIBED = ACTS = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
_NONE, _BOTH = 0, TO | FROM


class Step(NamedTuple):
    """What comes of an act: whether it goes on (to the contact's side, then to its sessions), and the new state."""

    goes_on: bool
    state: int


def _steps(goes_on: Mapping[int, int], stays: bool) -> dict[int, Step]:
    """A column of the appendix: in these states the act goes on and leads to the other one; in all others nothing
    changes, and it goes on only if it `stays` worth saying."""
    states = (*(base | asking for base in (_NONE, ASKED, TO) for asking in (0, ASKING)), FROM, FROM | ASKED, _BOTH)
    return {state: Step(True, goes_on[state]) if state in goes_on else Step(stays, state) for state in states}


#: What the user does (RFC 6121 A.2), by act and state of the user's entry.
OUTBOUND: Final[Mapping[str, Mapping[int, Step]]] = {
    SUBSCRIBE: _steps({_NONE: ASKED, ASKING: ASKED | ASKING, FROM: FROM | ASKED}, True),
    UNSUBSCRIBE: _steps(
        {ASKED: _NONE, ASKED | ASKING: ASKING, TO: _NONE, TO | ASKING: ASKING, FROM | ASKED: FROM, _BOTH: FROM}, True
    ),
    SUBSCRIBED: _steps({ASKING: FROM, ASKED | ASKING: FROM | ASKED, TO | ASKING: _BOTH}, False),
    UNSUBSCRIBED: _steps(
        {ASKING: _NONE, ASKED | ASKING: ASKED, TO | ASKING: TO, FROM: _NONE, FROM | ASKED: ASKED, _BOTH: TO}, False
    ),
}
#: What the contact has done (RFC 6121 A.3). A `subscribe` of who is subscribed already is answered by `subscribed`.
INBOUND: Final[Mapping[str, Mapping[int, Step]]] = {
    SUBSCRIBE: _steps({_NONE: ASKING, ASKED: ASKED | ASKING, TO: TO | ASKING}, False),
    UNSUBSCRIBE: OUTBOUND[UNSUBSCRIBED],
    SUBSCRIBED: _steps({ASKED: TO, ASKED | ASKING: TO | ASKING, FROM | ASKED: _BOTH}, False),
    UNSUBSCRIBED: _steps(
        {ASKED: _NONE, ASKED | ASKING: ASKING, TO: _NONE, TO | ASKING: ASKING, FROM | ASKED: FROM, _BOTH: FROM}, False
    ),
}


@dataclass(frozen=True, slots=True)
class Contact:
    """An entry about `user_id`. One that is not `listed` only keeps the request of somebody who is no contact yet;
    `request` is what came with it, as XML."""

    user_id: int
    name: str = ""
    groups: tuple[str, ...] = ()
    state: int = 0
    listed: bool = True
    request: str | None = None

    @property
    def subscription(self) -> str:
        """As the contact list says it (RFC 6121 §2.1.2.5)."""
        return ("none", "to", "from", "both")[self.state & _BOTH]


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """Whom a user's presence concerns: who is shown it, whose the user is shown, who waits for an answer."""

    followers: frozenset[int] = frozenset()
    following: frozenset[int] = frozenset()
    asking: frozenset[int] = frozenset()


NOBODY: Final = ContactFacts()


def forgotten(app_id: int, entries: Collection[tuple[int, int]]) -> list[tuple[Any, ...]]:
    """The facts that have changed with entries of users about contacts (`storage.cache.Cache.forget`)."""
    users = sorted({user_id for user_id, _ in entries})
    return [
        *(("contacts", app_id, user_id) for user_id in users),
        *(("contact", app_id, user_id, contact_id) for user_id, contact_id in sorted(entries)),
    ]
