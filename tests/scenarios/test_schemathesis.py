"""Made-up requests to the running server, from its own OpenAPI document: no mistake of ours, no undocumented answer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server_process import ServerProcess

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
#: These end the session that the other requests need.
ENDING = ("delete_session", "delete_session_id", "delete_login", "delete_users_id", "delete_users_external_external")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("fuzzed") / "node", unlimited=True) as server:
        yield server


def fuzz(server: ServerProcess, directory: Path, seconds: int, *arguments: str) -> None:
    """Runs schemathesis for some seconds; fails with what it has found."""
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("run", f"{server.api_url}/docs/openapi.json", "--checks", CHECKS, "--phases", "coverage,fuzzing"),
        *("--max-examples", "5", "--seed", "1", "--max-time", str(seconds), "--no-shrink", "--no-color"),
        *("--generation-database", "none", "--request-timeout", "10", "--warnings", "off", *arguments),
    ]
    # It writes its cache where it runs.
    run = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]


def answered(server: ServerProcess) -> Counter[str]:
    """How many requests were answered with each status."""
    counts: Counter[str] = Counter()
    text = httpx.get(f"{server.api_url}/metrics").text
    for status, count in re.findall(r'^voxcube_http_requests_total{.*status="(\d+)"} (\S+)', text, re.MULTILINE):
        counts[status] += int(float(count))
    return counts


def test_a_user_cannot_surprise_the_server(server: ServerProcess, tmp_path: Path) -> None:
    app = server.create_app()
    body = {
        "application_id": app["app_id"],
        "auth_key": app["auth_key"],
        "user": {"login": "ann", "password": "correct horse"},
    }
    token = httpx.post(f"{server.api_url}/session", json=body).json()["session"]["token"]
    excluded = [part for name in ENDING for part in ("--exclude-operation-id", name)]
    fuzz(server, tmp_path, 14, "--header", f"CB-Token: {token}", *excluded)
    counts = answered(server)
    assert counts["200"] > 20  # the requests were not all refused at the gate
    assert counts["422"] > 20
    assert not [status for status in counts if status >= "500"]
    assert httpx.get(f"{server.api_url}/session", headers={"CB-Token": token}).status_code == 200


def test_a_stranger_cannot_surprise_the_server(server: ServerProcess, tmp_path: Path) -> None:
    fuzz(server, tmp_path, 8)
    counts = answered(server)
    assert counts["401"] > 20
    assert not [status for status in counts if status >= "500"]
    assert "Traceback" not in server.log()
