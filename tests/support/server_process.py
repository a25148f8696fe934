"""`voxcube serve` as a process of its own, on free ports: tests talk to it, stop it, kill it and start it again."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from tests.support.ports import free_port
from tests.support.threads import run_in_thread
from voxcube.server.accounts import Accounts
from voxcube.server.config import Config

START_SECONDS = 90.0
STOP_SECONDS = 60.0
#: The source tree the server runs from; SERVER_SOURCE in the environment names another one, for comparisons.
SOURCE = Path(os.environ.get("SERVER_SOURCE") or Path(__file__).parents[2] / "src")


class ServerProcess:
    """One server with its data directory. `addresses` holds door → (host, port) once it is ready."""

    def __init__(
        self,
        data: Path,
        *,
        database: str | None = None,
        plaintext: bool = False,
        descriptors: int = 0,
        **options: object,
    ) -> None:
        """Other options are named as in the configuration: `unlimited=True`, `domain="chat.example.org"`.

        `descriptors`: how many files the process may open at most; 0: as many as this one.
        """
        self._descriptors = descriptors
        self.data = data
        self.addresses: dict[str, tuple[str, int]] = {}
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        ports = {f"{door}_port": free_port() for door in ("http", "https", "xmpp", "xmpps", "ws", "wss")}
        self._database: dict[str, Any] = {"database": database} if database else {}
        self._options = {"node": data.name, **ports, "plaintext": plaintext, **options}
        data.mkdir(parents=True, exist_ok=True)
        self._log = data / "server.log"
        self._out = data / "server.out"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    @property
    def certificate(self) -> Path:
        """The self-signed certificate that clients are to trust."""
        return self.data / "tls.crt"

    @property
    def api_url(self) -> str:
        """Base URL of the REST door in clear."""
        host, port = self.addresses["http"]
        return f"http://{host}:{port}"

    def start(self) -> None:
        """Starts the server and waits for its `ready` line; raises RuntimeError with its log when it does not come."""
        assert self._process is None, "already started"
        command = [sys.executable, "-m", "voxcube.server.cli", "serve", *_flags(self._options), *self._where()]
        with self._log.open("ab") as log, self._out.open("wb") as out:
            self._process = subprocess.Popen(
                self._limited(command), stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=_environment()
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + START_SECONDS
        while True:
            lines = self._out.read_text().split("\n")[:-1]
            if ready := next((line for line in lines if line.startswith("ready ")), None):
                break
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the server did not become ready:\n{self.log()}")
            time.sleep(0.02)
        for part in ready.split()[1:]:
            door, _, address = part.partition("=")
            host, _, port = address.rpartition(":")
            self.addresses.setdefault(door, (host.strip("[]"), int(port)))  # of several the first

    def _limited(self, command: list[str]) -> list[str]:
        """The command under the limit of open files."""
        if not self._descriptors:
            return command
        return ["sh", "-c", f'ulimit -n {self._descriptors} && exec "$0" "$@"', *command]

    def limit_descriptors(self, number: int) -> None:
        """Change how many files the running process may open."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (number, hard))

    def stop(self) -> int:
        """SIGTERM; returns the exit status once the server has ended."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(
                f"the server did not end within {STOP_SECONDS:.0f} s of SIGTERM:\n{self.log()}"
            ) from None
        self._process = None
        return status

    def wait(self, seconds: float) -> int:
        """The exit status of a server that ends by itself."""
        assert self._process is not None
        status = self._process.wait(seconds)
        self._process = None
        return status

    def kill(self) -> None:
        """SIGKILL: what a power cut looks like to the clients."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def restart(self) -> None:
        """Starts again on the same ports and data, after an orderly stop when it still runs."""
        if self._process is not None:
            self.stop()
        self.start()

    def log(self) -> str:
        """What the server wrote to standard error so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def command(self, *arguments: str) -> str:
        """Runs another `voxcube` command on the same data, for example `command("app", "list")`; returns its output."""
        done = subprocess.run(
            [sys.executable, "-m", "voxcube.server.cli", *arguments, *self._where()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=_environment(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"voxcube {' '.join(arguments)} exited {done.returncode}: {done.stderr}")
        return done.stdout

    def create_app(self, name: str = "Test") -> dict[str, Any]:
        """A new application: app_id, auth_key, auth_secret, admin_api_key."""
        created: dict[str, Any] = json.loads(self.command("app", "create", name, "--json"))
        return created

    def create_user(self, app_id: int, login: str, password: str) -> int:
        """A new user; returns its id."""
        if "SERVER_SOURCE" in os.environ:  # its schema is another one
            account = ("--app", str(app_id), "--login", login, "--password", password)
            user_id: int = json.loads(self.command("user", "create", *account, "--json"))["id"]
            return user_id

        async def create() -> int:
            async with Accounts.open(Config(data=self.data, **self._database)) as accounts:
                return (await accounts.create_user(app_id, login, password)).id

        # What the command does, without the second of CPU that a further process costs.
        return run_in_thread(create())

    def _where(self) -> list[str]:
        return _flags({"data": self.data, **self._database})


def _flags(options: dict[str, Any]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        spelled = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{spelled}" if value else f"--no-{spelled}")
        else:
            flags += [f"--{spelled}", str(value)]
    return flags


def _environment() -> dict[str, str]:
    """This environment without options of a server, and with our source on the path."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOXCUBE_")}
    environ["PYTHONPATH"] = str(SOURCE)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the next process need not compile the sources again
    return environ
