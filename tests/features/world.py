"""A database with two applications, the services on it, and the HTTP door in-process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.rest.contract import CheckedTransport, Contract
from voxcube.server.core.clock import ManualClock
from voxcube.server.core.ids import Ids
from voxcube.server.core.models import App, AppSettings, Dialog, NewApp, Turn, User
from voxcube.server.delivery.router import GROUP, Parcel
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.features.apps.service import AppService
from voxcube.server.features.changes import rest as changes_rest
from voxcube.server.features.changes.encode import ChangeNotices
from voxcube.server.features.changes.retention import Retention
from voxcube.server.features.changes.service import ChangeService
from voxcube.server.features.dialogs import rest as dialogs_rest
from voxcube.server.features.dialogs import rest_admin, rest_changes
from voxcube.server.features.dialogs.admin import DialogAdmin
from voxcube.server.features.dialogs.changes import DialogChanges
from voxcube.server.features.dialogs.ending import DialogEndings
from voxcube.server.features.dialogs.erasing import Eraser
from voxcube.server.features.dialogs.people import DialogPeople
from voxcube.server.features.dialogs.service import DialogService
from voxcube.server.features.history import rest as history_rest
from voxcube.server.features.history.service import HistoryService
from voxcube.server.features.messages import rest as messages_rest
from voxcube.server.features.messages.create import Creation
from voxcube.server.features.messages.encode import MessageEncoder
from voxcube.server.features.messages.queue import MessageQueue
from voxcube.server.features.messages.service import MessageService
from voxcube.server.features.privacy.screens import Screens
from voxcube.server.features.privacy.service import PrivacyService
from voxcube.server.features.privacy.visibility import Visibility
from voxcube.server.features.reactions import rest as reactions_rest
from voxcube.server.features.reactions.service import ReactionService
from voxcube.server.features.search import rest as search_rest
from voxcube.server.features.search.indexer import Indexer
from voxcube.server.features.search.service import SearchService
from voxcube.server.features.sessions import rest as sessions_rest
from voxcube.server.features.sessions.service import SessionService
from voxcube.server.features.system import rest as system_rest
from voxcube.server.features.system.encode import SystemHeadlines
from voxcube.server.features.system.service import SystemService
from voxcube.server.features.users import rest as users_rest
from voxcube.server.features.users.directory import Directory
from voxcube.server.features.users.doorkeeper import Doorkeeper
from voxcube.server.features.users.passwords import Passwords
from voxcube.server.features.users.removal import Removal
from voxcube.server.features.users.service import UserService
from voxcube.server.rest.app import create_app
from voxcube.server.storage import apps, receipts
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.database import Database, Unreachable
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.finding import Finder
from voxcube.server.storage.history import HistoryStore
from voxcube.server.storage.messages import Send, apply_batch
from voxcube.server.storage.migrate import open_database
from voxcube.server.storage.occupants import OccupantStore
from voxcube.server.storage.privacy import PrivacyStore
from voxcube.server.storage.reactions import ReactionStore
from voxcube.server.storage.receipts import Mark
from voxcube.server.storage.tokens import TokenStore
from voxcube.server.storage.users import UserStore
from voxcube.server.storage.writer import Writer

PASSWORD = "correct horse"


class ReactionNotices:
    """Keeps what would be told about reactions: (dialog, user, message, added, removed)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, str, str | None, str | None]] = []

    def tell(
        self, dialog: Dialog, user_id: int, message_id: str, turn: Turn, *, added: str | None, removed: str | None
    ) -> None:
        self.told.append((dialog.id, user_id, message_id, added, removed))


class Parcels(list[Parcel]):
    """A router (`delivery.router.Router`) that nobody is behind: what it was given is kept, told as (to, stanza)."""

    alone = True

    def __init__(self) -> None:
        super().__init__()
        self.sessions = Sessions()

    def remind(self, dialog_id: str, user_id: int, seq: int, origin: bytes = b"") -> None:
        pass

    def awaits(self, dialog_id: str, seq: int) -> bool:
        return False

    def send(self, parcel: Parcel) -> None:
        self.append(parcel)

    def newest(self, dialog_id: str, user_id: int) -> int:
        return 0

    def change(self, parcel: Parcel, turn: Turn) -> None:
        self.append(parcel)

    def has_others(self, user_id: int, origin: bytes) -> bool:
        return False

    def take(self) -> list[tuple[int | str, str]]:
        """Whom what went to (a user, or a dialog for its members), and what; then it is forgotten."""
        taken = [
            (parcel.user_id if parcel.kind < GROUP else parcel.dialog_id, (parcel.head + parcel.tail).decode())
            for parcel in self
            if parcel.head
        ]
        self.clear()
        return taken


