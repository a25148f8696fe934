"""Opens the XMPP doors and makes a session for each connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from typing import Any

from voxcube.server.c2s.hub import Hub, Limits
from voxcube.server.c2s.session import Session
from voxcube.server.c2s.tcp import TcpConnection
from voxcube.server.c2s.websocket import WebSocketConnection
from voxcube.server.c2s.wire import Wire
from voxcube.server.core.peers import client_behind, is_in, is_loopback
from voxcube.xmpp.framing import ParserPool, TcpFraming, WebSocketFraming
from voxcube.xmpp.server import ServerStream

LAST_SECONDS = 1.0  # for a client to close its end when ours is closed
BACKLOG = 4096  # a whole crowd reconnects after a restart


class XmppServer:
    """The doors of one node."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._servers: list[asyncio.Server] = []
        self._parsers = ParserPool()

    async def listen_tcp(
        self, host: str, port: int, tls: ssl.SSLContext | None, *, starttls: ssl.SSLContext | None = None
    ) -> None:
        """Opens a TCP door: with `tls` from the first byte, with `starttls` from the client's wish on, or in clear.

        Raises OSError when the port is taken.
        """
        loop = asyncio.get_running_loop()

        def make(wire: Wire, peer: str, forwarded: str) -> Session:
            return self._session(wire, peer, forwarded, tls is not None, starttls=starttls is not None, websocket=False)

        self._servers.append(
            await loop.create_server(
                lambda: TcpConnection(make, starttls),
                host,
                port,
                ssl=tls,
                backlog=BACKLOG,
                **tls_limits(tls, self._hub.limits),
            )
        )

    async def listen_websocket(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Opens a WebSocket door. Raises OSError when the port is taken."""

        def make(wire: Wire, peer: str, forwarded: str) -> Session:
            return self._session(wire, peer, forwarded, tls is not None, starttls=False, websocket=True)

        self._servers.append(
            await asyncio.get_running_loop().create_server(
                lambda: WebSocketConnection(
                    make, origins=self._hub.origins, upgrade_seconds=self._hub.limits.auth_seconds
                ),
                host,
                port,
                ssl=tls,
                backlog=BACKLOG,
                **tls_limits(tls, self._hub.limits),
            )
        )

    def _session(
        self, wire: Wire, peer: str, forwarded: str, secure: bool, *, starttls: bool, websocket: bool
    ) -> Session:
        trusted = self._hub.trusted_proxies
        stream = ServerStream(
            WebSocketFraming(self._parsers) if websocket else TcpFraming(self._parsers),
            domain=self._hub.domain,
            aliases=self._hub.aliases,
            # Passwords travel only where nobody can read them; a trusted proxy has ended TLS (realtime §2.3).
            offer_plain=secure or is_loopback(peer) or is_in(peer, trusted),
            starttls=starttls,
            new_id=self._hub.ids.object_id,
        )
        session = Session(self._hub, stream, wire, peer=client_behind(peer, forwarded, trusted), websocket=websocket)
        session.door = ("wss" if secure else "ws") if websocket else ("xmpps" if secure else "xmpp")
        return session

    def stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    def stop_reading(self) -> None:
        """What was not read yet is not acknowledged, and will be sent again elsewhere."""
        self._hub.stopping = True
        for session in list(self._hub.connected):
            session.stop_reading()

    async def shut_down(self, seconds: float = 5.0) -> None:
        """Tells every session that the server stops, and waits until they are gone (RFC 6120 §4.9.3.20)."""
        connected = self._hub.connected
        for session in self._hub.resumption.waiting():
            session.end()
        for session in list(connected):
            session.fail("system-shutdown")
        await gone(connected, LAST_SECONDS)  # most clients close as soon as they have read it
        for session in [session for session in connected if session.written]:
            session.abort()
        await gone(connected, seconds)
        for session in list(connected):
            session.abort()
        await gone(connected, LAST_SECONDS)


def tls_limits(tls: ssl.SSLContext | None, limits: Limits) -> dict[str, Any]:
    """How long TLS may take to begin and to end, as arguments of `create_server`."""
    if tls is None:
        return {}
    return {"ssl_handshake_timeout": limits.auth_seconds, "ssl_shutdown_timeout": limits.close_seconds}


async def gone(sessions: Collection[object], seconds: float) -> None:
    """Waits until there are no sessions, at most `seconds`."""
    for _ in range(int(seconds * 50)):
        if not sessions:
            return
        await asyncio.sleep(0.02)
