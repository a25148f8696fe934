"""Where the chat is: address, kind of socket, and the trust in its certificate."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Transport = Literal["tls", "starttls", "ws", "tcp"]

DEFAULT_PORTS: dict[str, int] = {"tls": 5223, "starttls": 5222, "ws": 5291, "tcp": 5222}
# Application protocols to name in the handshake (XEP-0368 §3, RFC 7301). An upgraded stream names none.
_ALPN: dict[str, list[str]] = {"tls": ["xmpp-client"], "ws": ["http/1.1"]}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: ``address`` and ``port`` are dialled, ``domain`` is the chat's name in all addresses.

    ``tls`` None means unencrypted; ``tls_name`` is the name that the certificate must hold; ``timeout`` is in seconds.
    ``resource`` is the path (and query) of a WebSocket.
    """

    address: str
    port: int
    domain: str
    tls: ssl.SSLContext | None
    timeout: float
    transport: Transport = "tls"
    tls_name: str = ""
    resource: str = "/"

    @property
    def where(self) -> str:
        """Host and port as they are written in messages."""
        return f"{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"


def chat_endpoint(
    domain: str,
    transport: Transport,
    *,
    address: str | None = None,
    port: int | None = None,
    url: str | None = None,
    tls: ssl.SSLContext | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    allow_plaintext: bool = False,
    timeout: float = 30.0,
) -> Endpoint:
    """The endpoint that these options of ``Client`` mean.

    Raises ValueError for options that contradict each other or would send passwords unencrypted to other machines.
    """
    if transport not in DEFAULT_PORTS:
        raise ValueError(f"transport is {' or '.join(map(repr, DEFAULT_PORTS))}, not {transport!r}")
    host, number, tls_name, resource = address or domain, port or DEFAULT_PORTS[transport], domain, "/"
    encrypted = transport != "tcp"
    if url is not None:
        if transport != "ws":
            raise ValueError('chat_url is for transport="ws"')
        if address is not None or port is not None:
            raise ValueError("give either chat_url or chat_address and chat_port")
        encrypted, host, number, resource = _web_socket(url)
        tls_name = host
    if not encrypted and not allow_plaintext and not is_loopback(host):
        what = "a chat_url with ws://" if url is not None else 'transport="tcp"'
        raise ValueError(f"{what} is unencrypted and only for this machine (or pass allow_plaintext=True)")
    # httpx sets the application protocol of the context it is given, so that the chat gets one of its own.
    context = (tls or shared_context(ca_file, _ALPN.get(transport))) if encrypted else None
    return Endpoint(host, number, domain, context, timeout, transport, tls_name, resource)


def shared_context(ca_file: str | os.PathLike[str] | None = None, alpn: list[str] | None = None) -> ssl.SSLContext:
    """As ``tls_context``, one for all clients of this process with the same arguments; nobody may change it.

    Reading the system's authorities takes tens of milliseconds of CPU. A file that was replaced is read anew.
    """
    file = None
    if ca_file is not None:
        path = os.path.abspath(ca_file)
        try:
            found = os.stat(path)
        except OSError as error:
            raise ValueError(f"no certificates in {os.fspath(ca_file)}: {error}") from error
        file = (path, found.st_mtime_ns, found.st_size, found.st_ino)
    key = (file, tuple(alpn or ()))
    context = _contexts.get(key)
    if context is None:
        context = tls_context(ca_file, alpn)
        if len(_contexts) >= _CONTEXTS:
            del _contexts[next(iter(_contexts))]
        _contexts[key] = context
    return context


_CONTEXTS = 32
_contexts: dict[object, ssl.SSLContext] = {}


def tls_context(ca_file: str | os.PathLike[str] | None = None, alpn: list[str] | None = None) -> ssl.SSLContext:
    """A verifying TLS context that trusts the system's authorities and the certificates in ``ca_file``.

    Raises:
        ValueError: the file cannot be read or holds no certificate.

    Example:
        >>> context = tls_context("server.crt")
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(f"no certificates in {os.fspath(ca_file)}: {error}") from error
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def check_api_url(api_url: str, *, allow_plaintext: bool) -> None:
    """Raises ValueError unless the address is https, or http to this machine, or plain text is allowed."""
    url = urlsplit(api_url)
    if url.scheme not in ("https", "http") or not url.hostname:
        raise ValueError(f"api_url must begin with https://, not {api_url!r}")
    if url.query or url.fragment:
        raise ValueError("api_url has neither query nor fragment")
    if url.scheme == "http" and not allow_plaintext and not is_loopback(url.hostname):
        raise ValueError("api_url must begin with https:// (or pass allow_plaintext=True)")


def is_loopback(host: str) -> bool:
    """Whether this host is this machine, without asking a name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _web_socket(url: str) -> tuple[bool, str, int, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("wss", "ws") or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError(f"chat_url is like wss://chat.example.org:5291/, not {url!r}")
    encrypted = parts.scheme == "wss"
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return encrypted, parts.hostname, parts.port or (443 if encrypted else 80), resource
