"""A lost connection comes back: when, in which states, and what becomes of what was on its way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.client.fake_chat import DOMAIN, FakeChat, FakeSession
from voxcube.client import (
    AuthenticationFailed,
    Client,
    ConnectionState,
    ConnectionStateChange,
    EventStream,
    MessageLost,
    MessageState,
    NotConnected,
    ReconnectPolicy,
    TransportError,
)
from voxcube.xmpp import ns

State = ConnectionState
AT_ONCE = ReconnectPolicy(max_attempts=3, delay=0)
SOME_TIME = ReconnectPolicy(max_attempts=3, delay=3600)


@asynccontextmanager
async def ready(
    policy: Any = AT_ONCE, *, resumption: bool = True, **options: Any
) -> AsyncIterator[tuple[FakeChat, Client, FakeSession]]:
    async with FakeChat() as server:
        server.resumption = resumption
        async with server.ready(reconnect=policy, **options) as (cube, session):
            yield server, cube, session


async def until(states: EventStream[ConnectionStateChange], last: State) -> list[State]:
    seen: list[State] = []
    async with asyncio.timeout(5):
        async for change in states:
            seen.append(change.new)
            if change.new is last:
                break
    return seen


LOST = [State.FORCE_CLOSED, State.RECONNECTING, State.CONNECTING]


class TestPolicy:
    def test_the_guides_defaults(self) -> None:
        """Those of the official SDKs, as a setting."""
        policy = ReconnectPolicy(5, delay=5, factor=1, jitter=0)
        assert [policy.next_delay(attempt) for attempt in range(1, 7)] == [5, 5, 5, 5, 5, None]

    def test_for_ever_by_default(self) -> None:
        policy = ReconnectPolicy(jitter=0)
        assert [policy.next_delay(attempt) for attempt in (1, 2, 3, 6, 7, 10**9)] == [1, 2, 4, 32, 60, 60]
        most = [ReconnectPolicy().next_delay(1000) for _ in range(100)]
        assert all(delay is not None and 42 <= delay <= 78 for delay in most)

    def test_longer_each_time(self) -> None:
        policy = ReconnectPolicy(max_attempts=10**6, delay=1, factor=2, max_delay=10, jitter=0)
        assert [policy.next_delay(attempt) for attempt in (1, 2, 4, 5, 10**6)] == [1, 2, 8, 10, 10]

    def test_not_all_at_once(self) -> None:
        delays = {ReconnectPolicy(delay=10, jitter=0.5).next_delay(1) for _ in range(100)}
        assert len(delays) > 50
        assert all(delay is not None and 5 <= delay <= 15 for delay in delays)

    def test_never(self) -> None:
        assert ReconnectPolicy(max_attempts=0).next_delay(1) is None

    @pytest.mark.parametrize(
        "options", [{"max_attempts": -1}, {"delay": -1}, {"factor": 0.5}, {"max_delay": -1}, {"jitter": 2}]
    )
    def test_nonsense(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"negative|factor"):
            ReconnectPolicy(**options)


class TestComingBack:
    async def test_resumed(self) -> None:
        async with ready() as (server, cube, session):
            states = cube.chat.states()
            cube.chat.on_message(lambda _: None)
            await cube.chat.ping()
            session.send("<message type='chat' from='88-3@chat.example.org/x'><body>hi</body></message>")
            await cube.chat.ping()
            session.drop()
            assert await until(states, State.READY) == [*LOST, State.AUTHENTICATED, State.RESUMED, State.READY]
            again = await server.connected.get()
            assert [h for _, h in server.resumes] == [4]  # carbons, two pings, a message
            await cube.chat.ping()
            assert (await again.next("iq")).find("ping", ns.PING) is not None  # what was kept is there with its answer
            assert again.quiet()
            assert [each.find("enable", ns.CARBONS) for each in _left(again)] == []  # nothing is said again

    @pytest.mark.parametrize("resumption", [True, False])
    async def test_not_resumed(self, resumption: bool) -> None:
        """Stream management, carbons and presence begin anew."""
        async with ready(resumption=resumption) as (server, cube, session):
            states = cube.chat.states()
            await cube.chat.ping()
            session.resume_id = ""
            session.drop()
            assert await until(states, State.READY) == [*LOST, State.AUTHENTICATED, State.READY]
            assert len(server.resumes) == resumption
            again = await server.connected.get()
            assert (await again.next("iq")).find("enable", ns.CARBONS) is not None
            assert (await again.next("presence")).get("type") is None
            assert again.enabled

    async def test_again_and_again(self) -> None:
        """The count of attempts begins anew when it has worked."""
        async with ready(ReconnectPolicy(max_attempts=1, delay=0)) as (server, cube, session):
            for _ in range(5):
                states = cube.chat.states()
                session.drop()
                await until(states, State.READY)
                session = await server.connected.get()
                await cube.chat.ping()

    async def test_given_up(self) -> None:
        async with ready() as (server, cube, session):
            states = cube.chat.states()
            server.server.close()
            session.drop()
            assert await until(states, State.CLOSED) == [
                *[State.FORCE_CLOSED, State.RECONNECTING, State.CONNECTING] * 3,
                *[State.FORCE_CLOSED, State.CLOSED],
            ]
            with pytest.raises(NotConnected):
                await cube.chat.ping()

    async def test_a_password_that_is_not_taken_any_more_ends_it(self) -> None:
        async with ready() as (server, cube, session):
            states = cube.chat.states()
            server.password = "another"
            session.drop()
            assert await until(states, State.CLOSED) == [*LOST, State.AUTHENTICATION_FAILURE, State.CLOSED]
            with pytest.raises(AuthenticationFailed):
                await cube.chat.reconnect()
            assert cube.chat.state is State.CLOSED

    async def test_whose_place_was_taken_stays_away(self) -> None:
        async with ready() as (_, cube, session):
            states = cube.chat.states()
            session.stream.fail("conflict")
            session.flush()
            assert await until(states, State.CLOSED) == [State.FORCE_CLOSED, State.CLOSED]

    async def test_a_policy_of_ones_own(self) -> None:
        asked: list[int] = []

        class Twice:
            def next_delay(self, attempt: int) -> float | None:
                asked.append(attempt)
                return 0.0 if attempt < 3 else None

        async with ready(Twice()) as (server, cube, session):
            states = cube.chat.states()
            server.server.close()
            session.drop()
            await until(states, State.CLOSED)
            assert asked == [1, 2, 3]

    async def test_the_first_attempt_is_not_repeated(self) -> None:
        async with FakeChat() as server:
            port = server.port
        async with server.client(chat_port=port, reconnect=AT_ONCE) as cube:
            with pytest.raises(TransportError):
                await cube.chat.connect(77, "secret")
            assert cube.chat.state is State.CLOSED

    async def test_a_server_that_breaks_the_count_is_left_for_a_new_session(self) -> None:
        async with ready() as (server, cube, session):
            states = cube.chat.states()
            session.handled = 4000
            session.drop()
            assert State.RESUMED not in await until(states, State.READY)
            assert len(server.resumes) == 1

    async def test_lost_again_at_once(self) -> None:
        """While those who waited for the connection are still to be told that it is there."""
        async with ready(AT_ONCE) as (_, cube, session):
            life = cube.chat._life
            connections = 0

            def break_at_once() -> None:
                nonlocal connections
                connections += 1
                if connections == 1:
                    life.policy = SOME_TIME
                    assert life.link is not None
                    life.link._lose(TransportError("gone"))

            life._on_ready = break_at_once
            session.drop()
            again = cube.chat.states()
            await until(again, State.READY)
            await until(again, State.RECONNECTING)
            await cube.chat.disconnect()
            assert cube.chat.state is State.CLOSED


class TestReconnect:
    async def test_never_connected(self) -> None:
        async with FakeChat() as server, server.client() as cube:
            with pytest.raises(RuntimeError, match="never"):
                await cube.chat.reconnect()

    async def test_it_ends_the_wait(self) -> None:
        async with ready(SOME_TIME) as (_, cube, session):
            states = cube.chat.states()
            session.drop()
            await until(states, State.RECONNECTING)
            first, second = await asyncio.wait_for(asyncio.gather(cube.chat.reconnect(), cube.chat.reconnect()), 5)
            assert first == second
            assert await until(states, State.READY) == [*LOST[2:], State.AUTHENTICATED, State.RESUMED, State.READY]

    async def test_connect_ends_the_wait_too(self) -> None:
        async with ready(SOME_TIME) as (server, cube, session):
            states = cube.chat.states()
            session.drop()
            await until(states, State.RECONNECTING)
            with pytest.raises(RuntimeError, match="another user"):
                await cube.chat.connect(88, "secret")
            await cube.chat.connect(77, "secret")
            assert len(server.logins) == 2

    async def test_an_attempt_that_fails_goes_on_by_itself(self) -> None:
        async with ready(SOME_TIME) as (server, cube, session):
            states = cube.chat.states()
            server.silent_at_login = True
            session.drop()
            await until(states, State.RECONNECTING)
            attempt = asyncio.create_task(cube.chat.reconnect())
            (await _connected(server)).drop()
            with pytest.raises(TransportError):
                await attempt
            assert await until(states, State.RECONNECTING) == [State.CONNECTING, State.FORCE_CLOSED, State.RECONNECTING]
            server.silent_at_login = False
            await cube.chat.reconnect()

    @pytest.mark.parametrize("policy", [AT_ONCE, SOME_TIME, ReconnectPolicy(max_attempts=0)])
    async def test_ready_is_dropped_for_another(self, policy: ReconnectPolicy) -> None:
        async with ready(policy) as (server, cube, session):
            await cube.chat.ping()
            states = cube.chat.states()
            jid = await cube.chat.reconnect()
            assert str(jid) == session.jid
            await asyncio.wait_for(session.closed.wait(), 5)
            seen = await until(states, State.READY)
            assert (seen[0], seen[-2:]) == (State.FORCE_CLOSED, [State.RESUMED, State.READY])
            assert len(server.all) == 2

    async def test_after_disconnect(self) -> None:
        async with ready() as (server, cube, _):
            await cube.chat.disconnect()
            await cube.chat.reconnect()
            assert cube.chat.is_ready
            assert server.resumes == []
            await cube.chat.destroy()
            with pytest.raises(RuntimeError, match="never"):
                await cube.chat.reconnect()

    async def test_disconnect_ends_the_attempts(self) -> None:
        async with ready(SOME_TIME) as (_, cube, session):
            states = cube.chat.states()
            session.drop()
            await until(states, State.RECONNECTING)
            await cube.chat.disconnect()
            assert await until(states, State.CLOSED) == [State.CLOSED]

    async def test_disconnect_in_the_midst_of_an_attempt(self) -> None:
        async with ready() as (server, cube, session):
            states = cube.chat.states()
            server.silent_at_login = True
            session.drop()
            await until(states, State.CONNECTING)
            waiting = asyncio.create_task(cube.chat.reconnect())
            await asyncio.sleep(0)
            await cube.chat.disconnect()
            with pytest.raises(NotConnected):
                await waiting
            assert cube.chat.state is State.CLOSED


class TestOnTheWay:
    async def test_a_message_survives(self) -> None:
        """It is sent again, once, where the server has not got it, and not where it has."""
        async with ready() as (server, cube, session):
            await cube.chat.ping()
            server.acknowledges = False
            sends = [asyncio.create_task(cube.chat.send(to_user=88, body=body)) for body in ("one", "two", "three")]
            assert [(await session.next()).find("body") is not None for _ in range(3)]
            session.handled -= 1  # the third did not get through
            server.acknowledges = True
            session.drop()
            again = await asyncio.wait_for(server.connected.get(), 5)
            messages = await asyncio.gather(*sends)
            assert [message.state for message in messages] == [MessageState.SENT] * 3
            body = (await again.next()).find("body")
            assert body is not None
            assert body.text == "three"
            assert again.quiet()

    async def test_an_echo_may_come_on_the_next_connection(self) -> None:
        async with ready() as (server, cube, session):
            await cube.chat.ping()
            server.echoes = False
            states = cube.chat.states()
            send = asyncio.create_task(cube.chat.send(dialog_id="64c0ffee64c0ffee64c0ffee", body="hi"))
            message = await session.next()
            session.drop()
            again = await asyncio.wait_for(server.connected.get(), 5)
            await until(states, State.READY)
            again.username = "77-3"
            again.echo(message)
            assert (await send).state is MessageState.SENT

    @pytest.mark.parametrize("remembers", [None, "all"])
    async def test_lost_when_the_session_does_not_go_on(self, remembers: str | None) -> None:
        """Unless the server remembers that it had it."""
        async with ready() as (server, cube, session):
            await cube.chat.ping()
            lost = cube.chat.lost()
            server.acknowledges = False
            send = asyncio.create_task(cube.chat.send(to_user=88, body="hi"))
            message = await session.next()
            session.resume_id = ""
            server.remembers = session.handled if remembers else None
            session.drop()
            if remembers:
                assert (await send).id == message.get("id")
            else:
                with pytest.raises(MessageLost):
                    await send
                assert (await anext(lost)).id == message.get("id")

    async def test_lost_when_it_is_given_up(self) -> None:
        async with ready() as (server, cube, session):
            await cube.chat.ping()
            server.acknowledges = False
            send = asyncio.create_task(cube.chat.send(to_user=88, body="hi"))
            await session.next()
            server.server.close()
            session.drop()
            with pytest.raises(MessageLost):
                await send

    async def test_nothing_is_sent_meanwhile(self) -> None:
        async with ready(SOME_TIME) as (_, cube, session):
            states = cube.chat.states()
            session.drop()
            await until(states, State.RECONNECTING)
            with pytest.raises(NotConnected, match="reconnecting"):
                await cube.chat.send(to_user=88, body="hi")


async def test_joined_rooms_come_back() -> None:
    async with ready() as (server, cube, session):
        states = cube.chat.states()
        cube.chat.rooms._rooms.add("64c0ffee64c0ffee64c0ffee")
        session.resume_id = ""
        session.drop()
        await until(states, State.READY)
        again = await server.connected.get()
        assert (await again.next("presence")).get("to") is None
        assert (await again.next("presence")).get("to") == f"3_64c0ffee64c0ffee64c0ffee@muc.{DOMAIN}/77"


async def test_what_was_the_last_users_does_not() -> None:
    async with ready() as (server, cube, _):
        cube.chat.rooms._rooms.add("64c0ffee64c0ffee64c0ffee")
        await cube.chat.last_activity.subscribe(99, print)
        cube.chat.contacts._known = {}  # as `list()` leaves it
        await cube.chat.disconnect()
        await cube.chat.connect(88, "secret")
        await cube.chat.ping()
        again = await server.connected.get()
        said = [again.received.get_nowait() for _ in range(again.received.qsize())]
        assert [(each.name, each.get("to")) for each in said] == [("iq", None), ("presence", None), ("iq", None)]


def _left(session: FakeSession) -> list[Any]:
    found = []
    while not session.received.empty():
        found.append(session.received.get_nowait())
    return found


async def _connected(server: FakeChat) -> FakeSession:
    return await asyncio.wait_for(server.connected.get(), 5)
