"""``cube.chat``: the realtime side of the SDK."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from voxcube.client import wire
from voxcube.client.attention import Attention
from voxcube.client.catch_up import CatchUp
from voxcube.client.changes import MessageChanges
from voxcube.client.contacts import Contacts
from voxcube.client.endpoint import Endpoint
from voxcube.client.events import ConnectionState, Event
from voxcube.client.headlines import Headlines, module_of
from voxcube.client.http import Http
from voxcube.client.ids import is_message_id, new_message_id
from voxcube.client.inbox import Inbox
from voxcube.client.last_activity import LastActivity
from voxcube.client.lifecycle import Lifecycle, Login
from voxcube.client.listeners import Listeners
from voxcube.client.models import Attachment, Dialog, Message
from voxcube.client.outbox import Outbox
from voxcube.client.own_typing import OwnTyping
from voxcube.client.privacy import Privacy
from voxcube.client.receipts import Receipt
from voxcube.client.reconnect import Reconnect, ReconnectPolicy
from voxcube.client.rooms import Rooms
from voxcube.client.sends import Sends
from voxcube.client.signalling import CALLS, Signalling
from voxcube.client.streams import Feed, Line
from voxcube.client.system import NOTIFICATIONS, System
from voxcube.client.timers import Timers
from voxcube.client.values import time_from_seconds, unix_seconds
from voxcube.client.wire import Target
from voxcube.xmpp.jid import Jid, user_jid
from voxcube.xmpp.payloads import markers
from voxcube.xmpp.xml import Element, is_text

UNMARKED = 1000  # messages whose senders are still to be told that they are delivered


class Chat(MessageChanges, OwnTyping, Attention, Listeners):
    """Connects a user to the chat, sends, and reports what others do."""

    def __init__(
        self,
        endpoint: Endpoint,
        app_id: int,
        *,
        http: Http,
        stream_management: bool = True,
        auto_mark_delivered: bool = True,
        timeout: float = 60.0,
        reconnect: Reconnect | None = None,
    ) -> None:
        self._app_id = app_id
        self._domain = endpoint.domain
        self._http = http
        self._line = Line()
        self._sent: Feed[Message] = Feed(self._line)
        self._lost: Feed[Message] = Feed(self._line)
        self._sends = Sends(timeout, self._report_sent, self._lost.emit)
        self._inbox = Inbox(self._sends, self._mark_received if auto_mark_delivered else None, self._line, self._made)
        # Taken by a listener while there was no connection
        self._unmarked: deque[Message] = deque(maxlen=UNMARKED)
        self._idle_typing: Timers[Target] = Timers(self._typing_idle)
        self._catch_up = CatchUp(
            http,
            user_id=lambda: self._life.user_id,
            hold=self._inbox.hold,
            release=self._inbox.release,
            give=self._inbox.fetched,
            keeping_up=lambda: self._inbox.messages.is_read,
        )
        self._life = Lifecycle(
            endpoint,
            stream_management=stream_management,
            policy=reconnect or ReconnectPolicy(),
            line=self._line,
            on_stanza=self._receive,
            on_confirmed=self._sends.confirm,
            on_broken=self._broken,
            on_over=self._sends.lose_all,
            on_login=self._logged_in,
            on_ready=self._ready,
        )
        self._outbox = Outbox(self._life, self._sends, app_id, endpoint.domain)
        self._timeout = timeout
        self._user_id: int | None = None  # whose session it was last
        self._inactive = False
        self.rooms = Rooms(self._life, app_id, endpoint.domain, timeout=timeout)
        self.privacy = Privacy(self._life, app_id, endpoint.domain, timeout=timeout)
        self.last_activity = LastActivity(self._life, app_id, endpoint.domain, timeout=timeout)
        self.contacts = Contacts(self._life, self._outbox, self._sends, app_id, endpoint.domain, timeout=timeout)
        headlines = Headlines(self._outbox, self._sends, app_id, endpoint.domain)
        self.system, self.signalling = System(headlines), Signalling(headlines)
        self._life.renewals += [
            self.rooms._rejoin,
            self.privacy._renew,
            self.last_activity._renew,
            self.contacts._renew,
            self._still_inactive,
        ]
        super().__init__(
            {
                Event.MESSAGE: self._inbox.messages,
                Event.MESSAGE_ERROR: self._inbox.errors,
                Event.SENT: self._sent,
                Event.LOST: self._lost,
                Event.DELIVERED: self._inbox.delivered,
                Event.READ: self._inbox.read,
                Event.TYPING: self._inbox.typing,
                Event.EDITED: self._inbox.edited,
                Event.DELETED: self._inbox.deleted,
                Event.REACTION: self._inbox.reactions,
                Event.STATE: self._life.states,
            }
        )

    # Connection

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._life.state

    @property
    def is_ready(self) -> bool:
        """Whether messages can be sent now."""
        return self._life.state is ConnectionState.READY

    @property
    def user_id(self) -> int | None:
        """The user who is connected, or connected last; None before ``connect()`` and after ``destroy()``."""
        return self._life.user_id

    async def connect(self, user_id: int, password: str | None = None, resource: str | None = None) -> Jid:
        """Connects and logs in; afterwards messages arrive and can be sent.

        Messages that waited for this user arrive soon after, with ``delayed``; they are held until something listens.
        Calls at the same time share one attempt.

        When the connection is lost later, the chat reconnects by itself as its ``ReconnectPolicy`` says: for ever
        unless told otherwise, but not when the credentials are refused or another connection under the same
        ``resource`` takes its place; see ``closed()``. The server
        keeps the session for a while: then it goes on where it broke, messages on their way included. Otherwise a new
        one begins, and what was missed is fetched from the history and arrives with ``delayed``, each message once and
        in the order of its dialog, before anything newer. That needs a session of the REST API for this user; without
        one, only private messages are delivered late.

        Args:
            user_id: the user.
            password: the user's password, or a live session token. Without it the token of the client's current
                session is used (guests and users of an identity provider have nothing else). A token of the current
                session that has ended is renewed once with ``on_session_expired``, now and when reconnecting.
            resource: a name for this connection; by default the server makes one. A second connection of the same
                name ends the first.

        Returns:
            The address of this connection.

        Raises:
            AuthenticationFailed: the server refused the password, or for now all logins (``is_temporary``).
            SessionReplaced: another connection under the same resource took its place meanwhile.
            TransportError: the server cannot be reached, its certificate is not trusted, or it took too long.
            NotConnected: ``disconnect()`` was called meanwhile.
            ClientClosed: the client was closed.
            RuntimeError: already connected, or connecting as another user.
            ValueError: no password and no session, or control characters in one of the arguments.

        Source: RFC 6120 §4–§7, XEP-0368, XEP-0198 §3, XEP-0280 §4.

        Example:
            >>> jid = await cube.chat.connect(session.user_id, "s3cret-pass")
        """
        self._line.check()
        token = self._token()
        if password is None and token is None:
            await self._http.renew()
            token = self._token()
        secret = token if password is None else password
        if not secret:
            raise ValueError("give the password, or create a session first")
        if not is_text(secret) or (resource is not None and not is_text(resource)):
            raise ValueError("password and resource cannot hold control characters or lone surrogates")
        if secret != token:
            return await self._life.connect(Login(int(user_id), self._app_id, lambda: secret, resource))
        # A session token may be renewed before it is needed again.
        login = Login(int(user_id), self._app_id, lambda: self._token() or secret, resource, self._http.renew)
        return await self._life.connect(login)

    @property
    def reconnect_policy(self) -> Reconnect:
        """When to connect again by itself; may be replaced at any time, and is asked from the next loss on."""
        return self._life.policy

    @reconnect_policy.setter
    def reconnect_policy(self, policy: Reconnect) -> None:
        self._life.policy = policy

    async def reconnect(self) -> Jid:
        """Connects again, now, as the same user: for a network monitor that knows more than a timer.

        While the chat is reconnecting this ends the wait for the next attempt; while an attempt is under way it joins
        that; a ready connection is dropped for a new one; after ``disconnect()``, or when all attempts had failed, it
        connects with the credentials of the last ``connect()``. Whatever arrived meanwhile is caught up on.

        Returns:
            The address of this connection; the same as before when the session could be resumed.

        Raises:
            AuthenticationFailed: the server does not accept the password any more.
            TransportError: this attempt failed. If the chat was reconnecting it goes on by itself.
            NotConnected: ``disconnect()`` was called meanwhile.
            RuntimeError: ``connect()`` was never called, or the chat is disconnecting.

        Source: Flutter SDK ``relogin``, XEP-0198 §5.

        Example:
            >>> network.on_available(lambda: cube.chat.reconnect())
        """
        return await self._life.reconnect()

    async def disconnect(self) -> None:
        """Says goodbye and closes the connection, or ends the attempts to get one back.

        Iterators end after what they have queued, and can be iterated further after the next ``connect()``. Does
        nothing when not connected.

        Messages on their way that the server has not confirmed yet raise ``MessageLost`` in their senders.

        Source: RFC 6120 §4.4.

        Example:
            >>> await cube.chat.disconnect()
        """
        await self._life.disconnect()

    async def closed(self) -> Exception | None:
        """Waits until the chat is closed: until it does not connect again by itself.

        Returns:
            Why: ``TransportError`` when the reconnect policy gave up, ``AuthenticationFailed`` when the credentials are
            not accepted any more, ``SessionReplaced`` when another connection under the same resource took this
            one's place, or what ``on_session_expired`` raised; None after ``disconnect()``, ``destroy()`` or
            ``Client.close()``. At once when the chat is closed already.

        Example:
            >>> why = await cube.chat.closed()
            >>> if why is not None:
            ...     raise SystemExit(f"the chat has ended: {why}")
        """
        return await self._life.closed()

    async def destroy(self) -> None:
        """Disconnects, ends all event streams and callbacks, and forgets the user.

        Example:
            >>> await cube.chat.destroy()
            >>> cube.chat.state
            <ConnectionState.IDLE: 'idle'>
        """
        await self._life.destroy()
        self._end_listening()
        for each in (self.rooms, self.last_activity, self.contacts, self.system, self.signalling):
            each._end_listening()
        self._forget_user()

    async def ping(self, timeout: float = 5.0) -> float:
        """Asks the server for a sign of life.

        Args:
            timeout: seconds to wait for it.

        Returns:
            How long it took, in seconds.

        Raises:
            ChatTimeout: no answer in time.
            NotConnected: not connected, or the connection was lost meanwhile.

        Source: XEP-0199 §4.2.

        Example:
            >>> seconds = await cube.chat.ping()
        """
        began = time.monotonic()
        await self._life.connection.ping(timeout)
        return time.monotonic() - began

    # Messages

    async def send(
        self,
        dialog: Dialog | Message | None = None,
        body: str | None = None,
        *,
        to_user: int | None = None,
        dialog_id: str | None = None,
        markable: bool = True,
        save_to_history: bool = True,
        attachments: Iterable[Attachment] = (),
        properties: Mapping[str, Any] | None = None,
        silent: bool = False,
        destroy_after: int | None = None,
        id: str | None = None,  # noqa: A002
        date_sent: datetime | int | None = None,
    ) -> Message:
        """Sends a message and returns when the server has it: stored, if it is to be saved to the history.

        Any number of sends may run at the same time; beyond 1,000 unconfirmed ones they wait their turn. From one
        task, messages keep their order.

        Args:
            dialog: where to, or a message whose dialog is meant; or give ``to_user`` or ``dialog_id``.
            body: the text; may be left out with attachments.
            to_user: the user to write to privately; the server finds or creates the dialog.
            dialog_id: a dialog that is not private.
            markable: ask to be told when it is delivered.
            save_to_history: False only relays it.
            attachments: files and places.
            properties: the application's own parameters: names to texts or to nested mappings of up to 32 levels.
                Numbers become texts, True and False ``"1"`` and ``"0"``; None is left out. ``"silent"`` is taken as
                the argument, as in the guide of the official SDKs.
            silent: without a push alert.
            destroy_after: seconds after display at which the receiver shall delete it.
            id: 24 hexadecimal digits, made when not given. Sending again with the same id is safe: the server stores
                it once and receivers see it once.
            date_sent: by default now; aware datetime or unix seconds.

        Returns:
            The message, its ``state`` SENT. In a private dialog it is confirmed by stream management (without, it is
            merely written), in others by its echo.

        Raises:
            StanzaError: the server refused it, e.g. code 503 when the recipient blocks this user, 403 when this user
                may not write there, 404 when there is no such user or dialog.
            MessageLost: the connection ended before it was confirmed, and its session did not go on.
            ChatTimeout: it was not confirmed in time (60 seconds by default).
            NotConnected: there is no connection; nothing was sent.
            ValueError: not exactly one destination, nothing to send, an unfit id, characters that XML forbids, or more
                than 256 KiB with everything (in UTF-8, ``<``, ``>`` and ``&`` escaped); nothing was sent.

        Source: RFC 6121 §5.2, XEP-0198 §4, XEP-0333 §4.

        Example:
            >>> message = await cube.chat.send(dialog, "How are you?", properties={"city": "Oslo"})
            >>> await cube.chat.send(to_user=88, body="Lunch?")
        """
        target = self._outbox.target(dialog, to_user, dialog_id)
        files = tuple(attachments)
        if body is None and not files and not properties:
            raise ValueError("give a body, attachments or properties")
        if id is not None and not is_message_id(id):
            raise ValueError("id must be 24 lower-case hexadecimal digits, as new_message_id() makes them")
        texts, quiet = wire.with_silent(properties, silent)
        message = Message(
            id=id or new_message_id(),
            dialog_id=target.dialog_id,
            body=body,
            sender_id=self._life.user_id or 0,
            recipient_id=target.user_id,
            date_sent=time_from_seconds(int(time.time()) if date_sent is None else unix_seconds(date_sent)),
            attachments=files,
            properties=texts,
            markable=markable,
            save_to_history=save_to_history,
            silent=quiet,
            destroy_after=destroy_after,
            is_group=target.is_group,
            is_own=True,
        )
        stanza = wire.encode(wire.message(message, target))
        sent = await self._outbox.confirmed(stanza, message.id, target, lambda: self._sends.start(message))
        return sent.of_chat(self)

    async def mark_read(self, message: Message) -> None:
        """Tells the sender, and the server, that this user has read the message.

        Args:
            message: a message somebody else sent, from the chat or from the history.

        Raises:
            NotConnected: not connected.
            ValueError: one's own message, or a message without sender or dialog.

        Source: XEP-0333 §4.2.

        Example:
            >>> await cube.chat.mark_read(message)
        """
        await self._mark(markers.READ, message)

    async def mark_delivered(self, message: Message) -> None:
        """Tells the sender, and the server, that this user has received the message.

        Needed only with ``Client(auto_mark_delivered=False)``, or for messages that are not ``markable``. Arguments
        and errors as ``mark_read``.

        Source: XEP-0333 §4.2.

        Example:
            >>> await cube.chat.mark_delivered(message)
        """
        await self._mark(markers.DELIVERED, message)

    # Inside

    async def _mark(self, kind: str, message: Message) -> None:
        if not message.sender_id or not message.id or not message.dialog_id:
            raise ValueError("a marker needs the message's sender, id and dialog")
        if message.sender_id == self._life.user_id:
            raise ValueError("this is one's own message")
        await self._outbox.write(wire.marker(kind, message, self._app_id, self._domain))

    def _mark_received(self, message: Message) -> None:
        if self._life.link is None:
            self._unmarked.append(message)
            return
        self._outbox.write_now(wire.marker(markers.DELIVERED, message, self._app_id, self._domain))

    def _receive(self, stanza: Element, receipt: Receipt) -> None:
        module = module_of(stanza) if stanza.get("type") in ("headline", "error") else None
        if module in (NOTIFICATIONS, CALLS):
            self._headline(stanza, module)
        elif stanza.name == "message" and self._life.user_id is not None:
            me = self._life.user_id
            self._inbox.receive(stanza, me, user_jid(me, self._app_id, self._domain), receipt)
        elif stanza.name == "presence":
            self.rooms._receive(stanza)
            self.contacts._receive(stanza)
        elif stanza.name == "iq":
            self.last_activity._receive(stanza)
            self.contacts._receive(stanza)

    def _headline(self, stanza: Element, module: str) -> None:
        if stanza.get("type") == "error":
            error = wire.stanza_error(stanza)
            self._sends.refuse(error.stanza_id or "", error)
            self.system._refused(error)
        elif module == CALLS:
            self.signalling._receive(stanza)
        else:
            self.system._receive(stanza)

    def _logged_in(self) -> None:
        if self._user_id not in (None, self._life.user_id):
            self._forget_user()
        self._user_id = self._life.user_id
        self._catch_up.logged_in()
        self.contacts._logged_in()

    def _ready(self) -> None:
        while self._unmarked:
            self._mark_received(self._unmarked.popleft())
        self._catch_up.ready()

    def _forget_user(self) -> None:
        """What the last user had, missed and chose is nothing to the next."""
        self._line.forget()
        self._unmarked.clear()
        self._user_id = None
        self._inactive = False
        self.rooms._forget()
        self.last_activity._forget()
        self.privacy._forget()
        self.contacts._forget()
        self._catch_up.forget()
        self._inbox.forget()

    def _token(self) -> str | None:
        return self._http.session.token if self._http.session else None

    def _made(self, message: Message) -> Message:
        return message.of_chat(self)

    def _report_sent(self, message: Message) -> None:
        if not message.is_group:  # of others the echo is an event
            self._inbox.sent(message)
        self._sent.emit(self._made(message))

    def _broken(self, silence: float) -> None:
        self._catch_up.broken(silence)
        self.rooms._ended()
        self._idle_typing.clear()
        self._inbox.others_typing.finish()
