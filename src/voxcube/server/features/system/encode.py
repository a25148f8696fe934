"""The stanza of a system message made by REST (realtime §11.2)."""

from __future__ import annotations

from typing import Any

from voxcube.server.delivery.router import CHAT, Parcel, Router
from voxcube.xmpp.payloads import extra_params
from voxcube.xmpp.xml import Element, to_xml

MODULE = "SystemNotifications"


class SystemHeadlines:
    """`service.Headlines`."""

    def __init__(self, router: Router, domain: str) -> None:
        self._router = router
        self._domain = domain

    def send(self, app_id: int, user_id: int, to_user: int, message_id: str, parameters: Any, largest: int) -> None:
        """From the user's bare address; all parameters are children of extraParams, and there is no body."""
        extra = extra_params.encode(properties=parameters)
        extra.children.insert(0, Element("moduleIdentifier", None, [MODULE]))
        head = f'<message xmlns="jabber:client" from="{user_id}-{app_id}@{self._domain}" to="'.encode()
        tail = f'" type="headline" id="{message_id}">{to_xml(extra)}</message>'.encode()
        if len(head) + len(tail) > largest:
            raise ValueError(f"The message is too large (maximum is {largest} bytes)")
        self._router.send(Parcel(CHAT, app_id, to_user, "", 0, head, tail))
