"""Rooms with real sockets: the official JavaScript SDK, our SDK and slixmpp join, leave, and see each other kicked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import slixmpp

from tests.support.js_user import JsError
from tests.support.node import PASSWORD, Node, Person, running
from tests.support.sdk_users import browser, client
from voxcube.client import DialogType, EventStream, JoinEvent, KickEvent, LeaveEvent

SECONDS = 30


@pytest.fixture
async def node(tmp_path: Path, database_url: str) -> AsyncIterator[Node]:
    async with running(tmp_path / "node", "ann", "bob", "cyd", database=database_url) as found:
        yield found


@asynccontextmanager
async def standard(node: Node, person: Person) -> AsyncIterator[Any]:
    """A slixmpp client over direct TLS."""
    client: Any = slixmpp.ClientXMPP(person.jid, PASSWORD)
    client.enable_direct_tls, client.enable_starttls = True, False
    client.ca_certs = Path(node.config.data / "tls.crt")
    for plugin in ("xep_0030", "xep_0045", "xep_0199"):
        client.register_plugin(plugin)
    ready = asyncio.Event()
    client.add_event_handler("session_start", lambda _: ready.set())
    client.connect(*node.app.doors["xmpps"])
    await asyncio.wait_for(ready.wait(), SECONDS)
    client.send_presence()
    try:
        yield client
    finally:
        await asyncio.wait_for(client.disconnect(), SECONDS)


async def next_of(stream: EventStream[Any]) -> Any:
    return await asyncio.wait_for(anext(stream), SECONDS)


async def test_both_sdks_meet_in_a_room(node: Node) -> None:
    ann, bob, cyd = (node.people[name] for name in ("ann", "bob", "cyd"))
    async with browser(node, ann) as web, browser(node, bob) as other, client(node, cyd) as cube:
        dialog = await web.call("chat.dialog.create", {"type": 2, "name": "Room", "occupants_ids": [bob.id, cyd.id]})
        group = dialog["_id"]
        joined, left, kicked = (getattr(cube.chat.rooms, name)() for name in ("joined", "left", "kicked"))

        await web.call("chat.muc.join", group)
        await other.call("chat.muc.join", group)
        assert await web.event("joined") == [group, bob.id]
        assert await other.event("joined") == [group, ann.id]
        await cube.chat.rooms.join(group)
        for user in (web, other):
            assert await user.event("joined") == [group, cyd.id]
        assert {(await next_of(joined)).user_id for _ in range(2)} == {ann.id, bob.id}

        everybody = sorted([ann.id, bob.id, cyd.id])
        assert sorted(await web.call("chat.muc.listOnlineUsers", group)) == everybody
        assert await cube.chat.rooms.online(group) == everybody
        await other.call("chat.muc.leave", group)
        assert await web.event("left") == [group, bob.id]
        assert await next_of(left) == LeaveEvent(group, bob.id)
        assert sorted(await web.call("chat.muc.listOnlineUsers", group)) == everybody  # but not in the room

        # Chatting needs no joining.
        incoming = cube.chat.messages()
        await other.call("chat.send", group, {"type": "groupchat", "body": "Hi", "extension": {"save_to_history": 1}})
        assert (await next_of(incoming)).body == "Hi"
        await other.call("chat.muc.join", group)
        assert await web.event("joined") == [group, bob.id]
        assert await next_of(joined) == JoinEvent(group, bob.id)

        # The owner removes both: each is told by whom, and the owner that they are gone.
        removed = {"pull_all": {"occupants_ids": [bob.id, cyd.id]}}
        await web.call("chat.dialog.update", group, removed)
        assert await other.event("kicked") == [group, ann.id]
        assert await next_of(kicked) == KickEvent(group, ann.id)
        assert {tuple(await web.event("left")) for _ in range(2)} == {(group, bob.id), (group, cyd.id)}
        with pytest.raises(JsError) as refused:
            await other.call("chat.muc.join", group)
        assert refused.value.reason["code"] == "403"
        assert refused.value.reason["message"]
        assert await web.call("chat.muc.listOnlineUsers", group) == [ann.id]
        for user in (web, other):
            await user.settle()
            assert user.waiting("left") == user.waiting("kicked") == []
        assert web.waiting("joined") == []


async def test_a_member_leaves_and_a_dialog_is_deleted(node: Node) -> None:
    ann, bob, cyd = (node.people[name] for name in ("ann", "bob", "cyd"))
    async with browser(node, ann) as web, browser(node, bob) as other, client(node, cyd) as cube:
        dialog = await cube.dialogs.create(type=DialogType.PUBLIC, name="Anybody")
        for user in (web, other):
            await user.call("chat.dialog.subscribe", dialog.id)
            await user.call("chat.muc.join", dialog.id)
        await cube.chat.rooms.join(dialog.id)
        assert sorted([await web.event("joined"), await web.event("joined")]) == sorted(
            [[dialog.id, bob.id], [dialog.id, cyd.id]]
        )
        left = cube.chat.rooms.left()
        await other.call("chat.dialog.unsubscribe", dialog.id)
        assert await web.event("left") == [dialog.id, bob.id]
        assert await next_of(left) == LeaveEvent(dialog.id, bob.id)
        await other.settle()
        assert other.waiting("kicked") == []  # nobody has removed bob
        await cube.dialogs.delete(dialog.id, force=True)
        assert await web.event("kicked") == [dialog.id, cyd.id]


async def test_a_standard_client(node: Node) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    async with standard(node, ann) as user, client(node, bob) as cube:
        dialog = await cube.dialogs.create(type=DialogType.GROUP, name="Room", occupants_ids=[ann.id])
        room = ann.room(dialog.id)
        muc = user.plugin["xep_0045"]
        info = await user.plugin["xep_0030"].get_info(jid=room, timeout=SECONDS)
        assert ("conference", "text") in {(kind, type_) for kind, type_, *_ in info["disco_info"]["identities"]}
        rooms = await user.plugin["xep_0030"].get_items(jid="localhost", timeout=SECONDS)
        assert "muc.localhost" in {str(item[0]) for item in rooms["disco_items"]["items"]}
        await cube.chat.rooms.join(dialog.id)
        joined, left = cube.chat.rooms.joined(), cube.chat.rooms.left()
        nick = str(ann.id)
        _, _, occupants, history = await muc.join_muc_wait(room, nick, timeout=SECONDS, maxstanzas=0)
        assert str(bob.id) in {presence["from"].resource for presence in occupants}
        assert history == []
        assert (await next_of(joined)).user_id == ann.id
        await user.plugin["xep_0199"].ping(f"{room}/{nick}", timeout=SECONDS)  # still in (XEP-0410)
        messages: asyncio.Queue[Any] = asyncio.Queue()
        user.add_event_handler("groupchat_message", messages.put_nowait)
        await cube.chat.send(dialog, "Hei!")
        message = await asyncio.wait_for(messages.get(), SECONDS)
        assert (message["body"], message["mucnick"]) == ("Hei!", str(bob.id))
        muc.leave_muc(room, nick)
        assert await next_of(left) == LeaveEvent(dialog.id, ann.id)
