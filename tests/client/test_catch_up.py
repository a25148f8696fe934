"""What was missed while there was no connection is fetched from the history: once, in order, before what is newer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from tests.client.fake_chat import FakeChat, FakeSession
from tests.client.fake_rest import DIALOG, EXPIRED, MESSAGE, Answer, FakeRest, session_json, with_session
from voxcube.client import Client, ConnectionState, EventStream, Message, ReconnectPolicy, Session
from voxcube.client import catch_up as catch_up_module

OTHER = "64c0ffee64c0ffee64c0fff0"
GROUP = "64c0ffee64c0ffee64c0ffee"


class History:
    """Dialogs with messages, by REST; `lag` is how much this machine's clock is ahead of the server's."""

    def __init__(self) -> None:
        self.lag = timedelta()
        self.messages: dict[str, list[dict[str, Any]]] = {GROUP: [], OTHER: []}
        self.rest = FakeRest(
            {
                "GET /session": lambda _: (200, session_json(), {"Date": format_datetime(self.now, usegmt=True)}),
                "GET /chat/Dialog": self.list_dialogs,
                "GET /chat/Message": self.list_messages,
            }
        )

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) - self.lag

    def add(self, number: int, dialog_id: str = GROUP, *, sender: int = 88, ago: float = 0.0) -> str:
        message_id = f"65a1b2c3{number:016x}"
        created = (self.now - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
        more = {"_id": message_id, "chat_dialog_id": dialog_id, "message": f"{number}", "sender_id": sender}
        self.messages[dialog_id].append({**MESSAGE, **more, "recipient_id": 0, "created_at": created})
        return message_id

    def list_dialogs(self, request: httpx.Request) -> Answer:
        query = dict(request.url.params)
        since = int(query["updated_at[gte]"])
        changed = []
        for dialog_id, messages in self.messages.items():
            if messages and seconds(messages[-1]) >= since:
                times = {"created_at": "2026-01-01T00:00:00Z", "updated_at": messages[-1]["created_at"]}
                changed.append({**DIALOG, "_id": dialog_id, "type": 2, **times})
        assert query["sort_asc"] == "updated_at"
        changed.sort(key=lambda dialog: str(dialog["updated_at"]))
        return page(changed, query, total_entries=len(changed))

    def list_messages(self, request: httpx.Request) -> Answer:
        query = dict(request.url.params)
        assert (query["sort_asc"], query["mark_as_read"]) == ("created_at", "0")
        since = int(query["created_at[gte]"])
        return page([m for m in self.messages[query["chat_dialog_id"]] if seconds(m) >= since], query)


def seconds(message: dict[str, Any]) -> int:
    return int(datetime.fromisoformat(message["created_at"]).timestamp())


def page(items: list[dict[str, Any]], query: dict[str, str], **more: int) -> Answer:
    skip, limit = int(query["skip"]), int(query["limit"])
    return 200, {**more, "skip": skip, "limit": limit, "items": items[skip : skip + limit]}


def live(number: int, *, sender: int = 88) -> str:
    return (
        f'<message xmlns="jabber:client" type="groupchat" id="65a1b2c3{number:016x}" '
        f'from="3_{GROUP}@muc.chat.example.org/{sender}"><body>{number}</body>'
        f"<extraParams><dialog_id>{GROUP}</dialog_id></extraParams></message>"
    )


@asynccontextmanager
async def online(
    history: History, *, session: bool = True, resumption: bool = False
) -> AsyncIterator[tuple[FakeChat, Client, FakeSession]]:
    async with FakeChat() as server:
        server.resumption = resumption
        policy = ReconnectPolicy(delay=0)
        cube = server.client(http_transport=httpx.MockTransport(history.rest.handle), reconnect=policy)
        if session:
            with_session(cube)
        async with cube:
            await cube.chat.connect(77, "secret")
            yield server, cube, await server.connected.get()


async def back(server: FakeChat, cube: Client, session: FakeSession) -> FakeSession:
    """The connection breaks and comes back, and nothing is resumed."""
    states = cube.chat.states()
    session.drop()
    async with asyncio.timeout(5):
        async for change in states:
            if change.new is ConnectionState.READY:
                break
        return await server.connected.get()


async def numbers(stream: EventStream[Message], count: int) -> list[int]:
    async with asyncio.timeout(5):
        return [int((await anext(stream)).body or "") for _ in range(count)]


@pytest.mark.parametrize("lag", [timedelta(0), timedelta(days=3), timedelta(days=-3)])
async def test_missed_messages_arrive_late(lag: timedelta) -> None:
    """Whatever this machine's clock says."""
    history = History()
    history.lag = lag
    history.add(1, ago=3600)
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages()
        session.send(live(2))
        history.add(2)
        assert await numbers(stream, 1) == [2]
        for number in range(3, 6):
            history.add(number)
        history.add(6, OTHER)
        await back(server, cube, session)
        assert sorted(await numbers(stream, 4)) == [3, 4, 5, 6]
        last = history.add(7)
        await back(server, cube, server.all[-1])
        message = await asyncio.wait_for(anext(stream), 5)
        assert (message.id, message.delayed, message.is_group) == (last, True, True)
        assert message.delayed_since is not None


