"""Children that only a server may add to a stanza: removed from what a client sends, before anything is made of it.

Clients believe them without a look at who has sent the stanza, and official SDKs match them by their local name alone.
What a client may say itself stays: `origin-id`, a delay of its own, a forwarded message (XEP-0297), an invitation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

# Decides about a child with a certain name: (child, the sender's bare JID, the domain).
_Test = Callable[[Element, str, str], bool]

_CLIENT = ("", ns.CLIENT)
_ROOM_ONLY = frozenset({"status", "item", "destroy", "xmlns"})  # `xmlns`: what JavaScript reads a status from
_SERVER_PARAMETERS = frozenset({"message_id"})  # Flutter takes it for the id of the message


def strip_forged(stanza: Element, bare: str, domain: str) -> None:
    """Remove from a stanza of the client with the address `bare` what only a server may say."""
    forged = False
    parameters: Element | None = None
    for child in stanza.children:
        if child.__class__ is not Element:
            continue
        name = child.name
        if name == "extraParams":
            if parameters is not None:
                forged = True  # the second would reach the others without its `dialog_id` being looked at
            else:
                parameters = child
                for parameter in child.children:
                    if parameter.__class__ is Element and parameter.name in _SERVER_PARAMETERS:
                        _remove_parameters(child)
                        break
        elif name in _TESTS and _TESTS[name](child, bare, domain):
            forged = True
    if forged:
        stanza.children = [
            child
            for child in stanza.children
            if isinstance(child, str)
            or (child is parameters if child.name == "extraParams" else not _is_forged(child, bare, domain))
        ]


def _is_forged(child: Element, bare: str, domain: str) -> bool:
    test = _TESTS.get(child.name)
    return test is not None and test(child, bare, domain)


def _remove_parameters(extra: Element) -> None:
    extra.children = [
        child for child in extra.children if isinstance(child, str) or child.name not in _SERVER_PARAMETERS
    ]


def is_ours(address: str, domain: str) -> bool:
    """Whether an address belongs to this server: the domain, a room, an account, and what is no address at all."""
    host = address.strip().partition("/")[0].rpartition("@")[2].lower().rstrip(".")
    return not host or host == domain or host.endswith(f".{domain}")


def _stanza_id(child: Element, bare: str, domain: str) -> bool:
    """XEP-0359 §5: those by our own entities are ours to assign."""
    return child.xmlns.startswith("urn:xmpp:sid:") and is_ours(child.get("by") or "", domain)


def _delay(child: Element, bare: str, domain: str) -> bool:
    """XEP-0203 §4: a client may say that it has delayed its stanza itself, but not that a server has."""
    if child.xmlns not in (*_CLIENT, ns.DELAY):
        return False
    from_ = (child.get("from") or "").strip()
    return from_.partition("/")[0].lower() != bare and is_ours(from_, domain)


def _x(child: Element, bare: str, domain: str) -> bool:
    """A delay of XEP-0091, or what a room says of its occupants (XEP-0045); invitations pass."""
    if child.xmlns == "jabber:x:delay":
        from_ = (child.get("from") or "").strip()
        return from_.partition("/")[0].lower() != bare and is_ours(from_, domain)
    return child.xmlns == ns.MUC_USER and any(inner.name in _ROOM_ONLY for inner in child.elements())


def _in(*namespaces: str) -> _Test:
    """In a namespace that begins like one of these, whatever its version."""

    def test(child: Element, bare: str, domain: str) -> bool:
        return child.xmlns.startswith(namespaces)

    return test


def _copy(child: Element, bare: str, domain: str) -> bool:
    """A carbon (XEP-0280 §11): JavaScript believes one from anybody, in any namespace."""
    return child.xmlns.startswith("urn:xmpp:carbons:") or child.find("forwarded") is not None


_TESTS: Mapping[str, _Test] = {
    "stanza-id": _stanza_id,
    "delay": _delay,
    "x": _x,
    **{name: _in("urn:xmpp:mam:") for name in ("result", "fin", "archived")},  # XEP-0313
    **dict.fromkeys(("sent", "received"), _copy),
    **{name: _in("urn:xmpp:sm:") for name in ("a", "r", "enabled", "resumed", "failed")},  # XEP-0198
    "occupant-id": _in("urn:xmpp:occupant-id:"),  # XEP-0421 §3
    "event": _in("http://jabber.org/protocol/pubsub#event"),  # XEP-0060 §7.1.2: from a service, for its subscribers
    "offline": _in("http://jabber.org/protocol/offline"),  # XEP-0013
}
