"""A login from an address that is not this machine's loopback, on real sockets in a network namespace of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.components import missing
from tests.support.elsewhere import ADDRESS
from tests.support.node import DOORS

ROOT = Path(__file__).parents[2]
PREPARE = f"ip link set lo up && ip address add {ADDRESS}/32 dev lo"


def test_passwords_in_clear_are_refused_from_elsewhere_and_taken_from_a_trusted_proxy(tmp_path: Path) -> None:
    if not (shutil.which("unshare") and shutil.which("ip")):
        missing("unshare and ip are needed for a network namespace")
    namespace = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    if subprocess.run([*namespace, PREPARE], capture_output=True, check=False).returncode:
        missing("a network namespace cannot be made here")
    program = f'{PREPARE} && exec "$0" -m tests.support.elsewhere "$1"'
    done = subprocess.run(
        [*namespace, program, sys.executable, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = {
        f"{trusted}/{address}/{door}": "in"
        for trusted in ("nobody", ADDRESS, "insecure")
        for address in ("127.0.0.1", ADDRESS)
        for door in (*DOORS, "http", "https")
    }
    expected[f"nobody/{ADDRESS}/ws"] = expected[f"insecure/{ADDRESS}/ws"] = "encryption-required"
    expected[f"nobody/{ADDRESS}/http"] = "403"
    assert found == expected
