"""Programs that run for long with our own SDK: late listeners, restarts, replaced sessions, ended tokens, sizes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.scenarios.support_people import PASSWORD, Meeting, World, me, next_of
from tests.support.server_process import ServerProcess
from voxcube.client import (
    AuthenticationFailed,
    ChatClosed,
    Client,
    ConnectionState,
    Message,
    ReconnectPolicy,
    Session,
    SessionReplaced,
    TransportError,
)
from voxcube.client.wire import LARGEST


async def ready_again(cube: Client) -> None:
    async with asyncio.timeout(60):
        while not cube.chat.is_ready:
            await asyncio.sleep(0.05)


async def state_is(cube: Client, wanted: ConnectionState) -> None:
    async with asyncio.timeout(60):
        while cube.chat.state is not wanted:
            await asyncio.sleep(0.02)


async def test_nothing_is_delivered_before_a_listener_has_it(meeting: Meeting) -> None:
    """Connect, then read; and the sender learns "delivered" only then."""
    ann, bob = await meeting.come(), await meeting.come(online=False)
    delivered = ann.chat.delivered()
    waited = await ann.chat.send(to_user=me(bob), body="while away")
    await bob.chat.connect(me(bob), PASSWORD)
    between = await ann.chat.send(to_user=me(bob), body="before the listener")
    await asyncio.gather(ann.chat.ping(), bob.chat.ping())
    await ann.messages.list(str((await bob.dialogs.list())[0].id), mark_as_read=False)
    await ann.chat.ping()
    assert len(delivered._queue) == 0
    messages = bob.chat.messages()
    assert {(await next_of(messages)).id for _ in range(2)} == {waited.id, between.id}
    assert {(await next_of(delivered)).message_id for _ in range(2)} == {waited.id, between.id}


async def test_what_no_listener_had_comes_to_the_next_program(meeting: Meeting) -> None:
    """The server's cursor has not moved past it; past what was read it has."""
    ann, bob = await meeting.come(), await meeting.come()
    messages = bob.chat.messages()
    sent = [await ann.chat.send(to_user=me(bob), body=f"message {number}") for number in range(5)]
    assert [(await next_of(messages)).id for _ in range(2)] == [message.id for message in sent[:2]]
    await bob.chat.ping()
    await bob.close()
    async with meeting.world.client() as again:
        await again.chat.connect(me(bob), PASSWORD)
        late = again.chat.messages()
        assert [(await next_of(late)).id for _ in range(3)] == [message.id for message in sent[2:]]


async def test_replaced_by_another_session(meeting: Meeting) -> None:
    bob = await meeting.come(online=False)
    await bob.chat.connect(me(bob), PASSWORD, resource="bot")
    reading = asyncio.create_task(next_of(bob.chat.messages()))
    await asyncio.sleep(0)
    async with meeting.world.client() as second:
        await second.chat.connect(me(bob), PASSWORD, resource="bot")
        with pytest.raises(ChatClosed) as caught:
            await reading
        assert isinstance(caught.value.reason, SessionReplaced)
        assert isinstance(await bob.chat.closed(), SessionReplaced)
        await second.chat.ping()
        assert second.chat.is_ready


async def test_a_token_that_has_ended_is_renewed_once(meeting: Meeting) -> None:
    """At the first connect, and when the server ends the chat of a destroyed session."""
    made: list[Session] = []

    async def renew() -> Session:
        made.append(await bob.auth.create_session(login=login, password=PASSWORD))
        return made[-1]

    bob = await meeting.come(online=False, on_session_expired=renew, reconnect=ReconnectPolicy(delay=0.05))
    assert bob.session is not None
    assert bob.session.user is not None
    login, user_id, first = bob.session.user.login or "", me(bob), bob.session
    async with meeting.world.client() as other:
        await other.auth.create_session(login=login, password=PASSWORD)
        await other.auth.destroy_other_sessions()
        await bob.chat.connect(user_id)
        assert len(made) == 1
        assert bob.session.token != first.token
        ann = await meeting.come()
        messages = bob.chat.messages()
        await other.auth.destroy_other_sessions()
        await state_is(bob, ConnectionState.RECONNECTING)
        sent = await ann.chat.send(to_user=user_id, body="hi")
        assert (await next_of(messages)).id == sent.id
        await ready_again(bob)
        assert len(made) == 2


