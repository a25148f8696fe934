"""slixmpp, a standard client, and a user of our SDK are contacts of each other (RFC 6121)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import slixmpp
from slixmpp.exceptions import IqError

from tests.support.node import PASSWORD, Node, Person, running
from tests.support.sdk_users import client
from voxcube.client import Contact, ContactChange, ContactRequest, EventStream, PresenceEvent, Subscription

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30
EVENTS = ("session_start", "roster_update", "presence_subscribe", "presence_available", "presence_unavailable")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("roster") / "node", "ann") as node:
        yield node


class Standard:
    """A slixmpp client that decides about requests itself; what happens to it can be waited for."""

    def __init__(self, node: Node, person: Person) -> None:
        self.client: Any = slixmpp.ClientXMPP(person.jid, PASSWORD)
        self.client.enable_direct_tls, self.client.enable_starttls = True, False
        self.client.ca_certs = Path(node.config.data / "tls.crt")
        roster: Any = self.client.roster
        roster.auto_authorize = roster.auto_subscribe = None
        self.happened: dict[str, asyncio.Queue[Any]] = {event: asyncio.Queue() for event in EVENTS}
        for event, queue in self.happened.items():
            self.client.add_event_handler(event, queue.put_nowait)
        self.client.connect(*node.app.doors["xmpps"])

    async def until(self, event: str, from_: str = "") -> Any:
        """The next event of this kind, from this user."""
        while True:
            found = await asyncio.wait_for(self.happened[event].get(), SECONDS)
            if not from_ or found["from"].bare == from_:
                return found

    @property
    def entry(self) -> Any:
        """What slixmpp knows of its contacts."""
        return self.client.client_roster


@asynccontextmanager
async def standard(node: Node, person: Person) -> AsyncIterator[Standard]:
    user = Standard(node, person)
    try:
        await user.until("session_start")
        await user.client.get_roster(timeout=SECONDS)
        await user.until("roster_update")
        user.client.send_presence()
        yield user
    finally:
        await asyncio.wait_for(user.client.disconnect(), SECONDS)


async def next_of(stream: EventStream[Any]) -> Any:
    return await asyncio.wait_for(anext(stream), SECONDS)


def _subscriptions(update: Any) -> list[str]:
    return [item["subscription"] for item in update["roster"]["items"].values()]


async def test_the_list_of_a_standard_client(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with standard(node, ann) as user, standard(node, ann) as twin:
        await user.client.update_roster(bob.jid, name="Bob", groups=["a", "b"], timeout=SECONDS)
        for each in (user, twin):
            await each.until("roster_update")
            item = each.entry[bob.jid]
            assert (item["name"], sorted(item["groups"]), item["subscription"]) == ("Bob", ["a", "b"], "none")
        await twin.client.update_roster(bob.jid, name="Robert", groups=[], timeout=SECONDS)
        await user.until("roster_update")
        assert (user.entry[bob.jid]["name"], user.entry[bob.jid]["groups"]) == ("Robert", [])
        with pytest.raises(IqError) as refused:
            await user.client.update_roster("999999-1@localhost", name="Nobody", timeout=SECONDS)
        assert refused.value.condition == "item-not-found"
        user.client.del_roster_item(bob.jid)
        async with asyncio.timeout(SECONDS):
            while _subscriptions(await twin.until("roster_update")) != ["remove"]:
                pass
        answer = await twin.client.get_roster(timeout=SECONDS)
        assert answer["roster"]["items"] == {}


async def test_a_standard_client_and_our_sdk_are_contacts(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with standard(node, ann) as user, client(node, bob) as cube:
        requests, presences = cube.chat.contacts.requests(), cube.chat.contacts.presences()
        changes = cube.chat.contacts.changes()
        assert await cube.chat.contacts.list() == ()
        user.client.send_presence_subscription(pto=bob.jid, ptype="subscribe")
        assert await next_of(requests) == ContactRequest(ann.id)
        await cube.chat.contacts.accept(ann.id)
        assert (await next_of(changes)).contact == Contact(ann.id, None, Subscription.FROM)
        await user.until("presence_available", bob.jid)
        await cube.chat.contacts.add(ann.id, "Ann")
        request = await user.until("presence_subscribe", bob.jid)
        user.client.send_presence_subscription(pto=request["from"], ptype="subscribed")
        assert await next_of(presences) == PresenceEvent(ann.id, available=True)
        while (await next_of(changes)) != ContactChange(ann.id, Contact(ann.id, "Ann", Subscription.BOTH)):
            pass
        async with asyncio.timeout(SECONDS):
            while user.entry[bob.jid]["subscription"] != "both":
                await user.until("roster_update")
        user.client.send_presence(pshow="dnd", pstatus="at work")
        assert await next_of(presences) == PresenceEvent(ann.id, True, "dnd", "at work")
        await cube.chat.disconnect()
        await user.until("presence_unavailable", bob.jid)
        await cube.chat.connect(bob.id, PASSWORD)
        await user.until("presence_available", bob.jid)
        assert await next_of(presences) == PresenceEvent(ann.id, available=False)  # a new session begins
        assert await next_of(presences) == PresenceEvent(ann.id, True, "dnd", "at work")
        await cube.chat.contacts.remove(ann.id)
        await user.until("presence_unavailable", bob.jid)
        assert await next_of(presences) == PresenceEvent(ann.id, available=False)
        async with asyncio.timeout(SECONDS):
            while user.entry[bob.jid]["subscription"] != "none":
                await user.until("roster_update")
