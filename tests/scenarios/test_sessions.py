"""Chat sessions end with the token or the account that let them in, on whatever node, and keep their token alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.cluster import Cluster, joined
from tests.support.node import PASSWORD, Node, Person, running
from tests.support.postgres import PostgresServer
from tests.support.xmpp_peer import Peer
from voxcube.server.accounts import Accounts
from voxcube.server.app import App
from voxcube.server.storage.tokens import TokenStore


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running(tmp_path / "one", "alice", "bob") as found:
        yield found


async def by_token(node: Node, person: Person, token: str, door: str = "xmpp", *, presence: bool = True) -> Peer:
    peer = await node.connect(door)
    await peer.login(person.name, token)
    if presence:
        await peer.available()
    return peer


@pytest.mark.parametrize("door", ["xmpp", "ws"])
async def test_a_destroyed_token_ends_the_streams_that_used_it(node: Node, door: str) -> None:
    alice = node.people["alice"]
    first, second = await node.rest_login(alice), await node.rest_login(alice)
    with_first = await by_token(node, alice, first.headers["CB-Token"], door)
    unseen = await by_token(node, alice, first.headers["CB-Token"], door, presence=False)
    with_second = await by_token(node, alice, second.headers["CB-Token"], door)
    with_password = await node.login(alice, door=door)
    assert (await first.delete("/session")).status_code == 200
    await with_first.end("not-authorized")
    await unseen.end("not-authorized")
    await with_second.ping()
    await with_password.ping()
    again = await node.connect(door)
    await again.open()
    again.auth(alice.name, first.headers["CB-Token"])
    await again.wait("failure")
    for client in (first, second):
        await client.aclose()


async def test_every_way_a_token_ends(node: Node) -> None:
    alice = node.people["alice"]
    main = await node.rest_login(alice)
    kept = await by_token(node, alice, main.headers["CB-Token"])
    by_id, by_list, by_logout = [await node.rest_login(alice) for _ in range(3)]
    peers = [await by_token(node, alice, client.headers["CB-Token"]) for client in (by_id, by_list, by_logout)]
    assert (await by_logout.delete("/login")).status_code == 200
    await peers[2].end("not-authorized")
    session_id = (await by_id.get("/session")).json()["session"]["id"]
    assert (await main.delete(f"/session/{session_id}")).status_code == 200
    await peers[0].end("not-authorized")
    assert (await main.delete("/session/list")).status_code == 200
    await peers[1].end("not-authorized")
    await kept.ping()
    for client in (main, by_id, by_list, by_logout):
        await client.aclose()


async def test_a_deleted_user_is_disconnected(node: Node) -> None:
    alice, bob = node.people["alice"], node.people["bob"]
    group = await node.dialog(alice, bob)
    peers = [await node.login(alice), await node.login(alice, door="ws", presence=False)]
    other = await node.login(bob)

    async def write() -> str:
        message_id = node.message_id()
        head = f'<message xmlns="jabber:client" type="chat" id="{message_id}" to="{alice.jid}"><body>hello</body>'
        extra = '<extraParams xmlns="jabber:client"><save_to_history>1</save_to_history></extraParams>'
        other.send(f"{head}{extra}</message>")
        return message_id

    first = await write()
    await peers[0].wait("message", id=first)
    async with await node.rest_login(alice) as client:
        peers.append(await by_token(node, alice, client.headers["CB-Token"]))
        assert (await client.delete(f"/users/{alice.id}")).status_code == 200
    for peer in peers:
        await peer.end("not-authorized")
    refused = await other.wait("message", id=await write(), type="error")
    error = refused.find("error")
    assert error is not None
    assert error.find("item-not-found") is not None
    again = await node.connect()
    await again.open()
    again.auth(alice.name, PASSWORD)
    await again.wait("failure")
    async with await node.rest_login(bob) as client:
        dialogs = {dialog["type"]: dialog for dialog in (await client.get("/chat/Dialog")).json()["items"]}
    assert (dialogs[2]["_id"], dialogs[2]["user_id"], dialogs[2]["occupants_ids"]) == (group, bob.id, [bob.id])
    assert [message["_id"] for message in await node.history(bob, dialogs[3]["_id"])] == [first]


async def test_a_guest_chats_with_the_token(node: Node) -> None:
    alice = node.people["alice"]
    body = {"application_id": alice.app_id, "auth_key": node.auth_key, "user": {"guest": "1", "full_name": "Guest"}}
    async with node.rest() as client:
        session = (await client.post("/session", json=body)).json()["session"]
    guest = Person(session["user_id"], alice.app_id, session["user"]["login"])
    peer = await by_token(node, guest, session["token"])
    receiver = await node.login(alice)
    head = f'<message xmlns="jabber:client" type="chat" id="{node.message_id()}" to="{alice.jid}">'
    peer.send(f"{head}<body>hello</body></message>")
    message = await receiver.wait("message")
    body_element = message.find("body")
    assert body_element is not None
    assert body_element.text == "hello"


async def test_a_look_extends_what_lives_and_ends_what_does_not(node: Node) -> None:
    alice, app = node.people["alice"], node.app
    tokens = TokenStore(app.database)
    clients = [await node.rest_login(alice) for _ in range(2)]
    kept, lost = [client.headers["CB-Token"] for client in clients]
    peers = [await by_token(node, alice, token) for token in (kept, lost)]
    with_password = await node.login(alice)
    before = await tokens.find(kept)
    assert before is not None
    await app.writer.run(lambda tx: tokens.delete(tx, lost))  # another node did, and its word was lost
    app.logins._service._lifetime += 1000
    await app.logins.look()
    after = await tokens.find(kept)
    assert after is not None
    assert after.expires_at >= before.expires_at + 1000
    await peers[1].end("not-authorized")
    await peers[0].ping()
    await with_password.ping()
    await app.writer.run(lambda tx: tokens.delete(tx, kept))
    await app.logins.look()  # only at what is new
    await peers[0].ping()
    app.logins.doubt()
    await app.logins.look()
    await peers[0].end("not-authorized")
    await with_password.ping()
    for client in clients:
        await client.aclose()


# -- two nodes ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def cluster(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with joined(postgres_server.create_database(), tmp_path, "alice", "bob") as found:
        yield found


async def rest(cluster: Cluster, app: App, login: str) -> httpx.AsyncClient:
    host, port = app.doors["http"]
    application = cluster.application
    client = httpx.AsyncClient(base_url=f"http://{host}:{port}")
    user = {"login": login, "password": PASSWORD}
    body = {"application_id": application.id, "auth_key": application.auth_key, "user": user}
    answer = await client.post("/session", json=body)
    client.headers["CB-Token"] = answer.json()["session"]["token"]
    return client


async def chat(cluster: Cluster, app: App, login: str, password: str) -> Peer:
    peer = await Peer.connect(app.doors["xmpp"])
    await peer.login(f"{cluster.user(login)}-{cluster.application.id}", password)
    await peer.available()
    return peer


async def test_tokens_and_accounts_end_on_all_nodes(cluster: Cluster) -> None:
    here, there = cluster.nodes
    client = await rest(cluster, here, "alice")
    second = await rest(cluster, here, "alice")
    token = client.headers["CB-Token"]
    peer = await chat(cluster, there, "alice", token)
    with_password = await chat(cluster, there, "alice", PASSWORD)
    assert (await client.delete("/session")).status_code == 200
    await peer.end("not-authorized")
    await with_password.ping()
    assert (await second.delete(f"/users/{cluster.user('alice')}")).status_code == 200
    await with_password.end("not-authorized")
    for one in (client, second):
        await one.aclose()


async def test_a_lost_word_is_made_good(cluster: Cluster) -> None:
    here, there = cluster.nodes
    client, owner = await rest(cluster, here, "alice"), await rest(cluster, here, "bob")
    peer = await chat(cluster, there, "alice", client.headers["CB-Token"])
    with_password = await chat(cluster, there, "bob", PASSWORD)
    await there.logins.look()
    await there.logins.look()
    cluster.bus.interrupt()
    assert (await client.delete("/session")).status_code == 200
    assert (await owner.delete(f"/users/{cluster.user('bob')}")).status_code == 200
    await peer.ping()
    await with_password.ping()
    cluster.bus.restore()
    await there.logins.look()
    await peer.end("not-authorized")
    await with_password.end("not-authorized")
    for one in (client, owner):
        await one.aclose()


# -- a changed password ------------------------------------------------------------------------------------------------

NEW = "another horse"


async def change_password(client: httpx.AsyncClient, user_id: int) -> None:
    body = {"user": {"old_password": PASSWORD, "password": NEW}}
    answer = await client.put(f"/users/{user_id}", json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("door", ["xmpp", "ws"])
async def test_a_changed_password_ends_all_other_sessions(node: Node, door: str) -> None:
    alice, bob = node.people["alice"], node.people["bob"]
    mine, stolen = await node.rest_login(alice), await node.rest_login(alice)
    with_mine = await by_token(node, alice, mine.headers["CB-Token"], door)
    with_stolen = await by_token(node, alice, stolen.headers["CB-Token"], door)
    with_password = await node.login(alice, door=door)
    detached = await node.login(alice, sm=False)
    detached.send('<enable xmlns="urn:xmpp:sm:3" resume="true"/>')
    resume_id = (await detached.wait("enabled")).attrs["id"]
    detached.writer.transport.abort()
    other = await node.login(bob, door=door)
    await change_password(mine, alice.id)
    await with_stolen.end("not-authorized")
    await with_password.end("not-authorized")
    await with_mine.ping()
    await other.ping()
    assert [(await client.get("/session")).status_code for client in (mine, stolen)] == [200, 401]
    again = await node.connect()
    await again.open()
    again.auth(alice.name, NEW)
    await again.wait("success")
    again.restart()
    await again.open()
    again.send(f'<resume xmlns="urn:xmpp:sm:3" previd="{resume_id}" h="0"/>')
    assert (await again.wait("failed")).find("item-not-found") is not None
    for client in (mine, stolen):
        await client.aclose()


async def test_a_changed_password_ends_sessions_on_all_nodes(cluster: Cluster) -> None:
    here, there = cluster.nodes
    alice = cluster.user("alice")
    client, stolen = await rest(cluster, here, "alice"), await rest(cluster, there, "alice")
    peers = [await chat(cluster, there, "alice", word) for word in (PASSWORD, stolen.headers["CB-Token"])]
    kept = await chat(cluster, there, "alice", client.headers["CB-Token"])
    await change_password(client, alice)
    for peer in peers:
        await peer.end("not-authorized")
    await kept.ping()
    assert (await stolen.get("/session")).status_code == 401
    for one in (client, stolen):
        await one.aclose()


async def test_a_lost_event_of_a_changed_password_is_made_good(cluster: Cluster) -> None:
    here, there = cluster.nodes
    client = await rest(cluster, here, "alice")
    peer, kept = [await chat(cluster, there, "alice", word) for word in (PASSWORD, client.headers["CB-Token"])]
    await there.logins.look()
    cluster.bus.interrupt()
    await change_password(client, cluster.user("alice"))
    await peer.ping()
    cluster.bus.restore()
    await peer.end("not-authorized")
    await kept.ping()
    await client.aclose()


async def test_a_password_set_by_the_command_line_ends_all_sessions(node: Node) -> None:
    alice = node.people["alice"]
    client = await node.rest_login(alice)
    peers = [await by_token(node, alice, client.headers["CB-Token"]), await node.login(alice)]
    other = await node.login(node.people["bob"])
    async with Accounts.open(node.config) as accounts:
        await accounts.users.set_password(await accounts.apps.get(alice.app_id), alice.id, NEW)
    for peer in peers:
        await peer.end("not-authorized")
    await other.ping()
    assert (await client.get("/session")).status_code == 401
    await client.aclose()


async def test_a_rotated_administration_key_stops_working(node: Node) -> None:
    app_id = node.people["alice"].app_id

    async def status(client: httpx.AsyncClient, key: str) -> int:
        answer = await client.post("/admin/chat", json={}, headers={"CB-Administration-API-Key": key})
        return answer.status_code

    async with node.rest() as client, Accounts.open(node.config) as accounts:
        first = (await accounts.apps.rotate_keys(app_id, ["admin_api_key"]))["admin_api_key"]
        async with asyncio.timeout(10):
            while await status(client, first) == 401:
                await asyncio.sleep(0.05)
        second = (await accounts.apps.rotate_keys(app_id, ["admin_api_key"]))["admin_api_key"]
        async with asyncio.timeout(10):
            while await status(client, first) != 401:
                await asyncio.sleep(0.05)
        assert await status(client, second) != 401
