"""Processes that live for one benchmark, ended by id, and our server on one core as one of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SOURCE = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class StartError(Exception):
    """A server did not start; the text is the end of what it said."""


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that nothing listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Process:
    """A child process with its output in a file; leaving the context ends it."""

    def __init__(self, command: list[str], log: Path, *, stop: signal.Signals = signal.SIGTERM, **how: Any) -> None:
        self._name = command[0]
        self._log = log
        self._stop = stop
        with log.open("wb") as output:  # an earlier process may have been ready
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **how
            )
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def output(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def check(self, deadline: float) -> None:
        """Raises StartError when it has ended, or the (monotonic) time is over; otherwise waits a moment."""
        if self._child.poll() is not None or time.monotonic() > deadline:
            raise StartError(f"{self._name} did not start: {self.output()[-800:]}")
        time.sleep(0.03)

    def end(self, stop: signal.Signals | None = None) -> None:
        """Asks it to end (by another signal than its own, if one is given), and kills it when it does not."""
        if self._child.poll() is None:
            self._child.send_signal(stop or self._stop)
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait(STOP_SECONDS)


class Server(Process):
    """`voxcube serve` on a data directory, pinned to one core where there are several. Raises StartError."""

    def __init__(self, data: Path, *, database: str = "", core: int | None = None) -> None:
        self.http, self.xmpp, self.wss = free_ports(3)
        flags = {"http": self.http, "https": 0, "xmpp": self.xmpp, "xmpps": 0, "ws": 0, "wss": self.wss}
        command = [sys.executable, "-m", "voxcube.server.cli", "serve", "--data", str(data), "--host", "127.0.0.1"]
        command += [part for door, port in flags.items() for part in (f"--{door}-port", str(port))]
        command += ["--plaintext", "--unlimited", "--log-level", "warning"]
        command += ["--database", database] if database else []
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VOXCUBE_")}
        # The same code as ours, installed or not.
        environ["PYTHONPATH"] = os.pathsep.join([str(SOURCE), *filter(None, [environ.get("PYTHONPATH")])])
        super().__init__(command, data / "server.log", env=environ)
        try:
            if core is not None:
                os.sched_setaffinity(self.pid, {core})  # before it has threads: they inherit it
            deadline = time.monotonic() + START_SECONDS
            while not any(line.startswith("ready ") for line in self.output().splitlines()):
                self.check(deadline)
        except BaseException:
            self.end()
            raise
