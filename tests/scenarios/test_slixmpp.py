"""slixmpp, a standard XMPP client, logs in over STARTTLS and direct TLS and chats with users of both SDKs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import slixmpp

from tests.support.js_user import JsUser
from tests.support.node import PASSWORD, Node, Person, running
from voxcube.client import Client, EventStream, StanzaError

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("slixmpp") / "node", "ann", "bob", plaintext=False) as node:
        yield node


class Standard:
    """A slixmpp client; `door` is xmpp (STARTTLS) or xmpps."""

    def __init__(self, node: Node, person: Person, door: str, *, password: str = PASSWORD) -> None:
        self.client: Any = slixmpp.ClientXMPP(person.jid, password)
        self.client.enable_direct_tls = door == "xmpps"
        self.client.enable_starttls = door == "xmpp"
        self.client.ca_certs = Path(node.config.data / "tls.crt")
        for plugin in ("xep_0030", "xep_0085", "xep_0198", "xep_0199", "xep_0280", "xep_0313", "xep_0333"):
            self.client.register_plugin(plugin)
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.happened: dict[str, asyncio.Future[Any]] = {}
        for event in ("session_start", "session_resumed", "failed_auth"):
            self.happened[event] = asyncio.get_running_loop().create_future()
            self.client.add_event_handler(event, lambda value, event=event: self._set(event, value))
        self.client.add_event_handler("message", self.messages.put_nowait)
        self.client.add_event_handler("disconnected", self._connect_again)
        self.door = node.app.doors[door]
        self.leaving = False
        self.client.connect(*self.door)

    def _connect_again(self, _: Any) -> None:
        if not self.leaving:
            self.client.connect(*self.door)

    def _set(self, event: str, value: Any) -> None:
        if not self.happened[event].done():
            self.happened[event].set_result(value)

    async def until(self, event: str) -> None:
        await asyncio.wait_for(self.happened[event], SECONDS)

    async def message(self) -> Any:
        return await asyncio.wait_for(self.messages.get(), SECONDS)


@asynccontextmanager
async def standard(node: Node, person: Person, door: str, **more: Any) -> AsyncIterator[Standard]:
    user = Standard(node, person, door, **more)
    try:
        yield user
    finally:
        user.leaving = True
        await asyncio.wait_for(user.client.disconnect(), SECONDS)


@asynccontextmanager
async def sdk_user(node: Node, person: Person) -> AsyncIterator[Client]:
    async with Client(
        app_id=person.app_id,
        auth_key=node.auth_key,
        api_url=f"https://localhost:{node.app.doors['https'][1]}",
        chat_host="localhost",
        chat_address="127.0.0.1",
        chat_port=node.app.doors["xmpps"][1],
        ca_file=node.config.data / "tls.crt",
    ) as cube:
        session = await cube.auth.create_session(login=person.login, password=PASSWORD)
        await cube.chat.connect(session.user_id, PASSWORD)
        yield cube


async def next_of(stream: EventStream[Any]) -> Any:
    return await asyncio.wait_for(anext(stream), SECONDS)


@pytest.mark.parametrize("door", ["xmpp", "xmpps"])
async def test_a_chat_with_an_sdk_user(node: Node, door: str) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    async with standard(node, ann, door) as user, sdk_user(node, bob) as cube:
        await user.until("session_start")
        assert ("starttls" in user.client.features) is (door == "xmpp")
        client, plugin = user.client, user.client.plugin
        client.send_presence()
        await client.get_roster(timeout=SECONDS)
        assert "urn:xmpp:carbons:2" in (await plugin["xep_0030"].get_info(jid="localhost"))["disco_info"]["features"]
        assert await plugin["xep_0199"].ping("localhost", timeout=SECONDS) < SECONDS
        incoming = cube.chat.messages()
        client.send_message(mto=bob.jid, mbody="Hei <b>&amp;</b> ☕", mtype="chat")
        message = await next_of(incoming)
        assert (message.body, message.sender_id) == ("Hei <b>&amp;</b> ☕", ann.id)
        await cube.chat.send(to_user=ann.id, body="Hei!")
        answer = await user.message()
        assert (answer["body"], answer["type"], answer["from"].bare) == ("Hei!", "chat", bob.jid)
        assert answer["to"] == client.boundjid.full
        # Stream management counts both ways.
        assert plugin["xep_0198"].enabled_out
        plugin["xep_0198"].request_ack()
        async with asyncio.timeout(SECONDS):
            while plugin["xep_0198"].unacked_queue:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def javascript_user(node: Node, person: Person, door: str) -> AsyncIterator[JsUser]:
    doors, rest = node.app.doors, "https" if door == "wss" else "http"
    endpoints = {
        "api": "localhost",
        "api_url": f"{rest}://localhost:{doors[rest][1]}",
        "chat": "localhost",
        "chat_url": f"{door}://localhost:{doors[door][1]}",
    }
    trust = node.config.data / "tls.crt"
    async with JsUser(person.app_id, node.auth_key, {"endpoints": endpoints}, trust=trust) as user:
        await user.call("createSession", {"login": person.login, "password": PASSWORD})
        await user.call("chat.connect", {"userId": person.id, "password": PASSWORD})
        await user.settle()
        yield user


@pytest.mark.parametrize(("door", "theirs"), [("xmpp", "wss"), ("xmpps", "ws")])
async def test_a_chat_with_a_user_of_the_javascript_sdk(node: Node, door: str, theirs: str) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    async with standard(node, ann, door) as user, javascript_user(node, bob, theirs) as browser:
        await user.until("session_start")
        user.client.send_presence()
        user.client.send_message(mto=bob.jid, mbody="Hei <b>&amp;</b> ☕", mtype="chat")
        sender, message = await browser.event("message")
        assert (sender, message["body"]) == (ann.id, "Hei <b>&amp;</b> ☕")
        assert message["extension"]["date_sent"]  # apps read it without asking (quirks A23)
        await browser.call("chat.send", ann.id, {"type": "chat", "body": "Hei!", "extension": {"save_to_history": 1}})
        while not (answer := await user.message())["body"]:  # the markers that JS sends by itself
            pass
        assert (answer["body"], answer["type"], answer["from"].bare) == ("Hei!", "chat", bob.jid)


@pytest.mark.parametrize("door", ["xmpp", "xmpps"])
async def test_a_wrong_password(node: Node, door: str) -> None:
    async with standard(node, node.people["ann"], door, password="wrong horse") as user:
        await user.until("failed_auth")
        assert not user.happened["session_start"].done()


@pytest.mark.parametrize("door", ["xmpp", "xmpps"])
async def test_a_broken_connection_is_resumed(node: Node, door: str) -> None:
    ann, bob = await node.person(), await node.person()
    async with standard(node, ann, door) as user, sdk_user(node, bob) as cube:
        await user.until("session_start")
        client, management = user.client, user.client.plugin["xep_0198"]
        incoming = cube.chat.messages()
        client.send_presence()
        client.send_message(mto=bob.jid, mbody="before", mtype="chat")
        assert (await next_of(incoming)).body == "before"
        resource, session = client.boundjid.full, management.sm_id
        client.transport.abort()
        await cube.chat.send(to_user=ann.id, body="meanwhile")
        await user.until("session_resumed")
        assert (client.boundjid.full, management.sm_id) == (resource, session)
        assert (await user.message())["body"] == "meanwhile"
        client.send_message(mto=bob.jid, mbody="after", mtype="chat")
        assert (await next_of(incoming)).body == "after"
        assert user.messages.empty()


async def test_a_refused_message_is_told_before_it_is_counted(node: Node) -> None:
    async with standard(node, node.people["ann"], "xmpps") as user:
        await user.until("session_start")
        told: list[str] = []
        user.client.add_event_handler("message_error", lambda message: told.append(f"refused {message['id']}"))
        user.client.add_event_handler("stanza_acked", lambda stanza: told.append(f"counted {stanza['id']}"))
        message = user.client.make_message(mto="999999-1@localhost", mbody="hello?", mtype="chat")
        message["id"] = "m1"
        message.send()  # it is written a little later
        async with asyncio.timeout(SECONDS):
            while "counted m1" not in told:
                user.client.plugin["xep_0198"].request_ack()
                await asyncio.sleep(0.02)
        assert [each for each in told if each.endswith("m1")] == ["refused m1", "counted m1"]


async def test_blocking_and_last_activity(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with standard(node, ann, "xmpps") as user, sdk_user(node, bob) as cube:
        await user.until("session_start")
        for plugin in ("xep_0012", "xep_0191"):
            user.client.register_plugin(plugin)
        user.client.send_presence()
        blocking = user.client.plugin["xep_0191"]
        pushes: asyncio.Queue[Any] = asyncio.Queue()
        for event in ("blocked", "unblocked"):
            user.client.add_event_handler(event, pushes.put_nowait)
        assert await blocking.get_blocked_jids(timeout=SECONDS) == set()
        assert (await user.client.plugin["xep_0012"].get_last_activity(bob.jid, timeout=SECONDS))["last_activity"][
            "seconds"
        ] == 0
        await blocking.block(bob.jid, timeout=SECONDS)
        pushed = await asyncio.wait_for(pushes.get(), SECONDS)
        assert [item["jid"] for item in pushed["block"]] == [bob.jid]
        assert {str(jid) for jid in await blocking.get_blocked_jids(timeout=SECONDS)} == {bob.jid}
        for _ in range(2):
            with pytest.raises(StanzaError) as refused:
                await cube.chat.send(to_user=ann.id, body="blocked")
            assert refused.value.code == 503
        await blocking.unblock(bob.jid, timeout=SECONDS)
        await asyncio.wait_for(pushes.get(), SECONDS)
        await cube.chat.send(to_user=ann.id, body="again")
        assert (await user.message())["body"] == "again"


async def test_reads_the_archive_and_is_in_it(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    async with standard(node, bob, "xmpps") as user, sdk_user(node, ann) as cube:
        await user.until("session_start")
        user.client.send_presence()
        messages = cube.chat.messages()
        for number in range(5):
            await cube.chat.send(to_user=bob.id, body=f"kept {number}")
        archive = user.client.plugin["xep_0313"]
        found = [one async for one in archive.iterate(rsm={"max": 2})]
        bodies = [one["mam_result"]["forwarded"]["stanza"]["body"] for one in found]
        assert bodies == [f"kept {number}" for number in range(5)]
        # Who reads the archive is in it, also without knowing our `save_to_history`.
        user.client.send_message(mto=ann.jid, mbody="from a standard client", mtype="chat")
        message = await asyncio.wait_for(anext(messages), SECONDS)
        assert message.dialog_id is not None
        kept = await cube.messages.list(message.dialog_id)
        assert kept[-1].body == "from a standard client"
