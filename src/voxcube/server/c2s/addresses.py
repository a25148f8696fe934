"""Addresses that clients write, as what they name."""

from __future__ import annotations

from voxcube.server.core.errors import BadRequest, NotFound
from voxcube.xmpp.jid import Jid, parse_room_local, parse_user_local


def parsed(text: str) -> Jid:
    """An address. Raises BadRequest."""
    try:
        return Jid.parse(text.strip())
    except ValueError:
        raise BadRequest("This is no address") from None


def user_of(text: str, app_id: int, domain: str) -> int:
    """The user of an application whom an address names. Raises BadRequest, and NotFound for everybody else."""
    jid = parsed(text)
    user = parse_user_local(jid.local)
    if user is None or jid.domain != domain or user[1] != app_id:
        raise NotFound("There is no such user")
    return user[0]


def room_of(text: str, app_id: int) -> str:
    """The dialog of an application whose room an address names. Raises NotFound for everything else."""
    try:
        room = parse_room_local(Jid.parse(text).local)
    except ValueError:
        room = None
    if room is None or room[0] != app_id:
        raise NotFound("The dialog does not exist")
    return room[1]
