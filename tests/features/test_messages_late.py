"""Messages that reach their receiver in another way than at once: from storage, from the queue, as an echo."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.node import Node, running
from tests.support.postgres import PostgresServer
from voxcube.server.features.messages import service
from voxcube.server.features.messages.late import LateDelivery
from voxcube.server.storage.database import Unreachable
from voxcube.server.storage.late import LateStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAVE = "<save_to_history>1</save_to_history>"


def message(to: str, message_id: str, body: str, extra: str = SAVE, more: str = "") -> str:
    kind = "groupchat" if "@muc." in to else "chat"
    return (
        f'<message type="{kind}" id="{message_id}" to="{to}"><body>{body}</body>'
        f'<extraParams xmlns="jabber:client">{extra}</extraParams>{more}</message>'
    )


@pytest.mark.parametrize(
    "odd",
    [
        "<город>Осло</город>",
        "<meta><город>Осло</город></meta>",
        '<attachment type="image" xml:lang="en" größe="3"/>',
        '<x:city xmlns:x="urn:x">Oslo</x:city>',
    ],
)
async def test_names_beyond_ascii_do_not_stop_what_comes_late(stage: Node, odd: str) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one = await stage.login(ann)
    first, second, third = (stage.message_id() for _ in range(3))
    one.send(message(bob.jid, first, "odd", SAVE + odd))
    one.send(message(bob.jid, second, "plain"))
    await one.ping()
    other = await stage.login(bob)
    found = await other.wait("message", id=first)
    extra = found.find("extraParams")
    assert extra is not None
    await other.wait("message", id=second)
    one.send(message(bob.jid, third, "live"))
    await other.wait("message", id=third)


async def test_a_session_does_not_go_on_without_what_it_missed(stage: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one = await stage.login(ann)
    message_id = stage.message_id()
    one.send(message(bob.jid, message_id, "early"))
    await one.ping()

    async def away(self: LateStore, user_id: int) -> list[tuple[str, int, int]]:
        raise Unreachable

    with monkeypatch.context() as patch:
        patch.setattr(LateStore, "behind", away)
        other = await stage.login(bob, presence=False)
        other.send("<presence/>")
        await other.end("internal-server-error")
    other = await stage.login(bob)
    await other.wait("message", id=message_id)


async def test_a_group_message_comes_back_to_a_session_without_presence(stage: Node) -> None:
    ann, bob = stage.people["ann"], stage.people["bob"]
    group = await stage.dialog(ann, bob)
    one, other = await stage.login(ann, presence=False), await stage.login(bob)
    for extra in (SAVE, SAVE, ""):  # stored, sent again, only relayed
        message_id = f"{group[:-1]}0" if extra else stage.message_id()
        one.send(message(ann.room(group), message_id, "hello", extra))
        echo = await one.wait("message", id=message_id)
        assert echo.get("from") == f"{ann.room(group)}/{ann.id}"
        assert echo.get("to") == one.jid
    await one.ping()
    await other.ping()
    assert one.take_all("message") == []
    assert len(other.take_all("message")) == 2


async def test_a_session_that_breaks_off_does_not_repeat_what_the_others_have(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one, phone, desk = await stage.login(ann), await stage.login(bob, sm=True), await stage.login(bob, sm=True)
    message_id = stage.message_id()
    one.send(message(bob.jid, message_id, "once"))
    for peer in (phone, desk):
        await peer.wait("message", id=message_id)
    await phone.close()
    await desk.wait("presence", type="unavailable")
    await one.ping()
    for _ in range(20):
        await desk.ping()
    assert desk.take_all("message") == []


async def test_many_relayed_messages_wait_in_order(stage: Node) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one = await stage.login(ann, sm=True)
    ids = [stage.message_id() for _ in range(60)]
    one.send("".join(message(bob.jid, message_id, "later", "") for message_id in ids))
    assert await one.request() == 61  # and its presence
    other = await stage.login(bob)
    assert [(await other.wait("message")).get("id") for _ in ids] == ids


async def test_many_relayed_messages_wait_in_order_on_postgresql(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    async with running(tmp_path / "node", "ann", "bob", database=postgres_server.create_database()) as node:
        await test_many_relayed_messages_wait_in_order(node)


async def test_a_sender_waits_for_what_is_being_kept(stage: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = stage.people["ann"], await stage.person()
    one = await stage.login(ann, sm=True)
    waiting: list[Sequence[object]] = []
    release = asyncio.Event()

    async def stuck(self: LateDelivery, batch: Sequence[object]) -> None:
        waiting.append(batch)
        await release.wait()

    monkeypatch.setattr(LateDelivery, "_keep_batch", stuck)
    monkeypatch.setattr(service, "KEEPING", 20)
    one.send("".join(message(bob.jid, stage.message_id(), "later", "") for _ in range(200)))
    async with asyncio.timeout(30):
        while not waiting:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert len(waiting[0]) <= 20
    release.set()
    assert await one.request() == 201
