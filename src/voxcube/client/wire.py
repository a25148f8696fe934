"""The SDK's objects as stanzas, and stanzas as the SDK's objects."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voxcube.client.errors import StanzaError
from voxcube.client.events import DeleteEvent, DeliveryStatus, EditEvent, ReactionEvent, TypingEvent
from voxcube.client.ids import is_message_id, new_message_id
from voxcube.client.models import Attachment, Message
from voxcube.client.values import time_from_seconds
from voxcube.xmpp import ns
from voxcube.xmpp.errors import LocalProtocolError
from voxcube.xmpp.jid import Jid, parse_room_local, parse_user_local, room_local, user_jid
from voxcube.xmpp.payloads import carbons, changes, chat_states, delay, extra_params, markers
from voxcube.xmpp.payloads.changes import Delete, Edit, Reactions
from voxcube.xmpp.stream import error_condition
from voxcube.xmpp.xml import Element, is_name, serialize

DESTROY_AFTER = "urn:xmpp:message-destroy-after:0"

LARGEST = 256 * 1024  # bytes of a stanza, escaped and in UTF-8: what the server accepts by default
_WEBSOCKET_EXTRA = len(f' xmlns="{ns.CLIENT}"')  # declared by each frame (RFC 7395 §3.3.3)
_FLAGS = {"1": True, "true": True, "0": False, "false": False}
DEEPEST = 32  # levels of nested properties; servers end the connection at 64 levels of elements

# Children that speak about another message; their stanza is never a message itself, even when they cannot be read.
_ABOUT_ANOTHER = frozenset(("replace", "remove", "reactions"))
_RESERVED = extra_params.CORE_KEYS | extra_params.UNSTORED_KEYS | {"attachment"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a stanza goes: a user's bare address, or a room."""

    jid: str
    dialog_id: str | None
    user_id: int | None

    @property
    def is_group(self) -> bool:
        return self.user_id is None

    @property
    def type(self) -> str:
        return "groupchat" if self.is_group else "chat"


def user_target(user_id: int, app_id: int, domain: str, dialog_id: str | None = None) -> Target:
    """The private chat with a user."""
    return Target(user_jid(user_id, app_id, domain), dialog_id, user_id)


def room_target(dialog_id: str, app_id: int, domain: str) -> Target:
    """A dialog that is not private. Raises ValueError when the id is none."""
    if not is_message_id(dialog_id):
        raise ValueError("dialog_id must be 24 hexadecimal digits")
    return Target(f"{room_local(app_id, dialog_id)}@muc.{domain}", dialog_id, None)


# To the wire


def encode(stanza: Element) -> bytes:
    """The stanza as bytes.

    Raises ValueError for characters that XML forbids (XML 1.0 §2.2), and for more bytes than a server accepts: it would
    end the connection, and with it everything else that is being sent.
    """
    try:
        data = serialize(stanza)
    except LocalProtocolError as error:
        raise ValueError(f"this cannot be sent: {error}") from None
    size = len(data) + _WEBSOCKET_EXTRA
    if size > LARGEST:
        raise ValueError(f"this takes {size} bytes as a stanza, at most {LARGEST} can be sent")
    return data


def with_silent(properties: Mapping[str, Any] | None, silent: bool) -> tuple[dict[str, Any], bool]:
    """The properties without ``silent``, and whether the message is: the guide gives it among them, as ``"1"``.

    Raises ValueError as ``texts``, and for another value of ``silent``.
    """
    given = dict(properties or {})
    value = given.pop("silent", None)
    if value is not None:
        if str(value).lower() not in _FLAGS:
            raise ValueError(f"the property 'silent' is 1 or 0, not {value!r}")
        silent = silent or _FLAGS[str(value).lower()]
    return texts(given), silent


