"""Opens the XMPP doors and makes a session for each connection."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Collection
from typing import Any

from voxcube.server.c2s import websocket
from voxcube.server.c2s.hub import Hub, Limits
from voxcube.server.c2s.session import Session, Wire
from voxcube.server.c2s.tcp import TcpConnection
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

    async def listen_tcp(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Opens a TCP door. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        secure = tls is not None
        self._servers.append(
            await loop.create_server(
                lambda: TcpConnection(lambda wire, peer: self._session(wire, peer, secure, websocket=False)),
                host,
                port,
                ssl=tls,
                backlog=BACKLOG,
                **tls_limits(tls, self._hub.limits),
            )
        )

    async def listen_websocket(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Opens a WebSocket door. Raises OSError when the port is taken."""
        secure = tls is not None
        self._servers.append(
            await websocket.listen(
                lambda wire, peer: self._session(wire, peer, secure, websocket=True),
                host,
                port,
                tls,
                upgrade_seconds=self._hub.limits.auth_seconds,
                **tls_limits(tls, self._hub.limits),
            )
        )

    def _session(self, wire: Wire, peer: str, secure: bool, *, websocket: bool) -> Session:
        stream = ServerStream(
            WebSocketFraming() if websocket else TcpFraming(self._parsers),
            domain=self._hub.domain,
            aliases=self._hub.aliases,
            # Passwords travel only where nobody can read them (design §2).
            offer_plain=secure or is_loopback(peer),
            new_id=self._hub.ids.object_id,
        )
        return Session(self._hub, stream, wire, websocket=websocket)

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


def is_loopback(address: str) -> bool:
    """Whether the peer is on this machine."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
