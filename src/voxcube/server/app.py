"""The only wiring: configuration → database, stores, services, doors; and the order of starting and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import socket
import ssl
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from voxcube import __version__
from voxcube.server import metrics, tls
from voxcube.server.c2s.dispatch import Dispatch
from voxcube.server.c2s.hub import Hub, Limits, Outboxes
from voxcube.server.c2s.keepalive import KeepAlive
from voxcube.server.c2s.pace import Pace
from voxcube.server.c2s.resumption import Resumption
from voxcube.server.c2s.server import XmppServer
from voxcube.server.c2s.session import Session
from voxcube.server.c2s.user_sessions import UserSessions
from voxcube.server.cluster.bus import Bus
from voxcube.server.cluster.local import LocalBus
from voxcube.server.config import Config, ConfigError
from voxcube.server.core.clock import Clock, SystemClock
from voxcube.server.core.counts import Counts
from voxcube.server.core.errors import Unavailable
from voxcube.server.core.ids import Ids
from voxcube.server.core.rates import Rate
from voxcube.server.data_lock import DataLock
from voxcube.server.delivery.handed import Handed
from voxcube.server.delivery.router import Router
from voxcube.server.delivery.sessions import Sessions
from voxcube.server.features.activity import xmpp as activity
from voxcube.server.features.activity.service import ActivityService
from voxcube.server.features.archive import xmpp as archive
from voxcube.server.features.archive.service import ArchiveService
from voxcube.server.features.blocking import xmpp as blocking
from voxcube.server.features.blocking.service import BlockingService
from voxcube.server.features.carbons import xmpp as carbons
from voxcube.server.features.changes import rest as changes_rest
from voxcube.server.features.changes import xmpp as message_changes
from voxcube.server.features.changes.encode import ChangeNotices
from voxcube.server.features.changes.retention import Retention
from voxcube.server.features.changes.service import ChangeService
from voxcube.server.features.contacts import xmpp as contacts
from voxcube.server.features.contacts.encode import ActStanzas
from voxcube.server.features.contacts.pushes import Pushes
from voxcube.server.features.contacts.service import ContactService
from voxcube.server.features.contacts.showing import Showing
from voxcube.server.features.dialogs import rest as dialogs_rest
from voxcube.server.features.dialogs import rest_admin, rest_changes
from voxcube.server.features.dialogs.admin import DialogAdmin
from voxcube.server.features.dialogs.changes import DialogChanges
from voxcube.server.features.dialogs.ending import DialogEndings
from voxcube.server.features.dialogs.erasing import Eraser
from voxcube.server.features.dialogs.people import DialogPeople
from voxcube.server.features.dialogs.service import DialogService
from voxcube.server.features.dialogs.settling import SETTLE_SECONDS, Settling
from voxcube.server.features.direct import xmpp as direct
from voxcube.server.features.disco import xmpp as disco
from voxcube.server.features.history import rest as history_rest
from voxcube.server.features.history.service import HistoryService
from voxcube.server.features.messages import rest as messages_rest
from voxcube.server.features.messages import xmpp as messages
from voxcube.server.features.messages.create import Creation
from voxcube.server.features.messages.encode import MessageEncoder
from voxcube.server.features.messages.late import LateDelivery
from voxcube.server.features.messages.queue import MessageQueue
from voxcube.server.features.messages.service import MessageService
from voxcube.server.features.mobile import xmpp as mobile
from voxcube.server.features.ping import xmpp as ping
from voxcube.server.features.presence import xmpp as presence
from voxcube.server.features.presence.service import RENEW_SECONDS, Online, OnlineTable
from voxcube.server.features.privacy import xmpp as privacy
from voxcube.server.features.privacy.screens import Screens
from voxcube.server.features.privacy.service import PrivacyService
from voxcube.server.features.privacy.visibility import Visibility
from voxcube.server.features.reactions import rest as reactions_rest
from voxcube.server.features.reactions.encode import ReactionNotices
from voxcube.server.features.reactions.service import ReactionService
from voxcube.server.features.receipts import xmpp as receipts
from voxcube.server.features.rooms import xmpp as rooms
from voxcube.server.features.rooms.invitations import Invitations
from voxcube.server.features.rooms.service import RoomService
from voxcube.server.features.search import indexer as search_index
from voxcube.server.features.search import rest as search_rest
from voxcube.server.features.search.service import SearchService
from voxcube.server.features.sessions import rest as sessions_rest
from voxcube.server.features.sessions.service import SessionService
from voxcube.server.features.sessions.xmpp import LOOK_SECONDS, LogIns
from voxcube.server.features.system import rest as system_rest
from voxcube.server.features.system import xmpp as system
from voxcube.server.features.system.encode import SystemHeadlines
from voxcube.server.features.system.service import SystemService
from voxcube.server.features.typing import xmpp as typing
from voxcube.server.features.typing.service import TypingService
from voxcube.server.features.users import rest as users_rest
from voxcube.server.features.users.directory import Directory
from voxcube.server.features.users.doorkeeper import Doorkeeper
from voxcube.server.features.users.hash_queue import Lane
from voxcube.server.features.users.passwords import Passwords
from voxcube.server.features.users.removal import Removal
from voxcube.server.features.users.service import UserService
from voxcube.server.jobs import Jobs
from voxcube.server.net.addresses import ListenError, listen
from voxcube.server.net.places import Caps, Places, descriptors
from voxcube.server.rest import docs, home
from voxcube.server.rest.app import create_app
from voxcube.server.rest.connection import HttpLimits
from voxcube.server.rest.http import HttpServer
from voxcube.server.rest.normalise import Limits as RequestLimits
from voxcube.server.rest.openapi import describe
from voxcube.server.storage import apps
from voxcube.server.storage.archive import ArchiveStore
from voxcube.server.storage.cache import Cache
from voxcube.server.storage.contacts import ContactStore
from voxcube.server.storage.database import (
    Ambiguous,
    Contention,
    Database,
    DatabaseError,
    DatabaseInUse,
    Unreachable,
)
from voxcube.server.storage.dialogs import DialogStore
from voxcube.server.storage.finding import Finder
from voxcube.server.storage.history import HistoryStore
from voxcube.server.storage.messages import apply_batch
from voxcube.server.storage.migrate import is_sqlite, open_database
from voxcube.server.storage.occupants import OccupantStore
from voxcube.server.storage.privacy import PrivacyStore
from voxcube.server.storage.probe import WriteProbe
from voxcube.server.storage.reactions import ReactionStore
from voxcube.server.storage.tokens import TokenStore
from voxcube.server.storage.users import UserStore
from voxcube.server.storage.writer import Writer

if TYPE_CHECKING:
    from voxcube.server.storage.lease import NodeLease

log = logging.getLogger(__name__)

HANDED_SECONDS = 1.0  # how far `handed` in the database may lag
ASK_SECONDS = 1.0  # after which a quiet session is asked what it has got
GENERATION_SECONDS = 1.0
PRESENCE_SECONDS = 0.5
BEAT_SECONDS = 1.0
CLEAN_SECONDS = 30.0
RETENTION_SECONDS = 600.0
EXPIRY_SECONDS = 2.0  # how late a message may destroy itself
ERASE_SECONDS = 5.0
BURST_SECONDS = 10  # worth of requests and stanzas that may come at once
BY_ADDRESS = 10  # times as much as of a user, for an office shares one address
BATCH_SECONDS = 5.0  # how long a stop waits for what is being committed


def _rate(clock: Clock, per_second: float) -> Rate:
    return Rate(clock, per_second, per_second * BURST_SECONDS)


class App:
    """A node. `async with App(config) as app:` opens the doors, and closes them in good order."""

    def __init__(
        self, config: Config, *, bus: Bus | None = None, clock: Clock | None = None, limits: Limits | None = None
    ) -> None:
        """`bus` carries words to other nodes; none by default. `limits` are those of XMPP connections.

        Nothing is opened yet.
        """
        self.config = config
        self.doors: dict[str, tuple[str, int]] = {}
        self.listeners: dict[str, list[tuple[str, int]]] = {}  # all addresses of each door; `doors` has the first
        self._bus = bus or LocalBus()
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        self._ids = Ids(self._clock)
        self._stack = contextlib.AsyncExitStack()
        self._tls: ssl.SSLContext | None = None
        self.database: Database
        self.writer: Writer
        self.router: Router
        self.hub: Hub
        self.logins: LogIns
        #: Gets the reason when the node must stop: another server has taken its place on the database.
        self.failed: asyncio.Future[DatabaseInUse]

    async def __aenter__(self) -> App:
        """Raises ConfigError (also when another server uses the data directory), OSError (a port is taken),
        DatabaseError (away, in use by another server, or newer than this program)."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _pace(self) -> Pace | None:
        per_second = self.config.stanzas_per_second
        if self.config.unlimited or not per_second:
            return None
        return Pace(_rate(self._clock, per_second), _rate(self._clock, per_second * BY_ADDRESS))

    async def count_applications(self) -> int:
        """How many applications there are."""
        return len(await self.database.read(apps.every))

    def reload_certificate(self) -> None:
        """New connections get the certificate that the files hold now; one that cannot be used changes nothing."""
        if self._tls is None:
            return
        try:
            found = tls.reload(self._tls, self.config)
        except (ConfigError, OSError) as error:
            log.error("the certificate is not reloaded: %s", error)
        else:
            log.info("the certificate is reloaded: %s", found.fingerprint)

    async def _take_lease(self) -> NodeLease | None:
        """Only one server, or nodes with a common bus, on a PostgreSQL database. Raises DatabaseError."""
        config = self.config
        if is_sqlite(config.database_url):  # the file lock is enough
            return None
        # Only here, so that an installation without the extra `postgres` works.
        from voxcube.server.storage.lease import NodeLease

        lease = await NodeLease.take(config.database_url, node=config.node_name, shared=not self._bus.alone)
        self._stack.push_async_callback(lease.close)
        self.failed = lease.ended
        return lease

    async def _start(self) -> None:
        config, clock, ids, stack = self.config, self._clock, self._ids, self._stack

        # One server on these data. What is opened first is closed last.
        self.failed = asyncio.get_running_loop().create_future()
        data_lock = DataLock(config)
        data_lock.acquire()
        stack.callback(data_lock.release)
        lease = await self._take_lease()

        # Storage.
        database = self.database = await open_database(config.database_url)
        stack.push_async_callback(database.close)
        writer = self.writer = Writer(database, apply_batch)
        writer.start()
        stack.push_async_callback(writer.close)
        cache = Cache(database)
        await cache.follow_generation()  # what changes from here on is noticed
        counts = Counts()
        indexer = search_index.Indexer(database, writer, lambda: counts.stored)
        queue = MessageQueue(
            writer, indexer.after_commit, lambda dialog_id, seq, *users: router.uncertain(dialog_id, seq, *users)
        )

        # Accounts and dialogs.
        users, tokens, dialogs = UserStore(database), TokenStore(database), DialogStore(database)
        spared = config.unlimited
        passwords = Passwords(clock=clock, bounds=dict.fromkeys(Lane, 100_000) if spared else None)
        stack.callback(passwords.close)
        doorkeeper = Doorkeeper(
            clock,
            wrong_passwords=0 if spared else config.wrong_passwords,
            sign_ups=0 if spared else config.sign_ups_per_minute,
        )
        accounts = UserService(
            users=users, passwords=passwords, transactions=writer, clock=clock, tokens=tokens, cache=cache
        )
        lists = PrivacyStore(database)
        visibility = Visibility(cache, lists, config.domain)
        directory = Directory(users=accounts, store=users, cache=cache, visibility=visibility)
        removal = Removal(users=users, tokens=tokens, cache=cache, transactions=writer, clock=clock)
        sessions = SessionService(
            cache=cache, users=users, tokens=tokens, accounts=accounts, passwords=passwords,
            transactions=writer, clock=clock, ids=ids, doorkeeper=doorkeeper,
        )  # fmt: skip
        logins = self.logins = LogIns(sessions)
        dialog_service = DialogService(
            dialogs=dialogs, users=accounts, cache=cache, transactions=writer, clock=clock, ids=ids,
            visibility=visibility,
        )  # fmt: skip
        messages_read = HistoryStore(database)
        history = HistoryService(dialogs=dialog_service, store=dialogs, history=messages_read, writer=writer)
        search = SearchService(dialogs=dialog_service, store=dialogs, history=messages_read, finder=Finder(database))

        # Delivery.
        node = ids.object_id()  # this run of this node
        connected = Sessions()
        handed = Handed(queue.hand_over)
        late = LateDelivery(
            database, writer, connected, handed, clock, config.domain, config.node_name, queue.hand_over
        )
        stack.push_async_callback(late.close)

        # Privacy.
        screens = Screens(cache, lists, connected)
        stack.push_async_callback(screens.close)
        privacy_service = PrivacyService(
            facts=cache, store=lists, transactions=writer, domain=config.domain, screens=screens
        )

        blocks = blocking.Blocking(BlockingService(privacy_service, lists, config.domain), ids)
        stack.push_async_callback(blocks.close)

        # What is forgotten here is forgotten on all nodes, and may have let somebody in.
        def heard(keys: tuple[Any, ...]) -> None:
            cache.drop(keys)
            screens.changed(keys)
            blocks.changed(keys)
            watching.heard(keys)
            showing.changed(keys)
            pushes.changed(keys)
            joined.forgotten(keys)
            logins.ended(keys)

        def said(keys: tuple[Any, ...]) -> None:
            router.tell_forgotten(keys)
            screens.changed(keys)
            blocks.changed(keys)
            showing.changed(keys)
            pushes.changed(keys)
            joined.forgotten(keys)
            logins.ended(keys)

        def in_doubt() -> None:
            cache.clear()
            screens.doubt()
            blocks.doubt()
            watching.doubt()
            showing.doubt()
            pushes.doubt()
            joined.doubt()
            logins.doubt()

        router = self.router = Router(
            connected,
            self._bus,
            name=node,
            members=cache.peek_dialog,
            load_members=cache.dialog,
            recover=late.recover,
            positions=late.positions,
            newest=late.newest,
            now_ms=clock.now_ms,
            forgotten=heard,
            forget_all=in_doubt,
            hiding=privacy_service,
        )
        stack.push_async_callback(router.close)
        everywhere = Online(connected, database, clock, config.node_name)
        room_service = RoomService(cache, everywhere, visibility)
        joined = rooms.Rooms(room_service, visibility, router, config.domain, name=node)

        def cleared() -> None:
            joined.check_all()
            logins.doubt()

        cache.on_forget, cache.on_clear = said, cleared
        acts = ActStanzas(router, config.domain)
        contact_service = ContactService(
            store=ContactStore(database), facts=cache, privacy=privacy_service, transactions=writer, telling=acts
        )
        pushes = Pushes(contact_service, ids, config.domain)
        stack.push_async_callback(pushes.close)
        contact_stanzas = contacts.Contacts(contact_service, pushes, acts, config.domain)
        showing = Showing(
            router,
            cache,
            active=screens.active,
            requests=contact_stanzas.give_requests,
            alive=joined.joined.alive,
            domain=config.domain,
            name=node,
        )
        joined.joined.on_node = showing.node
        online = OnlineTable(connected, writer, clock, config.node_name, prompt=not router.alone)
        last_activity = activity.LastActivity(
            ActivityService(
                facts=cache, privacy=privacy_service, table=online, online=everywhere, database=database, clock=clock
            ),
            ids,
            config.domain,
        )
        watching = last_activity.watching
        stack.push_async_callback(watching.close)

        def seen(user_id: int) -> None:
            online.changed(user_id)
            watching.changed(user_id)

        def written(users: Collection[int]) -> None:
            keys = tuple(("online", user_id) for user_id in users)
            router.tell_forgotten(keys)
            watching.heard(keys)

        connected.on_change, online.on_written = seen, written
        await self._bus.start(router)
        if lease is not None:
            lease.regained = router.interrupted  # what another server did meanwhile is not known
        stack.push_async_callback(self._bus.close)
        stack.push_async_callback(joined.close)
        stack.push_async_callback(showing.close)

        # Features.
        async def private_between(app_id: int, a: int, b: int) -> str:
            dialog = await dialog_service.private_between(app_id, a, b, create=True)
            if dialog is None:
                raise Unavailable
            return dialog.id

        message_service = MessageService(
            facts=cache,
            store=queue,
            encoder=MessageEncoder(router, config.domain, keep=late.keep),
            privacy=privacy_service,
            private_between=private_between,
            clock=clock,
            counts=counts,
        )
        creation = Creation(message_service, cache, history, ids)
        reactions = ReactionService(
            dialogs=dialog_service,
            store=ReactionStore(database),
            transactions=writer,
            notices=ReactionNotices(router, config.domain, ids),
            clock=clock,
        )
        typing_relay = typing.Typing(TypingService(cache, privacy_service), router, config.domain)
        notices = ChangeNotices(router, config.domain, ids)
        changes = ChangeService(facts=cache, privacy=privacy_service, writer=writer, notices=notices, clock=clock)
        system_service = SystemService(
            facts=cache, privacy=privacy_service, headlines=SystemHeadlines(router, config.domain), ids=ids
        )
        markers = receipts.Receipts(queue.mark, privacy_service, router)
        stanzas = messages.MessageStanzas(
            config.domain,
            message_service,
            ids,
            typing=typing_relay.relay,
            marker=markers.marker,
            change=message_changes.ChangeStanzas(changes, router, config.domain).change,
            invitation=Invitations(room_service, system_service, router, config.domain).relay,
        )
        archives = archive.Archive(
            ArchiveService(dialogs=dialog_service, store=ArchiveStore(database), cache=cache, writer=writer),
            functools.partial(late.encode, late=False),
            config.domain,
        )
        presences = presence.Presence(
            router, late.catch_up, screens.came, showing, online.written, name=node, now_ms=clock.now_ms
        )
        features = [
            ping.feature(),
            carbons.feature(),
            contacts.feature(contact_stanzas, showing),
            presence.feature(presences),
            rooms.feature(joined),
            messages.feature(stanzas),
            archive.feature(archives),
            message_changes.feature(),
            system.feature(system.SystemStanzas(system_service, router, config.domain)),
            typing.feature(),
            receipts.feature(),
            privacy.feature(privacy.PrivacyLists(privacy_service, screens)),
            blocking.feature(blocks),
            activity.feature(last_activity),
            mobile.feature(),
        ]
        features.append(disco.feature(features, config.domain))

        # The XMPP door.
        def bound(full: str) -> Session | None:
            return self.hub.bound.get(full)

        between = direct.DirectStanzas(
            router, privacy_service, bound=bound, sees=showing.sees, domain=config.domain, name=node
        )

        def gone(session: Session) -> None:
            joined.gone(session)
            presences.gone(session)
            screens.gone(session)
            blocks.gone(session)
            pushes.gone(session)
            watching.gone(session)
            between.gone(session)
            logins.gone(session)
            if session.user_id and not connected.of(session.user_id):
                router.user_went(session.user_id)

        places = Places(
            descriptors(),
            Caps(half_open=config.max_half_open, http=config.http_connections),
            proxies=config.proxies,
            spare_loopback=config.unlimited,
        )
        hub = self.hub = Hub(
            domain=config.domain,
            aliases=frozenset({"localhost", "127.0.0.1", "::1", "[::1]", config.domain}),
            dispatch=Dispatch(config.domain, features, between),
            sessions=connected,
            handed=handed,
            outboxes=Outboxes(),
            pressure=writer,
            authenticate=sessions.check_credentials,
            came=logins.came,
            gone=gone,
            ids=ids,
            limits=self._limits,
            pace=self._pace(),
            counts=counts,
            resumption=Resumption(config.resume_seconds, late.undelivered),
            user_sessions=UserSessions(config.sessions_per_user, self._limits.user_waiting_bytes),
            places=places,
            trusted_proxies=config.proxies,
            origins=config.origins,
        )
        xmpp = XmppServer(hub)

        # What happens by itself.
        jobs = Jobs(writer, clock, config.node_name)
        stack.push_async_callback(jobs.close)
        await online.start()

        async def flush_handed() -> None:
            handed.flush()

        jobs.every(HANDED_SECONDS, flush_handed)
        jobs.every(ASK_SECONDS, KeepAlive(hub.connected, config.ping_seconds).turn)
        jobs.every(GENERATION_SECONDS, cache.follow_generation)
        jobs.every(BEAT_SECONDS, router.beat)
        jobs.every(BEAT_SECONDS, joined.joined.look)
        jobs.every(SETTLE_SECONDS, Settling(database=database, transactions=writer, clock=clock).turn)
        jobs.every(PRESENCE_SECONDS, online.flush)
        jobs.every(RENEW_SECONDS, online.renew)
        jobs.every(LOOK_SECONDS, logins.look)
        jobs.every(GENERATION_SECONDS, logins.look_if_in_doubt)
        jobs.every(search_index.SECONDS, indexer.run)
        jobs.one_node("search", search_index.SWEEP_SECONDS, indexer.sweep)
        jobs.one_node("dead presence", CLEAN_SECONDS, online.forget_dead)
        jobs.one_node("ended sessions", CLEAN_SECONDS, sessions.forget_ended)
        jobs.one_node("ended guests", CLEAN_SECONDS, removal.remove_ended_guests)
        retention = Retention(database=database, transactions=writer, clock=clock)
        jobs.one_node("old messages", RETENTION_SECONDS, retention.remove_old)
        jobs.one_node("self-destroyed messages", EXPIRY_SECONDS, retention.remove_expired)
        jobs.one_node("erased users", CLEAN_SECONDS, retention.remove_erased)
        jobs.one_node("erased dialogs", ERASE_SECONDS, Eraser(transactions=writer, clock=clock).run)

        # The end, in this order: no new work, what is under way, a word to everybody, what was kept in memory.
        async def finish() -> None:
            xmpp.stop_reading()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(writer.idle(), BATCH_SECONDS)
            await xmpp.shut_down()
            await late.finish(BATCH_SECONDS)
            handed.flush()
            with contextlib.suppress(DatabaseError, Unavailable):
                await online.stop()

        stack.push_async_callback(finish)
        stack.callback(xmpp.stop_listening)

        probe = WriteProbe(writer)

        async def health() -> dict[str, object]:
            await cache.follow_generation()  # raises when the database is away
            await probe.check()  # … and this when it cannot be written
            return {"status": "ok", "node": config.node_name, "sessions": len(hub.connected)}

        occupants = OccupantStore(database)
        dialog_changes = DialogChanges(dialogs=dialog_service, cache=cache, transactions=writer, clock=clock)
        endings = DialogEndings(cache=cache, transactions=writer, clock=clock)
        routes = [
            *sessions_rest.routes(sessions),
            *users_rest.routes(accounts, directory, removal, doorkeeper, written=online.written),
            *dialogs_rest.routes(dialog_service, config.domain),
            *rest_admin.routes(
                DialogAdmin(
                    service=dialog_service,
                    changes=dialog_changes,
                    endings=endings,
                    dialogs=dialogs,
                    occupants=occupants,
                ),
                config.domain,
            ),
            *rest_changes.routes(
                dialog_changes,
                endings,
                DialogPeople(dialogs=dialogs, occupants=occupants, users=accounts, directory=directory),
                config.domain,
            ),
            *history_rest.routes(history),
            *reactions_rest.routes(reactions),
            *search_rest.routes(search, config.domain),
            *changes_rest.routes(changes),
            *messages_rest.routes(creation),
            *system_rest.routes(system_service),
        ]
        http = create_app(
            routes,
            sessions=sessions,
            health=health,
            origins=config.origins,
            limits=RequestLimits(body=config.body_limit),
            more=[
                home.page(__version__),
                *docs.pages(describe(routes, version=__version__)),
                *metrics.routes(metrics.NodeMetrics(hub, writer, self.doors), config.metrics),
            ],
            requests=counts.requests,
            user_rate=_rate(clock, 0 if spared else config.requests_per_second),
            address_rate=_rate(clock, 0 if spared else config.requests_per_second * BY_ADDRESS),
            insecure_credentials=config.insecure_http_credentials,
            unavailable=(Unreachable, Ambiguous, Contention),
        )
        await self._open_doors(xmpp, http, places)

    async def _open_doors(self, xmpp: XmppServer, http: Any, places: Places) -> None:
        config = self.config
        ports = config.ports
        clear = {"http", "ws", "xmpp"} if config.plaintext else {"http", "ws"}
        if ports.keys() - clear:
            certificate = tls.certificate(config)
            self._tls = tls.server_context(certificate)
            if wrong := tls.problem(tls.read(certificate.cert), config.domain):
                log.warning("the certificate %s %s: clients will refuse it", certificate.cert, wrong)
        proxies = [str(network) for network in config.proxies]
        limits = HttpLimits(request_seconds=config.request_seconds, keep_alive_seconds=config.keep_alive_seconds)
        for door, port in ports.items():
            context = None if door in clear else self._tls
            with _explained(door, config.host, port):
                listeners = listen(config.hosts, port)
            if door in ("http", "https"):
                server = HttpServer(http, context, trusted_proxies=proxies, limits=limits, places=places)
                await server.open(listeners)
                self._stack.push_async_callback(server.close)
            elif door == "xmpp":
                xmpp.listen_tcp(listeners, None, starttls=context)
            elif door == "xmpps":
                xmpp.listen_tcp(listeners, context)
            else:
                xmpp.listen_websocket(listeners, context)
            self.listeners[door] = [(str(one.getsockname()[0]), port) for one in listeners]
            self.doors[door] = self.listeners[door][0]


@contextlib.contextmanager
def _explained(listener: str, host: str, port: int) -> Iterator[None]:
    """Turns the error of a listener that cannot be opened into one that names the option. Raises ConfigError."""
    try:
        yield
    except OSError as error:
        option = "host"
        if isinstance(error, ListenError):
            host = error.address
        if error.errno == errno.EADDRINUSE:
            option, reason = f"{listener}_port", "the port is in use by another program: stop it"
        elif error.errno == errno.EACCES:
            option, reason = f"{listener}_port", "ports below 1024 need a privilege: give it to the server"
        elif isinstance(error, socket.gaierror) or (error.errno or 0) < 0:  # uvloop raises a plain OSError
            reason = "the host name is not known"
        else:
            reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}, or change {option}") from None
