"""Clients that use namespace prefixes: the slow path of the parser, which rewrites names to the form we keep.

A prefixed element becomes its local name with a literal `xmlns`; a child that lived in another namespace than its
rewritten parent gets its own `xmlns` written out; declarations and prefixed attributes (but for `xml:*`) are dropped.
It is entered at the first name with a colon in a stanza and left when that stanza is complete.
"""

import pyexpat
from collections.abc import Mapping, Sequence

from voxcube.xmpp import ns
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.xml import Element

__all__ = ["PrefixScopes"]

_KEPT = frozenset({"stream", "features", "error"})  # "stream:…" stays as it is: realtime §2.1, rule 1


class PrefixScopes:
    """The namespaces in force at each open element of one stanza, innermost last."""

    def __init__(self, outer: Mapping[str, str], ancestors: Sequence[Element]) -> None:
        """`outer` are the declarations of the stream header ("" is the default one); `ancestors` are the elements
        already open in this stanza, outermost first, none of which had a prefix."""
        bindings = dict(outer)
        # (prefix → namespace, namespace that a child without xmlns has in the rewritten tree)
        self._scopes: list[tuple[dict[str, str], str]] = [(bindings, bindings.get("", ""))]
        for element in ancestors:
            if "xmlns" in element.attrs:
                bindings = {**bindings, "": element.attrs["xmlns"]}
            self._scopes.append((bindings, bindings.get("", "")))

    def open(self, qname: str, attrs: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Enter an element as expat names it; return its name and attributes in the rewritten tree."""
        bindings, inherited = self._scopes[-1]
        declared = {
            "" if key == "xmlns" else key[6:]: value
            for key, value in attrs.items()
            if key == "xmlns" or key.startswith("xmlns:")
        }
        if declared:
            if "xmlns:" in attrs or any(p and (not value or p == "xmlns") for p, value in declared.items()):
                raise RemoteProtocolError("not-well-formed", "bad namespace declaration")  # XML Names §3, §5
            bindings = {**bindings, **declared}
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
        self._scopes.append((bindings, xmlns))
        return name, kept

    def close(self) -> None:
        """Leave the innermost element."""
        self._scopes.pop()


def _is_local(name: str) -> bool:
    """Whether expat takes `name` as a name by itself: after a colon it lets "0" pass, which `<0>` would not."""
    try:
        pyexpat.ParserCreate("utf-8").Parse(f"<{name}/>".encode(), True)
    except pyexpat.ExpatError:
        return False
    return True
