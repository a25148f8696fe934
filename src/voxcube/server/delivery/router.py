"""To whom a stanza goes: a table from the kind of a parcel to the sessions that shall have it.

A parcel is encoded once, as the bytes before and after the receiver's address. What was stored passes the gate, so that
every receiver sees one order; what is only relayed goes out as it comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from voxcube.server.cluster.bus import Bus, dialog_slot, user_slot
from voxcube.server.cluster.gate import Gate, Stream
from voxcube.server.delivery.sessions import Sessions

log = logging.getLogger(__name__)

CHAT, COPY, OWN, GROUP, GROUP_OTHERS = range(5)
DIGEST_SECONDS = 0.5  # how long after a burst its numbers are said once more

GROUP_KINDS = (GROUP, GROUP_OTHERS)
BROADCAST = 1  # dialog type


class Parcel(msgspec.Struct, array_like=True, gc=False):
    """A stanza on its way: `head` + the receiver's address + `tail`.

    `kind`: CHAT to a user's sessions; COPY to the sender's other sessions that asked for carbons (`head` and `tail` are
    the carbon's, `origin` is left out); OWN to a user's sessions but `origin`; GROUP to the members of a dialog;
    GROUP_OTHERS to the members but `user_id`. `seq` is 0 for what is not stored.
    """

    kind: int
    app_id: int
    user_id: int
    dialog_id: str
    seq: int
    head: bytes
    tail: bytes
    origin: bytes = b""


class _Digest(msgspec.Struct, array_like=True, gc=False):
    """The numbers last published of a stream: lets a node see that the end of a burst was lost."""

    dialog_id: str
    user_id: int
    first: int
    last: int


_encode = msgspec.msgpack.Encoder().encode
_decode_parcel = msgspec.msgpack.Decoder(Parcel).decode
_decode_digest = msgspec.msgpack.Decoder(_Digest).decode
_decode_keys: Any = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode


class Router:
    """Delivers parcels here and tells the other nodes."""

    def __init__(
        self,
        sessions: Sessions,
        bus: Bus,
        *,
        members: Callable[[str], Any],
        load_members: Callable[[int, str], Awaitable[Any]],
        recover: Callable[[Stream, int, int], Awaitable[dict[int, Parcel]]],
        groups_of: Callable[[int], Awaitable[list[str]]],
        forgotten: Callable[[tuple[Any, ...]], None],
        forget_all: Callable[[], None],
    ) -> None:
        """`members(dialog)` gives the facts of a dialog or something without `members`, `load_members` reads them."""
        self.sessions = sessions
        self._bus = bus
        self._members = members
        self._load_members = load_members
        self._groups_of = groups_of
        self._forgotten = forgotten
        self._forget_all = forget_all
        self._gate: Gate[Parcel] = Gate(self._deliver, recover, ordered=bus.alone)
        self._held: dict[str, list[Parcel]] = {}  # group parcels waiting for the dialog's members to be read
        self._slots: dict[int, int] = {}  # slot → how many local reasons to hear it
        self._user_slots: dict[int, list[int]] = {}
        self._burst: dict[Stream, list[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- outwards --------------------------------------------------------------------------------------------------

    def send(self, parcel: Parcel) -> None:
        """Delivers a parcel made on this node, here and elsewhere."""
        if not self._bus.alone:
            group = parcel.kind in GROUP_KINDS
            slot = dialog_slot(parcel.dialog_id) if group else user_slot(parcel.user_id)
            self._bus.publish(slot, b"p" + _encode(parcel))
            if parcel.seq:
                stream = (parcel.dialog_id, 0 if group else parcel.user_id)
                burst = self._burst.get(stream)
                if burst is None:
                    self._burst[stream] = [parcel.seq, parcel.seq]
                    asyncio.get_running_loop().call_later(DIGEST_SECONDS, self._say_again, stream)
                else:
                    burst[1] = parcel.seq
        self._accept(parcel)

    def has_others(self, user_id: int) -> bool:
        """Whether a user with one session here may have another one somewhere."""
        return not self._bus.alone or len(self.sessions.of(user_id)) > 1

    def _say_again(self, stream: Stream) -> None:
        first, last = self._burst.pop(stream)
        slot = user_slot(stream[1]) if stream[1] else dialog_slot(stream[0])
        self._bus.publish(slot, b"d" + _encode(_Digest(stream[0], stream[1], first, last)))

    def tell_forgotten(self, keys: tuple[Any, ...]) -> None:
        """Tells the other nodes which facts have changed."""
        if not self._bus.alone:
            self._bus.tell(_encode(keys))

    # -- inwards (cluster.bus.Listener) ----------------------------------------------------------------------------

    def published(self, payload: bytes) -> None:
        if payload[:1] == b"p":
            self._accept(_decode_parcel(payload[1:]))
        else:
            digest = _decode_digest(payload[1:])
            self._gate.hint((digest.dialog_id, digest.user_id), digest.first, digest.last)

    def told(self, payload: bytes) -> None:
        keys = tuple(tuple(key) for key in _decode_keys(payload))
        self._forgotten(keys)

    def interrupted(self) -> None:
        self._forget_all()
        self._gate.forget()

    # -- the table -------------------------------------------------------------------------------------------------

    def _accept(self, parcel: Parcel) -> None:
        if parcel.seq:
            stream = (parcel.dialog_id, 0 if parcel.kind in GROUP_KINDS else parcel.user_id)
            self._gate.offer(stream, parcel.seq, parcel)
        else:
            self._deliver(parcel)

    def _deliver(self, parcel: Parcel) -> None:
        kind = parcel.kind
        if kind == CHAT:
            head, tail, dialog_id, seq = parcel.head, parcel.tail, parcel.dialog_id, parcel.seq
            for session in self.sessions.of(parcel.user_id):
                # The address came from a client: another application's user is nobody here.
                if session.app_id == parcel.app_id:
                    session.deliver(head, tail, dialog_id, seq)
        elif kind == COPY:
            for session in self.sessions.of(parcel.user_id):
                if session.carbons and session.address != parcel.origin:
                    session.deliver(parcel.head, parcel.tail, "", 0)
        elif kind == OWN:
            for session in self.sessions.of(parcel.user_id):
                if session.address != parcel.origin:
                    session.deliver(parcel.head, parcel.tail, "", 0)
        else:
            self._deliver_group(parcel)

    def _deliver_group(self, parcel: Parcel) -> None:
        dialog_id = parcel.dialog_id
        held = self._held.get(dialog_id)
        if held is not None:
            held.append(parcel)
            return
        facts = self._members(dialog_id)
        if facts is None:
            return
        members = getattr(facts, "members", None)
        if members is None:
            self._held[dialog_id] = [parcel]
            task = asyncio.create_task(self._load_and_release(parcel.app_id, dialog_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        head, tail = parcel.head, parcel.tail
        left_out = parcel.user_id if parcel.kind == GROUP_OTHERS else 0
        if facts.type == BROADCAST:
            for session in self.sessions.of_app(parcel.app_id):
                if session.user_id != left_out:
                    session.deliver(head, tail, "", 0)
            return
        by_user = self.sessions.by_user
        for user_id in members if len(members) <= len(by_user) else members & by_user.keys():
            if user_id != left_out and (found := by_user.get(user_id)) is not None:
                for session in found:
                    session.deliver(head, tail, "", 0)

    async def _load_and_release(self, app_id: int, dialog_id: str) -> None:
        try:
            facts = await self._load_members(app_id, dialog_id)
        except Exception as error:  # the database is away; members find these messages in the history
            log.warning("members of a dialog could not be read: %s", error)
            facts = None
        parcels = self._held.pop(dialog_id)
        if facts is not None:
            for parcel in parcels:
                self._deliver_group(parcel)

    # -- slots -----------------------------------------------------------------------------------------------------

    async def user_came(self, user_id: int) -> None:
        """Subscribes to what concerns a user with a session here, before that session counts as available."""
        if self._bus.alone or user_id in self._user_slots:
            return
        slots = [user_slot(user_id)]
        self._user_slots[user_id] = slots
        self._hear(slots[0])
        for dialog_id in await self._groups_of(user_id):
            slot = dialog_slot(dialog_id)
            slots.append(slot)
            self._hear(slot)

    async def user_joined(self, user_id: int, dialog_id: str) -> None:
        """A user with a session here became a member of a dialog."""
        if user_id in self._user_slots:
            slot = dialog_slot(dialog_id)
            self._user_slots[user_id].append(slot)
            self._hear(slot)

    def user_went(self, user_id: int) -> None:
        """The last session of a user here has ended."""
        for slot in self._user_slots.pop(user_id, ()):
            self._slots[slot] -= 1
            if not self._slots[slot]:
                del self._slots[slot]
                self._bus.unsubscribe(slot)

    def _hear(self, slot: int) -> None:
        count = self._slots.get(slot, 0)
        self._slots[slot] = count + 1
        if not count:
            self._bus.subscribe(slot)

    async def close(self) -> None:
        await self._gate.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
