"""What arrives: tells messages, their changes, receipts, typing and refusals apart and gives each to its listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from voxcube.client import wire
from voxcube.client.errors import StanzaError
from voxcube.client.events import DeleteEvent, DeliveryStatus, EditEvent, ReactionEvent, TypingEvent
from voxcube.client.models import Message
from voxcube.client.sends import Sends
from voxcube.client.streams import Feed
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
    """Reads ``<message/>`` stanzas. ``mark_received`` is called once for each new markable message of somebody else."""

    def __init__(self, sends: Sends, mark_received: Callable[[Message], None] | None) -> None:
        self.messages: Feed[Message] = Feed()
        self.errors: Feed[StanzaError] = Feed()
        self.delivered: Feed[DeliveryStatus] = Feed()
        self.read: Feed[DeliveryStatus] = Feed()
        self.typing: Feed[TypingEvent] = Feed()
        self.edited: Feed[EditEvent] = Feed()
        self.deleted: Feed[DeleteEvent] = Feed()
        self.reactions: Feed[ReactionEvent] = Feed()
        self.others_typing: Timers[tuple[int, str | None]] = Timers(self._typing_ended)
        self._sends = sends
        self._mark_received = mark_received
        self._seen = SeenIds()
        self._fetched: set[str] = set()  # ids of messages that came from the history, and not yet otherwise
        self._held: list[Content] | None = None  # what comes behind messages that are fetched from the history

    def forget(self) -> None:
        """Forgets which messages were given out, and those that wait."""
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
        for content in held:
            self._hand_out(content)

    def sent(self, message: Message) -> None:
        """This client has sent a message; in the history it is nothing new."""
        if message.sender_id:
            self._seen.add(message.sender_id, message.id)

    def fetched(self, message: Message) -> None:
        """A message from the history. Whether its sender waits for a receipt is only known when it arrives, too."""
        if self.give(message):
            self._fetched.add(message.id)

    def give(self, message: Message) -> bool:
        """Gives a message to the listeners; returns whether it was new to them."""
        if message.id and not self._seen.add(message.sender_id, message.id, forget=self._held is None):
            if message.id in self._fetched:
                self._fetched.remove(message.id)
                self._receipt(message)
            return False
        self._receipt(message)
        self.messages.emit(message)
        return True

    def _receipt(self, message: Message) -> None:
        if self._mark_received is not None and message.markable and not message.is_own and message.dialog_id:
            self._mark_received(message)

    def receive(self, stanza: Element, me: int, own_jid: str) -> None:
        """Takes one stanza for user ``me`` with bare address ``own_jid``."""
        kind = stanza.get("type")
        if kind == "error":
            self._refused(wire.stanza_error(stanza))
            return
        copy = wire.sent_carbon(stanza)
        if copy is not None:
            # XEP-0280 §11: only this user's own account may say what this user sent.
            mine = _bare(stanza.get("from")) == own_jid and _bare(copy.get("from")) == own_jid
            if mine and wire.read_marker(copy) is None and not self._change(copy):
                self._content(copy, me, is_carbon=True)
            return
        if kind not in ("chat", "groupchat"):
            return  # headlines are system messages and signalling
        echo = wire.read_echo(stanza, me)
        if echo is not None:
            from_here = echo[0] in self._sends
            self._sends.confirm(*echo)
            if from_here and wire.changes_another(stanza):
                return  # whoever waits for edit() or delete() knows by that
        if self._marker(stanza, me) or self._change(stanza) or self._content(stanza, me, is_carbon=False):
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
            self._arrived(change)
        return True

    def _content(self, stanza: Element, me: int, *, is_carbon: bool) -> bool:
        """Takes a message; returns False when the stanza is none."""
        message = wire.read_message(stanza, me, is_carbon=is_carbon)
        if message is None:
            return False
        self._arrived(message)
        return True

    def _arrived(self, content: Content) -> None:
        # A change must not overtake the message that it changes.
        if self._held is not None:
            self._held.append(content)
        else:
            self._hand_out(content)

    def _hand_out(self, content: Content) -> None:
        match content:
            case Message():
                self.give(content)
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
