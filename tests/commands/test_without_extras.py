"""An installation of the extra `server` alone: what PostgreSQL and the tests need is not there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_process import SOURCE

ABSENT = ("asyncpg", "greenlet", "hypothesis", "pytest", "schemathesis", "slixmpp", "jsonschema")
RUN = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); from voxcube.server.cli import main; main()"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_applications_on_sqlite(tmp_path: Path) -> None:
    done = run("app", "create", "Test", "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [("app", "list"), ("serve",)])
def test_postgresql_names_the_extra(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, "--data", str(tmp_path), "--database", "postgresql://voxcube@127.0.0.1:1/chat")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line == (
        "voxcube: PostgreSQL needs asyncpg, which is missing (option database): pip install 'voxcube[server,postgres]'"
    )


def test_the_whole_server_is_importable() -> None:
    """What `serve` imports needs none of them."""
    code = RUN.replace("from voxcube.server.cli import main; main()", "import voxcube.server.serving")
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
