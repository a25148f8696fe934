"""What a command imports before it does anything: the server's libraries cost more than a second of processor time."""

import json
import subprocess
import sys

import pytest

from tests.support.server_process import SOURCE

LIST = """
import json, sys
from voxcube.server.cli import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules} | {n for n in sys.modules if n[:7] == "voxcube"})))
"""
HEAVY = (
    *("alembic", "argon2", "asyncio", "asyncpg", "cryptography", "httpx", "msgspec", "picows", "prometheus_client"),
    *("rich", "sqlalchemy", "sqlite3", "ssl", "starlette", "structlog", "uvicorn", "uvloop"),
    *("voxcube.client", "voxcube.xmpp", "voxcube.server.app", "voxcube.server.accounts", "voxcube.server.storage"),
)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("serve", "--help"), ("user", "create", "--help")])
def test_help_imports_no_library_of_the_server(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST, *arguments],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *_, imported = done.stdout.splitlines()
    assert set(HEAVY).isdisjoint(json.loads(imported))
