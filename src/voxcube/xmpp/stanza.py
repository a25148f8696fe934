"""Build message, presence and iq elements, and the replies to them (RFC 6120 §8, realtime §7.2)."""

from collections.abc import Iterable

from voxcube.xmpp import ns
from voxcube.xmpp.errors import CONDITIONS, LocalProtocolError
from voxcube.xmpp.xml import Element

__all__ = ["error_reply", "iq", "iq_result", "message", "presence", "stanza_error"]


def _stanza(
    name: str, type_: str | None, id_: str | None, from_: str | None, to: str | None, children: Iterable[Element | str]
) -> Element:
    # The literal xmlns is written on TCP too, so that the same bytes serve both transports (RFC 7395 §3.3.3).
    attrs = {"xmlns": ns.CLIENT}
    for key, value in (("type", type_), ("id", id_), ("from", from_), ("to", to)):
        if value is not None:
            attrs[key] = value
    return Element(name, attrs, children)


def message(
    *children: Element,
    type_: str | None = "chat",
    id_: str | None = None,
    from_: str | None = None,
    to: str | None = None,
) -> Element:
    """A `<message>`."""
    return _stanza("message", type_, id_, from_, to, children)


def presence(
    *children: Element,
    type_: str | None = None,
    id_: str | None = None,
    from_: str | None = None,
    to: str | None = None,
) -> Element:
    """A `<presence>`; without a type it means available."""
    return _stanza("presence", type_, id_, from_, to, children)


def iq(type_: str, id_: str, *children: Element, from_: str | None = None, to: str | None = None) -> Element:
    """An `<iq>`; `type_` is get, set, result or error."""
    return _stanza("iq", type_, id_, from_, to, children)


def iq_result(request: Element, *children: Element, from_: str | None = None) -> Element:
    """The result of an iq request: same id, back to its sender, from `from_` (default: whom it was sent to)."""
    attrs = request.attrs
    return _stanza("iq", "result", attrs.get("id"), from_ or attrs.get("to"), attrs.get("from"), children)


def error_reply(
    stanza: Element,
    condition: str,
    text: str | None = None,
    *,
    from_: str | None = None,
    type_: str | None = None,
) -> Element:
    """The error reply to a stanza: same id, from and to swapped, its children echoed, then `<error>` (realtime §7.2).

    `text` and `type_` default to those of the condition, `from_` to whom the stanza was sent to. Raises
    LocalProtocolError for an error or an iq result: those are never answered (RFC 6120 §8.3.1).
    """
    attrs = stanza.attrs
    kind = attrs.get("type")
    if kind == "error" or (kind == "result" and stanza.name == "iq"):
        raise LocalProtocolError(f"a {stanza.name} of type {kind} is never answered")
    children = [*stanza.children, stanza_error(condition, text, type_=type_)]
    return _stanza(stanza.name, "error", attrs.get("id"), from_ or attrs.get("to"), attrs.get("from"), children)


def stanza_error(condition: str, text: str | None = None, *, type_: str | None = None) -> Element:
    """An `<error>` with code, type, the condition as first child, and text: both SDKs need all four (quirks A21)."""
    known = CONDITIONS[condition]
    return Element(
        "error",
        {"code": str(known.code), "type": type_ or known.type},
        [
            Element(condition, {"xmlns": ns.STANZA_ERRORS}),
            Element("text", {"xmlns": ns.STANZA_ERRORS, "xml:lang": "en"}, [text or known.text]),
        ],
    )
