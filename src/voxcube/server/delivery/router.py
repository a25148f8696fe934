"""To whom a stanza goes: a table from the kind of a parcel to the sessions that shall have it.

A parcel is encoded once, as the bytes before and after the receiver's address. What was stored passes the gate, so that
every receiver sees one order; what is only relayed goes out as it comes. A node that is alone has nothing to order:
its writer commits and reports in the order of the numbers. Only dialogs with an uncertain commit pass the gate there,
until it is known what was stored (`reconciler.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from voxcube.server.cluster.bus import Bus, app_slot, dialog_slot, user_slot
from voxcube.server.cluster.gate import AGAIN, Gate, Stream
from voxcube.server.cluster.tally import Tally
from voxcube.server.core.models import Turn
from voxcube.server.delivery.again import Again
from voxcube.server.delivery.listening import Listening, Positions
from voxcube.server.delivery.reconciler import Newest, Reconciler
from voxcube.server.delivery.sessions import Sessions, Target

log = logging.getLogger(__name__)

CHAT, COPY, OWN, GROUP, GROUP_OTHERS = range(5)
KEYS_TOLD = 1000  # forgotten facts in one word: a bus has a largest one
CHANGE_PATIENCE = 0.5  # seconds that a change may be late: it cannot be read, but is said again meanwhile
SILENCE = 10.0  # seconds without a beat after which another node has ended
HELD = 1000  # parcels of a dialog kept while its members cannot be read

BROADCAST = 1  # dialog type

_PARCEL, _TO_APP, _DIGEST = b"p", b"a", b"d"  # first byte of what is published
_KEYS, _BEAT = b"k", b"b"  # first byte of what is told


class Parcel(msgspec.Struct, array_like=True, gc=False):
    """A stanza on its way: `head` + the receiver's address + `tail`.

    `kind`: CHAT to a user's sessions; COPY to the sender's other sessions that asked for carbons (`head` and `tail` are
    the carbon's, `origin` is left out); OWN to a user's sessions but `origin`; GROUP to the members of a dialog;
    GROUP_OTHERS to the members but `user_id`. `seq` is 0 for what is not stored; `members_version` says which members a
    stored group message is for: facts with a lower one are out of date. Without a `head` it is delivered to nobody, and
    only takes its place in the order.
    With `standard_only` sessions of the JavaScript SDK are left out, which would report an empty message.
    What is not stored itself names in `after` a stored message that it is not delivered before; and the changes of a
    dialog's messages have numbers of their own, `change`, in whose order they are delivered.
    """

    kind: int
    app_id: int
    user_id: int
    dialog_id: str
    seq: int
    head: bytes
    tail: bytes
    origin: bytes = b""
    members_version: int = 0
    after: int = 0
    change: int = 0
    standard_only: bool = False


class Hiding(Protocol):
    """Whom the words of a user in a group must not reach (`features.privacy.service`)."""

    def hidden_from(self, app_id: int, sender_id: int, origin: bytes) -> frozenset[int] | None:
        """The users; None when that must be read. `origin` is the sending session's address, if it is known."""

    async def load(self, app_id: int, user_id: int) -> None:
        """Reads what `hidden_from` needs."""


_encode = msgspec.msgpack.Encoder().encode
_decode_parcel = msgspec.msgpack.Decoder(Parcel).decode
_decode_digest = msgspec.msgpack.Decoder(tuple[str, int, int]).decode
_decode_keys: Any = msgspec.msgpack.Decoder(tuple[str, int, list[tuple[Any, ...]]]).decode
_decode_beat = msgspec.msgpack.Decoder(tuple[str, int]).decode


class Router:
    """Delivers parcels here and tells the other nodes; `cluster.bus.Listener`."""

    def __init__(
        self,
        sessions: Sessions,
        bus: Bus,
        *,
        name: str,
        members: Callable[[str], Any],
        load_members: Callable[[int, str], Awaitable[Any]],
        recover: Callable[[Stream, int, int], Awaitable[dict[int, Parcel]]],
        positions: Positions,
        newest: Newest,
        now_ms: Callable[[], int],
        forgotten: Callable[[tuple[Any, ...]], None],
        forget_all: Callable[[], None],
        hiding: Hiding,
    ) -> None:
        """`name` is this run of this node's own. `members(dialog)` gives the facts of a dialog or something without
        `members`, `load_members` reads them; `newest(dialogs)` is that of `reconciler.Reconciler`."""
        self.sessions = sessions
        self.alone = bus.alone
        self._bus = bus
        self._name = name
        self._members = members
        self._load_members = load_members
        self._forgotten = forgotten
        self._forget_all = forget_all
        self._hiding = hiding
        self._recover = recover
        self._gate: Gate[Parcel] = Gate(self._deliver, self._read)
        self._ordered = self._gate.streams  # alone: those of dialogs with an uncertain commit, nearly always none
        self._resent: dict[tuple[Stream, int], bytes] = {}  # what is awaited, and the session that has sent it again
        self._changes: Gate[Parcel] = Gate(self._follow, _nothing, patience=CHANGE_PATIENCE)
        self._again = Again(bus, lambda stream, seq: _DIGEST + _encode((*stream, seq)))
        self._tally = Tally(self.interrupted)
        self._told = 0
        self._beats: dict[str, float] = {}  # other node → when its last beat came
        self.on_beat: Callable[[str], None] = lambda name: None  # a node of this name lives
        self._words: dict[bytes, Callable[[bytes], None]] = {}  # what features say to each other
        self._listening = Listening(bus, self._gate, self._changes, positions, now_ms)
        self._reconciler = Reconciler(self._gate, self._is_stored, newest, alone=self.alone)
        self._held: dict[str, list[Parcel]] = {}  # group parcels waiting for the dialog's members to be read
        self._tasks: set[asyncio.Task[None]] = set()

    # -- outwards --------------------------------------------------------------------------------------------------

    def send(self, parcel: Parcel) -> None:
        """Delivers a parcel made on this node, here and elsewhere."""
        if self.alone:
            if self._ordered:
                self._send_ordered(parcel)
            else:
                self._deliver(parcel)
            return
        mark = _PARCEL
        if parcel.kind < GROUP:
            slot = user_slot(parcel.user_id)
        elif getattr(self._members(parcel.dialog_id), "type", 0) == BROADCAST:
            mark, slot = _TO_APP, app_slot(parcel.app_id)
        else:
            slot = dialog_slot(parcel.dialog_id)
        word = mark + _encode(parcel)
        self._bus.publish(slot, word)
        if parcel.change:
            self._again.repeat(slot, word)
        if parcel.seq:
            stream = _stream(parcel)
            self._again.say_how_far(stream, slot, parcel.seq)
            if not self._gate.knows(stream):
                self._meet(parcel, stream)
            self._gate.offer(stream, parcel.seq, parcel)
        else:
            self._in_turn(parcel)

    def _send_ordered(self, parcel: Parcel) -> None:
        """On a node that is alone, while the outcome of some commit is not known."""
        stream = _stream(parcel)
        if parcel.seq and self._gate.knows(stream):
            self._gate.offer(stream, parcel.seq, parcel)
        else:
            self._follow(parcel)

    def uncertain(self, dialog_id: str, seq: int, *user_ids: int) -> None:
        """A message was refused that may be stored. `user_ids` are both users of a private dialog, none for a group."""
        self._reconciler.uncertain(dialog_id, seq, [(dialog_id, user_id) for user_id in user_ids or (0,)])

    def change(self, parcel: Parcel, turn: Turn) -> None:
        """Delivers what tells of a change of a stored message, when it is its turn.

        To other nodes it is said three times. What is lost all the same is not told there: only who reads the message
        again, from the history or as a late delivery, sees it changed. The changes behind it wait half a second for it.
        """
        parcel.change, parcel.after, parcel.members_version = turn
        self.send(parcel)

    def newest(self, dialog_id: str, user_id: int) -> int:
        """The number of the newest stored message that this node knows, for what is not stored and comes behind it.

        `user_id` is somebody at this node in a private dialog, 0 in a group. 0 where all is delivered in order anyway.
        """
        return self._gate.newest((dialog_id, user_id)) if self._ordered else 0

    def has_others(self, user_id: int, origin: bytes) -> bool:
        """Whether a user may have an available session besides the one with the address `origin`."""
        if not self.alone:
            return True
        found = self.sessions.of(user_id)
        return len(found) > 1 or (len(found) == 1 and found[0].address != origin)

    def remind(self, dialog_id: str, user_id: int, seq: int, origin: bytes = b"") -> None:
        """A stored message was sent again, by the session with the address `origin`: where it never went out (its
        commit was uncertain, or the node that stored it died before it published it) it is read and delivered.

        `user_id` is one of the two users in a private dialog, 0 in a group.
        """
        stream = (dialog_id, user_id)
        if origin and self._gate.awaits(stream, seq):
            self._resent = {key: sender for key, sender in self._resent.items() if self._gate.awaits(*key)}
            self._resent[stream, seq] = origin
        self._is_stored(stream, seq)

    def awaits(self, dialog_id: str, seq: int) -> bool:
        """Whether a stored group message has yet to be delivered here, as soon as it is its turn."""
        return self._gate.awaits((dialog_id, 0), seq)

    def _is_stored(self, stream: Stream, seq: int) -> None:
        """Has everything up to `seq` delivered where it was not."""
        if not self.alone:
            dialog_id, user_id = stream
            self._again.say_how_far(stream, user_slot(user_id) if user_id else dialog_slot(dialog_id), seq)
        self._gate.hint(stream, seq)

    async def _read(self, stream: Stream, low: int, high: int) -> dict[int, Parcel]:
        """What the gate misses; a copy of a message is not for the session that has just sent it again."""
        parcels = await self._recover(stream, low, high)
        for seq, parcel in parcels.items():
            if parcel.kind == COPY:
                parcel.origin = self._resent.pop((stream, seq), b"")
        return parcels

    def tell_forgotten(self, keys: tuple[Any, ...]) -> None:
        """Tells the other nodes which facts have changed; `("member", dialog, user, seq)`: the user joined then."""
        if not self.alone:
            for start in range(0, len(keys), KEYS_TOLD):
                self._told += 1
                self._bus.tell(_KEYS + _encode((self._name, self._told, keys[start : start + KEYS_TOLD])))
            self._joined(keys)

    async def beat(self) -> None:
        """Called now and then: says how much was told, so that losing the last word is noticed.

        Of a node that has ended, what it had stored and not published is looked for in storage.
        """
        if not self.alone:
            self._bus.tell(_BEAT + _encode((self._name, self._told)))
            now = asyncio.get_running_loop().time()
            ended = [name for name, at in self._beats.items() if now - at > SILENCE]
            for name in ended:
                del self._beats[name]
            if ended:
                self._listening.catch_up()

    # -- words of features -----------------------------------------------------------------------------------------

    def on_word(self, mark: bytes, heard: Callable[[bytes], None]) -> None:
        """`heard(word)` is called with what other nodes say under this mark (one byte); it may be lost or late."""
        if mark in self._words or mark in (_PARCEL, _TO_APP, _DIGEST):
            raise ValueError(f"mark {mark!r} is taken")
        self._words[mark] = heard

    def say(self, mark: bytes, dialog_id: str, word: bytes) -> None:
        """Says a word to the nodes that hear a dialog."""
        self._bus.publish(dialog_slot(dialog_id), mark + word)

    def say_to_user(self, mark: bytes, user_id: int, word: bytes) -> None:
        """Says a word to the nodes where a user has an available session."""
        self._bus.publish(user_slot(user_id), mark + word)

    def hear(self, dialog_id: str) -> None:
        """Hears what is said of a dialog, until `unhear`; from `ready` on nothing is missed."""
        self._listening.hear(dialog_slot(dialog_id))

    def unhear(self, dialog_id: str) -> None:
        self._listening.unhear(dialog_slot(dialog_id))

    async def ready(self) -> None:
        await self._bus.ready()

    # -- inwards (cluster.bus.Listener) ----------------------------------------------------------------------------

    def published(self, payload: bytes) -> None:
        try:
            self._published(payload)
        except msgspec.MsgspecError as error:
            log.warning("a word of another node was not understood: %s", error)

    def told(self, payload: bytes) -> None:
        try:
            self._heard(payload)
        except msgspec.MsgspecError as error:
            log.warning("a word of another node was not understood: %s", error)

    def interrupted(self) -> None:
        """Facts are read anew, and what the users here may have missed is looked for in storage."""
        self._forget_all()
        self._listening.catch_up()

    def _published(self, payload: bytes) -> None:
        mark = payload[:1]
        if mark in self._words:
            self._words[mark](payload[1:])
            return
        if mark == _DIGEST:
            dialog_id, user_id, seq = _decode_digest(payload[1:])
            if user_id:
                self._listening.began(user_id, dialog_id)
            self._gate.hint((dialog_id, user_id), seq)
            return
        parcel = _decode_parcel(payload[1:])
        stream = _stream(parcel)
        known = self._gate.knows(stream)
        if mark == _TO_APP:
            if not known and (parcel.seq or parcel.after):
                self._listening.met(parcel.app_id, parcel.dialog_id, parcel.seq - 1 if parcel.seq else parcel.after)
        elif not stream[1]:
            if not known:  # another dialog of the same slot
                return
        elif (parcel.seq or parcel.after) and not known:
            self._listening.began(parcel.user_id, parcel.dialog_id)
        if parcel.seq:
            self._gate.offer(stream, parcel.seq, parcel)
        else:
            self._in_turn(parcel)

    def _heard(self, payload: bytes) -> None:
        if payload[:1] == _BEAT:
            name, told = _decode_beat(payload[1:])
            self._tally.claimed(name, told)
            self._beats[name] = asyncio.get_running_loop().time()
            self.on_beat(name)
            return
        name, number, listed = _decode_keys(payload[1:])
        keys = tuple(tuple(key) for key in listed)
        self._forgotten(keys)
        self._joined(keys)
        self._tally.heard(name, number)

    def _joined(self, keys: tuple[Any, ...]) -> None:
        for key in keys:
            if key[0] == "member":
                self._listening.joined(key[2], key[1], key[3])

    def _meet(self, parcel: Parcel, stream: Stream) -> None:
        """A message made here belongs to a stream that nobody here listens to, as far as is known."""
        if stream[1]:
            self._listening.began(stream[1], stream[0])
        elif getattr(self._members(stream[0]), "type", 0) == BROADCAST:
            self._listening.met(parcel.app_id, stream[0], parcel.seq - 1)
        else:  # the sender is a member all the same: the word of it is late
            self._listening.joined(parcel.user_id, stream[0], parcel.seq - 1)

    def _in_turn(self, parcel: Parcel) -> None:
        """Delivers what is not stored, behind all that it must not overtake on its way."""
        stream = _stream(parcel)
        if not parcel.change or not self._gate.knows(stream):
            self._follow(parcel)
            return
        # Of a stream whose count was not known when it began, the first that comes counts.
        self._changes.start(stream, parcel.change - 1)
        self._changes.offer(stream, parcel.change, parcel)

    def _follow(self, parcel: Parcel) -> None:
        if parcel.after:
            self._gate.follow(_stream(parcel), parcel.after, parcel)
        else:
            self._deliver(parcel)

    # -- the table -------------------------------------------------------------------------------------------------

    def _deliver(self, parcel: Parcel) -> None:
        kind = parcel.kind
        if not parcel.head:
            return
        if kind == CHAT:
            head, tail, dialog_id, seq = parcel.head, parcel.tail, parcel.dialog_id, parcel.seq
            for session in self._receivers(parcel):
                # The address came from a client: another application's user is nobody here.
                if session.app_id == parcel.app_id:
                    session.deliver(head, tail, dialog_id, seq)
        elif kind == COPY:
            for session in self._receivers(parcel):
                if session.carbons and session.address != parcel.origin:
                    session.deliver(parcel.head, parcel.tail, "", 0)
        elif kind == OWN:
            for session in self._receivers(parcel):
                if session.address != parcel.origin:
                    session.deliver(parcel.head, parcel.tail, "", 0)
        else:
            self._deliver_group(parcel)

    def _receivers(self, parcel: Parcel) -> Sequence[Target]:
        """The sessions of the parcel's user that it may be shown to."""
        sessions = self.sessions.of(parcel.user_id)
        return [session for session in sessions if not session.js] if parcel.standard_only else sessions

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
        hidden = self._hiding.hidden_from(parcel.app_id, parcel.user_id, parcel.origin)
        if members is None or hidden is None or facts.members_version < parcel.members_version:
            if members is not None and hidden is not None:  # the word of somebody added or removed is still on its way
                self._forgotten((("dialog", dialog_id),))
            self._held[dialog_id] = [parcel]
            task = asyncio.create_task(self._load_and_release(parcel.app_id, dialog_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        head, tail = parcel.head, parcel.tail
        left_out = parcel.user_id if parcel.kind == GROUP_OTHERS else 0
        standard_only = parcel.standard_only
        if facts.type == BROADCAST:
            hidden = hidden | facts.away if facts.away else hidden
            for session in self.sessions.of_app(parcel.app_id):
                if session.user_id != left_out and session.user_id not in hidden and not (standard_only and session.js):
                    session.deliver(head, tail, "", 0)
            return
        if hidden:
            members -= hidden
        by_user = self.sessions.by_user
        for user_id in members if len(members) <= len(by_user) else members & by_user.keys():
            if user_id != left_out and (found := by_user.get(user_id)) is not None:
                for session in found:
                    if not (standard_only and session.js):
                        session.deliver(head, tail, "", 0)

    async def _load_and_release(self, app_id: int, dialog_id: str) -> None:
        while True:
            try:
                facts = await self._load_members(app_id, dialog_id)
                for sender_id in {parcel.user_id for parcel in self._held[dialog_id]}:
                    await self._hiding.load(app_id, sender_id)
                break
            except Exception as error:  # the database is away
                log.warning("whom a group message is for could not be read: %s", type(error).__name__)
                # What is not stored is stale by then; of what is stored, too much is left to the history.
                held = self._held[dialog_id]
                held[:] = [parcel for parcel in held if parcel.seq][:HELD]
                await asyncio.sleep(AGAIN)
        parcels = self._held.pop(dialog_id)
        if facts is not None:
            for parcel in parcels:
                self._deliver_group(parcel)

    # -- who is here -----------------------------------------------------------------------------------------------

    async def user_came(self, app_id: int, user_id: int) -> None:
        """Listens to what concerns a user with a session here, before that session counts as available."""
        if not self.alone:
            await self._listening.came(app_id, user_id)

    def user_went(self, user_id: int) -> None:
        """The last session of a user here has ended."""
        if not self.alone:
            self._listening.went(user_id)

    async def close(self) -> None:
        self._again.stop()
        self._tally.close()
        await self._listening.close()
        await self._reconciler.close()
        await self._gate.close()
        await self._changes.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _nothing(stream: Stream, low: int, high: int) -> dict[int, Parcel]:
    """What tells of a change is kept nowhere."""
    return {}


def _stream(parcel: Parcel) -> Stream:
    return (parcel.dialog_id, 0 if parcel.kind >= GROUP else parcel.user_id)