class World:
    """Everything between a request and the database."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self.database = database
        self.writer = writer
        self.clock = ManualClock()
        self.ids = Ids(self.clock)
        self.cache = Cache(database)
        self.passwords = Passwords(clock=self.clock, time_cost=1, memory_cost=8)
        self.apps = AppService(writer, self.clock)
        self.doorkeeper = Doorkeeper(self.clock, wrong_passwords=5, sign_ups=0)
        self.user_store, self.token_store = UserStore(database), TokenStore(database)
        self.dialog_store = DialogStore(database)
        self.users = UserService(
            users=self.user_store,
            passwords=self.passwords,
            transactions=writer,
            clock=self.clock,
            tokens=self.token_store,
            cache=self.cache,
        )
        lists = PrivacyStore(database)
        visibility = Visibility(self.cache, lists, "chat.example.org")
        self.directory = Directory(users=self.users, store=self.user_store, cache=self.cache, visibility=visibility)
        self.removal = Removal(
            users=self.user_store,
            tokens=self.token_store,
            cache=self.cache,
            transactions=writer,
            clock=self.clock,
        )
        self.sessions = SessionService(
            cache=self.cache,
            users=self.user_store,
            tokens=self.token_store,
            accounts=self.users,
            passwords=self.passwords,
            transactions=writer,
            clock=self.clock,
            ids=self.ids,
            doorkeeper=self.doorkeeper,
        )
        self.dialogs = DialogService(
            dialogs=self.dialog_store,
            users=self.users,
            cache=self.cache,
            transactions=writer,
            clock=self.clock,
            ids=self.ids,
            visibility=visibility,
        )
        self.changes = DialogChanges(dialogs=self.dialogs, cache=self.cache, transactions=writer, clock=self.clock)
        self.endings = DialogEndings(cache=self.cache, transactions=writer, clock=self.clock)
        occupants = OccupantStore(database)
        self.people = DialogPeople(
            dialogs=self.dialog_store, occupants=occupants, users=self.users, directory=self.directory
        )
        self.dialog_admin = DialogAdmin(
            service=self.dialogs,
            changes=self.changes,
            endings=self.endings,
            dialogs=self.dialog_store,
            occupants=occupants,
        )
        self.eraser = Eraser(transactions=writer, clock=self.clock)
        self.history = HistoryService(
            dialogs=self.dialogs, store=self.dialog_store, history=HistoryStore(database), writer=writer
        )
        self.reaction_notices = ReactionNotices()
        self.reactions = ReactionService(
            dialogs=self.dialogs,
            store=ReactionStore(database),
            transactions=writer,
            notices=self.reaction_notices,
            clock=self.clock,
        )
        self.parcels = Parcels()
        router: Any = self.parcels
        self.privacy = privacy = PrivacyService(
            facts=self.cache,
            store=lists,
            transactions=writer,
            domain="chat.example.org",
            screens=Screens(self.cache, lists, Sessions()),
        )
        self.messages = MessageService(
            facts=self.cache,
            privacy=privacy,
            store=MessageQueue(writer),
            encoder=MessageEncoder(
                router,
                "chat.example.org",
                keep=lambda app_id, user_id, message_id, stanza: None,
            ),
            private_between=self._private_between,
            clock=self.clock,
        )
        self.creation = Creation(self.messages, self.cache, self.history, self.ids)
        self.message_changes = ChangeService(
            facts=self.cache,
            privacy=privacy,
            writer=writer,
            notices=ChangeNotices(router, "chat.example.org", self.ids),
            clock=self.clock,
        )
        self.indexer = Indexer(database, writer, lambda: 0)
        self.search = SearchService(
            dialogs=self.dialogs, store=self.dialog_store, history=HistoryStore(database), finder=Finder(database)
        )
        self.retention = Retention(database=database, transactions=writer, clock=self.clock)
        system = SystemService(
            facts=self.cache,
            privacy=privacy,
            headlines=SystemHeadlines(router, "chat.example.org"),
            ids=self.ids,
        )
        self.routes = [
            *sessions_rest.routes(self.sessions),
            *users_rest.routes(self.users, self.directory, self.removal, self.doorkeeper),
            *dialogs_rest.routes(self.dialogs, "chat.example.org"),
            *rest_admin.routes(self.dialog_admin, "chat.example.org"),
            *rest_changes.routes(self.changes, self.endings, self.people, "chat.example.org"),
            *history_rest.routes(self.history),
            *reactions_rest.routes(self.reactions),
            *search_rest.routes(self.search, "chat.example.org"),
            *changes_rest.routes(self.message_changes),
            *messages_rest.routes(self.creation),
            *system_rest.routes(system),
        ]
        self.contract = Contract(self.routes)
        self.http = create_app(self.routes, sessions=self.sessions, unavailable=(Unreachable,))
        self.app: NewApp
        self.other: NewApp

    async def _private_between(self, app_id: int, a: int, b: int) -> str:
        dialog = await self.dialogs.private_between(app_id, a, b, create=True)
        assert dialog is not None
        return dialog.id

    async def user(self, login: str, app: App | None = None, **fields: Any) -> User:
        return await self.users.create(app or self.app, {"login": login, **fields}, PASSWORD)

    async def setting(self, **settings: Any) -> None:
        """Changes settings of the first application."""
        self.app = dataclasses.replace(self.app, settings=AppSettings(**settings))
        await self.writer.run(lambda tx: apps.set_settings(tx, self.app.id, self.app.settings))
        self.cache.clear()

    def client(self, token: str = "") -> httpx.AsyncClient:
        headers = {"CB-Token": token} if token else {}
        transport = CheckedTransport(httpx.ASGITransport(self.http, raise_app_exceptions=False), self.contract)
        return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers)

    async def login(self, user: User, app: App | None = None, *, password: str = PASSWORD) -> httpx.AsyncClient:
        """A client with a session of ``user``."""
        app = app or self.app
        answer = await self.client().post(
            "/session",
            json={
                "application_id": app.id,
                "auth_key": app.auth_key,
                "user": {"login": user.login, "password": password},
            },
        )
        assert answer.status_code == 201, answer.text
        return self.client(answer.json()["session"]["token"])

    async def app_client(self, app: App | None = None) -> httpx.AsyncClient:
        """A client with an application session."""
        app = app or self.app
        answer = await self.client().post("/session", json={"application_id": app.id, "auth_key": app.auth_key})
        return self.client(answer.json()["session"]["token"])

    async def send(self, dialog_id: str, sender: User, body: str = "hello", **other: Any) -> Send:
        """Stores a message, as the messages service does."""
        done: asyncio.Future[Send] = asyncio.get_running_loop().create_future()
        properties, attachments = other.pop("properties", None), other.pop("attachments", None)
        values: dict[str, Any] = {
            "message_id": self.ids.object_id(),
            "recipient_id": 0,
            "extras": None,
            "date_sent": self.clock.now(),
            "created_at": self.clock.now_ms(),
            "arrived_at": self.clock.next_us(),
            "properties": None if properties is None else json.dumps(properties),
            "attachments": None if attachments is None else json.dumps(attachments),
            "show_again": True,
            **other,
        }
        send = Send(
            app_id=sender.app_id, dialog_id=dialog_id, sender_id=sender.id, body=body, done=done.set_result, **values
        )
        self.writer.put(send, dialog_id)
        await done
        assert send.error is None
        return send

    async def mark(self, dialog_id: str, user: User, message_id: str, kind: int = receipts.READ) -> None:
        """A marker of ``user``, as from the chat."""
        done: asyncio.Future[Mark] = asyncio.get_running_loop().create_future()
        mark = Mark(app_id=user.app_id, user_id=user.id, kind=kind, message_id=message_id, done=done.set_result)
        self.writer.put(mark, dialog_id)
        await done


@contextlib.asynccontextmanager
async def opened(url: str, *, apps: bool = True) -> AsyncIterator[World]:
    """A world on the database at ``url``; without ``apps`` it is a further node on the database of another world."""
    database = await open_database(url)
    writer = Writer(database, apply_batch)
    writer.start()
    world = World(database, writer)
    if apps:
        world.app = await world.apps.create("First")
        world.other = await world.apps.create("Other")
    try:
        yield world
    finally:
        world.passwords.close()
        await writer.close()
        await database.close()
