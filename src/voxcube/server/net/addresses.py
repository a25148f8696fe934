"""From the `host` option to listening sockets: one address or several, IPv4 and IPv6."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Sequence

BACKLOG = 4096  # a whole crowd reconnects after a restart


class ListenError(OSError):
    """An address that cannot be listened on."""

    def __init__(self, number: int | None, text: str, address: str) -> None:
        super().__init__(number, text)
        self.address = address


def split_hosts(host: str) -> tuple[str, ...]:
    """The addresses of a comma-separated list, without brackets and repetitions.

    Raises ValueError with the part that is neither an IP address nor a host name.
    """
    found: dict[str, None] = {}
    for part in host.split(","):
        text = part.strip()
        if text.startswith("[") and text.endswith("]"):
            text = text[1:-1]
        try:
            found[str(ipaddress.ip_address(text))] = None
        except ValueError:
            labels = text.rstrip(".").split(".")
            names = all(label.replace("-", "a").replace("_", "a").isalnum() for label in labels)
            if not names or not text.isascii() or all(label.isdigit() for label in labels):
                raise ValueError(f"{part.strip()!r} is neither an IP address nor a host name") from None
            found[text.lower()] = None
    return tuple(found)


def listen(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Open a listening socket for each address of `hosts`; `::` takes IPv4 too, unless `0.0.0.0` is in the list.

    A name that resolves to several addresses is served at all of them that this machine has. Raises OSError with the
    address in its text; nothing stays open then.
    """
    found: list[socket.socket] = []
    taken: set[str] = set()
    try:
        for host in hosts:
            before = len(found)
            last: OSError | None = None
            for address in _resolve(host, port):
                if address in taken:
                    continue
                taken.add(address)
                try:
                    found.append(_open(address, port, dual=address == "::" and "0.0.0.0" not in hosts))
                except OSError as error:
                    last = error
                    if error.errno != errno.EADDRNOTAVAIL or _is_address(host):
                        raise
            if last is not None and len(found) == before:
                raise last
    except BaseException:
        for listener in found:
            listener.close()
        raise
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _resolve(host: str, port: int) -> list[str]:
    if _is_address(host):
        return [host]
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(error.errno, f"cannot resolve the host {host}: {error.strerror}", host) from None
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _open(address: str, port: int, *, dual: bool) -> socket.socket:
    v6 = ":" in address
    try:
        listener = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise _explained(error, address, port) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if v6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        target = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4]
        listener.bind(target)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _explained(error, address, port) from None
    return listener


def _explained(error: OSError, address: str, port: int) -> ListenError:
    shown = f"[{address}]" if ":" in address else address
    reason = {
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EAFNOSUPPORT: "this machine has no IPv6",
        errno.EADDRINUSE: "the port is in use by another program",
        errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE",
    }.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))
    return ListenError(error.errno, f"cannot listen on {shown}:{port}: {reason}", shown)
