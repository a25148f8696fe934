"""Presences of rooms, as the official SDKs read them (realtime §10, quirks A14, A15)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from voxcube.server.features.rooms.service import Standing
from voxcube.xmpp import ns

SELF, KICKED = "110", "301"  # XEP-0045 §15.6.2
_ITEMS = {
    Standing.OWNER: '<item affiliation="owner" role="moderator"',
    Standing.ADMIN: '<item affiliation="admin" role="moderator"',
    Standing.MEMBER: '<item affiliation="member" role="participant"',
    Standing.READER: '<item affiliation="member" role="visitor"',
}
_LEFT = '<item affiliation="member" role="none"'
_OUT = '<item affiliation="none" role="none"'


class RoomEncoder:
    """Makes them as what comes before and after the receiver's address."""

    def __init__(self, domain: str) -> None:
        self._domain = domain

    def occupant(self, app_id: int, dialog_id: str, user_id: int) -> str:
        """The address of a user in a room."""
        return f"{self.room(app_id, dialog_id)}/{user_id}"

    def room(self, app_id: int, dialog_id: str) -> str:
        return f"{app_id}_{dialog_id}@muc.{self._domain}"

    def joined(
        self, occupant: str, standing: int, *, own: bool = False, js: bool = False, id_: str | None = None
    ) -> tuple[bytes, bytes]:
        """Somebody is in the room; `own`: the receiver itself."""
        return _presence(occupant, _ITEMS[Standing(standing)] + "/>", codes=(SELF,) if own else (), js=js, id_=id_)

    def left(
        self, occupant: str, *, own: bool = False, member: bool = True, js: bool = False, id_: str | None = None
    ) -> tuple[bytes, bytes]:
        """Somebody has left the room; not `member`: and the dialog."""
        item = (_LEFT if member else _OUT) + "/>"
        return _presence(occupant, item, codes=(SELF,) if own else (), kind="unavailable", js=js, id_=id_)

    def subject(self, room: str) -> tuple[bytes, bytes]:
        """There is none. A standard client waits for it: with it the joining is over (XEP-0045 §7.2.15)."""
        return (
            f'<message xmlns="jabber:client" from="{room}" to="'.encode(),
            b'" type="groupchat"><subject/></message>',
        )

    def kicked(self, occupant: str, actor: str | None, *, js: bool) -> tuple[bytes, bytes]:
        """The receiver was removed from the dialog by `actor` (a bare address)."""
        item = f"{_OUT}/>" if actor is None else f"{_OUT}><actor jid={quoteattr(actor)}/></item>"
        # JS reads who it was from an item outside the x (quirks A15).
        beside = f"<item><actor jid={quoteattr(actor)}/></item>" if js and actor is not None else ""
        return _presence(occupant, item, codes=(KICKED,), kind="unavailable", js=js, beside=beside)


def _presence(
    occupant: str,
    item: str,
    *,
    codes: Sequence[str] = (),
    kind: str | None = None,
    js: bool = False,
    id_: str | None = None,
    beside: str = "",
) -> tuple[bytes, bytes]:
    attrs = (f' type="{kind}"' if kind else "") + (f" id={quoteattr(id_)}" if id_ else "")
    status = "".join(f'<status code="{code}"/>' for code in codes)
    # JS looks for the codes in a child that is literally named `xmlns` (quirks A14).
    shim = "<xmlns>" + "".join(f"<code>{code}</code>" for code in codes) + "</xmlns>" if js and codes else ""
    return (
        f'<presence xmlns="jabber:client" from="{occupant}" to="'.encode(),
        f'"{attrs}><x xmlns="{ns.MUC_USER}">{item}{status}{shim}</x>{beside}</presence>'.encode(),
    )
