"""Bytes of messages: made once, as what comes before and after the receiver's address (realtime §2.1, §6, §7, §9)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import Invalid
from voxcube.server.core.models import NO_TURN, Turn
from voxcube.server.delivery.router import CHAT, COPY, GROUP, OWN, Parcel, Router
from voxcube.server.features.carbons.xmpp import wrap_sent
from voxcube.server.features.messages.service import LARGEST, Draft
from voxcube.xmpp import ns
from voxcube.xmpp.payloads import extra_params
from voxcube.xmpp.xml import Element, is_name, is_text, to_xml

Encoded = tuple[bytes, bytes]  # before and after the receiver's address


@dataclass(slots=True)
class Source:
    """The stanza that a draft came in; `made_id` where its message id is the server's."""

    stanza: Element
    extra: Element | None
    markable: bool
    made_id: bool


_QUOTE = {'"': "&quot;"}
_MARKABLE = f'<markable xmlns="{ns.CHAT_MARKERS}"/>'


class MessageEncoder:
    """Turns drafts into parcels; `service.Encoder`."""

    def __init__(
        self,
        router: Router,
        domain: str,
        *,
        keep: Callable[[int, int, str, Encoded], Awaitable[None] | None],
    ) -> None:
        """`keep(app, user, message, stanza)` keeps what is not stored for a user without a session."""
        self._router = router
        self._domain = domain
        self._keep = keep

    def encode(self, draft: Draft) -> None:
        sender = (draft.origin.decode() or self._bare(draft)) if draft.to_user else self._occupant(draft)
        inner = self._from_stanza(draft) if draft.source is not None else self._from_values(draft)
        # The id that the client knows the message by: Flutter waits for an echo with it (quirks A16).
        shown = draft.message_id if draft.source is None else escape(draft.source.stanza.attrs["id"], _QUOTE)
        head, tail = frame(sender, draft.to_user != 0, shown, inner)
        draft.encoded = head, tail.replace(b'type="chat"', b'type="normal"', 1) if draft.normal else tail

    def _from_stanza(self, draft: Draft) -> str:
        """The client's own children, unchanged and in order; extraParams completed (quirks A23)."""
        source: Source = draft.source
        values = {"date_sent": str(draft.date_sent), "dialog_id": draft.dialog_id}
        if source.made_id:
            values["message_id"] = draft.message_id  # Flutter reads it
        if source.markable:
            values["markable"] = "1"  # JS marks here, Flutter reads the element: everybody gets both
        extra = to_xml(extra_params.stamp(source.extra, values))
        parts = [
            extra if child is source.extra else to_xml(child)
            for child in source.stanza.children
            if type(child) is Element  # white space of indented stanzas is left out
        ]
        if source.extra is None:
            parts.append(extra)
        if source.markable and source.stanza.find("markable") is None:
            parts.append(_MARKABLE)
        return "".join(parts)

    def _from_values(self, draft: Draft) -> str:
        properties = json.loads(draft.properties) if draft.properties else {}
        attachments = json.loads(draft.attachments) if draft.attachments else []
        return stored_inner(
            draft.body,
            properties,
            attachments,
            draft.extras,
            date_sent=draft.date_sent,
            dialog_id=draft.dialog_id,
            silent=draft.silent,
        )

    def _occupant(self, draft: Draft) -> str:
        """The sender of a group message: the room with the user's id as nick (realtime §1)."""
        return f"{draft.app_id}_{draft.dialog_id}@muc.{self._domain}/{draft.sender_id}"

    def _bare(self, draft: Draft) -> str:
        return f"{draft.sender_id}-{draft.app_id}@{self._domain}"

    # -- to whom ---------------------------------------------------------------------------------------------------

    def deliver(self, draft: Draft) -> None:
        # What is quiet only takes its turn in the order of the dialog.
        head, tail = (b"", b"") if draft.quiet else draft.encoded
        app_id, sender_id, dialog_id, seq = draft.app_id, draft.sender_id, draft.dialog_id, draft.seq
        send = self._router.send
        after = 0 if seq or not dialog_id else self._router.newest(dialog_id, sender_id if draft.to_user else 0)
        if not draft.to_user:
            version = draft.members_version
            parcel = Parcel(GROUP, app_id, sender_id, dialog_id, seq, head, tail, draft.origin, version, after)
            parcel.standard_only = draft.standard_only
            send(parcel)
            return
        if draft.to_user == sender_id:
            send(Parcel(OWN, app_id, sender_id, "", 0, head, tail, draft.origin, 0, 0, 0, draft.standard_only))
            return
        send(Parcel(CHAT, app_id, draft.to_user, dialog_id, seq, head, tail, b"", 0, after, 0, draft.standard_only))
        if self._router.has_others(sender_id, draft.origin):
            if not draft.copied:
                head, tail = b"", b""  # it takes its turn like one that is quiet
            elif not draft.quiet:
                recipient = f"{draft.to_user}-{app_id}@{self._domain}".encode()
                head, tail = wrap_sent(self._bare(draft).encode(), head, recipient, tail)
            parcel = Parcel(COPY, app_id, sender_id, dialog_id, seq, head, tail, draft.origin, 0, after)
            parcel.standard_only = draft.standard_only
            send(parcel)

    def echo(self, draft: Draft) -> None:
        if self._router.awaits(draft.dialog_id, draft.seq):  # the sender gets it with everybody else
            self._router.remind(draft.dialog_id, 0, draft.seq)
            return
        head, tail = draft.encoded
        for session in self._router.sessions.of(draft.sender_id):
            if session.address == draft.origin:
                session.deliver(head, tail, "", 0)
        self._router.remind(draft.dialog_id, 0, draft.seq)

    def redeliver(self, draft: Draft) -> None:
        self._router.remind(draft.dialog_id, draft.to_user, draft.seq)
        self._router.remind(draft.dialog_id, draft.sender_id, draft.seq, draft.origin)

    def keep(self, draft: Draft) -> Awaitable[None] | None:
        if draft.to_user == draft.sender_id:
            return None
        return self._keep(draft.app_id, draft.to_user, draft.message_id, draft.encoded)


