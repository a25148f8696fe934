"""Privacy lists at the XMPP door (XEP-0016, realtime §15).

Nothing is pushed: JavaScript takes a push for a last activity (quirks A13).
"""

from __future__ import annotations

from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest
from voxcube.server.core.privacy import PrivacyItem
from voxcube.server.features.privacy.screens import Screens
from voxcube.server.features.privacy.service import PrivacyService
from voxcube.xmpp.payloads import privacy
from voxcube.xmpp.xml import Element


class PrivacyLists:
    """Requests about a user's own lists."""

    def __init__(self, service: PrivacyService, screens: Screens) -> None:
        self._service = service
        self._screens = screens

    async def get(self, session: Session, stanza: Element) -> Element:
        """The names of all lists, or one list."""
        children = _children(stanza)
        if children and (len(children) > 1 or children[0].name != "list"):
            raise BadRequest("One list at a time can be read")
        if not children:
            return await self._names(session)
        name = children[0].get("name") or ""
        items = await self._service.items(session.app_id, session.user_id, name)
        return privacy.query(privacy.encode(name, map(_to_wire, items)))

    async def _names(self, session: Session) -> Element:
        names, default = await self._service.names(session.app_id, session.user_id)
        reply = privacy.query(*(privacy.encode(name) for name in names))
        # JavaScript reads one without a name as "": what is not set is left out.
        for kind, name in (("default", default), ("active", self._screens.active_name(session))):
            if name is not None:
                reply.children.insert(0, Element(kind, {"name": name}))
        return reply

    async def set(self, session: Session, stanza: Element) -> None:
        """Writes a list, or chooses the default or the active one."""
        children = _children(stanza)
        if len(children) != 1:
            raise BadRequest("One change at a time can be made")
        (change,) = children
        app_id, user_id, name = session.app_id, session.user_id, change.get("name")
        if change.name == "list":
            await self._service.put(app_id, user_id, name or "", _read(change))
        elif change.name == "default":
            await self._service.set_default(app_id, user_id, name or None)
        elif change.name == "active":
            await self._screens.activate(session, name or None)
        else:
            raise BadRequest("There is no such change")


def _children(stanza: Element) -> list[Element]:
    return list(next(stanza.elements()).elements())


def _read(element: Element) -> list[PrivacyItem]:
    try:
        items = privacy.decode(element)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return [PrivacyItem(item.order, item.action == privacy.DENY, item.type, item.value, item.kinds) for item in items]


def _to_wire(item: PrivacyItem) -> privacy.Item:
    return privacy.Item(item.order, privacy.DENY if item.deny else privacy.ALLOW, item.type, item.value, item.kinds)


def feature(lists: PrivacyLists) -> Feature:
    return Feature(
        "privacy",
        disco=(privacy.NAMESPACE,),
        iq={("get", privacy.NAMESPACE, "query"): lists.get, ("set", privacy.NAMESPACE, "query"): lists.set},
    )
