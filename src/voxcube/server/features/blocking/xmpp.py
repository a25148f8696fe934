"""Blocking at the XMPP door: the block list, and pushes to sessions that have asked for it (XEP-0191).

JavaScript never asks and is never pushed (quirks A13).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from voxcube.server.c2s.addresses import parsed
from voxcube.server.c2s.feature import Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest
from voxcube.server.core.ids import Ids
from voxcube.server.features.blocking.service import BlockingService
from voxcube.xmpp import ns
from voxcube.xmpp.stanza import iq
from voxcube.xmpp.xml import Element, serialize

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds until a list that could not be read is read again


class Blocking:
    """Requests about whom a user blocks."""

    def __init__(self, service: BlockingService, ids: Ids) -> None:
        self._service = service
        self._ids = ids
        self._told: dict[int, dict[Session, list[str]]] = {}  # user → sessions that have asked, and what they know
        self._doubtful: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    async def get(self, session: Session, stanza: Element) -> Element:
        """Who is blocked; from now on the session is told of changes."""
        blocked = await self._service.blocked(session.app_id, session.user_id)
        if not session.ended:
            self._told.setdefault(session.user_id, {})[session] = blocked
        return _with_items("blocklist", blocked)

    async def block(self, session: Session, stanza: Element) -> None:
        """Blocks somebody."""
        jids = _addresses(stanza)
        if not jids:
            raise BadRequest("Say who is to be blocked")
        await self._service.block(session.app_id, session.user_id, jids)

    async def unblock(self, session: Session, stanza: Element) -> None:
        """Blocks somebody no more, or nobody."""
        await self._service.unblock(session.app_id, session.user_id, _addresses(stanza) or None)

    def gone(self, session: Session) -> None:
        """The session has ended."""
        told = self._told.get(session.user_id)
        if told is not None and told.pop(session, None) is not None and not told:
            del self._told[session.user_id]

    # -- pushes ----------------------------------------------------------------------------------------------------

    def changed(self, keys: Iterable[tuple[Any, ...]]) -> None:
        """What is forgotten on all nodes: ("privacy", app, user) says that a user's lists have changed."""
        self._look({key[2] for key in keys if key[0] == "privacy"})

    def doubt(self) -> None:
        """Words of other nodes may have been missed."""
        self._look(set(self._told))

    def _look(self, users: set[int]) -> None:
        self._doubtful |= users & self._told.keys()
        if self._doubtful and self._task is None:
            self._task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        while self._doubtful:
            user_id = self._doubtful.pop()
            try:
                await self._tell(user_id)
            except Exception as error:  # the database is away
                log.warning("a block list could not be read: %s", type(error).__name__)
                self._doubtful.add(user_id)
                await asyncio.sleep(AGAIN)
        self._task = None

    async def _tell(self, user_id: int) -> None:
        for session in list(self._told.get(user_id, ())):
            now = await self._service.blocked(session.app_id, user_id)
            before = self._told.get(user_id, {}).get(session)
            if before is None:
                continue
            self._told[user_id][session] = now
            if added := [jid for jid in now if jid not in before]:
                self._push(session, _with_items("block", added))
            if removed := [jid for jid in before if jid not in now]:
                self._push(session, _with_items("unblock", removed if now else []))  # XEP-0191 §3.5: all

    def _push(self, session: Session, payload: Element) -> None:
        session.send(serialize(iq("set", f"block-{self._ids.object_id()}", payload, to=session.full)))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _with_items(name: str, jids: Iterable[str]) -> Element:
    return Element(name, {"xmlns": ns.BLOCKING}, [Element("item", {"jid": jid}) for jid in jids])


def _addresses(stanza: Element) -> list[str]:
    jids = [(item.get("jid") or "").strip() for item in next(stanza.elements()).elements() if item.name == "item"]
    for jid in jids:
        parsed(jid)
    return jids


def feature(blocking: Blocking) -> Feature:
    return Feature(
        "blocking",
        disco=(ns.BLOCKING,),
        iq={
            ("get", ns.BLOCKING, "blocklist"): blocking.get,
            ("set", ns.BLOCKING, "block"): blocking.block,
            ("set", ns.BLOCKING, "unblock"): blocking.unblock,
        },
    )
