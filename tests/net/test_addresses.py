"""The `host` option, and the sockets that it opens."""

from __future__ import annotations

import contextlib
import errno
import socket

import pytest

from tests.support.ports import free_port
from voxcube.server.net.addresses import listen, split_hosts


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("127.0.0.1, ::1,127.0.0.1", ("127.0.0.1", "::1")),
        ("[::1]", ("::1",)),
        ("0:0:0:0:0:0:0:0", ("::",)),
        ("localhost,chat.example.org", ("localhost", "chat.example.org")),
    ],
)
def test_lists(host: str, expected: tuple[str, ...]) -> None:
    assert split_hosts(host) == expected


@pytest.mark.parametrize("host", ["", "127.0.0.1,", "256.1.1.1", "127.0.0.1:8080", "::1%", "a b", "http://x", "1.2.3"])
def test_what_is_no_address(host: str) -> None:
    with pytest.raises(ValueError, match="is neither an IP address nor a host name"):
        split_hosts(host)


def reachable(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 2):
        return True
    return False


@pytest.mark.parametrize(
    ("hosts", "open_at", "closed_at"),
    [
        (("127.0.0.1",), ("127.0.0.1",), ("127.0.0.2", "::1")),
        (("127.0.0.1", "127.0.0.3"), ("127.0.0.1", "127.0.0.3"), ("127.0.0.2",)),
        (("0.0.0.0",), ("127.0.0.1", "127.0.0.2"), ("::1",)),
        (("::",), ("127.0.0.1", "::1"), ()),
        (("::", "0.0.0.0"), ("127.0.0.1", "::1"), ()),
        (("::1",), ("::1",), ("127.0.0.1",)),
        (("localhost", "127.0.0.1"), ("127.0.0.1",), ("127.0.0.2",)),
    ],
)
def test_where_it_listens(hosts: tuple[str, ...], open_at: tuple[str, ...], closed_at: tuple[str, ...]) -> None:
    port = free_port()
    sockets = listen(hosts, port)
    try:
        assert all(reachable(address, port) for address in open_at)
        assert not any(reachable(address, port) for address in closed_at)
    finally:
        for one in sockets:
            one.close()


def test_errors_name_the_address_and_leave_nothing_open() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.2", port)):
        with pytest.raises(
            OSError, match=rf"^\[Errno {errno.EADDRINUSE}\] cannot listen on 127.0.0.2:{port}: the port"
        ):
            listen(["127.0.0.1", "127.0.0.2"], port)
        assert not reachable("127.0.0.1", port)
    with pytest.raises(OSError, match=r"cannot listen on 192.0.2.55:.*this machine has no such address"):
        listen(["192.0.2.55"], port)
    with pytest.raises(OSError, match=r"cannot listen on \[2001:db8::55\]:"):
        listen(["2001:db8::55"], port)
    with pytest.raises(OSError, match=r"cannot resolve the host no-such-host\.invalid"):
        listen(["no-such-host.invalid"], port)
