"""Headlines: what a program sends to another user's programs at once, as system messages and signalling are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voxcube.client import wire
from voxcube.client.ids import new_message_id
from voxcube.client.outbox import Outbox
from voxcube.client.sends import Sends
from voxcube.client.streams import Line
from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element, is_name

MODULE = "moduleIdentifier"


class Headlines:
    """Sends headlines. The server relays them to the sessions that the user has at the moment, and keeps nothing."""

    def __init__(self, outbox: Outbox, sends: Sends, app_id: int, domain: str) -> None:
        self._outbox = outbox
        self._sends = sends
        self._app_id = app_id
        self._domain = domain

    @property
    def line(self) -> Line:
        """What the feeds of a chat share."""
        return self._outbox.line

    async def send(self, user_id: int, module: str, body: str | None, data: Mapping[str, Any]) -> str:
        """Returns the id when the server has relayed it. Errors as `Outbox.confirmed`; ValueError for unfit data."""
        target = wire.user_target(int(user_id), self._app_id, self._domain)
        headline_id = new_message_id()
        children = [] if body is None else [Element("body", None, [body])]
        children.append(Element("extraParams", {"xmlns": ns.CLIENT}, elements({MODULE: module, **data})))
        attrs = {"id": headline_id, "type": "headline", "to": target.jid}
        stanza = wire.encode(Element("message", attrs, children))
        await self._outbox.confirmed(
            stanza, headline_id, target, lambda: self._sends.start_change(headline_id, headline_id)
        )
        return headline_id


def module_of(stanza: Element) -> str | None:
    """Whose headline it is; an error repeats what it is about."""
    extra = stanza.find("extraParams")
    found = extra.find(MODULE) if extra is not None else None
    return found.text.strip() if found is not None else None


def elements(data: Mapping[str, Any], level: int = 1) -> list[Element]:
    """Names to texts, to objects of the same form, or to lists of either: one element for each.

    Raises ValueError for a name that cannot be an element's, and for objects nested too deep.
    """
    if level > wire.DEEPEST:
        raise ValueError(f"objects are nested more than {wire.DEEPEST} levels deep")
    found = []
    for name, value in data.items():
        if not is_name(name):
            raise ValueError(f"{name!r} cannot be a name: letters, digits, '_', '.', '-' only")
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        found += [_element(name, each, level) for each in values if each is not None]
    return found


def _element(name: str, value: Any, level: int) -> Element:
    if isinstance(value, Mapping):
        return Element(name, None, elements(value, level + 1))
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return Element(name, None, [text] if text else [])


def data_of(extra: Element | None, lists: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What `elements` has made: several of one name are a list, and those in `lists` always."""
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    for child in () if extra is None else extra.elements():
        name, value = child.name, data_of(child, lists) or child.text
        if name in repeated:
            found[name].append(value)
        elif name in lists or name in found:
            found[name] = [found[name], value] if name in found else [value]
            repeated.add(name)
        else:
            found[name] = value
    return found