def is_parameter(name: str) -> bool:
    """Whether a key of a message made by REST is a custom parameter (rest §7.1)."""
    return name not in extra_params.CORE_KEYS and name not in extra_params.UNSTORED_KEYS


def is_parameter_name(name: str) -> bool:
    """Whether it can be the name of an element, which every client reads as it is."""
    return is_name(name)


def relayed_tail(stanza: Element, kind: str) -> bytes:
    """A stanza relayed as it is, from behind the receiver's address on; without an id (JS, typing) it stays without."""
    envelope = Element("message", {"type": kind})
    if message_id := stanza.get("id"):
        envelope.attrs["id"] = message_id
    envelope.children = list(stanza.elements())
    return ('" ' + to_xml(envelope).removeprefix("<message ")).encode()


def check_size(tail: bytes) -> None:
    """Raise Invalid for a relayed stanza that is larger than a message may be."""
    if len(tail) > LARGEST:
        raise Invalid(f"The message is too large (maximum is {LARGEST} bytes)")


def relay_to_user(
    router: Router, session: Session, stanza: Element, to_user: int, *, dialog_id: str = "", turn: Turn = NO_TURN
) -> None:
    """Relays a marker or a change as it is: to a user's sessions, and as carbons to the sender's other ones.

    `turn` is a change's.
    """
    app_id, user_id = session.app_id, session.user_id
    head = b'<message xmlns="jabber:client" from="' + session.address + b'" to="'
    tail = relayed_tail(stanza, "chat")
    router.change(Parcel(CHAT, app_id, to_user, dialog_id, 0, head, tail), turn)
    if router.has_others(user_id, session.address):
        recipient = f"{to_user}-{app_id}@{session.hub.domain}".encode()
        head, tail = wrap_sent(session.bare.encode(), head, recipient, tail)
        router.change(Parcel(COPY, app_id, user_id, dialog_id, 0, head, tail, session.address), turn)


def frame(sender: str, chat: bool, message_id: str, inner: str) -> Encoded:
    """A message around its children. `sender` and `message_id` are escaped already."""
    kind = "chat" if chat else "groupchat"
    return (
        f'<message xmlns="jabber:client" from="{sender}" to="'.encode(),
        f'" type="{kind}" id="{message_id}">{inner}</message>'.encode(),
    )


def stored_inner(
    body: str,
    properties: Mapping[str, Any],
    attachments: Sequence[Mapping[str, str]],
    extras: str | None,
    *,
    date_sent: int,
    dialog_id: str,
    silent: bool = False,
    parsed: bool = False,
) -> str:
    """The children of a message made from what is stored (`extras` is XML already).

    Raises ValueError for names and texts that XML does not take; what was `parsed` before has none.
    """
    markable = extras is not None and "<markable" in extras
    extra = extra_params.encode(
        save=True,
        date_sent=date_sent,
        dialog_id=dialog_id,
        markable=markable,
        silent=silent,
        properties=properties,
        attachments=attachments,
        parsed=parsed,
    )
    if not parsed and not is_text(body):
        raise ValueError("the message holds a character that XML forbids")
    text = body_element(body) if body else ""
    return f"{text}{to_xml(extra)}{extras or ''}"


def body_element(body: str) -> str:
    """The text of a message as XML; a CR is escaped, for readers would make a LF of it (XML 1.0 §2.11)."""
    return to_xml(Element("body", None, [body]))
