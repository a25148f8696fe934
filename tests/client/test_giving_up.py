"""The end of a chat is told: in the log, in iterators, and by ``closed()``; and an ended session token is renewed."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.client.fake_chat import FakeChat, FakeSession
from tests.client.fake_rest import EXPIRED, FakeRest, session_json, with_session
from voxcube.client import (
    AuthenticationFailed,
    ChatClosed,
    Client,
    ClientClosed,
    ConnectionState,
    NotConnected,
    ReconnectPolicy,
    ServerError,
    Session,
    SessionReplaced,
    TransportError,
    Unauthorized,
)
from voxcube.client.streams import EventStream

State = ConnectionState
AT_ONCE = ReconnectPolicy(max_attempts=3, delay=0)
FOREVER = ReconnectPolicy(delay=0)
SOME_TIME = ReconnectPolicy(delay=3600, max_delay=3600)


@asynccontextmanager
async def ready(policy: Any = AT_ONCE, **options: Any) -> AsyncIterator[tuple[FakeChat, Client, FakeSession]]:
    async with FakeChat() as server, server.ready(reconnect=policy, **options) as (cube, session):
        yield server, cube, session


async def state(states: EventStream[Any], wanted: State) -> None:
    async with asyncio.timeout(5):
        async for change in states:
            if change.new is wanted:
                return


class TestGivenUp:
    async def test_iterators_raise_and_closed_says_why(self) -> None:
        """In place of `async for` hanging for ever."""
        async with ready() as (server, cube, session):
            streams: list[EventStream[Any]] = [
                *(cube.chat.messages(), cube.chat.edited(), cube.chat.read(), cube.chat.typing_events()),
                *(cube.chat.sent(), cube.chat.lost(), cube.chat.errors()),
                *(cube.chat.system.messages(), cube.chat.system.errors(), cube.chat.signalling.signals()),
                *(cube.chat.rooms.joined(), cube.chat.rooms.left(), cube.chat.rooms.kicked()),
                *(cube.chat.contacts.requests(), cube.chat.contacts.presences(), cube.chat.contacts.changes()),
                cube.chat.last_activity.events(),
            ]
            waiting = [asyncio.create_task(anext(stream)) for stream in streams]
            closed = asyncio.create_task(cube.chat.closed())
            server.server.close()
            session.drop()
            for task in waiting:
                with pytest.raises(ChatClosed, match="cannot connect") as caught:
                    await asyncio.wait_for(task, 5)
                assert isinstance(caught.value.reason, TransportError)
            why = await asyncio.wait_for(closed, 5)
            assert isinstance(why, TransportError)
            assert (why.host, why.port) == ("127.0.0.1", server.port)
            assert await cube.chat.closed() is why
            with pytest.raises(ChatClosed):  # a new one does not hang either
                await anext(cube.chat.messages())

    async def test_what_was_queued_comes_first_and_it_can_go_on(self) -> None:
        async with ready(ReconnectPolicy(max_attempts=0)) as (server, cube, session):
            messages = cube.chat.messages()
            text = "<message type='chat' id='{}' from='88-3@chat.example.org/x'><body>hi</body></message>"
            session.send(text.format(1))
            await cube.chat.ping()
            session.drop()
            await cube.chat.closed()
            assert (await anext(messages)).body == "hi"
            with pytest.raises(ChatClosed):
                await anext(messages)
            await cube.chat.reconnect()
            again = await server.connected.get()
            waiting = asyncio.create_task(anext(messages))
            again.send(text.format(2))
            assert (await asyncio.wait_for(waiting, 5)).id == "2"
            closed = asyncio.create_task(cube.chat.closed())
            await asyncio.sleep(0)
            assert not closed.done()
            await cube.chat.disconnect()
            assert await closed is None

    @pytest.mark.parametrize("how", ["disconnect", "destroy", "close"])
    async def test_closed_by_the_program(self, how: str) -> None:
        async with ready() as (_, cube, _):
            read: list[Any] = []

            async def reader() -> None:
                async for message in cube.chat.messages():
                    read.append(message)

            task = asyncio.create_task(reader())
            closed = asyncio.create_task(cube.chat.closed())
            await asyncio.sleep(0.01)
            await (cube.close() if how == "close" else getattr(cube.chat, how)())
            await asyncio.wait_for(task, 5)
            assert await asyncio.wait_for(closed, 5) is None

    async def test_closed_while_reconnecting(self) -> None:
        async with ready(SOME_TIME) as (_, cube, session):
            states = cube.chat.states()
            waiting = asyncio.create_task(anext(cube.chat.messages()))
            session.drop()
            await state(states, State.RECONNECTING)
            await cube.chat.disconnect()
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(waiting, 5)
            assert await cube.chat.closed() is None

    async def test_a_first_attempt_that_fails_ends_no_iterator(self) -> None:
        """The program may try `connect()` again; it knows."""
        async with FakeChat() as server, server.client() as cube:
            waiting = asyncio.create_task(anext(cube.chat.messages()))
            with pytest.raises(AuthenticationFailed):
                await cube.chat.connect(77, "wrong")
            assert isinstance(await cube.chat.closed(), AuthenticationFailed)
            await cube.chat.connect(77, "secret")
            assert not waiting.done()
            waiting.cancel()

    async def test_replaced_by_another_session(self) -> None:
        async with ready(FOREVER) as (server, cube, session):
            waiting = asyncio.create_task(anext(cube.chat.messages()))
            await asyncio.sleep(0)
            session.stream.fail("conflict", "Replaced by a new connection")
            session.flush()
            with pytest.raises(ChatClosed) as caught:
                await asyncio.wait_for(waiting, 5)
            assert isinstance(caught.value.reason, SessionReplaced)
            assert isinstance(await cube.chat.closed(), SessionReplaced)
            assert len(server.all) == 1

    async def test_replaced_in_the_midst_of_an_attempt(self) -> None:
        """Two programs with one resource must not throw each other out for ever."""
        async with ready(FOREVER) as (server, cube, session):
            server.answers_iq = False
            session.drop()
            again = await asyncio.wait_for(server.connected.get(), 5)
            await again.next("presence")
            again.stream.fail("conflict")
            again.flush()
            assert isinstance(await asyncio.wait_for(cube.chat.closed(), 5), SessionReplaced)

    async def test_a_wrong_password_does_not_loop(self) -> None:
        async with ready(FOREVER) as (server, cube, session):
            server.password = "another"
            session.drop()
            assert isinstance(await asyncio.wait_for(cube.chat.closed(), 5), AuthenticationFailed)
            assert len(server.logins) == 2

    async def test_an_unknown_host_at_first(self) -> None:
        async with (
            FakeChat() as server,
            server.client(chat_address="nowhere.invalid", allow_plaintext=True, reconnect=FOREVER) as cube,
        ):
            with pytest.raises(TransportError, match=r"nowhere\.invalid") as caught:
                await cube.chat.connect(77, "secret")
            assert (caught.value.host, caught.value.port) == ("nowhere.invalid", server.port)

    async def test_a_login_that_is_refused_for_now_is_tried_again(self) -> None:
        """RFC 6120 §6.5.11: the server limits logins, or has lost its database."""
        async with ready(FOREVER) as (server, cube, session):
            server.busy = 2
            states = cube.chat.states()
            session.drop()
            await state(states, State.READY)
            assert len(server.logins) == 1 + 3
            await cube.chat.disconnect()
            server.busy = 1
            with pytest.raises(AuthenticationFailed) as caught:
                await cube.chat.connect(77, "secret")
            assert caught.value.is_temporary

    @pytest.mark.parametrize("attempts", [20])
    async def test_it_does_not_give_up_by_itself(self, attempts: int) -> None:
        async with ready(FOREVER) as (server, cube, session):
            server.busy = attempts
            states = cube.chat.states()
            session.drop()
            await state(states, State.READY)
            assert len(server.logins) == attempts + 2


async def test_the_log_tells_the_whole_story(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "voxcube.client")
    async with ready() as (server, cube, session):
        server.resumption = True
        states = cube.chat.states()
        session.drop()
        await state(states, State.READY)
        await cube.chat.ping()
        server.all[-1].drop()
        await state(states, State.READY)
        server.server.close()
        server.all[-1].drop()
        await cube.chat.closed()
    assert {record.name for record in caplog.records} == {"voxcube.client"}
    told = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    where = rf"127\.0\.0\.1:{server.port}"
    lost = rf"WARNING the connection to {where} is lost: the chat connection was lost: .*"
    attempt = rf"INFO attempt 1 to connect to {where} in 0\.0 s"
    connecting = rf"INFO connecting to {where} as user 77"
    failing = [
        line
        for number in (1, 2, 3)
        for line in (
            rf"INFO attempt {number} to connect to {where} in 0\.0 s",
            connecting,
            rf"WARNING attempt {number} failed: cannot connect to {where}: .*",
        )
    ]
    expected = [
        *(connecting, rf"INFO connected to {where} as 77-3@\S+: a new session"),
        *(lost, attempt, connecting, rf"INFO connected to {where} as 77-3@\S+: a new session"),
        *(lost, attempt, connecting, rf"INFO connected to {where} as 77-3@\S+: the session goes on"),
        *(lost, *failing, rf"ERROR giving up after 3 attempts: cannot connect to {where}: .*"),
    ]
    assert len(told) == len(expected), told
    for line, pattern in zip(told, expected, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)
    assert "secret" not in caplog.text


class TestRenewal:
    """`on_session_expired` holds for the chat as for the REST API: once, then connect."""

    @asynccontextmanager
    async def _client(
        self, made: Any = "secret", policy: Any = AT_ONCE, user_id: int = 77
    ) -> AsyncIterator[tuple[FakeChat, Client, list[int]]]:
        rest, asked = FakeRest(), list[int]()

        async def renew() -> Session | None:
            asked.append(len(asked))
            if isinstance(made, Exception):
                raise made
            if made is None:
                return None
            data = session_json(made)["session"]
            return Session.from_json(data | {"user_id": user_id})

        async with (
            FakeChat() as server,
            server.client(
                on_session_expired=renew, reconnect=policy, http_transport=httpx.MockTransport(rest.handle)
            ) as cube,
        ):
            yield server, cube, asked

    async def test_at_the_first_connect(self) -> None:
        async with self._client() as (server, cube, asked):
            with_session(cube, "ended")
            await cube.chat.connect(77)
            assert [password for _, password in server.logins] == ["ended", "secret"]
            assert len(asked) == 1

    async def test_a_token_given_as_password_is_renewed_too(self) -> None:
        async with self._client() as (_, cube, asked):
            with_session(cube, "ended")
            await cube.chat.connect(77, "ended")
            assert len(asked) == 1

    async def test_a_password_is_not(self) -> None:
        async with self._client() as (_, cube, asked):
            with_session(cube, "token")
            with pytest.raises(AuthenticationFailed):
                await cube.chat.connect(77, "wrong")
            assert asked == []

    async def test_when_the_known_end_has_passed(self) -> None:
        async with self._client() as (server, cube, asked):
            with_session(cube, "ended")
            cube._http.expires_at = datetime.now(UTC) - timedelta(seconds=1)
            await cube.chat.connect(77)
            assert [password for _, password in server.logins] == ["secret"]
            assert len(asked) == 1

    async def test_without_a_session_at_all(self) -> None:
        async with self._client() as (_, cube, asked):
            await cube.chat.connect(77)
            assert len(asked) == 1

    async def test_when_reconnecting(self) -> None:
        """The token that was renewed for the REST API meanwhile needs no other one."""
        async with self._client() as (server, cube, asked):
            with_session(cube, "secret")
            await cube.chat.connect(77)
            states = cube.chat.states()
            with_session(cube, "ended")
            server.all[-1].stream.fail("not-authorized")  # as the server says when the token dies
            server.all[-1].flush()
            await state(states, State.READY)
            assert len(asked) == 1
            with_session(cube, "renewed")
            server.password = "renewed"
            server.all[-1].drop()
            await state(states, State.READY)
            assert len(asked) == 1

    @pytest.mark.parametrize("made", ["also ended", None])
    async def test_once(self, made: Any) -> None:
        """A new token that is refused as well, or none, is the end."""
        async with self._client(made, FOREVER) as (server, cube, asked):
            with_session(cube, "ended")
            with pytest.raises(AuthenticationFailed):
                await cube.chat.connect(77)
            assert (len(asked), len(server.logins)) == (1, 2 if made else 1)
            server.password = "ended"
            with_session(cube, "ended")
            await cube.chat.connect(77)
            server.password = "nothing"
            server.all[-1].drop()
            assert isinstance(await asyncio.wait_for(cube.chat.closed(), 5), AuthenticationFailed)
            assert len(asked) == 2

    async def test_what_it_raises(self) -> None:
        refused = Unauthorized(401, {"base": ["no"]})
        async with self._client(refused, FOREVER) as (server, cube, _):
            with_session(cube, "ended")
            with pytest.raises(Unauthorized):
                await cube.chat.connect(77)
            assert cube.chat.state is State.CLOSED
            server.password = "ended"
            await cube.chat.connect(77)
            server.password = "nothing"
            server.all[-1].drop()
            assert await asyncio.wait_for(cube.chat.closed(), 5) is refused

    @pytest.mark.parametrize("failure", [TransportError("down"), ServerError(503, {})])
    async def test_a_network_that_is_away_is_no_end(self, failure: Exception) -> None:
        """The server is back before its REST API."""
        failures: list[Exception] = [failure, failure]

        class Renew:
            async def __call__(self) -> Session | None:
                if failures:
                    raise failures.pop()
                return Session.from_json(session_json("secret")["session"])

        async with FakeChat() as server, server.client(on_session_expired=Renew(), reconnect=FOREVER) as cube:
            with_session(cube, "secret")
            await cube.chat.connect(77)
            with_session(cube, "ended")
            states = cube.chat.states()
            server.all[-1].drop()
            await state(states, State.READY)
            assert failures == []

    async def test_one_renewal_for_the_chat_and_for_requests(self) -> None:
        rest, asked = FakeRest({"GET /users/7": EXPIRED}), list[int]()
        gate = asyncio.Event()

        async def renew() -> Session | None:
            asked.append(1)
            await gate.wait()
            rest.answers["GET /users/7"] = (200, {"user": {"id": 7}})
            return Session.from_json(session_json("secret")["session"])

        async with FakeChat() as server:
            options = {"on_session_expired": renew, "http_transport": httpx.MockTransport(rest.handle)}
            async with server.client(**options) as cube:
                with_session(cube, "ended")
                connecting, getting = asyncio.create_task(cube.chat.connect(77)), asyncio.create_task(cube.users.get(7))
                await asyncio.sleep(0.05)
                gate.set()
                await asyncio.wait_for(connecting, 5)
                await asyncio.wait_for(getting, 5)
                assert len(asked) == 1


async def test_a_closed_client() -> None:
    async with FakeChat() as server, server.ready() as (cube, _):
        sending = cube.chat.send
        await cube.close()
        await cube.close()
        for act in (
            lambda: cube.chat.connect(77, "secret"),
            lambda: cube.chat.reconnect(),
            lambda: sending(to_user=88, body="hi"),
            lambda: cube.chat.ping(),
            lambda: cube.users.get(1),
            lambda: cube.auth.create_session(),
            lambda: cube.dialogs.list(),
            lambda: cube.__aenter__(),
        ):
            with pytest.raises(ClientClosed, match="closed"):
                await act()
        assert issubclass(ClientClosed, NotConnected)
        assert len(server.all) == 1
