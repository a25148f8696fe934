"""Free ports on loopback."""

import random
import socket

_given: set[int] = set()

# Below the range from which the system takes the ports of outgoing connections: those could be gone when we listen.
_FIRST, _LAST = 10240, 32767


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now, and that this process has not been given before."""
    for _ in range(1000):
        port = random.randint(_FIRST, _LAST)  # other processes look for ports as well
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free port on loopback")
