"""The rules of sending: may this go to that dialog, store it, deliver it after the commit.

Both doors call `send`; it knows neither. A message that is not to be stored is relayed behind what the same session has
under way to the same dialog, so that a receiver sees both in the order of sending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from voxcube.server.core.clock import Clock
from voxcube.server.core.counts import Counts
from voxcube.server.core.errors import Blocked, Forbidden, Invalid, NotFound
from voxcube.server.core.models import DialogType
from voxcube.server.storage.inbox import LISTED

LARGEST = 256 * 1024  # bytes of a message, whichever adapter it came by
STAMPS = 2048  # bytes that the server adds to it: addresses, ids, dates; a message that could be sent is not refused
KEEPING = 1000  # messages being kept for who is away; beyond them senders wait
GROUP_TYPES = (DialogType.GROUP, DialogType.PUBLIC, DialogType.BROADCAST)


class Facts(Protocol):
    """What is known of a dialog (`storage.cache.DialogFacts`)."""

    @property
    def id(self) -> str: ...
    @property
    def app_id(self) -> int: ...
    @property
    def type(self) -> int: ...
    @property
    def owner_id(self) -> int: ...
    @property
    def members(self) -> frozenset[int]: ...
    @property
    def admins(self) -> frozenset[int]: ...
    @property
    def hidden(self) -> bool: ...
    @property
    def members_version(self) -> int: ...


@dataclass(slots=True, eq=False)
class Draft:
    """A message on its way: made by a door, completed by the service, turned into bytes by the encoder.

    `to_user` for a private dialog, or `dialog_id` for a group. `done` is called once: after the commit and the
    delivery, or with the `error`. `source` and `origin` (the sending session's address) are the door's.
    """

    app_id: int
    sender_id: int
    message_id: str
    to_user: int
    dialog_id: str
    body: str
    save: bool
    date_sent: int  # seconds
    properties: str | None  # JSON
    attachments: str | None  # JSON
    extras: str | None  # XML of the stanza's other children
    done: Callable[[Draft, Exception | None], None]
    content: bool = True  # body, attachment or custom parameter
    copied: bool = True  # to the sender's other sessions
    quiet: bool = False  # stored, but delivered to nobody
    silent: bool = False  # no push
    standard_only: bool = False  # not for the JavaScript SDK, which would report an empty message
    normal: bool = False  # of type normal, where it is delivered as what it is
    destroy_after: int | None = None  # seconds that it may be seen for
    pending: dict[str, Draft] = field(default_factory=dict)  # the session's last unfinished message by dialog
    source: Any = None
    origin: bytes = b""
    created_at: int = 0  # milliseconds
    arrived_at: int = 0  # microseconds: the order of arrival over all dialogs
    seq: int = 0
    members_version: int = 0  # of the dialog when it was stored, or of the facts that allowed what is not
    fresh: bool = True
    encoded: Any = None
    behind: list[Callable[[], None]] | None = None  # what the session relays after this one


class Encoder(Protocol):
    """Makes the bytes of a message, and gives them to delivery (`features.messages.encode`)."""

    def encode(self, draft: Draft) -> None:
        """Sets `draft.encoded`."""

    def deliver(self, draft: Draft) -> None:
        """To everybody who shall have it now."""

    def echo(self, draft: Draft) -> None:
        """A stored group message was sent again: the sending session gets an echo, everybody else the message where it
        never went out."""

    def redeliver(self, draft: Draft) -> None:
        """A stored private message was sent again: it is delivered where it never went out."""

    def keep(self, draft: Draft) -> Awaitable[None] | None:
        """A private message that is not stored: kept for a recipient without a session. None: it has one."""


class Store(Protocol):
    """The writer's end for messages: calls `done(seq, fresh, error)` after the commit."""

    def put(self, draft: Draft, *, show_again: bool, done: Callable[[int, bool, Exception | None], None]) -> None: ...


class FactSource(Protocol):
    """The cache of hot facts (`storage.cache.Cache`)."""

    def peek_dialog(self, dialog_id: str) -> Any: ...
    def peek_pair(self, app_id: int, a: int, b: int) -> Any: ...
    def peek_user(self, app_id: int, user_id: int) -> Any: ...
    async def dialog(self, app_id: int, dialog_id: str) -> Any: ...
    async def pair(self, app_id: int, a: int, b: int) -> str | None: ...
    async def user(self, app_id: int, user_id: int) -> bool: ...
    def forget(self, *keys: tuple[Any, ...]) -> None: ...
    def doubt(self, user_id: int, key: tuple[Any, ...]) -> bool: ...


class Privacy(Protocol):
    """Who may reach whom (`features.privacy.service`); `peek` methods give None when that must be read first."""

    def peek(self, app_id: int, sender_id: int, user_id: int, *, origin: bytes) -> bool | None: ...
    def peek_room(self, app_id: int, sender_id: int, dialog_id: str, *, origin: bytes) -> bool | None: ...
    async def allows(self, app_id: int, sender_id: int, user_id: int, *, origin: bytes) -> bool: ...
    async def allows_room(self, app_id: int, sender_id: int, dialog_id: str, *, origin: bytes) -> bool: ...


class MessageService:
    """Sends messages."""

    def __init__(
        self,
        *,
        facts: FactSource,
        store: Store,
        encoder: Encoder,
        privacy: Privacy,
        private_between: Callable[[int, int, int], Awaitable[str]],
        clock: Clock,
        counts: Counts | None = None,
    ) -> None:
        """`private_between(app, sender, other)` finds or makes the private dialog of two users."""
        self._facts = facts
        self._store = store
        self._encoder = encoder
        self._privacy = privacy
        self._private_between = private_between
        self._clock = clock
        self._counts = counts or Counts()
        self._keeping: set[asyncio.Future[None]] = set()

    def send(self, draft: Draft) -> Awaitable[None] | None:
        """Sends a message; an awaitable comes back when a fact must be read first or too much is being kept, and must
        be finished before the same sender's next message. Raises NotFound, Forbidden, Blocked (nothing was stored
        then); later errors come by `done`.
        """
        if not draft.save and len(self._keeping) >= KEEPING:
            return self._send_later(draft)
        app_id, sender_id, origin = draft.app_id, draft.sender_id, draft.origin
        if draft.to_user:
            allowed = self._privacy.peek(app_id, sender_id, draft.to_user, origin=origin)
            facts = self._known_private(draft)
        else:
            allowed = self._privacy.peek_room(app_id, sender_id, draft.dialog_id, origin=origin)
            facts = self._facts.peek_dialog(draft.dialog_id)
        if allowed is False:
            raise Blocked
        if allowed and (facts is None or hasattr(facts, "members")):
            try:
                self._go(draft, facts)
            except (Forbidden, NotFound):
                pass  # by what is in memory: it is looked at again
            else:
                return None
        return self._send_later(draft)

    async def _send_later(self, draft: Draft) -> None:
        while not draft.save and len(self._keeping) >= KEEPING:
            await asyncio.wait(self._keeping, return_when=asyncio.FIRST_COMPLETED)
        facts: Facts | None
        app_id, sender_id, origin = draft.app_id, draft.sender_id, draft.origin
        if draft.to_user:
            if not await self._privacy.allows(app_id, sender_id, draft.to_user, origin=origin):
                raise Blocked
            facts = await self._private(draft)
        else:
            if not await self._privacy.allows_room(app_id, sender_id, draft.dialog_id, origin=origin):
                raise Blocked
            facts = await facts_for(self._facts, app_id, sender_id, draft.dialog_id, may_write)
        self._go(draft, facts)

    def _known_private(self, draft: Draft) -> Any:
        if draft.to_user == draft.sender_id:
            return None
        dialog_id = self._facts.peek_pair(draft.app_id, draft.sender_id, draft.to_user)
        if isinstance(dialog_id, str):
            return self._facts.peek_dialog(dialog_id)
        if dialog_id is None and not draft.save and self._facts.peek_user(draft.app_id, draft.to_user) is True:
            return None  # relayed between users without a dialog
        return ...

    async def _private(self, draft: Draft) -> Facts | None:
        """The private dialog with the recipient: made where the message is stored, else only looked for."""
        app_id, sender_id, other = draft.app_id, draft.sender_id, draft.to_user
        if not await user_exists(self._facts, app_id, sender_id, other):
            raise NotFound("There is no such user")
        dialog_id = await self._facts.pair(app_id, sender_id, other)
        if dialog_id is None and draft.save:
            dialog_id = await self._private_between(app_id, sender_id, other)
        facts: Facts | None = None if dialog_id is None else await self._facts.dialog(app_id, dialog_id)
        return facts

    def _go(self, draft: Draft, facts: Facts | None) -> None:
        """Everything is known: check, store, deliver."""
        if draft.to_user:
            if facts is None and draft.save and draft.to_user != draft.sender_id:
                raise NotFound("The dialog does not exist")  # it was found or made a moment ago
            if facts is None:
                draft.dialog_id = ""
            else:
                draft.dialog_id, draft.members_version = facts.id, facts.members_version
        else:
            self._check_group(draft, facts)
        draft.created_at = self._clock.now_ms()
        draft.arrived_at = self._clock.next_us()
        draft.date_sent = draft.date_sent or draft.created_at // 1000
        try:
            self._encoder.encode(draft)
        except ValueError as error:  # XML cannot carry a name or a text that REST can
            raise Invalid(str(error)) from None
        if sum(map(len, draft.encoded)) > LARGEST + STAMPS:
            raise Invalid(f"The message is too large (maximum is {LARGEST} bytes)")
        if not draft.save or facts is None:  # a message to oneself is relayed only
            self.relay(draft.pending, draft.dialog_id, lambda: self._relayed(draft))
            return
        draft.pending[draft.dialog_id] = draft

        def stored(seq: int, fresh: bool, error: Exception | None) -> None:
            # Another node may have hidden it, of which the facts knew nothing: it was shown again all the same.
            outdated = draft.to_user and draft.members_version != facts.members_version
            if (facts.hidden or outdated) and error is None:
                self._facts.forget(("dialog", facts.id), *((LISTED, user_id) for user_id in facts.members))
            self._stored(draft, seq, fresh, error)

        self._store.put(draft, show_again=facts.hidden, done=stored)

    @staticmethod
    def relay(pending: dict[str, Draft], dialog_id: str, send: Callable[[], None]) -> None:
        """Sends what is not stored, behind what the session has under way to the dialog."""
        before = pending.get(dialog_id)
        if before is None:
            send()
        elif before.behind is None:
            before.behind = [send]
        else:
            before.behind.append(send)

    def _check_group(self, draft: Draft, facts: Facts | None) -> None:
        if facts is None or facts.app_id != draft.app_id or facts.type not in GROUP_TYPES:
            raise NotFound("The dialog does not exist")
        if not may_write(facts, draft.sender_id):
            broadcast = facts.type == DialogType.BROADCAST
            raise Forbidden(
                "Only the owner and the admins may send here" if broadcast else "You are not in this dialog"
            )
        draft.members_version = facts.members_version

    def _relayed(self, draft: Draft) -> None:
        self._counts.relayed += 1
        self._encoder.deliver(draft)
        kept = self._encoder.keep(draft) if draft.to_user and draft.content else None
        if kept is None:
            draft.done(draft, None)
        else:
            task = asyncio.ensure_future(kept)
            self._keeping.add(task)
            task.add_done_callback(lambda task: self._kept(draft, task))

    def _kept(self, draft: Draft, task: asyncio.Future[None]) -> None:
        self._keeping.discard(task)
        if not task.cancelled():
            error = task.exception()
            draft.done(draft, error if isinstance(error, Exception) else None)

    def _stored(self, draft: Draft, seq: int, fresh: bool, error: Exception | None) -> None:
        if draft.pending.get(draft.dialog_id) is draft:
            del draft.pending[draft.dialog_id]
        if error is None:
            draft.seq, draft.fresh = seq, fresh
            if fresh:
                self._counts.stored += 1
                self._encoder.deliver(draft)
            else:
                self._counts.repeated += 1
                if draft.to_user:
                    self._encoder.redeliver(draft)
                else:
                    self._encoder.echo(draft)
        draft.done(draft, error)
        if draft.behind is not None:
            for send in draft.behind:
                send()


def may_write(facts: Facts, user_id: int) -> bool:
    """Whether the user may send to the dialog, and edit what it has sent."""
    if facts.type == DialogType.BROADCAST:
        return user_id == facts.owner_id or user_id in facts.admins
    return user_id in facts.members


async def facts_for(
    source: FactSource, app_id: int, user_id: int, dialog_id: str, allows: Callable[[Facts, int], bool]
) -> Facts | None:
    """The facts of a dialog, read anew before they keep a user out that another node may just have let in."""
    known = source.peek_dialog(dialog_id)
    facts: Facts | None = await source.dialog(app_id, dialog_id)
    refused = facts is None or not allows(facts, user_id)
    if refused and facts is known and source.doubt(user_id, ("dialog", dialog_id)):
        facts = await source.dialog(app_id, dialog_id)
    return facts


async def user_exists(source: FactSource, app_id: int, asked_by: int, user_id: int) -> bool:
    """Whether there is such a user, who may have signed up at another node a moment ago."""
    known = source.peek_user(app_id, user_id)
    if await source.user(app_id, user_id):
        return True
    return known is False and source.doubt(asked_by, ("user", app_id, user_id)) and await source.user(app_id, user_id)
