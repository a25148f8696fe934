"""Messages of type chat, normal and groupchat: what each one is, and the content ones into drafts (realtime §6–§9)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import msgspec

from voxcube.server.c2s.feature import LATER, Feature
from voxcube.server.c2s.session import Session
from voxcube.server.core.errors import BadRequest, Forbidden, NotFound
from voxcube.server.core.ids import Ids, is_object_id
from voxcube.server.features.messages.encode import Source
from voxcube.server.features.messages.service import Draft, MessageService
from voxcube.xmpp import ns
from voxcube.xmpp.jid import Jid, parse_room_local, parse_user_local
from voxcube.xmpp.payloads import chat_states, extra_params, markers
from voxcube.xmpp.sm import Ticket
from voxcube.xmpp.xml import Element, to_xml

# Never a message of its own (realtime §9.4, §9.5).
_CHANGES = frozenset({"replace", "remove", "reactions"})
_NOT_STORED = frozenset({"no-store", "no-permanent-store"})  # XEP-0334 §4.1, §4.2
# "Do not copy this to my other sessions" (XEP-0280 §6, XEP-0334 §4.3).
_UNCOPIED = {"private": ns.CARBONS, "no-copy": ns.HINTS}
_to_json = msgspec.json.Encoder().encode

_MARKER_NAMES = frozenset({"received", "displayed"})

# Handles typing, a change, or an invitation: (session, stanza, recipient user or 0, dialog or "").
Side = Callable[[Session, Element, int, str], Awaitable[Any] | None]


class MessageStanzas:
    """Sorts messages into content, typing and markers."""

    def __init__(
        self,
        domain: str,
        service: MessageService,
        ids: Ids,
        *,
        typing: Side,
        marker: Any,
        change: Side,
        invitation: Side,
    ) -> None:
        """`marker(session, stanza, marker, to_user, ticket)` persists and relays a delivered or read marker, `change`
        an edit or a deletion, `invitation` an invitation that is sent through a room."""
        self._service = service
        self._ids = ids
        self._typing = typing
        self._marker = marker
        self._change = change
        self._invitation = invitation
        self._domain = domain
        self._known_address = functools.lru_cache(maxsize=65536)(functools.partial(_address, domain))

    def _address(self, stanza: Element) -> tuple[int, int, str]:
        to = stanza.attrs.get("to", "")
        # Long ones are strange, and would make the memory of addresses as large as somebody likes.
        return self._known_address(to) if len(to) < 256 else _address(self._domain, to)

    def chat(self, session: Session, stanza: Element, ticket: Ticket | None) -> Any:
        """A 1-1 message (realtime §7)."""
        app_id, user_id, dialog_id = self._address(stanza)
        marker = markers.decode(stanza)
        side = marker is not None or is_chat_state(stanza)
        if side:
            drop_changes(stanza)
        if app_id != session.app_id or not user_id:
            if side:
                return None  # no errors for chat states and markers (realtime §7.2)
            if dialog_id and app_id == session.app_id:
                _refuse_in_room(stanza)
            raise NotFound("There is no such user")
        if marker is not None:
            return self._marker(session, stanza, marker, user_id, ticket)
        if side:
            return self._typing(session, stanza, user_id, "")
        return self._send(session, stanza, user_id, "", ticket)

    def normal(self, session: Session, stanza: Element, ticket: Ticket | None) -> Any:
        """A message without a type, of type normal or of an unknown one (RFC 6121 §5.2.2).

        What belongs to a dialog becomes a part of it like a message of type chat: official SDKs show no other type. An
        invitation to a room goes to the room.
        """
        app_id, _, dialog_id = self._address(stanza)
        if dialog_id and app_id == session.app_id and is_invitation(stanza):
            return self._invitation(session, stanza, 0, dialog_id)
        stanza.attrs["type"] = "normal" if _is_empty(stanza) else "chat"
        return self.chat(session, stanza, ticket)

    def groupchat(self, session: Session, stanza: Element, ticket: Ticket | None) -> Any:
        """A message to a room (realtime §9.1)."""
        app_id, _, dialog_id = self._address(stanza)
        marker = markers.decode(stanza)
        side = marker is not None or is_chat_state(stanza)
        if side:
            drop_changes(stanza)
        if app_id != session.app_id or not dialog_id:
            if side:
                return None
            raise NotFound("The dialog does not exist")
        if marker is not None:
            return self._marker(session, stanza, marker, 0, ticket)
        if "/" in stanza.attrs["to"]:
            if side:
                return None
            raise BadRequest("A group message goes to the room, not to an occupant")  # XEP-0045 §7.5
        if side:
            return self._typing(session, stanza, 0, dialog_id)
        if stanza.find("subject") is not None and stanza.find("body") is None:  # XEP-0045 §8.1
            raise Forbidden("The subject of a room is the name of its dialog, which is changed by REST")
        return self._send(session, stanza, 0, dialog_id, ticket)

    def _send(self, session: Session, stanza: Element, to_user: int, dialog_id: str, ticket: Ticket | None) -> Any:
        body = extra = destroy_after = None
        others: list[Element] = []
        uncopied = False
        for child in stanza.children:
            if type(child) is not Element:
                continue
            if child.name == "body" and body is None:
                body = child.text
            elif child.name == "extraParams" and extra is None:
                extra = child
            elif child.name in _CHANGES:
                return self._change(session, stanza, to_user, dialog_id)
            elif _is_uncopied(child):
                uncopied = True
            else:
                if child.name == "destroy":
                    destroy_after = _seconds(child)
                others.append(child)
        if uncopied:  # for the server alone (XEP-0280 §6)
            stanza.children = [child for child in stanza.children if isinstance(child, str) or not _is_uncopied(child)]
        params = extra_params.decode(extra)
        message_id = stanza.attrs.get("id", "")
        made_id = not is_object_id(message_id)
        if made_id:
            message_id = self._ids.object_id()
            stanza.attrs.setdefault("id", message_id)
        markable = params.markable or any(child.name == "markable" for child in others)
        extras = "".join(map(to_xml, others)) if others else ""
        if params.markable and "<markable" not in extras:
            extras += f'<markable xmlns="{ns.CHAT_MARKERS}"/>'
        content = bool(body) or bool(params.attachments) or bool(params.properties)

        def done(draft: Draft, error: Exception | None) -> None:
            if error is None:
                if dialog_id and not session.available:
                    # Delivery goes to who is available; the sender gets its echo all the same (realtime §9.1).
                    head, tail = draft.encoded
                    if not (draft.standard_only and session.js):
                        session.deliver(head, tail, "", 0)
                session.handled(ticket)
            else:
                session.hub.dispatch.failed(session, stanza, ticket, error)

        draft = Draft(
            app_id=session.app_id,
            sender_id=session.user_id,
            message_id=message_id,
            to_user=to_user,
            dialog_id=dialog_id,
            body=body or "",
            save=content and (params.save or _wanted_in_archive(session, extra, others)),
            date_sent=params.date_sent or 0,
            properties=_to_json(params.properties).decode() if params.properties else None,
            attachments=_to_json(params.attachments).decode() if params.attachments else None,
            extras=extras or None,
            done=done,
            content=content,
            copied=not uncopied,
            silent=params.silent,
            standard_only=_is_empty(stanza),
            normal=stanza.attrs.get("type") == "normal",
            destroy_after=destroy_after,
            pending=session.pending,
            source=Source(stanza, extra, markable, made_id),
            origin=session.address,
        )
        later = self._service.send(draft)
        return LATER if later is None else _after(later)


def _wanted_in_archive(session: Session, extra: Element | None, others: Sequence[Element]) -> bool:
    """Standard clients know no `save_to_history`: they say so by a hint (XEP-0334), or by reading the archive."""
    if extra is not None:
        return False
    hints = {child.name for child in others if child.xmlns == ns.HINTS}
    return "store" in hints or (session.archives and hints.isdisjoint(_NOT_STORED))


def _is_empty(stanza: Element) -> bool:
    """Whether a message has nothing that an official SDK could show: no text, and none of its own parameters.

    Those are stand-alone receipts (XEP-0184), invitations (XEP-0249) and the like. With `received` or `displayed` that
    are no markers, JavaScript would report the delivery of an unknown message.
    """
    body = stanza.find("body")
    if body is not None and body.text:
        return False
    return stanza.find("extraParams") is None or any(child.name in _MARKER_NAMES for child in stanza.elements())


def is_invitation(stanza: Element) -> bool:
    """Whether the message asks a room to invite somebody, or to decline an invitation (XEP-0045 §7.8.2)."""
    x = stanza.find("x", ns.MUC_USER)
    return x is not None and (x.find("invite") is not None or x.find("decline") is not None)


def _refuse_in_room(stanza: Element) -> NoReturn:
    """What is not of type groupchat has no place in a room."""
    if "/" in stanza.attrs["to"]:
        raise Forbidden("There are no private messages in rooms: write to the user's own address")
    raise BadRequest("A message to a room is of type groupchat")  # XEP-0045 §7.4


async def _after(work: Awaitable[None]) -> Any:
    await work
    return LATER


def _seconds(destroy: Element) -> int | None:
    """How long a self-destroying message may be seen (realtime §9.4)."""
    after = destroy.get("after", "") or ""
    return int(after) if after.isascii() and after.isdigit() and len(after) < 10 else None


def _is_uncopied(child: Element) -> bool:
    return child.name in _UNCOPIED and child.xmlns == _UNCOPIED[child.name]


def drop_changes(stanza: Element) -> None:
    """Takes edits and deletions out of what is relayed as typing, marker or headline: nobody has asked whether its
    sender may make them, and clients look for them first."""
    stanza.children = [child for child in stanza.children if isinstance(child, str) or child.name not in _CHANGES]


def is_chat_state(stanza: Element) -> bool:
    """Whether the message is typing and nothing else."""
    if stanza.find("body") is not None or chat_states.decode(stanza) is None:
        return False
    extra = stanza.find("extraParams")
    return extra is None or extra.find("attachment") is None


def _address(domain: str, to: str) -> tuple[int, int, str]:
    """(application, user or 0, dialog or "") of an address of this server; application 0 when it is none."""
    try:
        jid = Jid.parse(to)
    except ValueError:
        return 0, 0, ""
    if jid.domain == domain:
        user = parse_user_local(jid.local)
        return (0, 0, "") if user is None else (user[1], user[0], "")
    if jid.domain == f"muc.{domain}":
        room = parse_room_local(jid.local)
        return (0, 0, "") if room is None else (room[0], 0, room[1])
    return 0, 0, ""


def feature(stanzas: MessageStanzas) -> Feature:
    return Feature(
        "messages",
        messages={"chat": stanzas.chat, "normal": stanzas.normal, "groupchat": stanzas.groupchat},
    )
