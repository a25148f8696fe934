"""Which peers may send a password in clear."""

import pytest

from voxcube.server.core.peers import is_loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "::ffff:127.0.0.1"])
def test_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["", "10.0.0.1", "192.168.1.1", "::ffff:10.0.0.1", "fe80::1%lo", "localhost", "::"])
def test_other_machines(address: str) -> None:
    assert not is_loopback(address)
