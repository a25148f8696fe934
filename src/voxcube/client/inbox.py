"""What arrives: tells messages, their changes, receipts, typing and refusals apart and gives each to its listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from voxcube.client import wire
from voxcube.client.errors import StanzaError
from voxcube.client.events import DeleteEvent, DeliveryStatus, EditEvent, ReactionEvent, TypingEvent
from voxcube.client.models import Message
from voxcube.client.receipts import Receipt
from voxcube.client.sends import Sends
from voxcube.client.streams import Feed, Line
from voxcube.client.timers import Timers
from voxcube.xmpp.jid import Jid
from voxcube.xmpp.payloads import markers
from voxcube.xmpp.xml import Element

log = logging.getLogger("voxcube.client")

Content: TypeAlias = Message | EditEvent | DeleteEvent | ReactionEvent

# Senders take typing back after 30 s without a key (typing(idle=30)); the rest is for the way.
TYPING_ENDS = 35.0
REMEMBERED_IDS = 10_000


class SeenIds:
    """The last message ids that were given out, so that a second delivery of one is dropped.

    An id counts together with its sender: somebody else's message under the same id is another message.
    """

    def __init__(self, limit: int = REMEMBERED_IDS) -> None:
        self._limit = limit
        self._ids: dict[tuple[int, str], None] = {}

    def add(self, sender_id: int, message_id: str, *, forget: bool = True) -> bool:
        """Remembers the id; returns whether it is new. With ``forget`` the oldest beyond the limit go."""
        key = (sender_id, message_id)
        if key in self._ids:
            return False
        self._ids[key] = None
        while forget and len(self._ids) > self._limit:
            del self._ids[next(iter(self._ids))]
        return True

    def clear(self) -> None:
        """Forgets all."""
        self._ids.clear()


class Inbox:
    """Reads ``<message/>`` stanzas.

    ``mark_received`` is called once for each new markable message of another user, when the first listener has it.
    ``made`` gives each message what ``reply`` needs.
    """

    def __init__(
        self,
        sends: Sends,
        mark_received: Callable[[Message], None] | None,
        line: Line,
        made: Callable[[Message], Message],
    ) -> None:
        # This user's own messages are for listeners that ask for them; the others wait for one that wants them.
        self.messages: Feed[Message] = Feed(line, hold=True, keeps=lambda message: not message.is_own)
        self.errors: Feed[StanzaError] = Feed(line, hold=True)
        self.delivered: Feed[DeliveryStatus] = Feed(line, hold=True)
        self.read: Feed[DeliveryStatus] = Feed(line, hold=True)
        self.typing: Feed[TypingEvent] = Feed(line)
        self.edited: Feed[EditEvent] = Feed(line, hold=True)
        self.deleted: Feed[DeleteEvent] = Feed(line, hold=True)
        self.reactions: Feed[ReactionEvent] = Feed(line, hold=True)
        self.others_typing: Timers[tuple[int, str | None]] = Timers(self._typing_ended)
        self._sends = sends
        self._mark_received = mark_received
        self._made = made
        self._seen = SeenIds()
        self._fetched: set[str] = set()  # ids of messages that came from the history, and not yet otherwise
        # What comes behind messages that are fetched from the history
        self._held: list[tuple[Content, Receipt]] | None = None
        self._generation = 0
        self._untaken: dict[tuple[int, str], Receipt] = {}  # of messages that no listener has yet

    def forget(self) -> None:
        """Forgets which messages were given out, and those that wait."""
        self._generation += 1
        self._untaken.clear()
        self._seen.clear()
        self._fetched.clear()
        self._held = None

    def hold(self) -> None:
        """Keeps back messages and their changes that arrive from now on: older messages are being fetched."""
        if self._held is None:
            self._held = []
            self._fetched.clear()

    def release(self) -> None:
        """Gives out what was kept back, and from now on what arrives."""
        held, self._held = self._held or [], None
        for content, receipt in held:
            self._hand_out(content, receipt)

    def sent(self, message: Message) -> None:
        """This client has sent a message; in the history it is nothing new."""
        if message.sender_id:
            self._seen.add(message.sender_id, message.id)

    def fetched(self, message: Message) -> None:
        """A message from the history. Whether its sender waits for a receipt is only known when it arrives, too."""
        if self.give(message):
            self._fetched.add(message.id)

    def give(self, message: Message, receipt: Receipt | None = None) -> bool:
        """Gives a message to the listeners; returns whether it was new to them.

        ``receipt`` is settled when the first listener has it.
        """
        key = (message.sender_id, message.id)
        receipt = receipt or Receipt()
        if message.id and not self._seen.add(*key, forget=self._held is None):
            first = self._untaken.get(key)
            if first is not None:
                first.carry(receipt)
            if message.id in self._fetched:
                self._fetched.remove(message.id)
                self._acknowledge(message, first)
            if first is None:
                receipt.settle(True)
            return False
        receipt.size = len(message.body or "")
        self._acknowledge(message, receipt)
        if message.id:
            self._untaken[key] = receipt
            receipt.then(lambda _: self._settled(key, receipt))
        self.messages.emit(self._made(message), receipt)
        return True

    def _settled(self, key: tuple[int, str], receipt: Receipt) -> None:
        if self._untaken.get(key) is receipt:
            del self._untaken[key]

    def _acknowledge(self, message: Message, receipt: Receipt | None) -> None:
        """Tells the sender that the message is delivered: when its receipt is settled, or now."""
        mark = self._mark_received
        if mark is None or not message.markable or message.is_own or not message.dialog_id:
            return
        if receipt is None:
            mark(message)
            return
        generation = self._generation

        def settled(taken: bool) -> None:
            if taken and generation == self._generation:  # else another user is connected by now
                mark(message)

        receipt.then(settled)

    def receive(self, stanza: Element, me: int, own_jid: str, receipt: Receipt | None = None) -> None:
        """Takes one stanza for user ``me`` with bare address ``own_jid``. Only messages use the ``receipt``."""
        receipt = receipt or Receipt()
        kind = stanza.get("type")
        if kind == "error":
            self._refused(wire.stanza_error(stanza))
            return
        copy = wire.sent_carbon(stanza)
        if copy is not None:
            # XEP-0280 §11: only this user's own account may say what this user sent.
            mine = _bare(stanza.get("from")) == own_jid and _bare(copy.get("from")) == own_jid
            if mine and wire.read_marker(copy) is None and not self._change(copy):
                self._content(copy, me, receipt, is_carbon=True)
            return
        if kind not in ("chat", "groupchat"):
            return  # headlines are system messages and signalling
        echo = wire.read_echo(stanza, me)
        if echo is not None:
            from_here = echo[0] in self._sends
            self._sends.confirm(*echo)
            if from_here and wire.changes_another(stanza):
                return  # whoever waits for edit() or delete() knows by that
        if self._marker(stanza, me) or self._change(stanza) or self._content(stanza, me, receipt, is_carbon=False):
            return
        self._typing(stanza, me)

    def _refused(self, error: StanzaError) -> None:
        if error.stanza_id is not None:
            self._sends.refuse(error.stanza_id, error)
        self.errors.emit(error)

    def _marker(self, stanza: Element, me: int) -> bool:
        found = wire.read_marker(stanza)
        if found is None:
            return False
        kind, status = found
        if status.user_id != me:
            (self.read if kind == markers.READ else self.delivered).emit(status)
        return True

    def _change(self, stanza: Element) -> bool:
        """Takes an edit, a delete or reactions; returns False when the stanza is none of these."""
        if not wire.changes_another(stanza):
            return False
        change = wire.read_change(stanza)
        if change is not None:
            self._arrived(change, Receipt())
        return True

    def _content(self, stanza: Element, me: int, receipt: Receipt, *, is_carbon: bool) -> bool:
        """Takes a message; returns False when the stanza is none."""
        message = wire.read_message(stanza, me, is_carbon=is_carbon)
        if message is None:
            return False
        self._arrived(message, receipt)
        return True

    def _arrived(self, content: Content, receipt: Receipt) -> None:
        # A change must not overtake the message that it changes.
        if self._held is not None:
            receipt.claimed = True
            self._held.append((content, receipt))
        else:
            self._hand_out(content, receipt)

    def _hand_out(self, content: Content, receipt: Receipt) -> None:
        match content:
            case Message():
                self.give(content, receipt)
            case EditEvent():
                self.edited.emit(content)
            case DeleteEvent():
                self.deleted.emit(content)
            case ReactionEvent():
                self.reactions.emit(content)

    def _typing(self, stanza: Element, me: int) -> None:
        event = wire.read_typing(stanza)
        if event is None or event.user_id == me:
            return
        key = (event.user_id, event.dialog_id)
        if event.is_typing:
            self.others_typing.start(key, TYPING_ENDS)
        else:
            self.others_typing.cancel(key)
        self.typing.emit(event)

    def _typing_ended(self, key: tuple[int, str | None]) -> None:
        self.typing.emit(TypingEvent(*key, is_typing=False))


def _bare(address: str | None) -> str | None:
    try:
        return Jid.parse(address).bare if address else None
    except ValueError:
        return None