async def test_a_token_without_a_renewal_ends_the_chat(meeting: Meeting) -> None:
    bob = await meeting.come(online=False, reconnect=ReconnectPolicy(delay=0.05))
    await bob.chat.connect(me(bob))
    await bob.auth.destroy_session()
    assert isinstance(await asyncio.wait_for(bob.chat.closed(), 30), AuthenticationFailed)


@pytest.mark.parametrize("transport", ["tls", "ws"])
async def test_the_largest_message_and_one_byte_more(meeting: Meeting, transport: str) -> None:
    port = meeting.world.server.addresses["xmpps" if transport == "tls" else "wss"][1]
    ann, bob = await meeting.come(transport=transport, chat_port=port), await meeting.come()
    messages = bob.chat.messages()
    size = LARGEST
    while True:
        try:
            sent = await ann.chat.send(to_user=me(bob), body="x" * size)
            break
        except ValueError as error:
            size -= int(str(error).split()[2]) - LARGEST
    with pytest.raises(ValueError, match="at most 262144"):
        await ann.chat.send(to_user=me(bob), body="x" * (size + 1))
    assert (await next_of(messages)).id == sent.id
    assert (await (await ann.chat.send(to_user=me(bob), body="short")).reply("again")).body == "again"
    assert [(await next_of(messages)).body for _ in range(2)] == ["short", "again"]


# A server that restarts


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Meeting]:
    with ServerProcess(tmp_path, unlimited=True) as server:
        async with AsyncExitStack() as stack:
            yield Meeting(World(server), stack)


async def test_a_bot_outlives_restarts(own: Meeting, caplog: pytest.LogCaptureFixture) -> None:
    """It answers before and after a stop and a kill, without any code for it, and the log tells why it was away."""
    caplog.set_level(logging.INFO, "voxcube.client")
    policy = ReconnectPolicy(delay=0.1, max_delay=0.5)
    ann, bot = await own.come(reconnect=policy), await own.come(reconnect=policy)

    async def answer() -> None:
        async for message in bot.chat.messages():
            await message.reply(f"You said: {message.body}")

    answering = asyncio.create_task(answer())
    answers, confirmed = ann.chat.messages(), bot.chat.sent()
    for number, end in enumerate((None, own.world.server.stop, own.world.server.kill)):
        if end is not None:
            await asyncio.to_thread(end)
            for cube in (ann, bot):
                await state_is(cube, ConnectionState.RECONNECTING)
            await asyncio.to_thread(own.world.server.start)
            await asyncio.gather(ready_again(ann), ready_again(bot))
        await ann.chat.send(to_user=me(bot), body=f"question {number}")
        said: Message = await next_of(answers)
        assert said.body == f"You said: question {number}"
        await next_of(confirmed)
    assert not answering.done()
    told = caplog.text
    assert told.count("is lost") >= 4
    assert "attempt 1 failed: cannot connect to" in told
    assert PASSWORD not in told
    await bot.close()
    await asyncio.wait_for(answering, 10)


async def test_a_policy_that_gives_up_ends_the_bot(own: Meeting) -> None:
    bot = await own.come(reconnect=ReconnectPolicy(max_attempts=2, delay=0.05))
    reading = asyncio.create_task(next_of(bot.chat.messages()))
    await asyncio.sleep(0)
    own.world.server.kill()
    why = await asyncio.wait_for(bot.chat.closed(), 30)
    assert isinstance(why, TransportError)
    assert str(own.world.server.addresses["xmpps"][1]) in str(why)
    with pytest.raises(ChatClosed):
        await reading
