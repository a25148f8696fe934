"""Clients that use namespace prefixes: the slow path of the parser, which rewrites names to the form we keep.

A prefixed element becomes its local name with a literal `xmlns`; a child that lived in another namespace than its
rewritten parent gets its own `xmlns` written out; declarations and prefixed attributes (but for `xml:*`) are dropped.
It is entered at the first name with a colon in a stanza and left when that stanza is complete.

A short prefix may stand for a long namespace that is written out at each element, so the size of the rewritten tags is
counted while they are read: what is too big after rewriting ends here, and not in memory.
"""

import pyexpat
from collections.abc import Mapping, Sequence
from typing import Any

from voxcube.xmpp import ns
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.xml import Element

__all__ = ["PrefixScopes"]

_KEPT = frozenset({"stream", "features", "error"})  # "stream:…" stays as it is: realtime §2.1, rule 1
_FIRST_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")  # XML 1.0 §2.3, in ASCII


class PrefixScopes:
    """The namespaces in force at each open element of one stanza, innermost last."""

    def __init__(self, outer: Mapping[str, str], ancestors: Sequence[Element], max_size: int) -> None:
        """`outer` are the declarations of the stream header ("" is the default one); `ancestors` are the elements
        already open in this stanza, outermost first, none of which had a prefix; `max_size` bounds the tags of all
        elements that will be opened, in bytes of the rewritten form."""
        self._bindings = dict(outer)  # prefix → namespace, at the innermost element
        self._size_left = max_size
        # (what `close` restores: prefix → namespace before; the namespace that a child without xmlns has)
        self._scopes: list[tuple[dict[str, str | None], str]] = [({}, self._bindings.get("", ""))]
        for element in ancestors:
            before = self._declare({"": element.attrs["xmlns"]}) if "xmlns" in element.attrs else {}
            self._scopes.append((before, self._bindings.get("", "")))

    def open(self, qname: str, attrs: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Enter an element as expat names it; return its name and attributes in the rewritten tree."""
        bindings, inherited = self._bindings, self._scopes[-1][1]
        declared = {
            "" if key == "xmlns" else key[6:]: value
            for key, value in attrs.items()
            if key == "xmlns" or key.startswith("xmlns:")
        }
        before: dict[str, str | None] = {}
        if declared:
            if "xmlns:" in attrs or any(p and (not value or p == "xmlns") for p, value in declared.items()):
                raise RemoteProtocolError("not-well-formed", "bad namespace declaration")  # XML Names §3, §5
            before = self._declare(declared)
        prefix, colon, name = qname.rpartition(":")
        if colon and (not _is_local(name) or not prefix or ":" in prefix or prefix in ("xml", "xmlns")):
            raise RemoteProtocolError("not-well-formed", "bad name")
        if prefix not in bindings and prefix:
            raise RemoteProtocolError("not-well-formed", "a prefix is not bound to a namespace")
        xmlns = bindings.get(prefix, "")
        kept: dict[str, str] = {}
        if xmlns == ns.STREAMS and name in _KEPT and prefix:
            name = f"stream:{name}"
            xmlns = inherited
        elif xmlns != inherited or (not prefix and "xmlns" in attrs):
            kept["xmlns"] = xmlns
        for key, value in attrs.items():
            if key != "xmlns" and (":" not in key or key.startswith("xml:")):
                kept[key] = value
        # In characters, of which none has less than a byte; the parser measures exactly what is complete.
        self._size_left -= len(name) + 3 + sum([len(key) + len(value) + 4 for key, value in kept.items()])
        if self._size_left < 0:
            raise RemoteProtocolError("policy-violation", "stanza too big with its namespaces written out")
        self._scopes.append((before, xmlns))
        return name, kept

    def close(self) -> None:
        """Leave the innermost element."""
        before, _ = self._scopes.pop()
        for prefix, xmlns in before.items():
            if xmlns is None:
                del self._bindings[prefix]
            else:
                self._bindings[prefix] = xmlns

    def _declare(self, declared: Mapping[str, str]) -> dict[str, str | None]:
        """Bind prefixes; returns what they were bound to, so that an element costs what it declares, not what its
        ancestors do."""
        bindings = self._bindings
        before = {prefix: bindings.get(prefix) for prefix in declared}
        bindings.update(declared)
        return before


class _FirstLetters:
    """Asks expat whether a name may begin with a letter beyond ASCII: after a colon it lets "·" pass, which as the
    first letter of a name it would not.

    One parser serves all questions, as long as the answers are yes; a no ends the stream that asked.
    """

    def __init__(self) -> None:
        self._expat: Any = None

    def may_begin(self, letter: str) -> bool:
        if self._expat is None:
            self._expat = pyexpat.ParserCreate("utf-8", None, None)
            self._expat.Parse(b"<letters>", False)
        try:
            self._expat.Parse(f"<{letter}/>".encode(), False)
        except (pyexpat.ExpatError, UnicodeEncodeError):
            self._expat = None
            return False
        return True


_first_letters = _FirstLetters()


def _is_local(name: str) -> bool:
    """Whether expat takes `name`, which it took behind a colon, as a name by itself: `<x:0>` passes, `<0>` does not."""
    first = name[:1]
    return first in _FIRST_LETTERS if first < "\x80" else _first_letters.may_begin(first)
