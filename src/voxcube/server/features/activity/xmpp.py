"""Last activity at the XMPP door: answers, subscriptions, and what they are pushed (XEP-0012, realtime §12)."""

from __future__ import annotations

from voxcube.server.c2s.addresses import user_of
from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest
from voxcube.server.core.ids import Ids
from voxcube.server.features.activity.service import ActivityService
from voxcube.server.features.activity.watching import Watching
from voxcube.xmpp.jid import user_jid
from voxcube.xmpp.payloads import last_activity
from voxcube.xmpp.stanza import iq
from voxcube.xmpp.xml import Element, serialize


class LastActivity:
    """Requests about when somebody was here."""

    def __init__(self, service: ActivityService, ids: Ids, domain: str) -> None:
        self.watching = Watching(service, self._push)
        self._service = service
        self._ids = ids
        self._domain = domain

    def own(self, session: Session, stanza: Element) -> Element:
        """Without an address it is the own account, which is here; to the server: since when it runs."""
        return last_activity.encode(self._service.uptime if stanza.get("to") else 0)

    async def of_user(self, session: Session, stanza: Element) -> Element:
        """Of the user that the request is addressed to."""
        user_id = user_of(stanza.attrs["to"], session.app_id, self._domain)
        return last_activity.encode(await self._service.seconds(session.app_id, session.user_id, user_id))

    async def subscribe(self, session: Session, stanza: Element) -> None:
        """Begins or ends being told of a user."""
        try:
            jid, enable = last_activity.read_subscribe(next(stanza.elements()))
        except ValueError as error:
            raise BadRequest(str(error)) from None
        user_id = user_of(jid, session.app_id, self._domain)
        if enable:
            await self.watching.watch(session, user_id)
        else:
            self.watching.unwatch(session, user_id)

    def _push(self, session: Session, user_id: int, seconds: int) -> None:
        """As a result that answers nothing: JavaScript would answer a set or get with an error (realtime §12.1)."""
        from_ = user_jid(user_id, session.app_id, self._domain)
        id_ = f"las-{self._ids.object_id()}"
        session.send(serialize(iq("result", id_, last_activity.encode(seconds), from_=from_, to=session.full)))


def feature(activity: LastActivity) -> Feature:
    query = ("get", last_activity.NAMESPACE, "query")
    return Feature(
        "activity",
        disco=(last_activity.NAMESPACE,),
        iq={query: activity.own, ("set", last_activity.STREAMING, "subscribe"): activity.subscribe},
        session_iq={query: activity.of_user},
    )