async def test_what_is_newer_waits() -> None:
    history = History()
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages(include_own=True)
        await cube.chat.ping()
        for number in range(1, 251):
            history.add(number, sender=77 if number == 9 else 88)
        reading = asyncio.Event()
        list_messages = history.list_messages

        def busy(request: httpx.Request) -> Answer:
            reading.set()
            return list_messages(request)

        history.rest.answers["GET /chat/Message"] = busy
        again = asyncio.create_task(back(server, cube, session))
        session = await asyncio.wait_for(again, 5)
        session.send(live(250), live(251))  # one of them is in the history already
        await reading.wait()
        assert await numbers(stream, 251) == list(range(1, 252))
        session.send(live(252))
        assert await numbers(stream, 1) == [252]


async def test_what_one_sent_from_here_is_nothing_new() -> None:
    history = History()
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages(include_own=True)
        sent = await cube.chat.send(to_user=88, body="1")
        history.add(1, sender=77)
        history.messages[GROUP][-1]["_id"] = sent.id
        history.add(2, sender=77)  # from another device
        await back(server, cube, session)
        assert await numbers(stream, 1) == [2]


async def test_its_sender_is_told_that_it_arrived() -> None:
    """The history does not say whether the sender wants to know; what the server delivers late does."""
    history = History()
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages()
        await cube.chat.ping()
        message_id = history.add(1)
        session = await back(server, cube, session)
        session.send(live(1).replace("<body>", '<markable xmlns="urn:xmpp:chat-markers:0"/><body>'))
        assert await numbers(stream, 1) == [1]
        received = (await session.next()).find("received")
        assert received is not None
        assert received.get("id") == message_id
        await cube.chat.ping()
        assert session.quiet()


async def test_more_than_a_stream_holds() -> None:
    history = History()
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages()
        await cube.chat.ping()
        for number in range(2500):
            history.add(number)
        await back(server, cube, session)
        got: list[int] = []
        async with asyncio.timeout(10):
            while len(got) < 2500:
                got.append(int((await anext(stream)).body or ""))
                if len(got) % 50 == 0:
                    await asyncio.sleep(0.001)
        assert got == list(range(2500))


async def test_without_a_session_of_the_rest_api() -> None:
    history = History()
    async with online(history, session=False) as (server, cube, session):
        stream = cube.chat.messages()
        history.add(1)
        session = await back(server, cube, session)
        session.send(live(2))
        assert await numbers(stream, 1) == [2]
        assert history.rest.requests == []


async def test_a_failing_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up_module, "RETRIES", (0.0, 0.0))
    history = History()
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages()
        await cube.chat.ping()
        history.add(1)
        good = history.list_dialogs
        failures: Iterator[Answer] = iter([(503, {}), (500, {})])
        history.rest.answers["GET /chat/Dialog"] = lambda request: next(failures, None) or good(request)
        await back(server, cube, session)
        assert await numbers(stream, 1) == [1]


async def test_what_cannot_be_fetched_is_fetched_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up_module, "RETRIES", (0.0,))
    history = History()
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages()
        await cube.chat.ping()
        history.add(1)
        session_answer = history.rest.answers["GET /session"]
        history.rest.answers["GET /session"] = EXPIRED
        session = await back(server, cube, session)
        session.send(live(2))
        assert await numbers(stream, 1) == [2]
        history.add(2)
        history.rest.answers["GET /session"] = session_answer
        await back(server, cube, session)
        assert await numbers(stream, 1) == [1]


