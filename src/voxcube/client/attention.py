"""The part of ``cube.chat`` that says whether the user looks at this device."""

from __future__ import annotations

from voxcube.client.connection import Connection
from voxcube.client.lifecycle import Lifecycle
from voxcube.xmpp import ns
from voxcube.xmpp.stanza import iq
from voxcube.xmpp.xml import Element


class Attention:
    """Active and inactive."""

    _life: Lifecycle
    _timeout: float
    _inactive: bool

    async def set_inactive(self) -> None:
        """Says that the user does not look at this device, as when the application goes into the background.

        Everything arrives as before; but while all devices are inactive, push alerts are sent too. Stays so until
        ``set_active()``, also after reconnecting.

        Raises:
            ChatTimeout: no answer in time (60 seconds by default).
            NotConnected: not connected, or the connection ended meanwhile.

        Source: XEP-0352.

        Example:
            >>> await cube.chat.set_inactive()
        """
        await self._tell(self._life.connection, True)
        self._inactive = True

    async def set_active(self) -> None:
        """Says that the user looks at this device again; a new connection is active. Errors as ``set_inactive``.

        Source: XEP-0352.

        Example:
            >>> await cube.chat.set_active()
        """
        await self._tell(self._life.connection, False)
        self._inactive = False

    async def _tell(self, connection: Connection, inactive: bool) -> None:
        mobile = Element("mobile", {"xmlns": ns.MOBILE, "enable": "true" if inactive else "false"})
        await connection.request(iq("set", "", mobile), self._timeout)

    async def _still_inactive(self, connection: Connection) -> None:
        """A new session is active (`lifecycle.Renewal`)."""
        if self._inactive:
            await self._tell(connection, True)
