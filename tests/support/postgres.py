"""A throw-away PostgreSQL cluster on loopback, with fsync on, for as long as the tests run."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_port

ROLE = "voxcube"
START_SECONDS = 60.0


def find_binaries() -> Path | None:
    """The directory with initdb, postgres and createdb: Debian's newest version first, then PATH."""
    candidates = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: (p.parent.name.zfill(4), p), reverse=True
    )
    if found := shutil.which("initdb"):
        candidates.append(Path(found).resolve().parent)
    for directory in candidates:
        if all((directory / name).exists() for name in ("initdb", "postgres", "createdb", "pg_isready")):
            return directory
    return None


class PostgresServer:
    """One cluster in a temporary directory. As root it runs as an ordinary user, since PostgreSQL refuses root."""

    def __init__(self, binaries: Path) -> None:
        self.port = free_port()
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._directory = Path(tempfile.mkdtemp(prefix="voxcube-postgres-"))
        self._as_user: dict[str, Any] = {"cwd": self._directory, "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}}
        if os.geteuid() == 0:
            account = _ordinary_user()
            os.chown(self._directory, account.pw_uid, account.pw_gid)
            self._as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self.log = self._directory / "log"

    def __enter__(self) -> Self:
        try:
            self._run("initdb", "-D", "data", "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the running postmaster."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts the server and returns when it takes connections."""
        assert self._process is None
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._directory,
            "fsync": "on",
            "synchronous_commit": "on",
            "shared_buffers": "32MB",
            "max_connections": 100,
        }
        command = [str(self._binaries / "postgres"), "-D", "data"]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as_user)
        deadline = time.monotonic() + START_SECONDS
        while self._call("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.05)

    def stop(self, *, crash: bool = False) -> None:
        """Ends the server: clients are cut off; with `crash` it also skips its own orderly end and must recover."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def restart(self, *, crash: bool = False) -> None:
        """Stops and starts the server on the same port with the same databases."""
        self.stop(crash=crash)
        self.start()

    def close(self) -> None:
        """Stops the server and removes everything it wrote."""
        self.stop(crash=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    def create_database(self) -> str:
        """A new empty database; returns its URL."""
        name = f"test{next(self._numbers)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", ROLE, "-T", "template0", name)
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{name}"

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._binaries / program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
            **self._as_user,
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")


def _ordinary_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("running as root, and there is neither a user postgres nor nobody to run PostgreSQL")
