"""Free ports on loopback."""

import os
import random
import socket

_given: set[int] = set()
_random = random.SystemRandom()  # hypothesis and tests seed the common one

# Below the range from which the system takes the ports of outgoing connections: those could be gone when we listen.
_FIRST, _LAST = 10240, 32767
# Test processes that run side by side (pytest-xdist, or several runs) look in ranges of their own.
_RANGES = 16
_WIDTH = (_LAST - _FIRST + 1) // _RANGES
_worker = os.environ.get("PYTEST_XDIST_WORKER")
_number = os.getpid() if _worker is None else os.getppid() + int(_worker.removeprefix("gw"))
_START = _FIRST + _number % _RANGES * _WIDTH


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now, and that this process has not been given before."""
    for _ in range(1000):
        port = _START + _random.randrange(_WIDTH)  # other runs look for ports as well
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
