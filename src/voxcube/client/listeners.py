"""The listening half of ``cube.chat``: each kind of event as an async iterator and as a callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from voxcube.client.errors import StanzaError
from voxcube.client.events import (
    ConnectionStateChange,
    DeleteEvent,
    DeliveryStatus,
    EditEvent,
    Event,
    ReactionEvent,
    TypingEvent,
)
from voxcube.client.models import Message
from voxcube.client.streams import EventStream, Feed, Unsubscribe


class Listeners:
    """Each kind of event is available as an async iterator and as a callback.

    A method like ``messages()`` opens an async iterator with its own queue of 1,000 events; when it is read too
    slowly the oldest are dropped and it raises ``EventsLost`` once. A method like ``on_message(fn)`` calls ``fn``
    (sync or async; its calls never overlap) and returns a function that stops it; what ``fn`` raises is logged.

    Both may be opened before connecting or later: messages, their changes, receipts and errors that arrive while no
    listener wants them are held for the first one that does, at most 1,000 of each kind and about 4 MiB; beyond that
    the oldest are dropped, and that listener raises ``EventsLost`` (a callback's is logged). What an iterator has not
    read when it is left goes to the next listener. Typing, states, ``sent()`` and ``lost()`` are not held.

    Iterators end when the chat is closed: quietly after ``disconnect()``, with ``ChatClosed`` when the connection was
    given up. All listeners last until ``destroy()``.
    """

    def __init__(self, feeds: Mapping[Event, Feed[Any]]) -> None:
        self._feeds = feeds

    def on(self, event: Event, fn: Callable[[Any], Any]) -> Unsubscribe:
        """Calls ``fn`` with every event of a kind: ``on(Event.MESSAGE, fn)`` is ``on_message(fn)``, and so on.

        As there, this user's own messages come only with ``on_message(fn, include_own=True)``.

        Example:
            >>> stop = cube.chat.on(Event.READ, print)
        """
        return self.on_message(fn) if event is Event.MESSAGE else self._feed(event).subscribe(fn)

    def messages(self, dialog_id: str | None = None, include_own: bool = False) -> EventStream[Message]:
        """Messages as they arrive, each id once: those with a body or attachments, live and ``delayed`` ones.

        Args:
            dialog_id: only those of one dialog.
            include_own: also what this user sends to groups, and what other devices of this user send
                (``is_own``, ``is_carbon``).

        Source: RFC 6121 §5.2, XEP-0203, XEP-0280 §7.

        Example:
            >>> async for message in cube.chat.messages():
            ...     print(message.sender_id, message.body)
        """
        return self._feed(Event.MESSAGE).open(_wanted(dialog_id, include_own))

    def on_message(
        self, fn: Callable[[Message], Any], dialog_id: str | None = None, include_own: bool = False
    ) -> Unsubscribe:
        """Calls ``fn`` with messages as they arrive; arguments as ``messages()``.

        Example:
            >>> stop = cube.chat.on_message(lambda message: print(message.body))
        """
        return self._feed(Event.MESSAGE).subscribe(fn, _wanted(dialog_id, include_own))

    def errors(self) -> EventStream[StanzaError]:
        """Refusals by the server of messages, edits and deletes, also those that ``send()`` and the like raise.

        ``stanza_id`` is the id of a refused message; a refused edit or delete has an id of its own.

        Source: RFC 6120 §8.3.

        Example:
            >>> async for error in cube.chat.errors():
            ...     print(error.stanza_id, error.code)
        """
        return self._feed(Event.MESSAGE_ERROR).open()

    def on_message_error(self, fn: Callable[[StanzaError], Any]) -> Unsubscribe:
        """Calls ``fn`` with refusals of messages, as ``errors()``.

        Example:
            >>> stop = cube.chat.on_message_error(lambda error: print(error))
        """
        return self._feed(Event.MESSAGE_ERROR).subscribe(fn)

    def sent(self) -> EventStream[Message]:
        """Messages of this client that the server has confirmed.

        Source: XEP-0198 §4.

        Example:
            >>> async for message in cube.chat.sent():
            ...     show_tick(message.id)
        """
        return self._feed(Event.SENT).open()

    def on_sent(self, fn: Callable[[Message], Any]) -> Unsubscribe:
        """Calls ``fn`` with confirmed messages, as ``sent()``.

        Example:
            >>> stop = cube.chat.on_sent(lambda message: show_tick(message.id))
        """
        return self._feed(Event.SENT).subscribe(fn)

    def lost(self) -> EventStream[Message]:
        """Messages of this client that were not confirmed before the connection ended, or in time.

        They may have arrived; sending them again with the same ``id`` is safe.

        Source: XEP-0198 §4.

        Example:
            >>> async for message in cube.chat.lost():
            ...     offer_to_resend(message)
        """
        return self._feed(Event.LOST).open()

    def on_lost(self, fn: Callable[[Message], Any]) -> Unsubscribe:
        """Calls ``fn`` with unconfirmed messages, as ``lost()``.

        Example:
            >>> stop = cube.chat.on_lost(offer_to_resend)
        """
        return self._feed(Event.LOST).subscribe(fn)

    def delivered(self) -> EventStream[DeliveryStatus]:
        """Which message arrived at which user.

        Source: XEP-0333 §4.2.

        Example:
            >>> async for status in cube.chat.delivered():
            ...     print(status.message_id, "arrived at", status.user_id)
        """
        return self._feed(Event.DELIVERED).open()

    def on_delivered(self, fn: Callable[[DeliveryStatus], Any]) -> Unsubscribe:
        """Calls ``fn`` when a message arrives at a user, as ``delivered()``.

        Example:
            >>> stop = cube.chat.on_delivered(lambda status: print(status.message_id))
        """
        return self._feed(Event.DELIVERED).subscribe(fn)

    def read(self) -> EventStream[DeliveryStatus]:
        """Which message was read by which user.

        Source: XEP-0333 §4.2.

        Example:
            >>> async for status in cube.chat.read():
            ...     print(status.message_id, "read by", status.user_id)
        """
        return self._feed(Event.READ).open()

    def on_read(self, fn: Callable[[DeliveryStatus], Any]) -> Unsubscribe:
        """Calls ``fn`` when a user reads a message, as ``read()``.

        Example:
            >>> stop = cube.chat.on_read(lambda status: print(status.message_id))
        """
        return self._feed(Event.READ).subscribe(fn)

    def typing_events(self) -> EventStream[TypingEvent]:
        """Who begins and who ends typing. Typing that is not taken back ends by itself after 35 seconds.

        Source: XEP-0085 §5.

        Example:
            >>> async for event in cube.chat.typing_events():
            ...     print(event.user_id, "is typing" if event.is_typing else "stopped")
        """
        return self._feed(Event.TYPING).open()

    def on_typing(self, fn: Callable[[TypingEvent], Any]) -> Unsubscribe:
        """Calls ``fn`` when somebody begins or ends typing, as ``typing_events()``.

        Example:
            >>> stop = cube.chat.on_typing(lambda event: print(event.user_id, event.is_typing))
        """
        return self._feed(Event.TYPING).subscribe(fn)

    def edited(self) -> EventStream[EditEvent]:
        """Messages that were given a new text: by others, and by other devices of this user or over REST.

        Source: XEP-0308.

        Example:
            >>> async for event in cube.chat.edited():
            ...     show_text(event.message_id, event.body)
        """
        return self._feed(Event.EDITED).open()

    def on_edited(self, fn: Callable[[EditEvent], Any]) -> Unsubscribe:
        """Calls ``fn`` when a message was given a new text, as ``edited()``.

        Example:
            >>> stop = cube.chat.on_edited(lambda event: show_text(event.message_id, event.body))
        """
        return self._feed(Event.EDITED).subscribe(fn)

    def deleted(self) -> EventStream[DeleteEvent]:
        """Messages that were deleted for everybody: by others, and by other devices of this user or over REST.

        Source: Flutter SDK ``MessagesDeletedStream``.

        Example:
            >>> async for event in cube.chat.deleted():
            ...     hide(event.message_id)
        """
        return self._feed(Event.DELETED).open()

    def on_deleted(self, fn: Callable[[DeleteEvent], Any]) -> Unsubscribe:
        """Calls ``fn`` when a message was deleted for everybody, as ``deleted()``.

        Example:
            >>> stop = cube.chat.on_deleted(lambda event: hide(event.message_id))
        """
        return self._feed(Event.DELETED).subscribe(fn)

    def reactions(self) -> EventStream[ReactionEvent]:
        """Who reacts to which message, and who no longer does; also this user, with ``cube.messages.react()``.

        Source: Flutter SDK ``messagesReactionsManager.reactionsStream``.

        Example:
            >>> async for event in cube.chat.reactions():
            ...     print(event.user_id, event.added, event.removed, event.message_id)
        """
        return self._feed(Event.REACTION).open()

    def on_reaction(self, fn: Callable[[ReactionEvent], Any]) -> Unsubscribe:
        """Calls ``fn`` when somebody reacts to a message, as ``reactions()``.

        Example:
            >>> stop = cube.chat.on_reaction(lambda event: print(event.user_id, event.added))
        """
        return self._feed(Event.REACTION).subscribe(fn)

    def states(self) -> EventStream[ConnectionStateChange]:
        """Changes of the connection's state.

        Example:
            >>> async for change in cube.chat.states():
            ...     print(change.old, change.new, change.error)
        """
        return self._feed(Event.STATE).open()

    def on_state(self, fn: Callable[[ConnectionStateChange], Any]) -> Unsubscribe:
        """Calls ``fn`` when the state of the connection changes, as ``states()``.

        Example:
            >>> stop = cube.chat.on_state(lambda change: print(change.new))
        """
        return self._feed(Event.STATE).subscribe(fn)

    def _feed(self, event: Event) -> Feed[Any]:
        return self._feeds[event]

    def _end_listening(self) -> None:
        for feed in self._feeds.values():
            feed.close()


def _wanted(dialog_id: str | None, include_own: bool) -> Callable[[Message], bool]:
    def accepts(message: Message) -> bool:
        return (include_own or not message.is_own) and (dialog_id is None or message.dialog_id == dialog_id)

    return accepts