async def test_whatever_goes_wrong_nothing_is_held_back() -> None:
    """A mistake in the application's own code ends in the middle of it, for one."""
    history = History()
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages()
        await cube.chat.ping()

        def fails(request: httpx.Request) -> Answer:
            raise LookupError("no such thing")

        history.rest.answers["GET /chat/Dialog"] = fails
        session = await back(server, cube, session)
        session.send(live(2))
        assert await numbers(stream, 1) == [2]


async def test_it_waits_as_long_as_the_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up_module, "RETRIES", (0.0,))
    history = History()
    async with online(history) as (server, cube, session):
        stream = cube.chat.messages()
        await cube.chat.ping()
        history.add(1)
        good = history.list_dialogs
        failures: Iterator[Answer] = iter([(429, {}, {"Retry-After": "0.5"})])
        history.rest.answers["GET /chat/Dialog"] = lambda request: next(failures, None) or good(request)
        await back(server, cube, session)
        began = time.monotonic()
        assert await numbers(stream, 1) == [1]
        assert time.monotonic() - began > 0.3


async def test_from_the_last_connection_that_was_ready_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was resumed and broke again may not have brought what the server had kept for it."""
    history = History()
    offset = 0.0

    class Clock:
        monotonic = staticmethod(lambda: time.monotonic() + offset)
        time = staticmethod(lambda: time.time() + offset)

    def advance(seconds: float) -> None:
        nonlocal offset
        offset += seconds
        history.lag -= timedelta(seconds=seconds)

    monkeypatch.setattr(catch_up_module, "time", Clock)
    async with online(history, resumption=True) as (server, cube, session):
        stream, states = cube.chat.messages(), cube.chat.states()
        await cube.chat.ping()
        advance(100)
        server.answers_iq = False
        session.drop()
        history.add(1)
        session = await asyncio.wait_for(server.connected.get(), 5)
        await session.next("iq")
        advance(100)
        session.resume_id = ""
        server.answers_iq = True
        session.drop()
        async with asyncio.timeout(5):
            while (await anext(states)).new is not ConnectionState.READY:
                pass
        assert len(server.resumes) == 2
        assert await numbers(stream, 1) == [1]


async def test_a_break_in_the_midst_of_it() -> None:
    """It begins again on the next connection, and what came on this one still waits."""
    history = History()
    async with online(history) as (server, cube, session):
        server.resumption = True
        stream = cube.chat.messages()
        await cube.chat.ping()
        for number in range(1, 4):
            history.add(number)
        good = history.list_messages
        asked = asyncio.Event()

        async def never(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/chat/Message" and not asked.is_set():
                asked.set()
                await asyncio.sleep(3600)
            return history.rest.handle(request)

        cube._http._http._transport = httpx.MockTransport(never)
        history.rest.answers["GET /chat/Message"] = good
        session = await back(server, cube, session)
        session.send(live(4))
        await asyncio.wait_for(asked.wait(), 5)
        await cube.chat.ping()
        session = await back(server, cube, session)
        session.send(live(5))
        assert await numbers(stream, 5) == [1, 2, 3, 4, 5]
        assert len(server.resumes) == 1


async def test_nothing_is_asked_when_the_session_goes_on() -> None:
    history = History()
    async with online(history) as (server, cube, session):
        server.resumption = True
        session = await back(server, cube, session)
        asked = len(history.rest.requests)
        await cube.chat.ping()
        session = await back(server, cube, session)
        assert len(server.resumes) == 1
        await cube.chat.ping()
        assert len(history.rest.requests) <= asked + 2  # what the first time began
        session.send(live(1))
        stream = cube.chat.messages()
        assert await numbers(stream, 1) == [1]


@pytest.mark.parametrize("destroy", [True, False])
async def test_another_user_has_missed_nothing(destroy: bool) -> None:
    history = History()
    async with online(history) as (_, cube, _session):
        await (cube.chat.destroy() if destroy else cube.chat.disconnect())
        history.add(1)
        answer = session_json()
        answer["session"]["user_id"] = 88
        cube._http.set_session(Session.from_json(answer["session"]))
        await cube.chat.connect(88, "secret")
        await cube.chat.ping()
        assert history.rest.requests == []
