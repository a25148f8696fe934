"""A PostgreSQL cluster for one benchmark or one run of the tests: on loopback, in a temporary directory."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from voxcube.bench.throwaway import START_SECONDS, Process, StartError, free_ports

_ROLE = "voxcube"


class Postgres:
    """A cluster, durable as in earnest. Raises StartError, OSError.

    As root it runs as an ordinary user, as PostgreSQL refuses root.
    """

    def __init__(
        self, binaries: Path, *, shared_buffers: str = "128MB", settings: Mapping[str, str] | None = None
    ) -> None:
        """`settings`: further settings of the server, by name."""
        self._binaries = binaries
        self._settings = {"shared_buffers": shared_buffers, **(settings or {})}
        self._directory = Path(tempfile.mkdtemp(prefix="voxcube-postgres-"))
        self._how: dict[str, Any] = {"cwd": self._directory, "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}}
        self._process: Process | None = None
        self._numbers = itertools.count(1)
        (self.port,) = free_ports(1)
        self._where = ("-h", "127.0.0.1", "-p", str(self.port))

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
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def create_database(self) -> str:
        """A new empty database; returns its URL."""
        return self.create_named(self.next_name())

    def next_name(self) -> str:
        """A name that no database of this server has."""
        return f"voxcube{next(self._numbers)}"

    def create_named(self, name: str, *, template: str = "template0", encoding: str = "UTF8") -> str:
        """A new database, a copy of `template`, to which nobody may be connected; returns its URL."""
        locale = () if encoding == "UTF8" else ("--locale=C",)  # that of the cluster is for UTF-8 alone
        self._call("createdb", *self._where, "-U", _ROLE, "-T", template, "-E", encoding, *locale, name)
        return f"postgresql://{_ROLE}@127.0.0.1:{self.port}/{name}"

    def stop(self, *, crash: bool = False) -> None:
        """Ends it: clients are cut off; with `crash` it skips its own orderly end and must recover."""
        if self._process is not None:
            self._process.end(signal.SIGQUIT if crash else None)
            self._process = None

    def restart(self, *, crash: bool = False) -> None:
        """The same databases on the same port."""
        self.stop(crash=crash)
        self.start()

    def start(self) -> None:
        """Starts it again after a stop; returns when it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._directory,
            **self._settings,
        }
        command = [str(self._binaries / "postgres"), "-D", "data"]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = self._directory / "log"
        self._process = Process(command, log, stop=signal.SIGINT, **self._how)  # SIGINT: fast shutdown
        deadline = time.monotonic() + START_SECONDS
        while self._run("pg_isready", "-q", *self._where).returncode != 0:
            self._process.check(deadline)

    def _close(self) -> None:
        self.stop(crash=True)  # nothing of it is kept
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
