"""``Client``: the SDK's one entry, where its parts are wired together."""

from __future__ import annotations

import os
import ssl
from datetime import datetime
from types import TracebackType
from typing import Self

import httpx

from voxcube.client.auth import Auth
from voxcube.client.chat import Chat
from voxcube.client.dialogs import Dialogs
from voxcube.client.endpoint import Transport, chat_endpoint, check_api_url, shared_context
from voxcube.client.http import Http, SessionRestorer
from voxcube.client.messages import Messages
from voxcube.client.models import Session
from voxcube.client.reconnect import Reconnect
from voxcube.client.sockets import require_websocket
from voxcube.client.users import Users


class Client:
    """One application user's way to a Voxcube (or ConnectyCube) server. Any number may live in one process.

    The REST namespaces are ``auth``, ``users``, ``dialogs`` and ``messages``; ``chat`` is the realtime side. Use it
    in ``async with``, or call ``close()``.

    Args:
        app_id: the application's id.
        auth_key: the application's auth key.
        api_url: where the REST API is. ``http://`` only on this machine, unless ``allow_plaintext``.
        chat_host: the domain of the chat, which is part of every address and named by the server's certificate.
        auth_secret: signs session requests, if the application has a secret.
        chat_address: the host to connect to, when it is not ``chat_host``.
        chat_port: by default 5223 for ``tls``, 5222 for ``starttls`` and ``tcp``, 5291 for ``ws``.
        chat_url: the address of the WebSocket with ``transport="ws"``, in place of ``chat_address`` and
            ``chat_port``, e.g. ``wss://example.org/chat``; ``ws://`` only on this machine, unless
            ``allow_plaintext``. The certificate is then checked for the name in this address.
        transport: ``"tls"`` is TLS from the first byte (XEP-0368); ``"starttls"`` begins in clear and goes on
            encrypted before anything is told (RFC 6120 §5), and fails where that is not offered; ``"ws"`` is a secure
            WebSocket (RFC 7395), which gets through where only web traffic is let through, and needs the extra
            ``voxcube[ws]``; ``"tcp"`` is unencrypted, for tests on this machine.
        tls: an own TLS context, for the chat and for the REST API.
        ca_file: a file with certificates to trust beside those of the system, e.g. a server's self-signed one.
        allow_plaintext: lets passwords travel unencrypted to other machines.
        on_session_expired: an async function that makes a new session (or returns None); called once when the
            session has ended or its known end has passed, however many requests notice, after which each of these is
            made again. A chat that logs in with the session's token does the same: once, then it connects.
        stream_management: confirmations for private messages, and sessions that outlive a broken connection
            (XEP-0198). Without, ``send()`` returns when a private message is written.
        reconnect: when the chat connects again by itself after it lost its connection; by default a
            ``ReconnectPolicy()``, which never gives up and waits longer each time, at most about a minute. Any object
            with its ``next_delay``.
        auto_mark_delivered: tells senders by itself that their messages arrived.
        timeout: seconds for one REST request, and for connecting to the chat.
        chat_timeout: seconds to wait for the chat server's answer to one message or request.
        http_transport: an httpx transport in place of the network, for tests.

    Raises:
        ValueError: an address that would send passwords unencrypted, or arguments that contradict each other.
        ImportError: ``transport="ws"`` without the extra ``voxcube[ws]``.

    Example:
        >>> async with Client(
        ...     app_id=3,
        ...     auth_key="key",
        ...     api_url="https://api.example.org",
        ...     chat_host="chat.example.org",
        ... ) as cube:
        ...     session = await cube.auth.create_session(login="ann", password="s3cret-pass")
        ...     await cube.chat.connect(session.user_id, "s3cret-pass")
        ...     await cube.chat.send(body="Lunch?", to_user=88)
    """

    def __init__(
        self,
        *,
        app_id: int,
        auth_key: str,
        api_url: str,
        chat_host: str,
        auth_secret: str | None = None,
        chat_address: str | None = None,
        chat_port: int | None = None,
        chat_url: str | None = None,
        transport: Transport = "tls",
        tls: ssl.SSLContext | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        allow_plaintext: bool = False,
        on_session_expired: SessionRestorer | None = None,
        stream_management: bool = True,
        reconnect: Reconnect | None = None,
        auto_mark_delivered: bool = True,
        timeout: float = 30.0,
        chat_timeout: float = 60.0,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if tls is not None and ca_file is not None:
            raise ValueError("give either tls or ca_file")
        check_api_url(api_url, allow_plaintext=allow_plaintext)
        endpoint = chat_endpoint(
            chat_host,
            transport,
            address=chat_address,
            port=chat_port,
            url=chat_url,
            tls=tls,
            ca_file=ca_file,
            allow_plaintext=allow_plaintext,
            timeout=timeout,
        )
        if transport == "ws":
            require_websocket()
        self._http = Http(
            api_url,
            auth_key,
            # Without https nobody needs a context: redirects are not followed.
            verify=tls or (shared_context(ca_file) if api_url.startswith("https:") or ca_file is not None else False),
            timeout=timeout,
            transport=http_transport,
            on_session_expired=on_session_expired,
        )
        self.auth = Auth(self._http, app_id, auth_key, auth_secret)
        self.users = Users(self._http)
        self.dialogs = Dialogs(self._http)
        self.messages = Messages(self._http)
        self.chat = Chat(
            endpoint,
            app_id,
            http=self._http,
            stream_management=stream_management,
            auto_mark_delivered=auto_mark_delivered,
            timeout=chat_timeout,
            reconnect=reconnect,
        )

        self.messages._answer_over(self.chat)

    @property
    def session(self) -> Session | None:
        """The current session of the REST API."""
        return self._http.session

    @property
    def session_expires_at(self) -> datetime | None:
        """When the current session ends unless it is used before; None without one, or before its first request."""
        return self._http.expires_at if self._http.session else None

    async def close(self) -> None:
        """Leaves the chat, ends all event streams and closes all connections. The session lives on, on the server.

        Example:
            >>> await cube.close()
        """
        self.chat._line.client_closed = True
        try:
            await self.chat.destroy()
        finally:
            await self._http.close()

    async def __aenter__(self) -> Self:
        self.chat._line.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
