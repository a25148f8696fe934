"""Privacy lists as values: rules about who may reach a user, and their evaluation by look-ups (XEP-0016 §2).

A list may hold a thousand people and is asked about every message, so it is compiled: what an address meets is found
under its four forms, however long the list is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

# What a rule is about. MESSAGE, IQ and PRESENCE_IN are inbound; OUT is every outbound stanza but presence, which only
# a rule about everything covers (XEP-0016 §2.11).
MESSAGE, IQ, PRESENCE_IN, PRESENCE_OUT, OUT = 1, 2, 4, 8, 16
EVERYTHING: Final = MESSAGE | IQ | PRESENCE_IN | PRESENCE_OUT | OUT
KINDS: Final = {"message": MESSAGE, "iq": IQ, "presence-in": PRESENCE_IN, "presence-out": PRESENCE_OUT}
SUBSCRIPTIONS: Final = ("both", "to", "from", "none")


class Address(NamedTuple):
    """A JID in its parts; local part and resource are "" when absent."""

    local: str
    domain: str
    resource: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Splits what is known to be an address; only the resource tells upper from lower case."""
        rest, _, resource = text.partition("/")
        local, _, domain = rest.rpartition("@")
        return cls(local.lower(), domain.lower(), resource)


@dataclass(frozen=True, slots=True)
class PrivacyItem:
    """One rule of a list, as the client wrote it.

    ``type`` is "jid", "subscription" or "" (everybody), ``value`` what it names; ``kinds`` are keys of KINDS in the
    client's order, none of them: everything, in both directions.
    """

    order: int
    deny: bool
    type: str = ""
    value: str = ""
    kinds: tuple[str, ...] = ()

    @property
    def mask(self) -> int:
        """The kinds as bits."""
        mask = 0
        for kind in self.kinds:
            mask |= KINDS[kind]
        return mask or EVERYTHING


_Rule = tuple[int, int, bool]  # place in the list, kinds, whether it denies


class Rules:
    """A compiled list."""

    __slots__ = ("_by_address", "_others", "hidden")

    def __init__(self, items: Iterable[PrivacyItem]) -> None:
        self._by_address: dict[tuple[str, str, str], list[_Rule]] = {}
        self._others: list[_Rule] = []
        for place, item in enumerate(sorted(items, key=lambda item: item.order)):
            rule = (place, item.mask, item.deny)
            if item.type == "jid":
                self._by_address.setdefault(Address.parse(item.value), []).append(rule)
            elif item.type == "" or item.value == "none":  # nobody has a subscription to anybody's presence
                self._others.append(rule)
        hidden: dict[str, set[int]] = {}
        for local, domain, nick in self._by_address:
            if not local and nick.isascii() and nick.isdigit() and not self.allows(("", domain, nick), OUT):
                hidden.setdefault(domain, set()).add(int(nick))
        #: By rooms' domain: the occupants (user ids) whom nothing may reach that this user says in a group.
        self.hidden = {domain: frozenset(users) for domain, users in hidden.items()}

    def allows(self, address: tuple[str, str, str], kind: int) -> bool:
        """Whether a stanza of this kind may come from, or go to, an address (parts as of an Address): the first rule
        that fits decides."""
        local, domain, resource = address
        first, denied = 1 << 62, False
        found = self._by_address.get
        for rules in (
            found(address),
            found((local, domain, "")),
            found(("", domain, resource)),
            found(("", domain, "")),
            self._others,
        ):
            if rules is not None:
                for place, kinds, deny in rules:
                    if kinds & kind:
                        if place < first:
                            first, denied = place, deny
                        break
        return not denied
