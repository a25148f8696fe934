"""Opens the XMPP doors and makes a session for each connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Sequence

from voxcube.server.c2s.hub import Hub
from voxcube.server.c2s.session import Session
from voxcube.server.c2s.tcp import TcpConnection
from voxcube.server.c2s.websocket import WebSocketConnection
from voxcube.server.c2s.wire import Wire
from voxcube.server.core.peers import client_behind, is_in, is_loopback
from voxcube.server.net.acceptor import Acceptor, TlsSettings
from voxcube.server.net.places import CHAT, Place
from voxcube.xmpp.framing import ParserPool, TcpFraming, WebSocketFraming
from voxcube.xmpp.server import ServerStream

LAST_SECONDS = 1.0  # for a client to close its end when ours is closed


class XmppServer:
    """The doors of one node."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._acceptors: list[Acceptor] = []
        self._parsers = ParserPool()

    def listen_tcp(
        self,
        listeners: Sequence[socket.socket],
        tls: ssl.SSLContext | None,
        *,
        starttls: ssl.SSLContext | None = None,
    ) -> None:
        """Accept TCP connections: with `tls` from the first byte, with `starttls` when the client asks, or in clear."""

        def make(wire: Wire, place: Place, forwarded: str) -> Session:
            return self._session(
                wire, place, forwarded, tls is not None, starttls=starttls is not None, websocket=False
            )

        self._accept(listeners, lambda place: TcpConnection(make, place, starttls), tls)

    def listen_websocket(self, listeners: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accept WebSocket connections."""

        def make(wire: Wire, place: Place, forwarded: str) -> Session:
            return self._session(wire, place, forwarded, tls is not None, starttls=False, websocket=True)

        hub = self._hub
        self._accept(
            listeners,
            lambda place: WebSocketConnection(
                make, place, origins=hub.origins, upgrade_seconds=hub.limits.auth_seconds
            ),
            tls,
        )

    def _accept(
        self,
        listeners: Sequence[socket.socket],
        make: Callable[[Place], asyncio.Protocol],
        context: ssl.SSLContext | None,
    ) -> None:
        limits, places = self._hub.limits, self._hub.places
        tls = None
        if context is not None:
            tls = TlsSettings(
                context=context, handshake_seconds=limits.auth_seconds, close_seconds=limits.close_seconds
            )
        self._acceptors += [Acceptor(one, make, group=CHAT, places=places, tls=tls) for one in listeners]

    def _session(
        self, wire: Wire, place: Place, forwarded: str, secure: bool, *, starttls: bool, websocket: bool
    ) -> Session:
        trusted, peer = self._hub.trusted_proxies, place.address
        stream = ServerStream(
            WebSocketFraming(self._parsers) if websocket else TcpFraming(self._parsers),
            domain=self._hub.domain,
            aliases=self._hub.aliases,
            # Passwords travel only where nobody can read them; a trusted proxy has ended TLS (realtime §2.3).
            offer_plain=secure or is_loopback(peer) or is_in(peer, trusted),
            starttls=starttls,
            new_id=self._hub.ids.object_id,
        )
        place.serve(client_behind(peer, forwarded, trusted))
        session = Session(self._hub, stream, wire, peer=place.address, place=place, websocket=websocket)
        session.door = ("wss" if secure else "ws") if websocket else ("xmpps" if secure else "xmpp")
        return session

    def stop_listening(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()

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


async def gone(sessions: Collection[object], seconds: float) -> None:
    """Waits until there are no sessions, at most `seconds`."""
    for _ in range(int(seconds * 50)):
        if not sessions:
            return
        await asyncio.sleep(0.02)
