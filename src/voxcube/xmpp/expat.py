"""pyexpat set up for strangers: what is forbidden, and how its calls become a tree (RFC 6120 §11)."""

import pyexpat
from collections.abc import Callable, Mapping
from typing import Any

from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.prefixes import PrefixScopes
from voxcube.xmpp.xml import Element, encoded_size

__all__ = ["RENEW_AFTER", "build_trees", "check_utf8", "create_expat", "growth", "may_grow", "remote_error"]

# expat keeps every name it ever met until it is freed (27 MiB after 4.4 MiB of ever new names), so that a long-lived
# connection gets a fresh one after this many bytes.
RENEW_AFTER = 4 * 1024 * 1024
# What joins the pieces of a text (at entities and line ends); each connection has one.
_TEXT_BUFFER = 512
_XML_SPACE = " \t\r\n"

_new = object.__new__

# A character in quotes grows sixfold at most when it is written again (`"` → `&quot;`). Below this size that is less
# than what rate limits charge for a stanza of any size.
_SMALL = 4096
_ESCAPED = 6


def _restricted(*_: object) -> None:
    raise RemoteProtocolError("restricted-xml")  # RFC 6120 §11.1


def _xml_declaration(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and encoding.lower() != "utf-8":
        raise RemoteProtocolError("unsupported-encoding")  # RFC 6120 §11.6


def create_expat() -> Any:
    """An expat that refuses what RFC 6120 §11 forbids; its handlers raise RemoteProtocolError."""
    # No interning: names come from strangers. UTF-8 whatever the declaration says.
    expat: Any = pyexpat.ParserCreate("utf-8", None, None)
    expat.buffer_size = _TEXT_BUFFER
    expat.buffer_text = True
    expat.CommentHandler = _restricted
    expat.ProcessingInstructionHandler = _restricted
    expat.StartDoctypeDeclHandler = _restricted
    expat.XmlDeclHandler = _xml_declaration
    if hasattr(expat, "SetReparseDeferralEnabled"):
        # expat ≥ 2.6 would hold a complete stanza back; the work is limited here instead.
        expat.SetReparseDeferralEnabled(False)
    return expat


def check_utf8(begin: bytes) -> None:
    """Refuse UTF-16, which expat would recognise at the beginning of a document whatever it was told."""
    if b"\0" in begin or b"\xfe" in begin or b"\xff" in begin:  # none of them is ever part of XML in UTF-8
        raise RemoteProtocolError("unsupported-encoding")


def remote_error(error: pyexpat.ExpatError) -> RemoteProtocolError:
    """The stream error that an error of expat earns."""
    if error.code == 11:  # XML_ERROR_UNDEFINED_ENTITY: only the predefined ones exist (RFC 6120 §11.1)
        return RemoteProtocolError("restricted-xml")
    return RemoteProtocolError("not-well-formed", pyexpat.ErrorString(error.code) or "")


def may_grow(received: int, max_stanza: int) -> bool:
    """Whether an element without prefixes that came in `received` bytes must be measured: all others are too small to
    pass the limit by escapes, so that ordinary messages are not written twice."""
    return received > _SMALL or received * _ESCAPED > max_stanza


def growth(element: Element, received: int, max_stanza: int) -> int:
    """Bytes by which an element, written again, is larger than what was received.

    Raises RemoteProtocolError (policy-violation) when it is larger than a stanza may be.
    """
    size = encoded_size(element)
    if size > max_stanza:
        raise RemoteProtocolError("policy-violation", "stanza too big once its characters are escaped")
    return max(0, size - received)


def _only_xml_prefix(attrs: dict[str, str]) -> bool:
    return all(":" not in key or key.startswith("xml:") for key in attrs)


def build_trees(
    expat: Any,
    top: list[Any],
    open_lists: list[list[Any]],
    bindings: Mapping[str, str],
    max_depth: int,
    max_size: Callable[[], int],
    completed: Callable[[str, bool], None],
    root_ended: Callable[[], None],
) -> None:
    """Make `expat` append elements to `top`; the last one is unfinished while `open_lists` is not empty.

    `max_size()` bounds an element whose prefixes are rewritten, in bytes of the result; `completed(name, rewritten)` is
    called at the end of each top-level element.

    Closures, because they are the cheapest thing for expat to call: a message of 350 bytes makes fifteen calls.
    """
    children = top
    push = open_lists.append
    pop = open_lists.pop

    def start(name: str, attrs: dict[str, str]) -> None:
        nonlocal children
        if ":" in name or (attrs and ":" in "".join(attrs) and not _only_xml_prefix(attrs)):
            enter_prefixes(name, attrs)
            return
        element = _new(Element)
        element.name = name
        element.attrs = attrs
        children.append(element)
        if len(open_lists) >= max_depth:
            raise RemoteProtocolError("policy-violation", "elements are nested too deeply")
        push(children)
        element.children = children = []

    def end(name: str) -> None:
        nonlocal children
        if open_lists:
            children = pop()
            if not open_lists:
                completed(name, False)
        else:
            root_ended()

    def text(data: str) -> None:
        if open_lists:
            if children and children[-1].__class__ is str:
                children[-1] += data
            else:
                children.append(data)
        elif data.strip(_XML_SPACE):
            raise RemoteProtocolError("bad-format", "text between stanzas")

    def enter_prefixes(name: str, attrs: dict[str, str]) -> None:
        # Made when needed: most connections never do.
        scopes = PrefixScopes(bindings, [level[-1] for level in open_lists], max_size())

        def start_prefixed(name: str, attrs: dict[str, str]) -> None:
            nonlocal children
            element = Element(*scopes.open(name, attrs))
            if len(open_lists) >= max_depth:
                raise RemoteProtocolError("policy-violation", "elements are nested too deeply")
            children.append(element)
            push(children)
            children = element.children

        def end_prefixed(name: str) -> None:
            nonlocal children
            scopes.close()
            children = pop()
            if not open_lists:
                expat.StartElementHandler = start
                expat.EndElementHandler = end
                completed(name, True)

        expat.StartElementHandler = start_prefixed
        expat.EndElementHandler = end_prefixed
        start_prefixed(name, attrs)

    expat.StartElementHandler = start
    expat.EndElementHandler = end
    expat.CharacterDataHandler = text
