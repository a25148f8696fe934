"""A crowd of SDK users who write numbered messages, and send again what was not confirmed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.server_process import ServerProcess
from voxcube.client import (
    ApiError,
    ChatError,
    Client,
    ConnectionState,
    ConnectionStateChange,
    Message,
    ReconnectPolicy,
    TransportError,
)
from voxcube.client.ids import new_message_id

PASSWORD = "long enough for all"
WINDOW = 24  # unconfirmed messages of one user; few enough that nobody misses more than the 100 kept for later
PAGE = 100
GROUP = 0  # in place of a user id: the message goes to the group


@dataclass(eq=False)
class Numbered:
    """A message of the test. `to` is a user id or GROUP; `number` counts what its sender sends anywhere."""

    id: str
    to: int
    number: int
    date_sent: int
    confirmed: bool = False


class Person:
    """A user. With `renew` each connection is made by a new Client, as after a restart of the user's own program."""

    def __init__(self, crowd: Crowd, name: str, *, renew: bool, tls: bool) -> None:
        self.name = name
        self.user_id = 0
        self.sent: list[Numbered] = []
        self.got: Counter[str] = Counter()  # ids of messages of others
        self.reconnects = 0
        self.ends: list[str] = []  # why connections ended
        self._crowd = crowd
        self._renew = renew
        self._tls = tls
        self._client: Client | None = None
        self._window = asyncio.Semaphore(WINDOW)

    @property
    def client(self) -> Client:
        assert self._client is not None
        return self._client

    @property
    def keeps_client(self) -> bool:
        """Whether one Client lives through all: then it must not report any message twice."""
        return not self._renew

    async def connect(self) -> None:
        """To the chat; first makes a Client with a session where there is none or a new one is wanted."""
        if self._client is not None and self._renew:
            await self.close()
        if self._client is None:
            self._client = self._crowd.client(tls=self._tls)
            session = await self._client.auth.create_session(login=self.name, password=PASSWORD)
            self.user_id = session.user_id
            self._client.chat.on_message(self._receive)
            self._client.chat.on_state(self._note_end)
        await self.client.chat.connect(self.user_id)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    @property
    def unconfirmed(self) -> list[Numbered]:
        return [message for message in self.sent if not message.confirmed]

    async def talk(self, *, count: int = 0, private: bool = False, endlessly: bool = False, pause: float = 0.0) -> None:
        """Sends again what is not confirmed, in the old order; then `count` new messages; then, `endlessly`, more of
        them until the crowd has enough, with pauses (seconds) between them. Ends with the connection.
        """
        tasks: set[asyncio.Task[None]] = set()
        for message in self.unconfirmed:
            await self._start(message, tasks)
        while self.client.chat.is_ready and (count > 0 or (endlessly and not self._crowd.enough)):
            await self._start(self._new(private=private), tasks)
            count -= 1
            if pause:
                await asyncio.sleep(pause)
        await asyncio.gather(*tasks)

    async def persist(self) -> None:
        """Talks, and connects again whenever the connection has ended, until the crowd has enough."""
        while not self._crowd.enough:
            try:
                if not self.client.chat.is_ready:
                    self.reconnects += 1
                    await self.connect()
                await self.talk(endlessly=True)
            except (ApiError, ChatError, TransportError):
                await asyncio.sleep(0.1)

    def _new(self, *, private: bool = False) -> Numbered:
        others = [person.user_id for person in self._crowd.people if person is not self]
        dice = self._crowd.dice
        to = GROUP if not private and dice.random() < 0.4 else dice.choice(others)
        # Clocks of clients stand still for a second: order within it is the server's to keep.
        message = Numbered(new_message_id(), to, len(self.sent), 1_800_000_000 + len(self.sent) // 50)
        self.sent.append(message)
        return message

    async def _start(self, message: Numbered, tasks: set[asyncio.Task[None]]) -> None:
        await self._window.acquire()
        task = asyncio.create_task(self._send(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _send(self, message: Numbered) -> None:
        try:
            await self.client.chat.send(
                to_user=message.to or None,
                dialog_id=None if message.to else self._crowd.group_id,
                body=f"from {self.user_id} number {message.number}",
                id=message.id,
                date_sent=message.date_sent,
            )
            message.confirmed = True
            self._crowd.confirmed += 1
        except (ChatError, TransportError):
            pass  # not confirmed: to be sent again
        finally:
            self._window.release()

    async def _receive(self, message: Message) -> None:
        self.got[message.id] += 1
        if not self._crowd.quiet and int(message.id[-1], 16) % 3 == 0 and self.client.chat.is_ready:
            await self.client.chat.mark_read(message)

    def _note_end(self, change: ConnectionStateChange) -> None:
        if change.new is ConnectionState.FORCE_CLOSED:
            self.ends.append(str(change.error))

    async def history(self, dialog_id: str) -> list[Message]:
        """All of a dialog, page by page, without reading it."""
        found: list[Message] = []
        while True:
            page = await self.client.messages.list(dialog_id, limit=PAGE, skip=len(found), mark_as_read=False)
            found += page
            if len(page) < PAGE:
                return found


def number_of(message: Message) -> int:
    """The number in a message of the crowd."""
    return int((message.body or "").removeprefix(f"from {message.sender_id} number "))


class Crowd:
    """The users of one test, on one server."""

    def __init__(self, server: ServerProcess, size: int, seed: int) -> None:
        self.dice = random.Random(seed)
        self.group_id = ""
        self.confirmed = 0
        self.enough = False  # those who talk endlessly stop
        self.quiet = False  # nobody marks messages as read any more
        self._server = server
        self._app = server.create_app()
        self.app_id: int = self._app["app_id"]
        self.people = [Person(self, f"user{n}", renew=n % 2 == 1, tls=n % 3 == 0) for n in range(size)]

    def client(self, *, tls: bool) -> Client:
        host, port = self._server.addresses["xmpps" if tls else "xmpp"]
        return Client(
            app_id=self.app_id,
            auth_key=self._app["auth_key"],
            auth_secret=self._app["auth_secret"],
            api_url=self._server.api_url,
            chat_host="localhost",
            chat_address=host,
            chat_port=port,
            transport="tls" if tls else "tcp",
            ca_file=self._server.certificate if tls else None,
            reconnect=ReconnectPolicy(max_attempts=0),  # the crowd knows when the server is back
        )

    @asynccontextmanager
    async def gathered(self) -> AsyncIterator[Crowd]:
        """Accounts are made, everybody is connected, the group exists; at the end everybody leaves."""
        async with self.client(tls=False) as cube:
            await cube.auth.create_session()
            await asyncio.gather(*(cube.users.signup(login=p.name, password=PASSWORD) for p in self.people))
        try:
            await self.connect()
            first, *others = self.people
            group = await first.client.dialogs.create_group("All of us", [other.user_id for other in others])
            self.group_id = group.id
            yield self
        finally:
            await asyncio.gather(*(person.close() for person in self.people))

    async def connect(self) -> None:
        """Connects everybody whose connection has ended."""
        await asyncio.gather(*(p.connect() for p in self.people if p._client is None or not p.client.chat.is_ready))

    async def wait_confirmed(self, count: int, seconds: float = 30.0) -> None:
        """Until this many more messages are confirmed."""
        goal = self.confirmed + count
        async with asyncio.timeout(seconds):
            while self.confirmed < goal:
                await asyncio.sleep(0.002)

    async def settle(self) -> None:
        """Until everything has arrived where it shall; the check that follows says what has not."""
        await self._arrived()
        # A ping comes back behind the last group message; a confirmation counts the markers sent before it, too.
        await asyncio.gather(*(person.client.chat.ping() for person in self.people))
        self.quiet = True
        await asyncio.gather(*(person.talk(count=1, private=True) for person in self.people))
        await self._arrived()

    async def _arrived(self, seconds: float = 8.0) -> None:
        expected = self._private_by_recipient()
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            if all(expected[person.user_id] <= person.got.keys() for person in self.people):
                return
            await asyncio.sleep(0.02)

    def _private_by_recipient(self) -> defaultdict[int, set[str]]:
        expected: defaultdict[int, set[str]] = defaultdict(set)
        for person in self.people:
            for message in person.sent:
                if message.to != GROUP:
                    expected[message.to].add(message.id)
        return expected

    # -- what must hold in the end ---------------------------------------------------------------------------------

    async def check(self, *strangers: int) -> dict[str, list[str]]:
        """Every confirmed message once, in order, and received; unread counts as the history says.

        Messages of `strangers` (user ids) are only counted. Returns the ids of each dialog's messages in the order of
        the history, to be compared with the database.
        """
        by_id = {message.id: message for person in self.people for message in person.sent}
        wanted = self._private_by_recipient()
        for person in self.people:
            missed = {id_ for id_ in wanted[person.user_id] if by_id[id_].confirmed} - person.got.keys()
            assert not missed, f"{person.name} never received {len(missed)} of {len(wanted[person.user_id])}"
            if person.keeps_client:
                assert set(person.got.values()) <= {1}, "the SDK gave out a message twice"
        histories: dict[str, list[str]] = {}
        ours: Counter[str] = Counter()
        reads = 0
        for person in self.people:
            unread = (await person.client.messages.unread()).by_dialog
            for dialog in await person.client.dialogs.list(limit=PAGE):
                found = await person.history(dialog.id)
                ids = [message.id for message in found]
                counted = sum(not m.is_own and person.user_id not in m.read_ids for m in found)
                assert (dialog.unread_messages_count, unread.get(dialog.id, 0)) == (counted, counted)
                reads += sum(not m.is_own and person.user_id in m.read_ids for m in found)
                if dialog.id in histories:
                    assert histories[dialog.id] == ids, "two members see different histories"
                    continue
                histories[dialog.id] = ids
                found = [m for m in found if m.id in by_id or m.sender_id not in strangers]
                ours.update(message.id for message in found)
                _check_order(found)
                assert all((by_id[m.id].to == GROUP) == (dialog.id == self.group_id) for m in found)
        assert reads, "nobody has read anything; the unread counts prove nothing"
        assert ours.keys() <= by_id.keys(), "there is something that nobody sent"
        assert set(ours.values()) <= {1}, "stored more than once"
        lost = [message.number for message in by_id.values() if message.confirmed and message.id not in ours]
        assert not lost, f"{len(lost)} confirmed messages are not in the history"
        return histories


def _check_order(history: list[Message]) -> None:
    last: dict[int, int] = {}
    for message in history:
        number = number_of(message)
        assert number > last.get(message.sender_id, -1), f"{message.body} comes after {last[message.sender_id]}"
        last[message.sender_id] = number
