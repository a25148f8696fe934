"""`voxcube serve` as an operator meets it: the ready line, doors that may be off, signals, a busy port."""

import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.server_process import SOURCE, ServerProcess

DOORS = ("http", "https", "xmpp", "xmpps", "ws", "wss")


def test_ready_line_health_and_a_quiet_end(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "one") as server:
        assert set(server.addresses) == set(DOORS)
        assert httpx.get(f"{server.api_url}/health").status_code == 200
        trust = ssl.create_default_context(cafile=str(server.certificate))
        host, port = server.addresses["https"]
        assert httpx.get(f"https://{host}:{port}/health", verify=trust).status_code == 200
        for address in server.addresses.values():
            socket.create_connection(address, timeout=5).close()
        assert server.stop() == 0
        assert "Traceback" not in server.log()


def test_it_takes_as_many_connections_as_the_system_lets_it(tmp_path: Path) -> None:
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        with ServerProcess(tmp_path / "one") as server:
            limits = Path(f"/proc/{server.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    soft, hard = re.findall(r"^Max open files +(\w+) +(\w+)", limits, re.MULTILINE)[0]
    assert (soft, hard) == (str(most), str(most))


def test_the_same_ports_and_data_after_a_kill(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "one") as server:
        app = server.create_app()
        before = dict(server.addresses)
        server.kill()
        server.start()
        assert server.addresses == before
        assert str(app["auth_key"]) in server.command("app", "list")


def test_only_the_doors_that_are_wanted(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "one", plaintext=True, https_port=0, wss_port=0) as server:
        assert set(server.addresses) == {"http", "xmpp", "xmpps", "ws"}


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        others = [part for door in DOORS[1:] for part in (f"--{door}-port", str(free_port()))]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "voxcube.server.cli",
                "serve",
                "--data",
                str(tmp_path),
                "--http-port",
                port,
                *others,
            ],
            env={"PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 2
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("voxcube: ")
    assert port in last
    assert "in use" in last


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it_as_well(tmp_path: Path, number: signal.Signals) -> None:
    ports = [part for door in DOORS for part in (f"--{door}-port", str(free_port()))]
    process = subprocess.Popen(
        [sys.executable, "-m", "voxcube.server.cli", "serve", "--data", str(tmp_path), *ports],
        env={"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "voxcube.db").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert out in ("", out if out.startswith("ready ") else "")
