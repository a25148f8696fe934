"""Delivery from storage: to users who were away, and of what a gap in a dialog's deliveries lacks (realtime §7.4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from voxcube.server.c2s.resumption import Kept
from voxcube.server.c2s.session import Session, has_content
from voxcube.server.cluster.gate import Stream
from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Unavailable
from voxcube.server.delivery.handed import Handed, Key
from voxcube.server.delivery.listening import Position
from voxcube.server.delivery.router import CHAT, COPY, GROUP, Parcel
from voxcube.server.delivery.sessions import Sessions, Target
from voxcube.server.features.carbons.xmpp import wrap_sent
from voxcube.server.features.messages.encode import Encoded, frame, stored_inner
from voxcube.server.storage import offline, presence
from voxcube.server.storage.database import Database, Tx, UniqueViolation
from voxcube.server.storage.late import LateMessage, LateStore
from voxcube.server.storage.messages import LOCK_DIALOGS, UNSEEN_SECONDS
from voxcube.server.storage.offline import OfflineMessage
from voxcube.server.storage.writer import Writer
from voxcube.xmpp.frames import parse_frame
from voxcube.xmpp.payloads import delay
from voxcube.xmpp.xml import Element, to_xml

log = logging.getLogger(__name__)

OFFLINE_MESSAGES = 100  # per user; older ones are in the history
OFFLINE_DAYS = 30
KEPT_AT_ONCE = 256  # messages in one transaction


class _ToKeep(NamedTuple):
    app_id: int
    user_id: int
    message_id: str
    stanza: Encoded
    now_ms: int


class LateDelivery:
    """Delivers what storage has and a user does not."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        sessions: Sessions,
        handed: Handed,
        clock: Clock,
        domain: str,
        node: str,
        write_cursor: Callable[[Key, int, Callable[[bool], None]], None],
    ) -> None:
        """`write_cursor` is that of `Handed`."""
        self._database = database
        self._writer = writer
        self._store = LateStore(database)
        self._sessions = sessions
        self._handed = handed
        self._clock = clock
        self._domain = domain
        self._node = node
        self._write_cursor = write_cursor
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_keep: list[tuple[_ToKeep, asyncio.Future[None]]] = []
        self._last_kept: asyncio.Future[None] | None = None
        self._keeping = False

    async def catch_up(self, session: Session) -> None:
        """Delivers what the user was not handed, then what came meanwhile, each once and in order."""
        try:
            if self._last_kept is not None and not self._last_kept.done():
                await asyncio.wait([self._last_kept])  # it may be for this user
            found, upto = await self._missed(session)
        except BaseException:
            # It may not go on: acknowledging what comes now would hide what could not be read.
            session.fail("internal-server-error")
            raise
        held, session.held = session.held or [], None  # from here on it is written, not held
        for message in found:
            self._write(message, [session])
        waiting = self._waiting_elsewhere(session)
        came = {(head, tail) for head, tail, _, _ in held} if waiting else ()
        for stanza in waiting:
            if stanza not in came:
                session.deliver(*stanza, "", 0)
        # What was read is also under way: behind its commit here, or on the bus. It was written, and is not again.
        session.caught_up(upto)
        for head, tail, dialog_id, seq in held:
            session.deliver(head, tail, dialog_id, seq)

    def _waiting_elsewhere(self, session: Session) -> list[Encoded]:
        """Messages that are stored nowhere and wait for the clients of the user's other sessions, who may never come:
        when those sessions end, this one must have had them."""
        return [
            (head, tail)
            for other in self._sessions.of(session.user_id)
            if isinstance(other, Session) and other is not session
            for _, seq, head, tail in other.kept
            if seq == 0 and tail is not None and chat_message(head, tail) is not None
        ]

    async def _missed(self, session: Session) -> tuple[list[LateMessage | OfflineMessage], dict[str, int]]:
        """What the user was not handed, oldest first, and how far each dialog was read."""
        user_id = session.user_id
        since = self._clock.now_ms() - OFFLINE_DAYS * 86_400_000
        unseen = self._clock.now_ms() - UNSEEN_SECONDS * 1000
        behind = [
            (dialog_id, max(handed, self._handed.get(dialog_id, user_id)), newest)
            for dialog_id, handed, newest in await self._store.behind(user_id)
        ]
        behind = [row for row in behind if row[2] > row[1]]
        stored: list[LateMessage] = []
        if behind:
            stored = await self._store.missed(
                user_id, [(row[0], row[1]) for row in behind], since=since, limit=OFFLINE_MESSAGES
            )
        if len(stored) == OFFLINE_MESSAGES:
            await self._leave_out(user_id, behind, stored)
        upto = {row[0]: row[2] for row in behind}
        for message in stored:
            upto[message.dialog_id] = max(upto[message.dialog_id], message.seq)
        for dialog_id, _, newest in behind:
            # What was left out is had already, too old or own; but what is written counts only when acknowledged.
            if not any(message.dialog_id == dialog_id for message in stored):
                self._handed.note(dialog_id, user_id, newest)
        kept = [
            message
            for message in await offline.waiting(self._database, session.app_id, user_id, since)
            if message.seq > self._handed.get("", user_id)
            and (message.created_at >= unseen or b"<destroy " not in message.tail)
        ]
        if kept:
            upto[""] = kept[-1].seq
        return sorted([*stored, *kept], key=_moment), upto

    async def _leave_out(
        self, user_id: int, behind: Iterable[tuple[str, int, int]], stored: Iterable[LateMessage]
    ) -> None:
        """Moves the delivery cursor past what is too much, and left to the history, before what is newer is delivered.

        Done in the database: after a crash the client may have marked some of the newer ones, and as many older
        messages would take their places, behind what it has.
        """
        first: dict[str, int] = {}
        for message in stored:  # oldest first
            first.setdefault(message.dialog_id, message.seq)
        moved: list[asyncio.Future[bool]] = []
        for dialog_id, handed, newest in behind:
            seq = first.get(dialog_id, newest + 1) - 1
            if seq > handed:
                done = asyncio.get_running_loop().create_future()
                moved.append(done)
                self._write_cursor((dialog_id, user_id), seq, done.set_result)
        if not all(await asyncio.gather(*moved)):
            raise Unavailable

    def keep(self, app_id: int, user_id: int, message_id: str, stanza: Encoded) -> Awaitable[None] | None:
        """Keeps a 1-1 message that is not stored, unless the user has an available session anywhere."""
        if self._sessions.of(user_id):
            return None
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._to_keep.append((_ToKeep(app_id, user_id, message_id, stanza, self._clock.now_ms()), kept))
        self._last_kept = kept
        if len(self._to_keep) == 1 and not self._keeping:
            self._keeping = True
            self._start(self._keep_all())
        return kept

    def undelivered(self, session: Session, kept: Iterable[Kept]) -> None:
        """What the client of an ended session never acknowledged: messages that are not in the history are kept.

        Those that are stored are found in storage, as nothing was noted in `handed`. Where the user has another
        session they came there as well.
        """
        for _, seq, head, tail in kept:
            if seq == 0 and tail is not None and (message := chat_message(head, tail)) is not None:
                self.keep(session.app_id, session.user_id, message.attrs["id"], (head, tail))

    async def _keep_all(self) -> None:
        """One batch after the other, so that what is sent first is kept first."""
        while batch := self._to_keep[:KEPT_AT_ONCE]:
            del self._to_keep[:KEPT_AT_ONCE]
            error: Exception | None = None
            try:
                await self._keep_batch([message for message, _ in batch])
            except Exception as failure:
                error = failure
            for _, kept in batch:
                if kept.done():
                    continue
                if error is None:
                    kept.set_result(None)
                else:
                    kept.set_exception(error)
        self._keeping = False

    async def _keep_batch(self, batch: Sequence[_ToKeep]) -> None:
        now = self._clock.now()
        users = sorted({message.user_id for message in batch})
        online = await presence.online_elsewhere(self._database, self._node, users, now)

        async def add(tx: Tx) -> None:
            for message in batch:
                if message.user_id not in online:
                    await offline.add(
                        tx,
                        app_id=message.app_id,
                        user_id=message.user_id,
                        message_id=message.message_id,
                        head=message.stanza[0],
                        tail=message.stanza[1],
                        now_ms=message.now_ms,
                        kept=OFFLINE_MESSAGES,
                    )

        for again in (True, True, False):
            try:
                await self._writer.run(add)
                break
            except UniqueViolation:  # another node has kept something for the same user
                if not again:
                    raise

    def _write(self, message: LateMessage | OfflineMessage, targets: Iterable[Target]) -> None:
        if isinstance(message, LateMessage):
            dialog_id = message.dialog_id
            head, tail = self.encode(message, late=True)
        else:
            dialog_id = ""
            late = to_xml(delay.encode(delay.Delay(message.created_at // 1000, self._domain)))
            head, tail = message.head, message.tail.removesuffix(b"</message>") + late.encode() + b"</message>"
        for target in targets:
            target.deliver(head, tail, dialog_id, message.seq)

    def encode(self, message: LateMessage, *, late: bool) -> Encoded:
        """The stanza of a stored message; `late` adds when it was sent (XEP-0203)."""
        inner = stored_inner(
            message.body,
            message.properties,
            message.attachments,
            message.extras,
            date_sent=message.date_sent,
            dialog_id=message.dialog_id,
            parsed=True,
        )
        if late:
            inner += to_xml(delay.encode(delay.Delay(message.created_at // 1000, self._domain)))
        chat = message.recipient_id != 0
        sender = (
            f"{message.sender_id}-{message.app_id}@{self._domain}"
            if chat
            else f"{message.app_id}_{message.dialog_id}@muc.{self._domain}/{message.sender_id}"
        )
        return frame(sender, chat, message.id, inner)

    async def recover(self, stream: Stream, low: int, high: int) -> dict[int, Parcel]:
        """The parcels of a stream that the bus lost (`cluster.gate`)."""
        dialog_id, user_id = stream
        parcels: dict[int, Parcel] = {}
        messages = await self._store.range(dialog_id, low, high)
        version = 0 if user_id else await self._store.members_version(dialog_id)
        for message in messages:
            head, tail = (b"", b"") if message.quiet else self.encode(message, late=False)
            kind, to = GROUP, message.sender_id
            if user_id:
                kind, to = CHAT, user_id
                if message.sender_id == user_id and not message.quiet:
                    kind = COPY
                    bare = f"{user_id}-{message.app_id}@{self._domain}".encode()
                    recipient = f"{message.recipient_id}-{message.app_id}@{self._domain}".encode()
                    head, tail = wrap_sent(bare, head, recipient, tail)
            parcel = parcels[message.seq] = Parcel(kind, message.app_id, to, dialog_id, message.seq, head, tail)
            parcel.members_version = version
        return parcels

    async def newest(self, dialog_ids: Sequence[str]) -> dict[str, int]:
        """The highest seq of each dialog, behind every transaction that has it locked (`delivery.reconciler`)."""

        async def read(tx: Tx) -> dict[str, int]:
            return {row[0]: row[1] for row in await tx.pick(LOCK_DIALOGS, [(id_,) for id_ in sorted(dialog_ids)])}

        return await self._writer.run(read)

    async def positions(self, user_ids: Sequence[int]) -> list[Position]:
        """How far the dialogs of these users are (`delivery.listening`)."""
        return [Position(*row) for row in await self._store.positions(user_ids)]

    async def finish(self, seconds: float) -> None:
        """Waits until what is being kept is kept, or fails."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _start(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("late delivery failed: %s", type(error).__name__)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _moment(message: LateMessage | OfflineMessage) -> int:
    """When a message came (ms). The clock may go back; the numbers of the offline queue, made from it, do not."""
    return message.seq if isinstance(message, OfflineMessage) else message.created_at


def chat_message(head: bytes, tail: bytes) -> Element | None:
    """A stanza that was delivered, if it is a private message with a body or attachments."""
    if b'" type="chat"' not in tail:  # most are of groups
        return None
    message = parse_frame(head + tail, max_stanza=2**31, max_depth=1000)  # the server has made it itself
    if message.name != "message" or message.get("type") != "chat" or not message.get("id"):
        return None
    if any(message.find(name) is not None for name in ("sent", "replace", "remove")) or not has_content(message):
        return None
    return message
