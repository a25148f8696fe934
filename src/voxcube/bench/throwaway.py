"""Servers that live for one benchmark: ours on one core, and a PostgreSQL cluster; on loopback, ended by id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SOURCE = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 30.0
_ROLE = "bench"


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

    def end(self) -> None:
        """Asks it to end, and kills it when it does not."""
        if self._child.poll() is None:
            self._child.send_signal(self._stop)
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


class Postgres:
    """A PostgreSQL cluster in a temporary directory, durable as in earnest. Raises StartError, OSError.

    As root it runs as an ordinary user, as PostgreSQL refuses root.
    """

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._directory = Path(tempfile.mkdtemp(prefix="voxcube-bench-postgres-"))
        self._how: dict[str, Any] = {"cwd": self._directory, "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}}
        self._process: Process | None = None
        (self._port,) = free_ports(1)
        self.url = f"postgresql://{_ROLE}@127.0.0.1:{self._port}/{_ROLE}"

    @staticmethod
    def find() -> Path | None:
        """The directory of the programs, newest version first; None when PostgreSQL is not installed."""
        versions = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True
        )
        on_path = shutil.which("postgres")
        directories = [*versions, *([Path(on_path).resolve().parent] if on_path else [])]
        wanted = ("initdb", "postgres", "createdb", "pg_isready")
        return next((path for path in directories if all((path / name).exists() for name in wanted)), None)

    @property
    def pid(self) -> int:
        """The postmaster."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            if os.geteuid() == 0:
                account = _ordinary_user()
                os.chown(self._directory, account.pw_uid, account.pw_gid)
                self._how |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            self._call(
                "initdb", "-D", "data", "-U", _ROLE, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
            )
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": self._port,
                "unix_socket_directories": self._directory,
                "shared_buffers": "128MB",
            }
            command = [str(self._binaries / "postgres"), "-D", "data"]
            command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            log = self._directory / "log"
            self._process = Process(command, log, stop=signal.SIGINT, **self._how)  # SIGINT: fast shutdown
            deadline = time.monotonic() + START_SECONDS
            where = ("-h", "127.0.0.1", "-p", str(self._port))
            while self._run("pg_isready", "-q", *where).returncode != 0:
                self._process.check(deadline)
            self._call("createdb", *where, "-U", _ROLE, _ROLE)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._process is not None:
            self._process.end()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._binaries / program), *arguments]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_SECONDS, **self._how
        )

    def _call(self, program: str, *arguments: str) -> None:
        done = self._run(program, *arguments)
        if done.returncode != 0:
            raise StartError(f"{program}: {done.stdout}{done.stderr}")


def _ordinary_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StartError("running as root, and there is no ordinary user to run PostgreSQL as")
