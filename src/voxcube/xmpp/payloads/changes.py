"""What a message says about an earlier one: edits, deletes, reactions (XEP-0308, realtime §9.4, §9.5)."""

from dataclasses import dataclass

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

__all__ = ["Delete", "Edit", "Reactions", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class Edit:
    """The message `message_id` now has this stanza's body; `last`: its sender takes it for the dialog's last one."""

    message_id: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """The message `message_id` is deleted for everyone."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Reactions:
    """User `user_id` has added and removed these reactions; the server alone says so."""

    message_id: str
    user_id: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def decode(message: Element) -> Edit | Delete | Reactions | None:
    """The change that a message carries; None when there is none, or it names no message."""
    for child in message.elements():
        read = _READERS.get((child.name, child.xmlns))
        if read is not None:
            return read(child)
    return None


def encode(change: Edit | Delete | Reactions) -> Element:
    """The child of a message that is this change."""
    match change:
        case Edit(message_id, last):
            hint = {"last": "true"} if last else {}
            return Element("replace", {"xmlns": ns.MESSAGE_CORRECT, "id": message_id} | hint)
        case Delete(message_id):
            return Element("remove", {"xmlns": ns.MESSAGE_DELETE, "id": message_id})
        case Reactions(message_id, user_id, added, removed):
            children = [Element("reaction", {"add": "true", "type": name}) for name in added]
            children += [Element("reaction", {"remove": "true", "type": name}) for name in removed]
            return Element("reactions", {"user_id": str(user_id), "message_id": message_id}, children)


def _edit(replace: Element) -> Edit | None:
    message_id = replace.get("id")
    return Edit(message_id, replace.get("last") == "true") if message_id else None


def _delete(remove: Element) -> Delete | None:
    message_id = remove.get("id")
    return Delete(message_id) if message_id else None


def _reactions(reactions: Element) -> Reactions | None:
    message_id, user = reactions.get("message_id"), reactions.get("user_id") or ""
    if not message_id or not (user.isascii() and user.isdigit() and len(user) < 20):
        return None
    added, removed = (
        tuple(
            name
            for child in reactions.elements()
            if child.name == "reaction" and child.get(what) == "true" and (name := child.get("type"))
        )
        for what in ("add", "remove")
    )
    return Reactions(message_id, int(user), added, removed)


_READERS = {
    ("replace", ns.MESSAGE_CORRECT): _edit,
    ("remove", ns.MESSAGE_DELETE): _delete,
    # Without a namespace in the vendor's sample; other writers repeat that of the stanza.
    ("reactions", ""): _reactions,
    ("reactions", ns.CLIENT): _reactions,
}