def texts(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The application's parameters as they travel: names to texts or to nested objects of the same form.

    Raises ValueError for a name that cannot be an XML element or has a meaning of its own, and for lists, which have
    no form on the wire.
    """
    for name in properties:
        if name in _RESERVED:
            raise ValueError(f"{name!r} cannot be the name of a property: it has a meaning of its own")
    return nested_texts(properties)


def nested_texts(properties: Mapping[str, Any], level: int = 1) -> dict[str, Any]:
    """As ``texts``, where no name has a meaning of its own."""
    if level > DEEPEST:
        raise ValueError(f"properties are nested more than {DEEPEST} levels deep")
    result: dict[str, Any] = {}
    for name, value in properties.items():
        if not is_name(name):
            raise ValueError(f"{name!r} cannot be the name of a property: letters, digits, '_', '.', '-' only")
        if isinstance(value, Mapping):
            result[name] = nested_texts(value, level + 1)
        elif isinstance(value, (list, tuple, set)):
            raise ValueError(f"property {name!r} is a list; send it as text, e.g. JSON")
        elif isinstance(value, bool):
            result[name] = "1" if value else "0"
        elif value is not None:
            result[name] = str(value)
    return result


def attributes(attachment: Attachment) -> dict[str, str]:
    """An attachment as attributes. Raises ValueError for a name in ``extra`` that cannot be an attribute's."""
    found = attachment.to_attributes()
    for name in found:
        if not is_name(name):
            raise ValueError(f"{name!r} cannot be an attribute of an attachment: letters, digits, '_', '.', '-' only")
    return nested_texts(found)


def message(message: Message, target: Target) -> Element:
    """A message as stanza."""
    children = []
    if message.body is not None:
        children.append(Element("body", {}, [message.body]))
    children.append(
        extra_params.encode(
            save=message.save_to_history,
            date_sent=int(message.date_sent.timestamp()),
            dialog_id=message.dialog_id,
            silent=message.silent,
            properties=message.properties,
            attachments=[attributes(attachment) for attachment in message.attachments],
        )
    )
    if message.markable:
        children.append(markers.markable())
    if message.destroy_after is not None:
        children.append(Element("destroy", {"xmlns": DESTROY_AFTER, "after": str(int(message.destroy_after))}))
    return Element("message", {"id": message.id, "type": target.type, "to": target.jid}, children)


def marker(kind: str, message: Message, app_id: int, domain: str) -> Element:
    """A marker for a message, to its sender as one-to-one chat, for groups too (XEP-0333)."""
    extra = Element("extraParams", {"xmlns": ns.CLIENT}, [Element("dialog_id", {}, [message.dialog_id or ""])])
    return Element(
        "message",
        {"id": new_message_id(), "type": "chat", "to": user_jid(message.sender_id, app_id, domain)},
        [markers.encode(markers.Marker(kind, message.id)), extra],
    )


def change(change: Edit | Delete, target: Target, body: str | None, properties: Mapping[str, Any]) -> Element:
    """An edit, with the new ``body``, or a delete (realtime §9.4)."""
    children = [] if body is None else [Element("body", {}, [body])]
    children.append(changes.encode(change))
    children.append(extra_params.encode(dialog_id=target.dialog_id, properties=properties))
    return Element("message", {"id": new_message_id(), "type": target.type, "to": target.jid}, children)


def chat_state(state: str, target: Target) -> Element:
    """``composing`` or ``paused`` (XEP-0085)."""
    return Element(
        "message",
        {"id": new_message_id(), "type": target.type, "to": target.jid},
        [chat_states.encode(state)],
    )


# From the wire


def stanza_error(stanza: Element) -> StanzaError:
    """What an error stanza says (RFC 6120 §8.3)."""
    error = stanza.find("error")
    if error is None:
        return StanzaError("cancel", 0, "undefined-condition", "", stanza.get("id"))
    condition, text = error_condition(error)
    code = error.get("code") or ""
    number = int(code) if code.isascii() and code.isdigit() and len(code) < 10 else 0
    return StanzaError(error.get("type") or "cancel", number, condition, text, stanza.get("id"))


def sent_carbon(stanza: Element) -> Element | None:
    """The copy inside a carbon of what another device of this user sent (XEP-0280 §7)."""
    carbon = carbons.decode(stanza)
    return carbon.message if carbon is not None and carbon.sent else None


def changes_another(stanza: Element) -> bool:
    """Whether the stanza edits, deletes or reacts to a message rather than being one."""
    return any(child.name in _ABOUT_ANOTHER for child in stanza.elements())


def read_marker(stanza: Element) -> tuple[str, DeliveryStatus] | None:
    """The kind of a marker and what it says; None when the stanza is no marker of a user (XEP-0333)."""
    marker = markers.decode(stanza)
    if marker is None:
        return None
    sender, _ = _sender(stanza)
    dialog_id = extra_params.decode(stanza.find("extraParams")).dialog_id
    return (marker.kind, DeliveryStatus(sender, marker.message_id, dialog_id)) if sender else None


def read_change(stanza: Element) -> EditEvent | DeleteEvent | ReactionEvent | None:
    """What a stanza changes of another message; None when it changes none, or does not say whose change it is."""
    change = changes.decode(stanza)
    sender, room_dialog = _sender(stanza)
    if change is None or not sender:
        return None
    extra = extra_params.decode(stanza.find("extraParams"))
    dialog_id = room_dialog or extra.dialog_id
    match change:
        case Edit(message_id, last):
            body = stanza.find("body")
            text = body.text if body is not None else ""
            return EditEvent(message_id, dialog_id, sender, text, last, extra.properties)
        case Delete(message_id):
            return DeleteEvent(message_id, dialog_id, sender)
        case Reactions(message_id, user_id, added, removed):
            # Anybody can send such a child; the server's own notice names the user whom it is from.
            return ReactionEvent(message_id, dialog_id, sender, added, removed) if user_id == sender else None


def read_typing(stanza: Element) -> TypingEvent | None:
    """Typing begun or ended; None for anything else (XEP-0085)."""
    state = chat_states.decode(stanza)
    if state not in (chat_states.COMPOSING, chat_states.PAUSED):
        return None
    sender, dialog_id = _sender(stanza)
    return TypingEvent(sender, dialog_id, state == chat_states.COMPOSING) if sender else None


def read_echo(stanza: Element, me: int) -> tuple[str, str] | None:
    """(message id, dialog) of what user ``me`` has sent to a group, whatever it says; None for anything else."""
    sender, dialog_id = _sender(stanza)
    return (stanza.get("id") or "", dialog_id) if sender == me and dialog_id is not None else None


def read_message(stanza: Element, me: int, *, is_carbon: bool = False) -> Message | None:
    """The message in a stanza for user ``me``; None when it has neither body nor attachment, or no sender we know."""
    body = stanza.find("body")
    parameters = stanza.find("extraParams")
    extra = extra_params.decode(parameters)
    if body is None and not extra.attachments:
        return None
    sender, room_dialog = _sender(stanza)
    if not sender:
        return None
    is_group = room_dialog is not None
    # A message sent without a fit id has the one the server made for the history.
    made_id = parameters.find("message_id") if parameters is not None else None
    delayed = delay.decode(stanza)
    delayed_since = time_from_seconds(delayed.stamp) if delayed is not None else None
    destroy = stanza.find("destroy", DESTROY_AFTER)
    after = destroy.get("after") if destroy is not None else None
    sent = extra.date_sent
    return Message(
        id=(made_id.text.strip() if made_id is not None else "") or stanza.get("id") or "",
        dialog_id=room_dialog or extra.dialog_id,
        body=body.text if body is not None else None,
        sender_id=sender,
        recipient_id=None if is_group else user(stanza.get("to")) or (None if sender == me else me),
        date_sent=time_from_seconds(sent) if sent is not None else delayed_since or time_from_seconds(int(time.time())),
        attachments=tuple(Attachment.from_attributes(item) for item in extra.attachments),
        properties=extra.properties,
        markable=extra.markable or stanza.find("markable", ns.CHAT_MARKERS) is not None,
        save_to_history=extra.save,
        silent=extra.silent,
        destroy_after=int(after) if after and after.isascii() and after.isdigit() else None,
        delayed=delayed is not None,
        delayed_since=delayed_since,
        is_group=is_group,
        is_own=sender == me,
        is_carbon=is_carbon,
    )


def actor(x: Element | None) -> int | None:
    """Who removed somebody from a room (XEP-0045 §9.4)."""
    item = x.find("item") if x is not None else None
    found = item.find("actor") if item is not None else None
    return (user(found.get("jid")) if found is not None else 0) or None


def _sender(stanza: Element) -> tuple[int, str | None]:
    return occupant(stanza.get("from") or "")


def occupant(address: str) -> tuple[int, str | None]:
    """The user of an address, 0 when unknown, and the dialog when it is one in a room."""
    try:
        jid = Jid.parse(address)
    except ValueError:
        return 0, None
    room = parse_room_local(jid.local)
    if room is not None and jid.domain.startswith("muc."):
        # An occupant's nick is the user's id.
        return int(jid.resource) if jid.resource.isascii() and jid.resource.isdigit() else 0, room[1]
    return user(jid.full), None


def privacy_user(address: str) -> int:
    """The user that an item of a privacy list names, in private dialogs or in groups; 0 when it names none."""
    jid = Jid.parse(address)
    if not jid.local and jid.domain.startswith("muc.") and jid.resource.isascii() and jid.resource.isdigit():
        return int(jid.resource)
    return user(address)


def user(address: str | None) -> int:
    """The user whose address this is; 0 when it is nobody's."""
    try:
        found = parse_user_local(Jid.parse(address or "").local)
    except ValueError:
        return 0
    return found[0] if found else 0
